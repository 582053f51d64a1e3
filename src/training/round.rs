use super::batches::{Batches, Cut};
use super::schedule::Start;
use crate::config::{
    self, ActivationKind, Architecture, CellKind, HeadKind, LayerKind, LossKind, NormKind, Stream,
};
use crate::nn::{
    Activation, Blueprint, Cell, Device, Dropout, Error, Family, Head, Loss, Norm, OptimiserState, Recurrent,
    Trainer, TrainerSettings, Weights,
};
use crate::series::{Features, WindowCopy};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::f64::consts::PI;
use std::sync::Arc;

/// Steps from one checkpoint, judged on the held-out readings, to the next.
const CHECKPOINT: usize = 20;
/// The most series on which a checkpoint is judged.
const JUDGES: usize = 256;
/// Series judged in one go.
const JUDGED_AT_ONCE: usize = 32;

/// A network and how far its optimiser has come.
#[derive(Clone, Debug)]
pub struct Trained {
    pub weights: Arc<Weights>,
    /// `None` where a bundle came without: it starts afresh.
    pub optimiser: Option<OptimiserState>,
}

/// What a round is made of.
pub struct Round<'a> {
    pub stream: &'a Stream,
    pub samples: &'a [WindowCopy],
    /// The network that serves; `None` before the first.
    pub champion: Option<&'a Trained>,
    pub start: Start,
    /// The number of the round: with the stream's seed it makes all randomness.
    pub number: u64,
}

/// What came of a round.
#[derive(Debug)]
pub enum Outcome {
    /// A network that is better on the held-out readings than the champion and than no correction.
    Better { trained: Trained, loss: f64, champion_loss: f64 },
    /// None was better.
    Rejected { loss: f64, champion_loss: f64 },
    /// The windows are too short yet.
    TooYoung,
    /// The caller stopped it.
    Stopped,
}

/// Why a round failed.
#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    #[error("the network: {0}")]
    Network(#[from] Error),
}

/// Where a stream's networks serve and learn.
///
/// # Errors
/// When the config names a GPU that is not there.
pub fn device(stream: &Stream) -> Result<Device, Error> {
    match stream.model.device {
        config::Device::Auto => Ok(Device::auto()),
        config::Device::Cpu => Ok(Device::cpu()),
        config::Device::Cuda(number) => Device::cuda(number),
    }
}

/// The shape of a stream's network.
///
/// # Errors
/// When the network would be too large.
pub fn blueprint(stream: &Stream) -> Result<Blueprint, Error> {
    let features = Features::new(stream);
    let outputs = loss(stream).levels() * features.outputs();
    let decoder = Head::Decoder { leads: stream.leads().len(), known: features.known() };
    let (family, head) = match stream.model.network {
        Architecture::Recurrent { layers, head } => match head {
            HeadKind::Seq2seq | HeadKind::Direct => (Family::Recurrent(stack(layers)), direct(layers)),
            HeadKind::EncoderDecoder => (Family::Recurrent(stack(layers)), decoder),
            HeadKind::VectorToSequence => (Family::Vector(stack(layers)), decoder),
        },
        Architecture::Convolved { kernel, stride, layers } => {
            (Family::Convolved { kernel, stride, stack: stack(layers) }, direct(layers))
        }
        Architecture::Wavenet { channels, layers, stacks } => {
            (Family::Wavenet { channels, layers, stacks }, Head::Direct)
        }
        Architecture::Dense { readings, layers, hidden, activation } => {
            let activation = match activation {
                ActivationKind::Tanh => Activation::Tanh,
                ActivationKind::Relu => Activation::Relu,
            };
            (Family::Window { readings, layers, hidden, activation }, Head::Direct)
        }
        Architecture::Linear { readings } => {
            let (layers, hidden, activation) = (0, 1, Activation::None);
            (Family::Window { readings, layers, hidden, activation }, Head::Direct)
        }
    };
    Blueprint::of(family, head, features.inputs(), outputs)
}

/// The head of layers that forecast all leads at once.
fn direct(kind: LayerKind) -> Head {
    if kind.norm == NormKind::Output { Head::Normed } else { Head::Direct }
}

fn stack(kind: LayerKind) -> Recurrent {
    let cell = match kind.cell {
        CellKind::Rnn(ActivationKind::Tanh) => Cell::RnnTanh,
        CellKind::Rnn(ActivationKind::Relu) => Cell::RnnRelu,
        CellKind::Lstm => Cell::Lstm,
        CellKind::Gru => Cell::Gru,
        CellKind::GruBefore => Cell::GruBefore,
    };
    let norm = match kind.norm {
        NormKind::Layer => Norm::Layer,
        NormKind::Output | NormKind::None => Norm::None,
        NormKind::Batch => Norm::Batch,
    };
    Recurrent { cell, norm, hidden: kind.hidden, layers: kind.layers, residual: kind.residual }
}

/// A stream's loss. Of quantile levels the median is the first: the network's point.
fn loss(stream: &Stream) -> Loss {
    match stream.training.loss {
        LossKind::Huber(delta) => Loss::Huber(delta as f32),
        LossKind::Squared => Loss::Squared,
        LossKind::Pinball => {
            let others = stream.levels.iter().map(|level| level.get() as f32).filter(|level| *level != 0.5);
            Loss::Pinball([0.5].into_iter().chain(others).collect())
        }
    }
}

/// What a step's learning rate is of the highest: it rises over `warm_up` steps and falls to `least`
/// along a cosine (RECIPE.md's experiments).
fn schedule(step: usize, steps: usize, warm_up: usize, least: f64) -> f64 {
    let rise = ((step + 1) as f64 / warm_up as f64).min(1.0);
    let fall = 0.5 * (1.0 + (PI * step as f64 / steps as f64).cos());
    rise * (least + (1.0 - least) * fall)
}

impl Round<'_> {
    /// Trains from the champion or afresh. Its checkpoints, and the champion (without one, "no
    /// correction"), are judged on the newest held-out readings; the best is the outcome (RECIPE.md). After every mini-batch `go_on` may wait, and may end the round
    /// by saying no.
    ///
    /// # Errors
    /// When the network can't be trained: its gradients are not finite, or the device fails.
    pub fn run(&self, go_on: &mut dyn FnMut() -> bool) -> Result<Outcome, RoundError> {
        let Some(mut batches) = Batches::new(self.stream, self.samples) else { return Ok(Outcome::TooYoung) };
        let settings = &self.stream.training;
        let seed = settings.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(self.number);
        let from = self.champion.filter(|_| self.start == Start::Refresh);
        let (steps, rate, warm_up, least) = match from {
            None => (settings.budget.first_steps, settings.learning_rate, 20, 0.1),
            Some(_) => (settings.budget.steps, settings.refresh_learning_rate, 5, 0.2),
        };
        let fresh = Arc::new(Weights::initial(&blueprint(self.stream)?, seed));
        let device = device(self.stream)?;
        // Moments of other readings, made for another rate, are worse than none.
        let trainer = |weights: &Weights| {
            let settings = TrainerSettings {
                learning_rate: rate,
                weight_decay: settings.weight_decay,
                clip_norm: settings.clip_norm,
                dropout: Dropout {
                    input: settings.input_dropout as f32,
                    recurrent: settings.recurrent_dropout as f32,
                    between: settings.layer_dropout as f32,
                },
                seed,
                teacher_forcing: settings.teacher_forcing as f32,
                loss: loss(self.stream),
            };
            Trainer::on(&device, weights, None, settings)
        };
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut cut = Cut::default();
        let rival = trainer(self.champion.map_or(&fresh, |champion| &champion.weights))?;
        let champion_loss = self.judge(&mut batches, &rival, &mut cut)?;
        let mut trainer = if from.is_some() { rival } else { trainer(&fresh)? };
        let mut best: Option<(f64, Trained)> = None;
        let mut lowest = f64::INFINITY;
        for step in 0..steps {
            trainer.set_learning_rate(rate * schedule(step, steps, warm_up, least))?;
            batches.learn(settings.batch, &mut rng, &mut cut);
            trainer.chunk(&cut.chunk())?;
            if !go_on() {
                return Ok(Outcome::Stopped);
            }
            if (step + 1) % CHECKPOINT == 0 || step + 1 == steps {
                let loss = self.judge(&mut batches, &trainer, &mut cut)?;
                lowest = lowest.min(loss);
                if loss < best.as_ref().map_or(champion_loss, |(least, _)| *least) {
                    let trained = Trained {
                        weights: Arc::new(trainer.weights()),
                        optimiser: Some(trainer.optimiser_state()),
                    };
                    best = Some((loss, trained));
                }
            }
        }
        Ok(match best {
            Some((loss, trained)) => Outcome::Better { trained, loss, champion_loss },
            None => Outcome::Rejected { loss: lowest, champion_loss },
        })
    }

    /// Mean loss over the held-out readings.
    fn judge(&self, batches: &mut Batches<'_>, trainer: &Trainer, cut: &mut Cut) -> Result<f64, Error> {
        let judges = self.samples.len().min(JUDGES);
        let (mut sum, mut count) = (0.0, 0.0);
        for from in (0..judges).step_by(JUDGED_AT_ONCE) {
            batches.judge(from..judges.min(from + JUDGED_AT_ONCE), cut);
            let (s, n) = trainer.evaluate(&cut.chunk())?;
            (sum, count) = (sum + s, count + n);
        }
        Ok(if count > 0.0 { sum / count } else { f64::INFINITY })
    }
}
