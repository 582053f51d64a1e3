//! What works beside a worker: the loader, the snapshot writer, the clocks, the models topic and the trainer.

use crate::bites::Fault;
use crate::cluster::Shared;
use crate::plan::Plan;
use rand::Rng;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tidecast::checkpoint::{Facts, Store};
use tidecast::config::Stream;
use tidecast::domain::{EventTime, Offset, StreamName, TopicPartition};
use tidecast::engine::Model;
use tidecast::kafka::Error;
use tidecast::series::WindowCopy;
use tidecast::training::{Start, Why};
use tidecast::worker::loading::{Attempt, Load, LoadError, LoadRequest, LoadSource, LoadedShard, LogTimes};
use tidecast::worker::ports::{ShardLoader, SnapshotSink, TimeSource, TrainingQueue};
use tidecast::worker::serving::{ModelSource, Serving};
use tidecast::worker::snapshot_file::{OpenSnapshot, SnapshotKey, SnapshotOutcome};

static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The simulated clocks.
#[derive(Clone)]
pub struct SimTime(pub Shared);

impl TimeSource for SimTime {
    fn now(&self) -> Instant {
        *BEGIN + self.0.borrow().clock
    }

    fn wall(&self) -> EventTime {
        EventTime::from_micros(self.0.borrow().clock.as_micros() as i64).unwrap()
    }

    fn sleep(&self, pause: Duration) {
        self.0.borrow_mut().clock += pause;
    }
}

/// A cold start begins at the first record that is kept: the log is short.
pub struct SimTimes(pub Shared);

impl LogTimes for SimTimes {
    fn offset_before(&self, at: &TopicPartition, _: Offset, _: Duration) -> Result<Offset, Error> {
        Ok(Offset(self.0.borrow().logs[crate::cluster::number(at)].low))
    }
}

/// The models topic: versions, from 0. `None` says that the experts serve alone.
pub type ModelsTopic = Rc<RefCell<Vec<Option<usize>>>>;

/// What a process has read of the models topic.
#[derive(Clone)]
pub struct SimModels {
    pub topic: ModelsTopic,
    /// By stream and version.
    pub models: Rc<BTreeMap<StreamName, Vec<Model>>>,
    pub read: Rc<RefCell<usize>>,
}

impl SimModels {
    /// A process that starts reads the topic to its end.
    pub fn new(topic: &ModelsTopic, models: &Rc<BTreeMap<StreamName, Vec<Model>>>) -> Self {
        Self {
            topic: topic.clone(),
            models: models.clone(),
            read: Rc::new(RefCell::new(topic.borrow().len())),
        }
    }

    pub fn follow(&self) {
        *self.read.borrow_mut() = self.topic.borrow().len();
    }
}

impl ModelSource for SimModels {
    fn changes(&self) -> u64 {
        *self.read.borrow() as u64
    }

    fn serving(&self, stream: &StreamName) -> Serving {
        let topic = self.topic.borrow();
        match topic[..*self.read.borrow()].last() {
            Some(Some(version)) => Serving::Model(self.models[stream][*version].clone()),
            Some(None) => Serving::ExpertsAlone,
            None => Serving::Unknown,
        }
    }
}

/// The loader: an attempt now and then.
pub struct SimLoader {
    pub cluster: Shared,
    pub source: LoadSource<SimModels, SimTimes>,
    pub time: SimTime,
    pub requests: VecDeque<LoadRequest>,
    pub load: Option<Load>,
    pub first_wanted: u64,
}

impl ShardLoader for SimLoader {
    fn request(&mut self, request: LoadRequest) {
        self.requests.push_back(request);
    }

    fn forget_below(&mut self, ticket: u64) {
        self.first_wanted = ticket;
    }

    fn next(&mut self) -> Result<Option<Box<LoadedShard>>, LoadError> {
        {
            let mut cluster = self.cluster.borrow_mut();
            let slow = cluster.faults.slow;
            if cluster.rng.random_bool(slow) {
                cluster.bites.mark(Fault::LoaderSlow);
                return Ok(None);
            }
        }
        if self.load.is_none() {
            // A request is dropped only before it is begun.
            self.requests.retain(|request| request.ticket >= self.first_wanted);
            let Some(request) = self.requests.pop_front() else { return Ok(None) };
            self.load = Some(Load::new(request, &self.source, self.time.now()));
        }
        let load = self.load.as_mut().expect("it was just begun");
        match load.attempt(&self.source, || self.time.now(), &AtomicBool::new(false))? {
            Attempt::Loaded(loaded) => {
                self.load = None;
                Ok(Some(loaded))
            }
            Attempt::StoreUnreachable => Ok(None),
            Attempt::Stopped => unreachable!("nobody has asked for it"),
        }
    }

    fn has_panicked(&mut self) -> bool {
        false
    }
}

enum Command {
    Begin(SnapshotKey, Facts),
    Chunk(Vec<u8>),
    End,
    GiveUp,
}

/// The snapshot writer: a command now and then.
pub struct SimSnapshots {
    cluster: Shared,
    store: Store,
    keep: usize,
    time: SimTime,
    commands: VecDeque<Command>,
    open: Option<OpenSnapshot>,
    outcomes: VecDeque<SnapshotOutcome>,
    unfinished: usize,
}

impl SimSnapshots {
    pub fn new(cluster: &Shared, store: Store, keep: usize) -> Self {
        Self {
            cluster: cluster.clone(),
            store,
            keep,
            time: SimTime(cluster.clone()),
            commands: VecDeque::new(),
            open: None,
            outcomes: VecDeque::new(),
            unfinished: 0,
        }
    }

    fn happens(&self, rate: f64) -> bool {
        self.cluster.borrow_mut().rng.random_bool(rate)
    }

    /// Carries out the next command; false when there is none.
    fn step(&mut self) -> bool {
        let Some(command) = self.commands.pop_front() else { return false };
        match command {
            Command::Begin(key, facts) => {
                self.open = Some(OpenSnapshot::new(key, facts, &self.store, self.keep, self.time.now()));
            }
            Command::Chunk(chunk) => self.open.iter_mut().for_each(|open| open.push(&chunk)),
            Command::End => {
                let time = self.time.clone();
                self.outcomes.extend(self.open.take().map(|open| open.end(|| time.now())));
            }
            Command::GiveUp => self.open = None,
        }
        true
    }

    fn work(&mut self) {
        let slow = self.cluster.borrow().faults.slow;
        while !self.happens(slow) && self.step() {}
    }

    /// The process ends here and now: nothing is tidied away, and some of what was to be done is done yet.
    fn die(&mut self) {
        self.work();
        std::mem::forget(self.open.take());
    }
}

impl Drop for SimSnapshots {
    fn drop(&mut self) {
        self.die();
    }
}

impl SnapshotSink for SimSnapshots {
    fn chunk_bytes(&self) -> usize {
        self.cluster.borrow_mut().rng.random_range(1..4_000)
    }

    fn begin(&mut self, key: SnapshotKey, facts: Facts) {
        self.commands.push_back(Command::Begin(key, facts));
    }

    fn offer(&mut self, chunk: Vec<u8>) -> Result<(), Vec<u8>> {
        self.work();
        let full = self.cluster.borrow().faults.full;
        if self.happens(full) {
            self.cluster.borrow_mut().bites.mark(Fault::ChunkRefused);
            return Err(chunk);
        }
        self.commands.push_back(Command::Chunk(chunk));
        Ok(())
    }

    fn end(&mut self) {
        self.unfinished += 1;
        self.commands.push_back(Command::End);
    }

    fn give_up(&mut self) {
        self.commands.push_back(Command::GiveUp);
    }

    fn is_busy(&self) -> bool {
        self.unfinished > 0
    }

    fn next(&mut self) -> Option<SnapshotOutcome> {
        self.work();
        let outcome = self.outcomes.pop_front()?;
        self.unfinished -= 1;
        Some(outcome)
    }

    fn wait(&mut self, until: Instant) -> Option<SnapshotOutcome> {
        let slow = self.cluster.borrow().faults.slow;
        if self.happens(slow / 4.0) {
            let now = self.time.now();
            self.time.sleep(until.saturating_duration_since(now));
            self.cluster.borrow_mut().bites.mark(Fault::SnapshotsLate);
            return None;
        }
        while self.outcomes.is_empty() && self.step() {}
        let outcome = self.outcomes.pop_front()?;
        self.unfinished -= 1;
        Some(outcome)
    }

    fn has_panicked(&mut self) -> bool {
        false
    }
}

/// The trainer of a process: a round is a model that is announced some time later.
#[derive(Clone, Default)]
pub struct SimTraining {
    pub running: Rc<RefCell<bool>>,
    pub hastened: Rc<RefCell<Option<Why>>>,
}

impl SimTraining {
    /// Ends the round that runs; its outcome is announced.
    pub fn finish(&self, plan: &Plan, topic: &ModelsTopic, rng: &mut impl Rng) {
        if std::mem::take(&mut *self.running.borrow_mut()) {
            announce(plan, topic, rng);
        }
    }
}

/// A promotion, a rollback, or that the experts serve alone.
pub fn announce(plan: &Plan, topic: &ModelsTopic, rng: &mut impl Rng) {
    let version = rng.random_range(0..=plan.versions());
    topic.borrow_mut().push((version < plan.versions()).then_some(version));
}

impl TrainingQueue for SimTraining {
    fn hand_in(
        &mut self,
        _: &Arc<Stream>,
        _: Start,
        _: Why,
        samples: impl FnOnce() -> Vec<WindowCopy>,
    ) -> bool {
        if *self.running.borrow() {
            return false;
        }
        samples();
        *self.running.borrow_mut() = true;
        true
    }

    fn hasten(&mut self, _: &StreamName, why: Why) {
        *self.hastened.borrow_mut() = Some(why);
    }

    fn take_hastened(&mut self, _: &StreamName) -> Option<Why> {
        self.hastened.borrow_mut().take()
    }
}
