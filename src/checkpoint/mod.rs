//! What outlives the process: a stream's models as bundles in a store.
//!
//! Promises that a bundle is there whole or not at all, and that a damaged one is passed over for the
//! next older. Never deletes the newest.

mod bundles;

pub use bundles::{Bundles, Champion, Error};
