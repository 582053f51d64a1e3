//! The line protocol of `InfluxDB`, read by the parser of its makers. A line becomes
//! `{"name": "cpu", "tags": {"host": "a"}, "fields": {"usage": 1.5}, "timestamp": 1700000000000000000}`, as Telegraf
//! writes it in JSON. A line without a time has no `timestamp`.

use super::text::ObjectText;
use super::{ElementSink, not_in_format};
use crate::codec::BadRecord;
use influxdb_line_protocol::{FieldValue, ParsedLine, parse_lines};

pub fn read(payload: &str, element: &mut String, elements: &mut impl ElementSink) -> Result<(), BadRecord> {
    for line in parse_lines(payload) {
        match line {
            Ok(line) => elements.element(write(&line, element)),
            Err(e) => elements.refuse(not_in_format(e)),
        }
    }
    Ok(())
}

fn write<'e>(line: &ParsedLine<'_>, element: &'e mut String) -> &'e str {
    let mut object = ObjectText::begin(element);
    object.text("name", &line.series.measurement);
    object.object("tags", |tags| {
        line.series.tag_set.iter().flatten().for_each(|(name, value)| tags.text(name, value));
    });
    object.object("fields", |fields| {
        for (name, value) in &line.field_set {
            match value {
                FieldValue::I64(value) => fields.whole(name, *value),
                FieldValue::U64(value) => fields.whole(name, *value),
                FieldValue::F64(value) => fields.number(name, *value),
                FieldValue::String(value) => fields.text(name, value),
                FieldValue::Boolean(value) => fields.flag(name, *value),
            }
        }
    });
    if let Some(timestamp) = line.timestamp {
        object.whole("timestamp", timestamp);
    }
    object.end()
}
