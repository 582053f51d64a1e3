//! How good forecasts were: the ledger of those that wait for their target, recent errors per expert,
//! intervals that track their coverage, and what is summed up for the metrics.
//!
//! Promises that nothing is learnt from a target before it has arrived. Knows experts as numbers
//! only.

mod interval;
mod ledger;
mod scores;
mod summary;
mod waiting;

pub use interval::Intervals;
pub use ledger::{Entry, Ledger};
pub use scores::Scores;
pub use summary::{Summary, lead_buckets};
pub use waiting::Waiting;
