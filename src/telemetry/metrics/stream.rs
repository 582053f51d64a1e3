use super::catalogue::{ShardFamilies, StreamHandles};
use super::shard::{Owners, ShardMetrics};
use crate::domain::{ModelVersion, StreamName, TopicPartition};
use crate::telemetry::examples::{
    DiscardedReading, DoubtedTarget, LargeRecord, MissingExample, PaceChange, ReadingAhead,
};
use crate::telemetry::throttle::LogThrottle;
use crate::telemetry::words::{
    Ahead, Discard, Doubt, Eviction, Invariant, LogReset, MissingValue, Pace, RoundOutcome, TooLarge,
};
use prometheus::IntCounter;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// A shared pointer to a stream's metrics with every label resolved: plain atomics for the workers. Counted per
/// batch, never per reading.
#[derive(Clone)]
pub struct StreamMetrics(Arc<Inner>);

struct Inner {
    name: StreamName,
    handles: StreamHandles,
    shards: Arc<ShardFamilies>,
    owners: Arc<Owners>,
    throttle: LogThrottle,
    serving: Mutex<Option<ModelVersion>>,
}

impl Deref for StreamMetrics {
    type Target = StreamHandles;

    fn deref(&self) -> &StreamHandles {
        &self.0.handles
    }
}

/// How good an expert was lately at one lead.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accuracy {
    /// Mean absolute error, in units of each series' scale.
    pub error: f64,
    /// 1 minus the ratio of the error to the seasonal naive's; `None` while that is not known.
    pub skill: Option<f64>,
}

impl StreamMetrics {
    pub(super) fn new(name: StreamName, handles: StreamHandles, shards: Arc<ShardFamilies>) -> Self {
        Self(Arc::new(Inner {
            name,
            handles,
            shards,
            owners: Arc::default(),
            throttle: LogThrottle::new(),
            serving: Mutex::new(None),
        }))
    }

    /// The count of readings discarded for this reason. The log does not hear of them; see [`Self::discard`].
    pub fn discarded(&self, reason: Discard) -> &IntCounter {
        self.discarded.of(reason)
    }

    /// Counts discarded readings; [`Self::tell_due`] logs them. `first` gives one of them as an example.
    pub fn discard(&self, why: Discard, count: u64, first: impl FnOnce() -> Option<DiscardedReading>) {
        if count > 0 {
            self.discarded.of(why).inc_by(count);
            self.0.throttle.discarded.add(why, count, first);
        }
    }

    /// As [`Self::discard`], for values that count as missing although their field holds something.
    pub fn miss(&self, why: MissingValue, count: u64, first: impl FnOnce() -> Option<MissingExample>) {
        if count > 0 {
            self.missing.of(why).inc_by(count);
            self.0.throttle.missing.add(why, count, first);
        }
    }

    /// As [`Self::discard`], for targets that were not learned as they came.
    pub fn doubt(&self, why: Doubt, count: u64, first: impl FnOnce() -> Option<DoubtedTarget>) {
        if count > 0 {
            self.doubted.of(why).inc_by(count);
            self.0.throttle.doubted.add(why, count, first);
        }
    }

    /// As [`Self::discard`], for readings whose time was ahead of that of their partition.
    pub fn run_ahead(&self, what: Ahead, count: u64, first: impl FnOnce() -> Option<ReadingAhead>) {
        if count > 0 {
            self.ahead.of(what).inc_by(count);
            self.0.throttle.ahead.add(what, count, first);
        }
    }

    /// Notes for the log that a shard has fallen behind or caught up; [`Self::tell_due`] logs it.
    pub fn change_pace(&self, to: Pace, change: PaceChange) {
        self.0.throttle.pace.add(to, 1, || Some(change));
    }

    /// As [`Self::discard`], for a record that is too large for its topic.
    pub fn exceed(&self, outcome: TooLarge, record: impl FnOnce() -> LargeRecord) {
        self.too_large.of(outcome).inc();
        self.0.throttle.too_large.add(outcome, 1, || Some(record()));
    }

    /// Logs what was discarded, missing, doubted or ahead, and changes of pace, where it is due.
    pub fn tell_due(&self) {
        if self.0.throttle.is_waiting() {
            self.0.throttle.log(&self.0.name, Some(Instant::now()));
        }
    }

    /// As [`Self::tell_due`], whether it is due or not: at the end.
    pub fn tell_all(&self) {
        self.0.throttle.log(&self.0.name, None);
    }

    /// The count of series dropped from memory for this reason.
    pub fn evicted(&self, reason: Eviction) -> &IntCounter {
        self.evicted.of(reason)
    }

    /// Counts violations of an invariant.
    pub fn violated(&self, invariant: Invariant, times: u64) {
        self.violations.of(invariant).inc_by(times);
    }

    /// The count of partitions that were not read on from the group's offset for this reason.
    pub fn log_resets(&self, reason: LogReset) -> &IntCounter {
        self.log_resets.of(reason)
    }

    /// The count of training rounds with this outcome.
    pub fn rounds(&self, outcome: RoundOutcome) -> &IntCounter {
        self.rounds.of(outcome)
    }

    /// The count of dead letters for this reason. It looks its label up: for the rare bad record. Reasons are
    /// fixed words, never data.
    pub fn dead_letters(&self, reason: &'static str) -> IntCounter {
        self.dead_letters.of(&[reason])
    }

    /// As [`Self::dead_letters`], for the rare surprising reading.
    pub fn anomalies(&self, kind: &'static str) -> IntCounter {
        self.anomalies.of(&[kind])
    }

    /// As [`Self::dead_letters`], for the rare drift.
    pub fn drifts(&self, kind: &'static str) -> IntCounter {
        self.drifts.of(&[kind])
    }

    /// As [`Self::dead_letters`], for a training round that begins before it is due.
    pub fn hastened(&self, why: &'static str) -> IntCounter {
        self.hastened.of(&[why])
    }

    /// The loss in the last training round of one of the models that it compared; `None` where it did not have
    /// that one.
    pub fn set_promotion_loss(&self, of: &'static str, loss: Option<f64>) {
        self.promotion_loss.of(&[of]).set(loss.unwrap_or(f64::NAN));
    }

    /// `expert` and `bucket` count as in the [`StreamShape`](super::StreamShape).
    pub fn set_accuracy(&self, expert: usize, bucket: usize, accuracy: Accuracy) {
        self.forecast_error.of(expert, bucket).set(accuracy.error);
        self.skill.of(expert, bucket).set(accuracy.skill.unwrap_or(f64::NAN));
    }

    /// `level` and `bucket` count as in the [`StreamShape`](super::StreamShape).
    pub fn set_coverage(&self, level: usize, bucket: usize, share: f64) {
        self.coverage.of(level, bucket).set(share);
    }

    /// The model that serves; `None` before the first.
    pub fn set_model(&self, version: Option<ModelVersion>) {
        let mut serving = self.0.serving.lock().expect("no holder of this lock panics");
        if *serving == version {
            return;
        }
        if let Some(old) = serving.take() {
            self.model.remove(&[&old.name(&self.0.name)]);
        }
        if let Some(new) = version {
            self.model.of(&[&new.name(&self.0.name)]).set(1);
        }
        *serving = version;
    }

    /// The metrics of a shard that this process owns. Their series go from `/metrics` when this is dropped.
    pub fn shard(&self, at: &TopicPartition) -> ShardMetrics {
        let Inner { name, handles, shards, owners, .. } = &*self.0;
        ShardMetrics::new(name, handles, Arc::clone(shards), Arc::clone(owners), at)
    }
}
