//! The life of a champion: which model a challenger has to beat, which one serves after a round, and which
//! one serves again when the new one turns out to be worse.
//!
//! One state machine for the daemon and the backtest. It decides and does nothing else: it loads no
//! networks, announces nothing and knows no clock. Its caller begins each round with [`Tenure::begin`],
//! runs it, and carries out what [`Tenure::conclude`] answers.
//!
//! ```text
//!                            beats champion and base
//!   challenger ───────────────────────────────────────────────▶ champion, watched for `watch` rounds
//!        │ (with `promotion.shadow`)                                │
//!        └──▶ shadow ── beats them again in the next round ──▶ ────┤
//!                │ does not                                        │ worse than its predecessor
//!                ▼                                                 ▼
//!            forgotten                              its predecessor serves again: a model or the base
//! ```
//!
//! A restart loses the shadow and the numbers of rounds that were not announced. All else is in the
//! announcements and in the bundle of the serving model, which names its predecessor and its round.

#[cfg(test)]
pub(crate) mod simulated;
#[cfg(test)]
mod tests;

use super::round::{Former, Outcome};
use crate::domain::{ModelVersion, RoundScores, StreamName};
use crate::nn::Networks;
use std::collections::BTreeMap;

/// How many of a stream's newest models are kept besides the serving one and its predecessor.
const KEPT: usize = 5;

/// What served before a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predecessor {
    /// No network: the base and the other experts.
    Base,
    Model(ModelVersion),
}

impl Predecessor {
    /// The model that serves when this does; `None` for the base.
    pub fn version(self) -> Option<ModelVersion> {
        match self {
            Self::Base => None,
            Self::Model(version) => Some(version),
        }
    }

    /// As a bundle's `parent` says it: the model's name, or nothing for the base.
    pub fn to_fact(self, stream: &StreamName) -> String {
        self.version().map_or_else(String::new, |version| version.name(stream))
    }

    /// The inverse of [`Self::to_fact`]; `None` for anything else.
    pub fn from_fact(fact: &str, stream: &StreamName) -> Option<Self> {
        if fact.is_empty() { Some(Self::Base) } else { ModelVersion::named(fact, stream).map(Self::Model) }
    }
}

/// From the version that serves; `None` while no network does.
impl From<Option<ModelVersion>> for Predecessor {
    fn from(serving: Option<ModelVersion>) -> Self {
        serving.map_or(Self::Base, Self::Model)
    }
}

/// The serving model, as its bundle describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incumbent {
    pub version: ModelVersion,
    /// The number of the round that promoted it.
    pub promoted_in: u64,
    /// `None` when its bundle does not say.
    pub predecessor: Option<Predecessor>,
}

impl Incumbent {
    /// The fact of a bundle that names the model's predecessor.
    pub const PARENT: &str = "parent";

    /// `facts` are those of the model's bundle.
    pub fn new(
        version: ModelVersion,
        promoted_in: u64,
        facts: &BTreeMap<String, String>,
        stream: &StreamName,
    ) -> Self {
        let parent = facts.get(Self::PARENT);
        let predecessor = parent.and_then(|parent| Predecessor::from_fact(parent, stream));
        Self { version, promoted_in, predecessor }
    }
}

/// A round between its beginning and its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// The round's number.
    pub number: u64,
    /// The model that served when the round began; `None` for the base.
    pub incumbent: Option<Incumbent>,
    /// What the incumbent is held against; `None` when it is not watched, or no longer.
    pub former: Option<Predecessor>,
}

/// What follows from a round.
#[derive(Clone, Debug, PartialEq)]
pub enum Transition {
    /// These networks serve as a new version.
    Promote { networks: Networks, predecessor: Predecessor, scores: RoundScores },
    /// What served before the champion serves again.
    RollBack { to: Predecessor, scores: RoundScores },
    /// The champion stays. The challenger waits for the next round.
    Shadow(RoundScores),
    /// The champion stays.
    Reject(RoundScores),
    /// The round came to no end: nothing changes, and nothing is announced.
    Nothing,
}

/// What a process remembers of a stream from one round to the next.
#[derive(Clone, Debug, Default)]
pub struct Tenure {
    /// The number of the last round that began here.
    rounds: u64,
    /// Networks that have won their round and have to win once more.
    shadow: Option<Networks>,
}

impl Tenure {
    /// Begins a round.
    ///
    /// * `watch`: for how many rounds a new champion is held against its predecessor.
    /// * `announced`: the newest round that was announced. Another process may have run it.
    pub fn begin(&mut self, watch: usize, incumbent: Option<Incumbent>, announced: u64) -> Trial {
        let promoted_in = incumbent.map_or(0, |i| i.promoted_in);
        self.rounds = self.rounds.max(announced).max(promoted_in) + 1;
        let number = self.rounds;
        let is_watched = |i: &Incumbent| number <= i.promoted_in.saturating_add(watch as u64);
        let former = incumbent.filter(is_watched).and_then(|i| i.predecessor);
        Trial { number, incumbent, former }
    }

    /// The networks that are on trial in the round that begins. They are in no later round, whatever
    /// happens to this one.
    pub fn take_shadow(&mut self) -> Option<Networks> {
        self.shadow.take()
    }

    /// Says what follows from a round.
    pub fn conclude(&mut self, trial: &Trial, outcome: Outcome) -> Transition {
        match outcome {
            Outcome::Better { networks, scores } => {
                Transition::Promote { networks, predecessor: trial.serving().into(), scores }
            }
            Outcome::Worse(scores) => {
                Transition::RollBack { to: trial.former.unwrap_or(Predecessor::Base), scores }
            }
            Outcome::Shadowed { networks, scores } => {
                self.shadow = Some(networks);
                Transition::Shadow(scores)
            }
            Outcome::Rejected(scores) => Transition::Reject(scores),
            Outcome::TooYoung | Outcome::Stopped => Transition::Nothing,
        }
    }
}

impl Trial {
    /// The version that served when the round began.
    pub fn serving(&self) -> Option<ModelVersion> {
        self.incumbent.map(|incumbent| incumbent.version)
    }

    /// What the round holds the incumbent against. `networks` are those of the former model; where they are
    /// gone, damaged or of another shape they could not serve again, and the incumbent is not watched.
    pub fn hold_against<'a>(&self, networks: Option<&'a Networks>) -> Former<'a> {
        match self.former {
            None => Former::Unwatched,
            Some(Predecessor::Base) => Former::Base,
            Some(Predecessor::Model(_)) => networks.map_or(Former::Unwatched, Former::Networks),
        }
    }

    /// The version of the networks that this round promotes. `newest` is the newest version that was ever
    /// stored or announced. A version names one set of weights for ever, so the next one is above it.
    pub fn next_version(&self, newest: Option<ModelVersion>) -> ModelVersion {
        newest.max(self.serving()).map_or(ModelVersion(1), ModelVersion::next)
    }
}

/// The models that need not be kept after a promotion: all but the newest few and those that are spared.
/// `versions` are all that there are, newest first. Spared are the serving model and its predecessor, which
/// may be older than the newest few after a rollback.
pub fn outdated(versions: &[ModelVersion], spared: &[ModelVersion]) -> Vec<ModelVersion> {
    versions.iter().skip(KEPT).filter(|version| !spared.contains(version)).copied().collect()
}
