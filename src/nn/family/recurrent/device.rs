//! Recurrent layers with the dropout, norms and residuals between them, on a device.

use candle_core::{Device, Result, Tensor};

use crate::nn::Blueprint;
use crate::nn::dropout::Masks;
use crate::nn::family::device::{Advanced, Below, DeviceSequence};
use crate::nn::layer::device::{Layer, Moments, State};

pub(in crate::nn) struct Stack {
    layers: Vec<Layer>,
    hidden: usize,
    states: usize,
    /// Layers `1..residual` add their input to their output.
    residual: usize,
}

/// The dropout masks of one layer on the device, for its input and for its own `h`.
pub(in crate::nn) struct Dropped {
    x: Option<Tensor>,
    h: Option<Tensor>,
}

/// The results of layers over a sequence.
pub(in crate::nn) struct Walk {
    /// The input of a direct head at every step.
    pub tops: Vec<Tensor>,
    /// The state of every layer after every step.
    pub states: Vec<Vec<State>>,
    /// The batch norms' statistics of the rows, when they took them.
    pub moments: Vec<Moments>,
}

/// The masks of a mini-batch on the device.
pub(in crate::nn) fn dropped(masks: &[Masks], batch: usize, device: &Device) -> Result<Vec<Dropped>> {
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

    /// Floats of state for a series.
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

    /// The inverse of [`Self::read`], `[rows, width]`.
    pub fn write(&self, states: &[State]) -> Result<Tensor> {
        let parts: Vec<&Tensor> = states.iter().flat_map(|s| [Some(&s.h), s.c.as_ref()]).flatten().collect();
        Tensor::cat(&parts, 1)
    }

    /// The input of a direct head for states that did not advance.
    pub fn shown(&self, states: &[State]) -> Result<Tensor> {
        let (top, below) = states.split_last().expect("there is a layer");
        if self.residual > 1 {
            below.iter().try_fold(top.h.clone(), |sum, s| sum + &s.h)
        } else {
            Ok(top.h.clone())
        }
    }

    /// Takes the layers through steps of `x`, `[rows, inputs]` each. With `learn`, batch norms take
    /// the statistics of these rows; without, they are already folded into the parameters.
    /// `dropped` may be empty.
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

    /// One reading of every row, `entering` all its features, `[n, inputs]`.
    pub fn advance(&self, b: &Blueprint, rows: &Tensor, entering: &Tensor) -> Result<Advanced> {
        let start = self.read(rows, 0)?;
        let features = entering.narrow(1, 0, b.features())?.contiguous()?;
        let mut walk = self.walk(vec![features], &start, &[], false)?;
        let last = walk.last(&start);
        let rows = Some(self.write(&last)?);
        Ok(Advanced { rows, top: walk.tops.pop(), carried: last.into_iter().next_back() })
    }

    /// The forward pass over a chunk. `served` has the parameters as they serve, for the burn-in.
    pub fn sequence(&self, served: &Self, b: &Blueprint, sequence: &DeviceSequence) -> Result<Below> {
        let chunk = sequence.chunk;
        let (batch, warm, steps) = (chunk.batch, chunk.burn_in, chunk.steps);
        let x = Tensor::from_slice(sequence.x, (warm + steps, batch, b.inputs()), sequence.device)?;
        let x = x.narrow(2, 0, b.features())?.contiguous()?;
        let part = |from: usize, count: usize| -> Result<Vec<Tensor>> {
            (from..from + count).map(|t| x.get(t)).collect()
        };
        let masks = dropped(&sequence.mode.masks, batch, sequence.device)?;
        let mut start = self.starting(b, sequence, 0)?;
        if warm > 0 {
            let walk = served.walk(part(0, warm)?, &start, &masks, false)?;
            start = walk.last(&start);
        }
        let walk = self.walk(part(warm, steps)?, &start, &masks, sequence.mode.learn)?;
        let top = Some(Tensor::cat(&walk.tops, 0)?);
        let carried = walk.states.last().map(|all| gathered(all, None)).transpose()?;
        Ok(Below { top, carried, moments: walk.moments })
    }

    /// Every layer's state at a chunk's start.
    pub fn starting(&self, b: &Blueprint, sequence: &DeviceSequence, offset: usize) -> Result<Vec<State>> {
        let batch = sequence.chunk.batch;
        match sequence.chunk.state {
            Some(rows) => {
                let rows = Tensor::from_slice(rows, (batch, b.row_width()), sequence.device)?;
                self.read(&rows, offset)
            }
            None => self.cold(batch, sequence.device),
        }
    }
}

impl Walk {
    /// Every layer's state after the last step, or at the start if there was none.
    pub fn last(&self, start: &[State]) -> Vec<State> {
        let of = |(all, start): (&Vec<State>, &State)| all.last().unwrap_or(start).clone();
        self.states.iter().zip(start).map(of).collect()
    }
}

/// The rows of all states, one state below the other; or those of them that `places` names.
pub(in crate::nn) fn gathered(states: &[State], places: Option<&Tensor>) -> Result<State> {
    let of = |all: Vec<&Tensor>| {
        let all = Tensor::cat(&all, 0)?;
        places.map_or(Ok(all.clone()), |places| all.index_select(places, 0))
    };
    let c: Option<Vec<&Tensor>> = states.iter().map(|s| s.c.as_ref()).collect();
    Ok(State { h: of(states.iter().map(|s| &s.h).collect())?, c: c.map(of).transpose()? })
}
