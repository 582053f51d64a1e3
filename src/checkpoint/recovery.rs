//! Restores a shard from the store: chooses the snapshot that can be used, and the model.

use super::{Bundles, Error, Facts, SnapshotId, Snapshots, Store};
use crate::config::Stream;
use crate::domain::{Damaged, EventTime, ModelVersion, Offset, TopicId, TopicPartition};
use crate::engine::{Model, Restore, RestoreError, Shard};
use crate::nn;
use crate::telemetry::{Invariant, Violations, events};
use crate::training::{Shapes, device};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A request to restore a shard.
pub struct Recovery<'a> {
    /// The store to read.
    pub store: &'a Store,
    /// The shard's stream.
    pub stream: &'a Arc<Stream>,
    /// The shard's partition.
    pub at: &'a TopicPartition,
    /// The id of the topic as it is now. A snapshot of another topic is not used.
    pub topic_id: Option<TopicId>,
    /// The group's committed offset.
    pub committed: Offset,
    /// The model that serves now, for a snapshot whose own model can't be loaded.
    pub current: Option<&'a Model>,
}

/// A shard as it was when its snapshot was taken.
pub struct Recovered {
    /// The shard.
    pub shard: Shard,
    /// The snapshot that it came from.
    pub id: SnapshotId,
    /// When the snapshot's state was copied.
    pub created: EventTime,
    /// Invariants that did not hold.
    pub violations: Violations,
}

/// Why a shard can't be restored.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The store does not answer. It may answer later.
    #[error(transparent)]
    Store(Error),
    /// The network can't be set up.
    #[error("the network: {0}")]
    Network(#[from] nn::Error),
    /// This snapshot is damaged, or belongs to another config.
    #[error("the snapshot can't be used: {0}")]
    Unusable(String),
}

/// Why one snapshot was not used.
enum Unusable {
    /// An older one may be usable.
    PassOver(String),
    End(RecoveryError),
}

impl Recovery<'_> {
    /// Restores from the newest snapshot that is whole, has this config's shape, and lies at or below the
    /// committed offset; `None` without such a snapshot. Snapshots that are passed over are logged.
    ///
    /// # Errors
    /// [`RecoveryError`].
    pub fn newest(&self) -> Result<Option<Recovered>, RecoveryError> {
        let (stream, at) = (&self.stream.name, self.at);
        let snapshots = Snapshots::new(self.store, stream, at, 1);
        for id in snapshots.list().map_err(RecoveryError::Store)? {
            if id.offset > self.committed && !self.is_of_former(&snapshots, id) {
                // The group's offset was set back, so the shard must read those records again.
                events::snapshot_passed_over(stream, at, &id, &"it lies ahead of the committed offset");
                continue;
            }
            match self.read(&snapshots, id) {
                Ok(recovered) => return Ok(Some(recovered)),
                Err(Unusable::PassOver(cause)) => events::snapshot_passed_over(stream, at, &id, &cause),
                Err(Unusable::End(cause)) => return Err(cause),
            }
        }
        Ok(None)
    }

    /// Deletes the snapshots ahead of the committed offset, where the log was cut. Its offsets are given to other
    /// records now, so these snapshots would seem to be right later.
    ///
    /// # Errors
    /// [`RecoveryError::Store`].
    pub fn delete_lost(&self) -> Result<(), RecoveryError> {
        let (stream, at) = (&self.stream.name, self.at);
        let snapshots = Snapshots::new(self.store, stream, at, 1);
        for id in snapshots.delete_ahead_of(self.committed).map_err(RecoveryError::Store)? {
            events::snapshot_passed_over(
                stream,
                at,
                &id,
                &"its log has lost records that it has seen, so it was deleted",
            );
        }
        Ok(())
    }

    /// Restores from this snapshot and no other.
    ///
    /// # Errors
    /// [`RecoveryError`].
    pub fn exactly(&self, id: SnapshotId) -> Result<Recovered, RecoveryError> {
        let snapshots = Snapshots::new(self.store, &self.stream.name, self.at, 1);
        self.read(&snapshots, id).map_err(|e| match e {
            Unusable::PassOver(cause) => RecoveryError::Unusable(cause),
            Unusable::End(cause) => cause,
        })
    }

    /// The former topic of this name, when all snapshots belong to a former topic and none to the present one.
    ///
    /// # Errors
    /// [`RecoveryError::Store`].
    pub fn former_topic(&self) -> Result<Option<TopicId>, RecoveryError> {
        let snapshots = Snapshots::new(self.store, &self.stream.name, self.at, 1);
        let mut found = None;
        for id in snapshots.list().map_err(RecoveryError::Store)? {
            match snapshots.reader(id).map(|reader| self.former(&reader.manifest().facts)) {
                Ok(Some(former)) => found = found.or(Some(former)),
                Ok(None) => return Ok(None),
                // A snapshot that can't be read does not say which topic it belongs to.
                Err(_) => {}
            }
        }
        Ok(found)
    }

    /// Whether a snapshot belongs to a former topic of this name. One that can't be read does not count.
    fn is_of_former(&self, snapshots: &Snapshots, id: SnapshotId) -> bool {
        snapshots.reader(id).is_ok_and(|reader| self.former(&reader.manifest().facts).is_some())
    }

    /// The topic that a snapshot belongs to, where that is not the present one.
    fn former(&self, facts: &Facts) -> Option<TopicId> {
        facts.topic_id.filter(|then| self.topic_id.is_some_and(|now| now != *then))
    }

    fn read(&self, snapshots: &Snapshots, id: SnapshotId) -> Result<Recovered, Unusable> {
        let mut reader = snapshots.reader(id)?;
        let facts = reader.manifest().facts.clone();
        if let Some(former) = self.former(&facts) {
            let cause = format!("its topic {former} was deleted and created again since");
            return Err(Unusable::PassOver(cause));
        }
        let shape = Shard::shape(self.stream);
        if facts.shape != shape {
            return Err(Unusable::PassOver(mismatch(&facts.shape, &shape)));
        }
        let model = facts.model.map(|version| self.model(version)).transpose()?.flatten();
        let mut restore = Restore::new(self.stream, model.as_ref());
        while let Some(chunk) = reader.next_chunk()? {
            restore.take(&chunk)?;
        }
        let mut shard = restore.finish()?;
        if let Some(model) = self.current.filter(|_| shard.model().is_none()) {
            shard.bring(model)?;
            shard.warm(usize::MAX)?;
        }
        let mut violations = Violations::default();
        violations.check(Invariant::SnapshotIsCommitted, id.offset <= self.committed);
        Ok(Recovered { shard, id, created: facts.created, violations })
    }

    /// The model that a snapshot names, if it is still in the store and has the config's shape.
    fn model(&self, version: ModelVersion) -> Result<Option<Model>, Unusable> {
        let stream = &self.stream.name;
        let device = device(self.stream)?;
        let shapes = Shapes::of(self.stream)?;
        if let Some(model) = self.current.filter(|model| model.version == version) {
            return Ok(Some(model.clone()));
        }
        let found = match Bundles::new(self.store, stream).load_version(version) {
            Ok(champion) => champion.map(|champion| champion.networks),
            Err(cause @ Error::Store { .. }) => return Err(cause.into()),
            Err(cause) => {
                events::bundle_passed_over(stream, version, &cause);
                None
            }
        };
        let fits = found.map(|networks| shapes.fitting(&networks)).filter(|networks| !networks.is_empty());
        let fits = fits.map(|networks| Model { version, networks: shapes.weights(&networks), device });
        if fits.is_none() {
            let cause = "it is gone, or the config asks for another shape; states are computed again from the windows";
            events::bundle_passed_over(stream, version, &cause);
        }
        Ok(fits)
    }
}

/// The key of a shape that says how this version of the program keeps a series.
const TABLES: &str = "tables";

/// Why a snapshot of another shape can't be used, for people.
fn mismatch(found: &Value, wanted: &Value) -> String {
    if found.get(TABLES) == wanted.get(TABLES) {
        return format!("the config has changed: {}", difference(found, wanted));
    }
    let of = |shape: &Value| shape.get(TABLES).map_or("none".to_owned(), Value::to_string);
    format!(
        "another version of Tidecast wrote it: its rows have format {}, those of this version format {}; without a \
         snapshot that fits, the shard is warmed from its topic, over cold_replay",
        of(found),
        of(wanted)
    )
}

/// The keys in which two shapes differ, for people.
fn difference(found: &Value, wanted: &Value) -> String {
    let (Some(found), Some(wanted)) = (found.as_object(), wanted.as_object()) else {
        return "its shape is unreadable".to_owned();
    };
    let keys: BTreeSet<&String> = found.keys().chain(wanted.keys()).collect();
    let of =
        |shape: &Map<String, Value>, key: &str| shape.get(key).map_or("none".to_owned(), Value::to_string);
    let differs = keys.into_iter().filter(|key| found.get(*key) != wanted.get(*key));
    let words = differs.map(|key| format!("{key} was {} and is {}", of(found, key), of(wanted, key)));
    words.collect::<Vec<_>>().join(", ")
}

impl From<Error> for Unusable {
    fn from(e: Error) -> Self {
        if e.is_damage() { Self::PassOver(e.to_string()) } else { Self::End(RecoveryError::Store(e)) }
    }
}

impl From<nn::Error> for Unusable {
    fn from(e: nn::Error) -> Self {
        Self::End(e.into())
    }
}

impl From<Damaged> for Unusable {
    fn from(e: Damaged) -> Self {
        Self::PassOver(e.to_string())
    }
}

impl From<RestoreError> for Unusable {
    fn from(e: RestoreError) -> Self {
        match e {
            RestoreError::Damaged(e) => e.into(),
            RestoreError::Network(e) => e.into(),
        }
    }
}
