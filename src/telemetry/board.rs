use super::rate::Rate;
use super::showcase::ROUNDS_MAX;
use super::{Readiness, Round, Scores, ShardState, Showcase, Stalled};
use crate::domain::{Degraded, ModelVersion, Offset, StreamName, TopicPartition};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How often a stream's showcase is renewed.
const RENEW_AFTER: Duration = Duration::from_millis(500);
/// A worker that has been silent for so long does not answer readings: it may wait for a broker in its commit.
const UNREADY_AFTER: Duration = Duration::from_secs(15);
/// How long a shown series may be silent before another one replaces it.
const REPLACE_AFTER: Duration = Duration::from_secs(30);

/// The workers and streams of a [`Board`].
#[derive(Clone, Debug)]
pub struct BoardOptions {
    /// How many workers there are. They are counted from 0.
    pub workers: usize,
    /// How long a worker may be silent before the process counts as hung.
    pub stall_after: Duration,
    /// The streams of the config.
    pub streams: Vec<StreamName>,
}

/// What the workers publish for the admin server, with each batch or commit. Clones share it. Each call holds one
/// lock for a moment.
#[derive(Clone)]
pub struct Board(Arc<Inner>);

struct Inner {
    start: Instant,
    stall_after: Duration,
    stopping: AtomicBool,
    workers: Vec<Worker>,
    streams: BTreeMap<StreamName, Mutex<Stream>>,
}

#[derive(Default)]
struct Worker {
    /// Milliseconds since the board's start.
    last_beat: AtomicU64,
    assigned: AtomicBool,
    /// Why it waits for Kafka.
    waits: Mutex<Option<String>>,
    /// Why it commits nothing.
    blocked: Mutex<Option<String>>,
}

#[derive(Default)]
struct Stream {
    shards: BTreeMap<TopicPartition, ShardView>,
    showcase: Option<(Instant, Showcase)>,
    /// By worker.
    scores: BTreeMap<usize, Scores>,
    seasons: Seasons,
    model: Option<ModelVersion>,
    degraded: Option<Degraded>,
    rounds: VecDeque<Round>,
    readings: u64,
    rate: Rate,
}

/// A stream's seasons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seasons {
    /// Their lengths in steps.
    pub steps: Vec<usize>,
    /// Where they come from: the config, the interval or the past.
    pub from: &'static str,
}

/// A shard's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardStatus {
    /// Whether it runs.
    pub state: ShardState,
    /// How many series it holds.
    pub series: usize,
    /// The last offset that was stepped.
    pub last_offset: Option<Offset>,
    /// Records that were not read yet; `None` while that is not known.
    pub lag: Option<i64>,
}

/// A shard, its worker and its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardView {
    /// The partition.
    pub at: TopicPartition,
    /// The number of the worker that owns it.
    pub worker: usize,
    /// What the worker published last.
    pub status: ShardStatus,
}

/// A copy of everything that was published about a stream.
#[derive(Clone, Debug)]
pub struct StreamView {
    /// The stream's name.
    pub name: StreamName,
    /// The shards that this process owns.
    pub shards: Vec<ShardView>,
    /// The series that is shown.
    pub showcase: Option<Showcase>,
    /// The experts' errors; `None` before the first forecast was scored.
    pub scores: Option<Scores>,
    /// The stream's seasons.
    pub seasons: Seasons,
    /// The model that serves.
    pub model: Option<ModelVersion>,
    /// Why forecasts are degraded, if they are.
    pub degraded: Option<Degraded>,
    /// The training history, newest round last.
    pub rounds: Vec<Round>,
    /// Readings stepped since the start.
    pub readings: u64,
    /// Their rate over the last ten seconds.
    pub readings_per_second: f64,
}

impl StreamView {
    /// The series of all its shards.
    pub fn series(&self) -> usize {
        self.shards.iter().map(|s| s.status.series).sum()
    }

    /// The lag of all its shards; `None` while no shard's lag is known.
    pub fn lag(&self) -> Option<i64> {
        self.shards.iter().filter_map(|s| s.status.lag).reduce(|a, b| a + b)
    }

    /// The shards that do not run yet.
    pub fn restoring(&self) -> impl Iterator<Item = &ShardView> {
        self.shards.iter().filter(|s| s.status.state == ShardState::Restoring)
    }
}

/// A copy of the board.
#[derive(Clone, Debug)]
pub struct View {
    /// How long the process runs.
    pub uptime: Duration,
    /// Whether the process is ready.
    pub readiness: Readiness,
    /// All streams of the config.
    pub streams: Vec<StreamView>,
}

impl Board {
    /// An empty board.
    pub fn new(options: &BoardOptions) -> Self {
        Self(Arc::new(Inner {
            start: Instant::now(),
            stall_after: options.stall_after,
            stopping: AtomicBool::new(false),
            workers: (0..options.workers).map(|_| Worker::default()).collect(),
            streams: options.streams.iter().map(|name| (name.clone(), Mutex::default())).collect(),
        }))
    }

    /// Records that a worker is alive. It calls this a few times a second, between two polls, and between the steps of long work.
    pub fn beat(&self, worker: usize) {
        let now = self.0.start.elapsed().as_millis() as u64;
        self.0.workers[worker].last_beat.store(now, Ordering::Relaxed);
    }

    /// Records that the group has given a worker its partitions. An empty assignment counts. Publish the shards
    /// first, as restoring; otherwise the process would look ready for a moment.
    pub fn assigned(&self, worker: usize) {
        self.0.workers[worker].assigned.store(true, Ordering::Release);
    }

    /// Records why a worker waits for Kafka; `None` when it does not.
    pub fn waits_for_kafka(&self, worker: usize, cause: Option<String>) {
        *self.0.workers[worker].waits.lock().expect(POISONED) = cause;
    }

    /// Records why a worker commits nothing; `None` once it has committed. The process is not ready meanwhile.
    pub fn blocked(&self, worker: usize, why: Option<String>) {
        *self.0.workers[worker].blocked.lock().expect(POISONED) = why;
    }

    /// Records that the process is stopping. It is not ready from now on.
    pub fn stopping(&self) {
        self.0.stopping.store(true, Ordering::Release);
    }

    /// Publishes a shard's status.
    pub fn shard(&self, worker: usize, stream: &StreamName, at: &TopicPartition, status: ShardStatus) {
        self.stream(stream).shards.insert(at.clone(), ShardView { at: at.clone(), worker, status });
    }

    /// Removes a shard that a worker has dropped. A status that another worker has published meanwhile stays.
    pub fn revoked(&self, worker: usize, stream: &StreamName, at: &TopicPartition) {
        let mut stream = self.stream(stream);
        if stream.shards.get(at).is_some_and(|s| s.worker == worker) {
            stream.shards.remove(at);
        }
        if !stream.shards.values().any(|s| s.worker == worker) {
            stream.scores.remove(&worker);
        }
    }

    /// Counts readings that were stepped, for the rate on the dashboard.
    pub fn stepped(&self, stream: &StreamName, readings: usize) {
        let now = self.0.start.elapsed();
        let mut stream = self.stream(stream);
        stream.readings += readings as u64;
        stream.rate.add(now, readings as u64);
    }

    /// Whether a new showcase of this series would be shown now. Ask before building one.
    pub fn wants_showcase(&self, stream: &StreamName, series: &str) -> bool {
        match &self.stream(stream).showcase {
            None => true,
            Some((at, shown)) if shown.series == series => at.elapsed() >= RENEW_AFTER,
            Some((at, _)) => at.elapsed() >= REPLACE_AFTER,
        }
    }

    /// The series that is shown, so that its worker can find it in a batch.
    pub fn showcased(&self, stream: &StreamName) -> Option<String> {
        self.stream(stream).showcase.as_ref().map(|(_, shown)| shown.series.clone())
    }

    /// Publishes the series to be shown.
    pub fn showcase(&self, stream: &StreamName, showcase: Showcase) {
        self.stream(stream).showcase = Some((Instant::now(), showcase.bounded()));
    }

    /// Publishes the errors that a worker has measured.
    pub fn scores(&self, worker: usize, stream: &StreamName, scores: Scores) {
        self.stream(stream).scores.insert(worker, scores);
    }

    /// Publishes a stream's seasons.
    pub fn seasons(&self, stream: &StreamName, steps: &[usize], from: &'static str) {
        self.stream(stream).seasons = Seasons { steps: steps.to_vec(), from };
    }

    /// Publishes the model that serves, and why forecasts are degraded, if they are.
    pub fn model(&self, stream: &StreamName, version: Option<ModelVersion>, degraded: Option<Degraded>) {
        let mut stream = self.stream(stream);
        stream.model = version;
        stream.degraded = degraded;
    }

    /// Adds a training round to the history.
    pub fn round(&self, stream: &StreamName, round: Round) {
        let rounds = &mut self.stream(stream).rounds;
        rounds.push_back(round);
        while rounds.len() > ROUNDS_MAX {
            rounds.pop_front();
        }
    }

    /// The workers that have been silent for longer than `stall_after`.
    pub fn stalled(&self) -> Vec<Stalled> {
        self.silent_for(self.0.stall_after)
    }

    fn silent_for(&self, limit: Duration) -> Vec<Stalled> {
        let now = self.0.start.elapsed().as_millis() as u64;
        let silent = |w: &Worker| now.saturating_sub(w.last_beat.load(Ordering::Relaxed));
        let limit = limit.as_millis() as u64;
        self.0
            .workers
            .iter()
            .enumerate()
            .filter(|(_, w)| silent(w) > limit)
            .map(|(worker, w)| Stalled { worker, silent_seconds: silent(w) / 1_000 })
            .collect()
    }

    /// Whether the process does its work, and what it waits for.
    pub fn readiness(&self) -> Readiness {
        // Read before the shards, because workers publish shards first.
        let unassigned = (0..self.0.workers.len())
            .filter(|w| !self.0.workers[*w].assigned.load(Ordering::Acquire))
            .collect();
        let mut restoring = Vec::new();
        for (name, stream) in &self.0.streams {
            let stream = stream.lock().expect(POISONED);
            let shards = stream.shards.values().filter(|s| s.status.state == ShardState::Restoring);
            restoring.extend(shards.map(|s| (name.clone(), s.at.clone())));
        }
        let each = |why: fn(&Worker) -> &Mutex<Option<String>>| {
            let workers = self.0.workers.iter().enumerate();
            let why = |worker: &Worker| why(worker).lock().expect(POISONED).clone();
            workers.filter_map(|(number, worker)| Some((number, why(worker)?))).collect()
        };
        Readiness {
            unassigned,
            restoring,
            waiting_for_kafka: each(|worker| &worker.waits),
            blocked: each(|worker| &worker.blocked),
            silent: self.silent_for(UNREADY_AFTER),
            stopping: self.0.stopping.load(Ordering::Acquire),
        }
    }

    /// A copy of the whole board.
    pub fn view(&self) -> View {
        let streams = self.0.streams.keys().filter_map(|name| self.stream_view(name)).collect();
        View { uptime: self.0.start.elapsed(), readiness: self.readiness(), streams }
    }

    /// A copy of one stream's part; `None` for a stream that is not in the config.
    pub fn stream_view(&self, name: &StreamName) -> Option<StreamView> {
        let mut stream = self.0.streams.get(name)?.lock().expect(POISONED);
        Some(StreamView {
            name: name.clone(),
            shards: stream.shards.values().cloned().collect(),
            showcase: stream.showcase.as_ref().map(|(_, shown)| shown.clone()),
            scores: Scores::merged(stream.scores.values()),
            seasons: stream.seasons.clone(),
            model: stream.model,
            degraded: stream.degraded,
            rounds: stream.rounds.iter().cloned().collect(),
            readings: stream.readings,
            readings_per_second: stream.rate.per_second(self.0.start.elapsed()),
        })
    }

    fn stream(&self, name: &StreamName) -> MutexGuard<'_, Stream> {
        self.0.streams.get(name).expect("the board knows every stream of the config").lock().expect(POISONED)
    }
}

const POISONED: &str = "no holder of this lock panics";
