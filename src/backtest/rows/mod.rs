//! A table's rows as the records that a sensor would have sent.
//!
//! Each row becomes a JSON object of the columns that the config names. From the decoder on it is treated as a
//! record.

mod bytes;
mod csv_layout;
mod csv_rows;
mod guess;
mod header;
mod number;
mod options;
mod parquet_rows;
mod reader;
mod sorted;

use crate::codec::Record;
use crate::config::{FieldSource, Stream};
use crate::console::Failure;
use crate::domain::{Offset, Partition};
use csv_layout::CsvLayout;
use csv_rows::CsvRows;
pub(crate) use options::CsvOptions;
use parquet_rows::ParquetRows;
pub(super) use sorted::Sorted;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A file whose layout is known.
pub(super) enum Table {
    /// A CSV, plain or gzipped.
    Csv(Rc<CsvLayout>),
    Parquet(PathBuf),
}

/// The rows of a file, in its order.
pub(super) enum Rows {
    Csv(CsvRows),
    Parquet(ParquetRows),
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub(super) struct TableRow<'a> {
    /// Its place in the file, counted from 1: the line of a CSV, or the row of a Parquet file.
    pub number: u64,
    pub json: &'a [u8],
}

impl<'a> TableRow<'a> {
    /// The row as the record of a topic with one partition.
    pub fn record(&self, topic: &'a str, key: &'a str, offset: i64) -> Record<'a> {
        Record {
            topic,
            partition: Partition(0),
            offset: Offset(offset),
            key: Some(key.as_bytes()),
            timestamp: None,
            payload: Some(self.json),
            headers: &(),
        }
    }
}

/// The columns that are read.
pub(super) struct Wanted {
    /// Each column once.
    columns: Vec<Column>,
}

/// A column that the config's fields name.
struct Column {
    name: String,
    /// The pointer that names the column, without its first `/`.
    whole: String,
    /// The file must have it.
    needed: bool,
    /// Whether it holds numbers.
    is_value: bool,
}

impl Wanted {
    /// The columns that the fields of these streams name. Time, series and targets are needed.
    pub fn new<'a>(streams: impl IntoIterator<Item = &'a Stream>) -> Self {
        let mut columns: Vec<Column> = Vec::new();
        for stream in streams {
            let (fields, targets) = (&stream.fields, stream.targets.len());
            let values = fields.values.iter().enumerate().map(|(i, source)| (source, i < targets, true));
            let names = fields.series.iter().chain(&fields.time).map(|source| (source, true, false));
            let filter = fields.filter.iter().map(|(source, _)| (source, true, false));
            let name = fields.name.iter().map(|name| (&name.place, true, false));
            for (source, needed, is_value) in names.chain(values).chain(filter).chain(name) {
                let FieldSource::Pointer(path) = source else { continue };
                let Some(name) = path.first() else { continue };
                match columns.iter_mut().find(|column| column.name == *name) {
                    Some(already) => {
                        already.needed |= needed;
                        already.is_value &= is_value;
                    }
                    None => {
                        let (name, whole) = (name.clone(), path.join("/"));
                        columns.push(Column { name, whole, needed, is_value });
                    }
                }
            }
        }
        Self { columns }
    }

    fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column.name == name)
    }

    /// The columns that are not among `found`.
    fn missing(&self, found: &[String]) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !found.contains(&column.name))
    }

    /// Reports the columns that are not among `found`. `cause` may know why.
    fn check(
        &self,
        path: &Path,
        found: &[String],
        cause: impl Fn(&Column) -> Option<String>,
    ) -> Result<(), Failure> {
        for column in self.missing(found) {
            let names = found.iter().map(|f| format!("\"{f}\"")).collect::<Vec<_>>().join(", ");
            let message = format!(
                "{}: there is no column \"{}\", which the config's fields name; there are {names}",
                path.display(),
                column.name
            );
            if column.needed {
                let cause = cause(column).map_or_else(String::new, |cause| format!(".\n{cause}"));
                return Err(Failure::new(format!("{message}{cause}")));
            }
            eprintln!("tidecast: {message}; it is taken as missing in every row");
        }
        Ok(())
    }

    /// The places among `found` of the columns that are wanted, in the order of `found`.
    fn places(&self, found: &[String]) -> Vec<usize> {
        (0..found.len()).filter(|i| self.has(&found[*i])).collect()
    }

    /// As [`Self::places`], of those that hold numbers.
    fn values(&self, found: &[String]) -> Vec<usize> {
        let is_value = |name: &String| self.columns.iter().any(|c| c.is_value && c.name == *name);
        (0..found.len()).filter(|i| is_value(&found[*i])).collect()
    }
}

impl Table {
    /// Looks at a file; its name says what it is: `.parquet`, or a CSV, gzipped when it ends in `.gz`. What was
    /// guessed is printed.
    ///
    /// # Errors
    /// When it can't be read, or lacks a column that is needed; the message says why as far as is known.
    pub fn look(path: &Path, options: &CsvOptions, wanted: &Wanted) -> Result<Self, Failure> {
        let is_parquet = path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("parquet") || e.eq_ignore_ascii_case("pq"));
        if !is_parquet {
            return CsvLayout::look(path, options, wanted).map(|layout| Self::Csv(Rc::new(layout)));
        }
        if options.is_set() {
            return Err(Failure::new(format!(
                "{} is a Parquet file: the options that say how a CSV is written are not for it",
                path.display()
            )));
        }
        wanted.check(path, &parquet_rows::names(path)?, |_| None)?;
        Ok(Self::Parquet(path.to_owned()))
    }

    /// Its rows, from the first on.
    ///
    /// # Errors
    /// When it can't be read, or has a column of a kind that can't.
    pub fn rows(&self, wanted: &Wanted) -> Result<Rows, Failure> {
        match self {
            Self::Csv(layout) => CsvRows::open(layout, wanted).map(Rows::Csv),
            Self::Parquet(path) => ParquetRows::open(path, wanted).map(Rows::Parquet),
        }
    }

    /// What [`TableRow::number`] counts.
    pub fn row(&self) -> &'static str {
        match self {
            Self::Csv(_) => "line",
            Self::Parquet(_) => "row",
        }
    }

    /// Counts its rows, for the progress bar.
    pub fn count(&self) -> Result<u64, Failure> {
        match self {
            Self::Csv(layout) => csv_rows::count(layout),
            Self::Parquet(path) => parquet_rows::count(path),
        }
    }
}

impl Rows {
    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// When the file can't be read on; the message says where.
    pub fn next(&mut self) -> Result<Option<TableRow<'_>>, Failure> {
        match self {
            Self::Csv(rows) => rows.next(),
            Self::Parquet(rows) => rows.next(),
        }
    }

    /// What is to be told of the rows that were read.
    pub fn notes(&self) -> Vec<String> {
        match self {
            Self::Csv(rows) => rows.notes(),
            Self::Parquet(_) => Vec::new(),
        }
    }
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
