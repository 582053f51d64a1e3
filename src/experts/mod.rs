//! What forecasts a series without a network, and the mixture of all that forecasts.
//!
//! The linear experts of a stream are one streaming structure a series ([`LinearExperts`]); others stand
//! beside it behind the same trait. Each is a table with one row a series, O(1) a reading, without
//! allocation, and stays finite whatever it is given. The mixer ([`Mixer`]) weighs them.
//!
//! Promises that a forecast depends on readings up to its origin only, and that a row comes back
//! from its bytes bit for bit. Never knows where readings come from, or what was emitted.

#![forbid(unsafe_code)]

mod arma;
mod ensemble;
mod holt_winters;
mod linear;
mod lms;
mod mixer;
mod pooled_mean;
mod profile;
mod recent_range;
mod state_table;
mod velocity;

pub use arma::Arma;
pub use ensemble::Ensemble;
pub use linear::{LinearExperts, LinearShape, TooManyExtras};
pub use lms::Lms;
pub use mixer::{MIXTURES, Mixer};
pub use velocity::Velocity;

use crate::domain::Rows;

/// The experts that learn nothing, by their names; a stream without a season has the first alone.
pub const NAIVE: [&str; 2] = ["last", "seasonal"];

/// A reading of one target, as an expert sees it.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// Relative to the series' anchor; what filled it where it was missing.
    pub value: f32,
    /// Whether it was observed: what was filled is stepped on and never learnt from.
    pub observed: bool,
    /// The cell that seasons are counted by: that of the local time, or a count of readings.
    pub clock: i64,
    /// Calendar and covariates, of size about 1. `[extras]`
    pub extras: &'a [f32],
}

/// Some experts that are stepped as one.
pub trait ExpertGroup: Rows {
    /// Their names, in the order of their forecasts.
    fn names(&self) -> &[&'static str];

    /// Takes the next reading of a target: learns from every target that it makes arrive, then
    /// forecasts all leads from it. `out`: `[experts, horizon]`
    fn step(&mut self, slot: usize, target: usize, reading: &Observation<'_>, out: &mut [f32]);

    /// Says that a series goes on after a break that nothing fills: what was learnt stays, its past
    /// readings count no more.
    fn interrupt(&mut self, slot: usize);
}
