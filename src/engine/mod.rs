//! A shard: all state of one partition of one stream, as a deterministic, synchronous machine.
//!
//! Readings go in with [`Shard::offer`], rounds of one reading per series go through
//! [`Shard::run_round`], forecasts come out. The same readings give the same forecasts, in whatever
//! batches they come. [`Shard::begin_cut`] takes it out as bytes while it goes on, and [`Restore`] brings
//! it back. Promises that each reading is accounted for once, and counts what breaks an invariant. Knows
//! no clock, no Kafka, no store, no thread.

#![forbid(unsafe_code)]

mod accounts;
mod alarms;
mod cells;
mod cut;
mod intake;
mod learn;
mod mixture;
mod network;
mod rounds;
mod shard;
mod step;
mod twice;

pub use accounts::{Accounts, Discarded, Doubted, RanAhead};
pub use cut::{Restore, RestoreError};
pub use intake::Offered;
pub use mixture::{EMITTED, EXPERTS, check};
pub use network::Model;
pub use shard::Shard;
pub use step::Emitted;
