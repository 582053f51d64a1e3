use bytemuck::{Pod, Zeroable};

/// The slowest rate of the spread.
const SPREAD_RATE: f32 = 0.005;
/// How far from its centre a value may lie, in spreads.
const SPREADS: f32 = 50.0;
/// And in units of the largest distance that two readings in a row have shown lately.
const SUSTAINED: f32 = 4.0;
/// How fast such a distance is forgotten.
const FORGETTING: f32 = 0.999;
/// Readings that are taken as they are, before anything is known.
const YOUNG: u32 = 8;

/// The sane range of a series: around a slow mean, a robust spread and what two readings in a row have
/// agreed on. A single wild reading moves it by little; a new level is believed at its second reading.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Range {
    /// A slow mean.
    pub centre: f32,
    /// Mean absolute distance from the centre.
    pub spread: f32,
    sustained: f32,
    previous: f32,
}

impl Range {
    fn width(&self) -> f32 {
        (SPREADS * self.spread).max(SUSTAINED * self.sustained)
    }

    /// `value`, or the end of the range that lies next to it.
    pub fn clamp(&self, value: f32) -> f32 {
        let width = self.width();
        value.max(self.centre - width).min(self.centre + width)
    }

    /// What of a reading is believed, `readings` having been seen before it.
    pub fn admit(&self, value: f32, readings: u32) -> f32 {
        if readings < YOUNG { value } else { self.clamp(value) }
    }

    /// Learns from a reading. `rate` is that of the slow mean.
    pub fn update(&mut self, value: f32, readings: u32, rate: f32) {
        let admitted = self.admit(value, readings);
        if readings == 0 {
            self.centre = value;
        }
        let distance = (value - self.centre).abs();
        self.sustained = (FORGETTING * self.sustained).max(distance.min(self.previous));
        self.previous = distance;
        let young = 1.0 / (readings as f32 + 1.0);
        self.spread += SPREAD_RATE.max(young) * ((admitted - self.centre).abs() - self.spread);
        self.centre += rate.max(young) * (admitted - self.centre);
    }

    /// The deviation that a normal of this spread has.
    pub fn deviation(&self) -> f32 {
        1.253_3 * self.spread
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled() -> Range {
        let mut range = Range::default();
        for i in 0..1_000u32 {
            range.update((i as f32 * 0.7).sin(), i, 0.01);
        }
        range
    }

    #[test]
    fn one_spike_is_not_believed_and_a_new_level_is() {
        let (before, mut range) = (settled(), settled());
        range.update(1e15, 1_000, 0.01);
        assert!(range.spread < 1.5 * before.spread && range.centre < 1.0, "{range:?}");
        range.update(0.5, 1_001, 0.01);
        assert!(range.clamp(1e15) < 100.0, "{range:?}");
        range.update(5_000.0, 1_002, 0.01);
        range.update(5_000.0, 1_003, 0.01);
        assert_eq!(range.clamp(5_000.0), 5_000.0);
    }
}
