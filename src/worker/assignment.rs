//! How the shards of partitions come and go.

use super::loading::{LoadRequest, LoadedShard};
use super::log_note::LogNote;
use super::logs::PartitionStart;
use super::owned_shard::{LogWatch, OwnedShard};
use super::ports::{Broker, Ports, ShardLoader, TimeSource};
use super::rare_paths::RarePath;
use super::serving::ModelSource;
use super::{Error, Worker};
use crate::config::Stream;
use crate::domain::{LeaderEpoch, Offset, Partition, TopicPartition};
use crate::series::{RecordProgress, ReorderHistory, ReorderSettings};
use crate::telemetry::{ShardMetrics, ShardState, ShardStatus, events};
use crate::training::{RoundSchedule, StreamProgress};
use std::sync::Arc;
use std::time::Instant;

/// The longest note of how readings were held back. Kafka refuses notes of more than 4,096 bytes in all.
const NOTE_BYTES_MAX: usize = 2_048;
/// The longest note of how much of a record was answered.
const PROGRESS_BYTES_MAX: usize = 1_536;

/// A partition that is assigned, and whose shards are being loaded. It is paused meanwhile.
pub(super) struct PendingPartition {
    at: TopicPartition,
    committed: Offset,
    /// The leader epochs of the last committed record, and of the log when it was compared.
    epochs: (Option<LeaderEpoch>, Option<LeaderEpoch>),
    /// Shards that are still to come, by ticket.
    missing: Vec<(u64, ShardMetrics)>,
    loaded: Vec<(Box<LoadedShard>, ShardMetrics)>,
    /// When the partition was assigned.
    since: Instant,
}

impl<P: Ports> Worker<P> {
    /// Requests the shards of partitions that are assigned and paused; these stand still until all are loaded.
    pub(super) fn request_shards(&mut self, starts: &[PartitionStart]) {
        for start in starts {
            let PartitionStart { at, low, committed, topic_id, is_unread, is_cut, note, .. } = start;
            let streams: Vec<Arc<Stream>> = self.streams_of(at).cloned().collect();
            let mut missing = Vec::new();
            let mut new_note = String::new();
            for stream in streams {
                self.tickets += 1;
                let (low, committed, topic_id) = (*low, *committed, *topic_id);
                let (is_unread, is_cut) = (*is_unread, *is_cut);
                let answered = RecordProgress::of(note, &stream.name, committed);
                // A record of which a part was answered goes on under the settings that it began with.
                let from = if answered.is_some() { committed.next() } else { committed };
                let holdings = ReorderHistory::of(note, &stream.name, from, ReorderSettings::of(&stream));
                holdings.note(&stream.name, &mut new_note);
                let (ticket, at) = (self.tickets, at.clone());
                missing.push((ticket, self.setup.metrics.stream(&stream.name).shard(&at)));
                let (state, series) = (ShardState::Restoring, 0);
                let status = ShardStatus { state, series, last_offset: Some(committed), lag: None };
                self.setup.board.shard(self.setup.number, &stream.name, &at, status);
                self.ports.loader.request(LoadRequest {
                    ticket,
                    stream,
                    at,
                    topic_id,
                    low,
                    committed,
                    is_unread,
                    is_cut,
                    holdings,
                    answered,
                });
            }
            // Where very many streams read the partition, a replay has to do without.
            new_note = if new_note.len() <= NOTE_BYTES_MAX { new_note } else { String::new() };
            self.note_beside(
                at,
                LogNote { topic_id: *topic_id, epoch: start.epoch, rest: new_note, progress: String::new() },
            );
            let (at, committed, epochs) = (at.clone(), *committed, (start.epoch, start.compared));
            let since = self.ports.time.now();
            self.pending.push(PendingPartition { at, committed, epochs, missing, loaded: Vec::new(), since });
        }
    }

    /// Takes in the shards that were loaded. Once a partition has all of its shards, it is read.
    pub(super) fn take_loaded(&mut self) -> Result<(), Error> {
        while let Some(loaded) = self.ports.loader.next()? {
            let ticket = loaded.request.ticket;
            let place = |pending: &PendingPartition| {
                pending.missing.iter().position(|(missing, _)| *missing == ticket)
            };
            let found = self.pending.iter_mut().find_map(|pending| place(pending).map(|at| (pending, at)));
            match found {
                Some((pending, at)) => {
                    let (_, shown) = pending.missing.swap_remove(at);
                    pending.loaded.push((loaded, shown));
                }
                // Its partition was revoked or started again meanwhile.
                None => self.rare_paths.mark(RarePath::LoadedForNobody),
            }
        }
        if self.aborts.is_pausing(self.ports.time.now()) {
            return Ok(());
        }
        while let Some(ready) = self.pending.iter().position(|pending| pending.missing.is_empty()) {
            let pending = self.pending.swap_remove(ready);
            self.start_reading(pending)?;
        }
        Ok(())
    }

    fn start_reading(&mut self, pending: PendingPartition) -> Result<(), Error> {
        let PendingPartition { at, committed, epochs: (epoch, compared), loaded, since, .. } = pending;
        let from = loaded.iter().map(|(l, _)| l.from).min().unwrap_or(committed);
        self.report_former_topic(&loaded);
        let waiting_most = self.waiting_most_of(&at);
        for (loaded, shown) in loaded {
            let metrics = self.setup.metrics.stream(&loaded.request.stream.name);
            let log = LogWatch::new(from, epoch, compared);
            let mut owned = OwnedShard::new(
                *loaded,
                log,
                metrics,
                shown,
                self.schemas.clone(),
                since,
                self.ports.time.now(),
            );
            owned.shard.interrupt_at(waiting_most);
            let stream = owned.stream().clone();
            if is_first(&stream, &at) {
                let trained = self.ports.models.current(&stream.name).is_some();
                let now = StreamProgress { readings: owned.shard.age(), newest: owned.shard.agreed_time() };
                let due = RoundSchedule::resumed(&stream, trained, now);
                self.due.insert(stream.name.clone(), due);
            }
            self.shards.push(owned);
        }
        self.ports.broker.seek(&[(at.clone(), from)])?;
        Ok(self.ports.broker.resume(&[at])?)
    }

    /// How many readings of a shard of this partition may wait for their rounds. Where the note beside the offset has no
    /// room to say how much of a record each of very many streams has answered, a record is answered as a whole.
    fn waiting_most_of(&self, at: &TopicPartition) -> usize {
        let progress: usize =
            self.streams_of(at).map(|stream| RecordProgress::note_bytes_max(&stream.name)).sum();
        if progress <= PROGRESS_BYTES_MAX { self.slice() } else { usize::MAX }
    }

    /// Drops the shards of partitions that belong to another worker now.
    pub(super) fn drop_shards(&mut self, parts: &[TopicPartition]) {
        events::revoked(self.setup.number, parts);
        self.give_up_snapshot_of(parts);
        self.forget_logs(parts);
        self.outage.forget(parts);
        self.backlog.forget(parts);
        let pending = self.pending.len();
        self.pending.retain(|pending| !parts.contains(&pending.at));
        self.rare_paths.mark_if(self.pending.len() < pending, RarePath::RevokedWhileLoading);
        self.shards.retain(|owned| !parts.contains(&owned.at));
        let mut trained_here = Vec::new();
        for at in parts {
            for stream in self.streams_of(at) {
                // Those that were still being loaded were shown, too.
                self.setup.board.revoked(self.setup.number, &stream.name, at);
                if is_first(stream, at) {
                    trained_here.push(stream.name.clone());
                }
            }
        }
        for name in trained_here {
            self.due.remove(&name);
        }
    }

    /// Drops the shards of some partitions, and loads each again from what is committed.
    pub(super) fn restart(&mut self, parts: &[TopicPartition]) -> Result<(), Error> {
        self.give_up_snapshot_of(parts);
        self.backlog.forget(parts);
        self.note_unanswered(parts);
        self.shards.retain(|owned| !parts.contains(&owned.at));
        self.pending.retain(|pending| !parts.contains(&pending.at));
        if parts.is_empty() {
            return Ok(());
        }
        let starts = self.starts_or_wait(parts)?;
        self.ports.broker.pause(parts)?;
        self.request_shards(&starts);
        Ok(())
    }

    /// Drops every shard, and loads each again from what is committed.
    pub(super) fn recover(&mut self) -> Result<(), Error> {
        let parts = self.held();
        self.ports.loader.forget_below(self.tickets + 1);
        (self.uncommitted, self.stepped) = (0, 0);
        self.restart(&parts)
    }

    /// Every partition that is assigned, in whatever state.
    pub(super) fn held(&self) -> Vec<TopicPartition> {
        let shards = self.shards.iter().map(|owned| owned.at.clone());
        let pending = self.pending.iter().map(|pending| pending.at.clone());
        let (absent, waiting) = (self.absent().cloned(), self.outage.waiting().cloned());
        let mut parts: Vec<TopicPartition> = shards.chain(pending).chain(absent).chain(waiting).collect();
        parts.sort_unstable();
        parts.dedup();
        parts
    }
}

/// Whether a partition is the first one of the first topic of a stream: its owner hands in the training rounds.
fn is_first(stream: &Stream, at: &TopicPartition) -> bool {
    at.partition == Partition(0) && stream.topics[0] == *at.topic
}
