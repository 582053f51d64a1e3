//! What the paths on a device share: linear maps and activations over tensors.

use candle_core::{Result, Tensor};
use candle_nn::ops::sigmoid;

use crate::nn::{Activation, Blueprint};

/// A linear map or convolution, `y = x W + b`.
pub(in crate::nn) struct Map {
    /// `[taps · in, out]`
    weight: Tensor,
    /// `[out]`
    bias: Tensor,
}

impl Map {
    /// The map `name` of a network, from the flat vector of all parameters.
    pub fn new(b: &Blueprint, flat: &Tensor, name: &str) -> Result<Self> {
        let part = |what: &str| {
            let range = b.range(&format!("{name}.{what}"));
            flat.narrow(0, range.start, range.len())
        };
        let (weight, bias) = (part("weight")?, part("bias")?);
        let found = b.parameters().into_iter().find(|p| p.name == format!("{name}.weight"));
        let shape = found.expect("a map has a weight").shape;
        let (out, inputs, taps) = (shape[0], shape[1], shape.get(2).copied().unwrap_or(1));
        // A convolution's taps are its innermost axis; what it multiplies has them outermost.
        let turned = weight.reshape((out, inputs, taps))?.permute((2, 1, 0))?.contiguous()?;
        Ok(Self { weight: turned.reshape((taps * inputs, out))?, bias })
    }

    /// `x W + b`, `[rows, out]`
    pub fn of(&self, x: &Tensor) -> Result<Tensor> {
        x.matmul(&self.weight)?.broadcast_add(&self.bias)
    }
}

pub(in crate::nn) fn activated(activation: Activation, x: &Tensor) -> Result<Tensor> {
    match activation {
        Activation::None => Ok(x.clone()),
        Activation::Tanh => x.tanh(),
        Activation::Sigmoid => sigmoid(x),
        // The slope is 0 at 0 and at the limit, as the kernels have it: `relu` would have 1 there.
        Activation::Relu => held(&x.gt(0f32)?.where_cond(x, &x.zeros_like()?)?),
    }
}

/// Held below [`Activation::RELU_MAX`].
fn held(x: &Tensor) -> Result<Tensor> {
    let limit = Tensor::full(Activation::RELU_MAX, x.dims(), x.device())?;
    x.lt(&limit)?.where_cond(x, &limit)
}
