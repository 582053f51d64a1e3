//! How good forecasts were: the ledger of those that wait for their target, recent errors of a
//! network's base, intervals that track their coverage, and what is summed up for the metrics. And what
//! is judged by them: how surprising a reading is, whether a limit will be crossed, whether a stream has
//! drifted.
//!
//! Promises that nothing is learnt from a target before it has arrived. Knows experts as numbers
//! only.

#![forbid(unsafe_code)]

mod anomaly;
mod belief;
mod drift;
mod interval;
mod lead_errors;
mod ledger;
mod limits;
mod normal_score;
mod paired;
mod summary;

pub use anomaly::{Anomalies, MaturedForecast};
pub use belief::{Actual, Belief, Expected, OutlierFilter};
pub use drift::{Drift, DriftFound, DriftKind};
pub use interval::Intervals;
pub use lead_errors::LeadErrors;
pub use ledger::ForecastLedger;
pub use limits::Limits;
pub use normal_score::NormalScore;
pub use paired::{DieboldMariano, PromotionTest, Verdict, diebold_mariano};
pub use summary::ScoreSummary;
