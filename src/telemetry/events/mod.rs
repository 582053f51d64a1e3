//! Every log event: one function each, and its name written once in the field `event`. Events are logged for a
//! batch or for something rarer, never for each reading.

use crate::domain::TopicPartition;

/// The target of every event, for filters such as `tidecast=debug`.
const TARGET: &str = "tidecast";

macro_rules! event {
    ($level:ident, $name:literal, { $($fields:tt)* }, $($message:tt)+) => {
        tracing::$level!(target: super::TARGET, event = $name, $($fields)* $($message)+)
    };
}

mod models;
mod partitions;
mod process;
mod readings;
mod registry;
mod snapshots;

pub use models::*;
pub use partitions::*;
pub use process::*;
pub use readings::*;
pub use registry::*;
pub use snapshots::*;

/// Partitions as a list for people.
fn listed(partitions: &[TopicPartition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
