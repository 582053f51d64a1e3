//! How a CSV is laid out: what its options say, and what its first lines show.

use super::bytes::{self, Lines, failed};
use super::form::{Form, named};
use super::number::{Decimal, Evidence, evidence};
use super::{Wanted, header};
use crate::cli::Failure;
use encoding_rs::{Encoding, UTF_8};
use std::cell::Cell;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

/// Bytes at the beginning of a file by which it is judged.
const HEAD: u64 = 1 << 20;
/// Rows of these that are looked at.
const ROWS: usize = 200;
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// All that has to be known to read a CSV.
pub(in super::super) struct Layout {
    pub path: PathBuf,
    encoding: Option<&'static Encoding>,
    /// Whether its bytes are turned into UTF-8, and are not UTF-8 as they stand.
    pub is_transcoded: bool,
    skip: u64,
    pub delimiter: u8,
    comment: Option<u8>,
    /// `None`: numbers stand as programs write them.
    pub decimal: Option<Decimal>,
    /// Whether the decimal sign was seen and not said.
    pub decimal_is_guessed: bool,
    pub names: Vec<String>,
    has_header: bool,
    /// Whether it was told that thousands stand in groups.
    pub told_groups: Cell<bool>,
}

/// The first lines, read in one of the ways that are possible.
struct Guess {
    skip: u64,
    delimiter: u8,
    names: Vec<String>,
    /// The header without its mark of a comment.
    is_comment: bool,
    /// Line and fields.
    rows: Vec<(u64, csv::ByteRecord)>,
}

pub(super) fn reader<R: Read>(from: R, delimiter: u8, comment: Option<u8>) -> csv::Reader<R> {
    let mut builder = csv::ReaderBuilder::new();
    builder.has_headers(false).flexible(true).delimiter(delimiter).comment(comment).from_reader(from)
}

/// The line on which the row begins that was read last, when every line ends with `\n`. Not that of its position,
/// which is where the one before it has ended.
pub(super) fn line<R: Read>(reader: &csv::Reader<R>, row: &csv::ByteRecord, skipped: u64) -> u64 {
    let inside = row.as_slice().iter().filter(|b| **b == b'\n').count() as u64;
    (skipped + reader.position().line()).saturating_sub(1 + inside)
}

impl Layout {
    /// Finds out how a file is laid out, and tells what was guessed.
    ///
    /// # Errors
    /// When it can't be read, lacks a column that is needed or has it twice, or can be read in several ways:
    /// the message says what to set.
    pub fn look(path: &Path, form: &Form, wanted: &Wanted) -> Result<Self, Failure> {
        let mark = bytes::mark(path)?;
        let encoding = mark.or(form.encoding);
        if let (Some(mark), Some(said)) = (mark, form.encoding)
            && mark != said
        {
            eprintln!(
                "tidecast: {}: its byte order mark says {}; --encoding {} is passed over",
                path.display(),
                mark.name(),
                said.name()
            );
        }
        let is_transcoded = encoding.is_some_and(|e| e != UTF_8);
        let head = head(path, encoding)?;
        if head.iter().all(u8::is_ascii_whitespace) {
            return Err(failed(path, &"the file is empty"));
        }
        if !is_transcoded && head.contains(&0) {
            let which = if head[0] == 0 { "utf-16be" } else { "utf-16le" };
            return Err(failed(
                path,
                &format!("the file has bytes that are 0, as UTF-16 has: set --encoding {which}"),
            ));
        }
        let guess = choose(path, &head, form, wanted)?;
        let mut layout = Self {
            path: path.to_owned(),
            encoding,
            is_transcoded,
            skip: guess.skip,
            delimiter: guess.delimiter,
            comment: form.comment,
            decimal: form.decimal,
            decimal_is_guessed: form.decimal.is_none(),
            has_header: form.has_header(),
            names: guess.names.clone(),
            told_groups: Cell::new(false),
        };
        header::check(&layout, wanted, form, &guess.rows)?;
        if form.delimiter.is_none() && guess.delimiter != b',' {
            eprintln!("delimiter: {} (guessed; set with --delimiter)", named(guess.delimiter));
        }
        match guess.skip - form.skip_lines {
            0 if guess.is_comment => {}
            0 => {}
            n => eprintln!(
                "{n} line(s) before the header begin with '#' and are left out (guessed; set with --comment or \
                 --skip-lines)"
            ),
        }
        if guess.is_comment {
            eprintln!("header: line {}, which begins with '#' (guessed)", guess.skip + 1);
        }
        if form.decimal.is_none() {
            layout.decimal = layout.guess_decimal(wanted, &guess.rows)?;
        }
        Ok(layout)
    }

    /// Opens the file behind its header.
    pub fn open(&self) -> Result<csv::Reader<Lines>, Failure> {
        let mut lines = bytes::open(&self.path, self.encoding)?;
        lines.skip(self.skip).map_err(|e| failed(&self.path, &e))?;
        let mut reader = reader(lines, self.delimiter, self.comment);
        if self.has_header {
            reader.read_byte_record(&mut csv::ByteRecord::new()).map_err(|e| failed(&self.path, &e))?;
        }
        Ok(reader)
    }

    pub fn line(&self, reader: &csv::Reader<Lines>, row: &csv::ByteRecord) -> u64 {
        line(reader, row, self.skip)
    }

    /// The decimal sign, where the first rows have one that programs do not write.
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
    // The last line may be cut.
    if head.len() as u64 == HEAD
        && let Some(end) = head.iter().rposition(|b| *b == b'\n')
    {
        head.truncate(end + 1);
    }
    Ok(head)
}

/// The way in which the first lines give the columns that are wanted.
fn choose(path: &Path, head: &[u8], form: &Form, wanted: &Wanted) -> Result<Guess, Failure> {
    let lines = || head.split_inclusive(|b| *b == b'\n');
    let is_comment = |line: &&[u8]| line.first() == Some(&b'#');
    let comments = match form.comment {
        Some(_) => 0,
        None => lines().skip(form.skip_lines as usize).take_while(is_comment).count() as u64,
    };
    // Behind the comments; or the last of them is the header, as it stands or without its mark.
    let mut starts = vec![(form.skip_lines + comments, false)];
    if comments > 0 && form.has_header() {
        starts.extend([false, true].map(|bare| (form.skip_lines + comments - 1, bare)));
    }
    let delimiters = form.delimiter.map_or(DELIMITERS.to_vec(), |one| vec![one]);
    let mut guesses = Vec::new();
    for (skip, is_bare) in starts {
        let from: usize = lines().take(skip as usize).map(<[u8]>::len).sum();
        for delimiter in &delimiters {
            guesses.push(guess(path, &head[from..], skip, *delimiter, is_bare, form, wanted)?);
        }
        let (fitting, others): (Vec<_>, Vec<_>) =
            guesses.into_iter().partition(|guess| guess.fits(form, wanted));
        guesses = others;
        let mut fitting = fitting.into_iter();
        match (fitting.next(), fitting.next()) {
            (Some(guess), None) => return Ok(guess),
            // One column, in which no delimiter stands.
            (Some(guess), Some(other)) if guess.names == other.names => return Ok(guess),
            (Some(guess), Some(other)) => {
                return Err(failed(
                    path,
                    &format!(
                        "the fields may be apart by {} or by {}: set --delimiter",
                        named(guess.delimiter),
                        named(other.delimiter)
                    ),
                ));
            }
            (None, _) => {}
        }
    }
    // None fits: that which makes the most of the first line, to say what it lacks.
    let first = guesses.iter().map(|guess| guess.skip).max();
    let most = guesses.into_iter().filter(|guess| Some(guess.skip) == first).rev();
    Ok(most.max_by_key(|guess| guess.names.len()).expect("there is at least one delimiter"))
}

fn guess(
    path: &Path,
    head: &[u8],
    skip: u64,
    delimiter: u8,
    is_bare: bool,
    form: &Form,
    wanted: &Wanted,
) -> Result<Guess, Failure> {
    let mut reader = reader(Cursor::new(head), delimiter, form.comment);
    let (mut rows, mut row) = (Vec::new(), csv::ByteRecord::new());
    while rows.len() <= ROWS && reader.read_byte_record(&mut row).map_err(|e| failed(path, &e))? {
        rows.push((line(&reader, &row, skip), row.clone()));
    }
    let names = if form.has_header() {
        let header = if rows.is_empty() { csv::ByteRecord::new() } else { rows.remove(0).1 };
        header.iter().enumerate().map(|(i, cell)| header::name(cell, is_bare && i == 0, wanted)).collect()
    } else if form.columns.is_empty() {
        let most = rows.iter().map(|(_, row)| row.len()).max().unwrap_or(0);
        (1..=most).map(|i| format!("c{i}")).collect()
    } else {
        form.columns.iter().map(|name| name.trim().to_owned()).collect()
    };
    Ok(Guess { skip, delimiter, names, is_comment: is_bare, rows })
}

impl Guess {
    /// Whether it gives the columns that are needed; without a header also whether all rows have one
    /// number of fields.
    fn fits(&self, form: &Form, wanted: &Wanted) -> bool {
        let has_all = wanted.missing(&self.names).all(|column| !column.needed);
        let width = if form.columns.is_empty() { self.names.len() } else { form.columns.len() };
        has_all && (form.has_header() || self.rows.iter().all(|(_, row)| row.len() == width))
    }
}
