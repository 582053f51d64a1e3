use super::discards::Discards;
use crate::domain::EventTime;

/// What a run has seen.
#[derive(Default)]
pub(super) struct Tally {
    pub rows: u64,
    pub readings: u64,
    pub discards: Discards,
    /// The first and the newest event time.
    pub span: Option<(EventTime, EventTime)>,
    /// How many rows would be dead letters.
    pub bad: u64,
    /// How many rows go back in time by more than the lateness, and where the first of them is.
    pub back: Option<(u64, u64)>,
}
