use super::lanes::{Kernel, LANES, Lanes, registers, registers_mut};

/// Gains are kept as 16-bit floats this many times as large: a long memory makes them small, and the
/// trace bounds them far below what such a float can hold.
pub(super) const GAIN_UNIT: f32 = 1024.0;

/// Errors are clipped at this many times their recent size, which learns from at most twice that.
const CLIP: f32 = 2.0;
const ERROR_RATE: f32 = 0.005;

/// The most features of a block.
pub(super) const FEATURES_MAX: usize = 160;

/// Learning and forecasting of one block: all bases, all leads.
///
/// For each lead whose target has arrived, `e = target − w · x` with the weights as they are now and the
/// features of the origin, `e` clipped, `w += k · e` with the gain of the origin; then the forecast with
/// the features of now. Weights are touched once.
pub(super) struct LearnAndForecast<'a> {
    /// `[bases, leads, padded]`
    pub weights: &'a mut [f32],
    /// Recent absolute errors. `[bases, leads]`
    pub errors: &'a mut [f32],
    /// What has arrived less its base, in the block's unit. `[bases, leads]`
    pub targets: &'a [f32],
    /// How many of the leads learn.
    pub arrived: usize,
    /// Origins learnt from before at lead 1.
    pub learnt: u64,
    pub leads: &'a [usize],
    /// The newest origin's place in the rings is `now`, and they hold `origins`.
    pub now: usize,
    pub origins: usize,
    /// Features of the last origins. `[origins, stride]`
    pub past: &'a [u16],
    pub stride: usize,
    /// Gains of the last origins. `[origins, padded]`
    pub gains: &'a [u16],
    /// Features of now. `[padded]`
    pub x: &'a [f32],
    /// `[bases, leads]`
    pub corrections: &'a mut [f32],
}

impl Kernel for LearnAndForecast<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        unsafe {
            let x = registers(self.x);
            let (n, leads) = (x.len(), self.leads.len());
            let padded = n * LANES;
            let mut past = [[0.0; LANES]; FEATURES_MAX / LANES];
            let mut gains = [[0.0; LANES]; FEATURES_MAX / LANES];
            let (past, gains) = (&mut past[..n], &mut gains[..n]);
            for (i, lead) in self.leads.iter().enumerate() {
                let learns = i < self.arrived;
                if learns {
                    let origin = (self.now + self.origins - lead % self.origins) % self.origins;
                    let row = registers(&self.past[origin * self.stride..][..padded]);
                    row.iter().zip(past.iter_mut()).for_each(|(h, v)| V::widen(h).store(v));
                    let row = registers(&self.gains[origin * padded..][..padded]);
                    row.iter().zip(gains.iter_mut()).for_each(|(h, v)| V::widen(h).store(v));
                }
                let learnt = (self.learnt + 1).saturating_sub(*lead as u64).max(1);
                let rate = ERROR_RATE.max(1.0 / learnt as f32);
                for base in (0..self.targets.len()).step_by(leads) {
                    let at = base + i;
                    let weights = registers_mut(&mut self.weights[at * padded..][..padded]);
                    let mut forecast = V::splat(0.0);
                    if learns {
                        let mut sum = V::splat(0.0);
                        for (w, x) in weights.iter().zip(&*past) {
                            sum = V::load(w).mul_add(V::load(x), sum);
                        }
                        let error = clipped(self.targets[at] - sum.sum(), &mut self.errors[at], rate);
                        let error = V::splat(error / GAIN_UNIT);
                        for ((w, k), x) in weights.iter_mut().zip(&*gains).zip(x) {
                            let moved = V::load(k).mul_add(error, V::load(w));
                            moved.store(w);
                            forecast = moved.mul_add(V::load(x), forecast);
                        }
                    } else {
                        for (w, x) in weights.iter().zip(x) {
                            forecast = V::load(w).mul_add(V::load(x), forecast);
                        }
                    }
                    self.corrections[at] = forecast.sum();
                }
            }
        }
    }
}

/// `error` within its clip, `recent` having learnt its size; 0 for what is not finite.
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
    *recent += rate * (size.min(2.0 * CLIP * most) - most);
    error.clamp(-CLIP * most, CLIP * most)
}

/// Rounds features to what the ring keeps of them, in place, so that forecasting and learning see the
/// same.
pub(super) struct Round<'a> {
    pub x: &'a mut [f32],
    pub kept: &'a mut [u16],
    /// What `x` is multiplied by before it is kept; 1 where `x` itself is to be rounded.
    pub unit: f32,
}

impl Kernel for Round<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        unsafe {
            let (unit, one) = (V::splat(self.unit), V::splat(self.unit.recip()));
            for (x, kept) in registers_mut(self.x).iter_mut().zip(registers_mut(self.kept)) {
                V::load(x).mul(unit).narrow(kept);
                V::widen(kept).mul(one).store(x);
            }
        }
    }
}
