//! How the state of a series is held in 16-bit floats.

use bytemuck::{Pod, Zeroable};
use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt as _};

/// The largest 16-bit float.
const LARGEST: f32 = 65_504.0;
/// The frame is kept while the series' mean is within this many units of its centre: there a 16-bit float is
/// as fine as a hundredth of a unit.
const OFF_CENTRE: f32 = 16.0;
/// The unit is kept while the deviation of the series stays within this factor of it.
const UNIT_FIT: f32 = 8.0;

/// The frame in which the seasonal states and the origins of a series are held as 16-bit floats: a value `v`
/// is held as `(v − centre) / unit`, a difference `d` as `d / unit`.
///
/// The unit is the deviation of the series when the frame was made, 0 while there is none. While the unit is
/// 0 every value of the series is its centre.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Frame {
    pub centre: f32,
    pub unit: f32,
}

impl Frame {
    /// Whether it still fits a series with this slow mean and deviation.
    pub fn fits(self, mean: f32, deviation: f32) -> bool {
        let ratio = deviation / self.unit;
        (1.0 / UNIT_FIT..=UNIT_FIT).contains(&ratio) && (mean - self.centre).abs() <= OFF_CENTRE * self.unit
    }

    fn per_unit(self) -> f32 {
        if self.unit > 0.0 { self.unit.recip() } else { 0.0 }
    }

    /// A value as it is held, in units.
    pub fn value_in_units(self, value: f32) -> f32 {
        (value - self.centre) * self.per_unit()
    }

    /// A difference as it is held, in units.
    pub fn in_units(self, difference: f32) -> f32 {
        difference * self.per_unit()
    }

    /// The value of a held one.
    pub fn value(self, held: u16) -> f32 {
        wide(held) * self.unit + self.centre
    }

    /// The difference that is held.
    pub fn difference(self, held: u16) -> f32 {
        wide(held) * self.unit
    }

    /// Changes held values from this frame to another one. What is not a number stays so.
    pub fn move_values(self, to: Self, held: &mut [u16]) {
        held.iter_mut().for_each(|h| *h = narrow(to.value_in_units(self.value(*h))));
    }

    /// Changes held differences from this frame to another one.
    pub fn move_differences(self, to: Self, held: &mut [u16]) {
        held.iter_mut().for_each(|h| *h = narrow(to.in_units(self.difference(*h))));
    }
}

/// A 16-bit float as a 32-bit one.
pub(super) fn wide(held: u16) -> f32 {
    f16::from_bits(held).to_f32()
}

/// To the nearest 16-bit float; at most the largest one.
pub(super) fn narrow(value: f32) -> u16 {
    // `clamp` keeps what is not a number.
    f16::from_f32(value.clamp(-LARGEST, LARGEST)).to_bits()
}

/// Many 16-bit floats as 32-bit ones. Both have the same length.
pub(super) fn widen(held: &[u16], to: &mut [f32]) {
    held.reinterpret_cast::<f16>().convert_to_f32_slice(to);
}

/// Rounds single values to 16-bit floats at random, so that small changes add up: a value between two
/// 16-bit floats becomes the upper one as often as it is near to it (stochastic rounding: Croci and others
/// 2022). The numbers follow from the step alone, so a replay rounds alike.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rounding(u32);

/// Bits of a 32-bit float that a normal 16-bit one has no room for.
const DROPPED: u32 = 13;

impl Rounding {
    /// The numbers of a step.
    pub fn of(step: u64) -> Self {
        let mut x = step as u32 ^ 0x9e37_79b9;
        for (shift, factor) in [(16, 0x7feb_352d), (15, 0x846c_a68b)] {
            x = (x ^ (x >> shift)).wrapping_mul(factor);
        }
        Self(x ^ (x >> 16))
    }

    /// Rounds a value; at most to the largest 16-bit float.
    pub fn narrow(&mut self, value: f32) -> u16 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let bits = value.clamp(-LARGEST, LARGEST).to_bits();
        if !value.is_finite() {
            return narrow(value);
        }
        let raised = bits.wrapping_add(self.0 >> (32 - DROPPED)) & !((1 << DROPPED) - 1);
        narrow(f32::from_bits(raised))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_at_random_is_right_on_average() {
        for value in [0.123_456, -3.333_33, 1_000.4, 65_503.0, 3e-4] {
            let n = 20_000u64;
            let sum: f64 = (0..n).map(|step| f64::from(wide(Rounding::of(step).narrow(value)))).sum();
            let mean = sum / n as f64;
            assert!((mean / f64::from(value) - 1.0).abs() < 2e-5, "{value}: {mean}");
        }
        assert_eq!(wide(Rounding::of(1).narrow(1e30)), LARGEST);
        assert!(wide(Rounding::of(1).narrow(f32::NAN)).is_nan());
    }

    #[test]
    fn a_value_keeps_its_meaning_in_another_frame() {
        let (old, new) = (Frame { centre: 100.0, unit: 2.0 }, Frame { centre: 90.0, unit: 4.0 });
        let mut held = [103.5, 90.25].map(|v| narrow(old.value_in_units(v)));
        old.move_values(new, &mut held);
        assert_eq!(held.map(|h| new.value(h)), [103.5, 90.25]);
        let mut held = [narrow(old.in_units(-3.0)), f16::NAN.to_bits()];
        old.move_differences(new, &mut held);
        assert_eq!(new.difference(held[0]), -3.0);
        assert!(new.difference(held[1]).is_nan());
    }
}
