//! Batch norms as they are served: with their running statistics they are affine, so `W_ih` and its
//! bias take them in.

use std::borrow::Cow;

use super::Blueprint;
use super::blueprint::NORM_EPSILON;

/// The flat vector with every batch norm folded into the layer behind it. What is left of the norms'
/// own parameters means nothing.
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
