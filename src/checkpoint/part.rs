//! A part: chunks one after the other, each compressed by itself.
//!
//! ```text
//! part  = chunk*
//! chunk = magic u32 · 16 u32 · raw bytes u32 · packed bytes u32 · xxh3 of the raw bytes u64 · zstd frame
//! ```
//! All little-endian. The header is a skippable frame of zstd's format, so that `zstd -d` gives the raw
//! chunks of a part.

use super::Damage;
use xxhash_rust::xxh3::xxh3_64;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::compress_bound;

/// The largest chunk that is written, and the largest that is believed.
pub const CHUNK_BYTES_MAX: usize = 64 << 20;
/// A part is written out when it has grown to this.
pub(super) const PART_BYTES: usize = 32 << 20;
/// A part is at most one chunk longer.
pub(super) const PART_BYTES_MAX: u64 = 100 << 20;
/// Level 3 makes random walks of f32 2 % smaller, and takes three times as long.
const LEVEL: i32 = 1;

/// One of the sixteen numbers that zstd leaves to others.
const MAGIC: u32 = 0x184D_2A57;
const HEADER: usize = 24;
/// zstd's shortest block says 128 KiB in 4 bytes. What claims more is not packed, it is made up.
const RATIO_MAX: u64 = 1 << 15;

/// The checksum of parts, chunks and manifests.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// Puts chunks into parts.
pub(super) struct Packer(Compressor<'static>);

impl Packer {
    pub fn new() -> Self {
        Self(Compressor::new(LEVEL).expect("the level is one of zstd's"))
    }

    /// Appends a chunk.
    ///
    /// # Panics
    /// When it is larger than [`CHUNK_BYTES_MAX`].
    pub fn pack(&mut self, chunk: &[u8], part: &mut Vec<u8>) {
        assert!(chunk.len() <= CHUNK_BYTES_MAX, "a chunk has {} bytes", chunk.len());
        let start = part.len();
        part.resize(start + HEADER + compress_bound(chunk.len()), 0);
        let (header, body) = part[start..].split_at_mut(HEADER);
        let packed = self.0.compress_to_buffer(chunk, body).expect("the bound holds every outcome");
        header[..4].copy_from_slice(&MAGIC.to_le_bytes());
        header[4..8].copy_from_slice(&(HEADER as u32 - 8).to_le_bytes());
        header[8..12].copy_from_slice(&(chunk.len() as u32).to_le_bytes());
        header[12..16].copy_from_slice(&(packed as u32).to_le_bytes());
        header[16..].copy_from_slice(&checksum(chunk).to_le_bytes());
        part.truncate(start + HEADER + packed);
    }
}

/// Takes chunks out of parts.
pub(super) struct Unpacker(Decompressor<'static>);

impl Unpacker {
    pub fn new() -> Self {
        Self(Decompressor::new().expect("zstd allocates its context"))
    }

    /// The first chunk of `rest`, and how many bytes it took. Allocates no more than the bytes there
    /// could hold.
    pub fn unpack(&mut self, rest: &[u8]) -> Result<(Vec<u8>, usize), Damage> {
        let malformed = |what: &str| Damage::Malformed(format!("a chunk's {what}"));
        let (header, body) = rest.split_at_checked(HEADER).ok_or_else(|| malformed("header is cut off"))?;
        let number = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"));
        if number(0) != MAGIC || number(4) != HEADER as u32 - 8 {
            return Err(malformed("header is none"));
        }
        let (raw, packed) = (number(8), number(12));
        let body = body.get(..packed as usize).ok_or_else(|| malformed("body is cut off"))?;
        if raw as usize > CHUNK_BYTES_MAX || u64::from(raw) > u64::from(packed) * RATIO_MAX {
            return Err(malformed("length is more than it can hold"));
        }
        let mut chunk = Vec::with_capacity(raw as usize);
        let written = self.0.decompress_to_buffer(body, &mut chunk);
        if written.map_err(|_| malformed("body is no zstd frame"))? != raw as usize {
            return Err(malformed("length is another"));
        }
        if header[16..] != checksum(&chunk).to_le_bytes() {
            return Err(Damage::Checksum);
        }
        Ok((chunk, HEADER + packed as usize))
    }
}
