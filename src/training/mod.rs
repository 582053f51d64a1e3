//! Rounds of truncated BPTT over windows: when one is due, what it learns from, whether its outcome
//! may serve.
//!
//! A round sees copies of windows and gives back weights; it shares nothing with what serves. It
//! knows no thread and no clock: its caller paces it.

#![forbid(unsafe_code)]

mod batches;
mod judge;
mod round;
mod schedule;
mod shape;
pub(crate) mod tenure;

pub use round::{Former, Outcome, Round, RoundError};
pub use schedule::{Clock, Due, Start, Why};
pub use shape::{Shapes, blueprint, device};
pub use tenure::{Incumbent, Predecessor, Tenure, Transition, Trial, outdated};
