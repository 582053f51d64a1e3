//! What a worker shows of its shards, in the metrics and on the board.

use super::owned_shard::OwnedShard;
use super::ports::{Broker, TimeSource};
use crate::domain::{Degraded, Forecast, Grid, Level, ModelVersion, StreamName};
use crate::kafka::WorkerStatistics;
use crate::scoring::ScoreSummary;
use crate::series::Slot;
use crate::telemetry::{
    Accuracy, Board, ClientMetrics, ClientStatistics, ExpertScore, Scores, ShardState, ShardStatus, Showcase,
    ShownForecast, ShownTarget, StreamMetrics,
};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often a worker publishes.
const EVERY: Duration = Duration::from_millis(500);
/// A client without a broker for so long makes the process unready. A broker that restarts is back before.
const UNREADY_AFTER: Duration = Duration::from_secs(10);
/// Older errors weigh less by this much each time: what is shown is recent.
const KEEP: f64 = 0.97;
/// Readings that a showcase shows.
const SHOWN: usize = 160;

/// The metrics of a worker's Kafka clients.
pub(super) struct ClientPair {
    pub consumer: ClientMetrics,
    pub producer: ClientMetrics,
}

/// Publishes what a worker's shards and clients do, and that it lives, now and then: once a turn would cost more than
/// the rest of a turn with one reading.
pub(super) struct Publisher {
    worker: usize,
    board: Board,
    next: Instant,
    /// Of all streams: one whose last shard is gone may have something left to log.
    streams: Vec<StreamMetrics>,
    clients: ClientPair,
    recent: BTreeMap<StreamName, ScoreSummary>,
    /// Why the worker waits for Kafka.
    waits: Option<String>,
    /// Since when no broker answers one of its clients.
    disconnected: Option<Instant>,
}

impl Publisher {
    pub fn new(
        worker: usize,
        board: Board,
        streams: Vec<StreamMetrics>,
        clients: ClientPair,
        now: Instant,
    ) -> Self {
        Self {
            worker,
            board,
            next: now,
            streams,
            clients,
            recent: BTreeMap::new(),
            waits: None,
            disconnected: None,
        }
    }

    /// Shows why the worker waits for Kafka; `None` when it does not.
    pub fn waits_for_kafka(&mut self, cause: Option<String>) {
        self.board.waits_for_kafka(self.worker, cause.clone());
        self.waits = cause;
    }

    /// Publishes when it is time.
    pub fn publish(&mut self, shards: &mut [OwnedShard], broker: &impl Broker, time: &impl TimeSource) {
        let now = time.now();
        if now < self.next {
            return;
        }
        self.next = now + EVERY;
        self.board.beat(self.worker);
        let statistics = broker.statistics();
        self.clients.consumer.update(&statistics.consumer);
        self.clients.producer.update(&statistics.producer);
        self.connection(&statistics, now);
        self.streams.iter().for_each(StreamMetrics::tell_due);
        for owned in shards.iter_mut() {
            self.shard(owned, broker, time);
        }
        for owned in shards {
            if let Some(summary) = self.recent.get_mut(&owned.stream().name) {
                accuracy(summary, &owned.metrics);
            }
        }
        for (stream, summary) in &mut self.recent {
            self.board.scores(self.worker, stream, scores(summary));
            summary.fade(KEEP);
        }
    }

    /// Shows that a client has been without a broker for a while.
    fn connection(&mut self, statistics: &WorkerStatistics, now: Instant) {
        let away = |client: &ClientStatistics| client.is_connected == Some(false);
        let (consumer, producer) = (away(&statistics.consumer), away(&statistics.producer));
        let since = self.disconnected.filter(|_| consumer || producer);
        self.disconnected = since.or((consumer || producer).then_some(now));
        if self.waits.is_none() {
            let is_long = since.is_some_and(|since| now.saturating_duration_since(since) >= UNREADY_AFTER);
            let client = if consumer { "consumer" } else { "producer" };
            let cause = is_long.then(|| format!("no broker answers the {client}"));
            self.board.waits_for_kafka(self.worker, cause);
        }
    }

    /// Logs everything that was not logged yet: at the end.
    pub fn tell_all(&self) {
        self.streams.iter().for_each(StreamMetrics::tell_all);
    }

    fn shard(&mut self, owned: &mut OwnedShard, broker: &impl Broker, time: &impl TimeSource) {
        let lag = broker.lag(&owned.at, owned.position);
        owned.shown.set_lag(lag);
        owned.shown.set_series(owned.shard.series(), &owned.shard.memory_by_part());
        let since = |created| Duration::from_secs_f64(time.wall().seconds_since(created).max(0.0));
        let age = owned.newest_snapshot.map(|whole| since(whole.created));
        owned.shown.set_snapshot_age(age);
        let name = owned.stream().name.clone();
        let summary = owned.shard.take_summary();
        match self.recent.get_mut(&name) {
            Some(recent) => recent.merge(&summary),
            None => drop(self.recent.insert(name.clone(), summary)),
        }
        let state = if owned.replay.is_some() { ShardState::Restoring } else { ShardState::Running };
        let status =
            ShardStatus { state, series: owned.shard.series(), last_offset: Some(owned.position), lag };
        self.board.shard(self.worker, &name, &owned.at, status);
        self.model(owned, owned.shard.model(), owned.shard.degraded());
        if let Some(forecast) = owned.latest.as_ref()
            && self.board.wants_showcase(&name, owned.shard.name(Slot(0)))
        {
            self.board.showcase(&name, showcase(owned, forecast));
        }
    }

    fn model(&self, owned: &OwnedShard, version: Option<ModelVersion>, degraded: Option<Degraded>) {
        owned.metrics.set_model(version);
        self.board.model(&owned.stream().name, version, degraded);
    }
}

/// Recent errors, skill over the seasonal naive and coverage, into the metrics.
fn accuracy(summary: &ScoreSummary, metrics: &StreamMetrics) {
    let named = |name: &str| summary.names().iter().position(|n| *n == name);
    let reference = named("seasonal").or(named("last")).expect("the last value is always one");
    for bucket in 0..summary.buckets().len() {
        let naive = summary.error(reference, bucket);
        for expert in 0..summary.names().len() {
            if let Some(error) = summary.error(expert, bucket) {
                let skill = naive.filter(|n| *n > 0.0).map(|n| 1.0 - error / n);
                metrics.set_accuracy(expert, bucket, Accuracy { error, skill });
            }
        }
        for level in 0..summary.levels() {
            summary.coverage(level, bucket).into_iter().for_each(|s| metrics.set_coverage(level, bucket, s));
        }
    }
}

fn scores(summary: &ScoreSummary) -> Scores {
    let experts = summary
        .names()
        .iter()
        .enumerate()
        .map(|(i, expert)| ExpertScore {
            expert: (*expert).clone(),
            error: (0..summary.buckets().len()).map(|b| summary.error(i, b).unwrap_or(f64::NAN)).collect(),
        })
        .collect();
    Scores { leads: summary.buckets().to_vec(), experts, scored: summary.scored() }
}

fn showcase(owned: &OwnedShard, forecast: &Forecast) -> Showcase {
    let stream = owned.stream();
    // An irregular stream's leads have no times of their own; one second stands for each.
    let step = match stream.grid {
        Grid::Fixed(interval) => interval.as_micros(),
        Grid::Irregular => 1_000_000,
    };
    let targets = stream
        .targets
        .iter()
        .zip(&forecast.targets)
        .enumerate()
        .map(|(t, (name, target))| ShownTarget {
            name: name.clone(),
            readings: owned
                .shard
                .recent(Slot(0), t, SHOWN)
                .into_iter()
                .map(|(time, value)| (time, value.unwrap_or(f64::NAN)))
                .collect(),
            forecast: Some(ShownForecast {
                origin: forecast.origin,
                times: (1..=stream.horizon as i64).map(|l| forecast.origin.offset_by(l * step)).collect(),
                yhat: target.yhat.clone(),
                levels: stream.levels.iter().map(Level::get).collect(),
                quantiles: target.quantiles.clone(),
            }),
        })
        .collect();
    Showcase { series: owned.shard.name(Slot(0)).to_owned(), targets }
}
