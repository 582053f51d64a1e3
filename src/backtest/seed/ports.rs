//! The ports of a worker that takes a history in.

use super::super::audience::Audience;
use super::super::known_ahead::KnownAhead;
use super::super::learner::Learner;
use super::super::ports::{FileBroker, FreshShards, NoSnapshots, Shared, StoppedClock};
use crate::codec::{BadRecord, MissingValues, Record};
use crate::domain::Reading;
use crate::engine::{Accounts, Emitted, Offered, Shard};
use crate::telemetry::Discard;
use crate::worker::ports::{Ports, ReadingInterceptor};

/// The ports of a worker that takes a history in.
pub(super) enum SeedPorts {}

impl Ports for SeedPorts {
    type Broker = FileBroker<Tally>;
    type Loader = FreshShards;
    type Snapshots = NoSnapshots;
    type Time = StoppedClock;
    type Models = Shared<Learner>;
    type Training = Shared<Learner>;
    type Interceptor = Shared<Tally>;
}

/// Counts what became of the history. Its forecasts go nowhere.
pub(super) struct Tally {
    known_ahead: KnownAhead,
    offered: u64,
    bad: u64,
    example: Option<String>,
    discarded: [u64; Discard::ALL.len()],
    missing: MissingValues,
}

impl Tally {
    pub fn new(known_ahead: KnownAhead) -> Self {
        let (missing, discarded) = (MissingValues::default(), Default::default());
        Self { known_ahead, offered: 0, bad: 0, example: None, discarded, missing }
    }

    /// Whether no row was a reading.
    pub fn took_nothing(&self) -> bool {
        self.offered == 0
    }

    /// What became of the history, in a line.
    pub fn text(&self) -> String {
        let mut text = format!("{} readings offered", self.offered);
        for (why, count) in Discard::ALL.iter().zip(self.discarded).filter(|(_, count)| *count > 0) {
            text += &format!(", {count} {}", why.as_str());
        }
        if let Some(example) = &self.example {
            text += &format!(", {} rows can't be read, the first: {example}", self.bad);
        }
        if !self.missing.is_empty() {
            text += &format!("; missing values: {}", self.missing);
        }
        text
    }
}

impl Audience for Tally {
    fn forecast(&mut self, _: &Emitted<'_>) {}

    fn withheld(&mut self, _: &Emitted<'_>) {}
}

impl ReadingInterceptor for Shared<Tally> {
    fn offer(&mut self, shard: &mut Shard, reading: &Reading<'_>, record: &Record<'_>) -> Offered {
        let mut tally = self.borrow_mut();
        tally.offered += 1;
        let reading = Reading { values: tally.known_ahead.complete(reading), ..*reading };
        shard.offer_of(&reading, record.offset.0, record.key, record.timestamp)
    }

    fn refuse(&mut self, _: &Record<'_>, why: &BadRecord) {
        let mut tally = self.borrow_mut();
        tally.bad += 1;
        tally.example.get_or_insert_with(|| why.to_string());
    }

    fn miss(&mut self, missing: &MissingValues) {
        self.borrow_mut().missing.merge(missing);
    }

    fn account(&mut self, accounts: &Accounts) {
        let mut tally = self.borrow_mut();
        for (at, why) in Discard::ALL.iter().enumerate() {
            tally.discarded[at] += accounts.discarded(*why);
        }
    }
}
