use crate::simd::{KernelByEight, LANES, Random, Vector8, registers, registers_mut};

/// Errors are clipped at this many times their recent size, which learns from at most twice that.
const CLIP: f32 = 2.0;
/// An error within this many of the block's units is never clipped. So the first errors after a long calm
/// still teach.
const NEVER_CLIPPED: f32 = 0.01;

/// The most features of a block.
pub(super) const FEATURES_MAX: usize = 160;

/// Learning and forecasting of one block: all its baselines, all weighted leads.
///
/// ```text
/// e = clip(target − w·x_o)     for each lead whose target after the origin o is known
/// w ← w + k_o·e                with the gain of that origin
/// correction = w·x_t
/// ```
///
/// Weights and the sizes of errors are 16-bit floats. A register holds one number of eight weighted leads
/// or of eight features.
pub(super) struct LearnAndForecast<'a> {
    /// `[baselines × leads, padded]`
    pub weights: &'a mut [u16],
    /// The origin that is learnt from, if any is.
    pub origin: Option<Learning<'a>>,
    /// Features of the newest origin. `[padded]`
    pub x: &'a [f32],
    /// `[baselines × leads, padded]`, where the rows, not their features, are padded.
    pub corrections: &'a mut [f32],
    /// Baselines × leads.
    pub rows: usize,
}

/// What a block learns from one origin.
pub(super) struct Learning<'a> {
    /// Its features and its gain. `[padded]`
    pub x: &'a [f32],
    pub k: &'a [f32],
    /// The readings less their baselines, in the block's unit; not a number where none was observed. As
    /// `corrections`.
    pub targets: &'a [f32],
    /// Recent absolute errors; 0 before the first. As `corrections`.
    pub errors: &'a mut [u16],
    /// The rate at which they are learnt.
    pub rate: f32,
    /// As in [`Gain`](super::root::Gain).
    pub seed: (u64, u32),
}

impl KernelByEight for LearnAndForecast<'_> {
    type Output = ();

    /// Eight leads at a time, so that their sums are taken together.
    #[inline(always)]
    fn run<V: Vector8>(mut self) {
        let x = registers(self.x);
        let n = x.len();
        let weights = registers_mut(self.weights);
        let mut random = self.origin.as_ref().map(|origin| Random::<V>::seeded(origin.seed.0, origin.seed.1));
        for (group, correction) in registers_mut(self.corrections).iter_mut().enumerate() {
            let count = LANES.min(self.rows - group * LANES);
            let weights = &mut weights[group * LANES * n..][..count * n];
            let mut sums = [V::splat(0.0); LANES];
            if let (Some(origin), Some(random)) = (&mut self.origin, &mut random) {
                let past = registers(origin.x);
                for (row, sum) in sums.iter_mut().enumerate().take(count) {
                    let mut dot = V::splat(0.0);
                    for (w, x) in weights[row * n..][..n].iter().zip(past) {
                        dot = V::widen(w).mul_add(V::load(x), dot);
                    }
                    *sum = dot;
                }
                let error = V::load(&registers(origin.targets)[group]).sub(V::sums(sums));
                let recent = &mut registers_mut(origin.errors)[group];
                let mut errors = [0.0; LANES];
                clipped(error, recent, origin.rate, random).store(&mut errors);
                let gain = registers(origin.k);
                for (row, sum) in sums.iter_mut().enumerate().take(count) {
                    let error = V::splat(errors[row]);
                    let mut dot = V::splat(0.0);
                    for ((w, k), x) in weights[row * n..][..n].iter_mut().zip(gain).zip(x) {
                        let moved = V::load(k).mul_add(error, V::widen(w));
                        random.narrow(moved, w);
                        dot = moved.mul_add(V::load(x), dot);
                    }
                    *sum = dot;
                }
            } else {
                for (row, sum) in sums.iter_mut().enumerate().take(count) {
                    let mut dot = V::splat(0.0);
                    for (w, x) in weights[row * n..][..n].iter().zip(x) {
                        dot = V::widen(w).mul_add(V::load(x), dot);
                    }
                    *sum = dot;
                }
            }
            V::sums(sums).store(correction);
        }
    }
}

/// Clips errors and learns their size; 0 for an error that is not finite.
#[inline(always)]
fn clipped<V: Vector8>(error: V, recent: &mut [u16; LANES], rate: f32, random: &mut Random<V>) -> V {
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    // 0 · x is 0 for finite numbers only.
    let known = one.if_above(error.mul(zero), one, zero);
    let error = known.if_above(zero, error, zero);
    let size = error.max(zero.sub(error));
    let before = V::widen(recent);
    let least = V::splat(NEVER_CLIPPED);
    let limited = size.min(before.mul(V::splat(2.0 * CLIP)).max(least));
    let moved = V::splat(rate).mul_add(limited.sub(before), before);
    let moved = before.if_above(zero, moved, size);
    random.narrow(known.if_above(zero, moved, before), recent);
    let clip = before.mul(V::splat(CLIP)).max(least);
    let within = error.max(zero.sub(clip)).min(clip);
    before.if_above(zero, within, error)
}
