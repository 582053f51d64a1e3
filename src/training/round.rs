use super::batches::{Batches, Cut};
use super::judge::Losses;
use super::schedule::Start;
use super::shape::{blueprint, device, loss};
use crate::config::{Promotion, Stream};
use crate::domain::RoundScores;
use crate::evaluation::Verdict;
use crate::nn::{Dropout, Error, OptimiserState, Trainer, TrainerSettings, Weights};
use crate::series::WindowCopy;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::f64::consts::PI;
use std::sync::Arc;

/// Steps from one checkpoint, judged on the held-out readings, to the next.
const CHECKPOINT: usize = 20;
/// How sure it must be that a challenger is better that saves less than `promotion.gain`.
const PROOF: f64 = 0.95;

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
    /// What the champion is still held against.
    pub former: Former<'a>,
    /// The challenger that was better in the round before and has to be so again; the round is its trial,
    /// and trains none.
    pub shadow: Option<&'a Trained>,
    pub start: Start,
    /// The number of the round: with the stream's seed it makes all randomness.
    pub number: u64,
}

/// What served before the champion, while that is watched.
#[derive(Clone, Copy, Debug)]
pub enum Former<'a> {
    /// It is not watched (any more).
    Unwatched,
    /// The base alone.
    Base,
    Network(&'a Trained),
}

/// What came of a round.
#[derive(Debug)]
pub enum Outcome {
    /// A network that is better on the held-out readings than the champion and than its base alone.
    Better { trained: Trained, scores: RoundScores },
    /// As [`Outcome::Better`], but it has to be so once more on readings that are still to come.
    Shadowed { trained: Trained, scores: RoundScores },
    /// None was.
    Rejected(RoundScores),
    /// The champion is worse than what served before it.
    Worse(RoundScores),
    /// The windows are too short yet.
    TooYoung,
    /// The caller stopped it.
    Stopped,
}

impl Outcome {
    /// What was found, where the round came to its end.
    pub fn scores(&self) -> Option<RoundScores> {
        match self {
            Self::Better { scores, .. }
            | Self::Shadowed { scores, .. }
            | Self::Rejected(scores)
            | Self::Worse(scores) => Some(*scores),
            Self::TooYoung | Self::Stopped => None,
        }
    }
}

/// Why a round failed.
#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    #[error("the network: {0}")]
    Network(#[from] Error),
}

/// What a step's learning rate is of the highest: it rises over `warm_up` steps and falls to `least`
/// along a cosine (RECIPE.md's experiments).
fn schedule(step: usize, steps: usize, warm_up: usize, least: f64) -> f64 {
    let rise = ((step + 1) as f64 / warm_up as f64).min(1.0);
    let fall = 0.5 * (1.0 + (PI * step as f64 / steps as f64).cos());
    rise * (least + (1.0 - least) * fall)
}

impl Round<'_> {
    /// Holds the champion against what served before it, while it is watched; then tries a shadow, or
    /// trains a challenger: from the champion or afresh, the best of its checkpoints (RECIPE.md). All are
    /// judged on the same newest readings, from which nothing in the round learns, and so is the base
    /// alone. After every mini-batch `go_on` may wait, and may end the round by saying no.
    ///
    /// # Errors
    /// When the network can't be trained: its gradients are not finite, or the device fails.
    pub fn run(&self, go_on: &mut dyn FnMut() -> bool) -> Result<Outcome, RoundError> {
        let Some(mut batches) = Batches::new(self.stream, self.samples) else { return Ok(Outcome::TooYoung) };
        let mut cut = Cut::default();
        let rules = self.stream.promotion;
        let base = self.judge(&mut batches, None, &mut cut)?;
        let champion = self.champion.map(|c| self.judge(&mut batches, Some(c), &mut cut)).transpose()?;
        let mut bench = Bench { base, champion, former: None };
        if let (Some(champion), false) = (&bench.champion, matches!(self.former, Former::Unwatched)) {
            let former = match self.former {
                Former::Network(former) => self.judge(&mut batches, Some(former), &mut cut)?,
                Former::Unwatched | Former::Base => bench.base.clone(),
            };
            let verdict = former.against(champion);
            bench.former = Some(former.mean());
            if verdict.is_better(rules.rollback_confidence) {
                return Ok(Outcome::Worse(bench.scores(None, verdict)));
            }
        }
        if let Some(shadow) = self.shadow {
            let losses = self.judge(&mut batches, Some(shadow), &mut cut)?;
            let (better, scores) = bench.verdict(&losses, rules);
            return Ok(match better {
                true => Outcome::Better { trained: shadow.clone(), scores },
                false => Outcome::Rejected(scores),
            });
        }
        let Some((trained, losses)) = self.train(&mut batches, &mut cut, go_on)? else {
            return Ok(Outcome::Stopped);
        };
        let (better, scores) = bench.verdict(&losses, rules);
        Ok(match (better, rules.shadow) {
            (false, _) => Outcome::Rejected(scores),
            (true, false) => Outcome::Better { trained, scores },
            (true, true) => Outcome::Shadowed { trained, scores },
        })
    }

    /// The best checkpoint and what it lost; `None` when `go_on` said no.
    fn train(
        &self,
        batches: &mut Batches<'_>,
        cut: &mut Cut,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<(Trained, Losses)>, RoundError> {
        let settings = &self.stream.training;
        let from = self.champion.filter(|_| self.start == Start::Refresh);
        let (steps, rate, warm_up, least) = match from {
            None => (settings.budget.first_steps, settings.learning_rate, 20, 0.1),
            Some(_) => (settings.budget.steps, settings.refresh_learning_rate, 5, 0.2),
        };
        let mut trainer = match from {
            Some(champion) => self.trainer(&champion.weights, rate)?,
            None => self.trainer(&Weights::initial(&blueprint(self.stream)?, self.seed()), rate)?,
        };
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed());
        let mut best: Option<(Trained, Losses)> = None;
        for step in 0..steps {
            trainer.set_learning_rate(rate * schedule(step, steps, warm_up, least))?;
            batches.learn(settings.batch, &mut rng, cut);
            trainer.chunk(&cut.chunk())?;
            if !go_on() {
                return Ok(None);
            }
            if (step + 1) % CHECKPOINT == 0 || step + 1 == steps {
                let losses = Losses::of(self.stream, batches, Some(&trainer), cut)?;
                if best.as_ref().is_none_or(|(_, least)| losses.mean() < least.mean()) {
                    let trained = Trained {
                        weights: Arc::new(trainer.weights()),
                        optimiser: Some(trainer.optimiser_state()),
                    };
                    best = Some((trained, losses));
                }
            }
        }
        Ok(best)
    }

    fn judge(
        &self,
        batches: &mut Batches<'_>,
        network: Option<&Trained>,
        cut: &mut Cut,
    ) -> Result<Losses, RoundError> {
        let rate = self.stream.training.learning_rate;
        let trainer = network.map(|network| self.trainer(&network.weights, rate)).transpose()?;
        Ok(Losses::of(self.stream, batches, trainer.as_ref(), cut)?)
    }

    /// Moments of other readings, made for another rate, are worse than none: none are taken over.
    fn trainer(&self, weights: &Weights, learning_rate: f64) -> Result<Trainer, Error> {
        let settings = &self.stream.training;
        let settings = TrainerSettings {
            learning_rate,
            weight_decay: settings.weight_decay,
            clip_norm: settings.clip_norm,
            dropout: Dropout {
                input: settings.input_dropout as f32,
                recurrent: settings.recurrent_dropout as f32,
                between: settings.layer_dropout as f32,
            },
            seed: self.seed(),
            teacher_forcing: settings.teacher_forcing as f32,
            loss: loss(self.stream),
        };
        Trainer::on(&device(self.stream)?, weights, None, settings)
    }

    fn seed(&self) -> u64 {
        self.stream.training.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(self.number)
    }
}

/// Whom a challenger has to beat.
struct Bench {
    base: Losses,
    champion: Option<Losses>,
    former: Option<f64>,
}

impl Bench {
    /// Whether it is better than the champion and than the base, by the test of the one that is the harder
    /// to beat: beyond doubt where it saves little of the base's loss. That the best of several checkpoints is a little
    /// lucky is left to these rules: they resemble each other far too much to be counted as so many tries.
    fn verdict(&self, challenger: &Losses, rules: Promotion) -> (bool, RoundScores) {
        let rivals = [Some(&self.base), self.champion.as_ref()].into_iter().flatten();
        let verdicts = rivals.map(|rival| challenger.against(rival));
        let hardest = verdicts
            .max_by(|a, b| (a.gain <= 0.0).cmp(&(b.gain <= 0.0)).then(a.p_value.total_cmp(&b.p_value)));
        let hardest = hardest.expect("there is always a base");
        let saves_enough = challenger.mean() <= (1.0 - rules.gain) * self.base.mean();
        let confidence = if saves_enough { rules.confidence } else { rules.confidence.max(PROOF) };
        let better = hardest.is_better(confidence);
        (better, self.scores(Some(challenger), hardest))
    }

    fn scores(&self, challenger: Option<&Losses>, verdict: Verdict) -> RoundScores {
        RoundScores {
            challenger: challenger.map(Losses::mean),
            champion: self.champion.as_ref().map(Losses::mean),
            former: self.former,
            base: self.base.mean(),
            p_value: verdict.p_value,
            series: verdict.series,
            blocks: verdict.blocks,
        }
    }
}
