use super::{Row, Wanted, put_name};
use crate::cli::Failure;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// A CSV file with a header, plain or gzipped.
pub(in super::super) struct Text {
    path: PathBuf,
    reader: csv::Reader<Box<dyn Read>>,
    /// Names of the columns that are wanted, and their places.
    columns: Vec<(String, usize)>,
    row: csv::StringRecord,
    json: Vec<u8>,
}

fn reader(path: &Path) -> Result<csv::Reader<Box<dyn Read>>, Failure> {
    let failed = |e: std::io::Error| Failure::new(format!("{}: {e}", path.display()));
    let file = BufReader::with_capacity(1 << 16, File::open(path).map_err(failed)?);
    let zipped = path.extension().is_some_and(|e| e == "gz");
    let plain: Box<dyn Read> =
        if zipped { Box::new(flate2::read::MultiGzDecoder::new(file)) } else { Box::new(file) };
    Ok(csv::ReaderBuilder::new().flexible(true).from_reader(plain))
}

impl Text {
    pub fn open(path: &Path, wanted: &Wanted) -> Result<Self, Failure> {
        let mut reader = reader(path)?;
        let header = reader.headers().map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
        // Spreadsheets begin with a byte order mark.
        let names: Vec<String> = header.iter().map(|n| n.trim_start_matches('\u{feff}').to_owned()).collect();
        let places = wanted.places(path, &names)?;
        let columns = places.into_iter().map(|i| (names[i].clone(), i)).collect();
        Ok(Self { path: path.to_owned(), reader, columns, row: csv::StringRecord::new(), json: Vec::new() })
    }

    pub fn next(&mut self) -> Result<Option<Row<'_>>, Failure> {
        let read = self.reader.read_record(&mut self.row);
        if !read.map_err(|e| Failure::new(format!("{}: {e}", self.path.display())))? {
            return Ok(None);
        }
        self.json.clear();
        self.json.push(b'{');
        for (name, at) in &self.columns {
            if let Some(value) = self.row.get(*at) {
                put_name(name, &mut self.json);
                serde_json::to_writer(&mut self.json, value).expect("strings are always JSON");
            }
        }
        self.json.push(b'}');
        let number = self.row.position().map_or(0, csv::Position::line);
        Ok(Some(Row { number, json: &self.json }))
    }
}

pub(super) fn count(path: &Path) -> Result<u64, Failure> {
    let (mut reader, mut row, mut n) = (reader(path)?, csv::ByteRecord::new(), 0);
    let failed = |e: csv::Error| Failure::new(format!("{}: {e}", path.display()));
    while reader.read_byte_record(&mut row).map_err(failed)? {
        n += 1;
    }
    Ok(n)
}
