use super::ShardState;
use super::stream::StreamFamilies;
use crate::domain::{StreamName, TopicPartition};
use prometheus::IntGauge;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

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
        drop(owners);
        let share = |family: &prometheus::IntGaugeVec| Share {
            total: family.with_label_values(&[stream.as_str()]),
            mine: AtomicI64::new(0),
        };
        let (series, memory) = (share(&families.series), share(&families.memory));
        let shard = Self { families, labels, tenancy, lag, states, series, memory };
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
}

impl Drop for ShardMetrics {
    fn drop(&mut self) {
        self.set_series(0, 0);
        let Ok(mut owners) = self.families.owners.0.lock() else { return };
        if owners.by_shard.get(&self.labels) != Some(&self.tenancy) {
            return;
        }
        owners.by_shard.remove(&self.labels);
        let _ = self.families.lag.remove_label_values(&self.labels);
        for state in ShardState::ALL {
            let _ = self.families.shard_state.remove_label_values(&with_state(&self.labels, *state));
        }
    }
}

fn with_state(labels: &Labels, state: ShardState) -> [&str; 4] {
    [&labels[0], &labels[1], &labels[2], state.as_str()]
}
