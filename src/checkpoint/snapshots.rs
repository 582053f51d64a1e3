use super::manifest;
use super::{Error, SnapshotId, SnapshotReader, SnapshotWriter, Store};
use crate::domain::{Generation, Offset, Partition, StreamName, TopicPartition};
use object_store::path::Path;
use std::collections::BTreeMap;

/// One shard's snapshots:
/// `<stream>/state/<topic>-<partition>/<generation>-<offset>/{part-00000-….zst, …, manifest.json}`.
#[derive(Clone, Debug)]
pub struct Snapshots {
    store: Store,
    stream: StreamName,
    at: TopicPartition,
    folder: Path,
    keep: usize,
}

impl Snapshots {
    /// [`Self::prune`] keeps `keep` snapshots of each generation, and of as many generations.
    ///
    /// # Panics
    /// When `keep` is 0.
    pub fn new(store: &Store, stream: &StreamName, at: &TopicPartition, keep: usize) -> Self {
        assert!(keep > 0, "a shard without a snapshot can't be recovered from one");
        let folder = state_of(stream).join(format!("{}-{}", at.topic, at.partition));
        Self { store: store.clone(), stream: stream.clone(), at: at.clone(), folder, keep }
    }

    /// The finished snapshots, newest first. [`Self::reader`] finds out whether one is whole.
    ///
    /// # Errors
    /// [`Error::Store`] when the store can't be read.
    pub fn list(&self) -> Result<Vec<SnapshotId>, Error> {
        let found = self.found()?.into_iter().rev();
        Ok(found.filter_map(|(id, finished)| finished.then_some(id)).collect())
    }

    /// Starts a snapshot. Nothing is written before the first part is full.
    ///
    /// # Panics
    /// When the offset is negative.
    pub fn writer(&self, id: SnapshotId) -> SnapshotWriter {
        assert!(id.offset >= Offset(0), "no record has the offset {}", id.offset);
        SnapshotWriter::new(self.store.clone(), self.stream.clone(), self.at.clone(), self.folder_of(id), id)
    }

    /// Opens a snapshot: checks its manifest, and that its parts are there and have their lengths.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::Newer`] when this snapshot can't be used, [`Error::Store`] when the store
    /// can't be read.
    pub fn reader(&self, id: SnapshotId) -> Result<SnapshotReader, Error> {
        SnapshotReader::open(&self.store, &self.stream, &self.at, self.folder_of(id), id)
    }

    /// Deletes old snapshots and returns how many it deleted. `newest` is the one that the caller has just
    /// finished.
    ///
    /// Up to the caller's own generation, the newest `keep` snapshots of the newest `keep` generations stay.
    /// Unfinished snapshots at or before `newest` are deleted. Everything that a later owner has written stays,
    /// and so does everything that lies ahead of `newest` in the caller's own generation. So a writer that does
    /// not know yet that it has lost the shard deletes nothing that its successor needs.
    ///
    /// # Errors
    /// [`Error::Store`] when the store can't be read or written. The next call deletes what is left.
    pub fn prune(&self, newest: SnapshotId) -> Result<usize, Error> {
        let doomed = doomed(&self.found()?, newest, self.keep);
        self.delete(&doomed)?;
        Ok(doomed.len())
    }

    /// Deletes every snapshot that lies ahead of `end`, because its log has lost what it has seen. Returns which.
    ///
    /// # Errors
    /// As [`Self::prune`].
    pub fn delete_ahead_of(&self, end: Offset) -> Result<Vec<SnapshotId>, Error> {
        let doomed: Vec<_> = self.found()?.into_keys().filter(|id| id.offset > end).collect();
        self.delete(&doomed)?;
        Ok(doomed)
    }

    fn delete(&self, doomed: &[SnapshotId]) -> Result<(), Error> {
        for id in doomed {
            let folder = self.folder_of(*id);
            let mut paths: Vec<Path> = self.store.list(&folder)?.into_iter().map(|(path, _)| path).collect();
            // The manifest goes first: without it the snapshot counts as unfinished, not as damaged.
            let manifest = folder.clone().join(manifest::NAME);
            if paths.contains(&manifest) {
                paths.retain(|path| *path != manifest);
                self.store.delete(vec![manifest])?;
            }
            self.store.delete(paths)?;
            self.store.remove_folder(&folder)?;
        }
        Ok(())
    }

    fn folder_of(&self, id: SnapshotId) -> Path {
        self.folder.clone().join(id.to_string())
    }

    /// All snapshots, and whether each is finished.
    fn found(&self) -> Result<BTreeMap<SnapshotId, bool>, Error> {
        let mut found = BTreeMap::new();
        for (path, _) in self.store.list(&self.folder)? {
            let Some(mut below) = path.prefix_match(&self.folder) else { continue };
            let Some(id) = below.next().and_then(|name| SnapshotId::read(name.as_ref())) else { continue };
            let is_manifest = below.next().is_some_and(|name| name.as_ref() == manifest::NAME);
            *found.entry(id).or_insert(false) |= is_manifest && below.next().is_none();
        }
        if self.store.is_local() {
            // A killed process may have left only a temporary file, which the store does not list.
            for id in self.store.folders(&self.folder)?.iter().filter_map(|name| SnapshotId::read(name)) {
                found.entry(id).or_insert(false);
            }
        }
        Ok(found)
    }
}

/// The shards of a stream that have a folder in the store.
///
/// # Errors
/// [`Error::Store`] when the store can't be read.
pub fn shards(store: &Store, stream: &StreamName) -> Result<Vec<TopicPartition>, Error> {
    let shard = |name: &String| {
        let (topic, partition) = name.rsplit_once('-')?;
        let partition: u32 = partition.parse().ok()?;
        Some(TopicPartition { topic: topic.into(), partition: Partition(i32::try_from(partition).ok()?) })
    };
    let mut shards: Vec<_> = store.folders(&state_of(stream))?.iter().filter_map(shard).collect();
    shards.sort();
    Ok(shards)
}

fn state_of(stream: &StreamName) -> Path {
    Path::from_iter([stream.as_str(), "state"])
}

/// The snapshots among `found` that [`Snapshots::prune`] deletes.
fn doomed(found: &BTreeMap<SnapshotId, bool>, newest: SnapshotId, keep: usize) -> Vec<SnapshotId> {
    let overtaken = |id: &SnapshotId| {
        id.generation < newest.generation
            || (id.generation == newest.generation && id.offset <= newest.offset)
    };
    let mut finished: BTreeMap<Generation, Vec<SnapshotId>> = BTreeMap::new();
    for id in found.iter().filter(|(id, finished)| **finished && overtaken(id)).map(|(id, _)| id) {
        finished.entry(id.generation).or_default().push(*id);
    }
    // Within a generation ids are in the order of their offsets.
    let stays: Vec<SnapshotId> = finished
        .values()
        .rev()
        .take(keep)
        .flat_map(|generation| generation.iter().rev().take(keep))
        .copied()
        .collect();
    found.keys().filter(|id| overtaken(id) && **id != newest && !stays.contains(id)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(generation: u32, offset: i64) -> SnapshotId {
        SnapshotId { offset: Offset(offset), generation: Generation(generation) }
    }

    #[test]
    fn the_newest_of_each_generation_stay() {
        let mut found: BTreeMap<_, _> = (0..6).map(|n| (id(4, 10 * n), true)).collect();
        found.extend((0..4).map(|n| (id(5, 15 * n), true)));
        found.extend([(id(2, 5), true), (id(3, 7), true), (id(3, 8), false), (id(5, 44), false)]);
        found.extend([(id(5, 90), true), (id(6, 1), true), (id(6, 2), false)]);
        let gone = doomed(&found, id(5, 45), 2);
        let kept: Vec<_> = found.keys().filter(|id| !gone.contains(id)).copied().collect();
        assert_eq!(kept, [id(6, 1), id(6, 2), id(5, 30), id(4, 40), id(5, 45), id(4, 50), id(5, 90)]);
    }

    proptest! {
        /// For every content of the store and every caller.
        #[test]
        fn pruning_harms_nobody_and_bounds_the_store(
            found in proptest::collection::btree_map((0u32..8, 0i64..12), any::<bool>(), 0..60),
            own in (0u32..8, 0i64..12),
            keep in 1usize..4,
        ) {
            let mut found: BTreeMap<_, _> = found.into_iter().map(|((g, o), f)| (id(g, o), f)).collect();
            let own = id(own.0, own.1);
            found.insert(own, true);
            let gone = doomed(&found, own, keep);
            prop_assert!(gone.iter().all(|d| found.contains_key(d)));
            prop_assert!(!gone.contains(&own));
            // What a later owner has written, or what is ahead of the caller, stays; finished or not.
            prop_assert!(gone.iter().all(|d| d.generation < own.generation
                || d.generation == own.generation && d.offset < own.offset));
            let left: Vec<SnapshotId> = found.keys().filter(|id| !gone.contains(id)).copied().collect();
            let behind = |id: &&SnapshotId| id.generation < own.generation
                || id.generation == own.generation && id.offset <= own.offset;
            prop_assert!(left.iter().filter(behind).all(|id| found[id]), "an unfinished one stays");
            prop_assert!(left.iter().filter(behind).count() <= keep * keep);
            // Of each generation that keeps any, the newest stay.
            for g in left.iter().filter(behind).map(|id| id.generation) {
                let of = |ids: &mut dyn Iterator<Item = SnapshotId>| -> Vec<SnapshotId> {
                    let mut ids: Vec<_> = ids.filter(|id| id.generation == g && behind(&id)).collect();
                    ids.sort_by_key(|id| std::cmp::Reverse(id.offset));
                    ids
                };
                let all = of(&mut found.iter().filter(|(_, f)| **f).map(|(id, _)| *id));
                let stayed = of(&mut left.iter().copied());
                prop_assert_eq!(&stayed[..], &all[..all.len().min(keep)]);
            }
            // Pruning again finds nothing.
            let rest: BTreeMap<_, _> = left.iter().map(|id| (*id, found[id])).collect();
            prop_assert!(doomed(&rest, own, keep).is_empty());
        }
    }
}
