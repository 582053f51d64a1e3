//! Dense layers on the last readings, on a device.

use super::train::readings_side_by_side;
use candle_core::{Result, Tensor};

use crate::nn::family::device::{Advanced, Below, DeviceSequence};
use crate::nn::tensor::{Map, activated};
use crate::nn::{Activation, Blueprint, Family};

pub(in crate::nn) struct Window {
    layers: Vec<Map>,
    activation: Activation,
}

impl Window {
    /// `flat` is the flat vector of all parameters.
    pub fn new(b: &Blueprint, flat: &Tensor) -> Result<Self> {
        let Family::Window { layers, activation, .. } = b.family() else {
            panic!("{b:?} has no window");
        };
        let layers = (0..layers).map(|l| Map::new(b, flat, &format!("dense.{l}")));
        Ok(Self { layers: layers.collect::<Result<_>>()?, activation })
    }

    /// One reading of every row, `entering` all its features, `[n, inputs]`.
    pub fn advance(&self, b: &Blueprint, rows: &Tensor, entering: &Tensor) -> Result<Advanced> {
        let (window, past) = window(b, rows, 0, entering)?;
        Ok(Advanced { rows: past, top: Some(self.dense(window)?), carried: None })
    }

    /// The forward pass over a chunk.
    pub fn sequence(&self, b: &Blueprint, sequence: &DeviceSequence) -> Result<Below> {
        let mut window = Vec::new();
        readings_side_by_side(b, sequence.chunk, sequence.x, &sequence.mode.masks, &mut window);
        let window =
            Tensor::from_vec(window, (sequence.chunk.steps * sequence.chunk.batch, ()), sequence.device)?;
        Ok(Below { top: Some(self.dense(window)?), ..Below::default() })
    }

    /// `window` is `[rows, readings · inputs]`.
    fn dense(&self, window: Tensor) -> Result<Tensor> {
        self.layers.iter().try_fold(window, |below, map| activated(self.activation, &map.of(&below)?))
    }
}

/// The last readings side by side, and those that the new row carries, if any. A row holds them
/// from `offset` on.
pub(in crate::nn) fn window(
    b: &Blueprint,
    rows: &Tensor,
    offset: usize,
    x: &Tensor,
) -> Result<(Tensor, Option<Tensor>)> {
    let readings = match b.family() {
        Family::Window { readings, .. } => readings,
        Family::Convolved { kernel, .. } => kernel,
        other => panic!("{other:?} keeps no readings"),
    };
    let past = (readings - 1) * b.inputs();
    if past == 0 {
        return Ok((x.clone(), None));
    }
    let window = Tensor::cat(&[&rows.narrow(1, offset, past)?, x], 1)?;
    let next = window.narrow(1, b.inputs(), past)?.contiguous()?;
    Ok((window, Some(next)))
}
