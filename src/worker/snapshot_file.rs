//! How a snapshot is written. A snapshot writer carries this out beside the worker.

use crate::checkpoint::{Error, Facts, Manifest, SnapshotId, SnapshotWriter, Snapshots, Store};
use crate::domain::{StreamName, TopicPartition};
use crate::telemetry::events;
use std::time::{Duration, Instant};

/// Which shard's snapshot, and at which offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotKey {
    /// The stream that the shard serves.
    pub stream: StreamName,
    /// The partition that the shard reads.
    pub at: TopicPartition,
    /// The offset and the group's generation.
    pub id: SnapshotId,
}

/// What became of a snapshot.
pub struct SnapshotOutcome {
    /// Which snapshot.
    pub key: SnapshotKey,
    /// Its manifest, or why there is none.
    pub outcome: Result<Manifest, Error>,
    /// How long it took.
    pub took: Duration,
}

/// A snapshot that is being written. One that is dropped before its end leaves nothing behind.
pub struct OpenSnapshot {
    key: SnapshotKey,
    snapshots: Snapshots,
    facts: Facts,
    /// The first error ends the writing.
    writer: Result<SnapshotWriter, Error>,
    began: Instant,
}

impl OpenSnapshot {
    /// Begins a snapshot; `keep` is how many stay of each shard and generation.
    pub fn new(key: SnapshotKey, facts: Facts, store: &Store, keep: usize, now: Instant) -> Self {
        let snapshots = Snapshots::new(store, &key.stream, &key.at, keep);
        let writer = Ok(snapshots.writer(key.id));
        Self { key, snapshots, facts, writer, began: now }
    }

    /// Appends a chunk.
    pub fn push(&mut self, chunk: &[u8]) {
        if let Ok(writer) = &mut self.writer
            && let Err(cause) = writer.push(chunk)
        {
            self.writer = Err(cause);
        }
    }

    /// Completes the snapshot and deletes those that it makes superfluous. `now` says the time after that.
    pub fn end(self, now: impl FnOnce() -> Instant) -> SnapshotOutcome {
        let Self { key, snapshots, facts, writer, began } = self;
        let outcome = match writer.and_then(|writer| writer.finish(facts)) {
            // A whole one of the same topic, shape and offset is as good: the state follows from the log alone.
            Err(Error::Exists { .. }) => snapshots.reader(key.id).map(|there| there.manifest().clone()),
            done => done,
        };
        if outcome.is_ok() {
            // The snapshot is whole. What could not be deleted is tried again with the next one.
            if let Err(cause) = snapshots.prune(key.id) {
                events::not_tidied(&key.stream, &cause);
            }
        }
        SnapshotOutcome { key, outcome, took: now() - began }
    }
}
