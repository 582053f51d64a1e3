use crate::simd::{KernelByEight, LANES, Vector8, padded, registers, registers_mut};

/// While the covariance's trace is above this many times its dimension, nothing is forgotten: without
/// excitation, forgetting would make it grow without bound.
const TRACE_MAX: f32 = 10.0;

/// The covariance `P` of recursive least squares. It is symmetric and kept as its lower half, in tiles of
/// eight by eight: row `i` holds the columns up to the end of its own tile. `[floats()]`
///
/// Within a tile, the entries on both sides of the diagonal get the same arithmetic. So `P` stays
/// symmetric to the last bit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Covariance {
    features: usize,
    forgetting: f32,
}

/// The offset of row `i`.
#[inline(always)]
fn row_start(i: usize) -> usize {
    let tile = i / LANES;
    LANES * LANES * tile * (tile + 1) / 2 + (i % LANES) * LANES * (tile + 1)
}

impl Covariance {
    pub fn new(features: usize, forgetting: f32) -> Self {
        Self { features, forgetting }
    }

    /// The floats of a row.
    pub fn floats(&self) -> usize {
        row_start(padded(self.features))
    }

    /// Writes the initial covariance: the identity.
    pub fn fill(&self, p: &mut [f32]) {
        p.fill(0.0);
        for i in 0..self.features {
            p[row_start(i) + i] = 1.0;
        }
    }

    /// The sum of the diagonal, and its smallest entry.
    pub fn trace(&self, p: &[f32]) -> (f32, f32) {
        (0..self.features)
            .map(|i| p[row_start(i) + i])
            .fold((0.0, f32::INFINITY), |(sum, least), v| (sum + v, least.min(v)))
    }

    /// The forgetting factor λ for a covariance of this trace.
    pub fn forgetting(&self, trace: f32) -> f32 {
        if trace > TRACE_MAX * self.features as f32 { 1.0 } else { self.forgetting }
    }
}

/// `k = P x / (λ + xᵀ P x)` and `P ← (P − k xᵀ P) / λ`.
///
/// Returns `xᵀ P x`. It returns NaN and leaves `P` unchanged when the denominator is not positive enough,
/// so `P` was not a covariance.
pub(super) struct Gain<'a> {
    pub p: &'a mut [f32],
    /// `[padded]`
    pub x: &'a [f32],
    pub forgetting: f32,
    /// `[padded]`
    pub k: &'a mut [f32],
}

impl KernelByEight for Gain<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<V: Vector8>(self) -> f32 {
        let x = registers(self.x);
        let n = x.len();
        let k = registers_mut(self.k);
        k.fill([0.0; LANES]);
        let mut rest = registers(self.p);
        for tile in 0..n {
            let (rows, below) = rest.split_at(LANES * (tile + 1));
            rest = below;
            let mut sums = [V::splat(0.0); LANES];
            for column in 0..tile {
                let (xc, mut kc) = (V::load(&x[column]), V::load(&k[column]));
                for r in 0..LANES {
                    let p = V::load(&rows[r * (tile + 1) + column]);
                    sums[r] = p.mul_add(xc, sums[r]);
                    kc = p.mul_add(V::splat(x[tile][r]), kc);
                }
                kc.store(&mut k[column]);
            }
            let xt = V::load(&x[tile]);
            for (r, sum) in sums.iter_mut().enumerate() {
                *sum = V::load(&rows[r * (tile + 1) + tile]).mul_add(xt, *sum);
            }
            V::sums(sums).add(V::load(&k[tile])).store(&mut k[tile]);
        }
        let mut q = V::splat(0.0);
        for (k, x) in k.iter().zip(x) {
            q = V::load(k).mul_add(V::load(x), q);
        }
        let q = q.sum();
        let whole = self.forgetting + q;
        if !(q > -0.5 * self.forgetting && whole.is_finite()) {
            return f32::NAN;
        }
        // (P − u uᵀ) / λ with u = P x / √(λ + xᵀ P x): the same on both sides of the diagonal.
        let root = V::splat(whole.sqrt().recip());
        for k in k.iter_mut() {
            V::load(k).mul(root).store(k);
        }
        let grown = V::splat(self.forgetting.recip());
        let mut rest = registers_mut(self.p);
        for tile in 0..n {
            for r in 0..LANES {
                let (row, below) = rest.split_at_mut(tile + 1);
                rest = below;
                let u = V::splat(k[tile][r]);
                for (p, k) in row.iter_mut().zip(&*k) {
                    u.neg_mul_add(V::load(k), V::load(p)).mul(grown).store(p);
                }
            }
        }
        for k in k.iter_mut() {
            V::load(k).mul(root).store(k);
        }
        q
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Isa;
    use rand::{Rng, SeedableRng};

    #[test]
    fn gain_and_covariance_agree_with_the_definition_in_double_precision() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        for (d, isa) in [(1, Isa::best()), (8, Isa::best()), (21, Isa::best()), (21, Isa::PORTABLE)] {
            let covariance = Covariance::new(d, 0.99);
            let mut p = vec![0.0; covariance.floats()];
            covariance.fill(&mut p);
            let mut exact: Vec<Vec<f64>> =
                (0..d).map(|i| (0..d).map(|j| f64::from(u8::from(i == j))).collect()).collect();
            for _ in 0..200 {
                let mut x = vec![0.0f32; padded(d)];
                x[..d].iter_mut().for_each(|x| *x = rng.random_range(-1.0..1.0));
                let mut k = vec![0.0; padded(d)];
                Isa::run_by_eight(isa, Gain { p: &mut p, x: &x, forgetting: 0.99, k: &mut k });
                let px: Vec<f64> = exact
                    .iter()
                    .map(|row| row.iter().zip(&x).map(|(p, x)| p * f64::from(*x)).sum())
                    .collect();
                let q = 0.99 + px.iter().zip(&x).map(|(p, x)| p * f64::from(*x)).sum::<f64>();
                for i in 0..d {
                    assert!((f64::from(k[i]) - px[i] / q).abs() < 1e-4, "{isa:?} {d}");
                    for j in 0..d {
                        exact[i][j] = (exact[i][j] - px[i] * px[j] / q) / 0.99;
                    }
                }
            }
            let (trace, least) = covariance.trace(&p);
            let want: f64 = (0..d).map(|i| exact[i][i]).sum();
            assert!((f64::from(trace) / want - 1.0).abs() < 1e-3 && least > 0.0, "{trace} {want}");
        }
    }

    #[test]
    fn a_matrix_that_is_not_a_covariance_is_reported_and_left_unchanged() {
        let covariance = Covariance::new(3, 0.99);
        let mut p = vec![0.0; covariance.floats()];
        covariance.fill(&mut p);
        p[0] = -5.0;
        let before = p.clone();
        let (x, mut k) = ([1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], [0.0; 8]);
        assert!(Isa::best().run_by_eight(Gain { p: &mut p, x: &x, forgetting: 0.99, k: &mut k }).is_nan());
        assert_eq!(p, before);
    }
}
