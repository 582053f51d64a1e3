use super::Error;
use super::archive::Archive;
use super::loader::{Loader, ShardLoader};
use super::logs::Logs;
use super::owned::{Owned, Restoring};
use super::publish::Publisher;
use super::rebalance::Opening;
use super::snapshot::Cutting;
use crate::checkpoint::Store;
use crate::config::Config;
use crate::domain::{Offset, StreamName, TopicPartition};
use crate::kafka::{self, Commit, Link};
use crate::models::Door;
use crate::models::Models;
use crate::series::WindowCopy;
use crate::telemetry::{Board, ClientMetrics, Metrics, TransactionOutcome, events};
use crate::training::{Clock, Due, Why};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The longest that a worker waits for a record before it looks around.
const WAIT: Duration = Duration::from_millis(50);
/// As [`WAIT`], while a snapshot or a shard is on its way.
const SHORT_WAIT: Duration = Duration::from_millis(1);
/// After a turn of this length it is not known whether there was anything to poll.
const LONG_TURN: Duration = Duration::from_secs(1);
/// How much of the time to stop the last snapshots may take.
const SNAPSHOT_SHARE: f64 = 0.8;
/// Series whose states are warmed for a new network between two polls.
const WARM: usize = 1_024;

/// A thread's work: everything from a poll to a commit, one after the other.
pub(crate) struct Worker {
    pub number: usize,
    pub config: Arc<Config>,
    pub store: Store,
    pub models: Models,
    pub door: Door,
    pub metrics: Metrics,
    pub board: Board,
    pub stop: Arc<AtomicBool>,
}

/// A worker that has joined its group.
pub(crate) struct Joined {
    pub worker: Worker,
    pub link: Link,
    pub shards: Vec<Owned>,
    /// Partitions whose shards are on their way back.
    pub opening: Vec<Opening>,
    pub logs: Logs,
    pub tickets: u64,
    pub loader: Loader,
    pub archive: Archive,
    pub cutting: Option<Cutting>,
    pub due: BTreeMap<StreamName, Due>,
    pub uncommitted: usize,
    publisher: Publisher,
    followed: u64,
    /// A shard has ended its replay and may follow the models from now on.
    restored_one: bool,
    committed_at: Instant,
    turned_at: Instant,
    /// When it was last asked what became of offsets without records.
    pub asked_at: Instant,
    clients: [ClientMetrics; 2],
}

impl Worker {
    /// Runs until it is asked to stop or can't go on.
    pub fn run(self) -> Result<(), Error> {
        let mut topics: Vec<String> =
            self.config.streams.iter().flat_map(|s| s.topics.iter().cloned()).collect();
        topics.sort_unstable();
        topics.dedup();
        let link = Link::connect(&self.config, self.number, &topics)?;
        let names = topics.iter().map(|topic| topic.as_str().into()).collect();
        let known = link.topics(&names)?;
        let client = |kind: &str| self.metrics.kafka_client(&format!("{kind}-{}", self.number));
        let clients = [client("consumer"), client("producer")];
        let streams = self.config.streams.iter().map(|stream| self.metrics.stream(&stream.name)).collect();
        let publisher = Publisher::new(self.number, self.board.clone(), streams);
        let shard_loader = ShardLoader {
            kafka: self.config.kafka.clone(),
            store: self.store.clone(),
            settings: self.config.snapshots.clone(),
            models: self.models.clone(),
            stop: self.stop.clone(),
        };
        let joined = Joined {
            loader: Loader::start(self.number, shard_loader)?,
            archive: Archive::start(self.number)?,
            worker: self,
            link,
            shards: Vec::new(),
            opening: Vec::new(),
            logs: Logs::new(&known),
            tickets: 0,
            cutting: None,
            due: BTreeMap::new(),
            uncommitted: 0,
            publisher,
            followed: 0,
            restored_one: false,
            committed_at: Instant::now(),
            turned_at: Instant::now(),
            asked_at: Instant::now(),
            clients,
        };
        joined.run()
    }
}

impl Joined {
    fn run(mut self) -> Result<(), Error> {
        let ended = self.work();
        self.publisher.tell_all();
        ended?;
        Ok(self.link.leave()?)
    }

    /// Works until it is asked to stop, and commits and keeps what it has.
    fn work(&mut self) -> Result<(), Error> {
        while !self.worker.stop.load(Ordering::Acquire) {
            self.turn()?;
        }
        let until = Instant::now() + self.worker.config.daemon.stop_timeout.mul_f64(SNAPSHOT_SHARE);
        if self.commit()? {
            self.count_overtaken()?;
            self.keep(|owned| owned.restoring.is_none(), until)?;
        }
        Ok(())
    }

    /// One turn of the loop: poll, step, send, and what is due besides.
    fn turn(&mut self) -> Result<(), Error> {
        let began = Instant::now();
        if self.turned_at.elapsed() >= LONG_TURN {
            self.shards.iter_mut().for_each(Owned::was_kept_waiting);
        }
        self.turned_at = began;
        let hurries = self.is_cutting() || !self.opening.is_empty();
        let wait = if hurries { SHORT_WAIT } else { WAIT };
        let Self { link, shards, worker, .. } = self;
        let mut last = 0;
        let polled = link.poll(worker.config.daemon.poll_records, wait, &mut |record| {
            let mine = |o: &Owned| o.at.partition == record.partition && &*o.at.topic == record.topic;
            if !shards.get(last).is_some_and(mine) {
                match shards.iter().position(mine) {
                    Some(at) => last = at,
                    // What was fetched before a rebalance and belongs to nobody here.
                    None => return,
                }
            }
            // One topic can feed several streams: each has a shard of its own.
            for owned in shards[last..].iter_mut().filter(|o| mine(o)) {
                owned.take(&record);
            }
        })?;
        for owned in shards.iter_mut() {
            let taken = owned.step(link)?;
            worker.board.stepped(&owned.stream().name, taken);
        }
        if polled > 0 {
            let took = began.elapsed().as_secs_f64();
            shards.iter().for_each(|o| o.metrics.reading_to_forecast_seconds.observe(took));
        }
        self.uncommitted += polled;
        while let Some(event) = self.link.event() {
            self.answer(event)?;
        }
        self.take_loaded()?;
        self.look_at_logs()?;
        if self.loader.has_panicked() || self.archive.has_panicked() {
            return Err(Error::Panicked);
        }
        let delivery = &self.worker.config.delivery;
        let due = self.uncommitted >= delivery.commit_readings
            || self.committed_at.elapsed() >= delivery.commit_interval;
        let just_committed = due && self.commit()?;
        self.count_overtaken()?;
        self.snapshot(just_committed)?;
        self.restored();
        self.bring_models()?;
        self.train();
        self.publisher.publish(&mut self.shards, &self.link);
        let statistics = self.link.statistics();
        self.clients[0].update(&statistics.consumer);
        self.clients[1].update(&statistics.producer);
        Ok(())
    }

    /// Commits what was sent and how far was read. After an abort the memory of all shards is ahead
    /// of the log: they are dropped and recovered. Says whether every shard is now what the group's
    /// offsets say.
    pub(crate) fn commit(&mut self) -> Result<bool, Error> {
        let began = Instant::now();
        self.committed_at = began;
        let mut positions: Vec<(TopicPartition, Offset)> = Vec::new();
        for owned in self.shards.iter().filter(|o| o.position > o.committed) {
            if !positions.iter().any(|(at, _)| *at == owned.at) {
                positions.push((owned.at.clone(), owned.position));
            }
        }
        if positions.is_empty() {
            return Ok(true);
        }
        let readings = std::mem::take(&mut self.uncommitted);
        match self.link.commit(&positions) {
            Ok(Commit::Committed) => {
                let mut forecasts = 0;
                for owned in &mut self.shards {
                    owned.committed = owned.committed.max(owned.position);
                    forecasts += std::mem::take(&mut owned.forecasts);
                }
                self.worker.metrics.transaction(TransactionOutcome::Committed);
                events::committed(self.worker.number, readings, forecasts, began.elapsed());
                Ok(true)
            }
            Ok(Commit::Aborted(cause)) => {
                self.worker.metrics.transaction(TransactionOutcome::Aborted);
                events::aborted(self.worker.number, &cause);
                self.recover().map(|()| false)
            }
            Ok(Commit::Unknown(cause)) => {
                // What is committed is what the group says, and recovery asks the group.
                self.worker.metrics.transaction(TransactionOutcome::Unknown);
                events::aborted(self.worker.number, &cause);
                self.recover().map(|()| false)
            }
            Err(cause) => {
                if matches!(cause, kafka::Error::Fenced(_)) {
                    self.worker.metrics.transaction(TransactionOutcome::Fenced);
                    events::fenced(self.worker.number, &cause);
                }
                Err(cause.into())
            }
        }
    }

    /// Notes the shards whose silent replay is over.
    fn restored(&mut self) {
        for owned in &mut self.shards {
            if let Some((Restoring { from, to, .. }, took)) = owned.end_restoring() {
                self.restored_one = true;
                let (name, series) = (&owned.stream().name, owned.shard.series());
                events::restored(name, &owned.at, owned.snapshot, from, to, series, took);
            }
        }
    }

    /// Follows the models: brings in new ones, and warms their states a few series at a time.
    fn bring_models(&mut self) -> Result<(), Error> {
        let changes = self.worker.models.changes();
        // A shard that is restoring goes on with the model of its snapshot.
        if changes != self.followed || self.restored_one {
            (self.followed, self.restored_one) = (changes, false);
            for owned in self.shards.iter_mut().filter(|owned| owned.restoring.is_none()) {
                owned.follow(&self.worker.models.standing(&owned.stream().name))?;
            }
        }
        for owned in self.shards.iter_mut().filter(|o| o.shard.is_warming()) {
            if let Some(version) = owned.shard.warm(WARM)? {
                events::model_serves(&owned.shard.stream().name, version, &owned.at);
            }
        }
        Ok(())
    }

    /// Hands in a round for each stream whose time has come. The worker that owns the first partition
    /// of a stream's first topic does so: its series are a fair sample. Drift in any shard of the process
    /// hastens it.
    fn train(&mut self) {
        for owned in self.shards.iter_mut().filter(|owned| owned.drifted) {
            owned.drifted = false;
            self.worker.door.hasten(&owned.stream().name, Why::Drift);
        }
        for (name, due) in &mut self.due {
            let shards = || self.shards.iter().filter(|o| o.stream().name == *name);
            let Some(stream) = shards().next().map(|o| o.stream().clone()) else { continue };
            if !stream.training.enabled || shards().any(|o| o.restoring.is_some()) {
                continue;
            }
            self.worker.door.take_hastened(name).into_iter().for_each(|why| due.hasten(why));
            let now = Clock {
                readings: shards().map(|o| o.shard.age()).max().unwrap_or(0),
                newest: shards().filter_map(|o| o.shard.agreed_time()).max(),
            };
            let Some((start, why)) = due.is_due(now) else { continue };
            let most = stream.training.budget.series.div_ceil(shards().count());
            let samples = || -> Vec<WindowCopy> { shards().flat_map(|o| o.shard.samples(most)).collect() };
            if self.worker.door.hand_in(&stream, start, why, samples) {
                due.begun(now);
            }
        }
    }
}
