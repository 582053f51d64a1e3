//! Rows of 16-bit floats, in registers of eight or in wider ones.

use super::by_eight::Vector8;
use super::halves::{Halves, Part};
use super::lanes::LANES;
use super::random::Random;

/// Eight lanes beside wide vectors. A row is taken in wide vectors, and what is left of it by eight.
pub(crate) trait Eight<W: Halves>: Vector8 + Part<W> {
    /// The first lanes of a wide vector, whose other lanes are zero.
    fn widened(self) -> W;
    /// The parts of a wide vector, added to each other.
    fn folded(of: W) -> Self;
    /// The sums of eight wide vectors, one in each lane.
    fn wide_sums(of: [W; LANES]) -> Self;
}

impl<V: Vector8> Eight<V> for V {
    #[inline(always)]
    fn widened(self) -> V {
        self
    }

    #[inline(always)]
    fn folded(of: V) -> V {
        of
    }

    #[inline(always)]
    fn wide_sums(of: [V; LANES]) -> V {
        V::sums(of)
    }
}

/// `Σ_j rows[i, j] · x[j]` of eight rows. Where there are fewer, the last one stands for those that are missing.
///
/// # Panics
/// When there is no row, or its length is not a multiple of [`LANES`].
#[inline(always)]
pub(crate) fn products<V: Eight<W>, W: Halves>(rows: &[u16], x: &[f32]) -> V {
    let n = x.len();
    // Whether these are whole rows is not asked: a division costs as much as a row.
    assert!(n.is_multiple_of(LANES) && n > 0 && rows.len() >= n);
    let last = rows.len() - n;
    let mut starts = [0; LANES];
    for (i, start) in starts.iter_mut().enumerate() {
        *start = last.min(i * n);
    }
    let (x, rows) = (x.as_ptr(), rows.as_ptr());
    let mut sums = [W::splat(0.0); LANES];
    let whole = n - n % W::N;
    for at in (0..whole).step_by(W::N) {
        // SAFETY: `at` is at least a wide vector before the end of `x`; every row is as long as `x` and
        // starts at least that far before the end of `rows`.
        unsafe {
            let x = W::read(x.add(at));
            for (sum, start) in sums.iter_mut().zip(starts) {
                *sum = W::read_halves(rows.add(start + at)).mul_add(x, *sum);
            }
        }
    }
    if whole < n {
        // SAFETY: as above; lengths are multiples of `LANES`, so that eight are left.
        unsafe {
            let x = V::read(x.add(whole)).widened();
            for (sum, start) in sums.iter_mut().zip(starts) {
                *sum = V::read_halves(rows.add(start + whole)).widened().mul_add(x, *sum);
            }
        }
    }
    V::wide_sums(sums)
}

/// `rows[i] ← rows[i] + factors[i] · direction` of so many rows, rounded at random. Returns the vectors whose
/// sums are the products of the new rows, before they are rounded, with `x`.
///
/// # Panics
/// When `rows`, `direction` and `x` aren't rows of the same length, which is a multiple of [`LANES`].
#[inline(always)]
pub(crate) fn moved<V: Eight<W>, W: Halves, const ROWS: usize>(
    rows: &mut [u16],
    factors: [f32; ROWS],
    direction: &[f32],
    x: &[f32],
    random: &mut Random<W>,
) -> [W; ROWS] {
    let n = x.len();
    assert!(n.is_multiple_of(LANES) && direction.len() == n && rows.len() / ROWS == n);
    let (x, direction, rows) = (x.as_ptr(), direction.as_ptr(), rows.as_mut_ptr());
    let mut sums = [W::splat(0.0); ROWS];
    let whole = n - n % W::N;
    for at in (0..whole).step_by(W::N) {
        // SAFETY: `at` is at least a wide vector before the end of rows of length `n`, of which there are
        // `ROWS`.
        unsafe {
            let (x, direction) = (W::read(x.add(at)), W::read(direction.add(at)));
            for (i, sum) in sums.iter_mut().enumerate() {
                let row = rows.add(i * n + at);
                let moved = direction.mul_add(W::splat(factors[i]), W::read_halves(row));
                random.write(moved, row);
                *sum = moved.mul_add(x, *sum);
            }
        }
    }
    if whole < n {
        // SAFETY: as above; lengths are multiples of `LANES`, so that eight are left.
        unsafe {
            let (x, direction) = (V::read(x.add(whole)), V::read(direction.add(whole)));
            for (i, sum) in sums.iter_mut().enumerate() {
                let row = rows.add(i * n + whole);
                let moved = direction.mul_add(V::splat(factors[i]), V::read_halves(row));
                random.write(moved, row);
                *sum = moved.widened().mul_add(x.widened(), *sum);
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::super::{Isa, KernelOfHalves};
    use super::*;

    struct Products<'a>(&'a [u16], &'a [f32]);

    impl KernelOfHalves for Products<'_> {
        type Output = [f32; LANES];

        #[inline(always)]
        fn run<V: Eight<W>, W: Halves>(self) -> [f32; LANES] {
            let mut out = [0.0; LANES];
            products::<V, W>(self.0, self.1).store(&mut out);
            out
        }
    }

    #[test]
    fn products_of_rows_of_any_length_and_number_are_their_sums() {
        for isa in Isa::available() {
            for (n, count) in [(8, 8), (16, 8), (24, 8), (40, 3), (72, 1)] {
                let rows: Vec<f32> = (0..n * count).map(|i| (i % 13) as f32 - 5.0).collect();
                let halves: Vec<u16> = rows.iter().map(|v| half::f16::from_f32(*v).to_bits()).collect();
                let x: Vec<f32> = (0..n).map(|i| (i % 7) as f32 - 2.0).collect();
                let got = isa.run_halves(Products(&halves, &x));
                for (i, got) in got.iter().enumerate() {
                    let row = &rows[i.min(count - 1) * n..][..n];
                    let want: f32 = row.iter().zip(&x).map(|(w, x)| w * x).sum();
                    assert_eq!(*got, want, "{isa:?}: row {i} of {count} with {n}");
                }
            }
        }
    }

    #[test]
    fn products_stay_within_their_slices() {
        for isa in Isa::available() {
            let panics = |halves: usize, n: usize| {
                let run = move || isa.run_halves(Products(&vec![0; halves], &vec![0.0; n]));
                std::panic::catch_unwind(run).is_err()
            };
            assert!(!panics(24, 24) && !panics(48, 24), "{isa:?}");
            for (halves, n) in [(0, 24), (8, 24), (23, 24), (12, 12), (0, 0)] {
                assert!(panics(halves, n), "{isa:?}: {halves} of {n}");
            }
        }
    }
    /// Adds a direction times 1, 2, … to eight rows, and has their products.
    struct Moved<'a>(&'a mut [u16], &'a [f32], &'a [f32]);

    impl KernelOfHalves for Moved<'_> {
        type Output = [f32; LANES];

        #[inline(always)]
        fn run<V: Eight<W>, W: Halves>(self) -> [f32; LANES] {
            let factors = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
            let mut random = Random::<W>::seeded(1, 1);
            let sums = moved::<V, W, LANES>(self.0, factors, self.1, self.2, &mut random);
            let mut out = [0.0; LANES];
            V::wide_sums(sums).store(&mut out);
            out
        }
    }

    #[test]
    fn rows_move_by_their_own_factor() {
        for isa in Isa::available() {
            for n in [8, 16, 24, 40, 72] {
                let before: Vec<f32> = (0..n * LANES).map(|i| (i % 13) as f32 - 5.0).collect();
                let mut rows: Vec<u16> = before.iter().map(|v| half::f16::from_f32(*v).to_bits()).collect();
                let direction: Vec<f32> = (0..n).map(|i| (i % 5) as f32 - 2.0).collect();
                let x: Vec<f32> = (0..n).map(|i| (i % 7) as f32 - 2.0).collect();
                let sums = isa.run_halves(Moved(&mut rows, &direction, &x));
                for (i, sum) in sums.iter().enumerate() {
                    let mut want = 0.0;
                    for j in 0..n {
                        let moved = before[i * n + j] + (i + 1) as f32 * direction[j];
                        want += moved * x[j];
                        let got = half::f16::from_bits(rows[i * n + j]).to_f32();
                        assert_eq!(got, moved, "{isa:?}: {j} of {n} in row {i}");
                    }
                    assert_eq!(*sum, want, "{isa:?}: row {i} with {n}");
                }
            }
            let panics = |halves: usize, direction: usize, n: usize| {
                let run =
                    move || isa.run_halves(Moved(&mut vec![0; halves], &vec![0.0; direction], &vec![0.0; n]));
                std::panic::catch_unwind(run).is_err()
            };
            assert!(!panics(24 * LANES, 24, 24), "{isa:?}");
            for (halves, direction, n) in [(24 * LANES - 1, 24, 24), (24 * LANES, 16, 24), (96, 12, 12)] {
                assert!(panics(halves, direction, n), "{isa:?}: {halves}, {direction}, {n}");
            }
        }
    }
}
