//! The thread that writes a worker's snapshots, so that a slow store never stops a shard.

use crate::checkpoint::{self, Facts, Manifest, SnapshotId, Snapshots, Writer};
use crate::domain::{StreamName, TopicPartition};
use crate::models::BackgroundThread;
use crate::telemetry::events;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Chunks that may wait for the store.
const WAITING: usize = 4;

/// Which shard's snapshot, and at which offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Title {
    pub stream: StreamName,
    pub at: TopicPartition,
    pub id: SnapshotId,
}

enum Order {
    Begin(Box<(Title, Snapshots, Facts)>),
    Chunk(Vec<u8>),
    End,
    GiveUp,
}

/// What became of a snapshot.
pub(crate) struct Written {
    pub title: Title,
    pub outcome: Result<Manifest, checkpoint::Error>,
    pub took: Duration,
}

/// One snapshot at a time: begin, chunks, end. Nothing here waits for the store unless it says so.
pub(crate) struct Archive {
    orders: Option<Sender<Order>>,
    /// Chunks that were handed over and are not written yet.
    waiting: Arc<AtomicUsize>,
    written: Receiver<Written>,
    /// Snapshots that were ended and of which nothing was heard yet.
    unheard: usize,
    thread: BackgroundThread,
}

impl Archive {
    pub fn start(worker: usize) -> std::io::Result<Self> {
        let (orders, inbox) = channel();
        let (outbox, written) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let left = waiting.clone();
        let thread = BackgroundThread::start(format!("archive-{worker}"), move || {
            let mut open: Option<Open> = None;
            for order in inbox {
                let done = match order {
                    Order::Begin(what) => {
                        let (title, snapshots, facts) = *what;
                        open = Some(Open::new(title, snapshots, facts));
                        None
                    }
                    Order::Chunk(chunk) => {
                        open.iter_mut().for_each(|open| open.push(&chunk));
                        left.fetch_sub(1, Ordering::AcqRel);
                        None
                    }
                    Order::End => open.take().map(Open::end),
                    // Dropping a writer takes its parts away.
                    Order::GiveUp => {
                        open = None;
                        None
                    }
                };
                if done.is_some_and(|written| outbox.send(written).is_err()) {
                    return;
                }
            }
        })?;
        Ok(Self { orders: Some(orders), waiting, written, unheard: 0, thread })
    }

    pub fn begin(&self, title: Title, snapshots: Snapshots, facts: Facts) {
        self.order(Order::Begin(Box::new((title, snapshots, facts))));
    }

    /// Hands a chunk over, or gives it back when too many wait.
    pub fn offer(&self, chunk: Vec<u8>) -> Result<(), Vec<u8>> {
        if self.waiting.load(Ordering::Acquire) >= WAITING {
            return Err(chunk);
        }
        self.waiting.fetch_add(1, Ordering::AcqRel);
        self.order(Order::Chunk(chunk));
        Ok(())
    }

    pub fn end(&mut self) {
        self.unheard += 1;
        self.order(Order::End);
    }

    pub fn give_up(&self) {
        self.order(Order::GiveUp);
    }

    fn order(&self, order: Order) {
        // A thread that panicked shows when its outcome never comes.
        if let Some(orders) = &self.orders {
            let _ = orders.send(order);
        }
    }

    /// Whether a snapshot that was ended is still being written.
    pub fn is_busy(&self) -> bool {
        self.unheard > 0
    }

    /// A snapshot that was finished since the last look.
    pub fn next(&mut self) -> Option<Written> {
        let written = self.written.try_recv().ok()?;
        self.unheard -= 1;
        Some(written)
    }

    /// As [`Self::next`], but waits.
    pub fn wait(&mut self, until: Instant) -> Option<Written> {
        let written = self.written.recv_timeout(until.saturating_duration_since(Instant::now())).ok()?;
        self.unheard -= 1;
        Some(written)
    }

    pub fn has_panicked(&mut self) -> bool {
        self.thread.has_panicked()
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        self.orders = None;
        self.thread.join();
    }
}

/// The snapshot that is being written.
struct Open {
    title: Title,
    snapshots: Snapshots,
    facts: Facts,
    writer: Result<Writer, checkpoint::Error>,
    began: Instant,
}

impl Open {
    fn new(title: Title, snapshots: Snapshots, facts: Facts) -> Self {
        let writer = Ok(snapshots.writer(title.id));
        Self { title, snapshots, facts, writer, began: Instant::now() }
    }

    fn push(&mut self, chunk: &[u8]) {
        if let Ok(writer) = &mut self.writer
            && let Err(cause) = writer.push(chunk)
        {
            self.writer = Err(cause);
        }
    }

    fn end(self) -> Written {
        let Self { title, snapshots, facts, writer, began } = self;
        let outcome = match writer.and_then(|writer| writer.finish(facts)) {
            // A whole one of the same topic, shape and offset is as good: the state is what the log makes of it.
            Err(checkpoint::Error::Exists { .. }) => {
                snapshots.reader(title.id).map(|there| there.manifest().clone())
            }
            done => done,
        };
        if outcome.is_ok() {
            // The snapshot is made; what could not be tidied away is tried again with the next one.
            if let Err(cause) = snapshots.prune(title.id) {
                events::not_tidied(&title.stream, &cause);
            }
        }
        Written { title, outcome, took: began.elapsed() }
    }
}
