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

pub(in crate::nn) mod sequence;

use candle_core::{Result, Tensor};

use super::family::convolved::device::Convolved;
use super::family::recurrent::device::Stack;
use super::family::wavenet::device::Wavenet;
use super::family::window::device::Window;
use super::head::decoder::device::Decoder;
use super::head::direct::device::Direct;
use super::{Blueprint, Family, Head};

/// A network's parameters, ready to be multiplied. Made from a variable, they pass gradients to it.
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
    /// Nothing is carried.
    Vector,
}

/// What makes the outputs.
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
