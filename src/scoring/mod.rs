//! How good forecasts were, and what follows from it.
//!
//! | question | type |
//! | --- | --- |
//! | which forecasts speak of this reading? | [`ForecastLedger`] |
//! | is the reading to be trusted? | [`OutlierFilter`] |
//! | how wide is an interval? | [`Intervals`] |
//! | how large are recent errors? | [`LeadErrors`], [`ScoreSummary`] |
//! | how surprising is the reading? | [`Anomalies`] |
//! | will a limit be crossed? | [`Limits`] |
//! | has the stream drifted? | [`Drift`] |
//! | is one forecast better than another? | [`diebold_mariano`], [`PromotionTest`] |
//!
//! Promises that nothing is learnt from a target before it has arrived. Knows experts as numbers only.

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
