//! The first lines of a CSV, and the ways in which they can be read.

use super::bytes::failed;
use super::options::{CsvOptions, named};
use super::reader::{line, reader};
use super::{Wanted, header};
use crate::console::Failure;
use std::io::Cursor;
use std::path::Path;

/// How many rows are looked at.
const ROWS: usize = 200;
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// The first lines, read in one of the possible ways.
pub(super) struct Guess {
    /// Lines before the header.
    pub skip: u64,
    pub delimiter: u8,
    pub names: Vec<String>,
    /// The line and the fields of each row.
    pub rows: Vec<(u64, csv::ByteRecord)>,
    /// Where the header is, is guessed: after this many comments, or in the last of them.
    comments: u64,
    is_comment: bool,
    /// The first line names the delimiter.
    is_named: bool,
}

/// The way of reading the first lines that gives the wanted columns.
pub(super) fn choose(
    path: &Path,
    head: &[u8],
    options: &CsvOptions,
    wanted: &Wanted,
) -> Result<Guess, Failure> {
    let lines = || head.split_inclusive(|b| *b == b'\n');
    let is_comment = |line: &&[u8]| line.first() == Some(&b'#');
    let given = lines().nth(options.skip_lines as usize).and_then(named_delimiter);
    let before = options.skip_lines + u64::from(given.is_some());
    let comments = match options.comment {
        Some(_) => 0,
        None => lines().skip(before as usize).take_while(is_comment).count() as u64,
    };
    // The header follows the comments, or is the last of them, with or without its mark.
    let mut starts = vec![(before + comments, false)];
    if comments > 0 && options.has_header() {
        starts.extend([false, true].map(|bare| (before + comments - 1, bare)));
    }
    let delimiters = options.delimiter.or(given).map_or(DELIMITERS.to_vec(), |one| vec![one]);
    let mut guesses = Vec::new();
    for (skip, is_bare) in starts {
        let from: usize = lines().take(skip as usize).map(<[u8]>::len).sum();
        for delimiter in &delimiters {
            let mut guess = guess(path, &head[from..], skip, *delimiter, is_bare, options, wanted)?;
            (guess.comments, guess.is_named) = (skip - before, given.is_some());
            guesses.push(guess);
        }
        let (fitting, others): (Vec<_>, Vec<_>) =
            guesses.into_iter().partition(|guess| guess.fits(options, wanted));
        guesses = others;
        let mut fitting = fitting.into_iter();
        match (fitting.next(), fitting.next()) {
            (Some(guess), None) => return Ok(guess),
            // There is one column, and no delimiter in it.
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
    // None fits. The one with the most columns serves to say what is missing.
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
    options: &CsvOptions,
    wanted: &Wanted,
) -> Result<Guess, Failure> {
    let mut reader = reader(Cursor::new(head), delimiter, options.comment);
    let (mut rows, mut row) = (Vec::new(), csv::ByteRecord::new());
    while rows.len() <= ROWS && reader.read_byte_record(&mut row).map_err(|e| failed(path, &e))? {
        rows.push((line(&reader, &row, skip), row.clone()));
    }
    let names = if options.has_header() {
        let header = if rows.is_empty() { csv::ByteRecord::new() } else { rows.remove(0).1 };
        header.iter().enumerate().map(|(i, cell)| header::name(cell, is_bare && i == 0, wanted)).collect()
    } else if options.columns.is_empty() {
        let most = rows.iter().map(|(_, row)| row.len()).max().unwrap_or(0);
        (1..=most).map(|i| format!("c{i}")).collect()
    } else {
        options.columns.iter().map(|name| name.trim().to_owned()).collect()
    };
    Ok(Guess { skip, delimiter, names, is_comment: is_bare, rows, comments: 0, is_named: false })
}

/// The delimiter in a line like `sep=;`, which spreadsheets write before the header.
fn named_delimiter(line: &[u8]) -> Option<u8> {
    match line.trim_ascii_end() {
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', delimiter] => Some(*delimiter),
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'='] if line.contains(&b'\t') => Some(b'\t'),
        _ => None,
    }
}

impl Guess {
    /// Whether it gives the needed columns. Without a header, nearly all rows must have as many fields, too.
    fn fits(&self, options: &CsvOptions, wanted: &Wanted) -> bool {
        let has_all = wanted.missing(&self.names).all(|column| !column.needed);
        let right = self.rows.iter().filter(|(_, row)| row.len() == self.names.len()).count();
        has_all && (options.has_header() || right * 10 >= self.rows.len() * 9)
    }

    /// Prints to standard error what was guessed.
    pub fn print(&self, options: &CsvOptions) {
        let delimiter = named(self.delimiter);
        if self.is_named {
            eprintln!("delimiter: {delimiter} (line {} says so)", options.skip_lines + 1);
        } else if options.delimiter.is_none() && self.delimiter != b',' {
            eprintln!("delimiter: {delimiter} (guessed; set with --delimiter)");
        }
        if self.comments > 0 {
            eprintln!(
                "{} line(s) before the header begin with '#' and are left out (guessed; set with --comment or \
                 --skip-lines)",
                self.comments
            );
        }
        if self.is_comment {
            eprintln!("header: line {}, which begins with '#' (guessed)", self.skip + 1);
        }
    }
}
