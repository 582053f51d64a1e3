//! The thread that writes a worker's snapshots, so that a slow store never stops a shard.

use crate::checkpoint::{Facts, Store};
use crate::models::BackgroundThread;
use crate::worker::ports::SnapshotSink;
use crate::worker::snapshot_file::{OpenSnapshot, SnapshotKey, SnapshotOutcome};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

/// The least size of a chunk: some milliseconds of a worker's time.
const CHUNK_BYTES: usize = 4 << 20;
/// Chunks that may wait for the store.
const WAITING: usize = 4;

enum Command {
    Begin(Box<(SnapshotKey, Facts)>),
    Chunk(Vec<u8>),
    End,
    GiveUp,
}

/// The thread, and its in- and outbox.
pub(super) struct SnapshotThread {
    commands: Option<Sender<Command>>,
    /// Chunks that were handed over and are not written yet.
    waiting: Arc<AtomicUsize>,
    outcomes: Receiver<SnapshotOutcome>,
    /// Snapshots that were ended and have no outcome yet.
    unfinished: usize,
    thread: BackgroundThread,
}

impl SnapshotThread {
    /// The thread ends when this is dropped. `keep` is how many snapshots stay of each shard and generation.
    pub fn start(worker: usize, store: Store, keep: usize) -> std::io::Result<Self> {
        let (commands, inbox) = channel();
        let (outbox, outcomes) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let left = waiting.clone();
        let thread = BackgroundThread::start(format!("archive-{worker}"), move || {
            let mut open: Option<OpenSnapshot> = None;
            for command in inbox {
                match command {
                    Command::Begin(what) => {
                        let (key, facts) = *what;
                        open = Some(OpenSnapshot::new(key, facts, &store, keep, Instant::now()));
                    }
                    Command::Chunk(chunk) => {
                        open.iter_mut().for_each(|open| open.push(&chunk));
                        left.fetch_sub(1, Ordering::AcqRel);
                    }
                    Command::End => {
                        let outcome = open.take().map(|open| open.end(Instant::now));
                        if outcome.is_some_and(|outcome| outbox.send(outcome).is_err()) {
                            return;
                        }
                    }
                    Command::GiveUp => open = None,
                }
            }
        })?;
        Ok(Self { commands: Some(commands), waiting, outcomes, unfinished: 0, thread })
    }

    fn send(&self, command: Command) {
        // Of a thread that panicked no outcome ever comes; `has_panicked` says so.
        if let Some(commands) = &self.commands {
            let _ = commands.send(command);
        }
    }
}

impl SnapshotSink for SnapshotThread {
    fn chunk_bytes(&self) -> usize {
        CHUNK_BYTES
    }

    fn begin(&mut self, key: SnapshotKey, facts: Facts) {
        self.send(Command::Begin(Box::new((key, facts))));
    }

    fn offer(&mut self, chunk: Vec<u8>) -> Result<(), Vec<u8>> {
        if self.waiting.load(Ordering::Acquire) >= WAITING {
            return Err(chunk);
        }
        self.waiting.fetch_add(1, Ordering::AcqRel);
        self.send(Command::Chunk(chunk));
        Ok(())
    }

    fn end(&mut self) {
        self.unfinished += 1;
        self.send(Command::End);
    }

    fn give_up(&mut self) {
        self.send(Command::GiveUp);
    }

    fn is_busy(&self) -> bool {
        self.unfinished > 0
    }

    fn next(&mut self) -> Option<SnapshotOutcome> {
        let outcome = self.outcomes.try_recv().ok()?;
        self.unfinished -= 1;
        Some(outcome)
    }

    fn wait(&mut self, until: Instant) -> Option<SnapshotOutcome> {
        let left = until.saturating_duration_since(Instant::now());
        let outcome = self.outcomes.recv_timeout(left).ok()?;
        self.unfinished -= 1;
        Some(outcome)
    }

    fn has_panicked(&mut self) -> bool {
        self.thread.has_panicked()
    }
}

impl Drop for SnapshotThread {
    fn drop(&mut self) {
        self.commands = None;
        self.thread.join();
    }
}
