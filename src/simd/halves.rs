//! Vectors whose floats are 16-bit floats in memory.

use super::vector::{Vector, check};

/// A vector whose floats are held in memory as 16-bit floats.
pub(crate) trait Halves: Vector {
    /// Whole numbers of 32 bits, one for each lane.
    type Words: Copy;

    /// # Panics
    /// When there are not as many as lanes.
    fn words(of: &[u32]) -> Self::Words;
    /// `a + b`, without a carry beyond the upper bit.
    fn add_words(a: Self::Words, b: Self::Words) -> Self::Words;
    /// To 16-bit floats, up or down by the upper 13 bits of each random word: they are added below the
    /// last bit that is kept, then all bits below it are dropped. [`super::Random`] has what this means.
    ///
    /// # Safety
    /// `N` of them at `to` can be written.
    unsafe fn write_stochastic(self, to: *mut u16, random: Self::Words);
    /// # Safety
    /// `N` 16-bit floats at `from` can be read.
    unsafe fn read_halves(from: *const u16) -> Self;

    /// The first `N` 16-bit floats of a row.
    ///
    /// # Panics
    /// When it is shorter.
    #[inline(always)]
    fn widen(from: &[u16]) -> Self {
        check(from.len(), 0, Self::N);
        // SAFETY: the slice is as long.
        unsafe { Self::read_halves(from.as_ptr()) }
    }
}

/// A vector that is the first part of a wider one, or all of it.
pub(crate) trait Part<W: Halves>: Halves {
    fn first_words(of: W::Words) -> Self::Words;
}

impl<W: Halves> Part<W> for W {
    #[inline(always)]
    fn first_words(of: W::Words) -> W::Words {
        of
    }
}
