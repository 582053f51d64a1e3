//! Which model serves: announcements on the models topic, the registry of bundles, their lineage, and the
//! thread that trains.
//!
//! Promise: in every process the model that serves is the one that was announced last. `training/tenure.rs`
//! decides; this room carries its decisions out.

mod announcement;
mod announcer;
mod cpu_share;
mod follower;
mod lineage;
mod registry;
mod round_runner;
mod serving;
mod thread;
mod trainer;

use crate::checkpoint;
use crate::domain::EventTime;
use crate::kafka;
use crate::nn;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use announcement::{Announcement, AnnouncementError, BundleRef, Decision};
pub(crate) use follower::Follower;
pub use registry::{Registry, RegistryError, StoredModel};
pub(crate) use serving::{ModelState, Models};
pub(crate) use thread::BackgroundThread;
pub(crate) use trainer::{RoundQueue, TrainerThread};

/// How often a background thread checks its stop flag, at least.
pub(crate) const NAP: Duration = Duration::from_millis(50);

/// The time of the wall clock.
pub(crate) fn now() -> EventTime {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    EventTime::from_micros(since_epoch.as_micros() as i64).unwrap_or(EventTime::MAX)
}

/// Why a model can't be trained, announced or followed.
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
    #[error("a thread panicked; its message is in the log above")]
    Panicked,
}
