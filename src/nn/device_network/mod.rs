//! A network made of the tensor library's own operations. It serves and trains on devices for which
//! this room has no kernels.
//!
//! Owns the parameters as tensors on the device. Promises the kernels' results within rounding,
//! that a step copies nothing but its outputs back from the device, and that every state stays
//! finite. Every step allocates. The last digits of a row may depend on the batch, because a GPU's
//! products do.
//!
//! ```text
//! serve     rows by slot → one reading → rows by slot, outputs
//! sequence  a whole chunk → outputs; its loss and the gradient come from `train`, by the library's autograd
//! ```

pub(in crate::nn) mod sequence;

use candle_core::{Result, Tensor};

use super::family::convolved::device::Convolved;
use super::family::recurrent::device::Stack;
use super::family::wavenet::device::Wavenet;
use super::family::window::device::Window;
use super::head::decoder::device::Decoder;
use super::head::direct::device::Direct;
use super::{Blueprint, Family, Head};

/// A network's parameters as tensors. When they were made from a variable, gradients reach it.
pub(super) struct DeviceNetwork {
    pub blueprint: Blueprint,
    pub body: Body,
    pub head: OutputHead,
}

/// What is below the head.
pub(super) enum Body {
    Recurrent(Stack),
    Convolved(Convolved),
    Window(Window),
    Wavenet(Wavenet),
    /// The family carries nothing.
    Vector,
}

/// The head, which makes the outputs.
pub(super) enum OutputHead {
    Direct(Direct),
    Decoder(Decoder),
}

impl DeviceNetwork {
    /// From the flat vector of all parameters, on the device.
    pub fn new(b: &Blueprint, flat: &Tensor) -> Result<Self> {
        let body = match b.family() {
            Family::Recurrent(_) => Body::Recurrent(Stack::new(b, flat)?),
            Family::Convolved { .. } => Body::Convolved(Convolved::new(b, flat)?),
            Family::Window { .. } => Body::Window(Window::new(b, flat)?),
            Family::Wavenet { .. } => Body::Wavenet(Wavenet::new(b, flat)?),
            Family::Vector(_) => Body::Vector,
        };
        let head = match b.head() {
            Head::Direct | Head::Normed => OutputHead::Direct(Direct::new(b, flat)?),
            Head::Decoder { .. } => OutputHead::Decoder(Decoder::new(b, flat)?),
        };
        Ok(Self { blueprint: *b, body, head })
    }
}
