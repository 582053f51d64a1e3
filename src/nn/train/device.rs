//! The forward and backward pass of a chunk on a device, by the library's autograd.

use std::borrow::Cow;

use candle_core::{D, DType, Device, Result, Tensor, Var};

use crate::nn::chunk::{Chunk, Loss, PassMode, time_major};
use crate::nn::device_network::DeviceNetwork;
use crate::nn::device_network::sequence::Made;
use crate::nn::family::device::DeviceSequence;
use crate::nn::fold::folded;
use crate::nn::layer::batch_norm::settle;
use crate::nn::{Blueprint, Error};

/// Bytes of stack for the library's walk over the operations behind a loss, and for dropping them:
/// both recurse as deep as the chain of operations is long. The first is for any pass, the second
/// for each step of a layer.
const STACK_LEAST: usize = 4 << 20;
const STACK_PER_STEP: usize = 8 << 10;

pub(in crate::nn) struct DevicePass {
    blueprint: Blueprint,
    device: Device,
    /// Of the last backward pass: every batch norm's layer, mean and mean square.
    moments: Vec<(usize, [Vec<f32>; 2])>,
    rows: usize,
}

impl DevicePass {
    /// For networks of this shape, on a device.
    pub fn new(b: &Blueprint, device: &Device) -> Self {
        Self { blueprint: *b, device: device.clone(), moments: Vec::new(), rows: 0 }
    }

    /// The weighted sum of losses, the sum of weights, and the gradient of the mean loss in the order
    /// of `values`, the flat vector of all parameters.
    pub fn gradient(
        &mut self,
        values: &[f32],
        chunk: &Chunk,
        loss: &Loss,
        mode: PassMode,
    ) -> std::result::Result<(f64, f64, Vec<f32>), Error> {
        let layers = self.blueprint.stack().map_or(1, |s| s.layers);
        let steps = layers * chunk.steps + self.blueprint.outputs();
        let (this, mode) = (&*self, &mode);
        let (sum, count, gradient, moments) = deep(STACK_LEAST + steps * STACK_PER_STEP, move || {
            let flat = Var::from_slice(values, values.len(), &this.device)?;
            let live = DeviceNetwork::new(&this.blueprint, &flat)?;
            let served = match folded(&this.blueprint, values) {
                Cow::Borrowed(_) => flat.as_detached_tensor(),
                Cow::Owned(values) => Tensor::from_slice(&values, values.len(), &this.device)?,
            };
            let served = DeviceNetwork::new(&this.blueprint, &served)?;
            let Made { y, moments } = this.run([&live, &served], chunk, mode)?;
            let (sum, count, slopes) = this.loss(&y.detach(), chunk, loss)?;
            let mut gradient = vec![0.0; values.len()];
            if count > 0.0 {
                // The slopes of the loss are known, so only the network is differentiated.
                let toward = (y * (slopes / count)?)?.sum_all()?;
                if let Some(found) = toward.backward()?.get(&flat) {
                    gradient = found.to_vec1()?;
                }
            }
            let host = |t: &Tensor| t.flatten_all()?.to_vec1::<f32>();
            let moments = moments
                .iter()
                .map(|m| Ok((m.layer, [host(&m.mean)?, host(&m.variance)?])))
                .collect::<Result<Vec<_>>>()?;
            Ok((sum, count, gradient, moments))
        })?;
        self.moments = moments;
        self.rows = chunk.batch * chunk.steps;
        Ok((sum, count, gradient))
    }

    /// The weighted sum of losses and the sum of weights, as the network serves.
    pub fn evaluate(&self, values: &[f32], chunk: &Chunk, loss: &Loss) -> Result<(f64, f64)> {
        let (sum, count, _) = self.loss(&self.served(values, chunk)?, chunk, loss)?;
        Ok((sum, count))
    }

    /// The forecasts, `[batch, steps, outputs]`, as the network serves.
    pub fn forecast(&self, values: &[f32], chunk: &Chunk) -> Result<Vec<f32>> {
        let y = self.served(values, chunk)?.reshape((chunk.steps, chunk.batch, ()))?;
        y.transpose(0, 1)?.flatten_all()?.to_vec1()
    }

    /// Updates the running statistics, which have no gradient, with those of the last pass with
    /// `learn`.
    pub fn settle(&self, values: &mut [f32]) {
        for (l, [mean, variance]) in &self.moments {
            let ranges = self.blueprint.layer_layout(*l).batch_norm.expect("its moments were taken");
            let rows = self.rows;
            settle(&ranges, [mean, variance], rows, &mut values[self.blueprint.block(*l)]);
        }
    }

    fn served(&self, values: &[f32], chunk: &Chunk) -> Result<Tensor> {
        let values = folded(&self.blueprint, values);
        let served =
            DeviceNetwork::new(&self.blueprint, &Tensor::from_slice(&values, values.len(), &self.device)?)?;
        Ok(self.run([&served, &served], chunk, &PassMode::served())?.y)
    }

    fn run(&self, [live, served]: [&DeviceNetwork; 2], chunk: &Chunk, mode: &PassMode) -> Result<Made> {
        let all = chunk.burn_in + chunk.steps;
        let x = time_major(chunk.x, chunk.batch, all, self.blueprint.inputs(), 0, all);
        live.sequence(served, &DeviceSequence { chunk, x: &x, mode, device: &self.device })
    }

    /// The weighted sum of losses, the sum of weights, and the sum's slopes, `[steps · batch, outputs]`
    /// as `y` is.
    fn loss(&self, y: &Tensor, chunk: &Chunk, loss: &Loss) -> Result<(f64, f64, Tensor)> {
        let (points, levels) = (chunk.points(), loss.levels());
        let rows = chunk.steps * chunk.batch;
        let turned = |values: &[f32]| {
            let values = time_major(values, chunk.batch, chunk.steps, points, 0, chunk.steps);
            Tensor::from_vec(values, (rows, points), &self.device)
        };
        // A masked target may have any value.
        let pairs = chunk.targets.iter().zip(chunk.mask);
        let targets: Vec<f32> = pairs.map(|(t, m)| if *m == 0.0 { 0.0 } else { *t }).collect();
        let (targets, mask) = (turned(&targets)?, turned(chunk.mask)?);
        let count = chunk.mask.iter().map(|m| f64::from(*m)).sum::<f64>() * levels as f64;
        let (mut sum, mut slopes) = (0.0, Vec::with_capacity(levels));
        for level in 0..levels {
            let e = (y.narrow(1, level * points, points)? - &targets)?;
            let (value, slope) = distance(loss, level, &e)?;
            // Rows are summed first, because one sum over all would lose digits.
            let by_row = (value * &mask)?.sum(D::Minus1)?.to_vec1::<f32>()?;
            sum += by_row.iter().map(|v| f64::from(*v)).sum::<f64>();
            slopes.push((slope * &mask)?);
        }
        Ok((sum, count, Tensor::cat(&slopes, 1)?))
    }
}

/// [`Loss::value`] and [`Loss::slope`] of many errors.
fn distance(loss: &Loss, level: usize, e: &Tensor) -> Result<(Tensor, Tensor)> {
    match loss {
        Loss::Squared => Ok((e.sqr()?, (e * 2.0)?)),
        Loss::Huber(delta) => {
            let slope = e.clamp(-delta, *delta)?;
            let value = (&slope * (e - (&slope * 0.5)?)?)?;
            Ok((value, slope))
        }
        Loss::Pinball(levels) => {
            let level = f64::from(levels[level]);
            let sign = |t: Tensor| t.to_dtype(DType::F32);
            let (above, below) = (sign(e.gt(0f32)?)?, sign(e.lt(0f32)?)?);
            let slope = ((above * (1.0 - level))? - (below * level)?)?;
            Ok(((&slope * e)?, slope))
        }
    }
}

/// Does some work on a thread with this many bytes of stack, and waits for it.
fn deep<R: Send>(stack: usize, work: impl FnOnce() -> Result<R> + Send) -> std::result::Result<R, Error> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(stack).spawn_scoped(scope, work);
        let thread = thread.map_err(Error::Thread)?;
        match thread.join() {
            Ok(result) => Ok(result?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
