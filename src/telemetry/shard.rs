use super::ShardState;
use super::stream::StreamFamilies;
use crate::domain::{StreamName, TopicPartition};
use prometheus::{Gauge, IntGauge};
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Labels = [String; 3];

/// Who shows which partition. A partition can come back to another worker of the process before its
/// old shard is dropped; the old one must not take the new one's series away.
#[derive(Default)]
pub(super) struct Owners(Mutex<Tenancies>);

#[derive(Default)]
struct Tenancies {
    last: u64,
    by_shard: HashMap<Labels, u64>,
}

/// The metrics of one shard while this process owns it. Dropping it, when the partition is revoked,
/// removes its series from `/metrics`.
pub struct ShardMetrics {
    families: Arc<StreamFamilies>,
    labels: Labels,
    tenancy: u64,
    lag: IntGauge,
    states: Vec<IntGauge>,
    series: Share,
    memory: Share,
    snapshot_age: Gauge,
    snapshot_bytes: Share,
    snapshot_series: Share,
    series_snapshot_bytes: Gauge,
}

/// What this shard adds to a gauge that all shards of a stream share.
struct Share {
    total: IntGauge,
    mine: AtomicI64,
}

impl Share {
    fn set(&self, value: usize) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        self.total.add(value - self.mine.swap(value, Ordering::Relaxed));
    }
}

impl ShardMetrics {
    pub(super) fn new(families: Arc<StreamFamilies>, stream: &StreamName, at: &TopicPartition) -> Self {
        let labels = [stream.to_string(), at.topic.to_string(), at.partition.to_string()];
        let mut owners = families.owners.0.lock().expect("no holder of this lock panics");
        owners.last += 1;
        let tenancy = owners.last;
        owners.by_shard.insert(labels.clone(), tenancy);
        let lag = families.lag.with_label_values(&labels);
        let states = ShardState::ALL
            .iter()
            .map(|state| families.shard_state.with_label_values(&with_state(&labels, *state)))
            .collect();
        let snapshot_age = families.snapshot_age.with_label_values(&labels);
        snapshot_age.set(f64::NAN);
        drop(owners);
        let share = |family: &prometheus::IntGaugeVec| Share {
            total: family.with_label_values(&[stream.as_str()]),
            mine: AtomicI64::new(0),
        };
        let shard = Self {
            series: share(&families.series),
            memory: share(&families.memory),
            snapshot_age,
            snapshot_bytes: share(&families.snapshot_bytes),
            snapshot_series: share(&families.snapshot_series),
            series_snapshot_bytes: families.series_snapshot_bytes.with_label_values(&[stream.as_str()]),
            families,
            labels,
            tenancy,
            lag,
            states,
        };
        shard.set_state(ShardState::Restoring);
        shard
    }

    pub fn set_state(&self, state: ShardState) {
        for (gauge, each) in self.states.iter().zip(ShardState::ALL) {
            gauge.set(i64::from(*each == state));
        }
    }

    pub fn set_lag(&self, readings: i64) {
        self.lag.set(readings.max(0));
    }

    /// How many series the shard holds, and in how much memory.
    pub fn set_series(&self, count: usize, memory_bytes: usize) {
        self.series.set(count);
        self.memory.set(memory_bytes);
    }

    /// How many series the shard's newest snapshot holds, and in how many compressed bytes.
    pub fn set_snapshot(&self, series: usize, bytes: usize) {
        self.snapshot_series.set(series);
        self.snapshot_bytes.set(bytes);
        let (all, bytes) = (self.snapshot_series.total.get(), self.snapshot_bytes.total.get());
        self.series_snapshot_bytes.set(if all > 0 { bytes as f64 / all as f64 } else { f64::NAN });
    }

    /// `None` while the shard has no snapshot.
    pub fn set_snapshot_age(&self, age: Option<Duration>) {
        self.snapshot_age.set(age.map_or(f64::NAN, |age| age.as_secs_f64()));
    }
}

impl Drop for ShardMetrics {
    fn drop(&mut self) {
        self.set_series(0, 0);
        self.set_snapshot(0, 0);
        let Ok(mut owners) = self.families.owners.0.lock() else { return };
        if owners.by_shard.get(&self.labels) != Some(&self.tenancy) {
            return;
        }
        owners.by_shard.remove(&self.labels);
        let _ = self.families.lag.remove_label_values(&self.labels);
        let _ = self.families.snapshot_age.remove_label_values(&self.labels);
        for state in ShardState::ALL {
            let _ = self.families.shard_state.remove_label_values(&with_state(&self.labels, *state));
        }
    }
}

fn with_state(labels: &Labels, state: ShardState) -> [&str; 4] {
    [&labels[0], &labels[1], &labels[2], state.as_str()]
}
