//! Requests for memory ahead of its use.

/// Bytes of a cache line.
const LINE_BYTES: usize = 64;

/// Asks for memory into the first cache, line by line from its beginning.
#[inline(always)]
pub(crate) fn prefetch_first<T>(memory: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for offset in (0..size_of_val(memory)).step_by(LINE_BYTES) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint that reads nothing, which every x86-64 has; the address lies within the slice.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(memory.as_ptr().cast::<i8>().add(offset)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (memory, LINE_BYTES);
}

/// Asks for memory into the second cache, line by line from its beginning.
#[inline(always)]
pub(crate) fn prefetch_second<T>(memory: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for offset in (0..size_of_val(memory)).step_by(LINE_BYTES) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: as above.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(memory.as_ptr().cast::<i8>().add(offset)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (memory, LINE_BYTES);
}
