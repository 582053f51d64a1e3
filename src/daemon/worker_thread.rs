//! A worker of the daemon: joins the group, runs the loop until it is asked to stop, and leaves.

use super::Error;
use super::kafka_wait::connect;
use super::loader_thread::{KafkaTimes, LoaderThread};
use super::ports::{RealPorts, SystemTime};
use super::snapshot_thread::SnapshotThread;
use crate::checkpoint::Store;
use crate::models::{Models, RoundQueue};
use crate::schemas::SchemaSource;
use crate::worker::loading::LoadSource;
use crate::worker::ports::PortSet;
use crate::worker::{self, Setup, Worker};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a worker's thread is started with.
pub(super) struct WorkerThread {
    pub setup: Setup,
    pub schemas: Option<Arc<dyn SchemaSource>>,
    pub store: Store,
    pub models: Models,
    pub rounds: RoundQueue,
    pub stop: Arc<AtomicBool>,
}

impl WorkerThread {
    /// Runs until the process is stopping or the worker can't go on.
    pub fn run(self) -> Result<(), Error> {
        let Self { setup, schemas, store, models, rounds, stop } = self;
        let (number, config) = (setup.number, setup.config.clone());
        let topics = worker::topics(&config);
        let Some((broker, known)) = connect(&config, number, &topics, &setup.board, &stop)? else {
            return Ok(());
        };
        let source = LoadSource {
            store: store.clone(),
            settings: config.snapshots.clone(),
            models: models.clone(),
            log: KafkaTimes(config.kafka.clone()),
        };
        let ports: PortSet<RealPorts> = PortSet {
            broker,
            loader: LoaderThread::start(number, source, stop.clone())?,
            snapshots: SnapshotThread::start(number, store, config.snapshots.keep)?,
            time: SystemTime,
            models,
            training: rounds,
            interceptor: (),
        };
        let mut worker = Worker::new(setup, ports, &known).with_schemas(schemas);
        let ended = work(&mut worker, &stop);
        worker.log_all();
        ended?;
        Ok(worker.leave()?)
    }
}

fn work(worker: &mut Worker<RealPorts>, stop: &AtomicBool) -> Result<(), worker::Error> {
    while !stop.load(Ordering::Acquire) {
        worker.turn()?;
    }
    worker.finish()
}
