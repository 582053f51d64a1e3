use bytemuck::{Pod, Zeroable};

/// The slowest rate of the spread.
const SPREAD_RATE: f32 = 0.005;
/// How far from the centre a forecast may lie, in spreads.
const SPREADS: f32 = 50.0;
/// And in units of the largest distance that readings have shown lately.
const REACHES: f32 = 4.0;
/// How fast such a distance is forgotten: half of it in 700 readings.
const FORGETTING: f32 = 0.999;
/// A level is new to a series beyond so many spreads, and so many of its largest distances.
const NEW_SPREADS: f32 = 4.0;
const NEW_REACHES: f32 = 1.25;

/// Where a series has been lately: a slow mean, a robust spread around it, and the largest distance from
/// it. It learns from what was believed of a reading, so whatever a series has moved to lies within it.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct RecentRange {
    /// A slow mean.
    pub centre: f32,
    /// Mean absolute distance from the centre.
    pub spread: f32,
    /// The largest distance from the centre, slowly forgotten.
    reach: f32,
}

impl RecentRange {
    /// A forecast, or the end of the sane range that lies next to it.
    pub fn clamp(&self, value: f32) -> f32 {
        let width = (SPREADS * self.spread).max(REACHES * self.reach);
        value.max(self.centre - width).min(self.centre + width)
    }

    /// A value, or the end of where the series has been lately that lies next to it.
    pub fn nearest_seen(&self, value: f32) -> f32 {
        let width = (NEW_SPREADS * self.spread).max(NEW_REACHES * self.reach);
        value.max(self.centre - width).min(self.centre + width)
    }

    /// Learns from what was believed of a reading, `readings` having been seen before it. `rate` is that of
    /// the slow mean.
    pub fn update(&mut self, value: f32, readings: u32, rate: f32) {
        if readings == 0 {
            self.centre = value;
        }
        let distance = (value - self.centre).abs();
        self.reach = (FORGETTING * self.reach).max(distance);
        let young = 1.0 / (readings as f32 + 1.0);
        self.spread += SPREAD_RATE.max(young) * (distance - self.spread);
        self.centre += rate.max(young) * (value - self.centre);
    }

    /// The deviation that a normal of this spread has.
    pub fn deviation(&self) -> f32 {
        1.253_3 * self.spread
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_series_has_shown_lies_within_its_range_and_is_not_new() {
        let mut range = RecentRange::default();
        for i in 0..1_000u32 {
            range.update((i as f32 * 0.7).sin(), i, 0.01);
        }
        assert!(
            range.nearest_seen(1.0) == 1.0
                && range.nearest_seen(4.0) < 4.0
                && range.nearest_seen(-4.0) > -4.0,
            "{range:?}"
        );
        assert!(range.clamp(1e15) < 100.0, "{range:?}");
        range.update(5_000.0, 1_000, 0.01);
        assert_eq!(range.clamp(5_000.0), 5_000.0);
        assert_eq!(range.nearest_seen(5_000.0), 5_000.0);
    }

    #[test]
    fn a_series_that_never_moved_finds_everything_else_new() {
        let mut range = RecentRange::default();
        (0..50).for_each(|i| range.update(3.0, i, 0.01));
        assert!(
            range.nearest_seen(3.0) == 3.0 && range.nearest_seen(3.000_001) == 3.0 && range.clamp(9.0) == 3.0
        );
        range.update(9.0, 50, 0.01);
        assert!(range.clamp(9.0) == 9.0 && range.nearest_seen(9.0) == 9.0);
    }
}
