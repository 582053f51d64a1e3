//! One vector register as a type, so that a kernel is written once and compiled for every
//! instruction set.

/// `N` floats that are computed together. All functions are inlined into a function that has the
/// instruction set enabled.
pub(crate) trait Vector: Copy {
    /// Floats in a vector.
    const N: usize;
    /// Rows of a product that fit into the register file beside four columns of weights.
    const ROWS: usize;

    /// # Safety
    /// `N` floats at `p` can be read.
    unsafe fn read(p: *const f32) -> Self;
    /// # Safety
    /// `N` floats at `p` can be written.
    unsafe fn write(self, p: *mut f32);

    fn splat(v: f32) -> Self;
    fn add(self, b: Self) -> Self;
    fn sub(self, b: Self) -> Self;
    fn mul(self, b: Self) -> Self;
    /// `self · b + c`
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// `c − self · b`
    fn neg_mul_add(self, b: Self, c: Self) -> Self;
    /// Within `lo..=hi`; `lo` where `self` is not a number.
    fn clamp(self, lo: f32, hi: f32) -> Self;
    /// `self · 2ᵏ`, where `k` is the whole number in the lowest bits of `bits`, for results that are
    /// normal numbers.
    fn times_power(self, bits: Self) -> Self;
    /// `self / b`: exact with eight lanes; with sixteen within 2 units in the last place, for `b` and
    /// `1 / b` normal numbers.
    fn div(self, b: Self) -> Self;
    /// 1 where `lo < self < hi`, else 0.
    fn inside(self, lo: f32, hi: f32) -> Self;
    /// The sum of the lanes, always in the same order.
    fn sum(self) -> f32;

    /// The first `N` floats of a slice.
    ///
    /// # Panics
    /// When it is shorter.
    #[inline(always)]
    fn load(from: &[f32]) -> Self {
        Self::load_at(from, 0)
    }

    /// `from[at..at + N]`
    ///
    /// # Panics
    /// When the slice ends before.
    #[inline(always)]
    fn load_at(from: &[f32], at: usize) -> Self {
        check(from.len(), at, Self::N);
        // SAFETY: the range lies within the slice.
        unsafe { Self::read(from.as_ptr().add(at)) }
    }

    /// Writes to the first `N` floats of a slice.
    ///
    /// # Panics
    /// When it is shorter.
    #[inline(always)]
    fn store(self, to: &mut [f32]) {
        self.store_at(to, 0);
    }

    /// Writes to `to[at..at + N]`.
    ///
    /// # Panics
    /// When the slice ends before.
    #[inline(always)]
    fn store_at(self, to: &mut [f32], at: usize) {
        check(to.len(), at, Self::N);
        // SAFETY: the range lies within the slice.
        unsafe { self.write(to.as_mut_ptr().add(at)) }
    }
}

/// Panics unless `n` elements from `at` on lie within `len`. Only one of the comparisons depends on
/// `at`, so that a loop makes the other once.
#[inline(always)]
pub(super) fn check(len: usize, at: usize, n: usize) {
    if len < n || at > len - n {
        out_of_bounds();
    }
}

#[cold]
#[inline(never)]
fn out_of_bounds() -> ! {
    panic!("a vector reaches beyond its slice");
}

#[cfg(test)]
mod tests {
    use super::super::{Isa, Kernel};
    use super::*;

    /// Copies a vector within memory, from and to an index.
    struct Copy<'a>(&'a mut [f32], [usize; 2]);

    impl Kernel for Copy<'_> {
        type Output = ();

        #[inline(always)]
        fn run<V: Vector>(self) {
            V::load_at(self.0, self.1[0]).store_at(self.0, self.1[1]);
        }
    }

    #[test]
    fn no_vector_reaches_beyond_its_slice() {
        for isa in Isa::available() {
            let n = isa.lanes();
            let panics = |len: usize, at: [usize; 2]| {
                let copy = move || isa.run(Copy(&mut vec![1.0; len], at));
                std::panic::catch_unwind(copy).is_err()
            };
            assert!(!panics(2 * n, [n, 0]) && !panics(2 * n, [0, n]), "{isa:?}");
            for at in [[n + 1, 0], [0, n + 1], [usize::MAX, 0], [0, usize::MAX]] {
                assert!(panics(2 * n, at), "{isa:?} {at:?}");
            }
            assert!(panics(n - 1, [0, 0]), "{isa:?}");
        }
    }
}
