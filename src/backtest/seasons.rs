//! The seasons in the part of a file that is not scored.

use super::rows::{Table, Wanted};
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
    let (mut sample, mut decoder) = (SeasonSample::new(stream), Decoder::of_elements(stream));
    let mut rows = table.rows(&Wanted::new([stream]))?;
    while let Some(row) = rows.next()? {
        // The run reports bad rows.
        let _ = decoder.decode(&row.record("", key, 0), &mut |reading| {
            if stream.reads_series(reading.series) && reading.time < until {
                sample.add(&reading);
            }
        });
        if sample.is_full() {
            break;
        }
    }
    Ok(sample.seasons())
}
