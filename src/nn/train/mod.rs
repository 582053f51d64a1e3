//! Training: truncated back-propagation through time on mini-batches of series.
//!
//! Owns the weights in training, the optimiser's moments, the dropout masks and the buffers.
//! Promises that a chunk whose loss or gradient is not finite changes nothing, that the result of
//! [`Trainer::weights`] shares no storage with the trainer, and that on the CPU everything runs on
//! the caller's thread. Never touches an arena.

mod device;
mod kernels;

use std::sync::{Mutex, PoisonError};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::chunk::{Chunk, Loss, PassMode};
use super::dropout::Dropout;
use super::optimiser::{AdamW, OptimiserState, clip};
use super::{Blueprint, Device, Error, Head, Weights};
use crate::simd::Isa;
use device::DevicePass;
use kernels::KernelPass;

/// The settings of training.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainerSettings {
    pub learning_rate: f64,
    /// Decoupled weight decay, of every parameter that has a gradient.
    pub weight_decay: f64,
    /// The largest Euclidean norm of the gradient over all parameters.
    pub clip_norm: f64,
    pub dropout: Dropout,
    /// The share of mini-batches in which a decoder gets the target of the lead before instead of
    /// its own output, where it has arrived (teacher forcing, Williams and Zipser 1989). In the
    /// others it runs freely, as in serving. Other heads ignore it.
    pub teacher_forcing: f32,
    /// The seed of the dropout masks and of teacher forcing.
    pub seed: u64,
    pub loss: Loss,
}

/// Weights in training.
pub struct Trainer {
    blueprint: Blueprint,
    settings: TrainerSettings,
    /// `[parameter_count]`
    values: Vec<f32>,
    optimiser: AdamW,
    rng: ChaCha8Rng,
    engine: Engine,
}

/// How passes are computed.
enum Engine {
    /// Scratch memory: after a panic, the next forward pass overwrites it.
    Kernels(Box<Mutex<KernelPass>>),
    Device(DevicePass),
}

impl Trainer {
    /// Starts from `weights` and, if given, from the state of an optimiser, on the CPU.
    ///
    /// # Errors
    /// [`Error::Setting`]; [`Error::OptimiserState`] when the moments are another network's.
    pub fn new(
        weights: &Weights,
        optimiser: Option<&OptimiserState>,
        settings: TrainerSettings,
    ) -> Result<Self, Error> {
        Self::with(Isa::best(), weights, optimiser, settings)
    }

    /// As [`Self::new`], with this instruction set instead of the best.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with(
        isa: Isa,
        weights: &Weights,
        optimiser: Option<&OptimiserState>,
        settings: TrainerSettings,
    ) -> Result<Self, Error> {
        let engine = Engine::Kernels(Box::new(Mutex::new(KernelPass::on(isa, weights.blueprint()))));
        Self::start(engine, weights, optimiser, settings)
    }

    /// Starts on a device. Forecasts, losses and gradients are computed there. Weights are always
    /// updated on the CPU, so that an optimiser can continue on another device.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn on(
        device: &Device,
        weights: &Weights,
        optimiser: Option<&OptimiserState>,
        settings: TrainerSettings,
    ) -> Result<Self, Error> {
        match device.library() {
            None => Self::new(weights, optimiser, settings),
            Some(device) => {
                let engine = Engine::Device(DevicePass::new(weights.blueprint(), device));
                Self::start(engine, weights, optimiser, settings)
            }
        }
    }

    fn start(
        engine: Engine,
        weights: &Weights,
        optimiser: Option<&OptimiserState>,
        settings: TrainerSettings,
    ) -> Result<Self, Error> {
        let blueprint = *weights.blueprint();
        settings.dropout.check()?;
        check_learning_rate(settings.learning_rate)?;
        check("weight_decay", settings.weight_decay, settings.weight_decay >= 0.0, "0 or more")?;
        let clip = settings.clip_norm;
        check("clip_norm", clip, clip > 0.0 && clip <= 1e6, "above 0 and at most 1e6")?;
        let share = settings.teacher_forcing;
        check("teacher_forcing", f64::from(share), (0.0..=1.0).contains(&share), "from 0 to 1")?;
        match &settings.loss {
            Loss::Squared => {}
            Loss::Huber(delta) => check("loss.huber", f64::from(*delta), *delta > 0.0, "above 0")?,
            Loss::Pinball(levels) => {
                for level in levels.iter() {
                    let inside = *level > 0.0 && *level < 1.0;
                    check("loss.pinball", f64::from(*level), inside, "above 0 and below 1")?;
                }
                if levels.is_empty() || !blueprint.outputs().is_multiple_of(levels.len()) {
                    return Err(Error::Shape("the outputs must be as many for every quantile level"));
                }
            }
        }
        let expected = blueprint.parameter_count();
        let state = match optimiser {
            None => OptimiserState::fresh(expected),
            Some(state) if state.first().len() == expected => state.clone(),
            Some(state) => return Err(Error::OptimiserState { expected, got: state.first().len() }),
        };
        Ok(Self {
            blueprint,
            values: weights.values().to_vec(),
            optimiser: AdamW::new(&blueprint, state, settings.learning_rate, settings.weight_decay),
            rng: ChaCha8Rng::seed_from_u64(settings.seed),
            settings,
            engine,
        })
    }

    /// The shape of its network.
    pub fn blueprint(&self) -> &Blueprint {
        &self.blueprint
    }

    /// # Errors
    /// [`Error::Setting`] unless the rate is above 0 and at most 1.
    pub fn set_learning_rate(&mut self, rate: f64) -> Result<(), Error> {
        check_learning_rate(rate)?;
        self.optimiser.learning_rate = rate;
        Ok(())
    }

    /// A copy of the current weights.
    pub fn weights(&self) -> Weights {
        Weights::try_new(self.blueprint, self.values.clone()).expect("an update keeps count and finiteness")
    }

    /// A copy of the optimiser's state.
    pub fn optimiser_state(&self) -> OptimiserState {
        self.optimiser.state().clone()
    }

    /// Learns from one mini-batch; returns its mean loss before the update. A chunk whose targets
    /// are all masked changes nothing and has loss 0.
    ///
    /// # Errors
    /// [`Error::Length`]; [`Error::NotFinite`] when the loss or its gradient is not finite. Weights
    /// and moments are then as they were.
    pub fn chunk(&mut self, chunk: &Chunk) -> Result<f32, Error> {
        let (loss, mut gradient) = self.gradient(chunk)?;
        if chunk.mask.iter().all(|m| *m == 0.0) {
            return Ok(loss);
        }
        let norm = clip(&mut gradient, self.settings.clip_norm);
        if !loss.is_finite() || !norm.is_finite() {
            return Err(Error::NotFinite("the loss or its gradient"));
        }
        self.optimiser.update(&mut self.values, &gradient)?;
        match &mut self.engine {
            Engine::Kernels(pass) => {
                pass.get_mut().unwrap_or_else(PoisonError::into_inner).settle(&mut self.values);
            }
            Engine::Device(pass) => pass.settle(&mut self.values),
        }
        Ok(loss)
    }

    /// The mean loss of a mini-batch and its gradient before clipping, in the order of
    /// [`Weights::values`], with dropout. Changes no weight.
    ///
    /// # Errors
    /// [`Error::Length`]; [`Error::Tensor`] when the device fails.
    pub fn gradient(&mut self, chunk: &Chunk) -> Result<(f32, Vec<f32>), Error> {
        let (b, loss) = (&self.blueprint, &self.settings.loss);
        chunk.check(b, loss)?;
        let masks = self.settings.dropout.masks(b, chunk.batch, &mut self.rng);
        let decodes = matches!(b.head(), Head::Decoder { .. });
        let forced = decodes && self.rng.random::<f32>() < self.settings.teacher_forcing;
        let mode = PassMode { masks, learn: true, forced };
        let (sum, count, gradient) = match &mut self.engine {
            Engine::Kernels(pass) => {
                let pass = pass.get_mut().unwrap_or_else(PoisonError::into_inner);
                pass.forward(&self.values, chunk, mode);
                let (sum, count) = pass.loss(chunk, loss);
                if count == 0.0 {
                    return Ok((0.0, vec![0.0; self.values.len()]));
                }
                (sum, count, pass.backward(&self.values, chunk, loss, count))
            }
            Engine::Device(pass) => pass.gradient(&self.values, chunk, loss, mode)?,
        };
        let mean = if count == 0.0 { 0.0 } else { sum / count };
        Ok((mean as f32, gradient))
    }

    /// The weighted sum of losses and the sum of weights, without gradient or dropout.
    ///
    /// # Errors
    /// [`Error::Length`].
    pub fn evaluate(&self, chunk: &Chunk) -> Result<(f64, f64), Error> {
        let loss = &self.settings.loss;
        chunk.check(&self.blueprint, loss)?;
        match &self.engine {
            Engine::Kernels(pass) => Ok(self.undropped(pass, chunk, |pass| pass.loss(chunk, loss))),
            Engine::Device(pass) => Ok(pass.evaluate(&self.values, chunk, loss)?),
        }
    }

    /// For each step the weighted sum of its points' losses and the sum of their weights, `[batch,
    /// steps]`, without dropout. The first quantile level of a network counts as its point.
    ///
    /// # Errors
    /// [`Error::Length`].
    pub fn losses(&self, chunk: &Chunk) -> Result<Vec<[f64; 2]>, Error> {
        let said = self.forecast(chunk)?;
        let outputs = self.blueprint.outputs();
        Ok(self.settings.loss.by_step(chunk, |row, point| said[row * outputs + point]))
    }

    /// The forecasts at every step after the burn-in, `[batch, steps, outputs]`, without dropout.
    ///
    /// # Errors
    /// [`Error::Length`].
    pub fn forecast(&self, chunk: &Chunk) -> Result<Vec<f32>, Error> {
        chunk.check(&self.blueprint, &self.settings.loss)?;
        match &self.engine {
            Engine::Kernels(pass) => Ok(self.undropped(pass, chunk, |pass| pass.forecast(chunk))),
            Engine::Device(pass) => Ok(pass.forecast(&self.values, chunk)?),
        }
    }

    fn undropped<R>(
        &self,
        pass: &Mutex<KernelPass>,
        chunk: &Chunk,
        read: impl FnOnce(&KernelPass) -> R,
    ) -> R {
        let mut pass = pass.lock().unwrap_or_else(PoisonError::into_inner);
        pass.forward(&self.values, chunk, PassMode::served());
        read(&pass)
    }
}

fn check(name: &'static str, got: f64, holds: bool, allowed: &'static str) -> Result<(), Error> {
    if holds && got.is_finite() { Ok(()) } else { Err(Error::Setting { name, got, allowed }) }
}

fn check_learning_rate(rate: f64) -> Result<(), Error> {
    check("learning_rate", rate, rate > 0.0 && rate <= 1.0, "above 0 and at most 1")
}
