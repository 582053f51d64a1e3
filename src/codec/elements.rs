//! The elements of records, for who wants to see what a topic holds before there is a stream.

use super::decoder::read_elements;
use super::formats::{ElementSink, Payload, csv};
use super::{BadRecord, Record};
use crate::config::Format;

/// The most bytes of a payload, packed or not.
const PAYLOAD_BYTES_MAX: usize = 64 << 20;

/// Reads the elements of records in one format.
pub struct ElementReader {
    format: Format,
    rows: csv::Rows,
    element: String,
}

impl ElementReader {
    /// A reader of a format; `columns` and `delimiter` are those of rows.
    pub fn new(format: Format, columns: &[String], delimiter: u8) -> Self {
        Self { format, rows: csv::Rows::new(columns, delimiter), element: String::new() }
    }

    /// Gives each element of a record to `each`, as the text of a JSON object. Elements before a fault are given too.
    ///
    /// # Errors
    /// The first fault.
    pub fn read(&mut self, record: &Record<'_>, each: &mut dyn FnMut(&str)) -> Result<(), BadRecord> {
        let bytes = record.payload.unwrap_or_default();
        let payload = Payload { record, bytes, max: PAYLOAD_BYTES_MAX };
        let mut sink = Sink { each, first_bad: None };
        let outcome = read_elements(self.format, &payload, &mut self.rows, &mut self.element, &mut sink);
        sink.first_bad.map_or(outcome, Err)
    }
}

struct Sink<'a> {
    each: &'a mut dyn FnMut(&str),
    first_bad: Option<BadRecord>,
}

impl ElementSink for Sink<'_> {
    fn element(&mut self, json: &str) {
        (self.each)(json);
    }

    fn leave_out(&mut self) {}

    fn refuse(&mut self, bad: BadRecord) {
        self.first_bad.get_or_insert(bad);
    }
}
