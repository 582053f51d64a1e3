//! When a worker takes snapshots: one shard at a time, in chunks between its turns.

use super::owned_shard::{OwnedShard, WholeSnapshot};
use super::ports::{Broker, Ports, SnapshotSink, TimeSource};
use super::rare_paths::RarePath;
use super::snapshot_file::{SnapshotKey, SnapshotOutcome};
use super::{Error, Worker};
use crate::checkpoint::{Facts, SnapshotId};
use crate::domain::{Generation, TopicPartition};
use crate::engine::Shard;
use crate::telemetry::events;
use std::time::{Duration, Instant};

/// Bytes of rows that changed before the store took them. Above this the store is too slow for the stream, and the
/// snapshot is given up.
const WAITING_MAX: usize = 256 << 20;
/// Between two attempts to hand a chunk to a store that is behind.
const PAUSE: Duration = Duration::from_millis(2);

/// The snapshot that is being taken.
pub(super) struct SnapshotInProgress {
    key: SnapshotKey,
    /// A chunk that the store had no room for yet.
    waiting: Option<Vec<u8>>,
}

impl<P: Ports> Worker<P> {
    /// Takes the next piece of a snapshot, or begins one that is due. One can begin only right after a commit: then
    /// a shard is where the group's offset is.
    pub(super) fn snapshot(&mut self, just_committed: bool) -> Result<(), Error> {
        while let Some(outcome) = self.ports.snapshots.next() {
            self.note_snapshot(outcome);
        }
        let settings = &self.setup.config.snapshots;
        if self.snapshot.is_some() {
            self.continue_snapshot()?;
        } else if just_committed && settings.enabled && !self.ports.snapshots.is_busy() {
            let (every, now) = (settings.every, self.ports.time.now());
            let due = self.shards.iter().enumerate().filter(|(_, o)| o.snapshot_is_due(every, now));
            if let Some((shard, _)) = due.min_by_key(|(_, owned)| owned.snapshot_begun_at) {
                self.begin_snapshot(shard);
            }
        }
        Ok(())
    }

    fn begin_snapshot(&mut self, shard: usize) {
        let owned = &mut self.shards[shard];
        let stream = owned.stream().clone();
        let generation = Generation(self.ports.broker.generation().unwrap_or(0));
        let id = SnapshotId { offset: owned.committed, generation };
        let key = SnapshotKey { stream: stream.name.clone(), at: owned.at.clone(), id };
        let facts = Facts {
            model: owned.shard.model(),
            topic_id: owned.topic_id,
            shape: Shard::shape(&stream),
            series: owned.shard.series() as u64,
            created: self.ports.time.wall(),
        };
        owned.snapshot_begun_at = self.ports.time.now();
        owned.keep_births();
        owned.shard.between_rounds().expect("all rounds have run").begin_cut();
        self.ports.snapshots.begin(key.clone(), facts);
        self.snapshot = Some(SnapshotInProgress { key, waiting: None });
    }

    /// Hands over what the store has room for; ends the snapshot after its last chunk.
    fn continue_snapshot(&mut self) -> Result<(), Error> {
        let Some(snapshot) = &mut self.snapshot else { return Ok(()) };
        let key = &snapshot.key;
        let mine = |o: &&mut OwnedShard| o.at == key.at && o.stream().name == key.stream;
        let Some(owned) = self.shards.iter_mut().find(mine) else {
            self.give_up_snapshot();
            return Ok(());
        };
        let chunk = match snapshot.waiting.take() {
            Some(chunk) => Some(chunk),
            None => owned.shard.cut(self.ports.snapshots.chunk_bytes())?,
        };
        let Some(chunk) = chunk else {
            self.ports.snapshots.end();
            self.snapshot = None;
            return Ok(());
        };
        snapshot.waiting = self.ports.snapshots.offer(chunk).err();
        self.rare_paths.mark_if(snapshot.waiting.is_some(), RarePath::SnapshotWaited);
        if owned.shard.cut_waiting() > WAITING_MAX {
            events::snapshot_failed(&key.stream, &key.at, &key.id, &"the store is too slow for it");
            owned.metrics.snapshot_failures.inc();
            self.give_up_snapshot();
        }
        Ok(())
    }

    fn give_up_snapshot(&mut self) {
        if let Some(snapshot) = self.snapshot.take() {
            self.rare_paths.mark(RarePath::SnapshotGivenUp);
            for owned in self.shards.iter_mut().filter(|o| o.at == snapshot.key.at) {
                owned.shard.give_up_cut();
            }
            self.ports.snapshots.give_up();
        }
    }

    /// Gives the snapshot up that is being taken, if it is of one of these partitions.
    pub(super) fn give_up_snapshot_of(&mut self, parts: &[TopicPartition]) {
        if self.snapshot.as_ref().is_some_and(|snapshot| parts.contains(&snapshot.key.at)) {
            self.give_up_snapshot();
        }
    }

    /// Takes snapshots of all selected shards that have gone on since their last one, for their next owner, until
    /// `until`. Right after a commit only.
    pub(super) fn snapshot_now(
        &mut self,
        is_selected: impl Fn(&OwnedShard) -> bool,
        until: Instant,
    ) -> Result<(), Error> {
        if !self.setup.config.snapshots.enabled {
            return Ok(());
        }
        let now = self.ports.time.now();
        let is_wanted = |o: &OwnedShard| is_selected(o) && o.snapshot_is_due(Duration::ZERO, now);
        if !self.shards.iter().any(is_wanted) {
            return Ok(());
        }
        self.give_up_snapshot();
        for shard in 0..self.shards.len() {
            if !is_wanted(&self.shards[shard]) || self.ports.time.now() >= until {
                continue;
            }
            self.begin_snapshot(shard);
            while self.snapshot.is_some() && self.ports.time.now() < until {
                self.continue_snapshot()?;
                if self.snapshot.as_ref().is_some_and(|snapshot| snapshot.waiting.is_some()) {
                    self.ports.time.sleep(PAUSE);
                }
            }
            self.rare_paths.mark_if(self.snapshot.is_some(), RarePath::HandOverCutShort);
            self.give_up_snapshot();
        }
        while self.ports.snapshots.is_busy() {
            let Some(outcome) = self.ports.snapshots.wait(until) else {
                self.rare_paths.mark(RarePath::HandOverCutShort);
                break;
            };
            self.rare_paths.mark_if(outcome.outcome.is_ok(), RarePath::HandedOver);
            self.note_snapshot(outcome);
        }
        Ok(())
    }

    fn note_snapshot(&mut self, outcome: SnapshotOutcome) {
        let SnapshotOutcome { key: SnapshotKey { stream, at, id }, outcome, took } = outcome;
        let metrics = self.setup.metrics.stream(&stream);
        match outcome {
            Ok(manifest) => {
                self.rare_paths.mark(RarePath::SnapshotTaken);
                events::snapshot_taken(&stream, &at, &id, manifest.facts.series, manifest.packed_bytes, took);
                metrics.snapshot_seconds.observe(took.as_secs_f64());
                for owned in self.shards.iter_mut().filter(|o| o.at == at && o.stream().name == stream) {
                    let created = manifest.facts.created;
                    owned.newest_snapshot = Some(WholeSnapshot { offset: id.offset, created });
                    owned.shown.set_snapshot(manifest.facts.series as usize, manifest.packed_bytes as usize);
                }
            }
            Err(cause) => {
                self.rare_paths.mark(RarePath::SnapshotFailed);
                events::snapshot_failed(&stream, &at, &id, &cause);
                metrics.snapshot_failures.inc();
            }
        }
    }
}
