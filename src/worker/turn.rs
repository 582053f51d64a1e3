//! One turn of the loop, and its end.

use super::backlog::KeptRecord;
use super::owned_shard::OwnedShard;
use super::ports::{Broker, PortSet, Ports, ShardLoader, SnapshotSink, TimeSource};
use super::rare_paths::RarePath;
use super::{Error, Worker};
use crate::config::Config;
use std::time::{Duration, Instant};

/// The longest wait for a record.
const WAIT: Duration = Duration::from_millis(50);
/// As [`WAIT`], while a snapshot is taken or a shard is loaded.
const SHORT_WAIT: Duration = Duration::from_millis(1);
/// After a turn of this length it is not known whether there was anything to poll.
const LONG_TURN: Duration = Duration::from_secs(1);
/// A turn takes nothing more after this time, so that it commits and polls. A transaction may last for ten seconds and two
/// commit intervals at least (`kafka/settings.rs`): this is a fifth of that, and leaves the rest for acknowledgements.
const TURN_MOST: Duration = Duration::from_secs(2);
/// How much of the time to stop the last snapshots may take.
const SNAPSHOT_SHARE: f64 = 0.8;

impl<P: Ports> Worker<P> {
    /// One turn of the loop: poll, step, send, and what is due besides.
    ///
    /// # Errors
    /// When the worker can't go on.
    pub fn turn(&mut self) -> Result<(), Error> {
        self.take_turn().or_else(|error| self.go_on_after(error))
    }

    fn take_turn(&mut self) -> Result<(), Error> {
        let began = self.ports.time.now();
        if began.saturating_duration_since(self.turned_at) >= LONG_TURN {
            self.rare_paths.mark(RarePath::LongTurn);
            self.shards.iter_mut().for_each(|owned| owned.was_kept_waiting(began));
        }
        self.turned_at = began;
        let polled = self.poll()?;
        self.uncommitted += polled;
        self.step()?;
        while self.has_unfinished() && !self.turn_is_over(began) {
            if !self.take_more() {
                break;
            }
            self.step()?;
        }
        self.hold_back_polls()?;
        let Self { ports, shards, .. } = self;
        if polled > 0 {
            let took = ports.time.now().saturating_duration_since(began).as_secs_f64();
            shards.iter().for_each(|o| o.metrics.reading_to_forecast_seconds.observe(took));
        }
        while let Some(event) = self.ports.broker.event() {
            self.answer(event)?;
        }
        self.start_waiting()?;
        self.take_loaded()?;
        self.restart_doubtful()?;
        if self.ports.loader.has_panicked() || self.ports.snapshots.has_panicked() {
            return Err(Error::Panicked);
        }
        let just_committed = self.commit_is_due() && self.commit()?;
        self.count_overtaken()?;
        self.snapshot(just_committed)?;
        self.end_replays();
        self.keep_pace();
        self.follow_models()?;
        self.train();
        self.publisher.publish(&mut self.shards, &self.ports.broker, &self.ports.time);
        Ok(())
    }

    /// Steps what the shards have taken, and sends the answers.
    fn step(&mut self) -> Result<(), Error> {
        let Self { ports, shards, setup, rare_paths, stepped, .. } = self;
        for owned in shards.iter_mut() {
            let when = setup.config.delivery.too_large;
            let done = owned.step(&mut ports.broker, &mut ports.interceptor, &ports.time, when)?;
            if done.readings > 0 {
                setup.board.stepped(&owned.stream().name, done.readings);
            }
            *stepped += done.steps;
            rare_paths.take_from(&mut owned.rare_paths);
        }
        Ok(())
    }

    /// How many readings may wait for their rounds at once: as many as a poll hands over at most, so that records with one
    /// reading each never wait.
    pub(super) fn slice(&self) -> usize {
        let Config { daemon, delivery, .. } = &*self.setup.config;
        daemon.poll_records.min(delivery.commit_readings)
    }

    /// Polls, and hands each record to its shards; returns the number of records.
    fn poll(&mut self) -> Result<usize, Error> {
        let hurries = self.snapshot.is_some()
            || !self.pending.is_empty()
            || self.has_unfinished() && !self.awaits_schemas;
        let wait = if hurries { SHORT_WAIT } else { WAIT };
        let slice = self.slice();
        let slice_readings = slice as u64;
        // What is paused hands over no more.
        let room = if self.backlog.has_paused() { 0 } else { self.backlog.len() };
        let max = slice.saturating_sub(room).max(1);
        let mut is_any_unfinished = self.has_unfinished();
        let has_schemas = self.schemas.is_some();
        let Self { ports, shards, rare_paths, backlog, .. } = self;
        let PortSet { broker, interceptor, .. } = ports;
        let mut last = 0;
        let mut waiting = 0;
        let polled = broker.poll(max, wait, |record, epoch| {
            let mine = |o: &OwnedShard| o.at.partition == record.partition && &*o.at.topic == record.topic;
            if !shards.get(last).is_some_and(mine) {
                match shards.iter().position(mine) {
                    Some(at) => last = at,
                    None => return rare_paths.mark(RarePath::RecordWithoutShard),
                }
            }
            if waiting >= slice_readings || is_any_unfinished {
                let at = &shards[last].at;
                let is_blocked = |o: &OwnedShard| o.at == *at && o.is_unfinished();
                if waiting >= slice_readings || backlog.has(at) || shards.iter().any(is_blocked) {
                    rare_paths.mark(RarePath::Backlogged);
                    return backlog.push(at, KeptRecord::of(record, epoch));
                }
            }
            if has_schemas && shards[last..].iter_mut().any(|o| mine(o) && o.awaits_schema(record)) {
                is_any_unfinished = true;
                return backlog.push(&shards[last].at, KeptRecord::of(record, epoch));
            }
            // One topic can feed several streams, and each has a shard of its own.
            for owned in shards[last..].iter_mut().filter(|o| mine(o)) {
                let before = owned.shard.waiting();
                owned.take(record, epoch, interceptor);
                waiting += owned.shard.waiting() - before;
                is_any_unfinished |= owned.is_unfinished();
            }
        })?;
        Ok(polled)
    }

    /// Whether a record has not let everything through, or records that were polled wait.
    pub fn has_unfinished(&self) -> bool {
        self.backlog.has_waiting() || self.shards.iter().any(OwnedShard::is_unfinished)
    }

    /// Whether what was stepped is to be committed, and polled, before more is.
    fn turn_is_over(&self, began: Instant) -> bool {
        self.stepped >= self.setup.config.delivery.commit_readings
            || self.ports.time.now().saturating_duration_since(began) >= TURN_MOST
    }

    /// Lets the shards go on with records that are not finished, then takes records that wait, until as many readings wait
    /// for their rounds as may. Returns whether any went on: records whose schemas are not known yet go on waiting.
    fn take_more(&mut self) -> bool {
        let slice = self.slice() as u64;
        let mut has_gone_on = false;
        let Self { ports, shards, backlog, .. } = self;
        let now = ports.time.now();
        let interceptor = &mut ports.interceptor;
        // Whoever comes first takes most, so each partition comes first in its turn.
        let parts = backlog.partitions_in_turn();
        let first = backlog.turns() % shards.len().max(1);
        let mut waiting = 0;
        let (before, from_first) = shards.split_at_mut(first);
        for owned in from_first.iter_mut().chain(before).filter(|owned| owned.is_unfinished()) {
            if waiting >= slice {
                break;
            }
            owned.go_on(interceptor);
            has_gone_on = true;
            waiting += owned.shard.waiting();
        }
        for at in parts {
            while waiting < slice
                && !shards.iter().any(|owned| owned.at == at && owned.is_unfinished())
                && let Some(record) = backlog.first(&at)
            {
                let record = record.as_record(&at);
                if shards.iter_mut().any(|owned| owned.at == at && owned.awaits_schema(&record)) {
                    shards.iter_mut().filter(|o| o.at == at).for_each(|o| o.was_kept_waiting(now));
                    break;
                }
                let Some(record) = backlog.pop(&at) else { break };
                has_gone_on = true;
                for owned in shards.iter_mut().filter(|owned| owned.at == at) {
                    let before = owned.shard.waiting();
                    owned.take(&record.as_record(&at), record.epoch, interceptor);
                    waiting += owned.shard.waiting() - before;
                }
            }
        }
        self.awaits_schemas = !has_gone_on;
        has_gone_on
    }

    /// Pauses partitions while too many of their records wait, and reads them again afterwards.
    fn hold_back_polls(&mut self) -> Result<(), Error> {
        if self.backlog.is_empty() {
            return Ok(());
        }
        let done = self.backlog.resume();
        if !done.is_empty() {
            self.ports.broker.resume(&done)?;
        }
        if self.backlog.len() >= self.slice() {
            let new = self.backlog.pause();
            if !new.is_empty() {
                self.rare_paths.mark(RarePath::BacklogPaused);
                self.ports.broker.pause(&new)?;
            }
        }
        Ok(())
    }

    fn commit_is_due(&self) -> bool {
        let delivery = &self.setup.config.delivery;
        let since = self.ports.time.now().saturating_duration_since(self.committed_at);
        self.uncommitted.max(self.stepped) >= delivery.commit_readings || since >= delivery.commit_interval
    }

    /// Commits, and takes the last snapshots, as far as the time to stop allows.
    ///
    /// # Errors
    /// When the worker can't go on.
    pub fn finish(&mut self) -> Result<(), Error> {
        let stop_timeout = self.setup.config.daemon.stop_timeout;
        let until = self.ports.time.now() + stop_timeout.mul_f64(SNAPSHOT_SHARE);
        if self.commit()? {
            self.count_overtaken()?;
            self.snapshot_now(|owned| owned.replay.is_none(), until)?;
        }
        Ok(())
    }

    /// Logs everything that was not logged yet: at the end, whatever has ended the worker.
    pub fn log_all(&self) {
        self.publisher.tell_all();
        self.setup.metrics.log_new_epochs(None);
    }
}
