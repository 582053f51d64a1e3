//! Confluent's wire format: which schema a payload is written with, in front of it or in a header.
//!
//! Source: <https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format>.
//! Version 0 is a byte 0 and the schema's number in four bytes; version 1 a byte 1 and its GUID in 16 bytes. With Protobuf
//! the indexes of the message follow: their count and each of them, signed, in seven bits a byte. A count of 0 is the first
//! message of the file.

use super::avro::Cursor;
use super::not_in_format;
use crate::codec::{BadRecord, Record};
use crate::schemas::{SchemaId, SchemaKind};

/// The header that names the schema of a record's value.
const HEADER: &str = "__value_schema_id";
/// Messages inside messages.
const INDEXES_MOST: i64 = 32;

/// What a payload says of its schema.
pub struct Frame<'a> {
    pub id: SchemaId,
    /// With Protobuf: which message of the schema it is.
    pub indexes: Vec<usize>,
    /// The payload itself.
    pub body: &'a [u8],
}

/// The number that a record names its schema by, if it does.
pub fn schema_id(record: &Record<'_>, bytes: &[u8]) -> Option<SchemaId> {
    let header = record.headers.get(HEADER);
    id(&mut Cursor(header.unwrap_or(bytes)))
}

fn id(from: &mut Cursor<'_>) -> Option<SchemaId> {
    match from.take(1).ok()? {
        [0] => from.array().ok().map(|bytes| SchemaId::Number(u32::from_be_bytes(bytes))),
        [1] => from.array().ok().map(SchemaId::Guid),
        _ => None,
    }
}

/// Takes the frame off.
///
/// # Errors
/// Where the payload has none.
pub fn open<'a>(kind: SchemaKind, record: &Record<'a>, bytes: &'a [u8]) -> Result<Frame<'a>, BadRecord> {
    let header = record.headers.get(HEADER);
    let mut from = Cursor(header.unwrap_or(bytes));
    let id = id(&mut from).ok_or_else(|| {
        not_in_format(match header {
            Some(_) => "the header __value_schema_id is neither 0 with four bytes nor 1 with sixteen",
            None => {
                "the payload does not begin with the number of its schema (0 and four bytes, or 1 and sixteen), and has \
                 no header __value_schema_id; where records have none, name the schema's file in fields.schema"
            }
        })
    })?;
    let indexes = if kind == SchemaKind::Protobuf { indexes(&mut from)? } else { Vec::new() };
    Ok(Frame { id, indexes, body: if header.is_some() { bytes } else { from.0 } })
}

fn indexes(from: &mut Cursor<'_>) -> Result<Vec<usize>, BadRecord> {
    let count = from.whole()?;
    if count == 0 {
        return Ok(vec![0]);
    }
    if !(1..=INDEXES_MOST).contains(&count) {
        return Err(not_in_format(format!("{count} indexes lead to no message")));
    }
    (0..count).map(|_| usize::try_from(from.whole()?).map_err(not_in_format)).collect()
}
