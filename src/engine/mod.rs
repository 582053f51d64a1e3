//! A shard: all state of one partition of one stream, as a deterministic, synchronous machine.
//!
//! Readings go in with [`Shard::offer`], rounds of one reading per series go through
//! [`Shard::run_round`], forecasts come out. The same readings give the same forecasts, in whatever
//! batches they come. Knows no clock, no Kafka, no thread.

mod network;
mod rounds;
mod shard;
mod step;

pub use network::Model;
pub use shard::{Offered, Shard};
pub use step::Emitted;
