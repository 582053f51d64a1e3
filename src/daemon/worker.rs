use super::Error;
use super::models::Models;
use super::owned::Owned;
use super::publish::Publisher;
use super::trainer::Door;
use crate::config::{Config, Stream};
use crate::domain::{Offset, Partition, StreamName, TopicPartition};
use crate::kafka::{self, Commit, Event, Link};
use crate::series::SeriesSample;
use crate::telemetry::{Board, ClientMetrics, Metrics, TransactionOutcome, events};
use crate::training::Due;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The longest that a worker waits for a record before it looks around.
const WAIT: Duration = Duration::from_millis(50);
/// Series whose states are warmed for a new network between two polls.
const WARM: usize = 1_024;
/// The most readings that are replayed to warm a shard.
const REPLAY_MAX: i64 = 1_000_000;
/// How long the time of the last committed record is waited for.
const TIME_WAIT: Duration = Duration::from_secs(5);
/// How long an idle partition may keep a shard restoring: what is left are transaction markers.
const IDLE: Duration = Duration::from_secs(1);

/// A thread's work: everything from a poll to a commit, one after the other.
pub(super) struct Worker {
    number: usize,
    config: Arc<Config>,
    models: Models,
    door: Door,
    metrics: Metrics,
    board: Board,
    stop: Arc<AtomicBool>,
}

/// A worker that has joined its group.
struct Joined {
    worker: Worker,
    link: Link,
    shards: Vec<Owned>,
    publisher: Publisher,
    due: BTreeMap<StreamName, Due>,
    followed: u64,
    uncommitted: usize,
    committed_at: Instant,
    polled_at: Instant,
    clients: [ClientMetrics; 2],
}

impl Worker {
    pub fn new(
        number: usize,
        config: Arc<Config>,
        models: Models,
        door: Door,
        metrics: Metrics,
        board: Board,
        stop: Arc<AtomicBool>,
    ) -> Self {
        Self { number, config, models, door, metrics, board, stop }
    }

    /// Runs until it is asked to stop or can't go on.
    pub fn run(self) -> Result<(), Error> {
        let mut topics: Vec<String> =
            self.config.streams.iter().flat_map(|s| s.topics.iter().cloned()).collect();
        topics.sort_unstable();
        topics.dedup();
        let link = Link::connect(&self.config, self.number, &topics)?;
        let client = |kind: &str| self.metrics.kafka_client(&format!("{kind}-{}", self.number));
        let clients = [client("consumer"), client("producer")];
        let publisher = Publisher::new(self.number, self.board.clone());
        let now = Instant::now();
        let joined = Joined {
            worker: self,
            link,
            shards: Vec::new(),
            publisher,
            due: BTreeMap::new(),
            followed: 0,
            uncommitted: 0,
            committed_at: now,
            polled_at: now,
            clients,
        };
        joined.run()
    }
}

impl Joined {
    fn run(mut self) -> Result<(), Error> {
        while !self.worker.stop.load(Ordering::Acquire) {
            self.turn()?;
        }
        self.commit()?;
        Ok(self.link.leave()?)
    }

    /// One turn of the loop: poll, step, send, and what is due besides.
    fn turn(&mut self) -> Result<(), Error> {
        let began = Instant::now();
        let Self { link, shards, worker, .. } = self;
        let mut last = 0;
        let polled = link.poll(worker.config.daemon.poll_records, WAIT, &mut |record| {
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
            self.polled_at = Instant::now();
        }
        self.uncommitted += polled;
        while let Some(event) = self.link.event() {
            self.answer(event)?;
        }
        let delivery = &self.worker.config.delivery;
        if self.uncommitted >= delivery.commit_readings
            || self.committed_at.elapsed() >= delivery.commit_interval
        {
            self.commit()?;
        }
        self.restored();
        self.bring_models()?;
        self.train();
        self.publisher.publish(&mut self.shards, &self.link);
        let statistics = self.link.statistics();
        self.clients[0].update(&statistics.consumer);
        self.clients[1].update(&statistics.producer);
        Ok(())
    }

    fn answer(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Assigned(parts) => {
                events::assigned(self.worker.number, &parts);
                let starts = self.open(&parts)?;
                self.link
                    .assign(&starts.iter().map(|(tp, at)| (tp.clone(), Some(*at))).collect::<Vec<_>>())?;
                self.worker.board.assigned(self.worker.number);
            }
            Event::Revoked(parts) => {
                self.commit()?;
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

    /// Makes shards for partitions, and says where each starts to read: far enough before what is
    /// committed that it is warm when it begins to answer.
    fn open(&mut self, parts: &[TopicPartition]) -> Result<Vec<(TopicPartition, Offset)>, Error> {
        let mut starts = Vec::new();
        for (at, committed) in self.link.committed(parts)? {
            let (low, high) = self.link.watermarks(&at)?;
            // Retention may have passed what is committed, and a lost log may end before it.
            let committed = committed.unwrap_or(low).clamp(low, high);
            let streams: Vec<Arc<Stream>> = self.streams_of(&at).cloned().collect();
            let mut from = committed;
            for stream in &streams {
                from = from.min(self.replay_from(stream, &at, low, committed)?);
            }
            for stream in &streams {
                let metrics = self.worker.metrics.stream(&stream.name);
                let mut owned = Owned::new(stream, &at, from, committed, metrics);
                owned.follow(self.worker.models.current(&stream.name).as_ref())?;
                owned.shard.warm(WARM)?;
                self.shards.push(owned);
                if at.partition == Partition(0) && stream.topics[0] == *at.topic {
                    let trained = self.worker.models.current(&stream.name).is_some();
                    let due = Due::new(stream.training.schedule, trained);
                    self.due.insert(stream.name.clone(), due);
                }
            }
            starts.push((at, from));
        }
        Ok(starts)
    }

    fn streams_of<'a>(&'a self, at: &'a TopicPartition) -> impl Iterator<Item = &'a Arc<Stream>> + 'a {
        self.worker.config.streams.iter().filter(|s| s.topics.iter().any(|t| **t == *at.topic))
    }

    /// The offset from which a shard without a snapshot replays.
    fn replay_from(
        &self,
        stream: &Stream,
        at: &TopicPartition,
        low: Offset,
        committed: Offset,
    ) -> Result<Offset, kafka::Error> {
        if committed <= low || stream.cold_replay.is_zero() {
            return Ok(committed);
        }
        let Some(newest) = self.link.record_time(at, Offset(committed.0 - 1), TIME_WAIT)? else {
            return Ok(committed);
        };
        let back = i64::try_from(stream.cold_replay.as_micros()).unwrap_or(i64::MAX);
        let from = self.link.offset_at(at, newest.offset_by(-back))?.unwrap_or(committed);
        let earliest = low.max(Offset(committed.0 - REPLAY_MAX));
        Ok(from.clamp(earliest, committed))
    }

    fn drop_shards(&mut self, parts: &[TopicPartition]) {
        events::revoked(self.worker.number, parts);
        let (board, number) = (&self.worker.board, self.worker.number);
        let due = &mut self.due;
        self.shards.retain(|owned| {
            let gone = parts.contains(&owned.at);
            if gone {
                let stream = owned.stream();
                board.revoked(number, &stream.name, &owned.at);
                if owned.at.partition == Partition(0) && stream.topics[0] == *owned.at.topic {
                    due.remove(&stream.name);
                }
            }
            !gone
        });
    }

    /// Commits what was sent and how far was read. After an abort the memory of all shards is ahead
    /// of the log: they are dropped and recovered.
    fn commit(&mut self) -> Result<(), Error> {
        let began = Instant::now();
        self.committed_at = began;
        let mut positions: Vec<(TopicPartition, Offset)> = Vec::new();
        for owned in self.shards.iter().filter(|o| o.position > o.committed) {
            if !positions.iter().any(|(at, _)| *at == owned.at) {
                positions.push((owned.at.clone(), owned.position));
            }
        }
        if positions.is_empty() {
            return Ok(());
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
                Ok(())
            }
            Ok(Commit::Aborted(cause)) => {
                self.worker.metrics.transaction(TransactionOutcome::Aborted);
                events::aborted(self.worker.number, &cause);
                self.recover()
            }
            Ok(Commit::Unknown(cause)) => {
                // What is committed is what the group says, and recovery asks the group.
                self.worker.metrics.transaction(TransactionOutcome::Unknown);
                events::aborted(self.worker.number, &cause);
                self.recover()
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

    /// Drops every shard and starts each again from what is committed.
    fn recover(&mut self) -> Result<(), Error> {
        let mut parts: Vec<TopicPartition> = self.shards.iter().map(|o| o.at.clone()).collect();
        parts.sort_unstable();
        parts.dedup();
        self.shards.clear();
        self.uncommitted = 0;
        if parts.is_empty() {
            return Ok(());
        }
        let starts = self.open(&parts)?;
        Ok(self.link.seek(&starts)?)
    }

    /// Notes the shards whose silent replay is over.
    fn restored(&mut self) {
        let idle = self.polled_at.elapsed() >= IDLE;
        for owned in &mut self.shards {
            let Some(restoring) = &owned.restoring else { continue };
            let caught_up = owned.position >= owned.committed || (idle && restoring.since.elapsed() >= IDLE);
            if caught_up {
                let (from, took) = (restoring.from, restoring.since.elapsed());
                let name = &owned.shard.stream().name;
                events::restored(name, &owned.at, from, owned.committed, owned.shard.series(), took);
                owned.metrics.restore_seconds.observe(took.as_secs_f64());
                owned.shown.set_state(crate::telemetry::ShardState::Running);
                owned.restoring = None;
            }
        }
    }

    /// Follows the models: brings in new ones, and warms their states a few series at a time.
    fn bring_models(&mut self) -> Result<(), Error> {
        let changes = self.worker.models.changes();
        if changes != self.followed {
            self.followed = changes;
            for owned in &mut self.shards {
                let model = self.worker.models.current(&owned.stream().name);
                owned.follow(model.as_ref())?;
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
    /// of a stream's first topic does so: its series are a fair sample.
    fn train(&mut self) {
        for (name, due) in &mut self.due {
            let shards = || self.shards.iter().filter(|o| o.stream().name == *name);
            let Some(stream) = shards().next().map(|o| o.stream().clone()) else { continue };
            if !stream.training.enabled || shards().any(|o| o.restoring.is_some()) {
                continue;
            }
            let age = shards().map(|o| o.shard.age()).max().unwrap_or(0);
            if !due.is_due(age) {
                continue;
            }
            let most = stream.training.budget.series.div_ceil(shards().count());
            let samples = || -> Vec<SeriesSample> { shards().flat_map(|o| o.shard.samples(most)).collect() };
            if self.worker.door.hand_in(&stream, samples) {
                due.begun(age);
            }
        }
    }
}
