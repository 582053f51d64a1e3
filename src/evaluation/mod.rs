//! How good forecasts were: the ledger of those that wait for their target, recent errors of a
//! network's base, intervals that track their coverage, and what is summed up for the metrics.
//!
//! Promises that nothing is learnt from a target before it has arrived. Knows experts as numbers
//! only.

mod drift;
mod interval;
mod lead_errors;
mod summary;
mod waiting;

pub use drift::{Drift, DriftFound, DriftKind};
pub use interval::Intervals;
pub use lead_errors::LeadErrors;
pub use summary::Summary;
pub use waiting::Waiting;
