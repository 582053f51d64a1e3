//! Vectors that wait on the stack for what comes next.

use std::mem::MaybeUninit;
use std::slice;

/// Up to `CAP` values on the stack. Nothing is initialised before it is pushed: for a few values of many
/// that would cost more than the work itself.
pub(crate) struct Registers<T, const CAP: usize> {
    values: [MaybeUninit<T>; CAP],
    len: usize,
}

impl<T: Copy, const CAP: usize> Registers<T, CAP> {
    #[inline(always)]
    pub fn new() -> Self {
        let mut new = MaybeUninit::<Self>::uninit();
        // SAFETY: the length is all that has to be initialised. Written as a constant as a whole, all memory
        // would be set to zero.
        unsafe {
            (&raw mut (*new.as_mut_ptr()).len).write(0);
            new.assume_init()
        }
    }

    /// # Panics
    /// When there is no room.
    #[inline(always)]
    pub fn push(&mut self, value: T) {
        self.values[self.len].write(value);
        self.len += 1;
    }

    /// # Panics
    /// When there is no room.
    #[inline(always)]
    pub fn extend<const N: usize>(&mut self, values: &[T; N]) {
        let room = &mut self.values[self.len..][..N];
        for (to, value) in room.iter_mut().zip(values) {
            to.write(*value);
        }
        self.len += N;
    }
}

impl<T, const CAP: usize> std::ops::Deref for Registers<T, CAP> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: the first `len` values have been written, and `len` is within `values`.
        unsafe { slice::from_raw_parts(self.values.as_ptr().cast(), self.len) }
    }
}

impl<T, const CAP: usize> std::ops::DerefMut for Registers<T, CAP> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`.
        unsafe { slice::from_raw_parts_mut(self.values.as_mut_ptr().cast(), self.len) }
    }
}
