use crate::simd::{Eight, Halves, KernelOfHalves, LANES, Random, moved, products, registers, registers_mut};

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

impl KernelOfHalves for LearnAndForecast<'_> {
    type Output = ();

    /// Eight leads at a time, so that their sums are taken together. All errors come before the first update:
    /// so none waits for a sum that was just begun.
    #[inline(always)]
    fn run<V: Eight<W>, W: Halves>(self) {
        let n = self.x.len();
        let weights = &mut self.weights[..self.rows * n];
        let corrections = registers_mut(self.corrections);
        let Some(origin) = self.origin else {
            for (group, correction) in weights.chunks(LANES * n).zip(corrections) {
                products::<V, W>(group, self.x).store(correction);
            }
            return;
        };
        let mut random = Random::<W>::seeded(origin.seed.0, origin.seed.1);
        let targets = registers(origin.targets).iter().zip(registers_mut(origin.errors));
        let groups = weights.chunks(LANES * n).zip(corrections.iter_mut());
        for ((group, errors), (target, recent)) in groups.zip(targets) {
            let error = V::load(target).sub(products::<V, W>(group, origin.x));
            clipped(error, recent, origin.rate, &mut random).store(errors);
        }
        for (group, correction) in weights.chunks_mut(LANES * n).zip(corrections) {
            let sums = if group.len() == LANES * n {
                moved::<V, W, LANES>(group, *correction, origin.k, self.x, &mut random)
            } else {
                let mut sums = [W::splat(0.0); LANES];
                let errors = correction.iter().zip(&mut sums);
                for (row, (error, sum)) in group.chunks_exact_mut(n).zip(errors) {
                    [*sum] = moved::<V, W, 1>(row, [*error], origin.k, self.x, &mut random);
                }
                sums
            };
            V::wide_sums(sums).store(correction);
        }
    }
}

/// Clips errors and learns their size; 0 for an error that is not finite.
#[inline(always)]
fn clipped<V: Eight<W>, W: Halves>(
    error: V,
    recent: &mut [u16; LANES],
    rate: f32,
    random: &mut Random<W>,
) -> V {
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
