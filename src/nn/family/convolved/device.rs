//! A strided causal convolution in front of recurrent layers, on a device.

use candle_core::{Result, Tensor};

use super::strides::{Past, Strides};
use crate::nn::family::device::{Advanced, Below, DeviceSequence, masked};
use crate::nn::family::recurrent::device::{Stack, Walk, dropped, gathered};
use crate::nn::family::window::device::window;
use crate::nn::layer::device::State;
use crate::nn::tensor::{Map, activated};
use crate::nn::{Activation, Blueprint, Family};

pub(in crate::nn) struct Convolved {
    conv: Map,
    stack: Stack,
}

impl Convolved {
    /// `flat` is the flat vector of all parameters.
    pub fn new(b: &Blueprint, flat: &Tensor) -> Result<Self> {
        Ok(Self { conv: Map::new(b, flat, "conv")?, stack: Stack::new(b, flat)? })
    }

    /// One reading of every row, `entering` all its features, `[n, inputs]`.
    pub fn advance(&self, b: &Blueprint, rows: &Tensor, entering: &Tensor) -> Result<Advanced> {
        let Family::Convolved { stride, .. } = b.family() else { panic!("{b:?} has no convolution") };
        let stack = &self.stack;
        let (window, past) = window(b, rows, 1, entering)?;
        let entering = activated(Activation::Relu, &self.conv.of(&window)?)?;
        let old = stack.read(rows, 1 + past.as_ref().map_or(Ok(0), |p| p.dim(1))?)?;
        let walk = stack.walk(vec![entering], &old, &[], false)?;
        // A row whose stride is not full keeps its state.
        let (old, new) = (stack.write(&old)?, stack.write(&walk.last(&old))?);
        let phase = (rows.narrow(1, 0, 1)?.contiguous()? + 1.0)?;
        let full = phase.ge(stride as f32)?;
        let phase = full.where_cond(&phase.zeros_like()?, &phase)?;
        let states = full.broadcast_as(old.shape())?.contiguous()?.where_cond(&new, &old)?;
        let top = Some(stack.shown(&stack.read(&states, 0)?)?);
        let parts: Vec<&Tensor> =
            [Some(&phase), past.as_ref(), Some(&states)].into_iter().flatten().collect();
        Ok(Advanced { rows: Some(Tensor::cat(&parts, 1)?), top, carried: None })
    }

    /// The forward pass over a chunk. `served` has the parameters as they serve, for the burn-in.
    pub fn sequence(&self, served: &Self, b: &Blueprint, sequence: &DeviceSequence) -> Result<Below> {
        let chunk = sequence.chunk;
        let (batch, warm, steps) = (chunk.batch, chunk.burn_in, chunk.steps);
        let Family::Convolved { kernel, .. } = b.family() else { panic!("{b:?} has no convolution") };
        let x = masked(sequence.x, &sequence.mode.masks);
        // The input mask applies in front of the convolution.
        let mut masks = sequence.mode.masks.clone();
        masks.iter_mut().take(1).for_each(|m| m.x = None);
        let masks = dropped(&masks, batch, sequence.device)?;
        let mut past = Past::of(b, chunk.state, batch);
        let mut strides = Strides::default();
        let mut start = self.stack.starting(b, sequence, 1 + (kernel - 1) * b.inputs())?;
        let walk = |this: &Self, strides: &Strides, start: &[State], learn| -> Result<Walk> {
            let mut entering = Vec::with_capacity(strides.count);
            for window in strides.window.chunks_exact(batch * kernel * b.inputs()) {
                let window = Tensor::from_slice(window, (batch, kernel * b.inputs()), sequence.device)?;
                entering.push(activated(Activation::Relu, &this.conv.of(&window)?)?);
            }
            this.stack.walk(entering, start, &masks, learn)
        };
        // Row `b` after its `n`th full stride stands at `n · batch + b`, after the rows of the
        // start.
        let places = |strides: &Strides, steps: std::ops::Range<usize>| {
            let at = |t: usize, r: usize| (strides.nth(t, r) * batch + r) as u32;
            let all: Vec<u32> = steps.flat_map(|t| (0..batch).map(move |r| at(t, r))).collect();
            Tensor::from_slice(&all, all.len(), sequence.device)
        };
        if warm > 0 {
            strides.fill(b, &past, &x, [warm, batch]);
            let walk = walk(served, &strides, &start, false)?;
            let places = places(&strides, warm - 1..warm)?;
            for (start, after) in start.iter_mut().zip(walk.states) {
                let all: Vec<State> = [start.clone()].into_iter().chain(after).collect();
                *start = gathered(&all, Some(&places))?;
            }
            past = past.after(b, &x, [warm, batch]);
        }
        let (x, shown) = (&x[warm * batch * b.inputs()..], self.stack.shown(&start)?);
        strides.fill(b, &past, x, [steps, batch]);
        let walk = walk(self, &strides, &start, sequence.mode.learn)?;
        let tops: Vec<Tensor> = [shown].into_iter().chain(walk.tops).collect();
        let top = Tensor::cat(&tops, 0)?.index_select(&places(&strides, 0..steps)?, 0)?;
        Ok(Below { top: Some(top), carried: None, moments: walk.moments })
    }
}
