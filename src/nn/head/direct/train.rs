//! The direct head over a whole sequence: `y = W [top | x] + b`, forward and backward. A normed
//! head has the normed top instead.

use crate::nn::fold::folded_head;
use crate::nn::kernel::{Operand, Packed, Product, Standardise, outer_sum};
use crate::nn::{Activation, Blueprint};
use crate::simd::{Aligned, Isa};

/// The buffers of the head.
pub(in crate::nn) struct HeadTape {
    blueprint: Blueprint,
    isa: Isa,
    norm: Option<NormTape>,
    /// The width of the top, and the number of features or 0.
    hidden: usize,
    inputs: usize,
    outputs: usize,
    /// Outputs in whole registers: the distance between rows of `y`.
    pub stride: usize,
    /// The outputs, then their gradient, `[T · B, stride]`.
    pub y: Aligned,
}

/// The normed top.
struct NormTape {
    norm: Standardise,
    /// `[rows, width]`
    normed: Aligned,
    /// `[rows]`
    scales: Vec<f32>,
}

impl NormTape {
    fn top(&self, hidden: usize) -> Operand<'_> {
        Operand { values: &self.normed, stride: self.norm.width(), width: hidden }
    }
}

impl HeadTape {
    /// Empty buffers for networks of this shape; they grow with the first chunk.
    pub fn new(isa: Isa, b: &Blueprint) -> Self {
        let ([hidden, inputs], outputs) = (b.head_inputs(), b.outputs());
        let norm = b.head_norm().map(|_| NormTape {
            norm: Standardise::new(isa, hidden),
            normed: Aligned::zeros(0),
            scales: Vec::new(),
        });
        let blueprint = *b;
        Self {
            blueprint,
            isa,
            norm,
            hidden,
            inputs,
            outputs,
            stride: isa.padded(outputs),
            y: Aligned::zeros(0),
        }
    }

    /// `values` is the flat vector of all parameters; `top` and `x` have `rows` rows.
    pub fn forward(&mut self, values: &[f32], top: Operand, x: Operand, rows: usize) {
        let depth = self.hidden + self.inputs;
        let head = folded_head(&self.blueprint, values);
        let weights = Packed::new(self.isa, self.outputs, depth, |column, k| head[column * depth + k]);
        let mut bias = Aligned::zeros(self.stride);
        bias[..self.outputs].copy_from_slice(&head[self.outputs * depth..]);
        self.y.reserve(rows * self.stride);
        if let Some(NormTape { norm, normed, scales }) = &mut self.norm {
            normed.reserve(rows * norm.width());
            scales.resize(rows, 0.0);
            norm.forward(top, rows, normed, Some(scales));
        }
        let top = self.norm.as_ref().map_or(top, |norm| norm.top(self.hidden));
        let (bias, a) = (Some(&bias[..]), [top, seen(self.inputs, x)]);
        let (activation, out, stride) = (Activation::None, &mut self.y[..], self.stride);
        Product { weights: &weights, bias, activation, a, rows, out, stride }.run();
    }

    /// The backward pass: from the gradient of the outputs, which `y` holds, to those of the flat
    /// vector of all parameters and of `top`, `[rows, hidden in whole registers]`.
    pub fn backward(
        &self,
        values: &[f32],
        top: Operand,
        x: Operand,
        rows: usize,
        gradient: &mut [f32],
        dtop: &mut Aligned,
    ) {
        let (depth, stride) = (self.hidden + self.inputs, self.stride);
        let head = folded_head(&self.blueprint, values);
        let dy = Operand::dense(&self.y, stride);
        let weights = Packed::new(self.isa, self.hidden, stride, |unit, k| {
            if k < self.outputs { head[k * depth + unit] } else { 0.0 }
        });
        dtop.reserve(rows * weights.columns());
        weights.times(dy, rows, dtop, weights.columns());
        let top = self.norm.as_ref().map_or(top, |norm| norm.top(self.hidden));
        let mut sum = Aligned::zeros(depth * stride);
        outer_sum(self.isa, rows, top, dy, &mut sum[..self.hidden * stride]);
        outer_sum(self.isa, rows, seen(self.inputs, x), dy, &mut sum[self.hidden * stride..]);
        let to = &mut gradient[self.blueprint.head_block()];
        for (output, row) in to[..self.outputs * depth].chunks_exact_mut(depth).enumerate() {
            row.iter_mut().enumerate().for_each(|(k, out)| *out = sum[k * stride + output]);
        }
        let bias = &mut to[self.outputs * depth..];
        bias.fill(0.0);
        for dy in self.y[..rows * stride].chunks_exact(stride) {
            bias.iter_mut().zip(dy).for_each(|(b, d)| *b += d);
        }
        if let Some(NormTape { norm, normed, scales }) = &self.norm {
            self.unfold(values, gradient);
            norm.backward(dtop, normed, scales, rows);
        }
    }

    /// From the gradients of the folded matrix `W γ` and bias `b + W β` to those of `W`, `γ` and
    /// `β`.
    fn unfold(&self, values: &[f32], gradient: &mut [f32]) {
        let (depth, block) = (self.hidden + self.inputs, self.blueprint.head_block());
        let [gain, bias] = self.blueprint.head_norm().expect("its head is normed");
        let (mut dgain, mut dbias) = (vec![0.0; self.hidden], vec![0.0; self.hidden]);
        let (matrix, db) = gradient[block.clone()].split_at_mut(self.outputs * depth);
        let rows = matrix.chunks_exact_mut(depth).zip(values[block].chunks_exact(depth)).zip(db);
        for ((dw, w), db) in rows {
            for k in 0..self.hidden {
                dgain[k] += dw[k] * w[k];
                dbias[k] += *db * w[k];
                dw[k] = dw[k] * values[gain.start + k] + *db * values[bias.start + k];
            }
        }
        gradient[gain].copy_from_slice(&dgain);
        gradient[bias].copy_from_slice(&dbias);
    }
}

/// The features, or an empty operand.
fn seen(inputs: usize, x: Operand<'_>) -> Operand<'_> {
    if inputs > 0 { x } else { Operand::EMPTY }
}
