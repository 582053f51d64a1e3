//! The types that the families' device paths share.

use candle_core::{Device, Tensor};

use crate::nn::chunk::{Chunk, PassMode};
use crate::nn::dropout::Masks;
use crate::nn::layer::device::{Moments, State};

/// A chunk as a sequence on a device: rows are time-major.
pub(in crate::nn) struct DeviceSequence<'a> {
    pub chunk: &'a Chunk<'a>,
    /// The features of all readings, burn-in first, `[burn_in + steps, batch, inputs]`.
    pub x: &'a [f32],
    pub mode: &'a PassMode,
    pub device: &'a Device,
}

/// The results of the layers below the head at the steps after the burn-in.
#[derive(Default)]
pub(in crate::nn) struct Below {
    /// `[steps · batch, top]`
    pub top: Option<Tensor>,
    /// The top layer's state after every step, `[steps · batch, hidden]`.
    pub carried: Option<State>,
    pub moments: Vec<Moments>,
}

/// The results of one reading of every row.
#[derive(Default)]
pub(in crate::nn) struct Advanced {
    /// The new rows; `None` if the family carries nothing.
    pub rows: Option<Tensor>,
    /// The input of a direct head, `[n, top]`.
    pub top: Option<Tensor>,
    /// The top layer's state, from which a decoder starts.
    pub carried: Option<State>,
}

/// The features of all steps, after input dropout.
pub(in crate::nn) fn masked(x: &[f32], masks: &[Masks]) -> Vec<f32> {
    match masks.first().and_then(|m| m.x.as_ref()) {
        Some(mask) => x.iter().zip(mask.iter().cycle()).map(|(x, m)| x * m).collect(),
        None => x.to_vec(),
    }
}
