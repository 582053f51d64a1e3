//! Rounds without training, for tests: outcomes as a round would give them, and a daemon that remembers
//! bundles and announcements alone when it restarts.

use super::{Incumbent, Predecessor, Tenure, Transition, outdated};
use crate::domain::{ModelVersion, RoundScores, StreamName};
use crate::nn::Networks;
use crate::training::{Former, Outcome};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// The settings of promotion that matter for a champion's life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub watch: usize,
    pub shadow: bool,
}

/// What a round would find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    TooYoung,
    Better,
    NotBetter,
    /// The champion is worse than its predecessor, if it is held against it.
    Worse,
}

impl Ending {
    pub fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            1 => Just(Self::TooYoung),
            4 => Just(Self::Better),
            2 => Just(Self::NotBetter),
            4 => Just(Self::Worse),
        ]
    }

    /// What a round makes of it that holds the champion against `former`, with or without a shadow.
    pub fn outcome(self, rules: Rules, former: Former<'_>, shadow: bool) -> Outcome {
        let (networks, scores) = (Networks::default(), scores());
        match self {
            Self::TooYoung => Outcome::TooYoung,
            Self::Worse if !matches!(former, Former::Unwatched) => Outcome::Worse(scores),
            Self::Worse | Self::NotBetter => Outcome::Rejected(scores),
            Self::Better if rules.shadow && !shadow => Outcome::Shadowed { networks, scores },
            Self::Better => Outcome::Better { networks, scores },
        }
    }
}

fn scores() -> RoundScores {
    let (challenger, champion, former) = (None, None, None);
    RoundScores { challenger, champion, former, base: 1.0, p_value: 0.5, series: 1, blocks: 1 }
}

/// What was decided in a round, and what serves after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decided {
    pub number: u64,
    /// What the champion was held against.
    pub former: Option<Predecessor>,
    /// Whether a shadow was on trial.
    pub shadow: bool,
    pub serves: Predecessor,
}

impl Decided {
    pub fn new(number: u64, former: Former<'_>, of: Option<Predecessor>, shadow: bool) -> Self {
        let former = of.filter(|_| !matches!(former, Former::Unwatched));
        Self { number, former, shadow, serves: Predecessor::Base }
    }
}

/// A daemon and what outlives it: the announcements of a stream and the bundles in the store.
pub(crate) struct Daemon {
    stream: StreamName,
    /// Lost at a restart.
    tenure: Tenure,
    /// The model and the round that were announced last.
    pub announced: (Option<ModelVersion>, u64),
    bundles: BTreeMap<ModelVersion, Bundle>,
}

struct Bundle {
    rounds: u64,
    facts: BTreeMap<String, String>,
}

impl Daemon {
    pub fn new() -> Self {
        let stream = StreamName::new("power").expect("it is a name");
        Self { stream, tenure: Tenure::default(), announced: (None, 0), bundles: BTreeMap::new() }
    }

    pub fn restart(&mut self) {
        self.tenure = Tenure::default();
    }

    /// Whether a restart would lose something: a shadow, or the number of a round that was not announced.
    pub fn would_forget(&self) -> bool {
        self.tenure.shadow.is_some() || self.tenure.rounds != self.announced.1
    }

    /// The models that are stored, oldest first.
    pub fn stored(&self) -> Vec<ModelVersion> {
        self.bundles.keys().copied().collect()
    }

    /// Announces another model, as an operator may.
    pub fn request(&mut self, version: Option<ModelVersion>) {
        self.announced.0 = version;
    }

    pub fn round(&mut self, rules: Rules, ending: Ending) -> Decided {
        let incumbent = self.announced.0.map(|version| {
            let Bundle { rounds, facts } = &self.bundles[&version];
            Incumbent::new(version, *rounds, facts, &self.stream)
        });
        let trial = self.tenure.begin(rules.watch, incumbent, self.announced.1);
        let of_former = trial.former.and_then(Predecessor::version);
        let networks = of_former.filter(|v| self.bundles.contains_key(v)).map(|_| Networks::default());
        let former = trial.hold_against(networks.as_ref());
        let shadow = self.tenure.take_shadow().is_some();
        let mut decided = Decided::new(trial.number, former, trial.former, shadow);
        match self.tenure.conclude(&trial, ending.outcome(rules, former, shadow)) {
            Transition::Promote { predecessor, .. } => {
                let version = trial.next_version(self.bundles.keys().next_back().copied());
                let parent = (Incumbent::PARENT.to_owned(), predecessor.to_fact(&self.stream));
                let bundle = Bundle { rounds: trial.number, facts: BTreeMap::from([parent]) };
                assert!(self.bundles.insert(version, bundle).is_none(), "a version names one model");
                self.announced = (Some(version), trial.number);
                let newest_first: Vec<_> = self.bundles.keys().rev().copied().collect();
                let spared: Vec<_> = [Some(version), predecessor.version()].into_iter().flatten().collect();
                outdated(&newest_first, &spared).iter().for_each(|v| drop(self.bundles.remove(v)));
            }
            Transition::RollBack { to, .. } => self.announced = (to.version(), trial.number),
            Transition::Shadow(_) | Transition::Reject(_) => self.announced.1 = trial.number,
            Transition::Nothing => {}
        }
        decided.serves = self.announced.0.into();
        decided
    }
}
