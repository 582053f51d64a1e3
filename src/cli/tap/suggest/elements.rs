//! The elements of a sample, taken apart into places and their values.

use super::format::Shape;
use crate::codec::ElementReader;
use crate::config::Format;
use crate::domain::EventTime;
use crate::kafka::Record;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// How deep values are looked for.
const DEPTH_MAX: usize = 4;
/// The most elements that are kept.
const ELEMENTS_MAX: usize = 50_000;
/// The most distinct texts of a place that are told apart.
const DISTINCT_MAX: usize = 10_000;

/// One element: what stands at each place.
pub(super) struct Element {
    pub leaves: BTreeMap<String, Value>,
    pub key: Option<String>,
    pub record_time: Option<EventTime>,
}

/// What is known of a place.
#[derive(Default)]
pub(super) struct Column {
    /// How many elements have something there.
    pub count: usize,
    /// How many have a number, or a text that spells one.
    pub numbers: usize,
    /// How many have a text.
    pub texts: usize,
    pub distinct: BTreeSet<String>,
}

/// The elements of a sample.
pub(super) struct Elements {
    pub all: Vec<Element>,
    /// By place, in the order in which they were first seen.
    pub columns: Vec<(String, Column)>,
    /// Where the elements lie inside a record.
    pub records: Option<String>,
}

impl Elements {
    pub fn read(records: &[Record], shape: &Shape) -> Self {
        let mut reader = ElementReader::new(shape.format, &shape.columns, shape.delimiter);
        let mut found: Vec<(Value, usize)> = Vec::new();
        for (number, record) in records.iter().enumerate() {
            // Faults are counted where the finished config is tried.
            let _ = reader.read(&record.as_source(), &mut |json| {
                let parsed = serde_json::from_str(json).ok();
                found.extend(parsed.filter(|_| found.len() < ELEMENTS_MAX).map(|value| (value, number)));
            });
        }
        let is_json = matches!(shape.format, Format::Json | Format::Ndjson);
        let batch = found.first().filter(|_| is_json).and_then(|(value, _)| batch(value));
        let mut elements = Self { all: Vec::new(), columns: Vec::new(), records: batch.clone() };
        for (value, number) in found {
            let record = &records[number];
            match (&batch, &value) {
                (Some(path), _) => {
                    let inner = value.pointer(path).and_then(Value::as_array).into_iter().flatten();
                    inner.for_each(|inner| elements.add(inner, Some((&value, path)), record));
                }
                (None, Value::Array(all)) if is_json => {
                    all.iter().for_each(|element| elements.add(element, None, record));
                }
                (None, element) => elements.add(element, None, record),
            }
        }
        elements
    }

    fn add(&mut self, element: &Value, around: Option<(&Value, &String)>, record: &Record) {
        let mut leaves = Vec::new();
        if let Some((outer, batch)) = around {
            collect(outer, "^", DEPTH_MAX, Some(batch), &mut leaves);
        }
        collect(element, "", DEPTH_MAX, None, &mut leaves);
        for (place, value) in &leaves {
            let at = self.columns.iter().position(|(seen, _)| seen == place).unwrap_or_else(|| {
                self.columns.push((place.clone(), Column::default()));
                self.columns.len() - 1
            });
            self.columns[at].1.add(value);
        }
        let key = record.key.as_ref().and_then(|key| String::from_utf8(key.clone()).ok());
        self.all.push(Element { leaves: leaves.into_iter().collect(), key, record_time: record.time });
    }

    pub fn column(&self, place: &str) -> Option<&Column> {
        self.columns.iter().find(|(seen, _)| seen == place).map(|(_, column)| column)
    }
}

impl Column {
    fn add(&mut self, value: &Value) {
        self.count += 1;
        self.numbers += usize::from(number(value).is_some());
        self.texts += usize::from(value.is_string());
        if self.distinct.len() < DISTINCT_MAX {
            self.distinct.insert(text(value));
        }
    }
}

/// A number, or a text that spells one.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok().filter(|v: &f64| v.is_finite()),
        _ => None,
    }
}

/// A value as a series' name has it.
pub(super) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The path to the one array of objects inside an object, if it has exactly one and no number beside it that changes
/// its meaning.
fn batch(value: &Value) -> Option<String> {
    let arrays = |path: &str, members: &Map<String, Value>| -> Vec<String> {
        let is_batch = |v: &Value| v.as_array().is_some_and(|all| all.first().is_some_and(Value::is_object));
        members
            .iter()
            .filter(|(_, v)| is_batch(v))
            .map(|(name, _)| format!("{path}/{}", escaped(name)))
            .collect()
    };
    let members = value.as_object()?;
    let mut found = arrays("", members);
    for (name, inner) in members {
        if let Value::Object(inner) = inner {
            found.extend(arrays(&format!("/{}", escaped(name)), inner));
        }
    }
    let [only] = &found[..] else { return None };
    Some(only.clone())
}

/// A name as part of a JSON pointer (RFC 6901).
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn collect(
    value: &Value,
    place: &str,
    depth: usize,
    but: Option<&String>,
    leaves: &mut Vec<(String, Value)>,
) {
    match value {
        Value::Object(members) if depth > 0 => {
            for (name, member) in members {
                let inner = format!("{place}/{}", escaped(name));
                if but.is_none_or(|but| inner[1..] != **but) {
                    collect(member, &inner, depth - 1, but, leaves);
                }
            }
        }
        Value::Object(_) | Value::Array(_) | Value::Null => {}
        leaf => leaves.push((place.to_owned(), leaf.clone())),
    }
}
