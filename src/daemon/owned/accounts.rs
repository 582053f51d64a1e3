//! What became of a shard's readings, into the metrics and the log: counted per batch, told once in a while.

use super::{Owned, TELL_AHEAD};
use crate::domain::{Offset, StreamName, TopicPartition};
use crate::engine::{Accounts, Discarded, Doubted, RanAhead};
use crate::telemetry::{
    Ahead, Discard, DiscardedReading, Doubt, Eviction, MissingValue, StreamMetrics, Violations, events,
};
use std::time::Instant;

impl Owned {
    /// Counts the values that were missing, and tells of them once in a while.
    pub(super) fn note_missing(&mut self) {
        let Some(missing) = self.decoder.take_missing() else { return };
        for why in MissingValue::ALL.iter().copied() {
            let count = missing.count(why);
            self.metrics.missing(why).inc_by(count);
            if let Some(example) = missing.example(why)
                && let Some(count) = self.metrics.missing_told(why).let_through(count, Instant::now())
            {
                let example = (&*example.field, &*example.series, &*example.text);
                events::values_missing(&self.shard.stream().name, why, count, example);
            }
        }
    }

    /// Moves what became of the readings into the metrics.
    pub(super) fn account(&mut self) {
        let accounts = self.shard.take_accounts();
        self.metrics.thinned.inc_by(accounts.thinned);
        self.metrics.aggregated.inc_by(accounts.aggregated);
        if Discard::ALL.iter().any(|why| accounts.discarded(*why) > 0) {
            self.note_discards(&accounts);
        }
        for why in Eviction::ALL {
            self.metrics.evicted(*why).inc_by(accounts.evicted(*why));
        }
        for what in Ahead::ALL {
            self.metrics.ahead(*what).inc_by(accounts.was_ahead(*what));
        }
        self.tell_ahead(&accounts);
        self.note_doubts(&accounts);
        if let Some(found) = self.shard.take_drift()
            && self.restoring.is_none()
        {
            self.drifted = true;
            self.metrics.drifts(found.kind.name()).inc();
            events::drift(&self.shard.stream().name, &self.at, found.kind.name(), found.change);
        }
        let violations = self.shard.take_violations();
        note_violations(&self.shard.stream().name, &self.at, &self.metrics, &violations);
    }

    /// Counts what was discarded, and has the log tell of it.
    fn note_discards(&self, accounts: &Accounts) {
        for why in Discard::ALL {
            self.metrics.discard(*why, accounts.discarded(*why), || {
                let Discarded { series, time, offset } = accounts.example(*why)?.clone();
                let (series, shard, offset) = (series.into(), self.at.clone(), Offset(offset));
                Some(DiscardedReading { series, time, shard, offset })
            });
        }
        self.metrics.tell_discards(Instant::now());
    }

    /// Tells of readings that ran ahead, now and then.
    fn tell_ahead(&mut self, accounts: &Accounts) {
        for what in Ahead::ALL {
            if let Some(first) = accounts.first_ahead(*what) {
                let untold = &mut self.ahead[*what as usize];
                untold.get_or_insert_with(|| (0, first.clone())).0 += accounts.was_ahead(*what);
            }
        }
        if self.told_ahead.is_some_and(|told| told.elapsed() < TELL_AHEAD) {
            return;
        }
        for (count, first) in std::mem::take(&mut self.ahead).into_iter().flatten() {
            self.told_ahead = Some(Instant::now());
            let RanAhead { what, series, time, agreed } = first;
            let name = &self.shard.stream().name;
            events::time_ahead(name, &self.at, count, what, &series, (time, agreed));
        }
    }

    /// Counts the targets that were not taken as they came, and tells of them once in a while.
    fn note_doubts(&self, accounts: &Accounts) {
        let stream = self.shard.stream();
        for why in Doubt::ALL.iter().copied() {
            let count = accounts.doubted(why);
            self.metrics.doubted(why).inc_by(count);
            if let Some(Doubted { series, target, time, value, expected }) = accounts.doubt_of(why)
                && let Some(count) = self.metrics.doubted_told(why).let_through(count, Instant::now())
            {
                let target = &*stream.targets[*target];
                events::values_doubted(
                    &stream.name,
                    why,
                    count,
                    (series, target, *time),
                    [*value, *expected],
                );
            }
        }
    }
}

pub(super) fn note_violations(
    stream: &StreamName,
    at: &TopicPartition,
    metrics: &StreamMetrics,
    found: &Violations,
) {
    for (invariant, times) in found.iter() {
        metrics.violated(invariant, times);
        events::invariant_violated(stream, at, invariant, times);
    }
}
