//! Reads a CSV row by row, and counts its lines.

use std::io::Read;

/// A reader of rows of any length, none of which is a header.
pub(super) fn reader<R: Read>(from: R, delimiter: u8, comment: Option<u8>) -> csv::Reader<R> {
    let mut builder = csv::ReaderBuilder::new();
    builder.has_headers(false).flexible(true).delimiter(delimiter).comment(comment).from_reader(from)
}

/// The line on which the last row begins, when every line ends with `\n`. The row's own position is no help: it
/// is where the row before it ended.
pub(super) fn line<R: Read>(reader: &csv::Reader<R>, row: &csv::ByteRecord, skipped: u64) -> u64 {
    let inside = row.as_slice().iter().filter(|b| **b == b'\n').count() as u64;
    (skipped + reader.position().line()).saturating_sub(1 + inside)
}
