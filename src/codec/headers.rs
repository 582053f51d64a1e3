//! The headers of forecasts and of dead letters.

use super::BadRecord;
use crate::domain::{EventTime, SourcePosition, StreamName};

/// The stream's name.
pub const STREAM: &str = "tidecast-stream";
/// The name of the model that served.
pub const MODEL: &str = "tidecast-model";
/// The topic of the source record.
pub const SOURCE_TOPIC: &str = "tidecast-source-topic";
/// The partition of the source record.
pub const SOURCE_PARTITION: &str = "tidecast-source-partition";
/// The offset of the source record.
pub const SOURCE_OFFSET: &str = "tidecast-source-offset";
/// RFC 3339 in UTC; absent where the source has no time.
pub const SOURCE_TIME: &str = "tidecast-source-time";
/// Why a record is a dead letter.
pub const REASON: &str = "tidecast-reason";
/// The place of the fault in the record.
pub const FIELD: &str = "tidecast-field";
/// The fault for people.
pub const DETAIL: &str = "tidecast-detail";

/// The length of a payload that was cut or left out, in bytes.
pub const LENGTH: &str = "tidecast-length";

/// Why a record became a dead letter: it could not be decoded, or it came too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause<'a> {
    /// The kind of fault, one word.
    pub reason: &'a str,
    /// Its place in the record, if it has one.
    pub field: Option<&'a str>,
    /// The fault for people.
    pub detail: &'a str,
}

impl<'a> From<&'a BadRecord> for Cause<'a> {
    fn from(bad: &'a BadRecord) -> Self {
        Self { reason: bad.reason.as_str(), field: bad.field.as_deref(), detail: &bad.detail }
    }
}

/// Gives each header of a dead letter to `put`; `source_time` is the source record's own time.
pub fn put_dead_letter(
    stream: &StreamName,
    cause: Cause<'_>,
    source: SourcePosition<'_>,
    source_time: Option<EventTime>,
    put: &mut dyn FnMut(&'static str, &[u8]),
) {
    put(REASON, cause.reason.as_bytes());
    if let Some(field) = cause.field {
        put(FIELD, field.as_bytes());
    }
    put(DETAIL, cause.detail.as_bytes());
    put(STREAM, stream.as_str().as_bytes());
    put_source(source, put);
    if let Some(time) = source_time {
        put(SOURCE_TIME, time.to_string().as_bytes());
    }
}

fn put_source(source: SourcePosition<'_>, put: &mut dyn FnMut(&'static str, &[u8])) {
    let mut digits = itoa::Buffer::new();
    put(SOURCE_TOPIC, source.topic.as_bytes());
    put(SOURCE_PARTITION, digits.format(source.partition.0).as_bytes());
    put(SOURCE_OFFSET, digits.format(source.offset.0).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Reason;
    use crate::domain::{Offset, Partition};

    const SOURCE: SourcePosition<'static> =
        SourcePosition { topic: "meters", partition: Partition(3), offset: Offset(42) };

    fn collect(fill: impl FnOnce(&mut dyn FnMut(&'static str, &[u8]))) -> Vec<(&'static str, String)> {
        let mut got = Vec::new();
        fill(&mut |name, value| got.push((name, String::from_utf8(value.to_vec()).unwrap())));
        got
    }

    #[test]
    fn a_dead_letter_says_what_is_wrong_and_where_it_came_from() {
        let stream = StreamName::new("power").unwrap();
        let bad = BadRecord {
            reason: Reason::WrongType,
            field: Some("[3]/kw".into()),
            detail: "a number was expected".into(),
        };
        let time = EventTime::from_micros(1_500_000).ok();
        let got = collect(|put| put_dead_letter(&stream, Cause::from(&bad), SOURCE, time, put));
        let want = [
            ("tidecast-reason", "wrong_type"),
            ("tidecast-field", "[3]/kw"),
            ("tidecast-detail", "a number was expected"),
            ("tidecast-stream", "power"),
            ("tidecast-source-topic", "meters"),
            ("tidecast-source-partition", "3"),
            ("tidecast-source-offset", "42"),
            ("tidecast-source-time", "1970-01-01T00:00:01.5Z"),
        ];
        assert_eq!(got, want.map(|(name, value)| (name, value.to_owned())));
    }
}
