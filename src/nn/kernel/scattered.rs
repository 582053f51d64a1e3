//! Rows of an arena, which lie anywhere, to and from a tile, where they lie side by side.

use crate::simd::{Isa, Kernel, Vector, prefetch_second};

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

/// `to = from`: a library's copy is called for, and of a few vectors the call would be the most of it.
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
        let Places { slots, width, at, len, stride, .. } = self.places;
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
        let Places { slots, width, at, len, stride, .. } = self.places;
        for (r, slot) in slots.iter().enumerate() {
            let to = &mut self.rows[*slot as usize * width + at..][..len];
            copy::<V>(&self.tile[r * stride..][..len], to);
        }
    }
}

/// Of larger rows, a step needs but little.
const AHEAD: usize = 1_024;

/// Asks for rows before they are needed, so that by then they have come to the nearer caches.
pub(in crate::nn) fn fetch(rows: &[f32], width: usize, slots: &[u32]) {
    if width > AHEAD {
        return;
    }
    for slot in slots {
        let row = rows.get(*slot as usize * width..).unwrap_or_default();
        prefetch_second(&row[..row.len().min(width)]);
    }
}
