//! The rows of an arena, as families advance them.

/// The number of rows that go through all layers together, so that their data stays in the nearest
/// caches.
pub(in crate::nn) const TILE: usize = 96;

/// States in the arena, rows of `width` floats by slot.
pub(in crate::nn) struct Rows<'a> {
    pub values: &'a mut [f32],
    pub width: usize,
}

impl Rows<'_> {
    /// The row of one series.
    pub fn row(&mut self, slot: u32) -> &mut [f32] {
        &mut self.values[slot as usize * self.width..][..self.width]
    }
}

/// A feature as it may become part of a state: always finite, and bounded.
pub(in crate::nn) fn kept(v: f32) -> f32 {
    if v.is_finite() { v.clamp(-KEPT_MAX, KEPT_MAX) } else { 0.0 }
}

/// The largest feature in a state.
const KEPT_MAX: f32 = 1e6;
