//! Brings shards back, beside the worker: from a snapshot where one can be used, else cold.

use crate::checkpoint::{Recovered, Recovery, RecoveryError, SnapshotId, Store};
use crate::config::{Kafka, Snapshots, Stream};
use crate::domain::{EventTime, Offset, TopicId, TopicPartition};
use crate::engine::{Model, Shard};
use crate::kafka::{self, Tail};
use crate::models::BackgroundThread;
use crate::models::Models;
use crate::nn;
use crate::series::ReorderHistory;
use crate::telemetry::{Violations, events};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// The most readings that are replayed to warm a shard that has no snapshot.
const REPLAY_MAX: i64 = 1_000_000;
/// Between two looks at a store that does not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// A shard that is wanted back.
#[derive(Clone)]
pub(crate) struct Wanted {
    /// By which the answer is known: the shard may have been revoked meanwhile.
    pub ticket: u64,
    pub stream: Arc<Stream>,
    pub at: TopicPartition,
    /// The topic as it is now; `None` where the broker knows no ids.
    pub topic_id: Option<TopicId>,
    /// The first record that Kafka still has.
    pub low: Offset,
    pub committed: Offset,
    /// The group has committed nothing of it, and it isn't known why.
    pub is_unread: bool,
    /// How readings were held back, as far as it is known.
    pub holdings: ReorderHistory,
}

/// A shard that is back.
pub(crate) struct Loaded {
    pub wanted: Wanted,
    pub shard: Shard,
    /// The first record that it has not seen.
    pub from: Offset,
    pub snapshot: Option<Found>,
    /// The topic that had the name before, where the snapshots know of one and nobody else does.
    pub former: Option<TopicId>,
    pub violations: Violations,
}

/// The snapshot that a shard came back from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub id: SnapshotId,
    pub created: EventTime,
}

/// Why a shard can't be brought back at all.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("kafka: {0}")]
    Kafka(#[from] kafka::Error),
    #[error("the network: {0}")]
    Network(#[from] nn::Error),
}

/// The thread that loads, and its in- and outbox. Wants no more at once than the worker owns
/// partitions.
pub(crate) struct Loader {
    wanted: Option<Sender<Wanted>>,
    loaded: Receiver<Result<Loaded, LoadError>>,
    stop: Arc<AtomicBool>,
    /// Wishes with a lower ticket are nobody's any more.
    first_wanted: Arc<AtomicU64>,
    thread: BackgroundThread,
}

impl Loader {
    /// The thread ends when `shard_loader.stop` is set, and when this is dropped.
    pub fn start(worker: usize, shard_loader: ShardLoader) -> std::io::Result<Self> {
        Self::with(worker, shard_loader.stop.clone(), move |wanted| shard_loader.load(wanted))
    }

    /// `load` gives `None` when it was asked to stop meanwhile.
    fn with(
        worker: usize,
        stop: Arc<AtomicBool>,
        load: impl Fn(Wanted) -> Result<Option<Loaded>, LoadError> + Send + 'static,
    ) -> std::io::Result<Self> {
        let (wanted, inbox) = channel::<Wanted>();
        let (outbox, loaded) = channel();
        let first_wanted = Arc::new(AtomicU64::new(0));
        let (first, stopped) = (first_wanted.clone(), stop.clone());
        let thread = BackgroundThread::start(format!("loader-{worker}"), move || {
            for wanted in inbox {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                if wanted.ticket < first.load(Ordering::Acquire) {
                    continue;
                }
                let Some(loaded) = load(wanted).transpose() else { return };
                if outbox.send(loaded).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { wanted: Some(wanted), loaded, stop, first_wanted, thread })
    }

    pub fn want(&self, wanted: Wanted) {
        let inbox = self.wanted.as_ref().expect("it is open until it is dropped");
        // Nothing comes back from a thread that was asked to stop, nor from one that panicked, which
        // shows.
        let _ = inbox.send(wanted);
    }

    /// Forgets every wish below a ticket.
    pub fn forget_below(&self, ticket: u64) {
        self.first_wanted.store(ticket, Ordering::Release);
    }

    /// A shard that has come back since the last look.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn next(&self) -> Result<Option<Loaded>, LoadError> {
        self.loaded.try_recv().ok().transpose()
    }

    pub fn has_panicked(&mut self) -> bool {
        self.thread.has_panicked()
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.wanted = None;
        self.thread.join();
    }
}

/// What the thread works with.
pub(crate) struct ShardLoader {
    pub kafka: Kafka,
    pub store: Store,
    pub settings: Snapshots,
    pub models: Models,
    pub stop: Arc<AtomicBool>,
}

impl ShardLoader {
    /// `None` when it was asked to stop meanwhile.
    fn load(&self, wanted: Wanted) -> Result<Option<Loaded>, LoadError> {
        let current = self.models.current(&wanted.stream.name);
        if self.settings.enabled
            && let Some(Recovered { shard, id, created, violations }) =
                self.recover(&wanted, current.as_ref())?
        {
            let from = id.offset.max(wanted.low);
            let snapshot = Some(Found { id, created });
            return Ok(Some(Loaded { shard, from, snapshot, former: None, violations, wanted }));
        }
        if self.stop.load(Ordering::Acquire) {
            return Ok(None);
        }
        let mut shard = Shard::new(wanted.stream.clone());
        if let Some(model) = &current {
            shard.bring(model)?;
            shard.warm(usize::MAX)?;
        }
        let from = self.cold_start(&wanted)?;
        let former = if wanted.is_unread { self.former_topic(&wanted) } else { None };
        Ok(Some(Loaded { shard, from, snapshot: None, former, violations: Violations::default(), wanted }))
    }

    /// A store that does not answer knows of none.
    fn former_topic(&self, wanted: &Wanted) -> Option<TopicId> {
        if !self.settings.enabled {
            return None;
        }
        self.recovery(wanted, None).former_topic().ok().flatten()
    }

    fn recovery<'a>(&'a self, wanted: &'a Wanted, current: Option<&'a Model>) -> Recovery<'a> {
        let Wanted { stream, at, topic_id, committed, .. } = wanted;
        Recovery { store: &self.store, stream, at, topic_id: *topic_id, committed: *committed, current }
    }

    /// Asks the store, for a while also one that does not answer.
    fn recover(&self, wanted: &Wanted, current: Option<&Model>) -> Result<Option<Recovered>, LoadError> {
        let (stream, at) = (&wanted.stream, &wanted.at);
        let recovery = self.recovery(wanted, current);
        let until = Instant::now() + self.settings.restore_timeout;
        loop {
            match recovery.newest() {
                Ok(recovered) => return Ok(recovered),
                Err(RecoveryError::Network(e)) => return Err(e.into()),
                Err(cause) => events::store_unreachable(&stream.name, at, &cause),
            }
            if Instant::now() >= until || self.stop.load(Ordering::Acquire) {
                return Ok(None);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Where a shard without a snapshot begins its replay.
    fn cold_start(&self, wanted: &Wanted) -> Result<Offset, kafka::Error> {
        let Wanted { stream, at, low, committed, holdings, .. } = wanted;
        // Also what was held back for longer than readings are now is to be found again.
        let back = stream.cold_replay.max(holdings.longest() + stream.gathered_for());
        if committed <= low || back.is_zero() {
            return Ok(*committed);
        }
        let from = Tail::offset_before(&self.kafka, at, *committed, back)?;
        let earliest = (*low).max(Offset(committed.0 - REPLAY_MAX));
        Ok(from.clamp(earliest, *committed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::from_toml;
    use crate::domain::Partition;
    use crate::series::ReorderSettings;

    /// What a worker's loader has, over a store in a folder, and a partition of which nothing is committed.
    fn shard_loader(folder: &std::path::Path) -> (ShardLoader, Wanted) {
        let text = format!(
            "[kafka]\nbrokers = \"localhost:9092\"\n[store]\nurl = \"file://{}\"\n[streams.test]\n\
             topics = [\"in\"]\ninterval = \"1h\"\ntargets = [\"kw\"]\n",
            folder.display()
        );
        let config = from_toml(&text, &[]).unwrap();
        let store = Store::open(&config.store).unwrap();
        let (stop, models) = (Arc::default(), Models::default());
        let wanted = Wanted {
            ticket: 1,
            stream: config.streams[0].clone(),
            at: TopicPartition { topic: "in".into(), partition: Partition(0) },
            topic_id: None,
            low: Offset(0),
            is_unread: false,
            committed: Offset(0),
            holdings: ReorderHistory::of(
                "",
                &config.streams[0].name,
                Offset(0),
                ReorderSettings::of(&config.streams[0]),
            ),
        };
        (ShardLoader { kafka: config.kafka, store, settings: config.snapshots, models, stop }, wanted)
    }

    #[test]
    fn a_shard_that_is_wanted_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let (shard_loader, wanted) = shard_loader(folder.path());
        let loader = Loader::start(0, shard_loader).unwrap();
        loader.want(wanted);
        let loaded = loader.loaded.recv().expect("the thread lives").unwrap();
        assert_eq!((loaded.wanted.ticket, loaded.from), (1, Offset(0)));
    }

    #[test]
    fn a_wish_after_the_stop_ends_the_thread_and_is_no_panic() {
        let folder = tempfile::tempdir().unwrap();
        let (shard_loader, wanted) = shard_loader(folder.path());
        shard_loader.stop.store(true, Ordering::Release);
        let mut loader = Loader::start(0, shard_loader).unwrap();
        assert!(!loader.has_panicked(), "it waits for a wish");
        loader.want(wanted);
        loader.thread.wait_over();
        assert!(!loader.has_panicked());
        assert!(loader.next().unwrap().is_none());
    }

    #[test]
    fn a_stop_in_the_midst_of_a_load_is_no_panic() {
        let folder = tempfile::tempdir().unwrap();
        let (shard_loader, wanted) = shard_loader(folder.path());
        let stop = shard_loader.stop.clone();
        let asked = stop.clone();
        let load = move |wanted| {
            asked.store(true, Ordering::Release);
            shard_loader.load(wanted)
        };
        let mut loader = Loader::with(0, stop, load).unwrap();
        loader.want(wanted);
        loader.thread.wait_over();
        assert!(!loader.has_panicked());
        assert!(loader.next().unwrap().is_none());
    }

    #[test]
    fn a_panic_shows() {
        let folder = tempfile::tempdir().unwrap();
        let (shard_loader, wanted) = shard_loader(folder.path());
        let mut loader = Loader::with(0, shard_loader.stop.clone(), |_| panic!("on purpose")).unwrap();
        loader.want(wanted);
        loader.thread.wait_over();
        assert!(loader.has_panicked());
    }
}
