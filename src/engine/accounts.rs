use crate::domain::EventTime;
use crate::telemetry::{Ahead, Discard, Doubt, Eviction};

/// A reading that was not taken as it came, as an example of its kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Doubted {
    pub series: String,
    /// Its place among the stream's targets.
    pub target: usize,
    pub time: EventTime,
    pub value: f64,
    /// What was forecast of it.
    pub expected: f64,
}

/// A reading that was discarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discarded {
    pub series: Box<str>,
    pub time: EventTime,
    pub offset: i64,
}

/// A reading whose time was ahead of its partition's, or one with which a series came back from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RanAhead {
    pub what: Ahead,
    pub series: Box<str>,
    pub time: EventTime,
    /// What the partition's series agreed on.
    pub agreed: EventTime,
}

/// What became of a shard's readings since this was last taken: each stands once among `answered`,
/// `thinned`, `aggregated`, `silent`, `discarded` and those that are held.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Accounts {
    pub offered: u64,
    pub answered: u64,
    /// Stepped, and left without a forecast of its own by `emit_every`.
    pub thinned: u64,
    /// Gone into a cell that another one had opened, which is answered as a whole.
    pub aggregated: u64,
    /// Stepped or discarded in a replay: they were accounted for before.
    pub silent: u64,
    /// By [`Discard`].
    discarded: [u64; Discard::ALL.len()],
    /// Targets of readings that were stepped, by [`Doubt`].
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
    /// Readings that were held back when the accounts were opened.
    held: u64,
}

impl Accounts {
    /// Accounts of a shard that holds `held` readings back.
    pub(super) fn opened(held: u64) -> Self {
        Self { held, ..Self::default() }
    }

    /// Nothing is allocated but for the first of a reason.
    pub(super) fn discard(&mut self, why: Discard, answer: bool, series: &str, time: EventTime, offset: i64) {
        if answer {
            self.discarded[why as usize] += 1;
            let example = &mut self.examples[why as usize];
            example.get_or_insert_with(|| Discarded { series: series.into(), time, offset });
        } else {
            self.silent += 1;
        }
    }

    pub(super) fn aggregate(&mut self, answer: bool) {
        if answer {
            self.aggregated += 1;
        } else {
            self.silent += 1;
        }
    }

    /// Nothing is allocated but for the first of its kind.
    pub(super) fn doubt(&mut self, why: Doubt, example: impl FnOnce() -> Doubted) {
        self.doubted[why as usize] += 1;
        self.doubts[why as usize].get_or_insert_with(example);
    }

    pub(super) fn ahead(&mut self, what: Ahead, series: &str, time: EventTime, agreed: EventTime) {
        self.ahead[what as usize] += 1;
        let first = &mut self.first_ahead[what as usize];
        first.get_or_insert_with(|| RanAhead { what, series: series.into(), time, agreed });
    }

    pub(super) fn evict(&mut self, why: Eviction, series: u64) {
        self.evicted[why as usize] += series;
    }

    pub fn discarded(&self, why: Discard) -> u64 {
        self.discarded[why as usize]
    }

    pub fn doubted(&self, why: Doubt) -> u64 {
        self.doubted[why as usize]
    }

    /// The first target that was not taken as it came, of a kind.
    pub fn doubt_of(&self, why: Doubt) -> Option<&Doubted> {
        self.doubts[why as usize].as_ref()
    }

    /// The first reading that was discarded for this reason.
    pub fn example(&self, why: Discard) -> Option<&Discarded> {
        self.examples[why as usize].as_ref()
    }

    pub fn was_ahead(&self, what: Ahead) -> u64 {
        self.ahead[what as usize]
    }

    /// The first reading of which this became.
    pub fn first_ahead(&self, what: Ahead) -> Option<&RanAhead> {
        self.first_ahead[what as usize].as_ref()
    }

    pub fn evicted(&self, why: Eviction) -> u64 {
        self.evicted[why as usize]
    }

    /// Whether every reading is accounted for once, with `held` of them held back now.
    pub(super) fn balance(&self, held: u64) -> bool {
        let discarded: u64 = self.discarded.iter().sum();
        let gone = self.answered + self.thinned + self.aggregated + self.silent + discarded;
        self.held + self.offered == gone + held
    }

    pub(super) fn take(&mut self, held: u64) -> Self {
        std::mem::replace(self, Self::opened(held))
    }
}
