use super::finished_run::FinishedRun;
use super::learner::Learner;
use super::observer::Observer;
use super::ports::{FileBroker, FreshShards, NextRow, NoSnapshots, ReplayPorts, Shared, StoppedClock};
use super::rows::TableRow;
use crate::config::Config;
use crate::console::Failure;
use crate::kafka::TopicDescriptions;
use crate::telemetry::{Board, BoardOptions, Metrics};
use crate::worker::ports::PortSet;
use crate::worker::{self, Setup, Worker, stream_shape};
use std::cell::{Ref, RefCell, RefMut};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// One config over the rows of a file: the daemon's worker, over ports that replay the file.
pub(super) struct Run {
    worker: Worker<ReplayPorts>,
    next_row: Shared<NextRow>,
    observer: Shared<Observer>,
    learner: Shared<Learner>,
    /// The change of the models that the worker has followed.
    models_followed: u64,
}

impl Run {
    /// Starts a worker for the config's only stream, which `observer` watches. `key` is the key of every row.
    ///
    /// # Errors
    /// When the worker can't start.
    pub fn start(config: Config, observer: Observer, key: &str) -> Result<Self, Failure> {
        let stream = config.streams[0].clone();
        let next_row = Rc::new(RefCell::new(NextRow::new(key, 1)));
        let observer = Rc::new(RefCell::new(observer));
        let learner = Rc::new(RefCell::new(Learner::default()));
        let ports = PortSet {
            broker: FileBroker::new(&stream.topics[0], next_row.clone(), observer.clone()),
            loader: FreshShards::default(),
            snapshots: NoSnapshots,
            time: StoppedClock::default(),
            models: learner.clone(),
            training: learner.clone(),
            interceptor: observer.clone(),
        };
        let options =
            BoardOptions { workers: 1, stall_after: Duration::MAX, streams: vec![stream.name.clone()] };
        let setup = Setup {
            number: 0,
            metrics: Metrics::new(&[stream_shape(&stream)]),
            board: Board::new(&options),
            config: Arc::new(config),
        };
        let worker = Worker::new(setup, ports, &TopicDescriptions::default());
        let mut run = Self { worker, next_row, observer, learner, models_followed: 0 };
        // The worker gets its partition, and its shard is loaded.
        run.turn()?;
        Ok(run)
    }

    /// One row, from bytes to forecasts.
    ///
    /// # Errors
    /// When a step or a training round fails, or the file of forecasts can't be written.
    pub fn record(&mut self, row: &TableRow<'_>) -> Result<(), Failure> {
        self.observer.borrow_mut().begin_row(row.number);
        self.next_row.borrow_mut().put(row.json);
        self.turn()?;
        while self.worker.has_unfinished() {
            self.turn()?;
        }
        let changes = self.learner.borrow().changes();
        if std::mem::replace(&mut self.models_followed, changes) != changes {
            // The outcome of a round serves from the next row on.
            self.turn()?;
            while self.worker.shards_mut().any(|shard| shard.is_warming()) {
                self.turn()?;
            }
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<(), Failure> {
        self.worker.turn().map_err(failure)?;
        self.learner.borrow_mut().take_outcome()?;
        self.observer.borrow_mut().take_outcome()
    }

    /// What watches the run.
    pub fn observer(&self) -> Ref<'_, Observer> {
        self.observer.borrow()
    }

    /// As [`Self::observer`].
    pub fn observer_mut(&self) -> RefMut<'_, Observer> {
        self.observer.borrow_mut()
    }

    /// How many training rounds have run.
    pub fn training_rounds(&self) -> u64 {
        self.learner.borrow().counts.rounds
    }

    /// Records the experts' weights, for the report.
    pub fn note_weights(&mut self) {
        let mut observer = self.observer.borrow_mut();
        self.worker.shards_mut().for_each(|shard| observer.note_weights(shard));
    }

    /// Ends the run.
    pub fn finish(self) -> FinishedRun {
        let Self { worker, observer, learner, .. } = self;
        drop(worker);
        let observer = Rc::into_inner(observer).expect("the worker had the only other handles");
        observer.into_inner().finish(learner.borrow().counts)
    }
}

pub(super) fn failure(error: worker::Error) -> Failure {
    match error {
        worker::Error::Network(error) => Failure::new(error),
        other => Failure::new(other),
    }
}
