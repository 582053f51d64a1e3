//! When a worker takes snapshots: one shard at a time, in chunks between its turns.

use super::Error;
use super::archive::{Title, Written};
use super::now;
use super::owned::{Kept, Owned};
use super::turn::Joined;
use crate::checkpoint::{Facts, SnapshotId, Snapshots};
use crate::domain::{Generation, TopicPartition};
use crate::engine::Shard;
use crate::telemetry::events;
use std::time::{Duration, Instant};

/// A chunk is at least so long: some milliseconds of a worker's time.
const CHUNK: usize = 4 << 20;
/// Bytes of rows that changed before the store took them. Above this the store is too slow for the
/// stream, and the snapshot is given up.
const WAITING_MAX: usize = 256 << 20;
/// Between two tries to hand a chunk to a store that is behind.
const PAUSE: Duration = Duration::from_millis(2);

/// The snapshot that is being taken.
pub(crate) struct Cutting {
    title: Title,
    /// What the store had no room for yet.
    spare: Option<Vec<u8>>,
}

impl Joined {
    /// Takes the next piece of a snapshot, or begins one that is due. Right after a commit only can one
    /// begin: then a shard is what the group's offset says.
    pub(crate) fn snapshot(&mut self, just_committed: bool) -> Result<(), Error> {
        while let Some(written) = self.archive.next() {
            self.note(written);
        }
        if self.cutting.is_some() {
            self.go_on_cutting()?;
        } else if just_committed && self.worker.config.snapshots.enabled && !self.archive.is_busy() {
            let every = self.worker.config.snapshots.every;
            let due = self.shards.iter().enumerate().filter(|(_, o)| o.snapshot_is_due(every));
            if let Some((shard, _)) = due.min_by_key(|(_, owned)| owned.kept_at) {
                self.begin_cut(shard);
            }
        }
        Ok(())
    }

    fn begin_cut(&mut self, shard: usize) {
        let owned = &mut self.shards[shard];
        let stream = owned.stream().clone();
        let generation = Generation(self.link.generation().unwrap_or(0));
        let id = SnapshotId { offset: owned.committed, generation };
        let title = Title { stream: stream.name.clone(), at: owned.at.clone(), id };
        let facts = Facts {
            model: owned.shard.model(),
            topic_id: owned.topic_id,
            shape: Shard::shape(&stream),
            series: owned.shard.series() as u64,
            created: now(),
        };
        let keep = self.worker.config.snapshots.keep;
        let snapshots = Snapshots::new(&self.worker.store, &stream.name, &owned.at, keep);
        owned.kept_at = Instant::now();
        owned.shard.begin_cut();
        self.archive.begin(title.clone(), snapshots, facts);
        self.cutting = Some(Cutting { title, spare: None });
    }

    /// Hands over what the store has room for; ends the snapshot after its last chunk.
    fn go_on_cutting(&mut self) -> Result<(), Error> {
        let Some(cutting) = &mut self.cutting else { return Ok(()) };
        let mine = |o: &&mut Owned| o.at == cutting.title.at && o.stream().name == cutting.title.stream;
        let Some(owned) = self.shards.iter_mut().find(mine) else {
            self.give_up_snapshot();
            return Ok(());
        };
        let chunk = match cutting.spare.take() {
            Some(chunk) => Some(chunk),
            None => owned.shard.cut(CHUNK)?,
        };
        match chunk {
            Some(chunk) => cutting.spare = self.archive.offer(chunk).err(),
            None => {
                self.archive.end();
                self.cutting = None;
                return Ok(());
            }
        }
        if owned.shard.cut_waiting() > WAITING_MAX {
            let title = cutting.title.clone();
            events::snapshot_failed(&title.stream, &title.at, &title.id, &"the store is too slow for it");
            owned.metrics.snapshot_failures.inc();
            self.give_up_snapshot();
        }
        Ok(())
    }

    /// Whether there is a piece of a snapshot to be taken soon.
    pub(crate) fn is_cutting(&self) -> bool {
        self.cutting.is_some()
    }

    fn give_up_snapshot(&mut self) {
        if let Some(cutting) = self.cutting.take() {
            for owned in self.shards.iter_mut().filter(|o| o.at == cutting.title.at) {
                owned.shard.give_up_cut();
            }
            self.archive.give_up();
        }
    }

    pub(crate) fn give_up_snapshot_of(&mut self, parts: &[TopicPartition]) {
        if self.cutting.as_ref().is_some_and(|cutting| parts.contains(&cutting.title.at)) {
            self.give_up_snapshot();
        }
    }

    /// Snapshots of all shards that `which` says and that have gone on since their last one, for whoever
    /// owns them next, as far as `until` allows. Right after a commit only.
    pub(crate) fn keep(&mut self, which: impl Fn(&Owned) -> bool, until: Instant) -> Result<(), Error> {
        if !self.worker.config.snapshots.enabled {
            return Ok(());
        }
        let wanted = |o: &Owned| which(o) && o.snapshot_is_due(Duration::ZERO);
        if !self.shards.iter().any(wanted) {
            return Ok(());
        }
        self.give_up_snapshot();
        for shard in 0..self.shards.len() {
            if !wanted(&self.shards[shard]) || Instant::now() >= until {
                continue;
            }
            self.begin_cut(shard);
            while self.cutting.is_some() && Instant::now() < until {
                self.go_on_cutting()?;
                if self.cutting.as_ref().is_some_and(|cutting| cutting.spare.is_some()) {
                    std::thread::sleep(PAUSE);
                }
            }
            self.give_up_snapshot();
        }
        while self.archive.is_busy() {
            let Some(written) = self.archive.wait(until) else { break };
            self.note(written);
        }
        Ok(())
    }

    fn note(&mut self, written: Written) {
        let Written { title: Title { stream, at, id }, outcome, took } = written;
        let metrics = self.worker.metrics.stream(&stream);
        match outcome {
            Ok(manifest) => {
                events::snapshot_taken(&stream, &at, &id, manifest.facts.series, manifest.packed_bytes, took);
                metrics.snapshot_seconds.observe(took.as_secs_f64());
                for owned in self.shards.iter_mut().filter(|o| o.at == at && o.stream().name == stream) {
                    owned.kept = Some(Kept { offset: id.offset, created: manifest.facts.created });
                    owned.shown.set_snapshot(manifest.facts.series as usize, manifest.packed_bytes as usize);
                }
            }
            Err(cause) => {
                events::snapshot_failed(&stream, &at, &id, &cause);
                metrics.snapshot_failures.inc();
            }
        }
    }
}
