use super::batches::{Batches, MiniBatch};
use super::judge::Losses;
use super::schedule::Start;
use super::shape::{blueprint, device, loss};
use crate::config::{NetworkKind, Promotion, Stream};
use crate::domain::RoundScores;
use crate::nn::{Dropout, Error, Networks, Trained, Trainer, TrainerSettings, Weights};
use crate::scoring::Verdict;
use crate::series::WindowCopy;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::f64::consts::PI;
use std::sync::Arc;

/// Steps between two checkpoints. Each checkpoint is judged on the held-out readings.
const CHECKPOINT: usize = 20;
/// The confidence that a challenger needs that saves less than `promotion.gain`.
const PROOF: f64 = 0.95;

/// A round, before it runs.
pub struct TrainingRound<'a> {
    pub stream: &'a Stream,
    pub samples: &'a [WindowCopy],
    /// The networks that serve; `None` before the first.
    pub champion: Option<&'a Networks>,
    /// What the champion is held against.
    pub former: Former<'a>,
    /// The challengers that were better in the round before, and have to be better again. A round with a shadow
    /// trains no other challenger.
    pub shadow: Option<&'a Networks>,
    pub start: Start,
    /// The number of the round. With the stream's seed it determines all randomness.
    pub number: u64,
}

/// What served before the champion, while the champion is watched.
#[derive(Clone, Copy, Debug)]
pub enum Former<'a> {
    /// The champion is not watched, or no longer.
    Unwatched,
    /// The base alone.
    Base,
    Networks(&'a Networks),
}

/// The outcome of a round.
#[derive(Debug)]
pub enum Outcome {
    /// At least one network is better on the held-out readings than the champion's and than its base alone. The
    /// others are the champion's.
    Better { networks: Networks, scores: RoundScores },
    /// The networks that were better. They have to be better once more, on readings that are still to come.
    Shadowed { networks: Networks, scores: RoundScores },
    /// No network was better.
    Rejected(RoundScores),
    /// The champion is worse than its predecessor.
    Worse(RoundScores),
    /// The windows are still too short.
    TooYoung,
    /// The caller stopped it.
    Stopped,
}

impl Outcome {
    /// The scores, when the round came to its end.
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

/// The learning rate of a step as a share of the highest: it rises linearly over `warm_up` steps, and falls to
/// `least` along a cosine (Loshchilov and Hutter, 2017).
fn schedule(step: usize, steps: usize, warm_up: usize, least: f64) -> f64 {
    let rise = ((step + 1) as f64 / warm_up as f64).min(1.0);
    let fall = 0.5 * (1.0 + (PI * step as f64 / steps as f64).cos());
    rise * (least + (1.0 - least) * fall)
}

impl TrainingRound<'_> {
    /// Runs the round.
    ///
    /// 1. While the champion is watched, it is held against its predecessor. If it is worse, the round ends.
    /// 2. The shadow is tried. Without one, a challenger is trained for each network of the stream, from the
    ///    champion's weights or from fresh ones; the best of its checkpoints counts.
    /// 3. Each challenger is judged by itself against the champion's network and the base alone. The base
    ///    stands in for an absent network.
    ///
    /// All are judged on the same newest readings, from which nothing in the round learns. After every
    /// mini-batch `go_on` may wait; it ends the round by returning false.
    ///
    /// # Errors
    /// When a network can't be trained: its gradients are not finite, or the device fails.
    pub fn run(&self, go_on: &mut dyn FnMut() -> bool) -> Result<Outcome, RoundError> {
        let kinds = &self.stream.model.networks;
        let batches = kinds.iter().map(|kind| Batches::new(self.stream, kind, self.samples));
        let Some(mut batches) = batches.collect::<Option<Vec<_>>>() else { return Ok(Outcome::TooYoung) };
        let (mut buffers, rules) = (MiniBatch::default(), self.stream.promotion);
        let base = Losses::of(self.stream, &mut batches[0], None, &mut buffers)?;
        let champions = self.champion.map(|c| self.judge(c, &mut batches, &mut buffers)).transpose()?;
        let mut rivals = Rivals::new(&base, champions.as_deref());
        if let (Some(champion), false) = (&rivals.champion, matches!(self.former, Former::Unwatched)) {
            let former = match self.former {
                Former::Networks(former) => together(&base, &self.judge(former, &mut batches, &mut buffers)?),
                Former::Unwatched | Former::Base => base.clone(),
            };
            let verdict = former.against(champion);
            rivals.former = Some(former.mean());
            if verdict.is_better(rules.rollback_confidence) {
                return Ok(Outcome::Worse(rivals.scores(None, verdict)));
            }
        }
        let mut challengers = Vec::with_capacity(kinds.len());
        for (at, kind) in kinds.iter().enumerate() {
            challengers.push(match self.shadow.map(|shadow| shadow.get(&kind.name)) {
                Some(Some(shadow)) => {
                    Some((shadow.clone(), self.judge_one(shadow, &mut batches[at], &mut buffers)?))
                }
                // This network is not on trial.
                Some(None) => None,
                None => match self.train(at, &mut batches[at], &mut buffers, go_on)? {
                    None => return Ok(Outcome::Stopped),
                    trained => trained,
                },
            });
        }
        let mut better = Networks::default();
        let (mut all, mut next) = (Vec::new(), Vec::new());
        for (at, kind) in kinds.iter().enumerate() {
            let own = champions.as_ref().and_then(|all| all[at].clone());
            let Some((trained, losses)) = challengers[at].take() else {
                all.push(own.clone());
                next.push(own);
                continue;
            };
            let mine = Rivals { base: base.clone(), champion: own.clone(), former: None };
            let is_better = mine.verdict(&losses, rules).0;
            if is_better {
                better.insert(&kind.name, trained);
            }
            all.push(Some(losses.clone()));
            next.push(if is_better { Some(losses) } else { own });
        }
        // The scores are those of the networks that serve together from now on or, where nothing changes, of all
        // that were tried.
        let scored = if better.is_empty() { all } else { next };
        let scores = rivals.verdict(&together(&base, &scored), rules).1;
        Ok(match (better.is_empty(), rules.shadow && self.shadow.is_none()) {
            (true, _) => Outcome::Rejected(scores),
            (false, true) => Outcome::Shadowed { networks: better, scores },
            (false, false) => Outcome::Better { networks: self.with(better), scores },
        })
    }

    /// The champion's networks, with those replaced that were better.
    fn with(&self, better: Networks) -> Networks {
        let kept = self.champion.into_iter().flat_map(Networks::iter);
        kept.chain(better.iter()).map(|(name, trained)| (name, trained.clone())).collect()
    }

    /// The best checkpoint of one network and its losses; `None` when `go_on` returned false.
    fn train(
        &self,
        at: usize,
        batches: &mut Batches<'_>,
        buffers: &mut MiniBatch,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<(Trained, Losses)>, RoundError> {
        let settings = &self.stream.training;
        let kind = &self.stream.model.networks[at];
        let from = self.champion.filter(|_| self.start == Start::Refresh).and_then(|c| c.get(&kind.name));
        let seed = self.seed(at);
        let (steps, rate, warm_up, least) = match from {
            None => (settings.budget.first_steps, settings.learning_rate, 20, 0.1),
            Some(_) => (settings.budget.steps, settings.refresh_learning_rate, 5, 0.2),
        };
        let mut trainer = match from {
            Some(champion) => self.trainer(&champion.weights, rate, seed)?,
            None => self.trainer(&Weights::initial(&blueprint(self.stream, kind)?, seed), rate, seed)?,
        };
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut best: Option<(Trained, Losses)> = None;
        for step in 0..steps {
            trainer.set_learning_rate(rate * schedule(step, steps, warm_up, least))?;
            batches.learn(settings.batch, &mut rng, buffers);
            trainer.chunk(&buffers.chunk())?;
            if !go_on() {
                return Ok(None);
            }
            if (step + 1) % CHECKPOINT == 0 || step + 1 == steps {
                let losses = Losses::of(self.stream, batches, Some(&trainer), buffers)?;
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

    /// The losses of each network of the stream; `None` for an absent one.
    fn judge(
        &self,
        networks: &Networks,
        batches: &mut [Batches<'_>],
        buffers: &mut MiniBatch,
    ) -> Result<Vec<Option<Losses>>, RoundError> {
        let each = self.stream.model.networks.iter().zip(batches);
        let mut judge = |(kind, batches): (&NetworkKind, &mut Batches<'_>)| {
            networks.get(&kind.name).map(|network| self.judge_one(network, batches, buffers)).transpose()
        };
        each.map(&mut judge).collect()
    }

    fn judge_one(
        &self,
        network: &Trained,
        batches: &mut Batches<'_>,
        buffers: &mut MiniBatch,
    ) -> Result<Losses, RoundError> {
        let trainer = self.trainer(&network.weights, self.stream.training.learning_rate, self.seed(0))?;
        Ok(Losses::of(self.stream, batches, Some(&trainer), buffers)?)
    }

    /// The optimiser starts afresh: moments of other readings, made for another rate, are worse than none.
    fn trainer(&self, weights: &Weights, learning_rate: f64, seed: u64) -> Result<Trainer, Error> {
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
            seed,
            teacher_forcing: settings.teacher_forcing as f32,
            loss: loss(self.stream),
        };
        Trainer::on(&device(self.stream)?, weights, None, settings)
    }

    /// The seed of one network in this round.
    fn seed(&self, at: usize) -> u64 {
        let seed = self.stream.training.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(self.number);
        seed.wrapping_add((at as u64).wrapping_mul(0xD1B5_4A32_D192_ED03))
    }
}

/// The losses of networks together. The base stands in for absent ones.
fn together(base: &Losses, networks: &[Option<Losses>]) -> Losses {
    Losses::together(&networks.iter().map(|losses| losses.as_ref().unwrap_or(base)).collect::<Vec<_>>())
}

/// What a challenger has to beat.
struct Rivals {
    base: Losses,
    champion: Option<Losses>,
    former: Option<f64>,
}

impl Rivals {
    /// The rivals of all networks of a stream together.
    fn new(base: &Losses, champions: Option<&[Option<Losses>]>) -> Self {
        let alone = vec![None; champions.map_or(1, <[_]>::len)];
        Self {
            base: together(base, &alone),
            champion: champions.map(|champions| together(base, champions)),
            former: None,
        }
    }

    /// Whether a challenger is better than the champion and than the base, by the test against the one that is
    /// harder to beat. Where it saves little of the base's loss, it needs [`PROOF`]. The test takes no account
    /// of the choice among checkpoints: they resemble each other too much to count as separate tries.
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
