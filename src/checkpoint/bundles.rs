use crate::domain::{ModelVersion, StreamName};
use crate::nn::{self, Blueprint, bundle};
use crate::telemetry::events;
use crate::training::Trained;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many bundles of a stream are kept.
const KEEP: usize = 5;
const ENDING: &str = "safetensors";

/// A stream's bundles: `<store>/<stream>/models/<stream>-000001.safetensors`.
#[derive(Clone, Debug)]
pub struct Bundles {
    folder: PathBuf,
    stream: StreamName,
}

/// The network that serves, and what is known of how it came to be.
#[derive(Clone, Debug)]
pub struct Champion {
    pub version: ModelVersion,
    pub trained: Trained,
    /// Rounds that the stream has seen, this one's included.
    pub rounds: u64,
    /// Lineage and scores, as text.
    pub facts: BTreeMap<String, String>,
}

/// Why a bundle could not be kept or had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {cause}")]
    Store { path: String, cause: std::io::Error },
    #[error("{path}: {cause}")]
    Bundle { path: String, cause: nn::Error },
}

impl Bundles {
    pub fn new(store: &Path, stream: &StreamName) -> Self {
        Self { folder: store.join(stream.as_str()).join("models"), stream: stream.clone() }
    }

    /// Writes a bundle: a file beside its name, made durable, then renamed. Older ones than the
    /// newest few go.
    ///
    /// # Errors
    /// [`Error::Store`] when the folder can't be written.
    pub fn keep(&self, champion: &Champion) -> Result<PathBuf, Error> {
        let path = self.folder.join(format!("{}.{ENDING}", champion.version.name(&self.stream)));
        let failed = |cause| Error::Store { path: path.display().to_string(), cause };
        let mut facts = champion.facts.clone();
        facts.insert("stream".into(), self.stream.to_string());
        facts.insert("version".into(), champion.version.0.to_string());
        facts.insert("rounds".into(), champion.rounds.to_string());
        let trained = &champion.trained;
        let bytes = bundle::save(&trained.weights, trained.optimiser.as_ref(), &facts)
            .map_err(|cause| Error::Bundle { path: path.display().to_string(), cause })?;
        fs::create_dir_all(&self.folder).map_err(failed)?;
        let half = path.with_extension("part");
        let mut file = File::create(&half).map_err(failed)?;
        file.write_all(&bytes).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        fs::rename(&half, &path).map_err(failed)?;
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        let others = self.list()?.into_iter().filter(|(version, _)| *version != champion.version);
        for (_, old) in others.skip(KEEP - 1) {
            fs::remove_file(&old).map_err(failed)?;
        }
        Ok(path)
    }

    /// All bundles, newest first.
    ///
    /// # Errors
    /// [`Error::Store`] when the folder is there and can't be read.
    pub fn list(&self) -> Result<Vec<(ModelVersion, PathBuf)>, Error> {
        let failed = |cause| Error::Store { path: self.folder.display().to_string(), cause };
        let entries = match fs::read_dir(&self.folder) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix(".safetensors"));
            let number =
                name.and_then(|n| n.strip_prefix(self.stream.as_str())?.strip_prefix('-')?.parse().ok());
            found.extend(number.map(|n| (ModelVersion(n), path.clone())));
        }
        found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
        Ok(found)
    }

    /// The newest bundle that can be read and has this shape; each one that can't be is logged.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn newest(&self, shape: &Blueprint) -> Result<Option<Champion>, Error> {
        for (version, path) in self.list()? {
            match self.load(version, &path) {
                Ok(champion) if champion.trained.weights.blueprint() == shape => return Ok(Some(champion)),
                Ok(_) => {
                    events::bundle_passed_over(&self.stream, version, &"the config asks for another shape")
                }
                Err(cause) => events::bundle_passed_over(&self.stream, version, &cause),
            }
        }
        Ok(None)
    }

    fn load(&self, version: ModelVersion, path: &Path) -> Result<Champion, Error> {
        let store = |cause| Error::Store { path: path.display().to_string(), cause };
        let bytes = fs::read(path).map_err(store)?;
        let loaded = bundle::load(&bytes)
            .map_err(|cause| Error::Bundle { path: path.display().to_string(), cause })?;
        let rounds = loaded.metadata.get("rounds").and_then(|r| r.parse().ok()).unwrap_or(version.0);
        Ok(Champion {
            version,
            trained: Trained { weights: Arc::new(loaded.weights), optimiser: loaded.optimiser },
            rounds,
            facts: loaded.metadata,
        })
    }
}
