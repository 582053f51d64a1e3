use super::announcement::{Announcement, BundleRef};
use crate::domain::{ModelVersion, StreamName};
use crate::engine::Model;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// Which model serves each stream. The follower writes it; the workers and the trainer read it.
#[derive(Clone, Default)]
pub(crate) struct Models(Arc<Inner>);

#[derive(Default)]
struct Inner {
    changes: AtomicU64,
    streams: Mutex<BTreeMap<StreamName, ModelState>>,
}

/// What is known of a stream's models.
#[derive(Clone, Default)]
pub(crate) struct ModelState {
    /// The model that serves in this process, or is being brought in.
    pub model: Option<Model>,
    /// The model that was announced last, and ought to serve.
    pub announced: Option<BundleRef>,
    /// Whether it was announced that no network serves.
    pub dismissed: bool,
    /// The newest round that was announced.
    pub rounds: u64,
}

impl ModelState {
    pub fn version(&self) -> Option<ModelVersion> {
        self.model.as_ref().map(|model| model.version)
    }
}

impl Models {
    /// From now on this model serves. It may be older or newer than the one before it.
    pub fn publish(&self, stream: &StreamName, model: Model) {
        self.lock().entry(stream.clone()).or_default().model = Some(model);
        self.0.changes.fetch_add(1, Ordering::Release);
    }

    /// From now on the experts serve alone. Returns whether a network served until now.
    pub fn dismiss(&self, stream: &StreamName) -> bool {
        let served = self.lock().entry(stream.clone()).or_default().model.take().is_some();
        self.0.changes.fetch_add(u64::from(served), Ordering::Release);
        served
    }

    /// Records an announcement, whether or not its bundle can be loaded.
    pub fn announced(&self, stream: &StreamName, announcement: &Announcement) {
        let mut streams = self.lock();
        let state = streams.entry(stream.clone()).or_default();
        state.announced = announcement.champion;
        state.dismissed = announcement.champion.is_none();
        state.rounds = announcement.rounds;
    }

    pub fn current(&self, stream: &StreamName) -> Option<Model> {
        self.lock().get(stream)?.model.clone()
    }

    pub fn state(&self, stream: &StreamName) -> ModelState {
        self.lock().get(stream).cloned().unwrap_or_default()
    }

    /// Grows with every publication; cheap to read in a loop.
    pub fn changes(&self) -> u64 {
        self.0.changes.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<StreamName, ModelState>> {
        self.0.streams.lock().expect("no holder of this lock panics")
    }
}
