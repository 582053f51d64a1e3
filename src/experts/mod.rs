//! Forecasters that need no network, and the mixer that combines all forecasts.
//!
//! The linear experts of a stream share one structure for each series ([`LinearExperts`]). The others,
//! [`Arma`], [`Lms`] and [`Velocity`], stand beside it behind the same trait, [`ExpertGroup`]. Each keeps
//! one row of state for each series and target. A reading costs O(1) in the number of readings and
//! allocates nothing. Forecasts stay finite for any input. [`Ensemble`] steps all experts of a stream,
//! [`Mixer`] weighs their forecasts.
//!
//! Promises: a forecast depends only on readings up to its origin, and a row of state comes back from its
//! bytes bit for bit. This room does not know where readings come from or which forecasts are emitted.

#![forbid(unsafe_code)]

mod arma;
mod ensemble;
mod linear;
mod lms;
mod mixer;
mod past_value;
mod pooled_mean;
mod recent_range;
mod state_table;
mod velocity;

pub use arma::Arma;
pub use ensemble::{Ensemble, experts_look_back};
pub use linear::{LinearExperts, LinearShape, TooManyExtras};
pub use lms::Lms;
pub use mixer::{MIXTURES, Mixer};
pub use velocity::Velocity;

use crate::domain::{PastReadings, Rows};

/// The names of the experts that learn nothing. A stream without a season has only the first.
pub const NAIVE: [&str; 2] = ["last", "seasonal"];

/// One reading of one target, as an expert sees it.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// The value relative to the anchor of its series. Where it was missing, the value that filled the
    /// gap.
    pub value: f32,
    /// Whether the value was observed. Experts step on a filled value and never learn from it.
    pub observed: bool,
    /// The cell that seasons are counted by: that of the local time, or a count of readings.
    pub clock: i64,
    /// Calendar features and covariates, scaled to a size of about 1. `[extras]`
    pub extras: &'a [f32],
    /// The first of the extras, as they were `horizon` steps ago ([`LinearShape::shown_again`]); not used
    /// before there was such a step.
    pub then: &'a [f32],
    /// The values of the target before this one, as many as there were since its last interruption and at
    /// most as many as the experts look back on ([`LinearExperts::look_back`]).
    pub past: PastReadings<'a>,
}

/// One expert, or several that are stepped together.
pub trait ExpertGroup: Rows {
    /// The names of the experts, in the order of their forecasts.
    fn names(&self) -> &[&'static str];

    /// Takes the next reading of a target. First every expert learns: the reading is the target of
    /// earlier forecasts, one at each lead. Then every expert forecasts all leads from it. `out`:
    /// `[experts, horizon]`
    fn step(&mut self, slot: usize, target: usize, reading: &Observation<'_>, out: &mut [f32]);

    /// Marks a break that nothing fills, after which the series goes on. The experts keep what they
    /// learnt and forget the past readings.
    fn interrupt(&mut self, slot: usize);
}
