//! What outlives the process: a stream's models as bundles, a shard's state as snapshots, and the seasons
//! that were found, in a store.
//!
//! Owns the layout of the store, the format of a snapshot, and the choice of the one to come back from;
//! the one room that knows an object store. Promises that a bundle or a snapshot is there whole or not
//! at all, that a damaged one is told from a good one, and that nothing read from a store makes it
//! allocate more than its limits. Never reads a clock, never deletes what a newer owner of the shard has
//! written.

#![forbid(unsafe_code)]

mod bundles;
mod error;
mod manifest;
mod part;
mod reader;
mod recovery;
mod seasons;
mod snapshot_id;
mod snapshots;
mod store;
mod writer;

pub use bundles::{Bundles, Champion};
pub use error::{Damage, Error};
pub use manifest::{Facts, Manifest, PartFacts};
pub use part::CHUNK_BYTES_MAX;
pub use reader::Reader;
pub use recovery::{Recovered, Recovery, RecoveryError};
pub use seasons::KeptSeasons;
pub use snapshot_id::SnapshotId;
pub use snapshots::{Snapshots, shards};
pub use store::Store;
pub use writer::Writer;
