//! The innermost loops of matrix products, whose sums stay in the register file.

use super::vector::Vector;

/// Where [`accumulate`] reads: `a[r, k]` at `a[r · row + k · next]`, the vectors of `b[k]` from
/// `b[k · b_next]` on.
#[derive(Clone, Copy)]
pub(crate) struct Walk<'a> {
    pub a: &'a [f32],
    pub row: usize,
    pub next: usize,
    pub b: &'a [f32],
    pub b_next: usize,
    /// The number of `k`.
    pub depth: usize,
}

impl Walk<'_> {
    /// Panics unless `rows` rows of `a`, and of every `b[k]` the `width` floats from `panel` on, can be
    /// read.
    #[inline(always)]
    fn check(&self, rows: usize, panel: usize, width: usize) {
        let Some(last) = self.depth.checked_sub(1) else { return };
        let a = last.saturating_mul(self.next).saturating_add((rows - 1).saturating_mul(self.row));
        let b = last.saturating_mul(self.b_next).saturating_add(panel).saturating_add(width);
        assert!(a < self.a.len() && b <= self.b.len());
    }
}

/// `acc[r][first + g] += Σ_k a[r, k] · b[k, g]` over whole vectors, `k` upwards: the one order in which
/// every product is summed.
///
/// Sums behind a reference would be written back to memory in every turn of the loop, and arrays that are
/// passed by value are copied by calls of `memcpy`. So the sums move one by one to a local array and back,
/// which the compiler takes apart into registers.
///
/// # Panics
/// When `first + G > W`, or the walk leaves its slices.
#[inline(always)]
pub(crate) fn accumulate<V: Vector, const R: usize, const G: usize, const W: usize>(
    acc: &mut [[V; W]; R],
    first: usize,
    walk: Walk<'_>,
) {
    walk.check(R, 0, G * V::N);
    let mut sums = [[V::splat(0.0); G]; R];
    for (sums, acc) in sums.iter_mut().zip(acc.iter()) {
        sums.copy_from_slice(&acc[first..][..G]);
    }
    let (a, b) = (walk.a.as_ptr(), walk.b.as_ptr());
    for k in 0..walk.depth {
        if R < G {
            // With few rows the register file is small: it holds the rows and one weight beside
            // the sums, where four weights would push sums out.
            let mut rows = [V::splat(0.0); R];
            for (r, row) in rows.iter_mut().enumerate() {
                // SAFETY: `check` has found all of `a` within its slice.
                *row = V::splat(unsafe { *a.add(r * walk.row + k * walk.next) });
            }
            for g in 0..G {
                // SAFETY: `check` has found all of `b` within its slice.
                let w = unsafe { V::read(b.add(k * walk.b_next + g * V::N)) };
                for (sums, row) in sums.iter_mut().zip(&rows) {
                    sums[g] = row.mul_add(w, sums[g]);
                }
            }
            continue;
        }
        let mut w = [V::splat(0.0); G];
        for (g, w) in w.iter_mut().enumerate() {
            // SAFETY: as above.
            *w = unsafe { V::read(b.add(k * walk.b_next + g * V::N)) };
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            // SAFETY: as above.
            let row = V::splat(unsafe { *a.add(r * walk.row + k * walk.next) });
            for (sum, w) in sums.iter_mut().zip(&w) {
                *sum = row.mul_add(*w, *sum);
            }
        }
    }
    for (sums, acc) in sums.iter().zip(acc) {
        acc[first..][..G].copy_from_slice(sums);
    }
}

/// The same sums of one row, `a[0, k]`, for `P` panels: `panel` floats lie between them in `b`. With one
/// panel alone each sum would wait for its last product.
///
/// # Panics
/// As [`accumulate`].
#[inline(always)]
pub(crate) fn accumulate_across<V: Vector, const P: usize, const G: usize, const W: usize>(
    acc: &mut [[V; W]; P],
    first: usize,
    walk: Walk<'_>,
    panel: usize,
) {
    walk.check(1, (P - 1).saturating_mul(panel), G * V::N);
    let mut sums = [[V::splat(0.0); G]; P];
    for (sums, acc) in sums.iter_mut().zip(acc.iter()) {
        sums.copy_from_slice(&acc[first..][..G]);
    }
    let (a, b) = (walk.a.as_ptr(), walk.b.as_ptr());
    for k in 0..walk.depth {
        // SAFETY: `check` has found all of `a` within its slice.
        let row = V::splat(unsafe { *a.add(k * walk.next) });
        for (p, sums) in sums.iter_mut().enumerate() {
            for (g, sum) in sums.iter_mut().enumerate() {
                // SAFETY: `check` has found all of `b` within its slice, the last panel included.
                let w = unsafe { V::read(b.add(p * panel + k * walk.b_next + g * V::N)) };
                *sum = row.mul_add(w, *sum);
            }
        }
    }
    for (sums, acc) in sums.iter().zip(acc) {
        acc[first..][..G].copy_from_slice(sums);
    }
}

/// Calls `$f::<…, R>` with as many rows at a time as the register file holds, when each has so many sums.
/// Few sums must come with many rows: a sum waits for the one before.
macro_rules! in_row_groups {
    ($vector:ty, $sums:literal, $rows:expr, |$at:ident, $R:ident| $call:expr) => {{
        let mut $at = 0;
        macro_rules! while_there_are {
            ($n:literal) => {
                while $n <= <$vector>::ROWS * 4 / $sums && $n <= $rows - $at {
                    const $R: usize = $n;
                    $call;
                    $at += $R;
                }
            };
        }
        while_there_are!(12);
        while_there_are!(6);
        while_there_are!(4);
        while_there_are!(3);
        while_there_are!(2);
        while_there_are!(1);
    }};
}
pub(crate) use in_row_groups;

#[cfg(test)]
mod tests {
    use super::super::{Isa, Kernel};
    use super::*;

    /// `Σ_k a[r, k] · b[k]` of two rows, or of one row and two panels.
    struct Sum<'a> {
        walk: Walk<'a>,
        panel: Option<usize>,
    }

    impl Kernel for Sum<'_> {
        type Output = [f32; 2];

        #[inline(always)]
        fn run<V: Vector>(self) -> [f32; 2] {
            let mut acc = [[V::splat(0.0); 4]; 2];
            match self.panel {
                None => accumulate::<V, 2, 1, 4>(&mut acc, 3, self.walk),
                Some(panel) => accumulate_across::<V, 2, 1, 4>(&mut acc, 3, self.walk, panel),
            }
            [acc[0][3].sum(), acc[1][3].sum()]
        }
    }

    #[test]
    fn sums_stay_within_their_slices() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        for isa in Isa::available() {
            let n = isa.lanes();
            let b = vec![1.0; 3 * n];
            let sum = |a: &[f32], b: &[f32], depth: usize, panel: Option<usize>| {
                let walk = Walk { a, row: 3, next: 1, b, b_next: n, depth };
                std::panic::catch_unwind(|| isa.run(Sum { walk, panel })).ok()
            };
            let lanes = n as f32;
            assert_eq!(sum(&a, &b, 3, None), Some([6.0 * lanes, 15.0 * lanes]));
            assert_eq!(sum(&a, &b, 2, Some(n)), Some([3.0 * lanes, 3.0 * lanes]));
            assert_eq!(sum(&[], &[], 0, None), Some([0.0, 0.0]));
            assert_eq!(sum(&a[..5], &b, 3, None), None);
            assert_eq!(sum(&a, &b[..3 * n - 1], 3, None), None);
            assert_eq!(sum(&a, &b, 3, Some(n)), None);
            assert_eq!(sum(&a, &b, usize::MAX, None), None);
            assert_eq!(sum(&a, &b, 2, Some(usize::MAX)), None);
        }
    }
}
