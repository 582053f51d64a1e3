use crate::domain::StreamName;
use crate::engine::Model;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Which model should serve each stream: the trainer publishes, the workers follow.
#[derive(Clone, Default)]
pub(super) struct Models(Arc<Inner>);

#[derive(Default)]
struct Inner {
    changes: AtomicU64,
    current: Mutex<BTreeMap<StreamName, Model>>,
}

impl Models {
    pub fn publish(&self, stream: &StreamName, model: Model) {
        self.0.current.lock().expect("no holder of this lock panics").insert(stream.clone(), model);
        self.0.changes.fetch_add(1, Ordering::Release);
    }

    pub fn current(&self, stream: &StreamName) -> Option<Model> {
        self.0.current.lock().expect("no holder of this lock panics").get(stream).cloned()
    }

    /// Grows with every publication: cheap to look at in a loop.
    pub fn changes(&self) -> u64 {
        self.0.changes.load(Ordering::Acquire)
    }
}
