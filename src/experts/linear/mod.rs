//! The linear experts: recursive least squares for every lead at once.
//!
//! A block corrects one or more baselines `b`, such as the seasonal naive forecast. For lead `h` of
//! baseline `b`, with regressors `x_t` and weights `w`, in units `u` of the series' deviation:
//!
//! ```text
//! ŷ_{t+h|t} = b_{t,h} + u·(w_{b,h}·x_t)
//! ```
//!
//! All leads and baselines of a block regress on the same `x_t`. So they share one covariance `P` and one
//! gain `K` for each origin (recursive least squares with forgetting λ: Ljung and Söderström 1983):
//!
//! ```text
//! K_t = P x_t / (λ + x_tᵀ P x_t)      P ← (P − K_t x_tᵀ P) / λ
//! ```
//!
//! When `y_t` arrives, it is the target of the origin `t − h` at each lead `h`, whose regressors and gain
//! were kept as 16-bit floats:
//!
//! ```text
//! e = (y_t − b_{t−h,h}) / u − w_{b,h}·x_{t−h}      w_{b,h} ← w_{b,h} + K_{t−h}·clip(e)
//! ```
//!
//! A reading costs O(d² + leads · d) with d regressors, where a covariance for each lead would cost
//! O(leads · d²). The update is delayed by `h` steps; it is stable while horizon · d · (1 − λ) is small,
//! which bounds λ from below.

mod covariance;
mod features;
mod kernels;
mod layout;
mod state;
mod step;

pub use layout::{LinearShape, TooManyExtras};

use super::pooled_mean::PooledMean;
use super::state_table::{StateRow, StateTable};
use super::{ExpertGroup, Observation};
use crate::domain::{Damaged, Rows, Take};
use crate::simd::Isa;
use bytemuck::Zeroable;
use layout::{Baseline, LinearLayout};
use state::{BLOCKS_MAX, LinearState, Scratch};
use step::SeriesStep;

/// The first origin of a block that has not begun.
const NEVER: u64 = u64::MAX;

/// The linear experts of a stream, one streaming structure for each series and target: last value,
/// seasonal naive, profile, and blocks of recursive least squares that correct these. Allocates nothing
/// on a reading.
#[derive(Debug)]
pub struct LinearExperts {
    layout: LinearLayout,
    names: Vec<&'static str>,
    isa: Isa,
    learn_every: u32,
    table: StateTable<LinearState>,
    /// The mean weights and covariances of the mature series of the stream.
    pooled: PooledMean,
    scratch: Scratch,
}

impl LinearExperts {
    /// # Errors
    /// [`TooManyExtras`] when a block can't carry the calendar and the covariates.
    pub fn try_new(shape: &LinearShape) -> Result<Self, TooManyExtras> {
        let layout = LinearLayout::try_new(shape)?;
        let mut floats = vec![0.0; layout.floats];
        let mut state = LinearState::zeroed();
        state.since = [NEVER; BLOCKS_MAX];
        for (b, block) in layout.blocks.iter().enumerate() {
            block.covariance.fill(&mut floats[block.p..][..block.covariance.floats()]);
            state.traces[b] = block.features as f32;
        }
        let (leads, horizon) = (layout.leads.len(), layout.leads.horizon());
        let gains = layout.blocks.iter().map(layout::RlsBlock::padded).sum();
        let bases = layout.blocks.iter().map(|b| b.bases.len()).max().unwrap_or(0);
        let scratch = Scratch {
            x: vec![0.0; layout.stride()],
            own: vec![0.0; layout.stride()],
            kept: vec![0; layout.stride()],
            k: vec![0.0; layout.stride()],
            new_gains: vec![0; gains],
            arrived: vec![0.0; Baseline::COUNT * leads],
            bases: vec![0.0; Baseline::COUNT * horizon],
            targets: vec![0.0; bases * leads],
            corrections: vec![0.0; bases * leads],
        };
        let table = StateTable::new(shape.targets, state, &floats, layout.halves, layout.counts);
        let pooled = PooledMean::new(shape.targets, layout.floats - layout.blocks_from());
        Ok(Self { names: layout.names(), isa: Isa::best(), learn_every: 1, table, pooled, scratch, layout })
    }

    /// From the next reading on, series that are past their first thousand origins learn at one of `every` origins.
    pub fn learn_every(&mut self, every: u32) {
        self.learn_every = every;
    }

    /// At one of how many origins such series learn.
    pub fn learns_every(&self) -> u32 {
        self.learn_every
    }

    /// The number of first mixtures of a series that are plain means, because its blocks have learnt too
    /// little.
    pub fn mix_from(&self) -> usize {
        2 * self.layout.start + 4
    }

    /// Updates what new series start from: the mean of what the mature series of this shard have learnt.
    /// Call it at moments that do not depend on batches; then forecasts do not depend on them either.
    pub fn publish(&mut self) {
        for [slot, target] in self.pooled.take_matured() {
            let (slot, target) = (slot as usize, target as usize);
            // The slot may belong to another series by now.
            if self.table.get(slot, target).is_some_and(LinearState::is_mature) {
                let row = self.table.row(slot, target);
                self.pooled.take(target, &row.floats[self.layout.blocks_from()..self.layout.floats]);
            }
        }
    }

    /// Appends the state that is pooled over series, without loss.
    pub fn save_pooled(&self, out: &mut Vec<u8>) {
        self.pooled.save(out);
    }

    /// Reads the state that [`Self::save_pooled`] wrote for the same shape.
    ///
    /// # Errors
    /// [`Damaged`] for any other bytes.
    pub fn load_pooled(&mut self, from: &mut Take<'_>) -> Result<(), Damaged> {
        self.pooled.load(from)
    }

    /// Loads the state of a series into the cache while another series is worked on.
    pub fn prefetch(&self, slot: usize, target: usize) {
        self.table.prefetch(slot, target, self.layout.blocks_from());
    }

    /// Bytes of one series.
    pub fn bytes_each(&self) -> usize {
        self.table.bytes_each()
    }

    /// Limits a value to the range in which the series has been lately.
    pub fn nearest_seen(&self, slot: usize, target: usize, value: f32) -> f32 {
        self.table.state(slot, target).range.nearest_seen(value)
    }

    /// The readings of a target that were learnt from.
    pub fn readings(&self, slot: usize, target: usize) -> u32 {
        self.table.state(slot, target).readings
    }

    /// The standard deviation of a series around its slow mean; 0 while nothing is known.
    pub fn deviation(&self, slot: usize, target: usize) -> f32 {
        self.table.state(slot, target).range.deviation()
    }
}

impl ExpertGroup for LinearExperts {
    fn names(&self) -> &[&'static str] {
        &self.names
    }

    fn step(&mut self, slot: usize, target: usize, reading: &Observation<'_>, out: &mut [f32]) {
        let row = self.table.row(slot, target);
        let was_mature = row.state.is_mature();
        let pooled = self.pooled.mean(target);
        let mut series_step =
            SeriesStep { layout: &self.layout, isa: self.isa, scratch: &mut self.scratch, pooled, row };
        series_step.step(reading, out);
        if !was_mature && self.table.state(slot, target).is_mature() {
            self.pooled.note_mature(slot, target);
        }
    }

    fn interrupt(&mut self, slot: usize) {
        for target in 0..self.table.targets() {
            let StateRow { state, floats, .. } = self.table.row(slot, target);
            let newest = state.steps.wrapping_sub(1);
            for (holt, at) in self.layout.holts.iter().zip(self.layout.holt_floats) {
                holt.restart_after(&mut floats[at..], newest);
            }
            state.steps = 0;
            if state.unit > 0.0 {
                state.since = [0; BLOCKS_MAX];
            }
        }
    }
}

super::state_table::rows_of_state_table!(LinearExperts);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Accuracy;

    fn linear_experts() -> LinearExperts {
        let shape = LinearShape {
            targets: 1,
            horizon: 6,
            seasons: vec![12],
            extras: 0,
            accuracy: Accuracy::Full,
            difference: false,
            linear: true,
        };
        let mut linear = LinearExperts::try_new(&shape).unwrap();
        linear.grow(1);
        linear
    }

    fn value(t: u64) -> f32 {
        (t as f32 * std::f32::consts::FRAC_PI_6).sin() + 0.3 * (t as f32 * 1.7).sin()
    }

    /// Mean absolute errors at lead 1 over the steps of `t`. `[experts]`
    fn errors(linear: &mut LinearExperts, t: std::ops::Range<u64>) -> Vec<f32> {
        let n = (t.end - t.start) as f32;
        let mut out = vec![0.0; linear.names().len() * 6];
        let mut errors = vec![0.0; linear.names().len()];
        for t in t {
            let reading = Observation { value: value(t), observed: true, clock: t as i64, extras: &[] };
            linear.step(0, 0, &reading, &mut out);
            assert!(out.iter().all(|f| f.is_finite()), "step {t}: {out:?}");
            let forecasts = out.iter().step_by(6);
            errors.iter_mut().zip(forecasts).for_each(|(e, f)| *e += (f - value(t + 1)).abs() / n);
        }
        errors
    }

    #[test]
    fn a_block_that_is_not_finite_starts_again() {
        for wild in [f32::NAN, f32::INFINITY, 1e38] {
            let mut linear = linear_experts();
            errors(&mut linear, 0..1_000);
            let before = errors(&mut linear, 1_000..1_200);
            for block in &linear.layout.blocks {
                linear.table.row(0, 0).floats[block.weights + 3] = wild;
            }
            errors(&mut linear, 1_200..2_400);
            let after = errors(&mut linear, 2_400..2_600);
            for (b, a) in before.iter().zip(&after) {
                assert!(*a < 1.3 * b + 0.01, "{wild}: {before:?} {after:?}");
            }
        }
    }

    #[test]
    fn a_covariance_that_is_not_positive_starts_again() {
        for wild in [f32::NAN, f32::NEG_INFINITY, -1.0, 1e30] {
            let mut linear = linear_experts();
            errors(&mut linear, 0..1_000);
            let before = errors(&mut linear, 1_000..1_200);
            for block in &linear.layout.blocks {
                linear.table.row(0, 0).floats[block.p] = wild;
            }
            errors(&mut linear, 1_200..2_400);
            let after = errors(&mut linear, 2_400..2_600);
            for (b, a) in before.iter().zip(&after) {
                assert!(*a < 1.3 * b + 0.01, "{wild}: {before:?} {after:?}");
            }
        }
    }

    #[test]
    fn pooled_state_comes_back_and_helps_new_series() {
        let mut mature = linear_experts();
        errors(&mut mature, 0..800);
        mature.publish();
        let mut bytes = Vec::new();
        mature.save_pooled(&mut bytes);
        let (mut young, mut alone) = (linear_experts(), linear_experts());
        young.load_pooled(&mut Take::new(&bytes)).unwrap();
        let (helped, plain) = (errors(&mut young, 0..150), errors(&mut alone, 0..150));
        let linear = |errors: &[f32]| errors[3..].iter().sum::<f32>();
        assert!(linear(&helped) < 0.9 * linear(&plain), "{helped:?} {plain:?}");
        assert!(young.load_pooled(&mut Take::new(&bytes[1..])).is_err());
    }
}
