//! The formats beside JSON. Each reader takes a payload apart and gives its elements as JSON objects of one shape, which
//! docs/formats.md shows.

mod avro;
pub(super) mod csv;
mod frame;
pub(super) mod influx;
#[cfg(test)]
mod long_tests;
pub(super) mod otlp;
pub(super) mod plain;
pub(super) mod prometheus;
mod protobuf;
#[cfg(test)]
mod schema_tests;
pub(super) mod sparkplug;
pub(super) mod telegraf;
#[cfg(test)]
mod tests;
mod text;
pub(super) mod thingsboard;
pub(super) mod with_schema;

use super::{BadRecord, Reason, Record};
pub use sparkplug::Births;
use std::fmt;

/// What a reader gives its elements to.
pub(super) trait ElementSink {
    /// An element, as a JSON object.
    fn element(&mut self, json: &str);

    /// An element that could not be read.
    fn refuse(&mut self, bad: BadRecord);

    /// Something that is no reading by what it is, and so is counted like what a filter leaves out.
    fn leave_out(&mut self);
}

/// A record's payload.
#[derive(Clone, Copy)]
pub(super) struct Payload<'a> {
    pub record: &'a Record<'a>,
    pub bytes: &'a [u8],
    /// The most bytes that it may have, packed or not.
    pub max: usize,
}

/// A fault of a payload that is not what the format says.
#[cold]
fn not_in_format(e: impl fmt::Display) -> BadRecord {
    BadRecord { reason: Reason::NotInFormat, field: None, detail: e.to_string() }
}
