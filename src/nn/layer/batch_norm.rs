//! A batch norm in training: mean and variance over all rows of a chunk, time and series together.

use std::ops::Range;

use crate::nn::kernel::Operand;
use crate::nn::shape::NORM_EPSILON;
use crate::simd::Aligned;

/// The weight of a mini-batch in the running statistics, as in PyTorch.
const MOMENTUM: f32 = 0.1;

pub(in crate::nn) struct BatchNorm {
    /// Gain, bias, running mean and running variance within the layer's flat vector.
    ranges: [Range<usize>; 4],
    width: usize,
    stride: usize,
    /// `[width]` each; the variance is the mean square, the scale its reciprocal root.
    mean: Vec<f64>,
    variance: Vec<f64>,
    scale: Vec<f32>,
    rows: usize,
    /// The normalised rows, without and with gain and bias, `[rows, stride]` each.
    normed: Aligned,
    out: Aligned,
}

impl BatchNorm {
    /// For `width` inputs; `ranges` are those of its parameters within the layer.
    pub fn new(ranges: [Range<usize>; 4], width: usize) -> Self {
        Self {
            ranges,
            width,
            stride: 0,
            mean: vec![0.0; width],
            variance: vec![0.0; width],
            scale: vec![0.0; width],
            rows: 0,
            normed: Aligned::zeros(0),
            out: Aligned::zeros(0),
        }
    }

    /// `layer` is the layer's flat vector.
    pub fn forward(&mut self, layer: &[f32], x: Operand, rows: usize) -> Operand<'_> {
        (self.rows, self.stride) = (rows, x.stride);
        let count = rows as f64;
        let each = || x.values.chunks(x.stride).take(rows);
        self.mean.fill(0.0);
        self.variance.fill(0.0);
        for row in each() {
            self.mean.iter_mut().zip(row).for_each(|(m, v)| *m += f64::from(*v) / count);
        }
        for row in each() {
            let of = self.variance.iter_mut().zip(&self.mean).zip(row);
            of.for_each(|((s, m), v)| *s += (f64::from(*v) - m).powi(2) / count);
        }
        for (scale, variance) in self.scale.iter_mut().zip(&self.variance) {
            *scale = 1.0 / (*variance as f32 + NORM_EPSILON).sqrt();
        }
        self.normed.reserve(rows * x.stride);
        self.out.reserve(rows * x.stride);
        let [gain, bias, ..] = &self.ranges;
        let (gain, bias) = (&layer[gain.clone()], &layer[bias.clone()]);
        let to = self.normed.chunks_exact_mut(x.stride).zip(self.out.chunks_exact_mut(x.stride));
        for (row, (normed, out)) in each().zip(to) {
            for k in 0..self.width {
                normed[k] = (row[k] - self.mean[k] as f32) * self.scale[k];
                out[k] = normed[k] * gain[k] + bias[k];
            }
        }
        Operand { values: &self.out, stride: x.stride, width: self.width }
    }

    /// The backward pass: replaces the gradient of the output, `[rows, stride]`, by that of the
    /// input, and adds those of gain and bias to the layer's.
    pub fn backward(&self, layer: &[f32], d: &mut [f32], rows: usize, gradient: &mut [f32]) {
        let (mut sum, mut dot) = (vec![0.0f64; self.width], vec![0.0f64; self.width]);
        let normed = || self.normed.chunks_exact(self.stride).take(rows);
        for (d, normed) in d.chunks_exact(self.stride).zip(normed()) {
            for k in 0..self.width {
                sum[k] += f64::from(d[k]);
                dot[k] += f64::from(d[k] * normed[k]);
            }
        }
        let [gain, bias, ..] = &self.ranges;
        for k in 0..self.width {
            gradient[gain.start + k] = dot[k] as f32;
            gradient[bias.start + k] = sum[k] as f32;
        }
        let gain = &layer[gain.clone()];
        let mean = |sums: &[f64], k: usize| (sums[k] / rows as f64) as f32;
        for (d, normed) in d.chunks_exact_mut(self.stride).zip(normed()) {
            for k in 0..self.width {
                d[k] = gain[k] * self.scale[k] * (d[k] - mean(&sum, k) - normed[k] * mean(&dot, k));
            }
        }
    }

    /// Updates the running statistics with those of the last pass. The variance is unbiased, as in
    /// PyTorch.
    pub fn settle(&self, layer: &mut [f32]) {
        settle(&self.ranges, [&self.mean, &self.variance], self.rows, layer);
    }
}

/// Updates the running statistics in a layer's flat vector with the mean and mean square of `rows`
/// rows.
pub(in crate::nn) fn settle<T: Copy + Into<f64>>(
    [.., mean, variance]: &[Range<usize>; 4],
    [now_mean, now_variance]: [&[T]; 2],
    rows: usize,
    layer: &mut [f32],
) {
    let unbiased = rows as f64 / (rows.max(2) - 1) as f64;
    let towards = |to: &mut f32, now: f64| *to += MOMENTUM * (now as f32 - *to);
    for k in 0..mean.len() {
        towards(&mut layer[mean.start + k], now_mean[k].into());
        towards(&mut layer[variance.start + k], now_variance[k].into() * unbiased);
    }
}
