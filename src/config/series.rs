//! `fields.series`: the places that name a series, or a template.

use super::format::Format;
use super::key::{Key, Preset};
use super::kinds::{Mixed, mixed};
use super::place::{FieldSource, PLACES, PLACES_MAX, parse, pointer, sources};
use super::records::split;
use super::section::Section;
use serde_json::Value;
use std::sync::Arc;

pub(super) static SERIES: Key<Mixed> = mixed(
    "series",
    Mixed {
        words: "place, template, or list of places",
        preset: Preset::Follows("`@key`, or what the `format` says", r#""@key""#),
        form: "1 to 8 places; `/tags/*` stands for all members of the object `/tags`; `labels`: all tags, labels or attributes that the `format` has; or a template like `{/site}-{host}`",
        schema: PLACES,
    },
    "The name of the series; several places are joined by `/`, and a `/` or a backslash within a part gets a \
     backslash before it. Members are written as `NAME=VALUE`, in the order of their names, with commas between. In a \
     template each place stands in braces, and the parts as they are; a name without a slash, such as `{host}`, is a tag, \
     label or attribute where the `format` has these.",
);

/// The word for all labels.
const LABELS: &str = "labels";

/// What names a series: one place, a list of them, or a template.
pub(super) fn series(
    f: &mut Section<'_>,
    format: Format,
    ways: &[Arc<[String]>],
) -> (Vec<FieldSource>, Option<Vec<String>>) {
    let template = match f.value(&SERIES) {
        Some(Value::String(text)) if text.trim() == LABELS => {
            let objects = format.series().iter().filter(|place| place.ends_with("/*"));
            let places: Vec<_> = objects.map(|place| series_place(f, place, ways)).collect();
            if places.is_empty() {
                let format = format.as_str();
                f.fault(
                    "series",
                    format!(
                        "is \"{LABELS}\", which format = \"{format}\" does not have: name an object like \"/tags/*\""
                    ),
                );
                return (vec![FieldSource::Key], None);
            }
            return (places, None);
        }
        Some(Value::String(text)) if text.contains(['{', '}']) => text.trim(),
        _ => {
            let one = |s: &Section<'_>, text: &str| series_place(s, text, ways);
            return (sources(f, &SERIES, format.series(), one), None);
        }
    };
    let (mut texts, mut places) = (Vec::new(), Vec::new());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((place, after)) = after.split_once('}').filter(|(place, _)| !place.trim().is_empty()) else {
            break;
        };
        let place = place.trim();
        let is_name = !place.starts_with(['/', '^', '@', '#']);
        let place = if is_name { format!("{}{}", format.labels(), pointer(place)) } else { place.to_owned() };
        texts.push(before.to_owned());
        places.push(series_place(f, &place, ways));
        rest = after;
    }
    if rest.contains(['{', '}']) || !(1..=PLACES_MAX).contains(&places.len()) {
        f.fault(
            "series",
            format!(
                "is \"{template}\"; a template has 1 to {PLACES_MAX} places in braces, like \"{{/site}}-{{host}}\""
            ),
        );
        return (vec![FieldSource::Key], None);
    }
    texts.push(rest.to_owned());
    (places, Some(texts))
}

/// A place that may stand for all members of an object.
fn series_place(s: &Section<'_>, text: &str, ways: &[Arc<[String]>]) -> FieldSource {
    match members(text) {
        Some(path) => FieldSource::Members(path),
        None => parse(s, SERIES.name, text, ways),
    }
}

/// The object whose members a place like `/tags/*` stands for.
fn members(text: &str) -> Option<Arc<[String]>> {
    let object = text.strip_suffix("/*")?;
    if object.is_empty() { Some(Arc::from([])) } else { split(object).map(Arc::from) }
}
