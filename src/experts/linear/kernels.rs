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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Isa, padded};
    use half::f16;

    /// What the kernel promises, number by number and without rounding.
    fn by_definition(weights: &mut [f32], errors: &mut [f32], then: &[f32], k: &[f32], targets: &[f32]) {
        for ((row, recent), target) in weights.chunks_exact_mut(k.len()).zip(errors).zip(targets) {
            let forecast: f32 = row.iter().zip(then).map(|(w, x)| w * x).sum();
            let error = target - forecast;
            if error.is_nan() {
                continue;
            }
            let clip = (CLIP * *recent).max(NEVER_CLIPPED);
            let (first, limited) =
                (*recent == 0.0, error.abs().min((2.0 * CLIP * *recent).max(NEVER_CLIPPED)));
            *recent = if first { error.abs() } else { *recent + 0.25 * (limited - *recent) };
            let error = if first { error } else { error.clamp(-clip, clip) };
            row.iter_mut().zip(k).for_each(|(w, k)| *w += k * error);
        }
    }

    #[test]
    fn blocks_of_any_size_learn_and_forecast_by_the_definition() {
        for isa in Isa::available() {
            for (n, rows) in [(8, 24), (24, 1), (48, 20), (72, 8)] {
                let number = |i: usize, of: usize| (i * 7919 % of) as f32 / of as f32 - 0.5;
                let (mut halves, mut errors) = (vec![0; n * rows], vec![0; padded(rows)]);
                let (mut weights, mut sizes) = (vec![0.0; n * rows], vec![0.0; rows]);
                for step in 0..40 {
                    let then: Vec<f32> = (0..n).map(|j| number(j + 3 * step, 101)).collect();
                    let x: Vec<f32> = (0..n).map(|j| number(j + 5 * step, 103)).collect();
                    let k: Vec<f32> = then.iter().map(|x| x / n as f32).collect();
                    let mut targets = vec![f32::NAN; padded(rows)];
                    for (i, target) in targets[..rows].iter_mut().enumerate().filter(|(i, _)| i + step != 5) {
                        *target = number(i + step, 17);
                    }
                    let mut corrections = vec![0.0; padded(rows)];
                    isa.run_halves(LearnAndForecast {
                        weights: &mut halves,
                        origin: Some(Learning {
                            x: &then,
                            k: &k,
                            targets: &targets,
                            errors: &mut errors,
                            rate: 0.25,
                            seed: (step as u64, 1),
                        }),
                        x: &x,
                        corrections: &mut corrections,
                        rows,
                    });
                    by_definition(&mut weights, &mut sizes, &then, &k, &targets);
                    for (i, row) in weights.chunks_exact(n).enumerate() {
                        let want: f32 = row.iter().zip(&x).map(|(w, x)| w * x).sum();
                        let got = corrections[i];
                        assert!((got - want).abs() < 5e-3, "{isa:?}, {n} × {rows}: {got} of {want}");
                        let size = f16::from_bits(errors[i]).to_f32();
                        assert!((size - sizes[i]).abs() < 5e-3, "{isa:?}, {n} × {rows}: {size}");
                    }
                    let mut again = vec![0.0; padded(rows)];
                    let origin = None;
                    isa.run_halves(LearnAndForecast {
                        weights: &mut halves,
                        origin,
                        x: &x,
                        corrections: &mut again,
                        rows,
                    });
                    for (again, first) in again[..rows].iter().zip(&corrections) {
                        assert!((again - first).abs() < 2e-3, "{isa:?}, {n} × {rows}: {again} of {first}");
                    }
                }
                let moved = weights.iter().map(|w| w.abs()).fold(0.0, f32::max);
                assert!(moved > 0.01, "{n} × {rows} learnt nothing: {moved}");
            }
        }
    }
}
