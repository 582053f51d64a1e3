use super::Error;
use super::announcement::{Announcement, BundleRef, Decision};
use super::announcer::{Announce, Announcer};
use super::follower::Follower;
use super::serving::Models;
use crate::checkpoint::{self, Bundles, Champion, Store};
use crate::config::{Config, Stream};
use crate::domain::{ModelVersion, StreamName};
use crate::kafka;
use crate::nn;
use crate::telemetry::{Metrics, events};
use crate::training::Shapes;
use std::collections::BTreeMap;

/// The stored models of a config's streams: lists them, and announces another one at an operator's request.
pub struct Registry {
    store: Store,
    models: Models,
    announcer: Announcer,
}

/// A model in the store.
#[derive(Clone, Debug)]
pub struct StoredModel {
    pub version: ModelVersion,
    /// Whether it was announced last.
    pub serves: bool,
    /// The facts of its bundle, or why the bundle can't be read.
    pub facts: Result<BTreeMap<String, String>, String>,
}

/// Why another model can't serve.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("the store has no {0}")]
    Absent(String),
    #[error("{0} has another shape than the config asks for")]
    Shape(String),
    #[error("{0} was announced already")]
    Serves(String),
    #[error("no network serves")]
    Nothing,
    #[error("there is nothing to go back to: what served before {0} is gone")]
    NoFormer(String),
    #[error(transparent)]
    Store(#[from] checkpoint::Error),
    #[error("the network: {0}")]
    Network(#[from] nn::Error),
    #[error("kafka: {0}")]
    Kafka(#[from] kafka::Error),
}

impl Registry {
    /// Opens the store and reads the models topic to its end. A daemon may be running.
    ///
    /// # Errors
    /// When Kafka or the store can't be read.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let (store, models) = (Store::open(&config.store)?, Models::default());
        Follower::open(config, &store, &models, &Metrics::new(&[]))?;
        Ok(Self::over(config, &store, &models))
    }

    /// For a daemon, which follows the topic already.
    pub(crate) fn over(config: &Config, store: &Store, models: &Models) -> Self {
        Self { store: store.clone(), models: models.clone(), announcer: Announcer::new(config.kafka.clone()) }
    }

    /// The models of a stream, newest first.
    ///
    /// # Errors
    /// [`RegistryError::Store`] when the store can't be read.
    pub fn list(&self, stream: &StreamName) -> Result<Vec<StoredModel>, RegistryError> {
        let bundles = Bundles::new(&self.store, stream);
        let serves = self.serving(stream);
        let entry = |version| {
            let facts = match bundles.load_version(version) {
                Ok(Some(champion)) => Ok(champion.facts),
                Ok(None) => Err("is gone".to_owned()),
                Err(cause @ checkpoint::Error::Store { .. }) => return Err(cause),
                Err(cause) => Err(cause.to_string()),
            };
            Ok(StoredModel { version, serves: serves == Some(version), facts })
        };
        Ok(bundles.list()?.into_iter().map(entry).collect::<Result<_, _>>()?)
    }

    /// Announces that this model serves from now on, whatever rounds have found.
    ///
    /// # Errors
    /// [`RegistryError`]
    pub fn promote(&mut self, stream: &Stream, version: ModelVersion) -> Result<(), RegistryError> {
        let name = version.name(&stream.name);
        if self.serving(&stream.name) == Some(version) {
            return Err(RegistryError::Serves(name));
        }
        let bundles = Bundles::new(&self.store, &stream.name);
        let champion = bundles.load_version(version)?.ok_or_else(|| RegistryError::Absent(name.clone()))?;
        if Shapes::of(stream)?.fitting(&champion.networks).is_empty() {
            return Err(RegistryError::Shape(name));
        }
        self.announce(stream, Some(version), Decision::Requested)?;
        events::model_requested(&stream.name, &name);
        Ok(())
    }

    /// Announces that the predecessor of the serving model serves again, and returns it. `None` stands for the
    /// experts alone.
    ///
    /// # Errors
    /// [`RegistryError`]
    pub fn roll_back(&mut self, stream: &Stream) -> Result<Option<ModelVersion>, RegistryError> {
        let from = self.serving(&stream.name).ok_or(RegistryError::Nothing)?;
        let to = self.former(stream, from)?;
        self.announce(stream, to, Decision::RolledBack)?;
        let name = to.map_or_else(|| "experts".to_owned(), |version| version.name(&stream.name));
        events::model_requested(&stream.name, &name);
        Ok(to)
    }

    /// The predecessor of a model: the one that its bundle names or, when that is gone, the next older model
    /// that fits the config.
    fn former(&self, stream: &Stream, of: ModelVersion) -> Result<Option<ModelVersion>, RegistryError> {
        let bundles = Bundles::new(&self.store, &stream.name);
        let shapes = Shapes::of(stream)?;
        let fits = |champion: &Champion| !shapes.fitting(&champion.networks).is_empty();
        let load = |version| match bundles.load_version(version) {
            Err(cause @ checkpoint::Error::Store { .. }) => Err(cause),
            found => Ok(found.ok().flatten().filter(fits)),
        };
        if let Some(parent) = load(of)?.and_then(|champion| champion.facts.get("parent").cloned()) {
            if parent.is_empty() {
                return Ok(None);
            }
            let parent = ModelVersion::named(&parent, &stream.name);
            if let Some(version) = parent
                && load(version)?.is_some()
            {
                return Ok(Some(version));
            }
        }
        for version in bundles.list()?.into_iter().filter(|version| *version < of) {
            if load(version)?.is_some() {
                return Ok(Some(version));
            }
        }
        Err(RegistryError::NoFormer(of.name(&stream.name)))
    }

    fn announce(
        &mut self,
        stream: &Stream,
        version: Option<ModelVersion>,
        decision: Decision,
    ) -> Result<(), RegistryError> {
        let bundles = Bundles::new(&self.store, &stream.name);
        let named = |version: ModelVersion| -> Result<BundleRef, RegistryError> {
            let checksum = bundles.checksum(version)?;
            let checksum = checksum.ok_or_else(|| RegistryError::Absent(version.name(&stream.name)))?;
            Ok(BundleRef { version, checksum })
        };
        let champion = version.map(named).transpose()?;
        let rounds = self.models.state(&stream.name).rounds;
        let announcement = Announcement { champion, rounds, decision };
        self.announcer.announce(&stream.name, &announcement, &bundles)?;
        self.models.announced(&stream.name, &announcement);
        Ok(())
    }

    /// The model that was announced last. While none was announced, the one that serves.
    fn serving(&self, stream: &StreamName) -> Option<ModelVersion> {
        let state = self.models.state(stream);
        state.announced.map(|named| named.version).or(state.version())
    }
}
