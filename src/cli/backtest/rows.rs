//! A table's rows as the records that a sensor would have sent.

use crate::cli::Failure;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// A CSV file with a header, plain or gzipped. Each row becomes a JSON object with the columns as
/// fields, so that it takes the way of a record from the decoder on.
pub(super) struct Rows {
    reader: csv::Reader<Box<dyn Read>>,
    columns: Vec<String>,
    row: csv::StringRecord,
    json: Vec<u8>,
}

impl Rows {
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |e: &dyn std::fmt::Display| Failure::new(format!("{}: {e}", path.display()));
        let file = BufReader::new(File::open(path).map_err(|e| failed(&e))?);
        let zipped = path.extension().is_some_and(|e| e == "gz");
        let plain: Box<dyn Read> =
            if zipped { Box::new(flate2::read::GzDecoder::new(file)) } else { Box::new(file) };
        Self::read(plain).map_err(|e| failed(&e))
    }

    fn read(input: Box<dyn Read>) -> Result<Self, csv::Error> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(input);
        let columns = reader.headers()?.iter().map(str::to_owned).collect();
        Ok(Self { reader, columns, row: csv::StringRecord::new(), json: Vec::new() })
    }

    /// The next row as a JSON object; `None` at the end.
    pub fn next(&mut self) -> Result<Option<&[u8]>, csv::Error> {
        if !self.reader.read_record(&mut self.row)? {
            return Ok(None);
        }
        let object: Map<String, Value> = self
            .columns
            .iter()
            .zip(self.row.iter())
            .map(|(column, value)| (column.clone(), Value::from(value)))
            .collect();
        self.json.clear();
        serde_json::to_writer(&mut self.json, &object).expect("strings are always JSON");
        Ok(Some(&self.json))
    }
}

/// Counts the rows of a file, for the progress bar.
pub(super) fn count(path: &Path) -> Result<u64, Failure> {
    let mut rows = Rows::open(path)?;
    let mut n = 0;
    while rows.reader.read_record(&mut rows.row).map_err(Failure::new)? {
        n += 1;
    }
    Ok(n)
}
