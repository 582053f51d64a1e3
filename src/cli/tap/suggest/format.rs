//! Which format the records of a topic have.

use crate::codec::{ElementReader, Record as Source};
use crate::config::Format;
use crate::console::Failure;
use crate::kafka::Record;
use serde_json::Value;

/// The most records that each format is tried on.
const TRIED_MAX: usize = 200;
/// What may stand between columns, the likelier first.
const DELIMITERS: [u8; 4] = *b",;\t|";

/// A format, and what it needs beside its name.
pub(super) struct Shape {
    pub format: Format,
    /// The columns of rows.
    pub columns: Vec<String>,
    /// What stands between them.
    pub delimiter: u8,
    pub notes: Vec<String>,
}

impl Shape {
    fn new(format: Format) -> Self {
        Self { format, columns: Vec::new(), delimiter: b',', notes: Vec::new() }
    }
}

/// What one payload looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Of(Format),
    /// Confluent's wire format: a zero byte and the id of a schema.
    SchemaId,
    AvroContainer,
    Text,
    Nothing,
}

/// The format that most of the records have.
///
/// # Errors
/// When there is none.
pub(super) fn guess(records: &[Record]) -> Result<Shape, Failure> {
    let mut votes: Vec<(Look, usize)> = Vec::new();
    let filled = || records.iter().filter(|record| record.payload.as_ref().is_some_and(|p| !p.is_empty()));
    for record in filled().take(TRIED_MAX) {
        let look = look(&record.as_source());
        match votes.iter_mut().find(|(seen, _)| *seen == look) {
            Some((_, count)) => *count += 1,
            None => votes.push((look, 1)),
        }
    }
    let total: usize = votes.iter().map(|(_, count)| count).sum();
    let Some((look, count)) = votes.iter().copied().max_by_key(|(_, count)| *count) else {
        return Err(Failure::new("the records have no payloads, so no format can be guessed"));
    };
    let count_of = |wanted| votes.iter().find(|(look, _)| *look == wanted).map_or(0, |(_, count)| *count);
    let mut shape = match look {
        // A record of one line looks like plain JSON.
        Look::Of(Format::Json) if count_of(Look::Of(Format::Ndjson)) > 0 => Shape::new(Format::Ndjson),
        Look::Of(format) => Shape::new(format),
        Look::SchemaId => {
            return Err(Failure::new(
                "the records begin with the id of a schema, as with a schema registry. Choose `format` by what their \
                 producer writes, and say where the registry is; docs/formats.md has an example",
            ));
        }
        Look::AvroContainer => {
            return Err(Failure::new(
                "the records are Avro containers; docs/formats.md says how they are read",
            ));
        }
        Look::Text => rows(records)?,
        Look::Nothing => {
            return Err(Failure::new(
                "the records are neither text nor protobuf metrics of OpenTelemetry or Prometheus. The formats that \
                 are known are in docs/formats.md",
            ));
        }
    };
    if count < total {
        shape.notes.push(format!("{} of {total} records look like another format.", total - count));
    }
    Ok(shape)
}

fn look(record: &Source<'_>) -> Look {
    let bytes = record.payload.unwrap_or_default();
    let reads = |format| elements(record, format) > 0;
    if bytes.starts_with(b"Obj\x01") {
        return Look::AvroContainer;
    }
    if bytes.len() > 5 && bytes[0] == 0 {
        return Look::SchemaId;
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return binary(record) };
    let text = text.trim_start_matches('\u{feff}').trim();
    match serde_json::from_str::<Value>(text) {
        Ok(value) => return Look::Of(of_json(&value)),
        Err(_) if is_lines_of_json(text) => return Look::Of(Format::Ndjson),
        Err(_) => {}
    }
    if text.parse::<f64>().is_ok() {
        Look::Of(Format::Plain)
    } else if reads(Format::Influx) {
        Look::Of(Format::Influx)
    } else if text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        // Short protobuf messages may be valid UTF-8.
        binary(record)
    } else {
        Look::Text
    }
}

fn binary(record: &Source<'_>) -> Look {
    let known = [Format::PrometheusRemoteWrite, Format::OtlpProto];
    let found = known.into_iter().find(|format| elements(record, *format) > 0);
    found.map_or(Look::Nothing, Look::Of)
}

/// The number of elements that a format finds in a record; 0 where it finds a fault.
fn elements(record: &Source<'_>, format: Format) -> usize {
    let mut count = 0;
    let outcome = ElementReader::new(format, &[], b',').read(record, &mut |_| count += 1);
    outcome.map_or(0, |()| count)
}

fn is_lines_of_json(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty()).peekable();
    let is_object = |line: &str| serde_json::from_str::<Value>(line).is_ok_and(|value| value.is_object());
    lines.peek().is_some() && lines.all(is_object)
}

fn of_json(value: &Value) -> Format {
    let is_telegraf = |v: &Value| v["name"].is_string() && v["fields"].is_object();
    let is_telemetry = |v: &Value| v["ts"].is_number() && v["values"].is_object();
    let all = |v: &Value, holds: &dyn Fn(&Value) -> bool| {
        v.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(holds))
    };
    let members = value.as_object();
    if value.is_number() || value.is_string() {
        Format::Plain
    } else if value["resourceMetrics"].is_array() {
        Format::OtlpJson
    } else if is_telegraf(value) || all(&value["metrics"], &is_telegraf) {
        Format::TelegrafJson
    } else if value["labels"].is_object() && value["name"].is_string() && !value["value"].is_null() {
        Format::PrometheusJson
    } else if is_telemetry(value)
        || all(value, &is_telemetry)
        || members.is_some_and(|m| !m.is_empty() && m.values().all(|v| all(v, &is_telemetry)))
    {
        Format::Thingsboard
    } else {
        Format::Json
    }
}

/// Rows of separated values: with the delimiter that splits all rows into the same number of columns.
fn rows(records: &[Record]) -> Result<Shape, Failure> {
    let texts = || {
        let payloads =
            records.iter().take(TRIED_MAX).filter_map(|r| std::str::from_utf8(r.payload.as_ref()?).ok());
        payloads.flat_map(str::lines).filter(|line| !line.trim().is_empty())
    };
    let split = |line: &str, delimiter: u8| -> Vec<String> {
        let mut reader = csv::ReaderBuilder::new();
        let mut reader = reader.has_headers(false).delimiter(delimiter).from_reader(line.as_bytes());
        let row = reader.records().next().and_then(Result::ok);
        row.iter().flat_map(|row| row.iter()).map(|cell| cell.trim().to_owned()).collect()
    };
    for delimiter in DELIMITERS {
        let mut lines = texts();
        let first = lines.next().map(|line| split(line, delimiter)).unwrap_or_default();
        let width = first.len();
        if width < 2 || !lines.all(|line| split(line, delimiter).len() == width) {
            continue;
        }
        let is_name = |cell: &String| cell.starts_with(|c: char| c.is_alphabetic() || c == '_');
        let is_header = first.iter().all(is_name) && texts().nth(1).is_some();
        let mut shape = Shape::new(Format::Csv);
        shape.delimiter = delimiter;
        shape.columns = match is_header {
            true => first,
            false => (1..=width).map(|i| format!("column_{i}")).collect(),
        };
        if !is_header {
            shape.notes.push("The rows have no header: give the columns their names.".to_owned());
        }
        return Ok(shape);
    }
    Err(Failure::new(
        "the records are text, but neither JSON nor InfluxDB's line protocol nor rows of as many columns each",
    ))
}
