//! The store: it keeps a stream's models as bundles, a shard's state as snapshots, and the seasons that were
//! found, beyond the process.
//!
//! The room owns the layout of the store, the format of a snapshot, and the choice of the snapshot from which a
//! shard is restored. No other room knows an object store. A bundle or a snapshot is either whole or not there.
//! Damage is recognised. Nothing that is read from a store makes the process allocate more than the limits here.
//! The room never reads a clock, and never deletes what a newer owner of the shard has written.

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
pub use reader::SnapshotReader;
pub use recovery::{Recovered, Recovery, RecoveryError};
pub use seasons::KeptSeasons;
pub use snapshot_id::SnapshotId;
pub use snapshots::{Snapshots, shards};
pub use store::Store;
pub use writer::SnapshotWriter;
