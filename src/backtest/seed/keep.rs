//! What a seed leaves in the store: a snapshot of each partition, and the model.

use super::SeedSettings;
use super::ports::SeedPorts;
use crate::checkpoint::{Bundles, Champion, Facts, SnapshotId, Snapshots, Store};
use crate::config::{Config, Stream};
use crate::console::{Failure, size};
use crate::domain::{Generation, ModelVersion, Offset, Partition, TopicPartition};
use crate::engine::Shard;
use crate::kafka::IdempotentProducer;
use crate::models::{Announcement, BundleRef, Decision, now};
use crate::nn::Networks;
use crate::worker::Worker;
use std::collections::BTreeMap;
use std::time::Duration;

/// Older than any snapshot of a daemon. Whatever the group has committed, the rest of the log is read after it.
const SEED: SnapshotId = SnapshotId { offset: Offset(0), generation: Generation(0) };
/// The least size of a chunk.
const CHUNK_BYTES: usize = 4 << 20;
/// How long the announcement of a model may take.
const PATIENCE: Duration = Duration::from_secs(30);

fn parts(settings: &SeedSettings) -> impl Iterator<Item = TopicPartition> {
    let part = |partition| TopicPartition { topic: settings.topic.as_str().into(), partition };
    (0..).map(Partition).take(settings.partitions).map(part)
}

/// Fails when the store has states or models that the seed would contradict.
pub(super) fn check(store: &Store, stream: &Stream, settings: &SeedSettings) -> Result<(), Failure> {
    for at in parts(settings) {
        let snapshots = Snapshots::new(store, &stream.name, &at, 1);
        let there = snapshots.list().map_err(Failure::new)?;
        if let Some(id) = there.first().filter(|_| !settings.replaces) {
            return Err(Failure::new(format!(
                "the store has a snapshot of {at} at offset {} already; --force replaces what is there. Stop the daemon \
                 first",
                id.offset
            )));
        }
    }
    let models = Bundles::new(store, &stream.name).list().map_err(Failure::new)?;
    if stream.training.enabled
        && let Some(version) = models.first()
    {
        return Err(Failure::new(format!(
            "the store has {} already, and a seed never replaces a model; --no-network seeds the states alone",
            version.name(&stream.name)
        )));
    }
    Ok(())
}

/// Writes a snapshot of each shard. Returns a line for each.
pub(super) fn snapshots(
    worker: &mut Worker<SeedPorts>,
    store: &Store,
    stream: &Stream,
    settings: &SeedSettings,
) -> Result<Vec<String>, Failure> {
    let mut lines = Vec::new();
    for (at, shard) in worker.shards_by_partition() {
        let snapshots = Snapshots::new(store, &stream.name, at, 1);
        if settings.replaces {
            snapshots.delete_ahead_of(Offset(-1)).map_err(Failure::new)?;
        }
        let facts = Facts {
            model: shard.model(),
            topic_id: None,
            shape: Shard::shape(stream),
            series: shard.series() as u64,
            created: now(),
        };
        let series = facts.series;
        let mut writer = snapshots.writer(SEED);
        shard
            .between_rounds()
            .ok_or_else(|| Failure::new("a round has not ended, which is a bug"))?
            .begin_cut();
        while let Some(chunk) = shard.cut(CHUNK_BYTES).map_err(Failure::new)? {
            writer.push(&chunk).map_err(Failure::new)?;
        }
        let manifest = writer.finish(facts).map_err(Failure::new)?;
        lines.push(format!("{at}: {series} series, {}", size(manifest.packed_bytes)));
    }
    lines.sort();
    Ok(lines)
}

/// Writes the model and announces it. Returns a line.
pub(super) fn model(
    config: &Config,
    store: &Store,
    stream: &Stream,
    (version, networks): (ModelVersion, &Networks),
    rounds: u64,
) -> Result<String, Failure> {
    let bundles = Bundles::new(store, &stream.name);
    let facts = BTreeMap::from([("why".to_owned(), "seed".to_owned())]);
    let champion = Champion { version, networks: networks.clone(), rounds, facts };
    let checksum = bundles.keep(&champion).map_err(Failure::new)?;
    let announcement = Announcement {
        champion: Some(BundleRef { version, checksum }),
        rounds,
        decision: Decision::Promoted,
    };
    let value = announcement.write(&bundles, now());
    let announced = IdempotentProducer::connect(&config.kafka).and_then(|mut producer| {
        let key = Some(stream.name.as_str().as_bytes());
        producer.send(&config.kafka.models_topic, None, key, &value, None)?;
        producer.flush(PATIENCE)
    });
    let name = version.name(&stream.name);
    announced.map_err(|cause| {
        Failure::new(format!(
            "{name} and the snapshots are in the store, but the model is not announced: {cause}. `tidecast models \
             promote` announces it"
        ))
    })?;
    Ok(format!("{name}: announced after {rounds} training rounds"))
}
