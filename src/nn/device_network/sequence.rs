//! A whole chunk through the network. The burn-in only makes the states that serving would have,
//! and gets no gradient.

use candle_core::{Result, Tensor};

use super::{Body, DeviceNetwork, OutputHead};
use crate::nn::family::device::{Below, DeviceSequence, masked};
use crate::nn::head::decoder::device::{Decoder, Forced};
use crate::nn::layer::device::Moments;

/// The outputs of a chunk.
pub(in crate::nn) struct Made {
    /// The forecasts at the steps that the network learns from, `[steps · batch, outputs]`.
    pub y: Tensor,
    /// The batch norms' statistics of the chunk, when they took them.
    pub moments: Vec<Moments>,
}

impl DeviceNetwork {
    /// `served` has the parameters as they serve: with batch norms folded in, and without a
    /// gradient.
    pub fn sequence(&self, served: &Self, sequence: &DeviceSequence) -> Result<Made> {
        let (chunk, b) = (sequence.chunk, &self.blueprint);
        let (warm, all) = (chunk.burn_in, chunk.burn_in + chunk.steps);
        let rows = chunk.steps * chunk.batch;
        let late = &sequence.x[warm * chunk.batch * b.inputs()..];
        let late = Tensor::from_slice(late, (rows, b.inputs()), sequence.device)?;
        let below = match (&self.body, &served.body) {
            (Body::Recurrent(live), Body::Recurrent(served)) => live.sequence(served, b, sequence)?,
            (Body::Convolved(live), Body::Convolved(served)) => live.sequence(served, b, sequence)?,
            (Body::Window(window), _) => window.sequence(b, sequence)?,
            (Body::Wavenet(wavenet), _) => {
                let x = masked(sequence.x, &sequence.mode.masks);
                let x = Tensor::from_slice(&x, (all * chunk.batch, b.inputs()), sequence.device)?;
                let top = wavenet.sequence(&x, chunk.state, [warm, all, chunk.batch])?;
                Below { top: Some(top), ..Below::default() }
            }
            (Body::Vector, _) => Below::default(),
            _ => unreachable!("both have one blueprint"),
        };
        let y = match &self.head {
            OutputHead::Direct(head) => {
                head.of(below.top.as_ref().expect("something is below a direct head"), &late)?
            }
            OutputHead::Decoder(decoder) => {
                let forced = if sequence.mode.forced { Some(self.forced(decoder, sequence)?) } else { None };
                decoder.unroll(below.carried, &late, forced.as_ref())?
            }
        };
        Ok(Made { y, moments: below.moments })
    }

    /// The targets that a decoder gets under teacher forcing: those that have arrived.
    fn forced(&self, decoder: &Decoder, sequence: &DeviceSequence) -> Result<Forced> {
        let chunk = sequence.chunk;
        let (points, leads, each) = (chunk.points(), decoder.leads(), decoder.each());
        let rows = chunk.steps * chunk.batch;
        let (mut given, mut arrived) = (Vec::with_capacity(rows * each * leads), Vec::new());
        for lead in 0..leads {
            for (t, series) in (0..chunk.steps).flat_map(|t| (0..chunk.batch).map(move |s| (t, s))) {
                for i in 0..each {
                    let at = (series * chunk.steps + t) * points + (i * leads + lead) % points;
                    let (target, has) = (chunk.targets[at], chunk.mask[at] > 0.0);
                    given.push(if has { target } else { 0.0 });
                    arrived.push(u8::from(has));
                }
            }
        }
        let size = (leads, rows, each);
        Ok(Forced {
            given: Tensor::from_vec(given, size, sequence.device)?,
            arrived: Tensor::from_vec(arrived, size, sequence.device)?,
        })
    }
}
