//! One reading each of many series: rows are gathered by slot, advanced and scattered, all on the device.

use candle_core::{DType, Device, Result, Tensor};

use super::{Activation, Body, Composed, Tail, activated, dense};
use crate::nn::fold::folded;
use crate::nn::serve::kept;
use crate::nn::{Blueprint, Family, Weights};

/// Floats of state that are gathered at once: what a step holds beside the arena is some times this.
const GATHERED: usize = 1 << 24;

/// A network on a device, for serving.
pub(in crate::nn) struct Served {
    composed: Composed,
    device: Device,
}

impl Served {
    pub fn new(weights: &Weights, device: &Device) -> Result<Self> {
        let b = weights.blueprint();
        let values = folded(b, weights.values());
        let flat = Tensor::from_slice(&values, values.len(), device)?;
        Ok(Self { composed: Composed::new(b, &flat)?, device: device.clone() })
    }

    /// Advances the series in `slots`; `rows` is the arena, `[capacity, row_width]`. `x` is
    /// `[n, inputs]`, `y` becomes `[n, outputs]`. Lengths and slots have been checked.
    pub fn step(&self, rows: &Tensor, slots: &[u32], x: &[f32], y: &mut [f32]) -> Result<()> {
        let b = &self.composed.blueprint;
        let (width, inputs, outputs) = (b.row_width(), b.inputs(), b.outputs());
        let tile = (GATHERED / width).max(1);
        let tiles = slots.chunks(tile).zip(x.chunks(tile * inputs)).zip(y.chunks_mut(tile * outputs));
        for ((slots, x), y) in tiles {
            let n = slots.len();
            let slots = Tensor::from_slice(slots, n, &self.device)?;
            let (advanced, said) = self.composed.advance(&rows.index_select(&slots, 0)?, x)?;
            if let Some(advanced) = advanced {
                let places = slots.reshape((n, 1))?.broadcast_as((n, width))?.contiguous()?;
                rows.scatter_set(&places, &finite(&advanced)?, 0)?;
            }
            y.copy_from_slice(&said.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(())
    }
}

/// A row in which something is not finite starts anew.
fn finite(rows: &Tensor) -> Result<Tensor> {
    let is = rows.abs()?.le(f32::MAX)?.to_dtype(DType::F32)?.min_keepdim(1)?;
    is.gt(0f32)?.broadcast_as(rows.shape())?.contiguous()?.where_cond(rows, &rows.zeros_like()?)
}

impl Composed {
    /// One reading of every row: the rows as they are now, if something is carried, and the outputs.
    fn advance(&self, rows: &Tensor, x: &[f32]) -> Result<(Option<Tensor>, Tensor)> {
        let (b, n) = (&self.blueprint, rows.dim(0)?);
        let of = |x: &[f32]| Tensor::from_slice(x, (n, b.inputs()), rows.device());
        let all = of(x)?;
        let entering = match b.family() {
            Family::Recurrent(_) | Family::Vector(_) => all.clone(),
            // What is kept of a reading must be finite.
            _ => of(&x.iter().map(|v| kept(*v)).collect::<Vec<_>>())?,
        };
        let (mut carried, mut top, mut next) = (None, None, None);
        match &self.body {
            Body::Stack(stack) => {
                let start = stack.read(rows, 0)?;
                let features = entering.narrow(1, 0, b.features())?.contiguous()?;
                let mut walk = stack.walk(vec![features], &start, &[], false)?;
                let last = walk.last(&start);
                next = Some(stack.write(&last)?);
                top = walk.tops.pop();
                carried = last.into_iter().next_back();
            }
            Body::Convolved { conv, stack } => {
                let (window, past) = self.window(rows, 1, &entering)?;
                let entering = activated(Activation::Relu, &conv.of(&window)?)?;
                let old = stack.read(rows, 1 + past.as_ref().map_or(Ok(0), |p| p.dim(1))?)?;
                let walk = stack.walk(vec![entering], &old, &[], false)?;
                // A row whose stride is not full stays where it was.
                let (old, new) = (stack.write(&old)?, stack.write(&walk.last(&old))?);
                let phase = (rows.narrow(1, 0, 1)?.contiguous()? + 1.0)?;
                let full = phase.ge(stride(b))?;
                let phase = full.where_cond(&phase.zeros_like()?, &phase)?;
                let states = full.broadcast_as(old.shape())?.contiguous()?.where_cond(&new, &old)?;
                top = Some(stack.shown(&stack.read(&states, 0)?)?);
                let parts: Vec<&Tensor> =
                    [Some(&phase), past.as_ref(), Some(&states)].into_iter().flatten().collect();
                next = Some(Tensor::cat(&parts, 1)?);
            }
            Body::Window { layers, activation } => {
                let (window, past) = self.window(rows, 0, &entering)?;
                top = Some(dense(layers, *activation, window)?);
                next = past;
            }
            Body::Wavenet(wavenet) => {
                let (rows, seen) = wavenet.advance(rows, &entering)?;
                (next, top) = (Some(rows), Some(seen));
            }
            Body::Vector => {}
        }
        let y = match &self.head {
            Tail::Direct(head) => head.of(top.as_ref().expect("something is below a direct head"), &all)?,
            Tail::Decoder(decoder) => decoder.unroll(carried, &all, None)?,
        };
        Ok((next, y))
    }

    /// The last readings side by side, and those that are carried on; nothing when none are. A row
    /// holds them from `offset` on.
    fn window(&self, rows: &Tensor, offset: usize, x: &Tensor) -> Result<(Tensor, Option<Tensor>)> {
        let b = &self.blueprint;
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
}

fn stride(b: &Blueprint) -> f32 {
    match b.family() {
        Family::Convolved { stride, .. } => stride as f32,
        other => panic!("{other:?} has no stride"),
    }
}
