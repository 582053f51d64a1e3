use crate::domain::EventTime;
use crate::telemetry::{Ahead, Discard, Eviction};

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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// Series, by [`Eviction`].
    evicted: [u64; Eviction::ALL.len()],
    /// By [`Ahead`].
    ahead: [u64; Ahead::ALL.len()],
    /// The first of those.
    first_ahead: Option<RanAhead>,
    /// Readings that were held back when the accounts were opened.
    held: u64,
}

impl Accounts {
    /// Accounts of a shard that holds `held` readings back.
    pub(super) fn opened(held: u64) -> Self {
        Self { held, ..Self::default() }
    }

    pub(super) fn discard(&mut self, why: Discard, answer: bool) {
        if answer {
            self.discarded[why as usize] += 1;
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

    pub(super) fn ahead(&mut self, what: Ahead, series: &str, time: EventTime, agreed: EventTime) {
        self.ahead[what as usize] += 1;
        self.first_ahead.get_or_insert_with(|| RanAhead { what, series: series.into(), time, agreed });
    }

    pub(super) fn evict(&mut self, why: Eviction, series: u64) {
        self.evicted[why as usize] += series;
    }

    pub fn discarded(&self, why: Discard) -> u64 {
        self.discarded[why as usize]
    }

    pub fn was_ahead(&self, what: Ahead) -> u64 {
        self.ahead[what as usize]
    }

    pub fn first_ahead(&self) -> Option<&RanAhead> {
        self.first_ahead.as_ref()
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
