//! One turn of the loop, and its end.

use super::owned_shard::OwnedShard;
use super::ports::{Broker, PortSet, Ports, ShardLoader, SnapshotSink, TimeSource};
use super::rare_paths::RarePath;
use super::{Error, Worker};
use std::time::Duration;

/// The longest wait for a record.
const WAIT: Duration = Duration::from_millis(50);
/// As [`WAIT`], while a snapshot is taken or a shard is loaded.
const SHORT_WAIT: Duration = Duration::from_millis(1);
/// After a turn of this length it is not known whether there was anything to poll.
const LONG_TURN: Duration = Duration::from_secs(1);
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
        let Self { ports, shards, setup, rare_paths, .. } = self;
        for owned in shards.iter_mut() {
            let taken = owned.step(&mut ports.broker, &mut ports.interceptor, &ports.time)?;
            if taken > 0 {
                setup.board.stepped(&owned.stream().name, taken);
            }
            rare_paths.take_from(&mut owned.rare_paths);
        }
        if polled > 0 {
            let took = ports.time.now().saturating_duration_since(began).as_secs_f64();
            shards.iter().for_each(|o| o.metrics.reading_to_forecast_seconds.observe(took));
        }
        self.uncommitted += polled;
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

    /// Polls, and hands each record to its shards; returns the number of records.
    fn poll(&mut self) -> Result<usize, Error> {
        let hurries = self.snapshot.is_some() || !self.pending.is_empty();
        let wait = if hurries { SHORT_WAIT } else { WAIT };
        let Self { ports, shards, setup, rare_paths, .. } = self;
        let PortSet { broker, interceptor, .. } = ports;
        let mut last = 0;
        let polled = broker.poll(setup.config.daemon.poll_records, wait, |record, epoch| {
            let mine = |o: &OwnedShard| o.at.partition == record.partition && &*o.at.topic == record.topic;
            if !shards.get(last).is_some_and(mine) {
                match shards.iter().position(mine) {
                    Some(at) => last = at,
                    None => return rare_paths.mark(RarePath::RecordWithoutShard),
                }
            }
            // One topic can feed several streams, and each has a shard of its own.
            for owned in shards[last..].iter_mut().filter(|o| mine(o)) {
                owned.take(record, epoch, interceptor);
            }
        })?;
        Ok(polled)
    }

    fn commit_is_due(&self) -> bool {
        let delivery = &self.setup.config.delivery;
        let since = self.ports.time.now().saturating_duration_since(self.committed_at);
        self.uncommitted >= delivery.commit_readings || since >= delivery.commit_interval
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
