use super::frame::{narrow, wide};
use super::kernels::FEATURES_MAX;
use crate::simd::{Eight, Halves, KernelOfHalves, LANES, Part, Random, Registers, padded, products};

/// While the covariance's trace is above this many times its dimension, nothing is forgotten: without
/// excitation, forgetting would make it grow without bound.
const TRACE_MAX: f32 = 10.0;
/// From this trace on a matrix is no covariance of these features any more.
const BROKEN: f32 = 1e6;

/// A triangular root `S` of the covariance of recursive least squares, `P = S Sᵀ`. Whatever is rounded in
/// `S`, `P` can't become indefinite.
///
/// It is upper triangular and kept by columns as 16-bit floats: column `c` holds the rows up to the end of
/// its own tile of eight. `[halves()]`
#[derive(Clone, Copy, Debug)]
pub(super) struct CovarianceRoot {
    features: usize,
    forgetting: f32,
}

/// Where the columns of a tile begin.
#[inline(always)]
fn tile_start(tile: usize) -> usize {
    LANES * LANES * tile * (tile + 1) / 2
}

impl CovarianceRoot {
    pub fn new(features: usize, forgetting: f32) -> Self {
        Self { features, forgetting }
    }

    /// The 16-bit floats of a root.
    pub fn halves(&self) -> usize {
        tile_start(padded(self.features) / LANES)
    }

    /// Writes the root of the initial covariance, which is the identity.
    pub fn fill(&self, root: &mut [u16]) {
        root.fill(0);
        self.diagonal().for_each(|at| root[at] = narrow(1.0));
    }

    /// Multiplies the covariance by a factor.
    pub fn scale(&self, root: &mut [u16], factor: f32) {
        root.iter_mut().for_each(|s| *s = narrow(wide(*s) * factor.sqrt()));
    }

    /// The trace of the covariance: the sum of the squares of its root.
    pub fn trace(&self, root: &[u16]) -> f32 {
        root.iter().map(|s| wide(*s).powi(2)).sum()
    }

    /// Whether a trace can be that of a covariance of the features.
    pub fn is_sound(trace: f32) -> bool {
        trace > 0.0 && trace < BROKEN
    }

    fn diagonal(&self) -> impl Iterator<Item = usize> {
        (0..self.features).map(|c| {
            let tile = c / LANES;
            tile_start(tile) + (c % LANES) * LANES * (tile + 1) + c
        })
    }

    /// The forgetting factor λ for a covariance of this trace, if it is used once in so many steps.
    pub fn forgetting(&self, trace: f32, every: u32) -> f32 {
        if trace > TRACE_MAX * self.features as f32 { 1.0 } else { self.forgetting.powi(every as i32) }
    }
}

/// `k = P x / (λ + xᵀ P x)` and `P ← (P − k xᵀ P) / λ`, by Carlson's update of a triangular root (Carlson
/// 1973, "Fast triangular formulation of the square root filter"):
///
/// ```text
/// f = Sᵀ x     α_0 = λ     k = 0
/// for each column c:  α_{c+1} = α_c + f_c²
///                     S_c, k ← √(α_c / (α_{c+1} λ)) · S_c − f_c / √(α_c α_{c+1} λ) · k,  k + f_c S_c
/// k ← k / α_d
/// ```
///
/// Roots are rounded to 16-bit floats at random, so that small changes add up. Returns the trace of `P`.
pub(super) struct Gain<'a> {
    pub root: &'a mut [u16],
    /// `[padded]`
    pub x: &'a [f32],
    pub forgetting: f32,
    /// The step of the series and the number of the block, which the rounding follows from.
    pub seed: (u64, u32),
    /// `[padded]`
    pub k: &'a mut [f32],
}

/// The registers of the widest block.
const WIDEST: usize = FEATURES_MAX / LANES;
/// So many vectors of the sum `k` stay in registers while the columns of a tile pass.
const HELD: usize = 2;

/// What each column of a tile is updated with.
#[derive(Clone, Copy)]
struct Factors {
    f: [f32; LANES],
    shrink: [f32; LANES],
    take: [f32; LANES],
}

impl KernelOfHalves for Gain<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<V: Eight<W>, W: Halves>(self) -> f32 {
        let mut random = Random::<W>::seeded(self.seed.0, self.seed.1);
        let x = self.x;
        let n = x.len() / LANES;
        let mut factors = Registers::<Factors, WIDEST>::new();
        for tile in 0..n {
            let of_tile = &self.root[tile_start(tile)..tile_start(tile + 1)];
            let mut f = [0.0; LANES];
            products::<V, W>(of_tile, &x[..(tile + 1) * LANES]).store(&mut f);
            factors.push(Factors { f, shrink: f, take: f });
        }
        let mut alpha = V::splat(self.forgetting);
        let per_root = V::splat(self.forgetting.sqrt().recip());
        for factors in factors.iter_mut() {
            let f = V::load(&factors.f);
            let square = f.mul(f);
            let (sum, all) = square.sums_before();
            let before = alpha.add(sum);
            let per_both = per_root.div(before.mul(before.add(square)).sqrt());
            before.mul(per_both).store(&mut factors.shrink);
            f.mul(per_both).store(&mut factors.take);
            alpha = alpha.add(all);
        }
        // `k` so far.
        let mut sums = Registers::<W, WIDEST>::new();
        let (mut trace, mut wide_trace) = (V::splat(0.0), W::splat(0.0));
        for (tile, factors) in factors.iter().enumerate() {
            let columns = &mut self.root[tile_start(tile)..tile_start(tile + 1)];
            let height = (tile + 1) * LANES;
            let whole = height - height % W::N;
            if sums.len() * W::N < whole {
                sums.push(W::splat(0.0));
            }
            let (pairs, rest) = sums.as_chunks_mut::<HELD>();
            let mut at = 0;
            for sums in pairs {
                wide_trace = update(columns, height, at, factors, sums, &mut random).add(wide_trace);
                at += HELD * W::N;
            }
            for sum in rest.as_chunks_mut().0 {
                wide_trace =
                    update::<W, W, 1>(columns, height, at, factors, sum, &mut random).add(wide_trace);
                at += W::N;
            }
            if whole < height {
                let mut sum = [V::splat(0.0)];
                trace = update(columns, height, at, factors, &mut sum, &mut random).add(trace);
                sums.push(sum[0].widened());
            }
        }
        let mut per_alpha = [0.0; LANES];
        V::splat(1.0).div(alpha).store(&mut per_alpha);
        let per_alpha = W::splat(per_alpha[0]);
        for (k, sum) in self.k.chunks_mut(W::N).zip(&*sums) {
            let sum = sum.mul(per_alpha);
            if k.len() == W::N { sum.store(k) } else { V::folded(sum).store(k) }
        }
        trace.add(V::folded(wide_trace)).sum()
    }
}

/// Updates so many vectors of the columns of a tile from row `at` on, and the same rows of `k`. Returns what
/// they add to the trace.
#[inline(always)]
fn update<L: Part<W>, W: Halves, const HELD: usize>(
    columns: &mut [u16],
    height: usize,
    at: usize,
    factors: &Factors,
    k: &mut [L; HELD],
    random: &mut Random<W>,
) -> L {
    let mut sums = *k;
    let mut traces = [L::splat(0.0); HELD];
    for (c, column) in columns.chunks_exact_mut(height).take(LANES).enumerate() {
        let (shrink, take) = (L::splat(factors.shrink[c]), L::splat(factors.take[c]));
        let f = L::splat(factors.f[c]);
        let rows = column[at..][..HELD * L::N].chunks_exact_mut(L::N);
        for ((s, sum), trace) in rows.zip(&mut sums).zip(&mut traces) {
            let old = L::widen(s);
            let new = take.neg_mul_add(*sum, old.mul(shrink));
            *sum = f.mul_add(old, *sum);
            *trace = new.mul_add(new, *trace);
            random.narrow(new, s);
        }
    }
    *k = sums;
    let mut all = L::splat(0.0);
    for trace in traces {
        all = all.add(trace);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Isa;
    use rand::{Rng, SeedableRng};

    #[test]
    fn gain_and_covariance_agree_with_the_definition_in_double_precision() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        let every = [1, 8, 21, 38, 68].map(|d| Isa::available().map(move |isa| (d, isa)));
        for (d, isa) in every.into_iter().flatten() {
            let covariance = CovarianceRoot::new(d, 0.99);
            let mut root = vec![0; covariance.halves()];
            covariance.fill(&mut root);
            let mut exact: Vec<Vec<f64>> =
                (0..d).map(|i| (0..d).map(|j| f64::from(u8::from(i == j))).collect()).collect();
            let (mut got, mut want, mut trace) = (0.0, 0.0, 0.0);
            for step in 0..400 {
                let mut x = vec![0.0f32; padded(d)];
                x[..d].iter_mut().for_each(|x| *x = rng.random_range(-1.0..1.0));
                let mut k = vec![0.0; padded(d)];
                let seed = (step, 0);
                trace = isa.run_halves(Gain { root: &mut root, x: &x, forgetting: 0.99, seed, k: &mut k });
                let px: Vec<f64> = exact
                    .iter()
                    .map(|row| row.iter().zip(&x).map(|(p, x)| p * f64::from(*x)).sum())
                    .collect();
                let q = 0.99 + px.iter().zip(&x).map(|(p, x)| p * f64::from(*x)).sum::<f64>();
                for i in 0..d {
                    let exact_gain = px[i] / q;
                    (got, want) = (got + (f64::from(k[i]) - exact_gain).powi(2), want + exact_gain.powi(2));
                }
                for i in 0..d {
                    for j in 0..d {
                        exact[i][j] -= px[i] * px[j] / q;
                        exact[i][j] /= 0.99;
                    }
                }
            }
            assert!(got < 1e-4 * want, "{isa:?} {d}: gains are off by {got} of {want}");
            let of_root = covariance.trace(&root);
            let exact: f64 = (0..d).map(|i| exact[i][i]).sum();
            assert!((f64::from(trace) / exact - 1.0).abs() < 0.02, "{trace} {exact}");
            assert!((of_root / trace - 1.0).abs() < 1e-2, "{of_root} {trace}");
        }
    }

    #[test]
    fn what_is_no_covariance_is_found() {
        for (wild, is_sound) in [(f32::NAN, false), (f32::INFINITY, false), (-1.0, true), (65_504.0, true)] {
            let covariance = CovarianceRoot::new(20, 0.999);
            let mut root = vec![0; covariance.halves()];
            covariance.fill(&mut root);
            root[3] = half::f16::from_f32(wild).to_bits();
            let (x, mut k) = (vec![0.5; 24], vec![0.0; 24]);
            let gain = Gain { root: &mut root, x: &x, forgetting: 0.999, seed: (1, 1), k: &mut k };
            let trace = Isa::best().run_halves(gain);
            assert_eq!(CovarianceRoot::is_sound(trace), is_sound, "{wild}: {trace}");
        }
    }
}
