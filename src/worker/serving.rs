//! Which model serves, as a worker and its loader see it.

use crate::domain::StreamName;
use crate::engine::Model;

/// Which model serves a stream.
#[derive(Clone)]
pub enum Serving {
    /// This one.
    Model(Model),
    /// None: the experts serve alone.
    ExpertsAlone,
    /// Nothing was announced yet.
    Unknown,
}

/// Which model serves each stream: the one that was announced last.
pub trait ModelSource {
    /// Grows with every change. Cheap enough to be asked in a loop.
    fn changes(&self) -> u64;

    /// What serves a stream now.
    fn serving(&self, stream: &StreamName) -> Serving;

    /// The model that serves a stream now, if there is one.
    fn current(&self, stream: &StreamName) -> Option<Model> {
        match self.serving(stream) {
            Serving::Model(model) => Some(model),
            Serving::ExpertsAlone | Serving::Unknown => None,
        }
    }
}
