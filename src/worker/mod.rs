//! The loop from a poll to a commit.
//!
//! A worker is a thread that owns a consumer, a producer and the shards of the partitions that are
//! assigned to it: it polls, steps, produces and commits by itself, so that a batch, a commit and a
//! rebalance can never race. Two threads beside each wait for the store in its place: one brings shards
//! back, one writes their snapshots. Promises that a snapshot is cut only where the group's offset stands.

#![forbid(unsafe_code)]

mod archive;
mod dead_letter;
mod loader;
mod logs;
mod owned;
mod publish;
mod rebalance;
mod snapshot;
mod turn;

use crate::checkpoint;
use crate::kafka;
use crate::models::now;
use crate::nn;

pub use loader::LoadError;
pub(crate) use turn::Worker;

/// Why a worker could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("kafka: {0}")]
    Kafka(#[from] kafka::Error),
    #[error("the store: {0}")]
    Store(#[from] checkpoint::Error),
    #[error("the network: {0}")]
    Network(#[from] nn::Error),
    #[error("can't start a thread: {0}")]
    Thread(#[from] std::io::Error),
    #[error("bringing a shard back: {0}")]
    Load(#[from] loader::LoadError),
    #[error("a thread panicked; its last words are above")]
    Panicked,
}
