use super::part::checksum;
use super::{Damage, Error, Store};
use crate::domain::{ModelVersion, StreamName};
use crate::nn::{Networks, bundle};
use crate::telemetry::events;
use crate::training::{Shapes, outdated};
use object_store::path::Path;
use std::collections::BTreeMap;

const ENDING: &str = "safetensors";
/// The most that is read. Weights and two moments of the largest shape that the config allows take less.
const BUNDLE_BYTES_MAX: u64 = 4 << 30;

/// A stream's bundles: `<stream>/models/<stream>-000001.safetensors`.
#[derive(Clone, Debug)]
pub struct Bundles {
    store: Store,
    folder: Path,
    stream: StreamName,
}

/// A bundle's networks, with their origin.
#[derive(Clone, Debug)]
pub struct Champion {
    /// The model's version.
    pub version: ModelVersion,
    /// Its networks.
    pub networks: Networks,
    /// Training rounds of the stream up to and including the one that made it.
    pub rounds: u64,
    /// Lineage and scores, as text.
    pub facts: BTreeMap<String, String>,
}

impl Bundles {
    /// The bundles of this stream.
    pub fn new(store: &Store, stream: &StreamName) -> Self {
        let folder = Path::from_iter([stream.as_str(), "models"]);
        Self { store: store.clone(), folder, stream: stream.clone() }
    }

    fn path(&self, version: ModelVersion) -> Path {
        self.folder.clone().join(self.file(version))
    }

    /// The name of a version's file.
    pub fn file(&self, version: ModelVersion) -> String {
        format!("{}.{ENDING}", version.name(&self.stream))
    }

    /// Writes a bundle and returns its checksum. The bundle becomes visible when it is whole and durable.
    ///
    /// # Errors
    /// [`Error::Store`] when the store can't be written, [`Error::Exists`] when another bundle has this
    /// version: a version always names the same weights.
    pub fn keep(&self, champion: &Champion) -> Result<u64, Error> {
        let path = self.path(champion.version);
        let mut facts = champion.facts.clone();
        facts.insert("stream".into(), self.stream.to_string());
        facts.insert("version".into(), champion.version.0.to_string());
        facts.insert("rounds".into(), champion.rounds.to_string());
        let bytes = bundle::save(&champion.networks, &facts)
            .map_err(|cause| Error::Bundle { path: path.to_string(), cause })?;
        let checksum = checksum(&bytes);
        self.store.remove_temporaries(&self.folder)?;
        if !self.store.create(&path, &bytes)? {
            return Err(Error::Exists { path: path.to_string() });
        }
        Ok(checksum)
    }

    /// Deletes old bundles, except the `spared` ones, which may be older: the model that serves and the one that
    /// it is compared with.
    ///
    /// # Errors
    /// [`Error::Store`] when the store can't be read or written.
    pub fn prune(&self, spared: &[ModelVersion]) -> Result<(), Error> {
        let old = outdated(&self.list()?, spared);
        self.store.delete(old.into_iter().map(|version| self.path(version)).collect())
    }

    /// The versions of all bundles, newest first.
    ///
    /// # Errors
    /// [`Error::Store`] when the store can't be read.
    pub fn list(&self) -> Result<Vec<ModelVersion>, Error> {
        let version = |path: &Path| {
            let number = path.filename()?.strip_prefix(self.stream.as_str())?.strip_prefix('-')?;
            let version = ModelVersion(number.strip_suffix(ENDING)?.strip_suffix('.')?.parse().ok()?);
            (self.path(version) == *path).then_some(version)
        };
        let mut found: Vec<_> =
            self.store.list(&self.folder)?.iter().filter_map(|(path, _)| version(path)).collect();
        found.sort_by_key(|version| std::cmp::Reverse(*version));
        Ok(found)
    }

    /// The newest bundle that is whole and has networks of these shapes, with those networks. Bundles that are
    /// passed over are logged.
    ///
    /// # Errors
    /// [`Error::Store`] when the store can't be read.
    pub fn newest(&self, shapes: &Shapes) -> Result<Option<Champion>, Error> {
        for version in self.list()? {
            match self.load_version(version) {
                Ok(Some(champion)) => {
                    let networks = shapes.fitting(&champion.networks);
                    if !networks.is_empty() {
                        return Ok(Some(Champion { networks, ..champion }));
                    }
                    events::bundle_passed_over(&self.stream, version, &"the config asks for another shape");
                }
                Ok(None) => events::bundle_passed_over(&self.stream, version, &Damage::Missing),
                // The bundle may exist, so an older one must not serve in its place.
                Err(cause @ Error::Store { .. }) => return Err(cause),
                Err(cause) => events::bundle_passed_over(&self.stream, version, &cause),
            }
        }
        Ok(None)
    }

    /// The bundle of this version, of any shape; `None` when it is gone.
    ///
    /// # Errors
    /// [`Error::Store`] when the store can't be read, [`Error::Bundle`] when the bundle can't be read.
    pub fn load_version(&self, version: ModelVersion) -> Result<Option<Champion>, Error> {
        let Some(bytes) = self.bytes(version)? else { return Ok(None) };
        self.read(version, &bytes).map(Some)
    }

    /// As [`Self::load_version`], but only the bundle that has this checksum.
    ///
    /// # Errors
    /// As [`Self::load_version`]; [`Error::Damaged`] when the bundle has another checksum.
    pub fn load_exactly(&self, version: ModelVersion, sum: u64) -> Result<Option<Champion>, Error> {
        let Some(bytes) = self.bytes(version)? else { return Ok(None) };
        if checksum(&bytes) != sum {
            return Err(Error::damaged(&self.path(version), Damage::Checksum));
        }
        self.read(version, &bytes).map(Some)
    }

    /// The checksum of a version's bundle; `None` when it is gone.
    ///
    /// # Errors
    /// [`Error::Store`] when the store can't be read.
    pub fn checksum(&self, version: ModelVersion) -> Result<Option<u64>, Error> {
        Ok(self.bytes(version)?.map(|bytes| checksum(&bytes)))
    }

    fn bytes(&self, version: ModelVersion) -> Result<Option<Vec<u8>>, Error> {
        let path = self.path(version);
        let admit = |found| match found {
            0..=BUNDLE_BYTES_MAX => Ok(()),
            _ => Err(Error::damaged(&path, Damage::TooLarge { found, limit: BUNDLE_BYTES_MAX })),
        };
        self.store.get(&path, admit)
    }

    fn read(&self, version: ModelVersion, bytes: &[u8]) -> Result<Champion, Error> {
        let path = self.path(version);
        let loaded = bundle::load(bytes).map_err(|cause| Error::Bundle { path: path.to_string(), cause })?;
        let rounds = loaded.metadata.get("rounds").and_then(|r| r.parse().ok()).unwrap_or(version.0);
        Ok(Champion { version, networks: loaded.networks, rounds, facts: loaded.metadata })
    }
}
