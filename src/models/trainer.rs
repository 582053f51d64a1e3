use super::announcer::{Announce, Announcer};
use super::round_runner::{RoundRequest, RoundRunner};
use super::serving::Models;
use super::thread::BackgroundThread;
use super::{Error, NAP};
use crate::checkpoint::Store;
use crate::config::{Config, Stream};
use crate::domain::StreamName;
use crate::series::WindowCopy;
use crate::telemetry::{Board, Metrics, events};
use crate::training::{Start, Why};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};

const POISONED: &str = "no holder of this lock panics";

/// The thread that trains, one round at a time, at low priority and within its share of a core.
pub(crate) struct TrainerThread {
    queue: RoundQueue,
    stop: Arc<AtomicBool>,
    thread: BackgroundThread,
}

/// Where workers hand in rounds. It holds at most one round of each stream.
#[derive(Clone)]
pub(crate) struct RoundQueue {
    requests: SyncSender<RoundRequest>,
    busy: Arc<Mutex<BTreeMap<StreamName, bool>>>,
    hastened: Arc<Mutex<BTreeMap<StreamName, Why>>>,
}

impl RoundQueue {
    /// Hands in a round, unless one of the stream is waiting or running. Returns whether it was handed in.
    pub fn hand_in(
        &self,
        stream: &Arc<Stream>,
        start: Start,
        why: Why,
        samples: impl FnOnce() -> Vec<WindowCopy>,
    ) -> bool {
        let mut busy = self.busy.lock().expect(POISONED);
        if busy.get(&stream.name).copied().unwrap_or(false) {
            return false;
        }
        let request = RoundRequest { stream: stream.clone(), start, why, samples: samples() };
        match self.requests.try_send(request) {
            Ok(()) => {
                busy.insert(stream.name.clone(), true);
                true
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }

    /// Drift or an operator asks for a round of the stream. A request replaces drift.
    pub fn hasten(&self, stream: &StreamName, why: Why) {
        let mut hastened = self.hastened.lock().expect(POISONED);
        let kept = hastened.entry(stream.clone()).or_insert(why);
        if why == Why::Request {
            *kept = why;
        }
    }

    /// What has asked for a round of the stream since the last call.
    pub fn take_hastened(&self, stream: &StreamName) -> Option<Why> {
        self.hastened.lock().expect(POISONED).remove(stream)
    }
}

impl TrainerThread {
    pub fn start(
        config: &Config,
        store: &Store,
        models: &Models,
        metrics: &Metrics,
        board: &Board,
    ) -> Result<Self, Error> {
        let (requests, inbox) = sync_channel(config.streams.len());
        let queue = RoundQueue { requests, busy: Arc::default(), hastened: Arc::default() };
        let stop = Arc::new(AtomicBool::new(false));
        let runner = RoundRunner::new(
            config,
            Announcer::new(config.kafka.clone()),
            store,
            models,
            metrics,
            board,
            &stop,
        )?;
        let busy = queue.busy.clone();
        let thread = BackgroundThread::start("trainer".into(), move || work(runner, &inbox, &busy))?;
        Ok(Self { queue, stop, thread })
    }

    pub fn queue(&self) -> RoundQueue {
        self.queue.clone()
    }

    pub fn has_panicked(&mut self) -> bool {
        self.thread.has_panicked()
    }

    /// Stops the round that runs, if any, and the thread.
    ///
    /// # Errors
    /// [`Error::Panicked`] when the thread has panicked.
    pub fn stop(mut self) -> Result<(), Error> {
        self.stop.store(true, Ordering::Release);
        self.thread.join();
        if self.thread.has_panicked() {
            events::trainer_panicked();
            return Err(Error::Panicked);
        }
        Ok(())
    }
}

fn work(
    mut runner: RoundRunner<impl Announce>,
    inbox: &Receiver<RoundRequest>,
    busy: &Mutex<BTreeMap<StreamName, bool>>,
) {
    yield_to_serving();
    while !runner.stop.load(Ordering::Acquire) {
        let Ok(request) = inbox.recv_timeout(NAP) else { continue };
        runner.run(&request);
        busy.lock().expect(POISONED).insert(request.stream.name.clone(), false);
    }
}

/// Gives this thread the lowest priority that an ordinary thread can have: serving comes first.
fn yield_to_serving() {
    #[cfg(target_os = "linux")]
    #[expect(unsafe_code, reason = "a call of libc")]
    // SAFETY: both calls take plain numbers; on Linux `PRIO_PROCESS` with a thread's id is that
    // thread alone. A refusal changes nothing.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, libc::gettid() as libc::id_t, 19);
    }
}
