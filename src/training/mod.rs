//! Training rounds: when one is due, what it learns from, and whether its outcome may serve.
//!
//! A round learns by truncated backpropagation through time over windows. It takes copies of windows and
//! returns weights; it shares nothing with the serving model. It knows no thread and no clock: its caller
//! paces it. `tenure` decides what follows from a round.

#![forbid(unsafe_code)]

mod batches;
mod judge;
mod round;
mod schedule;
mod shape;
pub(crate) mod tenure;

pub use round::{Former, Outcome, RoundError, TrainingRound};
pub use schedule::{RoundSchedule, Start, StreamProgress, Why};
pub use shape::{Shapes, blueprint, device};
pub use tenure::{Incumbent, Predecessor, Tenure, Transition, Trial, outdated};
