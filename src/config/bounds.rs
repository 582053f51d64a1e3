use super::key::{Key, Preset};
use super::kinds::{Span, Whole, span, whole};
use super::section::Section;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);
const DAYS_36500: Duration = Duration::from_secs(36_500 * 86_400);

/// How much memory a stream may take, and how far wrong a producer may be.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// The most series that one shard holds; one more replaces the one seen the longest ago.
    pub max_series: usize,
    /// How far, in event time, a series may fall behind its partition before it is forgotten.
    pub idle_ttl: Duration,
    /// The most readings that one shard holds back to put them in order; one more releases the earliest.
    pub max_held: usize,
    /// How far a reading's time may lie ahead of its record's own.
    pub max_ahead: Duration,
    /// The most bytes of a record's payload.
    pub max_record_bytes: usize,
}

pub(super) static MAX_SERIES: Key<Whole> = whole(
    "max_series",
    Preset::Is(1_000_000),
    1..=100_000_000,
    "The most series that one partition holds; one more replaces the one seen the longest ago.",
);
pub(super) static IDLE_TTL: Key<Span> = span(
    "idle_ttl",
    Preset::Is(Duration::from_secs(365 * 86_400)),
    Duration::from_secs(1)..=DAYS_36500,
    "The event time after which a silent series is forgotten.",
);
pub(super) static MAX_HELD: Key<Whole> = whole(
    "max_held",
    Preset::Is(1_000_000),
    1..=100_000_000,
    "The most readings that one partition holds back for `lateness`; one more releases the earliest.",
);
pub(super) static MAX_AHEAD: Key<Span> = span(
    "max_ahead",
    Preset::Is(DAY),
    Duration::ZERO..=DAYS_36500,
    "How far a reading's time may lie ahead of its record's own; a reading further ahead is a dead letter, and \
     one further behind is not waited for.",
);
pub(super) static MAX_RECORD_BYTES: Key<Whole> = whole(
    "max_record_bytes",
    Preset::Is(1 << 20),
    1..=1 << 30,
    "The largest payload of a record, in bytes; a larger one is a dead letter.",
);

pub(super) fn bounds(s: &mut Section<'_>) -> Bounds {
    Bounds {
        max_series: s.count(&MAX_SERIES),
        idle_ttl: s.duration(&IDLE_TTL),
        max_held: s.count(&MAX_HELD),
        max_ahead: s.duration(&MAX_AHEAD),
        max_record_bytes: s.count(&MAX_RECORD_BYTES),
    }
}
