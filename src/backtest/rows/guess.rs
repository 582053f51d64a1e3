//! The first lines of a CSV, and the ways in which they can be read.

use super::bytes::failed;
use super::options::{CsvOptions, named};
use super::reader::{line, reader};
use super::{Wanted, header};
use crate::console::Failure;
use std::io::Cursor;
use std::path::Path;

/// Rows that are looked at.
const ROWS: usize = 200;
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// The first lines, read in one of the ways that are possible.
pub(super) struct Guess {
    /// Lines before the header.
    pub skip: u64,
    pub delimiter: u8,
    pub names: Vec<String>,
    /// Line and fields.
    pub rows: Vec<(u64, csv::ByteRecord)>,
    /// Where the header stands is guessed: behind so many comments, or in the last of them.
    comments: u64,
    is_comment: bool,
    /// The first line says the delimiter.
    is_told: bool,
}

/// The way in which the first lines give the columns that are wanted.
pub(super) fn choose(path: &Path, head: &[u8], form: &CsvOptions, wanted: &Wanted) -> Result<Guess, Failure> {
    let lines = || head.split_inclusive(|b| *b == b'\n');
    let is_comment = |line: &&[u8]| line.first() == Some(&b'#');
    let told = lines().nth(form.skip_lines as usize).and_then(told_delimiter);
    let before = form.skip_lines + u64::from(told.is_some());
    let comments = match form.comment {
        Some(_) => 0,
        None => lines().skip(before as usize).take_while(is_comment).count() as u64,
    };
    // Behind the comments; or the last of them is the header, as it stands or without its mark.
    let mut starts = vec![(before + comments, false)];
    if comments > 0 && form.has_header() {
        starts.extend([false, true].map(|bare| (before + comments - 1, bare)));
    }
    let delimiters = form.delimiter.or(told).map_or(DELIMITERS.to_vec(), |one| vec![one]);
    let mut guesses = Vec::new();
    for (skip, is_bare) in starts {
        let from: usize = lines().take(skip as usize).map(<[u8]>::len).sum();
        for delimiter in &delimiters {
            let mut guess = guess(path, &head[from..], skip, *delimiter, is_bare, form, wanted)?;
            (guess.comments, guess.is_told) = (skip - before, told.is_some());
            guesses.push(guess);
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
    form: &CsvOptions,
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
    Ok(Guess { skip, delimiter, names, is_comment: is_bare, rows, comments: 0, is_told: false })
}

/// The delimiter that a line says which spreadsheets put before the header: `sep=;`.
fn told_delimiter(line: &[u8]) -> Option<u8> {
    match line.trim_ascii_end() {
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', delimiter] => Some(*delimiter),
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'='] if line.contains(&b'\t') => Some(b'\t'),
        _ => None,
    }
}

impl Guess {
    /// Whether it gives the columns that are needed; without a header also whether nearly all rows have one
    /// number of fields.
    fn fits(&self, form: &CsvOptions, wanted: &Wanted) -> bool {
        let has_all = wanted.missing(&self.names).all(|column| !column.needed);
        let right = self.rows.iter().filter(|(_, row)| row.len() == self.names.len()).count();
        has_all && (form.has_header() || right * 10 >= self.rows.len() * 9)
    }

    /// Tells on standard error what was guessed.
    pub fn tell(&self, form: &CsvOptions) {
        let delimiter = named(self.delimiter);
        if self.is_told {
            eprintln!("delimiter: {delimiter} (line {} says so)", form.skip_lines + 1);
        } else if form.delimiter.is_none() && self.delimiter != b',' {
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
