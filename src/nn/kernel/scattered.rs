//! Copies of rows between an arena, where they lie anywhere, and a tile, where they lie side by
//! side.

use crate::simd::{Isa, Kernel, Vector, prefetch_second};

/// Parts of an arena's rows: `len` floats from `at` on, of the rows of `width` floats in `slots`.
#[derive(Clone, Copy)]
pub(in crate::nn) struct RowParts<'a> {
    pub isa: Isa,
    pub slots: &'a [u32],
    pub width: usize,
    pub at: usize,
    pub len: usize,
    /// The distance between the rows of the tile.
    pub stride: usize,
}

impl RowParts<'_> {
    /// Panics unless the parts fit into rows and tile. That the arena has the slots shows when a kernel
    /// reads them.
    fn check(&self, tile: &[f32]) {
        assert!(self.at + self.len <= self.width && self.len <= self.stride);
        assert!(self.slots.len() * self.stride <= tile.len());
    }
}

/// `tile[r] = rows[slots[r]]`
pub(in crate::nn) struct Gather<'a> {
    pub places: RowParts<'a>,
    pub rows: &'a [f32],
    pub tile: &'a mut [f32],
}

/// `rows[slots[r]] = tile[r]`
pub(in crate::nn) struct Scatter<'a> {
    pub places: RowParts<'a>,
    pub rows: &'a mut [f32],
    pub tile: &'a [f32],
}

impl Gather<'_> {
    pub fn run(self) {
        self.places.check(self.tile);
        self.places.isa.run(self);
    }
}

impl Scatter<'_> {
    pub fn run(self) {
        self.places.check(self.tile);
        self.places.isa.run(self);
    }
}

/// `to = from`. A library's copy would be a call, which costs more than to copy a few vectors.
#[inline(always)]
fn copy<V: Vector>(from: &[f32], to: &mut [f32]) {
    let (mut to, from) = (to.chunks_exact_mut(V::N), from.chunks_exact(V::N));
    let rest = from.remainder();
    for (to, from) in to.by_ref().zip(from) {
        V::load(from).store(to);
    }
    for (to, from) in to.into_remainder().iter_mut().zip(rest) {
        *to = *from;
    }
}

impl Kernel for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let RowParts { slots, width, at, len, stride, .. } = self.places;
        for (r, slot) in slots.iter().enumerate() {
            let from = &self.rows[*slot as usize * width + at..][..len];
            copy::<V>(from, &mut self.tile[r * stride..][..len]);
        }
    }
}

impl Kernel for Scatter<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let RowParts { slots, width, at, len, stride, .. } = self.places;
        for (r, slot) in slots.iter().enumerate() {
            let to = &mut self.rows[*slot as usize * width + at..][..len];
            copy::<V>(&self.tile[r * stride..][..len], to);
        }
    }
}

/// Floats of the largest rows to prefetch. A step needs only a small part of larger ones.
const AHEAD: usize = 1_024;

/// Prefetches the rows of some slots into the second cache.
pub(in crate::nn) fn prefetch_rows(rows: &[f32], width: usize, slots: &[u32]) {
    if width > AHEAD {
        return;
    }
    for slot in slots {
        let row = rows.get(*slot as usize * width..).unwrap_or_default();
        prefetch_second(&row[..row.len().min(width)]);
    }
}
