//! The families that see a part of the sequence at once. They start from a state if there is one;
//! nothing before the end of burn-in gets a gradient.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::ops::sigmoid;
use tidecast::nn::{Activation, Family};

use super::recurrent::detached;
use super::{Data, Oracle};

impl Oracle {
    fn zeros(&self, steps: usize, data: &Data, width: usize) -> Result<Tensor> {
        Tensor::zeros((steps, data.batch, width), DType::F64, &Device::Cpu)
    }

    /// `count` values of every row's state from `from` on, `[batch, count]`.
    fn held(&self, data: &Data, from: usize, count: usize) -> Result<Tensor> {
        let width = self.blueprint.row_width();
        let rows = Tensor::from_slice(data.state.as_ref().unwrap(), (data.batch, width), &Device::Cpu)?;
        rows.narrow(1, from, count)?.contiguous()
    }

    /// The chunk's readings, with `count` earlier ones in front: those that a state holds side by
    /// side from `from` on, or zeros.
    fn with_past(&self, data: &Data, x: &Tensor, from: usize, count: usize) -> Result<Tensor> {
        let inputs = self.blueprint.inputs();
        let past = match (&data.state, count) {
            (Some(_), 1..) => self
                .held(data, from, count * inputs)?
                .reshape((data.batch, count, inputs))?
                .transpose(0, 1)?
                .contiguous()?,
            _ => self.zeros(count, data, inputs)?,
        };
        Tensor::cat(&[&past, x], 0)
    }

    /// Every step's readings side by side, `[rows, readings · inputs]`.
    fn unfolded(&self, x: &Tensor, readings: usize, steps: std::ops::Range<usize>) -> Result<Vec<Tensor>> {
        let at = |t: usize| {
            let all: Vec<Tensor> = (t..t + readings).map(|then| x.get(then)).collect::<Result<_>>()?;
            Tensor::cat(&all, 1)
        };
        steps.map(at).collect()
    }

    pub fn window(&self, data: &Data, x: &Tensor) -> Result<Tensor> {
        let Family::Window { readings, layers, activation, .. } = self.blueprint.family() else { panic!() };
        let x = self.with_past(data, x, 0, readings - 1)?;
        let steps = data.burn_in..data.burn_in + data.steps;
        let mut top = Tensor::cat(&self.unfolded(&x, readings, steps)?, 0)?;
        for l in 0..layers {
            top = self.map(&format!("dense.{l}"), &top)?;
            top = match activation {
                Activation::Tanh => top.tanh()?,
                Activation::Relu => top.relu()?,
                other => panic!("{other:?} is not tested"),
            };
        }
        Ok(top)
    }

    pub fn wavenet(&self, data: &Data, x: &Tensor) -> Result<Tensor> {
        let Family::Wavenet { channels, layers, stacks } = self.blueprint.family() else { panic!() };
        let (all, batch) = (data.burn_in + data.steps, data.batch);
        let flat = |t: &Tensor| t.flatten(0, 1);
        let mut now = self.map("input", &flat(x)?)?.reshape((all, batch, channels))?;
        let mut skip = self.zeros(all, data, channels)?;
        let mut ring = 1;
        for l in 0..layers * stacks {
            let dilation = 1 << (l % layers);
            let past = match &data.state {
                None => self.zeros(dilation, data, channels)?,
                Some(rows) => {
                    // The oldest entry is at the position of the turn.
                    let width = self.blueprint.row_width();
                    let mut values = Vec::new();
                    for past in 0..dilation {
                        for row in rows.chunks_exact(width) {
                            let entry = (row[0] as usize + past) % dilation;
                            values.extend_from_slice(&row[ring + entry * channels..][..channels]);
                        }
                    }
                    Tensor::from_slice(&values, (dilation, batch, channels), &Device::Cpu)?
                }
            };
            ring += dilation * channels;
            let (early, late) = (now.narrow(0, 0, data.burn_in)?, now.narrow(0, data.burn_in, data.steps)?);
            let here = Tensor::cat(&[&early.detach(), &late], 0)?;
            let old = Tensor::cat(&[&past, &here], 0)?.narrow(0, 0, all)?;
            let weight = self.w(&format!("layers.{l}.dilated.weight"));
            let tap = |k: usize| weight.narrow(2, k, 1)?.squeeze(2)?.t();
            let sums = (flat(&old)?.matmul(&tap(0)?)? + flat(&here)?.matmul(&tap(1)?)?)?;
            let sums = sums.broadcast_add(self.w(&format!("layers.{l}.dilated.bias")))?;
            let gated =
                (sums.narrow(1, 0, channels)?.tanh()? * sigmoid(&sums.narrow(1, channels, channels)?)?)?;
            let of =
                |name: &str| self.map(&format!("layers.{l}.{name}"), &gated)?.reshape((all, batch, channels));
            skip = (skip + of("skip")?)?;
            if l + 1 < layers * stacks {
                now = (here + of("residual")?)?;
            }
        }
        let skip = flat(&skip.narrow(0, data.burn_in, data.steps)?.relu()?)?;
        self.map("output", &skip)?.relu()
    }

    pub fn convolved(&self, data: &Data, x: &Tensor) -> Result<Tensor> {
        let Family::Convolved { kernel, stride, stack } = self.blueprint.family() else { panic!() };
        let inputs = self.blueprint.inputs();
        let mut states = self.states(data, 1 + (kernel - 1) * inputs)?;
        let phases: Vec<usize> = match &data.state {
            None => vec![0; data.batch],
            Some(rows) => rows.chunks_exact(self.blueprint.row_width()).map(|r| r[0] as usize).collect(),
        };
        assert!(phases.iter().all(|p| *p == phases[0]), "rows are tested in step");
        let x = self.with_past(data, x, 1, kernel - 1)?;
        let all = data.burn_in + data.steps;
        let weight = self.w("conv.weight").transpose(1, 2)?.contiguous()?.flatten_from(1)?;
        let mut tops = Vec::new();
        let mut top: Option<Tensor> = None;
        for (t, window) in self.unfolded(&x, kernel, 0..all)?.iter().enumerate() {
            if t == data.burn_in {
                states = detached(&states);
                top = top.map(|t| t.detach());
            }
            if (phases[0] + t + 1).is_multiple_of(stride) {
                let entering = window.matmul(&weight.t()?)?.broadcast_add(self.w("conv.bias"))?.relu()?;
                let (at_top, _, last) = self.stack(vec![entering], &states, false)?;
                states = last;
                top = at_top.into_iter().next();
            }
            if t >= data.burn_in {
                tops.push(match &top {
                    Some(top) => top.clone(),
                    None if stack.residual => {
                        states.iter().try_fold(states[0][0].zeros_like()?, |sum, s| sum + &s[0])?
                    }
                    None => states.last().unwrap()[0].clone(),
                });
            }
        }
        Tensor::cat(&tops, 0)
    }
}
