//! Rounding to 16-bit floats up or down at random, so that small changes aren't lost.
//!
//! A value that changes by less than half a unit of its 16-bit float would never move if it were
//! rounded to the nearest. Rounded up with the probability of its distance from the lower neighbour, it
//! moves on average by what was added (Gupta et al., "Deep Learning with Limited Numerical Precision",
//! 2015). The random bits follow from a seed, so that a replay rounds the same way.

use super::by_eight::{LANES, Vector8};

/// Generators for each lane that take turns, because a step of one waits for all of its last step:
/// Marsaglia's `xorshift` with 32 bits ("Xorshift RNGs", 2003). The next one stands first.
pub(crate) struct Random<V: Vector8>([V::Words; TURNS]);

/// Generators of a lane.
const TURNS: usize = 3;

impl<V: Vector8> Random<V> {
    /// The generators of one part of a series at one of its steps. Equal arguments give equal bits with
    /// every instruction set.
    #[inline(always)]
    pub fn seeded(step: u64, part: u32) -> Self {
        let step = hash(step as u32 ^ hash((step >> 32) as u32 ^ hash(part)));
        let mut words = [[0; LANES]; TURNS];
        for (i, word) in words.as_flattened_mut().iter_mut().enumerate() {
            // A generator whose word is zero stays at zero.
            *word = hash(step ^ (i as u32 + 1).wrapping_mul(0x9E37_79B9)) | 1;
        }
        let [a, b, c] = words;
        Self([V::words(a), V::words(b), V::words(c)])
    }

    /// `v` as 16-bit floats. The mean over the random bits is `v` where the result is a normal number:
    /// smaller ones (below 6.1e-5) lean towards zero. What lies beyond ±65,504 becomes ±65,504; what is
    /// infinite or not a number becomes not finite.
    #[inline(always)]
    pub fn narrow(&mut self, v: V, to: &mut [u16; LANES]) {
        let [next, a, b] = self.0;
        let next = V::xorshift(next);
        self.0 = [a, b, next];
        v.narrow_stochastic(to, next);
    }
}

/// Wellons' `lowbias32`: a bijection whose bits each depend on all bits of `x`.
#[inline(always)]
const fn hash(mut x: u32) -> u32 {
    x = (x ^ (x >> 16)).wrapping_mul(0x7FEB_352D);
    x = (x ^ (x >> 15)).wrapping_mul(0x846C_A68B);
    x ^ (x >> 16)
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::super::{Isa, KernelByEight};
    use super::*;

    /// `values` as 16-bit floats, at each of so many steps.
    struct Narrow<'a> {
        values: &'a [f32; LANES],
        steps: u64,
    }

    impl KernelByEight for Narrow<'_> {
        type Output = Vec<[u16; LANES]>;

        #[inline(always)]
        fn run<V: Vector8>(self) -> Self::Output {
            let mut out = Vec::new();
            for step in 0..self.steps {
                let mut random = Random::<V>::seeded(step, 3);
                for _ in 0..2 {
                    let mut to = [0; LANES];
                    random.narrow(V::load(self.values), &mut to);
                    out.push(to);
                }
            }
            out
        }
    }

    const VALUES: [[f32; LANES]; 3] = [
        [1.000_1, -1.000_1, 0.333, -1234.567, 65_500.0, 6.2e-5, 0.999_9, -3.000_001],
        [0.0, -0.0, 1.0, -2048.0, 65_504.0, -0.5, 6.103_515_6e-5, 1024.0],
        [1e-5, -3e-8, 5.9e-8, 1e-30, 1e6, -70_000.0, f32::INFINITY, f32::NAN],
    ];

    #[test]
    fn every_instruction_set_rounds_to_the_same_bits() {
        for values in &VALUES {
            let of = |isa: Isa| isa.run_by_eight(Narrow { values, steps: 500 });
            let expected = of(Isa::PORTABLE);
            for isa in Isa::available() {
                assert_eq!(of(isa), expected, "{isa:?}");
            }
        }
    }

    #[test]
    fn the_mean_of_many_roundings_is_the_value() {
        let values = &VALUES[0];
        let rounded = Isa::PORTABLE.run_by_eight(Narrow { values, steps: 20_000 });
        for (lane, &value) in values.iter().enumerate() {
            let seen = || rounded.iter().map(|to| f64::from(f16::from_bits(to[lane]).to_f32()));
            let mean = seen().sum::<f64>() / rounded.len() as f64;
            let (low, high) = seen().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
            let unit = high - low;
            assert!(
                low < f64::from(value)
                    && f64::from(value) < high
                    && unit < 1.01e-3 * high.abs().max(low.abs())
            );
            // Five standard errors of a mean of 40,000 draws, at most half a unit each.
            assert!(
                (mean - f64::from(value)).abs() < unit * 0.5 * 5.0 / 200.0,
                "{value}: {mean} in {low}..{high}"
            );
        }
    }

    #[test]
    fn what_a_16_bit_float_holds_stays_and_what_it_does_not_hold_is_bounded() {
        for to in Isa::PORTABLE.run_by_eight(Narrow { values: &VALUES[1], steps: 200 }) {
            assert_eq!(to.map(|h| f16::from_bits(h).to_f32()), VALUES[1]);
        }
        for to in Isa::PORTABLE.run_by_eight(Narrow { values: &VALUES[2], steps: 200 }) {
            let to = to.map(|h| f16::from_bits(h).to_f32());
            for (to, value) in to.iter().zip(&VALUES[2][..4]) {
                assert!((to - value).abs() < 6e-8, "{value}: {to}");
            }
            assert_eq!(to[4..6], [65_504.0, -65_504.0]);
            assert!(!to[6].is_finite() && to[7].is_nan());
        }
    }

    #[test]
    fn steps_parts_and_lanes_differ() {
        let mut seen = std::collections::HashSet::new();
        for (step, part) in (0..100).flat_map(|step| [(step, 0), (step, 1), (step << 32, 0)]).skip(3) {
            let random = Random::<super::super::portable::Portable>::seeded(step, part);
            assert!(random.0.as_flattened().iter().all(|word| seen.insert(*word)));
        }
    }
}
