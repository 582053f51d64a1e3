//! The direct head over a whole sequence: `y = W [top | x] + b`, forward and back.

use super::reverse::outer_sum;
use crate::nn::kernel::{Aligned, Isa, Operand, Packed, Product};
use crate::nn::{Activation, Blueprint};

/// The buffers of the head.
pub(super) struct HeadTape {
    isa: Isa,
    /// Values of the top, and features or none.
    hidden: usize,
    inputs: usize,
    outputs: usize,
    /// Outputs in whole registers: the distance between rows of `y`.
    pub stride: usize,
    /// The outputs, then their gradient, `[T · B, stride]`.
    pub y: Aligned,
}

impl HeadTape {
    pub fn new(isa: Isa, b: &Blueprint) -> Self {
        let ([hidden, inputs], outputs) = (b.head_inputs(), b.outputs());
        Self { isa, hidden, inputs, outputs, stride: isa.padded(outputs), y: Aligned::zeros(0) }
    }

    /// `head` is the head's flat vector; `top` and `x` have `rows` rows.
    pub fn forward(&mut self, head: &[f32], top: Operand, x: Operand, rows: usize) {
        let depth = self.hidden + self.inputs;
        let weights = Packed::new(self.isa, self.outputs, depth, |column, k| head[column * depth + k]);
        let mut bias = Aligned::zeros(self.stride);
        bias[..self.outputs].copy_from_slice(&head[self.outputs * depth..]);
        self.y.reserve(rows * self.stride);
        let (bias, a) = (Some(&bias[..]), [top, self.seen(x)]);
        let (activation, out, stride) = (Activation::None, &mut self.y[..], self.stride);
        Product { weights: &weights, bias, activation, a, rows, out, stride }.run();
    }

    /// The features, or nothing of them.
    fn seen<'a>(&self, x: Operand<'a>) -> Operand<'a> {
        if self.inputs > 0 { x } else { Operand::EMPTY }
    }

    /// From the gradient that stands in `y` to that of the head's flat vector and of `top`,
    /// `[rows, hidden in whole registers]`.
    pub fn backward(
        &self,
        head: &[f32],
        top: Operand,
        x: Operand,
        rows: usize,
        gradient: &mut [f32],
        dtop: &mut Aligned,
    ) {
        let (depth, stride) = (self.hidden + self.inputs, self.stride);
        let dy = Operand::dense(&self.y, stride);
        let weights = Packed::new(self.isa, self.hidden, stride, |unit, k| {
            if k < self.outputs { head[k * depth + unit] } else { 0.0 }
        });
        dtop.reserve(rows * weights.columns());
        weights.times(dy, rows, dtop, weights.columns());
        let mut sum = Aligned::zeros(depth * stride);
        outer_sum(self.isa, rows, top, dy, &mut sum[..self.hidden * stride]);
        outer_sum(self.isa, rows, self.seen(x), dy, &mut sum[self.hidden * stride..]);
        for (output, row) in gradient[..self.outputs * depth].chunks_exact_mut(depth).enumerate() {
            row.iter_mut().enumerate().for_each(|(k, out)| *out = sum[k * stride + output]);
        }
        let bias = &mut gradient[self.outputs * depth..];
        bias.fill(0.0);
        for dy in self.y[..rows * stride].chunks_exact(stride) {
            bias.iter_mut().zip(dy).for_each(|(b, d)| *b += d);
        }
    }
}
