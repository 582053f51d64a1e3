use bytemuck::{Pod, Zeroable};

/// The slowest rate at which the spread is learnt.
const SPREAD_RATE: f32 = 0.005;
/// A forecast lies within this many spreads of the centre, or within [`REACHES`], whichever is wider.
const SPREADS: f32 = 50.0;
/// A forecast lies within this many times the largest recent distance from the centre.
const REACHES: f32 = 4.0;
/// The factor by which the largest distance fades at each reading: half of it is left after 700 readings.
const FORGETTING: f32 = 0.999;
/// A value beyond both this many spreads and [`NEW_REACHES`] largest distances is new to the series.
const NEW_SPREADS: f32 = 4.0;
const NEW_REACHES: f32 = 1.25;

/// Where a series has been lately: a slow mean, a robust spread around it, and the largest recent
/// distance from it.
///
/// ```text
/// c ← c + ρ·(y − c)             centre, ρ the caller's rate
/// s ← s + 0.005·(|y − c| − s)   spread, a mean absolute distance
/// r ← max(0.999·r, |y − c|)     reach
/// ```
///
/// The first readings are averaged with equal weights. The range learns from the accepted value of a
/// reading, so it contains every level that the series has moved to.
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
    /// Limits a forecast to the sane range around the centre.
    pub fn clamp(&self, value: f32) -> f32 {
        let width = (SPREADS * self.spread).max(REACHES * self.reach);
        value.max(self.centre - width).min(self.centre + width)
    }

    /// Limits a value to the range in which the series has been lately.
    pub fn nearest_seen(&self, value: f32) -> f32 {
        let width = (NEW_SPREADS * self.spread).max(NEW_REACHES * self.reach);
        value.max(self.centre - width).min(self.centre + width)
    }

    /// Learns from the accepted value of a reading. `readings`: the number of readings before it. `rate`:
    /// the slowest rate of the centre.
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

    /// The standard deviation of a normal distribution with this spread.
    pub fn deviation(&self) -> f32 {
        1.253_3 * self.spread
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_lie_within_the_range_and_are_not_new() {
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
