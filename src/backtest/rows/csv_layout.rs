//! The layout of a CSV, from the options and from its first lines.

use super::Wanted;
use super::bytes::{self, Lines, failed};
use super::guess::choose;
use super::header::Header;
use super::number::{Decimal, Evidence, evidence};
use super::options::CsvOptions;
use super::reader::{line, reader};
use crate::console::Failure;
use encoding_rs::{Encoding, UTF_8};
use std::cell::Cell;
use std::io::Read;
use std::path::{Path, PathBuf};

/// How many bytes at the beginning of a file are looked at.
const HEAD: u64 = 1 << 20;

/// The layout of a CSV.
pub(in super::super) struct CsvLayout {
    pub path: PathBuf,
    encoding: Option<&'static Encoding>,
    /// Whether the file is converted to UTF-8.
    pub is_transcoded: bool,
    skip: u64,
    pub delimiter: u8,
    comment: Option<u8>,
    /// `None` when numbers are as programs write them.
    pub decimal: Option<Decimal>,
    /// Whether the decimal sign was guessed and not set.
    pub decimal_is_guessed: bool,
    pub names: Vec<String>,
    has_header: bool,
    /// Whether a note about grouped thousands was printed.
    pub noted_groups: Cell<bool>,
}

impl CsvLayout {
    /// Finds the layout of a file, and prints what was guessed.
    ///
    /// # Errors
    /// When the file can't be read, lacks a needed column or has it twice, or can be read in several ways. The
    /// message says what to set.
    pub fn look(path: &Path, options: &CsvOptions, wanted: &Wanted) -> Result<Self, Failure> {
        let mark = bytes::mark(path)?;
        let encoding = mark.or(options.encoding);
        if let (Some(mark), Some(set)) = (mark, options.encoding)
            && mark != set
        {
            eprintln!(
                "tidecast: {}: its byte order mark says {}; --encoding {} is passed over",
                path.display(),
                mark.name(),
                set.name()
            );
        }
        let is_transcoded = encoding.is_some_and(|e| e != UTF_8);
        let head = head(path, encoding)?;
        if head.iter().all(u8::is_ascii_whitespace) {
            return Err(failed(path, &"the file is empty"));
        }
        let zeros = head.iter().filter(|b| **b == 0).count();
        if !is_transcoded && zeros * 4 > head.len() {
            let which = if head[0] == 0 { "utf-16be" } else { "utf-16le" };
            let message = format!("every other byte of the file is 0, as in UTF-16: set --encoding {which}");
            return Err(failed(path, &message));
        }
        let guess = choose(path, &head, options, wanted)?;
        let mut layout = Self {
            path: path.to_owned(),
            encoding,
            is_transcoded,
            skip: guess.skip,
            delimiter: guess.delimiter,
            comment: options.comment,
            decimal: options.decimal,
            decimal_is_guessed: options.decimal.is_none(),
            has_header: options.has_header(),
            names: guess.names.clone(),
            noted_groups: Cell::new(false),
        };
        layout.header().check(wanted, options, &guess.rows)?;
        guess.print(options);
        if options.decimal.is_none() {
            layout.decimal = layout.guess_decimal(wanted, &guess.rows)?;
        }
        Ok(layout)
    }

    fn header(&self) -> Header<'_> {
        let Self { path, names, delimiter, is_transcoded, .. } = self;
        Header { path, names, delimiter: *delimiter, is_transcoded: *is_transcoded }
    }

    /// Opens the file after its header.
    pub fn open(&self) -> Result<csv::Reader<Lines>, Failure> {
        let mut lines = bytes::open(&self.path, self.encoding)?;
        lines.skip(self.skip).map_err(|e| failed(&self.path, &e))?;
        let mut reader = reader(lines, self.delimiter, self.comment);
        if self.has_header {
            self.read(&mut reader, &mut csv::ByteRecord::new())?;
        }
        Ok(reader)
    }

    /// Reads the next row. False at the end.
    ///
    /// # Errors
    /// When the row can't be read, or has a quote that is never closed: all following lines would be one field.
    pub fn read(&self, reader: &mut csv::Reader<Lines>, row: &mut csv::ByteRecord) -> Result<bool, Failure> {
        let is_row = reader.read_byte_record(row).map_err(|e| failed(&self.path, &e))?;
        // Every line ends with `\n`, which ends a row unless it is in quotes.
        if is_row && reader.get_ref().is_over() {
            let line = self.line(reader, row) + 1;
            return Err(failed(
                &self.path,
                &format!(
                    "the row that begins in line {line} has a quote that is never closed, and takes in all up to the \
                     end of the file: close it; a quote that belongs to a text is written twice"
                ),
            ));
        }
        Ok(is_row)
    }

    pub fn line(&self, reader: &csv::Reader<Lines>, row: &csv::ByteRecord) -> u64 {
        line(reader, row, self.skip)
    }

    /// The decimal sign in the first rows; `None` when numbers are as programs write them.
    fn guess_decimal(
        &self,
        wanted: &Wanted,
        rows: &[(u64, csv::ByteRecord)],
    ) -> Result<Option<Decimal>, Failure> {
        let (mut comma, mut point, mut either) = (None, None, None);
        let places = wanted.values(&self.names);
        for (line, row) in rows {
            for text in places.iter().filter_map(|i| std::str::from_utf8(row.get(*i)?).ok()) {
                let seen = evidence(text);
                if seen == Evidence::Is(Decimal::Point) && text.contains(',') {
                    either.get_or_insert((*line, text.trim().to_owned()));
                }
                let seen = match seen {
                    Evidence::Is(Decimal::Comma) => &mut comma,
                    Evidence::Is(Decimal::Point) => &mut point,
                    Evidence::Either => &mut either,
                    Evidence::None => continue,
                };
                seen.get_or_insert((*line, text.trim().to_owned()));
            }
        }
        let failed = |message: String| Err(failed(&self.path, &message));
        match (comma, point, either) {
            (Some((a, comma)), Some((b, point)), _) => failed(format!(
                "\"{comma}\" in line {a} has a decimal comma and \"{point}\" in line {b} a decimal point: set \
                 --decimal, and leave out the columns or rows that have the other sign"
            )),
            (Some((line, text)), None, _) => {
                eprintln!("decimal: ',' (guessed from \"{text}\" in line {line}; set with --decimal)");
                Ok(Some(Decimal::Comma))
            }
            (None, Some((line, text)), Some((_, grouped))) => {
                eprintln!(
                    "decimal: '.' (guessed from \"{text}\" in line {line}, so that \"{grouped}\" has thousands in \
                     groups; set with --decimal)"
                );
                Ok(Some(Decimal::Point))
            }
            (None, None, Some((line, text))) => failed(format!(
                "\"{text}\" in line {line} may have a decimal comma, or thousands in groups: set --decimal ',' or \
                 --decimal '.'"
            )),
            (None, _, None) => Ok(None),
        }
    }
}

fn head(path: &Path, encoding: Option<&'static Encoding>) -> Result<Vec<u8>, Failure> {
    let mut head = Vec::new();
    bytes::open(path, encoding)?.take(HEAD).read_to_end(&mut head).map_err(|e| failed(path, &e))?;
    // The last line may be incomplete.
    if head.len() as u64 == HEAD
        && let Some(end) = head.iter().rposition(|b| *b == b'\n')
    {
        head.truncate(end + 1);
    }
    Ok(head)
}
