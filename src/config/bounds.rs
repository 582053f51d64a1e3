use super::section::Section;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// What a stream may take of memory, and what it takes for a producer's fault.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Series that one shard holds; one more takes the place of the one seen the longest ago.
    pub max_series: usize,
    /// How far, in event time, a series may fall behind its partition before it is forgotten.
    pub idle_ttl: Duration,
    /// Readings that one shard holds back for order; one more lets the earliest go.
    pub max_held: usize,
    /// How far a reading's time may lie ahead of its record's own.
    pub max_ahead: Duration,
    /// Bytes of a record's payload.
    pub max_record_bytes: usize,
}

pub(super) fn bounds(s: &mut Section<'_>) -> Bounds {
    Bounds {
        max_series: s.count("max_series", 1_000_000, 1..=100_000_000),
        idle_ttl: s.duration("idle_ttl", 365 * DAY, Duration::from_secs(1)..=36_500 * DAY),
        max_held: s.count("max_held", 1_000_000, 1..=100_000_000),
        max_ahead: s.duration("max_ahead", DAY, Duration::ZERO..=36_500 * DAY),
        max_record_bytes: s.count("max_record_bytes", 1 << 20, 1..=1 << 30),
    }
}
