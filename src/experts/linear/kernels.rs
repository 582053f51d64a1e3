use crate::simd::{KernelByEight, LANES, Vector8, registers, registers_mut};

/// Gains are kept as 16-bit floats, multiplied by this. A long memory makes gains small; the bound on the
/// trace keeps them far below the largest such float.
pub(super) const GAIN_UNIT: f32 = 1024.0;

/// Errors are clipped at this many times their recent size, which learns from at most twice that.
const CLIP: f32 = 2.0;
/// The slowest rate at which the size of errors is learnt.
const ERROR_RATE: f32 = 0.005;
/// An error within this many of the block's units is never clipped. So the first errors after a long calm
/// still teach.
const NEVER_CLIPPED: f32 = 0.01;

/// The most features of a block.
pub(super) const FEATURES_MAX: usize = 160;

/// Learning and forecasting of one block: all its baselines, all leads.
///
/// ```text
/// e = clip(target − w·x_{t−h})     for each lead h whose target has arrived
/// w ← w + K_{t−h}·e                with the gain of that origin
/// correction = w·x_t
/// ```
///
/// Each weight is read and written once.
pub(super) struct LearnAndForecast<'a> {
    /// `[baselines, leads, padded]`
    pub weights: &'a mut [f32],
    /// Recent absolute errors. `[baselines, leads]`
    pub errors: &'a mut [f32],
    /// What has arrived less its baseline, in the block's unit. `[baselines, leads]`
    pub targets: &'a [f32],
    /// The number of leads that learn.
    pub arrived: usize,
    /// The origins learnt from before, at lead 1.
    pub learnt: u64,
    pub leads: &'a [usize],
    /// The place of the newest origin in the rings, which hold `origins` of them.
    pub now: usize,
    pub origins: usize,
    /// Features of the last origins. `[origins, stride]`
    pub past: &'a [u16],
    pub stride: usize,
    /// Gains of the last origins, times [`GAIN_UNIT`]. `[origins, padded]`
    pub gains: &'a [u16],
    /// Features of the newest origin. `[padded]`
    pub x: &'a [f32],
    /// `[baselines, leads]`
    pub corrections: &'a mut [f32],
}

impl KernelByEight for LearnAndForecast<'_> {
    type Output = ();

    /// Eight leads at a time, so that their sums are taken together.
    #[inline(always)]
    fn run<V: Vector8>(self) {
        let x = registers(self.x);
        let (n, leads) = (x.len(), self.leads.len());
        let (padded, stride) = (n * LANES, self.stride);
        let weights = registers_mut(self.weights);
        for at in (0..self.targets.len()).step_by(leads) {
            for group in (0..leads).step_by(LANES) {
                let count = LANES.min(leads - group);
                let learning = self.arrived.saturating_sub(group).min(count);
                let origin = |r: usize| {
                    let lead = self.leads[group + r];
                    if lead <= self.now { self.now - lead } else { self.now + self.origins - lead }
                };
                let mut errors = [0.0; LANES];
                let mut sums = [V::splat(0.0); LANES];
                for (r, sum) in sums.iter_mut().enumerate().take(learning) {
                    let past = registers(&self.past[origin(r) * stride..][..padded]);
                    let weights = &weights[(at + group + r) * n..][..n];
                    let mut dot = V::splat(0.0);
                    for (w, x) in weights.iter().zip(past) {
                        dot = V::load(w).mul_add(V::widen(x), dot);
                    }
                    *sum = dot;
                }
                V::sums(sums).store(&mut errors);
                for (r, error) in errors.iter_mut().enumerate().take(learning) {
                    let i = at + group + r;
                    let learnt = (self.learnt + 1).saturating_sub(self.leads[group + r] as u64);
                    let rate = ERROR_RATE.max(1.0 / learnt.max(1) as f32);
                    *error = clipped(self.targets[i] - *error, &mut self.errors[i], rate) / GAIN_UNIT;
                }
                let mut sums = [V::splat(0.0); LANES];
                for (r, sum) in sums.iter_mut().enumerate().take(count) {
                    let weights = &mut weights[(at + group + r) * n..][..n];
                    let mut dot = V::splat(0.0);
                    if r < learning {
                        let gains = registers(&self.gains[origin(r) * padded..][..padded]);
                        let error = V::splat(errors[r]);
                        for ((w, k), x) in weights.iter_mut().zip(gains).zip(x) {
                            let moved = V::widen(k).mul_add(error, V::load(w));
                            moved.store(w);
                            dot = moved.mul_add(V::load(x), dot);
                        }
                    } else {
                        for (w, x) in weights.iter().zip(x) {
                            dot = V::load(w).mul_add(V::load(x), dot);
                        }
                    }
                    *sum = dot;
                }
                let mut forecasts = [0.0; LANES];
                V::sums(sums).store(&mut forecasts);
                self.corrections[at + group..][..count].copy_from_slice(&forecasts[..count]);
            }
        }
    }
}

/// Clips an error and learns its size; 0 for an error that is not finite.
#[inline(always)]
fn clipped(error: f32, recent: &mut f32, rate: f32) -> f32 {
    let size = error.abs();
    if !size.is_finite() {
        return 0.0;
    }
    let most = *recent;
    if most == 0.0 {
        *recent = size;
        return error;
    }
    *recent += rate * (size.min((2.0 * CLIP * most).max(NEVER_CLIPPED)) - most);
    let clip = (CLIP * most).max(NEVER_CLIPPED);
    error.clamp(-clip, clip)
}

/// Rounds features in place to the 16-bit floats that the ring keeps, so that forecasting and learning
/// see the same values.
pub(super) struct RoundToHalf<'a> {
    pub x: &'a mut [f32],
    pub kept: &'a mut [u16],
    /// The factor by which `x` is multiplied before it is kept; 1 keeps `x` itself.
    pub unit: f32,
}

impl KernelByEight for RoundToHalf<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector8>(self) {
        let (unit, one) = (V::splat(self.unit), V::splat(self.unit.recip()));
        for (x, kept) in registers_mut(self.x).iter_mut().zip(registers_mut(self.kept)) {
            V::load(x).mul(unit).narrow(kept);
            V::widen(kept).mul(one).store(x);
        }
    }
}
