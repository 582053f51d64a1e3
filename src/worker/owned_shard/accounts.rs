//! Moves the accounts of a shard's readings into the metrics and the log: counted with every batch, logged now
//! and then.

use super::OwnedShard;
use crate::domain::{Offset, StreamName, TopicPartition};
use crate::engine::{Accounts, Discarded, Doubted, RanAhead};
use crate::telemetry::{
    Ahead, Discard, DiscardedReading, Doubt, DoubtedTarget, Eviction, MissingValue, ReadingAhead,
    StreamMetrics, Violations, events,
};
use crate::worker::ports::ReadingInterceptor;

impl OwnedShard {
    /// Counts the values that were missing, for the log too.
    pub(super) fn note_missing(&mut self, interceptor: &mut impl ReadingInterceptor) {
        self.metrics.discarded(Discard::Filtered).inc_by(self.decoder.take_filtered());
        let Some(missing) = self.decoder.take_missing() else { return };
        interceptor.miss(&missing);
        for why in MissingValue::ALL {
            self.metrics.miss(*why, missing.count(*why), || missing.example(*why).cloned());
        }
    }

    /// Counts what became of the readings.
    pub(super) fn account(&mut self, interceptor: &mut impl ReadingInterceptor) {
        let accounts = self.shard.take_accounts();
        interceptor.account(&accounts);
        self.metrics.thinned.inc_by(accounts.thinned);
        self.metrics.aggregated.inc_by(accounts.aggregated);
        for why in Eviction::ALL {
            self.metrics.evicted(*why).inc_by(accounts.evicted(*why));
        }
        self.note_discards(&accounts);
        self.note_ahead(&accounts);
        self.note_doubts(&accounts);
        self.metrics.tell_due();
        if let Some(found) = self.shard.take_drift()
            && self.replay.is_none()
        {
            self.drifted = true;
            self.metrics.drifts(found.kind.name()).inc();
            events::drift(&self.shard.stream().name, &self.at, found.kind.name(), found.change);
        }
        let violations = self.shard.take_violations();
        note_violations(&self.shard.stream().name, &self.at, &self.metrics, &violations);
    }

    /// Counts what was discarded, for the log too.
    fn note_discards(&self, accounts: &Accounts) {
        for why in Discard::ALL {
            self.metrics.discard(*why, accounts.discarded(*why), || {
                let Discarded { series, time, offset } = accounts.example(*why)?.clone();
                let (series, shard, offset) = (series.into(), self.at.clone(), Offset(offset));
                Some(DiscardedReading { series, time, shard, offset })
            });
        }
    }

    /// Counts what ran ahead, for the log too.
    fn note_ahead(&self, accounts: &Accounts) {
        for what in Ahead::ALL {
            self.metrics.run_ahead(*what, accounts.was_ahead(*what), || {
                let RanAhead { series, time, agreed, .. } = accounts.first_ahead(*what)?.clone();
                Some(ReadingAhead { series: series.into(), time, agreed, shard: self.at.clone() })
            });
        }
    }

    /// Counts the targets that were doubted, for the log too.
    fn note_doubts(&self, accounts: &Accounts) {
        let targets = &self.shard.stream().targets;
        for why in Doubt::ALL {
            self.metrics.doubt(*why, accounts.doubted(*why), || {
                let Doubted { series, target, time, value, expected } = accounts.doubt_of(*why)?.clone();
                Some(DoubtedTarget { series, target: targets[target].clone(), time, value, expected })
            });
        }
    }
}

/// Counts and logs invariants that did not hold.
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
