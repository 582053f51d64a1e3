//! The direct head on a device.

use candle_core::{Result, Tensor};

use crate::nn::Blueprint;
use crate::nn::layer::device::normalised;
use crate::nn::tensor::Map;

/// `y = W [top | x] + b`, with the normed top if the head has a norm.
pub(in crate::nn) struct Direct {
    map: Map,
    /// Gain and bias.
    norm: Option<[Tensor; 2]>,
    /// Whether it sees the features.
    sees_x: bool,
}

impl Direct {
    /// `flat` is the flat vector of all parameters.
    pub fn new(b: &Blueprint, flat: &Tensor) -> Result<Self> {
        let part = |range: std::ops::Range<usize>| flat.narrow(0, range.start, range.len());
        let norm = b.head_norm().map(|[gain, bias]| -> Result<_> { Ok([part(gain)?, part(bias)?]) });
        Ok(Self { map: Map::new(b, flat, "head")?, norm: norm.transpose()?, sees_x: b.head_inputs()[1] > 0 })
    }

    /// `top` is the output of the layers below, `x` the features.
    pub fn of(&self, top: &Tensor, x: &Tensor) -> Result<Tensor> {
        let normed = match &self.norm {
            Some([gain, bias]) => &normalised(top)?.broadcast_mul(gain)?.broadcast_add(bias)?,
            None => top,
        };
        if self.sees_x { self.map.of(&Tensor::cat(&[normed, x], 1)?) } else { self.map.of(normed) }
    }
}
