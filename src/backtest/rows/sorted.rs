use super::{Rows, TableRow};
use crate::console::Failure;
use crate::domain::EventTime;
use std::ops::Range;

/// Rows that were put in the order of time: all of them, in memory.
#[derive(Default)]
pub(in super::super) struct Sorted {
    bytes: Vec<u8>,
    rows: Vec<(EventTime, u64, Range<usize>)>,
    next: usize,
    notes: Vec<String>,
}

impl Sorted {
    /// Reads all rows and sorts them by their time, those of one time as they stood. `time` reads a row's; a
    /// row that has none stays behind the one before it.
    pub fn new(
        rows: &mut Rows,
        mut time: impl FnMut(&TableRow<'_>) -> Option<EventTime>,
    ) -> Result<Self, Failure> {
        let (mut sorted, mut last) = (Self::default(), EventTime::MIN);
        while let Some(row) = rows.next()? {
            last = time(&row).unwrap_or(last);
            let start = sorted.bytes.len();
            sorted.bytes.extend_from_slice(row.json);
            sorted.rows.push((last, row.number, start..sorted.bytes.len()));
        }
        sorted.notes = rows.notes();
        sorted.rows.sort_by_key(|(time, ..)| *time);
        Ok(sorted)
    }

    pub fn next(&mut self) -> Option<TableRow<'_>> {
        let (_, number, range) = self.rows.get(self.next)?;
        self.next += 1;
        Some(TableRow { number: *number, json: &self.bytes[range.clone()] })
    }

    /// Warnings about the rows that were read.
    pub fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}
