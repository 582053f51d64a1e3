//! Rounding to 16-bit floats up or down at random, so that small changes aren't lost.
//!
//! A value that changes by less than half a unit of its 16-bit float would never move if it were
//! rounded to the nearest. Rounded up with the probability of its distance from the lower neighbour, it
//! moves on average by what was added (Gupta et al., "Deep Learning with Limited Numerical Precision",
//! 2015). The random bits follow from a seed, so that a replay rounds the same way.

use super::halves::{Halves, Part};
use super::lanes::LANES;
use super::vector::check;

/// For each lane a Weyl sequence, `start + i · increment` modulo 2³², whose start and increment are both
/// random: so any two words of a lane are independent of each other (Chor and Goldreich, "On the power of
/// two-point based sampling", 1989), and the rounding errors of a sum have the variance of independent ones.
/// A step is one addition.
///
/// A wide vector takes as many words of a lane as it has times eight lanes. So rows that are taken in wide
/// vectors are rounded like those that are taken by eight.
pub(crate) struct Random<W: Halves> {
    next: W::Words,
    /// What one step by eight and one by a wide vector add.
    by_eight: W::Words,
    by_all: W::Words,
}

/// The lanes of the widest vector.
const WIDEST: usize = 16;

impl<W: Halves> Random<W> {
    /// The sequences of one part of a series at one of its steps. Equal arguments give equal bits with
    /// every instruction set.
    #[inline(always)]
    pub fn seeded(step: u64, part: u32) -> Self {
        const { assert!(W::N <= WIDEST && W::N.is_multiple_of(LANES)) };
        let [start, increments] = words(step, part);
        let mut lanes = [[0; WIDEST]; 3];
        for lane in 0..W::N {
            let increment = increments[lane % LANES];
            lanes[0][lane] = start[lane % LANES].wrapping_add(increment.wrapping_mul((lane / LANES) as u32));
            lanes[1][lane] = increment;
            lanes[2][lane] = increment.wrapping_mul((W::N / LANES) as u32);
        }
        let [next, by_eight, by_all] = &lanes;
        Self { next: W::words(next), by_eight: W::words(by_eight), by_all: W::words(by_all) }
    }

    /// `v` as 16-bit floats, in the first of a row. The mean over the random bits is `v` where the result is a
    /// normal number: smaller ones (below 6.1e-5) lean towards zero. What lies beyond ±65,504 becomes ±65,504;
    /// what is infinite or not a number becomes not finite.
    ///
    /// # Panics
    /// When the row is shorter.
    #[inline(always)]
    pub fn narrow<V: Part<W>>(&mut self, v: V, to: &mut [u16]) {
        check(to.len(), 0, V::N);
        // SAFETY: the row is as long.
        unsafe { self.write(v, to.as_mut_ptr()) }
    }

    /// As [`Random::narrow`].
    ///
    /// # Safety
    /// As many 16-bit floats at `to` as the vector has lanes can be written.
    #[inline(always)]
    pub unsafe fn write<V: Part<W>>(&mut self, v: V, to: *mut u16) {
        const { assert!(V::N == W::N || V::N == LANES) };
        // SAFETY: the caller's promise.
        unsafe { v.write_stochastic(to, V::first_words(self.next)) };
        let step = if V::N == W::N { self.by_all } else { self.by_eight };
        self.next = W::add_words(self.next, step);
    }
}

/// The start and the increment of each lane.
#[inline(always)]
fn words(step: u64, part: u32) -> [[u32; LANES]; 2] {
    let step = hash(step as u32 ^ hash((step >> 32) as u32 ^ hash(part)));
    let mut words = [[0; LANES]; 2];
    for (i, word) in words.as_flattened_mut().iter_mut().enumerate() {
        *word = hash(step ^ (i as u32 + 1).wrapping_mul(0x9E37_79B9));
    }
    // Odd increments have the longest period.
    words[1].iter_mut().for_each(|increment| *increment |= 1);
    words
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

    use super::super::{Eight, Isa, KernelByEight, KernelOfHalves, Vector8};
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

    /// A row that is taken in wide vectors and by eight, in turns.
    struct Row(u64);

    impl KernelOfHalves for Row {
        type Output = Vec<u16>;

        #[inline(always)]
        fn run<V: Eight<W>, W: Halves>(self) -> Vec<u16> {
            let mut random = Random::<W>::seeded(self.0, 2);
            let mut row = vec![0; 9 * LANES];
            for part in row.chunks_exact_mut(3 * LANES) {
                let (pair, last) = part.split_at_mut(2 * LANES);
                pair.chunks_exact_mut(W::N).for_each(|to| random.narrow(W::splat(1.000_3), to));
                random.narrow(V::splat(1.000_3), last);
            }
            row
        }
    }

    #[test]
    fn rows_in_wide_vectors_are_rounded_like_rows_by_eight() {
        for step in 0..50 {
            let expected = Isa::PORTABLE.run_halves(Row(step));
            assert!(expected.iter().any(|h| *h != expected[0]));
            for isa in Isa::available() {
                assert_eq!(isa.run_halves(Row(step)), expected, "{isa:?}");
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
            assert!(words(step, part).as_flattened().iter().all(|word| seen.insert(*word)));
        }
    }

    /// Rounds the same value so many times in a row, at each of so many steps, and has all errors of each lane
    /// in units of what is dropped.
    struct Errors {
        steps: u64,
        row: usize,
    }

    impl KernelByEight for Errors {
        type Output = Vec<Vec<[f64; LANES]>>;

        #[inline(always)]
        fn run<V: Vector8>(self) -> Self::Output {
            let value = 1.0 + 0.375 / 1024.0;
            let mut out = Vec::new();
            for step in 0..self.steps {
                let mut random = Random::<V>::seeded(step, 0);
                let mut row = Vec::new();
                for _ in 0..self.row {
                    let mut to = [0; LANES];
                    random.narrow(V::splat(value), &mut to);
                    row.push(to.map(|h| (f64::from(f16::from_bits(h).to_f32()) - f64::from(value)) * 1024.0));
                }
                out.push(row);
            }
            out
        }
    }

    #[test]
    fn errors_along_a_row_add_up_like_independent_ones() {
        let (steps, row) = (4_000, 64);
        let errors = Isa::PORTABLE.run_by_eight(Errors { steps, row });
        // Of a value that lies at .375 between two neighbours.
        let one = 0.375 * 0.625;
        // All of a row and of all lanes; its ends against each other; neighbours; a stride.
        type Weight = fn(usize, usize) -> f64;
        let sums: [(&str, Weight); 4] = [
            ("all", |_, _| 1.0),
            ("ends", |i, _| if i < 32 { 1.0 } else { -1.0 }),
            ("neighbours", |i, lane| if (i + lane) % 2 == 0 { 1.0 } else { -1.0 }),
            ("every eighth", |i, _| if i % 8 == 0 { 1.0 } else { 0.0 }),
        ];
        for (name, weight) in sums {
            let (mut mean, mut square, mut of_one) = (0.0, 0.0, 0.0);
            for errors in &errors {
                let mut sum = 0.0;
                for (i, errors) in errors.iter().enumerate() {
                    for (lane, error) in errors.iter().enumerate() {
                        sum += weight(i, lane) * error;
                    }
                }
                mean += sum;
                square += sum * sum;
            }
            for i in 0..row {
                for lane in 0..LANES {
                    of_one += weight(i, lane).powi(2) * one;
                }
            }
            let (mean, square) = (mean / steps as f64, square / steps as f64);
            assert!(mean.abs() < 5.0 * (of_one / steps as f64).sqrt(), "{name}: mean {mean}");
            assert!((square / of_one - 1.0).abs() < 0.25, "{name}: variance {square} of {of_one}");
        }
    }
}
