//! Dilated causal convolutions: one reading at a time from rings, and a whole sequence at once.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::ops::sigmoid;

use crate::nn::tensor::{Map, activated};
use crate::nn::{Activation, Blueprint, Family};

pub(in crate::nn) struct Wavenet {
    channels: usize,
    /// The number of turns after which every ring is back at its start: the longest dilation.
    turns: usize,
    input: Map,
    layers: Vec<Wave>,
    output: Map,
}

struct Wave {
    dilation: usize,
    dilated: Map,
    /// `None` in the last layer.
    residual: Option<Map>,
    skip: Map,
    /// The positions of its ring, `[1, dilation]`.
    places: Tensor,
}

impl Wave {
    /// `tanh ⊙ σ` of the convolution, `[rows, channels]`.
    fn gated(&self, old: &Tensor, now: &Tensor) -> Result<Tensor> {
        let channels = now.dim(1)?;
        let sums = self.dilated.of(&Tensor::cat(&[old, now], 1)?)?;
        sums.narrow(1, 0, channels)?.tanh()? * sigmoid(&sums.narrow(1, channels, channels)?)?
    }
}

impl Wavenet {
    /// `flat` is the flat vector of all parameters.
    pub fn new(b: &Blueprint, flat: &Tensor) -> Result<Self> {
        let Family::Wavenet { channels, layers, .. } = b.family() else {
            panic!("{b:?} has no dilated convolutions");
        };
        let last = b.dilations().count() - 1;
        let wave = |(l, dilation): (usize, usize)| {
            let map = |stem: &str| Map::new(b, flat, &format!("layers.{l}.{stem}"));
            Ok(Wave {
                dilation,
                dilated: map("dilated")?,
                residual: (l < last).then(|| map("residual")).transpose()?,
                skip: map("skip")?,
                places: Tensor::arange(0f32, dilation as f32, flat.device())?.reshape((1, dilation))?,
            })
        };
        Ok(Self {
            channels,
            turns: 1 << (layers - 1),
            input: Map::new(b, flat, "input")?,
            layers: b.dilations().enumerate().map(wave).collect::<Result<_>>()?,
            output: Map::new(b, flat, "output")?,
        })
    }

    /// The input of the head, from the sum of the skips.
    fn top(&self, skip: &Tensor) -> Result<Tensor> {
        activated(Activation::Relu, &self.output.of(&activated(Activation::Relu, skip)?)?)
    }

    /// Takes one reading of every row; returns the new rows and the input of the head. Each ring is
    /// written as a whole, because the position of its oldest entry differs between rows.
    pub fn advance(&self, rows: &Tensor, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let (n, c) = (rows.dim(0)?, self.channels);
        let turn = rows.narrow(1, 0, 1)?.contiguous()?;
        let turned = |turn: &Tensor, by: usize| -> Result<Tensor> {
            // Exact, because the number of turns is a power of 2.
            turn - ((turn / by as f64)?.floor()? * by as f64)?
        };
        let mut parts = vec![turned(&(&turn + 1.0)?, self.turns)?];
        let (mut now, mut skip) = (self.input.of(x)?, None);
        let mut from = 1;
        for wave in &self.layers {
            let size = (n, wave.dilation, c);
            let ring = rows.narrow(1, from, wave.dilation * c)?.contiguous()?.reshape(size)?;
            from += wave.dilation * c;
            let here = turned(&turn, wave.dilation)?.broadcast_eq(&wave.places)?;
            let here = here.unsqueeze(2)?.broadcast_as(size)?.contiguous()?;
            let old = here.where_cond(&ring, &ring.zeros_like()?)?.sum(1)?;
            let entry = now.unsqueeze(1)?.broadcast_as(size)?.contiguous()?;
            parts.push(here.where_cond(&entry, &ring)?.reshape((n, wave.dilation * c))?);
            let gated = wave.gated(&old, &now)?;
            skip = added(skip, wave.skip.of(&gated)?)?;
            if let Some(residual) = &wave.residual {
                now = (now + residual.of(&gated)?)?;
            }
        }
        let top = self.top(&skip.expect("there is a layer"))?;
        Ok((Tensor::cat(&parts, 1)?, top))
    }

    /// The forward pass over a chunk, `x` `[steps · batch, inputs]`. The head sees the steps from
    /// `early` on; earlier ones get no gradient. `state` has rows as an arena gives them.
    pub fn sequence(
        &self,
        x: &Tensor,
        state: Option<&[f32]>,
        [early, steps, batch]: [usize; 3],
    ) -> Result<Tensor> {
        let c = self.channels;
        let (before, rows) = (early * batch, steps * batch);
        let (mut now, mut skip) = (self.input.of(x)?, None);
        let mut ring = 1;
        for wave in &self.layers {
            let past = self.past(state, ring, wave.dilation, batch, x.device())?;
            ring += wave.dilation * c;
            let here = match before {
                0 => now,
                _ if before == rows => now.detach(),
                _ => {
                    let late = now.narrow(0, before, rows - before)?;
                    Tensor::cat(&[&now.narrow(0, 0, before)?.detach(), &late], 0)?
                }
            };
            let old = Tensor::cat(&[&past, &here], 0)?.narrow(0, 0, rows)?;
            let gated = wave.gated(&old, &here)?;
            skip = added(skip, wave.skip.of(&gated)?)?;
            now = match &wave.residual {
                Some(residual) => (&here + residual.of(&gated)?)?,
                None => here,
            };
        }
        let skip = skip.expect("there is a layer").narrow(0, before, rows - before)?;
        self.top(&skip)
    }

    /// The entries of a ring, the oldest first, `[dilation · batch, channels]`; zeros when cold.
    fn past(
        &self,
        state: Option<&[f32]>,
        ring: usize,
        dilation: usize,
        batch: usize,
        device: &Device,
    ) -> Result<Tensor> {
        let (c, size) = (self.channels, (dilation * batch, self.channels));
        let Some(rows) = state else { return Tensor::zeros(size, DType::F32, device) };
        let mut values = Vec::with_capacity(dilation * batch * c);
        for past in 0..dilation {
            for row in rows.chunks_exact(rows.len() / batch) {
                let entry = (row[0] as usize + past) % dilation;
                values.extend_from_slice(&row[ring + entry * c..][..c]);
            }
        }
        Tensor::from_vec(values, size, device)
    }
}

fn added(sum: Option<Tensor>, more: Tensor) -> Result<Option<Tensor>> {
    Ok(Some(match sum {
        Some(sum) => (sum + more)?,
        None => more,
    }))
}
