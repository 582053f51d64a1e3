use super::manifest::{self, MANIFEST_BYTES_MAX, Manifest};
use super::part::{PART_BYTES_MAX, Unpacker, checksum};
use super::{Damage, Error, SnapshotId, Store};
use crate::domain::{StreamName, TopicPartition};
use object_store::path::Path;
use std::collections::HashMap;

/// Reads one snapshot, a part at a time, and checks everything that it reads.
pub struct SnapshotReader {
    store: Store,
    folder: Path,
    manifest: Manifest,
    unpacker: Unpacker,
    /// The part that is being read.
    part: Vec<u8>,
    /// How many of its bytes were read.
    used: usize,
    next_part: usize,
    chunks: u64,
    raw_bytes: u64,
}

impl SnapshotReader {
    /// Reads and checks the manifest, and checks that each part is there and has its length.
    pub(super) fn open(
        store: &Store,
        stream: &StreamName,
        at: &TopicPartition,
        folder: Path,
        id: SnapshotId,
    ) -> Result<Self, Error> {
        let path = folder.clone().join(manifest::NAME);
        let bytes = sized(store, &path, None, MANIFEST_BYTES_MAX)?;
        let manifest = Manifest::decode(&bytes, path.as_ref())?;
        if (&manifest.stream, &manifest.at, manifest.id) != (stream, at, id) {
            let whose = format!("stream {}, shard {}, {}", manifest.stream, manifest.at, manifest.id);
            return Err(Error::damaged(&path, Damage::Misplaced(whose)));
        }
        let there: HashMap<Path, u64> = store.list(&folder)?.into_iter().collect();
        for (number, part) in manifest.parts.iter().enumerate() {
            let path = folder.clone().join(part.name(number));
            let found = *there.get(&path).ok_or_else(|| Error::damaged(&path, Damage::Missing))?;
            if found != part.bytes {
                let damage = Damage::Length { expected: part.bytes, found };
                return Err(Error::damaged(&path, damage));
            }
        }
        Ok(Self {
            store: store.clone(),
            folder,
            manifest,
            unpacker: Unpacker::new(),
            part: Vec::new(),
            used: 0,
            next_part: 0,
            chunks: 0,
            raw_bytes: 0,
        })
    }

    /// The snapshot's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The next chunk, as it was pushed; `None` after the last.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the snapshot differs from what was written, [`Error::Store`] when the store fails.
    /// The chunks that were read before are right, but the snapshot as a whole can't be used.
    pub fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, Error> {
        while self.used == self.part.len() {
            let Some(&facts) = self.manifest.parts.get(self.next_part) else { return self.end() };
            let path = self.folder.clone().join(facts.name(self.next_part));
            self.part = Vec::new();
            self.used = 0;
            let part = sized(&self.store, &path, Some(facts.bytes), PART_BYTES_MAX)?;
            if checksum(&part) != facts.checksum {
                return Err(Error::damaged(&path, Damage::Checksum));
            }
            self.part = part;
            self.next_part += 1;
        }
        let unpacked = self.unpacker.unpack(&self.part[self.used..]);
        let (chunk, used) = unpacked.map_err(|damage| {
            let number = self.next_part - 1;
            let name = self.manifest.parts[number].name(number);
            Error::damaged(&self.folder.clone().join(name), damage)
        })?;
        self.used += used;
        self.chunks += 1;
        self.raw_bytes += chunk.len() as u64;
        Ok(Some(chunk))
    }

    fn end(&self) -> Result<Option<Vec<u8>>, Error> {
        let found = (self.chunks, self.raw_bytes);
        if found == (self.manifest.chunks, self.manifest.raw_bytes) {
            return Ok(None);
        }
        let damage = Damage::Length { expected: self.manifest.raw_bytes, found: self.raw_bytes };
        Err(Error::damaged(&self.folder, damage))
    }
}

/// Reads an object after checking its size.
fn sized(store: &Store, path: &Path, expected: Option<u64>, limit: u64) -> Result<Vec<u8>, Error> {
    let admit = |found| match expected {
        _ if found > limit => Err(Error::damaged(path, Damage::TooLarge { found, limit })),
        Some(expected) if found != expected => Err(Error::damaged(path, Damage::Length { expected, found })),
        _ => Ok(()),
    };
    store.get(path, admit)?.ok_or_else(|| Error::damaged(path, Damage::Missing))
}
