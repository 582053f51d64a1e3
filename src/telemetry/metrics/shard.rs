use super::catalogue::{ShardFamilies, ShardHandles, ShardScope, StreamHandles};
use super::handle::{Metric, Scope};
use crate::domain::{StreamName, TopicPartition};
use crate::telemetry::memory::MemoryByPart;
use crate::telemetry::words::ShardState;
use prometheus::{Gauge, IntGauge};
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Which [`ShardMetrics`] shows a partition of a stream. A partition can come back to another worker of the
/// process before its old shard is dropped; the old one must not remove the new one's series.
#[derive(Default)]
pub(super) struct Owners {
    newest: Mutex<Newest>,
    /// The series in the snapshots whose bytes are shown, over all shards of the stream.
    snapshot_series: AtomicI64,
}

#[derive(Default)]
struct Newest {
    registrations: u64,
    by_shard: HashMap<TopicPartition, u64>,
}

/// The metrics of one shard while this process owns it. Dropping it, when the partition is revoked, removes its
/// series from `/metrics`.
pub struct ShardMetrics {
    families: Arc<ShardFamilies>,
    owners: Arc<Owners>,
    scope: ShardScope,
    registration: u64,
    handles: ShardHandles,
    series: Portion,
    memory: Vec<Portion>,
    snapshot_bytes: Portion,
    snapshot_series: AtomicI64,
    series_snapshot_bytes: Gauge,
}

/// What this shard adds to a gauge that all shards of a stream share.
struct Portion {
    total: IntGauge,
    own: AtomicI64,
}

impl Portion {
    fn of(total: &IntGauge) -> Self {
        Self { total: total.clone(), own: AtomicI64::new(0) }
    }

    fn set(&self, value: usize) {
        let value = signed(value);
        self.total.add(value - self.own.swap(value, Ordering::Relaxed));
    }
}

fn signed(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl ShardMetrics {
    pub(super) fn new(
        stream: &StreamName,
        shared: &StreamHandles,
        families: Arc<ShardFamilies>,
        owners: Arc<Owners>,
        at: &TopicPartition,
    ) -> Self {
        let scope = ShardScope { stream: stream.clone(), at: at.clone() };
        let mut newest = owners.newest.lock().expect("no holder of this lock panics");
        newest.registrations += 1;
        let registration = newest.registrations;
        newest.by_shard.insert(at.clone(), registration);
        let handles = families.resolve(&scope);
        drop(newest);
        let shard = Self {
            series: Portion::of(&shared.series),
            memory: shared.memory.iter().map(|(_, total)| Portion::of(total)).collect(),
            snapshot_bytes: Portion::of(&shared.snapshot_bytes),
            snapshot_series: AtomicI64::new(0),
            series_snapshot_bytes: shared.series_snapshot_bytes.clone(),
            families,
            owners,
            scope,
            registration,
            handles,
        };
        shard.set_state(ShardState::Restoring);
        shard
    }

    /// The state that the shard is in.
    pub fn set_state(&self, state: ShardState) {
        for (each, gauge) in self.handles.state.iter() {
            gauge.set(i64::from(each == state));
        }
    }

    /// How many records of the partition were not read yet; `None` while that is not known.
    pub fn set_lag(&self, records: Option<i64>) {
        if let Some(records) = records {
            return self.handles.lag.of(&[]).set(records);
        }
        let newest = self.owners.newest.lock().expect("no holder of this lock panics");
        if newest.by_shard.get(&self.scope.at) == Some(&self.registration) {
            self.handles.lag.remove(&[]);
        }
    }

    /// At one of how many origins the shard's mature series learn.
    pub fn set_learn_every(&self, origins: u32) {
        self.handles.learn_every.set(i64::from(origins));
    }

    /// How many series the shard holds, and in how much memory.
    pub fn set_series(&self, count: usize, memory: &MemoryByPart) {
        self.series.set(count);
        for (portion, (_, bytes)) in self.memory.iter().zip(memory.iter()) {
            portion.set(bytes);
        }
    }

    /// How many series the shard's newest snapshot holds, and in how many compressed bytes.
    pub fn set_snapshot(&self, series: usize, bytes: usize) {
        let more = signed(series) - self.snapshot_series.swap(signed(series), Ordering::Relaxed);
        let all = self.owners.snapshot_series.fetch_add(more, Ordering::Relaxed) + more;
        self.snapshot_bytes.set(bytes);
        let bytes = self.snapshot_bytes.total.get();
        self.series_snapshot_bytes.set(if all > 0 { bytes as f64 / all as f64 } else { f64::NAN });
    }

    /// `None` while the shard has no snapshot.
    pub fn set_snapshot_age(&self, age: Option<Duration>) {
        self.handles.snapshot_age.set(age.map_or(f64::NAN, |age| age.as_secs_f64()));
    }
}

impl Drop for ShardMetrics {
    fn drop(&mut self) {
        self.set_series(0, &MemoryByPart::default());
        self.set_snapshot(0, 0);
        let Ok(mut newest) = self.owners.newest.lock() else { return };
        if newest.by_shard.get(&self.scope.at) != Some(&self.registration) {
            return;
        }
        newest.by_shard.remove(&self.scope.at);
        let labels = self.scope.labels();
        let ShardFamilies { lag, learn_every, state, snapshot_age } = &*self.families;
        IntGauge::remove(lag, &labels);
        IntGauge::remove(learn_every, &labels);
        Gauge::remove(snapshot_age, &labels);
        for each in ShardState::ALL {
            let of_state = [labels.as_slice(), &[each.as_str().to_owned()]].concat();
            IntGauge::remove(state, &of_state);
        }
    }
}
