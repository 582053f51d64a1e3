//! The thread that loads a worker's shards, so that a slow store never stops the others.

use super::kafka_wait::KafkaWait;
use crate::config::Kafka;
use crate::domain::{Offset, TopicPartition};
use crate::kafka::{Error, TopicReader};
use crate::models::{BackgroundThread, Models};
use crate::worker::loading::{Attempt, Load, LoadError, LoadRequest, LoadSource, LoadedShard, LogTimes};
use crate::worker::ports::ShardLoader;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Between two attempts at a store that does not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// Looks times up in Kafka's own index.
pub(super) struct KafkaTimes(pub Kafka);

impl LogTimes for KafkaTimes {
    fn offset_before(&self, at: &TopicPartition, next: Offset, back: Duration) -> Result<Offset, Error> {
        TopicReader::offset_before(&self.0, at, next, back)
    }
}

/// The thread, and its in- and outbox. There are never more requests at once than the worker owns shards.
pub(super) struct LoaderThread {
    requests: Option<Sender<LoadRequest>>,
    loaded: Receiver<Result<Box<LoadedShard>, LoadError>>,
    stop: Arc<AtomicBool>,
    /// Requests with a lower ticket are dropped.
    first_wanted: Arc<AtomicU64>,
    thread: BackgroundThread,
}

impl LoaderThread {
    /// The thread ends when `stop` is set, and when this is dropped.
    pub fn start(
        worker: usize,
        source: LoadSource<Models, KafkaTimes>,
        stop: Arc<AtomicBool>,
    ) -> std::io::Result<Self> {
        let stopped = stop.clone();
        Self::with(worker, stop, move |request| load(&source, request, &stopped))
    }

    /// `load` returns `None` when the process is stopping.
    fn with(
        worker: usize,
        stop: Arc<AtomicBool>,
        load: impl Fn(LoadRequest) -> Result<Option<Box<LoadedShard>>, LoadError> + Send + 'static,
    ) -> std::io::Result<Self> {
        let (requests, inbox) = channel::<LoadRequest>();
        let (outbox, loaded) = channel();
        let first_wanted = Arc::new(AtomicU64::new(0));
        let (first, stopped) = (first_wanted.clone(), stop.clone());
        let thread = BackgroundThread::start(format!("loader-{worker}"), move || {
            for request in inbox {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                if request.ticket < first.load(Ordering::Acquire) {
                    continue;
                }
                let Some(loaded) = load(request).transpose() else { return };
                if outbox.send(loaded).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { requests: Some(requests), loaded, stop, first_wanted, thread })
    }
}

/// `None` when the process is stopping.
fn load(
    source: &LoadSource<Models, KafkaTimes>,
    request: LoadRequest,
    stop: &AtomicBool,
) -> Result<Option<Box<LoadedShard>>, LoadError> {
    let mut kafka = KafkaWait::of(format!("the loader of {}", request.at));
    let mut load = Load::new(request, source, Instant::now());
    loop {
        match load.attempt(source, Instant::now, stop) {
            Ok(Attempt::Loaded(loaded)) => return Ok(Some(loaded)),
            Ok(Attempt::Stopped) => return Ok(None),
            Ok(Attempt::StoreUnreachable) => std::thread::sleep(PAUSE),
            Err(LoadError::Kafka(cause)) if cause.is_transient() => kafka.pause(&cause),
            Err(cause) => return Err(cause),
        }
    }
}

impl ShardLoader for LoaderThread {
    fn request(&mut self, request: LoadRequest) {
        let inbox = self.requests.as_ref().expect("it is open until it is dropped");
        // A thread that was asked to stop answers nothing. One that panicked does not either, and `has_panicked`
        // says so.
        let _ = inbox.send(request);
    }

    fn forget_below(&mut self, ticket: u64) {
        self.first_wanted.store(ticket, Ordering::Release);
    }

    fn next(&mut self) -> Result<Option<Box<LoadedShard>>, LoadError> {
        self.loaded.try_recv().ok().transpose()
    }

    fn has_panicked(&mut self) -> bool {
        self.thread.has_panicked()
    }
}

impl Drop for LoaderThread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.requests = None;
        self.thread.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Store;
    use crate::config::from_toml;
    use crate::domain::Partition;
    use crate::series::{ReorderHistory, ReorderSettings};

    /// What a worker's loader works with, over a store in a folder, and a request for a shard of a partition of
    /// which nothing is committed.
    fn source(folder: &std::path::Path) -> (LoadSource<Models, KafkaTimes>, LoadRequest) {
        let text = format!(
            "[kafka]\nbrokers = \"localhost:9092\"\n[store]\nurl = \"file://{}\"\n[streams.test]\n\
             topics = [\"in\"]\ninterval = \"1h\"\ntargets = [\"kw\"]\n",
            folder.display()
        );
        let config = from_toml(&text, &[]).unwrap();
        let request = LoadRequest {
            ticket: 1,
            stream: config.streams[0].clone(),
            at: TopicPartition { topic: "in".into(), partition: Partition(0) },
            topic_id: None,
            low: Offset(0),
            is_unread: false,
            is_cut: false,
            committed: Offset(0),
            holdings: ReorderHistory::of(
                "",
                &config.streams[0].name,
                Offset(0),
                ReorderSettings::of(&config.streams[0]),
            ),
            answered: None,
        };
        let store = Store::open(&config.store).unwrap();
        let (models, log) = (Models::default(), KafkaTimes(config.kafka));
        (LoadSource { store, settings: config.snapshots, models, log }, request)
    }

    #[test]
    fn a_shard_that_was_requested_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let (source, request) = source(folder.path());
        let mut loader = LoaderThread::start(0, source, Arc::default()).unwrap();
        loader.request(request);
        let loaded = loader.loaded.recv().expect("the thread lives").unwrap();
        assert_eq!((loaded.request.ticket, loaded.from), (1, Offset(0)));
    }

    #[test]
    fn a_request_after_the_stop_ends_the_thread_without_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let (source, request) = source(folder.path());
        let mut loader = LoaderThread::start(0, source, Arc::new(AtomicBool::new(true))).unwrap();
        assert!(!loader.has_panicked(), "it waits for a request");
        loader.request(request);
        loader.thread.wait_over();
        assert!(!loader.has_panicked());
        assert!(loader.next().unwrap().is_none());
    }

    #[test]
    fn a_stop_in_the_middle_of_a_load_ends_the_thread_without_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let (source, request) = source(folder.path());
        let stop: Arc<AtomicBool> = Arc::default();
        let asked = stop.clone();
        let load = move |request| {
            asked.store(true, Ordering::Release);
            load(&source, request, &asked)
        };
        let mut loader = LoaderThread::with(0, stop, load).unwrap();
        loader.request(request);
        loader.thread.wait_over();
        assert!(!loader.has_panicked());
        assert!(loader.next().unwrap().is_none());
    }

    #[test]
    fn a_panic_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let (_, request) = source(folder.path());
        let mut loader = LoaderThread::with(0, Arc::default(), |_| panic!("on purpose")).unwrap();
        loader.request(request);
        loader.thread.wait_over();
        assert!(loader.has_panicked());
    }
}
