//! `[streams.NAME.fields]`: where a reading's parts lie in a record.

use super::section::Section;
use super::stream::{FieldSource, Fields, TimeFormat};
use std::sync::Arc;

pub(super) fn fields(
    s: &mut Section<'_>,
    targets: &[String],
    covariates: &[String],
    known_ahead: &[usize],
) -> Fields {
    let mut f = s.section("fields");
    let series = source(&mut f, "series", "@key");
    let time = source(&mut f, "time", "@timestamp");
    let time_format = f.choice(
        "time_format",
        &[
            ("auto", TimeFormat::Auto),
            ("rfc3339", TimeFormat::Rfc3339),
            ("s", TimeFormat::Seconds),
            ("ms", TimeFormat::Millis),
            ("us", TimeFormat::Micros),
            ("ns", TimeFormat::Nanos),
        ],
    );
    let mut v = f.section("values");
    let mut values = Vec::new();
    for (i, name) in targets.iter().chain(covariates).enumerate() {
        if targets.iter().chain(covariates).take(i).any(|earlier| earlier == name) {
            s.fault("targets", format!("names \"{name}\" twice among targets and covariates"));
        }
        values.push(source(&mut v, name, &pointer(name)));
    }
    v.finish();
    let mut a = f.section("ahead");
    let known = known_ahead.iter().map(|at| &covariates[*at]);
    let ahead = known.map(|name| source(&mut a, name, &format!("{}_ahead", pointer(name)))).collect();
    a.finish();
    f.finish();
    Fields { series, time, time_format, values, ahead }
}

/// The JSON pointer to a field of this name.
fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn source(s: &mut Section<'_>, name: &str, default: &str) -> FieldSource {
    let text = s.text(name, default);
    match text.as_str() {
        "@key" => FieldSource::Key,
        "@timestamp" => FieldSource::Timestamp,
        "" | "/" => FieldSource::Pointer(Arc::from([String::new()])),
        pointer if pointer.starts_with('/') => FieldSource::Pointer(
            pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect(),
        ),
        other => match other.strip_prefix("@header:") {
            Some(header) if !header.is_empty() => FieldSource::Header(header.to_owned()),
            _ => {
                s.fault(
                    name,
                    format!(
                        "is \"{other}\"; allowed are a JSON pointer like \"/data/kw\", \"@key\", \
                         \"@header:NAME\" and \"@timestamp\""
                    ),
                );
                FieldSource::Key
            }
        },
    }
}
