//! Rounds of truncated BPTT over windows: when one is due, what it learns from, whether its outcome
//! may serve.
//!
//! A round sees copies of windows and gives back weights; it shares nothing with what serves. It
//! knows no thread and no clock: its caller paces it.

mod batches;
mod round;
mod schedule;

pub use round::{Outcome, Round, RoundError, Trained, blueprint, device};
pub use schedule::{Due, Start};
