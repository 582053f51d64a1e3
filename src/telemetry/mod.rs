//! Telemetry: every metric and every log event, and the board on which the workers publish what the admin server
//! shows.
//!
//! Each metric is declared once, in `metrics/catalogue.rs`; `docs/metrics.md` is made from it. Each event is one
//! function of [`events`]. The last state of each worker is on the [`Board`]. Publishing waits for a reader no
//! longer than a copy takes, and what is kept is bounded. The room knows neither Kafka nor HTTP: the rooms above
//! it fill in plain values.

#![forbid(unsafe_code)]

mod board;
#[cfg(test)]
mod captured;
pub mod events;
mod examples;
mod health;
mod invariant;
mod logging;
mod memory;
mod metrics;
mod rate;
mod showcase;
mod throttle;
mod words;

pub use board::{Board, BoardOptions, ShardStatus, ShardView, StreamView, View};
pub use examples::{DiscardedReading, DoubtedTarget, LargeRecord, MissingExample, PaceChange, ReadingAhead};
pub use health::{Readiness, Stalled};
pub use invariant::Violations;
pub use logging::init_logging;
pub use memory::MemoryByPart;
#[cfg(test)]
pub(crate) use metrics::label_words;
pub use metrics::{
    Accuracy, ClientMetrics, ClientStatistics, Metrics, ShardMetrics, StreamMetrics, StreamShape,
};
pub use showcase::{ExpertScore, Round, Scores, Showcase, ShownForecast, ShownTarget};
pub use words::{
    AbortCause, Ahead, Discard, Doubt, Eviction, Invariant, LogReset, MemoryPart, MissingValue, Pace,
    RegistryOutcome, RoundOutcome, ShardState, TooLarge, TransactionOutcome, TransactionRequest,
};

#[cfg(test)]
mod tests;
