//! A table's rows as the records that a sensor would have sent.
//!
//! Each row becomes a JSON object of the columns that the config names, so that it takes the way of a
//! record from the decoder on.

mod parquet;
mod sorted;
mod text;

use self::parquet::Parquet;
use crate::cli::Failure;
use crate::config::{FieldSource, Stream};
pub(super) use sorted::Sorted;
use std::path::Path;
use text::Text;

/// The rows of a file, in its order.
pub(super) enum Rows {
    Text(Text),
    Parquet(Parquet),
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    /// Where it stands in its file, for people: a CSV's line, of which the header is the first, or a
    /// Parquet file's row, counted from 1.
    pub number: u64,
    pub json: &'a [u8],
}

/// Which columns are read.
pub(super) struct Wanted {
    /// Each once, with whether it has to be there.
    columns: Vec<(String, bool)>,
}

impl Wanted {
    /// What the fields of these streams name: time, series and targets have to be there.
    pub fn new<'a>(streams: impl IntoIterator<Item = &'a Stream>) -> Self {
        let mut columns: Vec<(String, bool)> = Vec::new();
        for stream in streams {
            let (fields, targets) = (&stream.fields, stream.targets.len());
            let values = fields.values.iter().enumerate().map(|(i, source)| (source, i < targets));
            let names = fields.series.iter().chain(&fields.time).map(|source| (source, true));
            for (source, needed) in names.chain(values) {
                let FieldSource::Pointer(path) = source else { continue };
                let Some(name) = path.first() else { continue };
                match columns.iter_mut().find(|(column, _)| column == name) {
                    Some((_, already)) => *already |= needed,
                    None => columns.push((name.clone(), needed)),
                }
            }
        }
        Self { columns }
    }

    /// The places among `found` of the columns that are wanted, in the order of `found`.
    fn places(&self, path: &Path, found: &[String]) -> Result<Vec<usize>, Failure> {
        let missing = |name: &str| !found.iter().any(|f| f == name);
        for (name, needed) in self.columns.iter().filter(|(name, _)| missing(name)) {
            let names = found.iter().map(|f| format!("\"{f}\"")).collect::<Vec<_>>().join(", ");
            let message = format!(
                "{}: there is no column \"{name}\", which the config's fields name; there are {names}",
                path.display()
            );
            if *needed {
                return Err(Failure::new(message));
            }
            eprintln!("tidecast: {message}; it is taken as missing in every row");
        }
        Ok((0..found.len()).filter(|i| self.columns.iter().any(|(name, _)| *name == found[*i])).collect())
    }
}

impl Rows {
    /// Opens a file; its name says what it is: `.parquet`, or a CSV with a header, gzipped when it ends in
    /// `.gz`.
    ///
    /// # Errors
    /// When it can't be read, or lacks a column that is needed.
    pub fn open(path: &Path, wanted: &Wanted) -> Result<Self, Failure> {
        if is_parquet(path) {
            Parquet::open(path, wanted).map(Self::Parquet)
        } else {
            Text::open(path, wanted).map(Self::Text)
        }
    }

    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// When the file can't be read on; the message says where.
    pub fn next(&mut self) -> Result<Option<Row<'_>>, Failure> {
        match self {
            Self::Text(rows) => rows.next(),
            Self::Parquet(rows) => rows.next(),
        }
    }
}

fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("parquet") || e.eq_ignore_ascii_case("pq"))
}

/// Counts the rows of a file, for the progress bar.
pub(super) fn count(path: &Path) -> Result<u64, Failure> {
    if is_parquet(path) { parquet::count(path) } else { text::count(path) }
}

/// Appends `"name":` as JSON, after a comma when it is not the first.
fn put_name(name: &str, json: &mut Vec<u8>) {
    if json.len() > 1 {
        json.push(b',');
    }
    serde_json::to_writer(&mut *json, name).expect("strings are always JSON");
    json.push(b':');
}

#[cfg(test)]
mod tests;
