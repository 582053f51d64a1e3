//! What a worker does when partitions come and go: it hands shards over and brings shards back.

use super::Error;
use super::loader::{Loaded, Wanted};
use super::logs;
use super::owned::Owned;
use super::turn::Joined;
use crate::config::Stream;
use crate::domain::{Offset, Partition, TopicId, TopicPartition};
use crate::kafka::{Event, Topic};
use crate::series::{ReorderHistory, ReorderSettings};
use crate::telemetry::{Discard, ShardMetrics, ShardState, ShardStatus, events};
use crate::training::{Clock, Due};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a revoked partition may wait for its shards' snapshots; without them the next owner
/// replays from older ones.
const HANDOVER: Duration = Duration::from_secs(10);
/// How often the broker is asked, at most, what became of offsets without records: where producers
/// write in transactions each commit leaves one.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// A note beside a committed offset is no longer: Kafka would refuse to commit it.
const NOTE_BYTES_MAX: usize = 2_048;

/// Where a partition that was assigned begins.
pub(crate) struct Begin {
    pub at: TopicPartition,
    /// The first record that is kept, and the one after the last.
    pub low: Offset,
    pub high: Offset,
    /// What the group has committed of this log, within what it holds.
    pub committed: Offset,
    pub topic_id: Option<TopicId>,
    /// The group has committed nothing of it, and it isn't known why.
    pub is_unread: bool,
    /// What stands beside it.
    pub note: String,
}

/// A partition that is assigned, and whose shards are on their way back. It is paused meanwhile.
pub(crate) struct Opening {
    pub at: TopicPartition,
    committed: Offset,
    /// Shards that have not come yet, by ticket.
    missing: Vec<(u64, ShardMetrics)>,
    loaded: Vec<(Loaded, ShardMetrics)>,
    since: Instant,
}

impl Joined {
    pub(crate) fn answer(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Assigned(parts) => {
                events::assigned(self.worker.number, &parts);
                let starts = self.starts(&parts)?;
                // Those whose topic is gone begin where one that is made anew will.
                let begin = |at: &TopicPartition| {
                    let known = starts.iter().find(|begin| begin.at == *at);
                    (at.clone(), Some(known.map_or(Offset(0), |begin| begin.committed)))
                };
                self.link.assign(&parts.iter().map(begin).collect::<Vec<_>>())?;
                self.link.pause(&parts)?;
                self.open(&starts)?;
                self.worker.board.assigned(self.worker.number);
            }
            Event::Revoked(parts) => {
                self.commit()?;
                self.keep(|owned| parts.contains(&owned.at), Instant::now() + HANDOVER)?;
                self.drop_shards(&parts);
                self.link.release(&parts)?;
            }
            Event::Lost(parts) => {
                // Somebody else has them: what was sent for them must not be committed.
                self.link.abort()?;
                self.drop_shards(&parts);
                self.link.release(&parts)?;
                self.recover()?;
            }
            Event::Trouble(cause) => events::kafka_error(&format!("worker-{}", self.worker.number), &cause),
        }
        Ok(())
    }

    /// Counts what retention took before it was read, from a worker that was too slow or stood still:
    /// librdkafka goes on at the first record that is left, and says nothing. To be called after each
    /// commit: the ends are asked of topics alone of which a broker has just said that they are there.
    /// Brokers would be asked for the ends of one that is gone until they know it again.
    pub(crate) fn count_overtaken(&mut self) -> Result<(), Error> {
        let topics = self.link.newest_topics();
        let is_there = |at: &TopicPartition| matches!(topics.of(at), Some(Topic::Present(_)));
        let passed = self.shards.iter().filter(|owned| owned.passed.is_some() && is_there(&owned.at));
        let mut parts: Vec<TopicPartition> = passed.map(|owned| owned.at.clone()).collect();
        if parts.is_empty() || self.asked_at.elapsed() < ASK_EVERY {
            return Ok(());
        }
        self.asked_at = Instant::now();
        parts.sort_unstable();
        parts.dedup();
        for (at, (low, high)) in self.link.ends(&parts)? {
            let mut is_told = false;
            for owned in self.shards.iter_mut().filter(|owned| owned.at == at) {
                let Some(passed) = owned.passed.take() else { continue };
                let lost = low.min(passed.end).0 - passed.start.0;
                if lost <= 0 {
                    continue;
                }
                owned.metrics.discarded(Discard::Retention).inc_by(lost as u64);
                if !std::mem::replace(&mut is_told, true) {
                    events::log_was_cut(&at, passed.start, low, high);
                }
            }
        }
        Ok(())
    }

    /// Asks for the shards of partitions that are assigned and paused; these stand still until all are back.
    pub(crate) fn open(&mut self, starts: &[Begin]) -> Result<(), Error> {
        for Begin { at, low, committed, topic_id, is_unread, note, .. } in starts {
            let streams: Vec<Arc<Stream>> = self.streams_of(at).cloned().collect();
            let mut missing = Vec::new();
            let mut noted = String::new();
            for stream in streams {
                self.tickets += 1;
                let (low, committed, topic_id, is_unread) = (*low, *committed, *topic_id, *is_unread);
                let holdings =
                    ReorderHistory::of(note, &stream.name, committed, ReorderSettings::of(&stream));
                holdings.note(&stream.name, &mut noted);
                let (ticket, at) = (self.tickets, at.clone());
                missing.push((ticket, self.worker.metrics.stream(&stream.name).shard(&at)));
                let (state, series) = (ShardState::Restoring, 0);
                let status = ShardStatus { state, series, last_offset: Some(committed), lag: None };
                self.worker.board.shard(self.worker.number, &stream.name, &at, status);
                self.loader.want(Wanted {
                    ticket,
                    stream,
                    at,
                    topic_id,
                    low,
                    committed,
                    is_unread,
                    holdings,
                });
            }
            // So many streams read it that a replay has to do without.
            noted = if noted.len() <= NOTE_BYTES_MAX { noted } else { String::new() };
            self.link.note(at.clone(), logs::note(*topic_id) + &noted);
            let (at, committed) = (at.clone(), *committed);
            let since = Instant::now();
            self.opening.push(Opening { at, committed, missing, loaded: Vec::new(), since });
        }
        Ok(())
    }

    pub(crate) fn streams_of<'a>(
        &'a self,
        at: &'a TopicPartition,
    ) -> impl Iterator<Item = &'a Arc<Stream>> + 'a {
        self.worker.config.streams.iter().filter(|s| s.topics.iter().any(|t| **t == *at.topic))
    }

    /// Takes in the shards that have come back. Once a partition has all of its, it is read on.
    pub(crate) fn take_loaded(&mut self) -> Result<(), Error> {
        while let Some(loaded) = self.loader.next()? {
            let ticket = loaded.wanted.ticket;
            // One that was revoked meanwhile is nobody's.
            let place =
                |opening: &Opening| opening.missing.iter().position(|(missing, _)| *missing == ticket);
            for opening in &mut self.opening {
                if let Some(at) = place(opening) {
                    let (_, shown) = opening.missing.swap_remove(at);
                    opening.loaded.push((loaded, shown));
                    break;
                }
            }
        }
        while let Some(ready) = self.opening.iter().position(|o| o.missing.is_empty()) {
            let opening = self.opening.swap_remove(ready);
            self.go_on(opening)?;
        }
        Ok(())
    }

    fn go_on(&mut self, opening: Opening) -> Result<(), Error> {
        let Opening { at, committed, loaded, since, .. } = opening;
        let from = loaded.iter().map(|(l, _)| l.from).min().unwrap_or(committed);
        self.tell_former(&loaded);
        for (loaded, shown) in loaded {
            let metrics = self.worker.metrics.stream(&loaded.wanted.stream.name);
            let owned = Owned::new(loaded, metrics, shown, since);
            let stream = owned.stream().clone();
            if at.partition == Partition(0) && stream.topics[0] == *at.topic {
                let trained = self.worker.models.current(&stream.name).is_some();
                let now = Clock { readings: owned.shard.age(), newest: owned.shard.agreed_time() };
                let due = Due::resumed(&stream, trained, now);
                self.due.insert(stream.name.clone(), due);
            }
            self.shards.push(owned);
        }
        self.link.seek(&[(at.clone(), from)])?;
        Ok(self.link.resume(&[at])?)
    }

    fn drop_shards(&mut self, parts: &[TopicPartition]) {
        events::revoked(self.worker.number, parts);
        self.give_up_snapshot_of(parts);
        self.forget_logs(parts);
        self.opening.retain(|opening| !parts.contains(&opening.at));
        self.shards.retain(|owned| !parts.contains(&owned.at));
        let mut trained_here = Vec::new();
        for at in parts {
            for stream in self.streams_of(at) {
                // Those that were still restoring were shown, too.
                self.worker.board.revoked(self.worker.number, &stream.name, at);
                if at.partition == Partition(0) && stream.topics[0] == *at.topic {
                    trained_here.push(stream.name.clone());
                }
            }
        }
        for name in trained_here {
            self.due.remove(&name);
        }
    }

    /// Drops every shard and starts each again from what is committed.
    pub(crate) fn recover(&mut self) -> Result<(), Error> {
        let shards = self.shards.iter().map(|owned| owned.at.clone());
        let opening = self.opening.iter().map(|o| o.at.clone());
        let mut parts: Vec<TopicPartition> = shards.chain(opening).chain(self.absent().cloned()).collect();
        parts.sort_unstable();
        parts.dedup();
        self.loader.forget_below(self.tickets + 1);
        self.uncommitted = 0;
        self.restart(&parts)
    }
}
