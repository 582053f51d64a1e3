//! Rows of an arena, which lie anywhere, to and from a tile, where they lie side by side.

use super::lanes::Lanes;
use super::{Isa, Kernel};

/// Where parts of rows lie: `len` floats from `at` on, of the rows of `width` floats in `slots`.
#[derive(Clone, Copy)]
pub(in crate::nn) struct Places<'a> {
    pub isa: Isa,
    pub slots: &'a [u32],
    pub width: usize,
    pub at: usize,
    pub len: usize,
    /// From one row of the tile to the next.
    pub stride: usize,
}

impl Places<'_> {
    fn check(&self, rows: &[f32], tile: &[f32]) {
        assert!(self.at + self.len <= self.width && self.len <= self.stride);
        assert!(self.slots.len() * self.stride <= tile.len());
        let room = rows.len() / self.width;
        assert!(self.slots.iter().all(|slot| (*slot as usize) < room));
    }
}

/// `tile[r] = rows[slots[r]]`
pub(in crate::nn) struct Gather<'a> {
    pub places: Places<'a>,
    pub rows: &'a [f32],
    pub tile: &'a mut [f32],
}

/// `rows[slots[r]] = tile[r]`
pub(in crate::nn) struct Scatter<'a> {
    pub places: Places<'a>,
    pub rows: &'a mut [f32],
    pub tile: &'a [f32],
}

impl Gather<'_> {
    pub fn run(self) {
        self.places.check(self.rows, self.tile);
        self.places.isa.run(self);
    }
}

impl Scatter<'_> {
    pub fn run(self) {
        self.places.check(self.rows, self.tile);
        self.places.isa.run(self);
    }
}

/// A library's copy is called for; of a few registers the call would be the most of it.
///
/// # Safety
/// `len` floats can be read and written.
#[inline(always)]
unsafe fn copy<V: Lanes>(from: *const f32, to: *mut f32, len: usize) {
    unsafe {
        let whole = len / V::N * V::N;
        for i in (0..whole).step_by(V::N) {
            V::load(from.add(i)).store(to.add(i));
        }
        for i in whole..len {
            *to.add(i) = *from.add(i);
        }
    }
}

impl Kernel for Gather<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Places { slots, width, at, len, stride, .. } = self.places;
        for (r, slot) in slots.iter().enumerate() {
            // SAFETY: `Gather::run` has checked every length.
            unsafe {
                let from = self.rows.as_ptr().add(*slot as usize * width + at);
                copy::<V>(from, self.tile.as_mut_ptr().add(r * stride), len);
            }
        }
    }
}

impl Kernel for Scatter<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Places { slots, width, at, len, stride, .. } = self.places;
        for (r, slot) in slots.iter().enumerate() {
            // SAFETY: `Scatter::run` has checked every length.
            unsafe {
                let to = self.rows.as_mut_ptr().add(*slot as usize * width + at);
                copy::<V>(self.tile.as_ptr().add(r * stride), to, len);
            }
        }
    }
}

/// Of larger rows, a step needs but little.
const AHEAD: usize = 1_024;

/// Floats in a cache line.
const LINE: usize = 16;

/// Asks for rows before they are needed, so that by then they have come to the nearer caches.
pub(in crate::nn) fn fetch(rows: &[f32], width: usize, slots: &[u32]) {
    if width > AHEAD {
        return;
    }
    for slot in slots {
        let row = rows.get(*slot as usize * width..).unwrap_or_default();
        for line in row[..row.len().min(width)].chunks(LINE) {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a hint that reads nothing; every x86-64 has it.
            unsafe {
                use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
                _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast());
            }
            #[cfg(not(target_arch = "x86_64"))]
            let _ = line;
        }
    }
}
