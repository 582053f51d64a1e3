//! Recurrent layers over a sequence, and what stands between them.

use candle_core::{Device, Result, Tensor};

use super::layer::{Layer, State};
use crate::nn::Blueprint;
use crate::nn::train::Masks;

pub(super) struct Stack {
    layers: Vec<Layer>,
    hidden: usize,
    states: usize,
    /// Layers `1..` this one add what enters them to their `h`.
    residual: usize,
}

/// Dropout of one layer on the device: what enters it, and its own `h`.
pub(super) struct Dropped {
    x: Option<Tensor>,
    h: Option<Tensor>,
}

/// Mean and mean square of what entered a layer with a batch norm, `[1, inputs]` each.
pub(super) struct Moments {
    pub layer: usize,
    pub mean: Tensor,
    pub variance: Tensor,
}

/// Where layers have been.
pub(super) struct Walk {
    /// What a direct head sees of every step.
    pub tops: Vec<Tensor>,
    /// Of every layer, after every step.
    pub states: Vec<Vec<State>>,
    /// Of the batch norms, when they took the statistics of the rows.
    pub moments: Vec<Moments>,
}

/// The masks of a mini-batch on the device.
pub(super) fn dropped(masks: &[Masks], batch: usize, device: &Device) -> Result<Vec<Dropped>> {
    let one = |mask: &Option<Vec<f32>>| -> Result<Option<Tensor>> {
        let of = |m: &Vec<f32>| Tensor::from_slice(m, (batch, m.len() / batch), device);
        mask.as_ref().map(of).transpose()
    };
    masks.iter().map(|m| Ok(Dropped { x: one(&m.x)?, h: one(&m.h)? })).collect()
}

impl Stack {
    /// `flat` is the flat vector of all parameters.
    pub fn new(b: &Blueprint, flat: &Tensor) -> Result<Self> {
        let stack = b.stack().expect("the family has layers");
        let layer = |l: usize| {
            let block = b.block(l);
            Layer::new(&b.layer_layout(l), &flat.narrow(0, block.start, block.len())?)
        };
        Ok(Self {
            layers: (0..stack.layers).map(layer).collect::<Result<_>>()?,
            hidden: stack.hidden,
            states: stack.cell.states(),
            residual: b.residual_layers(),
        })
    }

    /// Floats that it carries for a series.
    pub fn width(&self) -> usize {
        self.layers.len() * self.states * self.hidden
    }

    /// Every layer's state, from rows that hold them from `offset` on.
    pub fn read(&self, rows: &Tensor, offset: usize) -> Result<Vec<State>> {
        let part = |at: usize| rows.narrow(1, offset + at * self.hidden, self.hidden)?.contiguous();
        (0..self.layers.len())
            .map(|l| {
                let at = l * self.states;
                let c = (self.states > 1).then(|| part(at + 1)).transpose()?;
                Ok(State { h: part(at)?, c })
            })
            .collect()
    }

    /// Every layer's state, cold.
    pub fn cold(&self, rows: usize, device: &Device) -> Result<Vec<State>> {
        let zeros = Tensor::zeros((rows, self.width()), candle_core::DType::F32, device)?;
        self.read(&zeros, 0)
    }

    /// What [`Self::read`] reads, `[rows, width]`.
    pub fn write(&self, states: &[State]) -> Result<Tensor> {
        let parts: Vec<&Tensor> = states.iter().flat_map(|s| [Some(&s.h), s.c.as_ref()]).flatten().collect();
        Tensor::cat(&parts, 1)
    }

    /// What a direct head sees of states that did not advance.
    pub fn shown(&self, states: &[State]) -> Result<Tensor> {
        let (top, below) = states.split_last().expect("there is a layer");
        if self.residual > 1 {
            below.iter().try_fold(top.h.clone(), |sum, s| sum + &s.h)
        } else {
            Ok(top.h.clone())
        }
    }

    /// Takes the layers through steps of `x`, `[rows, inputs]` each. Learning, batch norms take the
    /// statistics of these rows; else they are folded into the parameters. `dropped` may be empty.
    pub fn walk(&self, x: Vec<Tensor>, start: &[State], dropped: &[Dropped], learn: bool) -> Result<Walk> {
        let mut walk = Walk { tops: x, states: Vec::new(), moments: Vec::new() };
        for (l, (layer, state)) in self.layers.iter().zip(start).enumerate() {
            let normed = if learn && layer.has_batch_norm() && !walk.tops.is_empty() {
                let rows = walk.tops[0].dim(0)?;
                let (all, [mean, variance]) = layer.batch_normalised(&Tensor::cat(&walk.tops, 0)?)?;
                walk.moments.push(Moments { layer: l, mean, variance });
                Some(
                    (0..walk.tops.len())
                        .map(|t| all.narrow(0, t * rows, rows))
                        .collect::<Result<Vec<_>>>()?,
                )
            } else {
                None
            };
            let (x_mask, h_mask) = dropped.get(l).map_or((None, None), |d| (d.x.as_ref(), d.h.as_ref()));
            let mut after: Vec<State> = Vec::with_capacity(walk.tops.len());
            for entering in normed.as_ref().unwrap_or(&walk.tops) {
                let state = after.last().unwrap_or(state);
                let next = match x_mask {
                    Some(mask) => layer.step(&entering.mul(mask)?, state, h_mask)?,
                    None => layer.step(entering, state, h_mask)?,
                };
                after.push(next);
            }
            let adds = (1..self.residual).contains(&l);
            let leaving = after.iter().zip(&walk.tops);
            walk.tops =
                leaving.map(|(s, x)| if adds { &s.h + x } else { Ok(s.h.clone()) }).collect::<Result<_>>()?;
            walk.states.push(after);
        }
        Ok(walk)
    }
}

impl Walk {
    /// Every layer's state after the last step, or at the start if there was none.
    pub fn last(&self, start: &[State]) -> Vec<State> {
        let of = |(all, start): (&Vec<State>, &State)| all.last().unwrap_or(start).clone();
        self.states.iter().zip(start).map(of).collect()
    }
}
