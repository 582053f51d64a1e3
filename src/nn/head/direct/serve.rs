//! The direct head in serving.

use crate::nn::family::rows::TILE;
use crate::nn::fold::folded_head;
use crate::nn::kernel::{Operand, Packed, Product, Standardise};
use crate::nn::{Activation, Blueprint};
use crate::simd::{Aligned, Isa};

/// `y = W [top | x] + b`, with the normed top if the head has a norm. Gain and bias of the norm are
/// folded into `W` and `b`.
pub(in crate::nn) struct Direct {
    norm: Option<(Standardise, Aligned)>,
    /// `[outputs, top + x]`
    weights: Packed,
    /// `[outputs]`, padded
    bias: Aligned,
    /// The number of features that it sees: all or none.
    features: usize,
    /// `[TILE, outputs]`, padded
    y: Aligned,
}

impl Direct {
    /// `all` is the flat vector of all parameters.
    pub fn new(isa: Isa, b: &Blueprint, all: &[f32]) -> Self {
        let [top, features] = b.head_inputs();
        let depth = top + features;
        let values = folded_head(b, all);
        let weights = Packed::new(isa, b.outputs(), depth, |column, k| values[column * depth + k]);
        let mut bias = Aligned::zeros(weights.columns());
        bias[..b.outputs()].copy_from_slice(&values[b.outputs() * depth..]);
        let y = Aligned::zeros(TILE * weights.columns());
        let norm = b.head_norm().map(|_| {
            let norm = Standardise::new(isa, top);
            let normed = Aligned::zeros(TILE * norm.width());
            (norm, normed)
        });
        Self { norm, weights, bias, features, y }
    }

    /// Forecasts `rows` rows from `top` and the features `x`. `y` becomes `[rows, outputs]`.
    pub fn run(&mut self, rows: usize, top: Operand, x: Operand, y: &mut [f32], outputs: usize) {
        let stride = self.weights.columns();
        let top = match &mut self.norm {
            None => top,
            Some((norm, normed)) => {
                norm.forward(top, rows, normed, None);
                Operand { values: normed, stride: norm.width(), width: top.width }
            }
        };
        let a = [top, if self.features > 0 { x } else { Operand::EMPTY }];
        let (weights, bias, activation) = (&self.weights, Some(&self.bias[..]), Activation::None);
        Product { weights, bias, activation, a, rows, out: &mut self.y, stride }.run();
        for (y, row) in y.chunks_exact_mut(outputs).zip(self.y.chunks_exact(stride)) {
            y.copy_from_slice(&row[..outputs]);
        }
    }
}
