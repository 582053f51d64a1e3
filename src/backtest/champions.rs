//! The champions of a backtest: in memory what the daemon keeps in bundles and announcements.

use crate::domain::ModelVersion;
use crate::nn::Networks;
use crate::training::{Incumbent, Outcome, Predecessor, Tenure, Transition, Trial, outdated};
use std::collections::BTreeMap;

/// A stream's champions, and which of them serves.
#[derive(Default)]
pub(super) struct Champions {
    tenure: Tenure,
    models: BTreeMap<ModelVersion, Kept>,
    /// `None` while the experts serve alone.
    serving: Option<ModelVersion>,
}

/// A model that was promoted.
struct Kept {
    networks: Networks,
    promoted_in: u64,
    predecessor: Predecessor,
}

/// What a round has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Promoted,
    RolledBack,
}

impl Champions {
    /// Begins a round; `watch` is `promotion.watch`.
    pub fn begin(&mut self, watch: usize) -> Trial {
        let incumbent = self.serving.map(|version| {
            let Kept { promoted_in, predecessor, .. } = self.models[&version];
            Incumbent { version, promoted_in, predecessor: Some(predecessor) }
        });
        self.tenure.begin(watch, incumbent, 0)
    }

    /// As [`Tenure::take_shadow`].
    pub fn take_shadow(&mut self) -> Option<Networks> {
        self.tenure.take_shadow()
    }

    /// The networks of the model that serves.
    pub fn champion(&self) -> Option<&Networks> {
        self.networks(self.serving?)
    }

    /// The networks of the model that a round holds the champion against.
    pub fn former(&self, trial: &Trial) -> Option<&Networks> {
        self.networks(trial.former?.version()?)
    }

    fn networks(&self, version: ModelVersion) -> Option<&Networks> {
        Some(&self.models.get(&version)?.networks)
    }

    /// The model that serves.
    pub fn serving(&self) -> Option<(ModelVersion, &Networks)> {
        let version = self.serving?;
        Some((version, self.networks(version)?))
    }

    /// Ends a round; `None` when it has changed nothing.
    pub fn conclude(&mut self, trial: &Trial, outcome: Outcome) -> Option<Change> {
        match self.tenure.conclude(trial, outcome) {
            Transition::Promote { networks, predecessor, .. } => {
                let version = trial.next_version(self.models.keys().next_back().copied());
                self.models.insert(version, Kept { networks, promoted_in: trial.number, predecessor });
                self.serving = Some(version);
                let newest_first: Vec<_> = self.models.keys().rev().copied().collect();
                let spared: Vec<_> = [Some(version), predecessor.version()].into_iter().flatten().collect();
                for version in outdated(&newest_first, &spared) {
                    self.models.remove(&version);
                }
                Some(Change::Promoted)
            }
            Transition::RollBack { to, .. } => {
                self.serving = to.version();
                Some(Change::RolledBack)
            }
            Transition::Shadow(_) | Transition::Reject(_) | Transition::Nothing => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::tenure::simulated::{Daemon, Decided, Ending, Rules};
    use proptest::prelude::*;

    /// A round as the learner runs it.
    fn round(champions: &mut Champions, rules: Rules, ending: Ending) -> Decided {
        let trial = champions.begin(rules.watch);
        let shadow = champions.take_shadow().is_some();
        let former = trial.hold_against(champions.former(&trial));
        let decided = Decided::new(trial.number, former, trial.former, shadow);
        let outcome = ending.outcome(rules, former, shadow);
        champions.conclude(&trial, outcome);
        Decided { serves: champions.serving.into(), ..decided }
    }

    /// A champion that follows a rollback to the experts has them for its predecessor, and is held against
    /// them. Backtests once took it for a model whose predecessor is gone, and never looked at it again.
    #[test]
    fn a_champion_after_a_rollback_to_the_experts_is_watched() {
        use Ending::{Better, Worse};
        let rules = Rules { watch: 3, shadow: false };
        let (mut backtest, mut daemon) = (Champions::default(), Daemon::new());
        for ending in [Better, Worse, Better] {
            assert_eq!(round(&mut backtest, rules, ending), daemon.round(rules, ending));
        }
        let decided = round(&mut backtest, rules, Worse);
        assert_eq!(decided, daemon.round(rules, Worse));
        assert_eq!((decided.former, decided.serves), (Some(Predecessor::Base), Predecessor::Base));
    }

    /// The daemon keeps its five newest bundles, those that it has rolled back from among them. Backtests once
    /// kept five ancestors of the champion, and so held it against a model that a daemon had deleted.
    #[test]
    fn a_former_champion_that_a_daemon_has_deleted_is_gone() {
        use Ending::{Better, Worse};
        let rules = Rules { watch: 1_000, shadow: false };
        let (mut backtest, mut daemon) = (Champions::default(), Daemon::new());
        let endings = [Better, Better, Better, Worse, Better, Worse, Better, Worse, Better, Worse, Worse];
        for ending in endings {
            assert_eq!(round(&mut backtest, rules, ending), daemon.round(rules, ending));
        }
        let serves = Predecessor::Model(ModelVersion(2));
        let last = round(&mut backtest, rules, Worse);
        assert_eq!((last.former, last.serves), (None, serves), "its predecessor, version 1, is gone");
    }

    proptest! {
        /// The daemon may restart after every round, unless it would forget something.
        #[test]
        fn a_backtest_decides_as_a_daemon_that_restarts(
            watch in 0usize..5,
            shadow: bool,
            rounds in proptest::collection::vec((Ending::any(), any::<bool>()), 0..60),
        ) {
            let rules = Rules { watch, shadow };
            let (mut backtest, mut daemon) = (Champions::default(), Daemon::new());
            for (ending, restarts) in rounds {
                prop_assert_eq!(round(&mut backtest, rules, ending), daemon.round(rules, ending));
                if restarts && !daemon.would_forget() {
                    daemon.restart();
                }
            }
        }
    }
}
