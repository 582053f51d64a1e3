//! Threads and wiring: starts the workers, the trainer and the admin server, and stops them.
//!
//! Each worker runs on a thread of its own, with a consumer and a producer. Two threads beside it wait for the
//! store: one loads shards, one writes snapshots. One thread follows the models topic for all workers, one trains,
//! and one carries out what is asked over HTTP. The decisions are made in `worker` and
//! `models`.

#![forbid(unsafe_code)]

mod admin;
mod kafka_wait;
mod loader_thread;
mod ports;
mod schemas;
mod seasons;
mod snapshot_thread;
mod worker_thread;

use crate::checkpoint::{self, Store};
use crate::config::Config;
use crate::domain::StreamName;
use crate::http;
use crate::kafka::{self, Admin};
use crate::models::{self, BackgroundThread, Follower, Models, Registry, TrainerThread};
use crate::nn;
use crate::registry::{self, SchemaCache};
use crate::schemas::SchemaSource;
use crate::telemetry::{Board, BoardOptions, Metrics, StreamShape, events};
use crate::worker::{self, Setup};
use admin::AdminCommands;
use kafka_wait::StartingDaemon;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use worker_thread::WorkerThread;

/// A worker that has not polled for so long is reported as hung. A commit may wait for the broker
/// twice for a minute.
const STALL_AFTER: Duration = Duration::from_secs(180);

/// Why the daemon could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Kafka failed.
    #[error("kafka: {0}")]
    Kafka(#[from] kafka::Error),
    /// The admin server failed.
    #[error("http: {0}")]
    Http(#[from] http::Error),
    /// The client of the schema registry can't be made, or the registry has not taken the schema of forecasts.
    #[error("the schema registry: {0}")]
    Registry(#[from] registry::Error),
    /// The store failed.
    #[error("the store: {0}")]
    Store(#[from] checkpoint::Error),
    /// A network could not be loaded.
    #[error("the network: {0}")]
    Network(#[from] nn::Error),
    /// A thread could not be started.
    #[error("can't start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// A worker failed.
    #[error(transparent)]
    Worker(#[from] worker::Error),
    /// The models could not be followed or trained.
    #[error(transparent)]
    Models(#[from] models::Error),
    /// A thread panicked.
    #[error("a thread panicked; its message is in the log above")]
    Panicked,
}

/// A running daemon.
pub struct Daemon {
    stop: Arc<AtomicBool>,
    /// The workers, and the follower of the models topic.
    threads: Vec<JoinHandle<Result<(), Error>>>,
    trainer: Option<TrainerThread>,
    /// Carries out what is asked over HTTP.
    admin: BackgroundThread,
    server: http::Server,
    board: Board,
}

impl Daemon {
    /// Checks the topics, loads the models, starts every thread. Waits while Kafka can't be reached.
    ///
    /// # Errors
    /// When Kafka refuses access, a topic is missing, the admin address is taken, or the store
    /// can't be read and written.
    pub fn start(config: Config) -> Result<Self, Error> {
        events::connecting(&config.kafka.brokers);
        let admin = Admin::connect(&config.kafka)?;
        let mut topics: Vec<String> = config
            .streams
            .iter()
            .flat_map(|s| s.topics.iter().chain(s.output_topics()))
            .chain([&config.kafka.models_topic])
            .cloned()
            .collect();
        topics.sort_unstable();
        topics.dedup();
        let mut starting = StartingDaemon::of(&config);
        let partitions = starting.until_answered(|| Ok(admin.require(&topics)?))?;
        let config = starting.until_answered(|| seasons::settle(config.clone(), &partitions))?;
        let config = starting.until_answered(|| schemas::register(&config))?;
        Self::start_on(Arc::new(config), starting)
    }

    fn start_on(config: Arc<Config>, mut starting: StartingDaemon) -> Result<Self, Error> {
        let shapes: Vec<StreamShape> = config.streams.iter().map(|s| worker::stream_shape(s)).collect();
        let metrics = Metrics::new(&shapes);
        let names: Vec<StreamName> = config.streams.iter().map(|s| s.name.clone()).collect();
        let board = Board::new(&BoardOptions {
            workers: config.daemon.workers,
            stall_after: STALL_AFTER,
            streams: names,
        });
        for stream in &config.streams {
            let from = stream.seasons_from.as_str();
            events::seasons(&stream.name, &stream.seasons, from);
            board.seasons(&stream.name, &stream.seasons, from);
        }
        let schemas = match &config.registry {
            Some(registry) if config.streams.iter().any(|stream| stream.format.has_schemas()) => {
                let cache: Arc<dyn SchemaSource> = SchemaCache::start(registry, &metrics)?;
                Some(cache)
            }
            _ => None,
        };
        let models = Models::default();
        let stop = Arc::new(AtomicBool::new(false));
        let store = Store::open(&config.store)?;
        store.check()?;
        let follower =
            starting.until_answered(|| Ok(Follower::start(&config, &store, &models, &metrics)?))?;
        // Its address is free again.
        drop(starting);
        let trainer = TrainerThread::start(&config, &store, &models, &metrics, &board)?;
        let (orders, asked) = http::CommandSender::new(config.http.token.clone());
        let server = http::Server::start(config.http.listen, metrics.clone(), board.clone(), orders)?;
        let commands = AdminCommands {
            config: config.clone(),
            registry: Registry::over(&config, &store, &models),
            rounds: trainer.queue(),
            metrics: metrics.clone(),
            board: board.clone(),
        };
        let stopped = stop.clone();
        let admin =
            BackgroundThread::start("admin-commands".into(), move || commands.work(&asked, &stopped))?;
        if config.kafka.instance.is_none() {
            events::unnamed();
        }
        events::started(config.streams.len(), config.daemon.workers, server.address());
        let mut threads = (0..config.daemon.workers)
            .map(|number| {
                let (metrics, board) = (metrics.clone(), board.clone());
                let worker = WorkerThread {
                    setup: Setup { number, config: config.clone(), metrics, board },
                    schemas: schemas.clone(),
                    store: store.clone(),
                    models: models.clone(),
                    rounds: trainer.queue(),
                    stop: stop.clone(),
                };
                std::thread::Builder::new()
                    .name(format!("worker-{number}"))
                    .spawn(move || worker.run().inspect_err(|e| events::worker_failed(number, e)))
            })
            .collect::<Result<Vec<JoinHandle<Result<(), Error>>>, _>>()?;
        let stopped = stop.clone();
        threads.push(
            std::thread::Builder::new()
                .name("follower".into())
                .spawn(move || Ok(follower.run(&stopped).inspect_err(|e| events::follower_failed(e))?))?,
        );
        Ok(Self { stop, threads, trainer: Some(trainer), admin, server, board })
    }

    /// Where the admin server listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// What the workers have published last.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Whether a worker, the follower or the admin server has ended, or the trainer or the admin thread has
    /// panicked: the process can't go on without its orchestrator.
    pub fn has_failed(&mut self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
            || self.trainer.as_mut().is_some_and(TrainerThread::has_panicked)
            || self.admin.has_panicked()
            || self.server.has_ended()
    }

    /// Finishes batches, commits, leaves the group and ends every thread.
    ///
    /// # Errors
    /// What ended a worker or the follower, if one had ended before; [`Error::Panicked`] when the
    /// trainer or the steward had.
    pub fn stop(mut self, cause: &str) -> Result<(), Error> {
        let began = Instant::now();
        events::stopping(cause);
        self.board.stopping();
        self.stop.store(true, Ordering::Release);
        let mut outcome = Ok(());
        for thread in self.threads.drain(..) {
            let ended = thread.join().unwrap_or(Err(Error::Panicked));
            outcome = outcome.and(ended);
        }
        self.admin.join();
        let carried_out = if self.admin.has_panicked() { Err(Error::Panicked) } else { Ok(()) };
        let trained = self.trainer.take().map_or(Ok(()), |trainer| trainer.stop().map_err(Error::from));
        self.server.stop();
        events::stopped(began.elapsed());
        outcome.and(carried_out).and(trained)
    }
}
