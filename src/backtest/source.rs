use super::rows::{Rows, Sorted, Table, TableRow, Wanted};
use crate::codec::Decoder;
use crate::config::Stream;
use crate::console::Failure;
use std::sync::Arc;

/// The rows, in the order in which they are replayed.
pub(super) enum Source {
    AsTheyStand(Rows),
    Sorted(Sorted),
}

impl Source {
    /// Opens a file for these streams.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn open(is_sorted: bool, table: &Table, streams: &[Arc<Stream>]) -> Result<Self, Failure> {
        let mut rows = table.rows(&Wanted::new(streams.iter().map(|stream| &**stream)))?;
        if !is_sorted {
            return Ok(Self::AsTheyStand(rows));
        }
        let mut decoder = Decoder::of_elements(&streams[0]);
        let time = |row: &TableRow<'_>| {
            let mut time = None;
            // The run reports bad rows.
            let _ = decoder.decode(&row.record("", "key", 0), &mut |reading| time = Some(reading.time));
            time
        };
        Ok(Self::Sorted(Sorted::new(&mut rows, time)?))
    }

    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// When the file can't be read on.
    pub fn next(&mut self) -> Result<Option<TableRow<'_>>, Failure> {
        match self {
            Self::AsTheyStand(rows) => rows.next(),
            Self::Sorted(rows) => Ok(rows.next()),
        }
    }

    /// What is to be told of the rows that were read.
    pub fn notes(&self) -> Vec<String> {
        match self {
            Self::AsTheyStand(rows) => rows.notes(),
            Self::Sorted(rows) => rows.notes(),
        }
    }
}
