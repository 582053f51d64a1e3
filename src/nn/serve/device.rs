//! One reading each of many series: rows are gathered by slot, advanced and scattered, all on the device.

use candle_core::{DType, Device, Result, Tensor};

use crate::nn::device_network::{Body, DeviceNetwork, OutputHead};
use crate::nn::family::device::Advanced;
use crate::nn::family::rows::kept;
use crate::nn::fold::folded;
use crate::nn::{Family, Weights};

/// Floats of state that are gathered at once. A step needs a few times as much memory beside the
/// arena.
const GATHERED: usize = 1 << 24;

/// A network on a device, for serving.
pub(in crate::nn) struct DeviceServing {
    network: DeviceNetwork,
    device: Device,
}

impl DeviceServing {
    /// Copies a network's weights to a device.
    pub fn new(weights: &Weights, device: &Device) -> Result<Self> {
        let b = weights.blueprint();
        let values = folded(b, weights.values());
        let flat = Tensor::from_slice(&values, values.len(), device)?;
        Ok(Self { network: DeviceNetwork::new(b, &flat)?, device: device.clone() })
    }

    /// Advances the series in `slots`; `rows` is the arena, `[capacity, row_width]`. `x` is
    /// `[n, inputs]`, `y` becomes `[n, outputs]`. Lengths and slots have been checked.
    pub fn step(&self, rows: &Tensor, slots: &[u32], x: &[f32], y: &mut [f32]) -> Result<()> {
        let b = &self.network.blueprint;
        let (width, inputs, outputs) = (b.row_width(), b.inputs(), b.outputs());
        let tile = (GATHERED / width).max(1);
        let tiles = slots.chunks(tile).zip(x.chunks(tile * inputs)).zip(y.chunks_mut(tile * outputs));
        for ((slots, x), y) in tiles {
            let n = slots.len();
            let slots = Tensor::from_slice(slots, n, &self.device)?;
            let (advanced, said) = self.network.advance(&rows.index_select(&slots, 0)?, x)?;
            if let Some(advanced) = advanced {
                let places = slots.reshape((n, 1))?.broadcast_as((n, width))?.contiguous()?;
                rows.scatter_set(&places, &finite(&advanced)?, 0)?;
            }
            y.copy_from_slice(&said.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(())
    }
}

/// Rows, where a row that has a value that isn't finite becomes zero: the series starts again.
fn finite(rows: &Tensor) -> Result<Tensor> {
    let is = rows.abs()?.le(f32::MAX)?.to_dtype(DType::F32)?.min_keepdim(1)?;
    is.gt(0f32)?.broadcast_as(rows.shape())?.contiguous()?.where_cond(rows, &rows.zeros_like()?)
}

impl DeviceNetwork {
    /// One reading of every row: the new rows, if the family carries any state, and the outputs.
    fn advance(&self, rows: &Tensor, x: &[f32]) -> Result<(Option<Tensor>, Tensor)> {
        let (b, n) = (&self.blueprint, rows.dim(0)?);
        let of = |x: &[f32]| Tensor::from_slice(x, (n, b.inputs()), rows.device());
        let all = of(x)?;
        let entering = match b.family() {
            Family::Recurrent(_) | Family::Vector(_) => all.clone(),
            // Only finite values may become part of the state.
            _ => of(&x.iter().map(|v| kept(*v)).collect::<Vec<_>>())?,
        };
        let Advanced { rows: next, top, carried } = match &self.body {
            Body::Recurrent(stack) => stack.advance(b, rows, &entering)?,
            Body::Convolved(convolved) => convolved.advance(b, rows, &entering)?,
            Body::Window(window) => window.advance(b, rows, &entering)?,
            Body::Wavenet(wavenet) => {
                let (rows, seen) = wavenet.advance(rows, &entering)?;
                Advanced { rows: Some(rows), top: Some(seen), carried: None }
            }
            Body::Vector => Advanced::default(),
        };
        let y = match &self.head {
            OutputHead::Direct(head) => {
                head.of(top.as_ref().expect("something is below a direct head"), &all)?
            }
            OutputHead::Decoder(decoder) => decoder.unroll(carried, &all, None)?,
        };
        Ok((next, y))
    }
}
