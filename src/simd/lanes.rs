//! Rows that are read in whole vectors of eight floats.

/// Floats in a vector of eight. Rows that kernels read are padded to a multiple of it.
pub(crate) const LANES: usize = 8;

/// `n` rounded up to whole vectors.
pub(crate) fn padded(n: usize) -> usize {
    n.next_multiple_of(LANES)
}

/// A row as whole vectors; its length is a multiple of [`LANES`].
#[inline(always)]
pub(crate) fn registers<T>(row: &[T]) -> &[[T; LANES]] {
    let (registers, rest) = row.as_chunks();
    debug_assert!(rest.is_empty());
    registers
}

/// As [`registers`], to write.
#[inline(always)]
pub(crate) fn registers_mut<T>(row: &mut [T]) -> &mut [[T; LANES]] {
    let (registers, rest) = row.as_chunks_mut();
    debug_assert!(rest.is_empty());
    registers
}
