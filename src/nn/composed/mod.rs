//! The networks composed of the tensor library's own operations: how they serve and train on a device
//! that has no kernels of ours.
//!
//! Owns the parameters as tensors on the device. Promises what the kernels compute, within rounding;
//! that a step brings nothing back from the device but its outputs; and that no state becomes infinite
//! or no number. Allocates at every turn, and does not promise that a row's last digits are the same in
//! every batch: a GPU's products are not.
//!
//! ```text
//! [`serve`]     rows by slot → one reading → rows by slot, outputs
//! [`sequence`]  a whole chunk → outputs; [`pass`] its loss, and back by the library's autograd
//! ```

mod decoder;
mod layer;
mod pass;
mod sequence;
mod serve;
mod stack;
mod wavenet;

pub(super) use pass::ComposedPass;
pub(super) use serve::Served;

use candle_core::{Result, Tensor};
use candle_nn::ops::sigmoid;

use super::{Activation, Blueprint, Family, Head};
use decoder::Decoder;
use stack::Stack;
use wavenet::Wavenet;

/// A network's parameters, ready to be multiplied. Made from a variable, they pass gradients to it.
struct Composed {
    blueprint: Blueprint,
    body: Body,
    head: Tail,
}

/// What is below the head.
enum Body {
    Stack(Stack),
    Convolved { conv: Map, stack: Stack },
    Window { layers: Vec<Map>, activation: Activation },
    Wavenet(Wavenet),
    Vector,
}

enum Tail {
    Direct(Direct),
    Decoder(Decoder),
}

impl Composed {
    /// From the flat vector of all parameters, on the device.
    fn new(b: &Blueprint, flat: &Tensor) -> Result<Self> {
        let body = match b.family() {
            Family::Recurrent(_) => Body::Stack(Stack::new(b, flat)?),
            Family::Convolved { .. } => {
                Body::Convolved { conv: Map::new(b, flat, "conv")?, stack: Stack::new(b, flat)? }
            }
            Family::Window { layers, activation, .. } => {
                let layers = (0..layers).map(|l| Map::new(b, flat, &format!("dense.{l}")));
                Body::Window { layers: layers.collect::<Result<_>>()?, activation }
            }
            Family::Wavenet { .. } => Body::Wavenet(Wavenet::new(b, flat)?),
            Family::Vector(_) => Body::Vector,
        };
        let head = match b.head() {
            Head::Direct | Head::Normed => Tail::Direct(Direct::new(b, flat)?),
            Head::Decoder { .. } => Tail::Decoder(Decoder::new(b, flat)?),
        };
        Ok(Self { blueprint: *b, body, head })
    }
}

/// `W [top | x] + b`, of the normed top where the head has a norm.
struct Direct {
    map: Map,
    /// Gain and bias.
    norm: Option<[Tensor; 2]>,
    /// Whether it sees the features.
    sees_x: bool,
}

impl Direct {
    fn new(b: &Blueprint, flat: &Tensor) -> Result<Self> {
        let part = |range: std::ops::Range<usize>| flat.narrow(0, range.start, range.len());
        let norm = b.head_norm().map(|[gain, bias]| -> Result<_> { Ok([part(gain)?, part(bias)?]) });
        Ok(Self { map: Map::new(b, flat, "head")?, norm: norm.transpose()?, sees_x: b.head_inputs()[1] > 0 })
    }

    /// `top` is what the layers below left, `x` the features.
    fn of(&self, top: &Tensor, x: &Tensor) -> Result<Tensor> {
        let normed = match &self.norm {
            Some([gain, bias]) => &layer::normalised(top)?.broadcast_mul(gain)?.broadcast_add(bias)?,
            None => top,
        };
        if self.sees_x { self.map.of(&Tensor::cat(&[normed, x], 1)?) } else { self.map.of(normed) }
    }
}

/// Dense layers of a window, `[rows, readings · inputs]`.
fn dense(layers: &[Map], activation: Activation, window: Tensor) -> Result<Tensor> {
    layers.iter().try_fold(window, |below, map| activated(activation, &map.of(&below)?))
}

/// A linear map or convolution, `y = x W + b`.
struct Map {
    /// `[taps · in, out]`
    weight: Tensor,
    /// `[out]`
    bias: Tensor,
}

impl Map {
    fn new(b: &Blueprint, flat: &Tensor, name: &str) -> Result<Self> {
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

    fn of(&self, x: &Tensor) -> Result<Tensor> {
        x.matmul(&self.weight)?.broadcast_add(&self.bias)
    }
}

fn activated(activation: Activation, x: &Tensor) -> Result<Tensor> {
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
