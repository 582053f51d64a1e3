//! Places in a record.

use super::key::Key;
use super::kinds::Mixed;
use super::records::split;
use super::section::Section;
use serde_json::Value;
use std::sync::Arc;

/// A place in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldSource {
    /// A JSON pointer (RFC 6901), split and unescaped.
    Pointer(Arc<[String]>),
    /// A JSON pointer from this many levels above the element of a batch, at least one.
    Above(usize, Arc<[String]>),
    /// All members of the object at a JSON pointer, as `NAME=VALUE`, in the order of their names.
    Members(Arc<[String]>),
    /// The name or the index of a level of a batch, counted from the element, whose own is 0.
    Name(usize),
    /// `@key`: the record's key.
    Key,
    /// `@header:NAME`.
    Header(String),
    /// `@timestamp`: the record's own time.
    Timestamp,
}

/// The most places of a series or a time.
pub(super) const PLACES_MAX: usize = 8;

pub(super) const PLACES: &str =
    r#"{ "type": ["string", "array"], "items": { "type": "string" }, "minItems": 1, "maxItems": 8 }"#;

/// The JSON pointer to a field of this name.
pub(super) fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// One place, or a list of them.
pub(super) fn sources(
    s: &mut Section<'_>,
    key: &Key<Mixed>,
    default: &[&str],
    one: impl Fn(&Section<'_>, &str) -> FieldSource,
) -> Vec<FieldSource> {
    let name = key.name;
    let Some(Value::Array(items)) = s.value(key) else {
        return match s.mixed_text(key) {
            Some(text) => vec![one(s, &text)],
            None => default.iter().map(|text| one(s, text)).collect(),
        };
    };
    let all = || items.iter().map(Value::as_str).collect::<Option<Vec<_>>>();
    match all().filter(|texts| (1..=PLACES_MAX).contains(&texts.len())) {
        Some(texts) => {
            if texts.len() > 1 && texts.iter().any(|text| text.trim() == "@timestamp") {
                s.fault(name, "has \"@timestamp\" in a list, which is a whole time and no part of anything");
            }
            texts.into_iter().map(|text| one(s, text.trim())).collect()
        }
        None => {
            s.fault(
                name,
                format!("must be a place or a list of 1 to {PLACES_MAX} of them, all of them texts"),
            );
            vec![FieldSource::Key]
        }
    }
}

/// A place that stands under a name.
pub(super) fn source(s: &mut Section<'_>, name: &str, default: &str, ways: &[Arc<[String]>]) -> FieldSource {
    let text = s.text_of_name(name).unwrap_or_else(|| default.to_owned());
    parse(s, name, &text, ways)
}

/// A place in a record. `ways` lead to the elements of a batch, one from each level above them.
pub(super) fn parse(s: &Section<'_>, name: &str, text: &str, ways: &[Arc<[String]>]) -> FieldSource {
    let levels = ways.len();
    let inner = text.trim_start_matches('^');
    let above = text.len() - inner.len();
    let place = match inner {
        "@key" if above == 0 => Some(FieldSource::Key),
        "@timestamp" if above == 0 => Some(FieldSource::Timestamp),
        "#" if above < levels => Some(FieldSource::Name(above)),
        "/" if above == 0 => Some(FieldSource::Pointer(Arc::from([String::new()]))),
        _ if above > levels => None,
        _ => match (split(inner), inner.strip_prefix("@header:")) {
            (Some(path), _) if above == 0 => Some(FieldSource::Pointer(path.into())),
            (Some(path), _) => {
                let way = &*ways[levels - above];
                if !way.is_empty() && (path.starts_with(way) || way.starts_with(&path)) {
                    let way: String = way.iter().map(|key| pointer(key)).collect();
                    s.fault(
                        name,
                        format!(
                            "is \"{text}\", but at its level \"{way}\" leads to the elements: no field can lie in \
                             it or hold it"
                        ),
                    );
                }
                Some(FieldSource::Above(above, path.into()))
            }
            (None, Some(header)) if above == 0 && !header.is_empty() => {
                Some(FieldSource::Header(header.to_owned()))
            }
            _ => None,
        },
    };
    place.unwrap_or_else(|| {
        let batch = match levels {
            0 => String::new(),
            _ => format!(
                ", a pointer after one \"^\" for each of at most {levels} levels above the element, and \"#\" \
                 after fewer of them for the name of what lies there"
            ),
        };
        s.fault(
            name,
            format!(
                "is \"{text}\"; allowed are a JSON pointer like \"/data/kw\", \"@key\", \
                 \"@header:NAME\" and \"@timestamp\"{batch}"
            ),
        );
        FieldSource::Key
    })
}
