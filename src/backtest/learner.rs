use crate::config::Stream;
use crate::console::Failure;
use crate::domain::ModelVersion;
use crate::engine::{Model, Shard};
use crate::nn::Networks;
use crate::training::{Clock, Due, Former, Outcome, Round, Shapes, Why, device};
use std::collections::VecDeque;

/// Former champions that are kept, as the daemon keeps their bundles.
const KEEP: usize = 5;

/// Networks that have been promoted, and in which round.
struct Crowned {
    version: u64,
    round: u64,
    networks: Networks,
}

/// Runs the rounds where the daemon would, and lets their outcome serve at once.
pub(super) struct Learner {
    due: Due,
    /// The champion last, before it those that it came from.
    line: VecDeque<Crowned>,
    shadow: Option<Networks>,
    pub counts: Counts,
}

/// What became of the rounds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub rounds: u64,
    pub hastened: u64,
    pub promoted: u64,
    pub rolled_back: u64,
}

impl Learner {
    pub fn new(stream: &Stream) -> Self {
        Self { due: Due::new(stream, false), line: VecDeque::new(), shadow: None, counts: Counts::default() }
    }

    /// Trains when a round is due.
    pub fn learn(&mut self, stream: &Stream, shard: &mut Shard) -> Result<(), Failure> {
        if shard.take_drift().is_some() {
            self.due.hasten(Why::Drift);
        }
        let now = Clock { readings: shard.age(), newest: shard.agreed_time() };
        let Some((start, why)) = self.due.is_due(now).filter(|_| stream.training.enabled) else {
            return Ok(());
        };
        self.due.begun(now);
        let samples = shard.samples(stream.training.budget.series);
        self.counts.rounds += 1;
        self.counts.hastened += u64::from(why != Why::Schedule);
        let number = self.counts.rounds;
        let champion = self.line.back();
        let is_watched = champion.is_some_and(|c| c.round + stream.promotion.watch as u64 >= number);
        let former = match self.line.len() {
            _ if !is_watched => Former::Unwatched,
            1 if champion.is_some_and(|c| c.version == 1) => Former::Base,
            0 | 1 => Former::Unwatched,
            n => Former::Networks(&self.line[n - 2].networks),
        };
        let shadow = self.shadow.take();
        let round = Round {
            stream,
            samples: &samples,
            champion: champion.map(|c| &c.networks),
            former,
            shadow: shadow.as_ref(),
            start,
            number,
        };
        match round.run(&mut || true).map_err(Failure::new)? {
            Outcome::Better { networks, .. } => {
                self.counts.promoted += 1;
                self.line.push_back(Crowned { version: self.counts.promoted, round: number, networks });
                if self.line.len() > KEEP {
                    self.line.pop_front();
                }
            }
            Outcome::Worse(_) => {
                self.counts.rolled_back += 1;
                self.line.pop_back();
            }
            Outcome::Shadowed { networks, .. } => {
                self.shadow = Some(networks);
                return Ok(());
            }
            Outcome::Rejected(_) | Outcome::TooYoung | Outcome::Stopped => return Ok(()),
        }
        let Some(champion) = self.line.back() else {
            shard.dismiss();
            return Ok(());
        };
        let networks = Shapes::of(stream).map_err(Failure::new)?.weights(&champion.networks);
        let device = device(stream).map_err(Failure::new)?;
        let model = Model { version: ModelVersion(champion.version), networks, device };
        shard.bring(&model).map_err(Failure::new)?;
        shard.warm(usize::MAX).map_err(Failure::new)?;
        Ok(())
    }
}
