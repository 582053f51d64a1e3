//! The names of a CSV's columns, and what is wrong with them.

use super::bytes::failed;
use super::options::{CsvOptions, named};
use super::{Column, Wanted};
use crate::console::Failure;
use std::path::Path;

/// The column name in a cell of the header. Spaces around it are dropped, unless the config names the column with
/// them. Bytes that are not UTF-8 become U+FFFD.
pub(super) fn name(cell: &[u8], is_bare: bool, wanted: &Wanted) -> String {
    let text = String::from_utf8_lossy(cell);
    let text = if is_bare { text.trim_start_matches('#') } else { &text };
    if wanted.has(text) { text.to_owned() } else { text.trim().to_owned() }
}

/// The header of a CSV, and how it was read.
pub(super) struct Header<'a> {
    pub path: &'a Path,
    pub names: &'a [String],
    pub delimiter: u8,
    /// Whether the file was converted to UTF-8.
    pub is_transcoded: bool,
}

impl Header<'_> {
    /// Checks that no needed column is absent, and that no column that is read is there twice.
    pub fn check(
        &self,
        wanted: &Wanted,
        options: &CsvOptions,
        rows: &[(u64, csv::ByteRecord)],
    ) -> Result<(), Failure> {
        let names = self.names;
        wanted.check(self.path, names, |column| self.cause(wanted, options, rows, column))?;
        for (i, name) in names.iter().enumerate().filter(|(_, name)| wanted.has(name)) {
            if let Some(again) = names[i + 1..].iter().position(|other| other == name) {
                let (first, second) = (i + 1, i + again + 2);
                return Err(failed(
                    self.path,
                    &format!(
                        "the columns {first} and {second} are both called \"{name}\", which the config's fields name: \
                     rename one of them, or name all with --skip-lines 1 --columns …"
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Why a needed column is absent, as far as the file shows.
    fn cause(
        &self,
        wanted: &Wanted,
        options: &CsvOptions,
        rows: &[(u64, csv::ByteRecord)],
        column: &Column,
    ) -> Option<String> {
        let names = self.names;
        if !options.has_header() {
            let width = rows.first().map_or(0, |(_, row)| row.len());
            return Some(format!(
                "the first row has {width} field(s) apart by {}: set --columns, or --delimiter if it is another one",
                named(self.delimiter)
            ));
        }
        if let [one] = names
            && let Some(other) = [b';', b'\t', b'|', b',']
                .into_iter()
                .find(|d| *d != self.delimiter && one.contains(char::from(*d)))
        {
            let (other, option) =
                (named(other), if other == b'\t' { "tab".to_owned() } else { named(other) });
            return Some(format!(
                "the header looks like one column with {other} in it: set --delimiter {option}"
            ));
        }
        if names.len() > 1 && names.iter().any(|name| is_data(name)) {
            return Some(
            "the first line looks like a row and not like a header: set --no-header (the columns are then c1, c2, \
             …) or --columns with their names"
                .to_owned(),
        );
        }
        if names.contains(&column.whole) {
            let written = escaped(&column.whole);
            return Some(format!(
                "in a pointer a / inside a name is written ~1: \"/{written}\" names the column \"{}\"",
                column.whole
            ));
        }
        let loosely = |name: &&String| name.eq_ignore_ascii_case(&column.name);
        if let Some(near) = names.iter().find(loosely) {
            return Some(format!("did you mean \"{near}\"? Small and capital letters differ"));
        }
        if names.iter().any(|name| name.contains('\u{fffd}')) {
            return Some(if self.is_transcoded {
                "the header has bytes that are not of this encoding: set another --encoding".to_owned()
            } else {
                "the header has bytes that are not UTF-8: set --encoding, latin1 for example".to_owned()
            });
        }
        let width = rows.iter().map(|(_, row)| row.len()).max().unwrap_or(0);
        if width > names.len() {
            return Some(format!(
                "the first line has {} field(s), the rows below have {width}: set --skip-lines if the header comes later",
                names.len()
            ));
        }
        let free = names.iter().rev().find(|name| column.is_value && !wanted.has(name))?;
        Some(format!(
            "a value whose column has another name is named in the config: fields.values = {{ {} = \"/{}\" }}, for example",
            column.name,
            escaped(free)
        ))
    }
}

/// A name, escaped for a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Whether a cell looks like a number or a time.
fn is_data(cell: &str) -> bool {
    let cell = cell.trim();
    let is_number = cell.replace(',', ".").parse::<f64>().is_ok_and(f64::is_finite);
    let is_time = cell.len() >= 8
        && cell.bytes().filter(u8::is_ascii_digit).count() >= 6
        && cell.bytes().all(|b| b.is_ascii_digit() || b" -/:.+TZ".contains(&b));
    is_number || is_time
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_data_are_no_names() {
        for cell in ["10.0", "-3", "10,5", "2026-01-01T00:00:00Z", "01.02.2026 10:15", "1767225600"] {
            assert!(is_data(cell), "{cell}");
        }
        for cell in ["temp", "kw_15", "T1", "2m temperature", "", "nan", "NaN", "a"] {
            assert!(!is_data(cell), "{cell}");
        }
    }
}
