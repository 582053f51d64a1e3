//! One decoder for all formats: each format's reader gives elements as JSON texts, and the JSON decoder takes a reading
//! out of each. Records that are JSON go to the latter as they are.

use super::formats::with_schema::{Opened, SchemaReader};
use super::formats::{
    Births, ElementSink, Payload, csv, influx, otlp, plain, prometheus, sparkplug, telegraf, thingsboard,
};
use super::json::JsonDecoder;
use super::{BadRecord, MissingValues, Reason, Record};
use crate::config::{FieldSource, Format, Stream};
use crate::domain::Reading;
use crate::schemas::SchemaSource;
use std::fmt;
use std::sync::Arc;

/// Reads the records of one stream.
pub struct Decoder {
    format: Format,
    json: JsonDecoder,
    rows: csv::Rows,
    /// What the records before have said of those to come, in a format where they do.
    births: Births,
    mqtt_topic: FieldSource,
    schemas: Option<SchemaReader>,
    /// The text of the element at hand.
    element: String,
}

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

impl Decoder {
    /// A decoder of the stream's records.
    pub fn new(stream: &Stream) -> Self {
        Self::of_format(stream, stream.format, None)
    }

    /// As [`Self::new`], with the schemas of records that need one.
    pub fn with_schemas(stream: &Stream, schemas: Option<Arc<dyn SchemaSource>>) -> Self {
        Self::of_format(stream, stream.format, schemas)
    }

    /// A decoder of the elements of the stream's format, for rows of a table that are written as such.
    pub fn of_elements(stream: &Stream) -> Self {
        Self::of_format(stream, Format::Json, None)
    }

    fn of_format(stream: &Stream, format: Format, source: Option<Arc<dyn SchemaSource>>) -> Self {
        let schemas = SchemaReader::of(format, &stream.fields, source);
        let rows = csv::Rows::new(&stream.fields.columns, stream.fields.delimiter);
        Self {
            format,
            json: JsonDecoder::new(stream),
            rows,
            births: Births::default(),
            mqtt_topic: stream.fields.mqtt_topic.clone(),
            schemas,
            element: String::new(),
        }
    }

    /// What the records so far have said of those to come. Only the BIRTH messages of Sparkplug B do.
    pub fn births(&self) -> &Births {
        &self.births
    }

    /// Goes on where another decoder of the partition had these.
    pub fn remember(&mut self, births: &Births) {
        self.births = births.clone();
    }

    /// The values that were missing in the readings since the last call, if any were.
    pub fn take_missing(&mut self) -> Option<MissingValues> {
        self.json.take_missing()
    }

    /// The elements that `fields.where` left out since the last call.
    pub fn take_filtered(&mut self) -> u64 {
        self.json.take_filtered()
    }

    /// Whether the schema of a record is not known yet. It is asked for, and the record is to wait until this says no.
    #[inline]
    pub fn awaits_schema(&mut self, record: &Record<'_>) -> bool {
        self.schemas.as_mut().is_some_and(|schemas| schemas.awaits(record))
    }

    /// Gives each good reading of `record` to `sink`, in the record's order. A bad element does not harm those before
    /// and after it. Where the payload stops being what the format says, the elements before are good.
    ///
    /// # Errors
    /// The first [`BadRecord`].
    pub fn decode(
        &mut self,
        record: &Record<'_>,
        sink: &mut dyn FnMut(Reading<'_>),
    ) -> Result<(), BadRecord> {
        let bytes = record.payload.unwrap_or_default();
        let max = self.json.max_bytes();
        if bytes.len() > max {
            let detail = format!("{} bytes are more than max_record_bytes", bytes.len());
            return Err(BadRecord { reason: Reason::TooLarge, field: None, detail });
        }
        let trimmed = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        // Bytes of Avro may be those of a blank.
        if bytes.is_empty() || self.schemas.is_none() && trimmed.trim_ascii_start().is_empty() {
            let detail = "there is no payload".to_owned();
            return Err(BadRecord { reason: Reason::Empty, field: None, detail });
        }
        let Self { format, json, rows, births, mqtt_topic, schemas, element } = self;
        if *format == Format::Json {
            return json.decode(record, text(trimmed, Reason::NotJson)?, sink);
        }
        let payload = Payload { record, bytes, max };
        let mut elements = Elements { json, record, sink, index: 0, first_bad: None };
        let outcome = match schemas {
            Some(reader) => match reader.read(&payload, element, &mut elements) {
                Ok(Opened::Element) => return json.decode(record, element, sink),
                Ok(Opened::Text(bytes)) => {
                    return json.decode(record, text(bytes, Reason::NotJson)?, sink);
                }
                Ok(Opened::Container) => Ok(()),
                Err(bad) => Err(bad),
            },
            None if *format == Format::SparkplugB => {
                let topic = match mqtt_topic {
                    FieldSource::Header(name) => (record.headers.get(name), &*format!("@header:{name}")),
                    _ => (record.key, "@key"),
                };
                sparkplug::read(&payload, topic, births, element, &mut elements)
            }
            None => read_elements(*format, &payload, rows, element, &mut elements),
        };
        if let Err(bad) = outcome {
            elements.first_bad.get_or_insert(bad);
        }
        elements.first_bad.map_or(Ok(()), Err)
    }
}

/// Reads a payload's elements. `rows` are those of `format = "csv"`, and `element` is a buffer.
///
/// # Errors
/// When the payload stops being what the format says. The elements before are good.
pub(super) fn read_elements(
    format: Format,
    payload: &Payload<'_>,
    rows: &mut csv::Rows,
    element: &mut String,
    elements: &mut impl ElementSink,
) -> Result<(), BadRecord> {
    let trimmed = payload.bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(payload.bytes);
    let text = || text(trimmed, Reason::NotInFormat);
    match format {
        Format::Json | Format::PrometheusJson => {
            elements.element(text()?);
            Ok(())
        }
        Format::Ndjson => {
            text()?
                .lines()
                .filter(|line| !line.trim_ascii().is_empty())
                .for_each(|line| elements.element(line));
            Ok(())
        }
        Format::TelegrafJson => telegraf::read(text()?, elements),
        Format::Influx => influx::read(text()?, element, elements),
        Format::OtlpProto => otlp::read_protobuf(payload, element, elements),
        Format::OtlpJson => otlp::read_json(text()?, element, elements),
        Format::PrometheusRemoteWrite => prometheus::read(payload, element, elements),
        Format::Thingsboard => thingsboard::read(payload, text()?, element, elements),
        Format::Csv => rows.read(trimmed, element, elements),
        Format::Avro | Format::Protobuf | Format::JsonSchema | Format::SparkplugB => Err(unreadable(
            Reason::NotInFormat,
            "only a stream's decoder knows what came before, and schemas",
        )),
        Format::Plain => {
            plain::read(text()?, element, elements);
            Ok(())
        }
    }
}

fn text(bytes: &[u8], reason: Reason) -> Result<&str, BadRecord> {
    std::str::from_utf8(bytes).map_err(|e| unreadable(reason, e))
}

#[cold]
fn unreadable(reason: Reason, e: impl fmt::Display) -> BadRecord {
    BadRecord { reason, field: None, detail: e.to_string() }
}

/// Takes a reading out of each element of a record.
struct Elements<'a, 'r> {
    json: &'a mut JsonDecoder,
    record: &'a Record<'r>,
    sink: &'a mut dyn FnMut(Reading<'_>),
    index: usize,
    first_bad: Option<BadRecord>,
}

impl ElementSink for Elements<'_, '_> {
    fn element(&mut self, json: &str) {
        if let Err(bad) = self.json.decode(self.record, json, self.sink) {
            self.refuse(bad);
        } else {
            self.index += 1;
        }
    }

    #[cold]
    fn refuse(&mut self, mut bad: BadRecord) {
        let index = self.index;
        self.index += 1;
        self.first_bad.get_or_insert_with(|| {
            // As an element of an array is named.
            bad.field = Some(format!("[{index}]{}", bad.field.unwrap_or_default()));
            bad
        });
    }

    fn leave_out(&mut self) {
        self.index += 1;
        self.json.leave_out();
    }
}
