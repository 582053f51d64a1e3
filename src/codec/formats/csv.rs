//! Rows of separated values, whose columns the config names: `{"ts": "…", "id": "…", "kw": "21.5"}`. A row of the names
//! themselves is a header, and is skipped.

use super::text::ObjectText;
use super::{ElementSink, not_in_format};
use crate::codec::BadRecord;
use ::csv::{ByteRecord, ReaderBuilder};

/// Reads the rows of one stream.
pub struct Rows {
    columns: Vec<String>,
    reader: ReaderBuilder,
    row: ByteRecord,
}

impl Rows {
    pub fn new(columns: &[String], delimiter: u8) -> Self {
        let mut reader = ReaderBuilder::new();
        reader.has_headers(false).flexible(true).delimiter(delimiter).trim(::csv::Trim::All);
        Self { columns: columns.to_vec(), reader, row: ByteRecord::new() }
    }

    pub fn read(
        &mut self,
        payload: &[u8],
        element: &mut String,
        elements: &mut impl ElementSink,
    ) -> Result<(), BadRecord> {
        let Self { columns, reader, row } = self;
        let mut rows = reader.from_reader(payload);
        let mut is_first = true;
        while rows.read_byte_record(row).map_err(not_in_format)? {
            let is_header =
                std::mem::take(&mut is_first) && row.iter().eq(columns.iter().map(String::as_bytes));
            if is_header {
                continue;
            }
            if row.len() != columns.len() {
                let detail = format!("{} columns were expected, not {}", columns.len(), row.len());
                elements.refuse(not_in_format(detail));
                continue;
            }
            let mut object = ObjectText::begin(element);
            let mut fault = None;
            for (name, value) in columns.iter().zip(row.iter()) {
                match std::str::from_utf8(value) {
                    Ok(value) => object.text(name, value),
                    Err(e) => drop(fault.get_or_insert(e)),
                }
            }
            let json = object.end();
            match fault {
                None => elements.element(json),
                Some(e) => elements.refuse(not_in_format(e)),
            }
        }
        Ok(())
    }
}
