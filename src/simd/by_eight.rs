//! What vectors of eight floats can do beside: 16-bit floats, comparisons, eight sums at once.

use super::halves::Halves;
use super::lanes::LANES;

/// A vector of [`LANES`] floats.
pub(crate) trait Vector8: Halves {
    /// The larger; `b` where either is not a number.
    fn max(self, b: Self) -> Self;
    /// The smaller; `b` where either is not a number.
    fn min(self, b: Self) -> Self;
    /// `yes` where `self` is above `than`, else `no`; `no` also where either is not a number.
    fn if_above(self, than: Self, yes: Self, no: Self) -> Self;
    /// The sums of eight vectors, one in each lane.
    fn sums(of: [Self; LANES]) -> Self;
    /// In each lane the sum of all lanes before it, and the sum of all lanes in each.
    fn sums_before(self) -> (Self, Self);
    /// The square root; not a number for what is negative.
    fn sqrt(self) -> Self;
}

#[cfg(test)]
mod tests {
    use super::super::{Isa, KernelByEight};
    use super::*;

    struct All<'a>(&'a mut [f32; LANES], &'a mut [u16; LANES]);

    impl KernelByEight for All<'_> {
        type Output = f32;

        #[inline(always)]
        fn run<V: Vector8>(self) -> f32 {
            let a = V::load(self.0);
            let rows = std::array::from_fn(|i| a.mul(V::splat(i as f32)));
            let squares = a.mul_add(a, V::splat(1.0));
            // SAFETY: the array is as long.
            unsafe { squares.write_stochastic(self.1.as_mut_ptr(), V::words(&[0; LANES])) };
            let wild = a.sub(V::splat(0.5)).div(V::splat(0.0)).mul(V::splat(0.0));
            let bounded = wild.max(V::splat(-4.0)).min(a.add(V::splat(1.0)));
            a.if_above(wild, V::splat(9.0), bounded).store(self.0);
            let a = a.add(V::load(self.0));
            V::sums(rows).add(V::widen(self.1)).store(self.0);
            a.neg_mul_add(a, V::splat(0.5)).sum()
        }
    }

    #[test]
    fn every_instruction_set_computes_the_same() {
        let mut seen = Vec::new();
        for isa in Isa::available() {
            let (mut values, mut halves) = ([0.5, 1.0, -2.0, 3.0, 0.25, -1.5, 8.0, 6.0], [0; LANES]);
            let sum = isa.run_by_eight(All(&mut values, &mut halves));
            seen.push((sum, values, halves));
        }
        assert!(seen.iter().all(|s| *s == seen[0]), "{seen:?}");
        assert!(seen[0].1.iter().all(|v| v.is_finite()), "{seen:?}");
    }

    /// Sums before each lane, all of them, and the roots of the values.
    struct Before([f32; LANES]);

    impl KernelByEight for Before {
        type Output = [[f32; LANES]; 3];

        #[inline(always)]
        fn run<V: Vector8>(self) -> Self::Output {
            let (before, all) = V::load(&self.0).sums_before();
            let mut out = [[0.0; LANES]; 3];
            before.store(&mut out[0]);
            all.store(&mut out[1]);
            V::load(&self.0).sqrt().store(&mut out[2]);
            out
        }
    }

    #[test]
    fn sums_before_each_lane_leave_it_out() {
        for isa in Isa::available() {
            let [before, all, roots] =
                isa.run_by_eight(Before([1.0, 4.0, 9.0, 16.0, 25.0, 36.0, 49.0, 64.0]));
            assert_eq!(before, [0.0, 1.0, 5.0, 14.0, 30.0, 55.0, 91.0, 140.0], "{isa:?}");
            assert_eq!(all, [204.0; LANES], "{isa:?}");
            assert_eq!(roots, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], "{isa:?}");
        }
    }
}
