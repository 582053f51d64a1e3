//! The rows of an arena that a family advances, and what it may keep in them.

/// Rows that go through all layers together, so that what they need stays in the nearest caches.
pub(in crate::nn) const TILE: usize = 96;

/// States in the arena, rows of `width` floats by slot.
pub(in crate::nn) struct Rows<'a> {
    pub values: &'a mut [f32],
    pub width: usize,
}

impl Rows<'_> {
    pub fn row(&mut self, slot: u32) -> &mut [f32] {
        &mut self.values[slot as usize * self.width..][..self.width]
    }
}

/// What may be kept of a feature: a state is always finite.
pub(in crate::nn) fn kept(v: f32) -> f32 {
    if v.is_finite() { v.clamp(-KEPT_MAX, KEPT_MAX) } else { 0.0 }
}

/// The largest feature that is kept.
const KEPT_MAX: f32 = 1e6;
