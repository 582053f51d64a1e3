//! The loop from a poll to a commit, as a state machine without I/O of its own.
//!
//! A [`Worker`] owns the shards of the partitions that are assigned to it. It polls, steps, sends and commits, one
//! after the other, so that a batch, a commit and a rebalance can never race. Everything outside stands behind the
//! traits of [`ports`]: the daemon carries them out over Kafka, the store, threads and the system's clock, and the
//! simulation over simulated ones. So what the simulation proves holds for the shipped loop.
//!
//! Promises that a snapshot is taken only where the group's offset stands, and that after a commit that did not
//! succeed every shard is loaded again from what the group has committed.
//!
//! | file | what | uses |
//! | --- | --- | --- |
//! | `ports` | what a worker needs from outside | |
//! | `serving` | which model serves | |
//! | `rare_paths` | marks on rare paths, for the simulation | |
//! | `loading`, `snapshot_file` | how shards are loaded and snapshots written, beside the worker | |
//! | `pace` | which shards are behind, and learn less often | |
//! | `backlog` | records that wait because a turn steps no more | |
//! | `owned_shard` | a shard, its decoder and its encoder | `backlog`, `pace` |
//! | `publish` | metrics and board | `owned_shard` |
//! | `log_note` | what is committed beside an offset | |
//! | `logs` | which log a partition is read from, and where it starts | `log_note` |
//! | `log_doubts` | whether it may be another log now | `logs`, `owned_shard` |
//! | `outage` | waits while Kafka does not answer | `logs` |
//! | `snapshots` | one snapshot at a time, in chunks | `owned_shard` |
//! | `assignment` | shards come and go | `logs`, `snapshots` |
//! | `aborts` | what is told of aborts, and the pause after them | `assignment` |
//! | `commit` | commits, and recovers where a commit did not succeed | `aborts` |
//! | `rebalance` | answers the group's events | `commit`, `assignment` |
//! | `models` | brings models in, hands training rounds in | |
//! | `turn` | one turn of the loop | all |

#![forbid(unsafe_code)]

mod aborts;
mod assignment;
mod backlog;
mod commit;
pub mod loading;
mod log_doubts;
mod log_note;
mod logs;
mod models;
mod outage;
mod owned_shard;
mod pace;
pub mod ports;
mod publish;
mod rare_paths;
mod rebalance;
pub mod serving;
pub mod snapshot_file;
mod snapshots;
mod turn;

use crate::config::{Config, Stream};
use crate::domain::StreamName;
use crate::engine::Shard;
use crate::kafka::{self, TopicDescriptions};
use crate::nn;
use crate::schemas::SchemaSource;
use crate::telemetry::{Board, ClientMetrics, Metrics, StreamShape};
use crate::training::RoundSchedule;
use aborts::Aborts;
use assignment::PendingPartition;
use backlog::Backlog;
use logs::Logs;
use outage::Outage;
use owned_shard::OwnedShard;
use ports::{Broker, PortSet, Ports, TimeSource};
use publish::{ClientPair, Publisher};
use snapshots::SnapshotInProgress;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

pub use rare_paths::{RarePath, RarePaths};

/// Why a worker can't go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("kafka: {0}")]
    Kafka(#[from] kafka::Error),
    #[error("the network: {0}")]
    Network(#[from] nn::Error),
    #[error("loading a shard: {0}")]
    Load(#[from] loading::LoadError),
    #[error("a thread panicked; its message is above")]
    Panicked,
}

/// What a worker is started with, besides its ports.
pub struct Setup {
    /// The worker's number in its process.
    pub number: usize,
    /// The whole config.
    pub config: Arc<Config>,
    /// The process's metrics.
    pub metrics: Metrics,
    /// The process's board.
    pub board: Board,
}

/// Polls, steps, sends and commits: [`Worker::turn`] again and again, then [`Worker::finish`] and
/// [`Worker::leave`].
pub struct Worker<P: Ports> {
    setup: Setup,
    ports: PortSet<P>,
    shards: Vec<OwnedShard>,
    /// Partitions whose shards are being loaded.
    pending: Vec<PendingPartition>,
    logs: Logs,
    outage: Outage,
    /// Records that were polled and wait until a turn can take them.
    backlog: Backlog,
    /// Where the schemas of records are found, if any stream's need one.
    schemas: Option<Arc<dyn SchemaSource>>,
    /// All records that wait do so for their schemas.
    awaits_schemas: bool,
    aborts: Aborts,
    /// The last ticket that was given to a request for a shard.
    tickets: u64,
    snapshot: Option<SnapshotInProgress>,
    /// When the next training round of a stream is due, of streams whose first partition is owned here.
    due: BTreeMap<StreamName, RoundSchedule>,
    /// Records that were polled since the last commit.
    uncommitted: usize,
    /// Steps of series since the last commit.
    stepped: usize,
    publisher: Publisher,
    /// The change of the models that was followed last.
    models_followed: u64,
    /// A shard has ended its replay and may follow the models from now on.
    has_restored: bool,
    committed_at: Instant,
    turned_at: Instant,
    /// When the broker was last asked about offsets without records.
    ends_asked_at: Instant,
    /// When the lag of the shards is looked at next.
    pace_due_at: Instant,
    rare_paths: RarePaths,
}

/// The topics that a worker subscribes to.
pub fn topics(config: &Config) -> Vec<String> {
    let mut topics: Vec<String> = config.streams.iter().flat_map(|s| s.topics.iter().cloned()).collect();
    topics.sort_unstable();
    topics.dedup();
    topics
}

/// The metrics of a worker's consumer and producer.
pub fn clients(metrics: &Metrics, number: usize) -> (ClientMetrics, ClientMetrics) {
    let client = |kind: &str| metrics.kafka_client(&format!("{kind}-{number}"));
    (client("consumer"), client("producer"))
}

/// What the metrics of a stream are labelled with.
pub fn stream_shape(stream: &Stream) -> StreamShape {
    StreamShape {
        name: stream.name.clone(),
        levels: stream.levels.clone(),
        leads: stream.leads().shown(),
        experts: Shard::judged(stream),
    }
}

impl<P: Ports> Worker<P> {
    /// A worker whose broker is subscribed to [`topics`], and has described them as `known`.
    pub fn new(setup: Setup, ports: PortSet<P>, known: &TopicDescriptions) -> Self {
        let Setup { number, config, metrics, board } = &setup;
        let (consumer, producer) = clients(metrics, *number);
        let clients = ClientPair { consumer, producer };
        let streams = config.streams.iter().map(|stream| metrics.stream(&stream.name)).collect();
        let now = ports.time.now();
        Self {
            publisher: Publisher::new(*number, board.clone(), streams, clients, now),
            setup,
            ports,
            shards: Vec::new(),
            pending: Vec::new(),
            logs: Logs::new(known),
            outage: Outage::default(),
            backlog: Backlog::default(),
            schemas: None,
            awaits_schemas: false,
            aborts: Aborts::default(),
            tickets: 0,
            snapshot: None,
            due: BTreeMap::new(),
            uncommitted: 0,
            stepped: 0,
            models_followed: 0,
            has_restored: false,
            committed_at: now,
            turned_at: now,
            ends_asked_at: now,
            pace_due_at: now,
            rare_paths: RarePaths::default(),
        }
    }

    /// The worker finds the schemas of records here.
    #[must_use]
    pub fn with_schemas(mut self, schemas: Option<Arc<dyn SchemaSource>>) -> Self {
        self.schemas = schemas;
        self
    }

    /// Leaves the group. What was not committed is aborted.
    ///
    /// # Errors
    /// When the client can't be used any longer.
    pub fn leave(self) -> Result<(), Error> {
        match self.ports.broker.leave() {
            // The broker aborts it in the end.
            Err(cause) if cause.is_transient() => Ok(()),
            outcome => Ok(outcome?),
        }
    }

    /// The shards, in the order in which their partitions were read.
    pub fn shards_mut(&mut self) -> impl Iterator<Item = &mut Shard> {
        self.shards.iter_mut().map(|owned| &mut owned.shard)
    }

    /// The rare paths that were taken so far.
    pub fn rare_paths(&self) -> RarePaths {
        self.rare_paths
    }
}
