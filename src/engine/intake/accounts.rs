//! What became of a shard's readings, counted, with the first example of each kind.

use crate::domain::EventTime;
use crate::telemetry::{Ahead, Discard, Doubt, Eviction};

/// An example of a target value that was not believed as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Doubted {
    /// The series' name.
    pub series: String,
    /// The target's place among the stream's targets.
    pub target: usize,
    /// The start of the reading's cell.
    pub time: EventTime,
    /// The value as it came.
    pub value: f64,
    /// The value that was forecast, in the target's units; not a number where there was no forecast.
    pub expected: f64,
}

/// An example of a discarded reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discarded {
    /// The series' name.
    pub series: Box<str>,
    /// The reading's time.
    pub time: EventTime,
    /// The offset of its record.
    pub offset: i64,
}

/// A reading whose time is ahead of its partition's time, or one with which a series returns from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RanAhead {
    /// What became of the reading.
    pub what: Ahead,
    /// The series' name.
    pub series: Box<str>,
    /// The reading's time.
    pub time: EventTime,
    /// The time that the partition's series agreed on.
    pub agreed: EventTime,
}

/// What became of a shard's readings since the accounts were last taken. Each reading counts once: as
/// `answered`, `thinned`, `aggregated`, `silent`, discarded, or as held back or waiting for its round.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Accounts {
    /// Readings that were offered.
    pub offered: u64,
    /// Stepped, and answered with a forecast.
    pub answered: u64,
    /// Stepped, and left without a forecast of their own by `emit_every`.
    pub thinned: u64,
    /// Added to a cell that another reading had opened. The cell is answered as a whole.
    pub aggregated: u64,
    /// Stepped or discarded in a replay, because they were accounted for before it.
    pub silent: u64,
    /// By [`Discard`].
    discarded: [u64; Discard::ALL.len()],
    /// Targets of readings that were stepped but not believed as they came, by [`Doubt`].
    doubted: [u64; Doubt::ALL.len()],
    /// The first of each.
    doubts: [Option<Doubted>; Doubt::ALL.len()],
    /// The first of each.
    examples: [Option<Discarded>; Discard::ALL.len()],
    /// Series, by [`Eviction`].
    evicted: [u64; Eviction::ALL.len()],
    /// By [`Ahead`].
    ahead: [u64; Ahead::ALL.len()],
    /// The first of each.
    first_ahead: [Option<RanAhead>; Ahead::ALL.len()],
    /// Readings that were held back, or waited for their round, when the accounts were opened.
    held: u64,
}

impl Accounts {
    /// Empty accounts of a shard with so many readings held back or waiting for their round.
    pub(super) fn opened(held: u64) -> Self {
        Self { held, ..Self::default() }
    }

    /// Counts a discarded reading; allocates only for the first of a reason.
    pub(super) fn discard(&mut self, why: Discard, answer: bool, series: &str, time: EventTime, offset: i64) {
        if answer {
            self.discarded[why as usize] += 1;
            let example = &mut self.examples[why as usize];
            example.get_or_insert_with(|| Discarded { series: series.into(), time, offset });
        } else {
            self.silent += 1;
        }
    }

    /// Counts a reading that was added to an open cell.
    pub(super) fn aggregate(&mut self, answer: bool) {
        if answer {
            self.aggregated += 1;
        } else {
            self.silent += 1;
        }
    }

    /// Counts a target that is not believed as it came; allocates only for the first of its kind.
    pub(super) fn doubt(&mut self, why: Doubt, example: impl FnOnce() -> Doubted) {
        self.doubted[why as usize] += 1;
        self.doubts[why as usize].get_or_insert_with(example);
    }

    /// Counts a reading that is ahead; allocates only for the first of its kind.
    pub(super) fn ahead(&mut self, what: Ahead, series: &str, time: EventTime, agreed: EventTime) {
        self.ahead[what as usize] += 1;
        let first = &mut self.first_ahead[what as usize];
        first.get_or_insert_with(|| RanAhead { what, series: series.into(), time, agreed });
    }

    /// Counts series that were dropped.
    pub(super) fn evict(&mut self, why: Eviction, series: u64) {
        self.evicted[why as usize] += series;
    }

    /// Readings that were discarded for a reason.
    pub fn discarded(&self, why: Discard) -> u64 {
        self.discarded[why as usize]
    }

    /// Targets that were not believed as they came, of a kind.
    pub fn doubted(&self, why: Doubt) -> u64 {
        self.doubted[why as usize]
    }

    /// The first target of a kind that was not believed as it came.
    pub fn doubt_of(&self, why: Doubt) -> Option<&Doubted> {
        self.doubts[why as usize].as_ref()
    }

    /// The first reading that was discarded for a reason.
    pub fn example(&self, why: Discard) -> Option<&Discarded> {
        self.examples[why as usize].as_ref()
    }

    /// Readings that were ahead of their partition's time, by what became of them.
    pub fn was_ahead(&self, what: Ahead) -> u64 {
        self.ahead[what as usize]
    }

    /// The first reading of these.
    pub fn first_ahead(&self, what: Ahead) -> Option<&RanAhead> {
        self.first_ahead[what as usize].as_ref()
    }

    /// Series that were dropped for a reason.
    pub fn evicted(&self, why: Eviction) -> u64 {
        self.evicted[why as usize]
    }

    /// Whether every reading is accounted for once, when so many are held back or wait for their round now.
    pub(super) fn balance(&self, held: u64) -> bool {
        let discarded: u64 = self.discarded.iter().sum();
        let gone = self.answered + self.thinned + self.aggregated + self.silent + discarded;
        self.held + self.offered == gone + held
    }

    /// Takes the accounts and opens new ones.
    pub(super) fn take(&mut self, held: u64) -> Self {
        std::mem::replace(self, Self::opened(held))
    }
}
