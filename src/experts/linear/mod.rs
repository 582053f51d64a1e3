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
//! When `y_t` arrives, it is the last target of the origin `o = t − H`, with H the horizon. All leads learn
//! from that origin at once, with its gain:
//!
//! ```text
//! e = (y_{o+h} − b_{o,h}) / u − w_{b,h}·x_o      w_{b,h} ← w_{b,h} + K_o·clip(e)
//! ```
//!
//! This is plain least squares, H steps late. So nothing is kept of an origin that can be found again: its
//! lags are among the last readings, and a seasonal state at the origin is what it was before the first step
//! with the target's phase, which each step keeps. Bytes are linear in H. (Learning each lead as soon as its
//! target arrives would need the gains and features of H origins, and would diverge where H · d · (1 − λ) is
//! large.)
//!
//! A reading costs O(d² + leads · d) with d regressors. Weights are learnt for some leads (see `leads`);
//! corrections are interpolated between them.

mod features;
mod frame;
mod holt_winters;
mod kernels;
mod layout;
mod leads;
mod profile;
mod regressors;
mod root;
mod state;
mod step;

pub use layout::{LinearShape, TooManyExtras};

use super::pooled_mean::PooledMean;
use super::state_table::{StateRow, StateTable};
use super::{ExpertGroup, Observation};
use crate::domain::{Damaged, Rows, Take};
use crate::simd::Isa;
use layout::LinearLayout;
use state::{LinearState, NEVER, Scratch};
use step::SeriesStep;

/// The linear experts of a stream, one streaming structure for each series and target: last value,
/// seasonal naive, profile, and blocks of recursive least squares that correct these. Allocates nothing
/// on a reading.
#[derive(Debug)]
pub struct LinearExperts {
    layout: LinearLayout,
    names: Vec<&'static str>,
    isa: Isa,
    table: StateTable<LinearState>,
    /// The mean weights and covariances of the mature series of the stream.
    pooled: PooledMean,
    scratch: Scratch,
    /// Mature series learn from every so-manieth origin.
    every: u32,
}

impl LinearExperts {
    /// # Errors
    /// [`TooManyExtras`] when a block can't carry the calendar and the covariates.
    pub fn try_new(shape: &LinearShape) -> Result<Self, TooManyExtras> {
        let layout = LinearLayout::try_new(shape)?;
        let state = LinearState::new(&layout);
        let table = StateTable::new(shape.targets, state, &[], layout.halves, 0).with_halves(&layout.blank());
        let pooled = PooledMean::new(shape.targets, layout.halves - layout.blocks_from());
        let scratch = Scratch::new(&layout);
        Ok(Self { names: layout.names(), isa: Isa::best(), table, pooled, scratch, every: 1, layout })
    }

    /// The number of readings before the present one that experts of a shape look back on
    /// ([`Observation::past`]).
    pub fn look_back(shape: &LinearShape) -> usize {
        LinearLayout::try_new(shape).map_or(0, |layout| layout.look_back)
    }

    /// Makes series that have learnt from a thousand origins learn from every so-manieth one only, to save
    /// time. It should share no factor with a season, so that every phase is learnt from.
    pub fn learn_every(&mut self, every: u32) {
        self.every = every.max(1);
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
                let held = &row.halves[self.layout.blocks_from()..];
                let learnt: Vec<f32> = held.iter().map(|half| frame::wide(*half)).collect();
                self.pooled.take(target, &learnt);
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
        self.table.prefetch(slot, target, 0);
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
        let (layout, isa, every) = (&self.layout, self.isa, self.every);
        let mut series_step = SeriesStep { layout, isa, scratch: &mut self.scratch, pooled, row, every };
        series_step.step(reading, out);
        if !was_mature && self.table.state(slot, target).is_mature() {
            self.pooled.note_mature(slot, target);
        }
    }

    fn interrupt(&mut self, slot: usize) {
        for target in 0..self.table.targets() {
            let StateRow { state, .. } = self.table.row(slot, target);
            state.levels.iter_mut().for_each(|level| level.error = 0.0);
            state.steps = 0;
            state.since.iter_mut().filter(|since| **since != NEVER).for_each(|since| *since = 0);
        }
    }
}

super::state_table::rows_of_state_table!(LinearExperts);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Accuracy;
    use crate::domain::PastReadings;

    fn linear_experts() -> LinearExperts {
        let shape = LinearShape {
            targets: 1,
            horizon: 6,
            seasons: vec![12],
            extras: 0,
            shown_again: 0,
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
            let values: Vec<f32> = (0..t).map(value).collect();
            let past = PastReadings::new(&values, values.len().saturating_sub(1));
            let (now, clock) = (value(t), t as i64);
            let reading = Observation { value: now, observed: true, clock, extras: &[], then: &[], past };
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
                linear.table.row(0, 0).halves[block.weights.start + 3] = half::f16::from_f32(wild).to_bits();
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
        for wild in [f32::NAN, f32::NEG_INFINITY, -1.0, 1e4] {
            let mut linear = linear_experts();
            errors(&mut linear, 0..1_000);
            let before = errors(&mut linear, 1_000..1_200);
            for block in &linear.layout.blocks {
                linear.table.row(0, 0).halves[block.root.start] = half::f16::from_f32(wild).to_bits();
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
