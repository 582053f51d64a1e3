//! What the families' paths on a device share.

use candle_core::{Device, Tensor};

use crate::nn::chunk::{Chunk, PassMode};
use crate::nn::dropout::Masks;
use crate::nn::layer::device::{Moments, State};

/// A chunk on its way through a network on a device.
pub(in crate::nn) struct DeviceSequence<'a> {
    pub chunk: &'a Chunk<'a>,
    /// The features of all readings, burn-in first, `[burn_in + steps, batch, inputs]`.
    pub x: &'a [f32],
    pub mode: &'a PassMode,
    pub device: &'a Device,
}

/// What the layers below the head made of the steps that are learnt from.
#[derive(Default)]
pub(in crate::nn) struct Below {
    /// `[steps · batch, top]`
    pub top: Option<Tensor>,
    /// The top layer's state after every step, `[steps · batch, hidden]`.
    pub carried: Option<State>,
    pub moments: Vec<Moments>,
}

/// What one reading of every row made.
#[derive(Default)]
pub(in crate::nn) struct Advanced {
    /// The rows as they are now; nothing when nothing is carried.
    pub rows: Option<Tensor>,
    /// What a direct head sees, `[n, top]`.
    pub top: Option<Tensor>,
    /// The top layer's state, from which a decoder starts.
    pub carried: Option<State>,
}

/// Features of all steps after the dropout of what enters.
pub(in crate::nn) fn masked(x: &[f32], masks: &[Masks]) -> Vec<f32> {
    match masks.first().and_then(|m| m.x.as_ref()) {
        Some(mask) => x.iter().zip(mask.iter().cycle()).map(|(x, m)| x * m).collect(),
        None => x.to_vec(),
    }
}
