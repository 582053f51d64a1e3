//! How a shard is loaded: from a snapshot where one can be used, else cold. A loader carries this out beside
//! the worker.

use super::rare_paths::{RarePath, RarePaths};
use super::serving::ModelSource;
use crate::checkpoint::{Recovered, Recovery, RecoveryError, SnapshotId, Store};
use crate::config::{Snapshots, Stream};
use crate::domain::{EventTime, Offset, TopicId, TopicPartition};
use crate::engine::{Model, Shard};
use crate::kafka;
use crate::nn;
use crate::series::{RecordProgress, ReorderHistory};
use crate::telemetry::{Violations, events};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The most readings that are replayed to warm a shard that has no snapshot.
const REPLAY_MAX: i64 = 1_000_000;

/// A request for a shard.
#[derive(Clone)]
pub struct LoadRequest {
    /// Identifies the answer: the partition may have been revoked meanwhile.
    pub ticket: u64,
    /// The stream that the shard serves.
    pub stream: Arc<Stream>,
    /// The partition that the shard reads.
    pub at: TopicPartition,
    /// The topic as it is now; `None` where the broker knows no ids.
    pub topic_id: Option<TopicId>,
    /// The first record that Kafka still has.
    pub low: Offset,
    /// What the group has committed.
    pub committed: Offset,
    /// The group has committed nothing of this log, and the reason is not known.
    pub is_unread: bool,
    /// The log was cut at the committed offset.
    pub is_cut: bool,
    /// How readings were held back, as far as it is known.
    pub holdings: ReorderHistory,
    /// How much of the record at the committed offset has been answered, if it is a part of it.
    pub answered: Option<RecordProgress>,
}

/// A shard that was loaded.
pub struct LoadedShard {
    /// What was asked for.
    pub request: LoadRequest,
    /// The shard; it has seen everything before `from`.
    pub shard: Shard,
    /// The first record that the shard has not seen.
    pub from: Offset,
    /// The snapshot that it came from; `None` after a cold start.
    pub snapshot: Option<UsedSnapshot>,
    /// The topic that had the name before, where only the snapshots know of one.
    pub former: Option<TopicId>,
    /// Invariants that did not hold.
    pub violations: Violations,
    /// Rare paths that were taken.
    pub rare_paths: RarePaths,
}

/// The snapshot that a shard came from.
#[derive(Clone, Copy, Debug)]
pub struct UsedSnapshot {
    /// Which one.
    pub id: SnapshotId,
    /// When it was taken.
    pub created: EventTime,
}

/// Why a shard can't be loaded at all.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("kafka: {0}")]
    Kafka(#[from] kafka::Error),
    #[error("the network: {0}")]
    Network(#[from] nn::Error),
}

/// Finds offsets by the times of their records.
pub trait LogTimes {
    /// The first offset whose record is not older than the last record before `next`, less `back`; `next` where
    /// that record can't be read.
    ///
    /// # Errors
    /// As [`TopicReader::offset_before`](crate::kafka::TopicReader::offset_before).
    fn offset_before(
        &self,
        at: &TopicPartition,
        next: Offset,
        back: Duration,
    ) -> Result<Offset, kafka::Error>;
}

/// Where shards are loaded from.
pub struct LoadSource<M, L> {
    /// Has the snapshots and bundles.
    pub store: Store,
    /// Whether snapshots are used, and how long the store is asked for one.
    pub settings: Snapshots,
    /// Which model serves.
    pub models: M,
    /// Where a cold start begins its replay.
    pub log: L,
}

/// What came of an attempt to load a shard.
pub enum Attempt {
    /// The shard is there.
    Loaded(Box<LoadedShard>),
    /// The store did not answer. Try again after a pause.
    StoreUnreachable,
    /// The process is stopping.
    Stopped,
}

/// A shard that is being loaded.
pub struct Load {
    request: LoadRequest,
    current: Option<Model>,
    /// Until when a store that does not answer is asked again.
    until: Instant,
    rare_paths: RarePaths,
}

impl Load {
    /// Begins at `now`.
    pub fn new<M: ModelSource, L>(request: LoadRequest, source: &LoadSource<M, L>, now: Instant) -> Self {
        let current = source.models.current(&request.stream.name);
        let until = now + source.settings.restore_timeout;
        Self { request, current, until, rare_paths: RarePaths::default() }
    }

    /// Asks the store once, and Kafka for a cold start. To be called until the shard is loaded. `now` is called
    /// after the store was asked, as a store may take long to fail.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn attempt<M: ModelSource, L: LogTimes>(
        &mut self,
        source: &LoadSource<M, L>,
        now: impl FnOnce() -> Instant,
        stop: &AtomicBool,
    ) -> Result<Attempt, LoadError> {
        if source.settings.enabled {
            let (stream, at) = (&self.request.stream, &self.request.at);
            let recovery = recovery(source, &self.request, self.current.as_ref());
            let deleted = if self.request.is_cut { recovery.delete_lost() } else { Ok(()) };
            match deleted.and_then(|()| recovery.newest()) {
                Ok(Some(recovered)) => return Ok(self.loaded(recovered)),
                Ok(None) => {}
                Err(RecoveryError::Network(e)) => return Err(e.into()),
                Err(cause) => {
                    events::store_unreachable(&stream.name, at, &cause);
                    if now() < self.until && !stop.load(Ordering::Acquire) {
                        self.rare_paths.mark(RarePath::StoreAskedAgain);
                        return Ok(Attempt::StoreUnreachable);
                    }
                    self.rare_paths.mark(RarePath::StoreGivenUp);
                }
            }
        }
        if stop.load(Ordering::Acquire) {
            return Ok(Attempt::Stopped);
        }
        self.start_cold(source)
    }

    fn loaded(&mut self, recovered: Recovered) -> Attempt {
        let Recovered { shard, id, created, violations } = recovered;
        let request = self.request.clone();
        let from = id.offset.max(request.low);
        self.rare_paths.mark(RarePath::RestoredFromSnapshot);
        self.rare_paths.mark_if(from > id.offset, RarePath::SnapshotBelowRetention);
        let (snapshot, rare_paths) = (Some(UsedSnapshot { id, created }), self.rare_paths);
        let former = None;
        Attempt::Loaded(Box::new(LoadedShard {
            request,
            shard,
            from,
            snapshot,
            former,
            violations,
            rare_paths,
        }))
    }

    fn start_cold<M, L: LogTimes>(&mut self, source: &LoadSource<M, L>) -> Result<Attempt, LoadError> {
        let request = self.request.clone();
        let mut shard = Shard::new(request.stream.clone());
        if let Some(model) = &self.current {
            shard.bring(model)?;
            shard.warm(usize::MAX)?;
        }
        let from = replay_start(source, &request)?;
        let former = if request.is_unread { former_topic(source, &request) } else { None };
        self.rare_paths.mark_if(request.committed > request.low, RarePath::ColdStart);
        Ok(Attempt::Loaded(Box::new(LoadedShard {
            shard,
            from,
            snapshot: None,
            former,
            violations: Violations::default(),
            rare_paths: self.rare_paths,
            request,
        })))
    }
}

fn recovery<'a, M, L>(
    source: &'a LoadSource<M, L>,
    request: &'a LoadRequest,
    current: Option<&'a Model>,
) -> Recovery<'a> {
    let LoadRequest { stream, at, topic_id, committed, .. } = request;
    Recovery { store: &source.store, stream, at, topic_id: *topic_id, committed: *committed, current }
}

/// A store that does not answer knows of none.
fn former_topic<M, L>(source: &LoadSource<M, L>, request: &LoadRequest) -> Option<TopicId> {
    if !source.settings.enabled {
        return None;
    }
    recovery(source, request, None).former_topic().ok().flatten()
}

/// Where a shard without a snapshot begins its replay.
fn replay_start<M, L: LogTimes>(
    source: &LoadSource<M, L>,
    request: &LoadRequest,
) -> Result<Offset, kafka::Error> {
    let LoadRequest { stream, at, low, committed, holdings, .. } = request;
    // Readings may have been held back for longer than they are now: the replay has to find those too.
    let back = stream.cold_replay.max(holdings.longest() + stream.cell_wait());
    if committed <= low || back.is_zero() {
        return Ok(*committed);
    }
    let from = source.log.offset_before(at, *committed, back)?;
    let earliest = (*low).max(Offset(committed.0 - REPLAY_MAX));
    Ok(from.clamp(earliest, *committed))
}
