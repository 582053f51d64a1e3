//! Folding of norms into the linear map behind them: batch norms, which are affine when they serve
//! with their running statistics, and the gain and bias of a normed head.

use std::borrow::Cow;

use super::Blueprint;
use super::shape::NORM_EPSILON;

/// The flat vector with every batch norm folded into the layer behind it. The norms' own parameters
/// are meaningless afterwards.
pub(super) fn folded<'a>(b: &Blueprint, values: &'a [f32]) -> Cow<'a, [f32]> {
    let mut values = Cow::Borrowed(values);
    for l in 1..b.stack().map_or(0, |s| s.layers) {
        let (layout, block) = (b.layer_layout(l), b.block(l));
        let Some([gain, bias, mean, variance]) = layout.batch_norm.clone() else { continue };
        let layer = &mut values.to_mut()[block];
        for row in 0..layout.cell.gates() * layout.hidden {
            let mut shift = 0.0;
            for k in 0..layout.inputs {
                let scale = layer[gain.start + k] / (layer[variance.start + k] + NORM_EPSILON).sqrt();
                let w = &mut layer[layout.w_ih.start + row * layout.inputs + k];
                let old = *w;
                *w *= scale;
                shift += old * (layer[bias.start + k] - layer[mean.start + k] * scale);
            }
            layer[layout.b_ih.start + row] += shift;
        }
    }
    values
}

/// The head's flat vector, with the gain and bias of its norm, if there is one, folded into matrix
/// and bias. `values` has all parameters.
pub(super) fn folded_head<'a>(b: &Blueprint, values: &'a [f32]) -> Cow<'a, [f32]> {
    let mut head = Cow::Borrowed(&values[b.head_block()]);
    if let Some([gain, bias]) = b.head_norm() {
        let [top, features] = b.head_inputs();
        let (gain, bias) = (&values[gain], &values[bias]);
        let (matrix, shifts) = head.to_mut().split_at_mut(b.outputs() * (top + features));
        for (row, shift) in matrix.chunks_exact_mut(top + features).zip(shifts) {
            for ((w, gain), bias) in row.iter_mut().zip(gain).zip(bias) {
                *shift += *w * bias;
                *w *= gain;
            }
        }
    }
    head
}
