use super::{OptimiserState, Weights};
use crate::config::NetworkKind;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A network with the state of its optimiser.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    pub weights: Arc<Weights>,
    /// `None` if the bundle had none; training then starts with a fresh one.
    pub optimiser: Option<OptimiserState>,
}

/// The networks that serve a stream together, by their names in the config. A network that has not
/// won a round yet is missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Networks(BTreeMap<String, Trained>);

impl Networks {
    /// A network by its name.
    pub fn get(&self, name: &str) -> Option<&Trained> {
        self.0.get(name)
    }

    /// The only network of a stream that is configured with `model`.
    pub fn alone(&self) -> Option<&Trained> {
        self.get(NetworkKind::ALONE).filter(|_| self.0.len() == 1)
    }

    /// Adds or replaces a network.
    pub fn insert(&mut self, name: &str, trained: Trained) {
        self.0.insert(name.to_owned(), trained);
    }

    /// Whether no network serves yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// By name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Trained)> {
        self.0.iter().map(|(name, trained)| (name.as_str(), trained))
    }
}

/// A stream's only network.
impl From<Trained> for Networks {
    fn from(trained: Trained) -> Self {
        Self(BTreeMap::from([(NetworkKind::ALONE.to_owned(), trained)]))
    }
}

impl<S: Into<String>> FromIterator<(S, Trained)> for Networks {
    fn from_iter<I: IntoIterator<Item = (S, Trained)>>(all: I) -> Self {
        Self(all.into_iter().map(|(name, trained)| (name.into(), trained)).collect())
    }
}
