use super::manifest::{self, Facts, MANIFEST_BYTES_MAX, Manifest, PartFacts};
use super::part::{CHUNK_BYTES_MAX, PART_BYTES, Packer, checksum};
use super::{Damage, Error, SnapshotId, SnapshotReader, Store};
use crate::domain::{StreamName, TopicPartition};
use object_store::PutMode;
use object_store::path::Path;

/// Writes one snapshot: chunks, then the manifest. When it is dropped unfinished there is no manifest and so no
/// snapshot, and its parts are deleted as far as the store allows.
pub struct SnapshotWriter {
    store: Store,
    stream: StreamName,
    at: TopicPartition,
    folder: Path,
    id: SnapshotId,
    packer: Packer,
    /// The part that is being filled.
    part: Vec<u8>,
    parts: Vec<PartFacts>,
    chunks: u64,
    raw_bytes: u64,
    finished: bool,
}

impl SnapshotWriter {
    pub(super) fn new(
        store: Store,
        stream: StreamName,
        at: TopicPartition,
        folder: Path,
        id: SnapshotId,
    ) -> Self {
        Self {
            store,
            stream,
            at,
            folder,
            id,
            packer: Packer::new(),
            part: Vec::new(),
            parts: Vec::new(),
            chunks: 0,
            raw_bytes: 0,
            finished: false,
        }
    }

    /// Appends a chunk, and writes a part out when one is full. Chunks of some 4 MiB serve well.
    ///
    /// # Errors
    /// [`Error::Store`], and [`Error::Damaged`] for a chunk above [`CHUNK_BYTES_MAX`]. Drop the writer then.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), Error> {
        if chunk.len() > CHUNK_BYTES_MAX {
            let (found, limit) = (chunk.len() as u64, CHUNK_BYTES_MAX as u64);
            return Err(Error::damaged(&self.folder, Damage::TooLarge { found, limit }));
        }
        self.packer.pack(chunk, &mut self.part);
        self.chunks += 1;
        self.raw_bytes += chunk.len() as u64;
        if self.part.len() >= PART_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Error> {
        let part = std::mem::take(&mut self.part);
        let facts = PartFacts { bytes: part.len() as u64, checksum: checksum(&part) };
        let path = self.folder.clone().join(facts.name(self.parts.len()));
        self.parts.push(facts);
        self.store.put(&path, part, PutMode::Overwrite)
    }

    /// Writes the manifest, which makes the snapshot. It replaces a snapshot of the same id that is damaged, of
    /// another topic or of another shape.
    ///
    /// # Errors
    /// [`Error::Store`], and [`Error::Exists`] when another process has finished the same snapshot, of the same
    /// topic and shape, with another content.
    pub fn finish(mut self, facts: Facts) -> Result<Manifest, Error> {
        if !self.part.is_empty() {
            self.flush()?;
        }
        let manifest = Manifest {
            stream: self.stream.clone(),
            at: self.at.clone(),
            id: self.id,
            facts,
            chunks: self.chunks,
            raw_bytes: self.raw_bytes,
            packed_bytes: self.parts.iter().map(|p| p.bytes).sum(),
            parts: std::mem::take(&mut self.parts),
            written_by: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let bytes = manifest.encode();
        assert!(bytes.len() as u64 <= MANIFEST_BYTES_MAX, "a large shape belongs in a chunk");
        let outcome = self.put_manifest(&manifest.facts, bytes);
        self.parts.clone_from(&manifest.parts);
        self.finished = outcome.is_ok();
        outcome.map(|()| manifest)
    }

    /// A store without conditional puts overwrites an earlier manifest. That is safe: the parts' names contain
    /// their checksums, so both manifests are complete.
    fn put_manifest(&self, facts: &Facts, bytes: Vec<u8>) -> Result<(), Error> {
        let path = self.folder.clone().join(manifest::NAME);
        if self.store.create(&path, &bytes)? {
            return Ok(());
        }
        match self.is_as_good(facts) {
            Ok(true) => return Err(Error::Exists { path: path.to_string() }),
            // The shard's offset may not change any more, so the unusable one would block every later one.
            Ok(false) => {}
            Err(damage) if damage.is_damage() => {}
            Err(cause) => return Err(cause),
        }
        self.store.put(&path, bytes, PutMode::Overwrite)?;
        self.store.sync_folders(&path)
    }

    /// Reads the snapshot that is there under this id. It does not replace this one when it belongs to a former
    /// topic of the same name or to another config.
    fn is_as_good(&self, facts: &Facts) -> Result<bool, Error> {
        let mut there =
            SnapshotReader::open(&self.store, &self.stream, &self.at, self.folder.clone(), self.id)?;
        let found = &there.manifest().facts;
        if (found.topic_id, &found.shape) != (facts.topic_id, &facts.shape) {
            return Ok(false);
        }
        while there.next_chunk()?.is_some() {}
        Ok(true)
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        if self.finished || self.parts.is_empty() {
            return;
        }
        // With a manifest, or when the store can't say whether there is one, the parts may belong to another
        // writer's finished snapshot. Parts that stay are deleted when a later snapshot prunes.
        let manifest = self.folder.clone().join(manifest::NAME);
        if let Ok(None) = self.store.get(&manifest, |_| Ok(())) {
            let parts = self.parts.iter().enumerate();
            let parts = parts.map(|(number, part)| self.folder.clone().join(part.name(number))).collect();
            let _ = self.store.delete(parts);
        }
    }
}
