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
/// How long a shown series may be silent before another one takes its place.
const REPLACE_AFTER: Duration = Duration::from_secs(30);

/// What a board is made for.
#[derive(Clone, Debug)]
pub struct BoardOptions {
    /// Workers are counted from 0.
    pub workers: usize,
    /// How long a worker may be silent before the process counts as hung.
    pub stall_after: Duration,
    pub streams: Vec<StreamName>,
}

/// Where the workers publish their state, per batch or per commit. Shared; each call holds one lock
/// for a moment.
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

/// Which seasons a stream has, and who says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seasons {
    pub steps: Vec<usize>,
    pub from: &'static str,
}

/// What a worker says of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardStatus {
    pub state: ShardState,
    pub series: usize,
    /// The last offset that was stepped.
    pub last_offset: Option<Offset>,
    /// Records that were not read yet, as far as it is known.
    pub lag: Option<i64>,
}

/// A shard and who has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardView {
    pub at: TopicPartition,
    pub worker: usize,
    pub status: ShardStatus,
}

/// A copy of everything that is known of a stream.
#[derive(Clone, Debug)]
pub struct StreamView {
    pub name: StreamName,
    pub shards: Vec<ShardView>,
    pub showcase: Option<Showcase>,
    pub scores: Option<Scores>,
    pub seasons: Seasons,
    pub model: Option<ModelVersion>,
    pub degraded: Option<Degraded>,
    /// Newest last.
    pub rounds: Vec<Round>,
    /// Since the start.
    pub readings: u64,
    pub readings_per_second: f64,
}

impl StreamView {
    pub fn series(&self) -> usize {
        self.shards.iter().map(|s| s.status.series).sum()
    }

    /// `None` while it is not known of any shard.
    pub fn lag(&self) -> Option<i64> {
        self.shards.iter().filter_map(|s| s.status.lag).reduce(|a, b| a + b)
    }

    pub fn restoring(&self) -> impl Iterator<Item = &ShardView> {
        self.shards.iter().filter(|s| s.status.state == ShardState::Restoring)
    }
}

/// A copy of the board.
#[derive(Clone, Debug)]
pub struct View {
    pub uptime: Duration,
    pub readiness: Readiness,
    pub streams: Vec<StreamView>,
}

impl Board {
    pub fn new(options: &BoardOptions) -> Self {
        Self(Arc::new(Inner {
            start: Instant::now(),
            stall_after: options.stall_after,
            stopping: AtomicBool::new(false),
            workers: (0..options.workers).map(|_| Worker::default()).collect(),
            streams: options.streams.iter().map(|name| (name.clone(), Mutex::default())).collect(),
        }))
    }

    /// A worker lives. Called each time that it has polled, and between the steps of long work.
    pub fn beat(&self, worker: usize) {
        let now = self.0.start.elapsed().as_millis() as u64;
        self.0.workers[worker].last_beat.store(now, Ordering::Relaxed);
    }

    /// The group has given a worker its partitions; an empty assignment counts. Publish the shards
    /// first, as restoring, so that readiness is never seen between the two.
    pub fn assigned(&self, worker: usize) {
        self.0.workers[worker].assigned.store(true, Ordering::Release);
    }

    /// From now on the process is not ready: it finishes and goes.
    pub fn stopping(&self) {
        self.0.stopping.store(true, Ordering::Release);
    }

    pub fn shard(&self, worker: usize, stream: &StreamName, at: &TopicPartition, status: ShardStatus) {
        self.stream(stream).shards.insert(at.clone(), ShardView { at: at.clone(), worker, status });
    }

    /// A worker has dropped a shard. What another worker has published of it meanwhile stays.
    pub fn revoked(&self, worker: usize, stream: &StreamName, at: &TopicPartition) {
        let mut stream = self.stream(stream);
        if stream.shards.get(at).is_some_and(|s| s.worker == worker) {
            stream.shards.remove(at);
        }
        if !stream.shards.values().any(|s| s.worker == worker) {
            stream.scores.remove(&worker);
        }
    }

    /// Readings that were stepped: the rate on the dashboard.
    pub fn stepped(&self, stream: &StreamName, readings: usize) {
        let now = self.0.start.elapsed();
        let mut stream = self.stream(stream);
        stream.readings += readings as u64;
        stream.rate.add(now, readings as u64);
    }

    /// Whether a showcase of this series would be shown now; ask before making one.
    pub fn wants_showcase(&self, stream: &StreamName, series: &str) -> bool {
        match &self.stream(stream).showcase {
            None => true,
            Some((at, shown)) if shown.series == series => at.elapsed() >= RENEW_AFTER,
            Some((at, _)) => at.elapsed() >= REPLACE_AFTER,
        }
    }

    /// Which series is shown, so that its worker can look for it in a batch.
    pub fn showcased(&self, stream: &StreamName) -> Option<String> {
        self.stream(stream).showcase.as_ref().map(|(_, shown)| shown.series.clone())
    }

    pub fn showcase(&self, stream: &StreamName, showcase: Showcase) {
        self.stream(stream).showcase = Some((Instant::now(), showcase.bounded()));
    }

    pub fn scores(&self, worker: usize, stream: &StreamName, scores: Scores) {
        self.stream(stream).scores.insert(worker, scores);
    }

    pub fn seasons(&self, stream: &StreamName, steps: &[usize], from: &'static str) {
        self.stream(stream).seasons = Seasons { steps: steps.to_vec(), from };
    }

    pub fn model(&self, stream: &StreamName, version: Option<ModelVersion>, degraded: Option<Degraded>) {
        let mut stream = self.stream(stream);
        stream.model = version;
        stream.degraded = degraded;
    }

    pub fn round(&self, stream: &StreamName, round: Round) {
        let rounds = &mut self.stream(stream).rounds;
        rounds.push_back(round);
        while rounds.len() > ROUNDS_MAX {
            rounds.pop_front();
        }
    }

    /// The workers that have been silent for too long.
    pub fn stalled(&self) -> Vec<Stalled> {
        let now = self.0.start.elapsed().as_millis() as u64;
        let silent = |w: &Worker| now.saturating_sub(w.last_beat.load(Ordering::Relaxed));
        let limit = self.0.stall_after.as_millis() as u64;
        self.0
            .workers
            .iter()
            .enumerate()
            .filter(|(_, w)| silent(w) > limit)
            .map(|(worker, w)| Stalled { worker, silent_seconds: silent(w) / 1_000 })
            .collect()
    }

    pub fn readiness(&self) -> Readiness {
        // Before the shards are read: a worker publishes in the other order.
        let unassigned = (0..self.0.workers.len())
            .filter(|w| !self.0.workers[*w].assigned.load(Ordering::Acquire))
            .collect();
        let mut restoring = Vec::new();
        for (name, stream) in &self.0.streams {
            let stream = stream.lock().expect(POISONED);
            let shards = stream.shards.values().filter(|s| s.status.state == ShardState::Restoring);
            restoring.extend(shards.map(|s| (name.clone(), s.at.clone())));
        }
        Readiness { unassigned, restoring, stopping: self.0.stopping.load(Ordering::Acquire) }
    }

    pub fn view(&self) -> View {
        let streams = self.0.streams.keys().filter_map(|name| self.stream_view(name)).collect();
        View { uptime: self.0.start.elapsed(), readiness: self.readiness(), streams }
    }

    /// `None` for a stream that is not in the config.
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
