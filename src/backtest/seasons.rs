//! The seasons that a file shows before its forecasts are scored.

use super::rows::{Table, Wanted};
use super::run::record;
use crate::codec::Decoder;
use crate::config::Stream;
use crate::console::Failure;
use crate::domain::EventTime;
use crate::series::SeasonSample;

/// Looks at the readings before `until`; `None` when they are too few to tell.
pub(super) fn find(
    table: &Table,
    key: &str,
    stream: &Stream,
    until: EventTime,
) -> Result<Option<Vec<usize>>, Failure> {
    let (mut sample, mut decoder) = (SeasonSample::new(stream), Decoder::new(stream));
    let mut rows = table.rows(&Wanted::new([stream]))?;
    while let Some(row) = rows.next()? {
        // What is bad is told of when it is read again.
        let _ = decoder.decode(&record("", key.as_bytes(), 0, row.json), &mut |reading| {
            if stream.selects(reading.series) && reading.time < until {
                sample.add(&reading);
            }
        });
        if sample.is_full() {
            break;
        }
    }
    Ok(sample.seasons())
}
