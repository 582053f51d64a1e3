//! Telemetry: every metric and every log event, declared in one place, and the board on which the
//! workers publish what the admin server shows.
//!
//! Owns every metric's name ([`catalogue`], documented in `docs/metrics.md`; a test compares the
//! two), every event's name ([`events`]) and the last word of each worker ([`Board`]). Promises that
//! publishing never waits for a reader longer than a copy takes and that what is kept is bounded.
//! Never knows Kafka, HTTP or a network: those above it fill in plain values.

#![forbid(unsafe_code)]

mod board;
pub mod catalogue;
mod client;
pub mod events;
mod health;
mod invariant;
mod logging;
mod metrics;
mod rate;
mod reason;
mod shard;
mod showcase;
mod stream;
mod untold;

pub use board::{Board, BoardOptions, ShardStatus, ShardView, StreamView, View};
pub use client::{ClientMetrics, ClientStatistics};
pub use health::{Readiness, Stalled};
pub use invariant::Violations;
pub use logging::init_logging;
pub use metrics::{Metrics, StreamShape};
pub use reason::{
    Ahead, Discard, Doubt, Eviction, Invariant, LogReset, MissingValue, RoundOutcome, ShardState,
    TransactionOutcome,
};
pub use shard::ShardMetrics;
pub use showcase::{ExpertScore, Round, Scores, Showcase, ShownForecast, ShownTarget};
pub use stream::{Accuracy, StreamMetrics};
pub use untold::{DiscardedReading, DoubtedTarget, MissingExample, ReadingAhead};

#[cfg(test)]
mod tests;
