//! A linear map or convolution in training, and the layout of its gradient.

use std::ops::Range;

use crate::nn::Blueprint;
use crate::nn::kernel::{Operand, outer_sum};
use crate::simd::{Aligned, Isa};

/// A matrix `[out, channels, taps]` with a bias, within the flat vector of all parameters.
pub(in crate::nn) struct Map {
    weight: Range<usize>,
    bias: Range<usize>,
    channels: usize,
    taps: usize,
}

impl Map {
    /// The map `name` of a network, with `channels` inputs for each of `taps` taps.
    pub fn new(b: &Blueprint, name: &str, channels: usize, taps: usize) -> Self {
        let range = |what: &str| b.range(&format!("{name}.{what}"));
        Self { weight: range("weight"), bias: range("bias"), channels, taps }
    }

    /// `[out, channels, taps]`
    pub fn weight<'a>(&self, values: &'a [f32]) -> &'a [f32] {
        &values[self.weight.clone()]
    }

    /// `[out]`
    pub fn bias<'a>(&self, values: &'a [f32]) -> &'a [f32] {
        &values[self.bias.clone()]
    }

    /// Sets the gradient of the parameters of `units` of the map's outputs, from `to` on. `d` is
    /// the gradient of the outputs, which begin at `first` in each row, and `a` is the input of
    /// each tap.
    pub fn gradient(
        &self,
        isa: Isa,
        rows: usize,
        a: &[Operand],
        d: Operand,
        [first, units, to]: [usize; 3],
        gradient: &mut [f32],
    ) {
        let weight = &mut gradient[self.weight.clone()];
        let d = Operand { values: &d.values[first..], stride: d.stride, width: isa.padded(units) };
        for (tap, a) in a.iter().enumerate() {
            let mut sum = Aligned::zeros(a.width * d.width);
            outer_sum(isa, rows, *a, d, &mut sum);
            for (channel, sums) in sum.chunks_exact(d.width).enumerate() {
                for (unit, sum) in sums[..units].iter().enumerate() {
                    weight[((to + unit) * self.channels + channel) * self.taps + tap] = *sum;
                }
            }
        }
        let bias = &mut gradient[self.bias.clone()][to..to + units];
        bias.fill(0.0);
        for row in 0..rows {
            bias.iter_mut().zip(&d.values[row * d.stride..]).for_each(|(b, d)| *b += d);
        }
    }
}
