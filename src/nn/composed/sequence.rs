//! A whole chunk through the network. What is before the steps that are learnt from makes the states
//! that serving would have, and gets no gradient.

use candle_core::{Device, Result, Tensor};

use super::decoder::{Decoder, Forced};
use super::layer::State;
use super::stack::{Moments, Stack, Walk, dropped};
use super::{Body, Composed, Map, Tail, activated, dense};
use crate::nn::train::{Chunk, Masks, Past, Strides, Way, readings_side_by_side};
use crate::nn::{Activation, Family};

/// A chunk on its way.
pub(super) struct Lap<'a> {
    pub chunk: &'a Chunk<'a>,
    /// The features of all readings, burn-in first, `[burn_in + steps, batch, inputs]`.
    pub x: &'a [f32],
    pub way: &'a Way,
    pub device: &'a Device,
}

/// What a chunk made.
pub(super) struct Made {
    /// What is forecast at the steps that are learnt from, `[steps · batch, outputs]`.
    pub y: Tensor,
    /// Of the batch norms, when they took the statistics of the chunk.
    pub moments: Vec<Moments>,
}

/// What the layers below the head made of the steps that are learnt from.
#[derive(Default)]
struct Below {
    /// `[steps · batch, top]`
    top: Option<Tensor>,
    /// The top layer's state after every step, `[steps · batch, hidden]`.
    carried: Option<State>,
    moments: Vec<Moments>,
}

impl Composed {
    /// `served` has the parameters as they serve: batch norms folded in, and no gradient.
    pub fn sequence(&self, served: &Self, lap: &Lap) -> Result<Made> {
        let (chunk, b) = (lap.chunk, &self.blueprint);
        let (warm, all) = (chunk.burn_in, chunk.burn_in + chunk.steps);
        let rows = chunk.steps * chunk.batch;
        let late = &lap.x[warm * chunk.batch * b.inputs()..];
        let late = Tensor::from_slice(late, (rows, b.inputs()), lap.device)?;
        let below = match (&self.body, &served.body) {
            (Body::Stack(stack), Body::Stack(served)) => self.stacked([stack, served], lap)?,
            (Body::Convolved { conv, stack }, Body::Convolved { conv: c, stack: s }) => {
                self.convolved([(conv, stack), (c, s)], lap)?
            }
            (Body::Window { layers, activation }, _) => {
                let mut window = Vec::new();
                readings_side_by_side(b, chunk, lap.x, &lap.way.masks, &mut window);
                let window = Tensor::from_vec(window, (rows, ()), lap.device)?;
                Below { top: Some(dense(layers, *activation, window)?), ..Below::default() }
            }
            (Body::Wavenet(wavenet), _) => {
                let x = masked(lap.x, &lap.way.masks);
                let x = Tensor::from_slice(&x, (all * chunk.batch, b.inputs()), lap.device)?;
                let top = wavenet.sequence(&x, chunk.state, [warm, all, chunk.batch])?;
                Below { top: Some(top), ..Below::default() }
            }
            (Body::Vector, _) => Below::default(),
            _ => unreachable!("both have one blueprint"),
        };
        let y = match &self.head {
            Tail::Direct(head) => {
                head.of(below.top.as_ref().expect("something is below a direct head"), &late)?
            }
            Tail::Decoder(decoder) => {
                let forced = if lap.way.forced { Some(self.forced(decoder, lap)?) } else { None };
                decoder.unroll(below.carried, &late, forced.as_ref())?
            }
        };
        Ok(Made { y, moments: below.moments })
    }

    fn stacked(&self, [stack, served]: [&Stack; 2], lap: &Lap) -> Result<Below> {
        let (chunk, b) = (lap.chunk, &self.blueprint);
        let (batch, warm, steps) = (chunk.batch, chunk.burn_in, chunk.steps);
        let x = Tensor::from_slice(lap.x, (warm + steps, batch, b.inputs()), lap.device)?;
        let x = x.narrow(2, 0, b.features())?.contiguous()?;
        let part = |from: usize, count: usize| -> Result<Vec<Tensor>> {
            (from..from + count).map(|t| x.get(t)).collect()
        };
        let masks = dropped(&lap.way.masks, batch, lap.device)?;
        let mut start = starting(self, stack, lap, 0)?;
        if warm > 0 {
            let walk = served.walk(part(0, warm)?, &start, &masks, false)?;
            start = walk.last(&start);
        }
        let walk = stack.walk(part(warm, steps)?, &start, &masks, lap.way.learn)?;
        let top = Some(Tensor::cat(&walk.tops, 0)?);
        let carried = walk.states.last().map(|all| gathered(all, None)).transpose()?;
        Ok(Below { top, carried, moments: walk.moments })
    }

    fn convolved(&self, [live, served]: [(&Map, &Stack); 2], lap: &Lap) -> Result<Below> {
        let (chunk, b) = (lap.chunk, &self.blueprint);
        let (batch, warm, steps) = (chunk.batch, chunk.burn_in, chunk.steps);
        let Family::Convolved { kernel, .. } = b.family() else { panic!("{b:?} has no convolution") };
        let x = masked(lap.x, &lap.way.masks);
        // What enters the layers is masked where it enters the convolution.
        let mut masks = lap.way.masks.clone();
        masks.iter_mut().take(1).for_each(|m| m.x = None);
        let masks = dropped(&masks, batch, lap.device)?;
        let mut past = Past::of(b, chunk.state, batch);
        let mut strides = Strides::default();
        let mut start = starting(self, live.1, lap, 1 + (kernel - 1) * b.inputs())?;
        let walk =
            |(conv, stack): (&Map, &Stack), strides: &Strides, start: &[State], learn| -> Result<Walk> {
                let mut entering = Vec::with_capacity(strides.count);
                for window in strides.window.chunks_exact(batch * kernel * b.inputs()) {
                    let window = Tensor::from_slice(window, (batch, kernel * b.inputs()), lap.device)?;
                    entering.push(activated(Activation::Relu, &conv.of(&window)?)?);
                }
                stack.walk(entering, start, &masks, learn)
            };
        // Row `b` after its `n`th full stride stands at `n · batch + b`, behind what it started with.
        let places = |strides: &Strides, steps: std::ops::Range<usize>| {
            let at = |t: usize, r: usize| (strides.nth(t, r) * batch + r) as u32;
            let all: Vec<u32> = steps.flat_map(|t| (0..batch).map(move |r| at(t, r))).collect();
            Tensor::from_slice(&all, all.len(), lap.device)
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
        let (x, shown) = (&x[warm * batch * b.inputs()..], live.1.shown(&start)?);
        strides.fill(b, &past, x, [steps, batch]);
        let walk = walk(live, &strides, &start, lap.way.learn)?;
        let tops: Vec<Tensor> = [shown].into_iter().chain(walk.tops).collect();
        let top = Tensor::cat(&tops, 0)?.index_select(&places(&strides, 0..steps)?, 0)?;
        Ok(Below { top: Some(top), carried: None, moments: walk.moments })
    }

    /// What a decoder is given: the targets that have arrived.
    fn forced(&self, decoder: &Decoder, lap: &Lap) -> Result<Forced> {
        let chunk = lap.chunk;
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
            given: Tensor::from_vec(given, size, lap.device)?,
            arrived: Tensor::from_vec(arrived, size, lap.device)?,
        })
    }
}

/// Every layer's state at a chunk's start.
fn starting(network: &Composed, stack: &Stack, lap: &Lap, offset: usize) -> Result<Vec<State>> {
    let batch = lap.chunk.batch;
    match lap.chunk.state {
        Some(rows) => {
            let rows = Tensor::from_slice(rows, (batch, network.blueprint.row_width()), lap.device)?;
            stack.read(&rows, offset)
        }
        None => stack.cold(batch, lap.device),
    }
}

/// States one below the other, or the rows of them that are asked for.
fn gathered(states: &[State], places: Option<&Tensor>) -> Result<State> {
    let of = |all: Vec<&Tensor>| {
        let all = Tensor::cat(&all, 0)?;
        places.map_or(Ok(all.clone()), |places| all.index_select(places, 0))
    };
    let c: Option<Vec<&Tensor>> = states.iter().map(|s| s.c.as_ref()).collect();
    Ok(State { h: of(states.iter().map(|s| &s.h).collect())?, c: c.map(of).transpose()? })
}

/// Features of all steps after the dropout of what enters.
fn masked(x: &[f32], masks: &[Masks]) -> Vec<f32> {
    match masks.first().and_then(|m| m.x.as_ref()) {
        Some(mask) => x.iter().zip(mask.iter().cycle()).map(|(x, m)| x * m).collect(),
        None => x.to_vec(),
    }
}
