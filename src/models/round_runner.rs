#[cfg(test)]
mod tests;

use super::announcement::{Announcement, BundleRef, Decision};
use super::announcer::Announce;
use super::cpu_share::CpuShare;
use super::lineage::{Lineage, facts};
use super::serving::{ModelState, Models};
use super::{NAP, now};
use crate::checkpoint::{self, Bundles, Champion, Store};
use crate::config::{Config, Stream};
use crate::domain::{ModelVersion, RoundScores, StreamName};
use crate::kafka;
use crate::nn::{self, Networks};
use crate::series::WindowCopy;
use crate::telemetry::{self, Board, Metrics, RoundOutcome, StreamMetrics, events};
use crate::training::{
    Incumbent, Outcome, Predecessor, Shapes, Start, Tenure, TrainingRound, Transition, Trial, Why,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long the next round waits until this process follows the last decision.
const FOLLOW_LIMIT: Duration = Duration::from_secs(10);

/// A round to be run.
pub(crate) struct RoundRequest {
    pub stream: Arc<Stream>,
    pub start: Start,
    pub why: Why,
    pub samples: Vec<WindowCopy>,
}

/// Runs rounds, and carries out what follows from them: it writes bundles and announces models.
pub(crate) struct RoundRunner<A> {
    store: Store,
    shapes: BTreeMap<StreamName, Shapes>,
    /// The champions as they were last loaded or promoted here.
    champions: BTreeMap<StreamName, Champion>,
    tenures: BTreeMap<StreamName, Tenure>,
    /// Decisions that are in no bundle yet.
    lineages: BTreeMap<StreamName, Lineage>,
    models: Models,
    announcer: A,
    metrics: Metrics,
    board: Board,
    pub stop: Arc<AtomicBool>,
}

/// Why a decision was not carried out.
#[derive(Debug, thiserror::Error)]
enum DecisionError {
    #[error("another model was announced meanwhile")]
    Superseded,
    #[error("the bundle of {0} is gone")]
    Gone(String),
    #[error(transparent)]
    Store(#[from] checkpoint::Error),
    #[error("kafka: {0}")]
    Kafka(#[from] kafka::Error),
}

/// A round that has run, and is being decided on.
struct FinishedRound<'a> {
    stream: &'a Stream,
    trial: Trial,
    why: Why,
    /// What was announced last when the round began.
    announced: Option<BundleRef>,
    readings: usize,
    steps: usize,
    took: Duration,
}

impl FinishedRound<'_> {
    /// The champion's name; empty while there is none.
    fn champion(&self) -> String {
        Predecessor::from(self.trial.serving()).to_fact(&self.stream.name)
    }
}

impl<A: Announce> RoundRunner<A> {
    pub fn new(
        config: &Config,
        announcer: A,
        store: &Store,
        models: &Models,
        metrics: &Metrics,
        board: &Board,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, nn::Error> {
        let shapes = config.streams.iter().map(|stream| Ok((stream.name.clone(), Shapes::of(stream)?)));
        Ok(Self {
            store: store.clone(),
            shapes: shapes.collect::<Result<_, nn::Error>>()?,
            champions: BTreeMap::new(),
            tenures: BTreeMap::new(),
            lineages: BTreeMap::new(),
            models: models.clone(),
            announcer,
            metrics: metrics.clone(),
            board: board.clone(),
            stop: stop.clone(),
        })
    }

    pub fn run(&mut self, request: &RoundRequest) {
        let (stream, name) = (&*request.stream, &request.stream.name);
        let before = self.models.state(name);
        let metrics = self.metrics.stream(name);
        let (champion, former, trial) = match self.begin(stream, &before) {
            Ok(begun) => begun,
            Err(cause) => {
                events::round_failed(name, before.rounds + 1, &cause);
                return metrics.rounds(RoundOutcome::Failed).inc();
            }
        };
        let number = trial.number;
        let readings = request.samples.iter().map(|s| s.view().len()).sum();
        events::round_started(name, number, request.samples.len(), readings, request.why.as_str());
        if request.why != Why::Schedule {
            metrics.hastened(request.why.as_str()).inc();
        }
        let shadow = self.tenure(name).take_shadow();
        let began = Instant::now();
        let mut share = CpuShare::new(stream.training.budget.cpu_share, &self.stop);
        let round = TrainingRound {
            stream,
            samples: &request.samples,
            champion: champion.as_ref().map(|c| &c.networks),
            former: trial.hold_against(former.as_ref()),
            shadow: shadow.as_ref(),
            start: request.start,
            number,
        };
        let outcome = round.run(&mut || share.go_on());
        let (steps, took) = (share.steps, began.elapsed());
        metrics.training_seconds.observe(took.as_secs_f64());
        let case = FinishedRound {
            stream,
            trial,
            why: request.why,
            announced: before.announced,
            readings,
            steps,
            took,
        };
        let ended = match outcome {
            Ok(outcome) => self.carry_out(&case, outcome, &metrics),
            Err(cause) => {
                events::round_failed(name, number, &cause);
                Some((RoundOutcome::Failed, f64::NAN, None))
            }
        };
        let Some((outcome, loss, model)) = ended else { return };
        metrics.rounds(outcome).inc();
        metrics.training_loss.set(loss);
        self.board.round(name, telemetry::Round { round: number, outcome, loss, took, model });
    }

    /// Carries out what follows from a round; `None` when the round came to no end.
    fn carry_out(
        &mut self,
        case: &FinishedRound<'_>,
        outcome: Outcome,
        metrics: &StreamMetrics,
    ) -> Option<Ended> {
        let (name, number) = (&case.stream.name, case.trial.number);
        let scores = outcome.scores()?;
        publish_scores(case, &scores, metrics);
        let done = match self.tenure(name).conclude(&case.trial, outcome) {
            Transition::Promote { networks, predecessor, .. } => {
                self.promote(case, networks, predecessor, &scores).map(|version| {
                    events::promoted(name, number, version, &scores);
                    metrics.promotions.inc();
                    (RoundOutcome::Promoted, Some(version))
                })
            }
            Transition::RollBack { to, .. } => self.roll_back(case, to, &scores).map(|()| {
                metrics.rollbacks.inc();
                (RoundOutcome::RolledBack, to.version())
            }),
            Transition::Shadow(_) => {
                events::shadowed(name, number, &scores);
                self.lineages.entry(name.clone()).or_default().shadowed(number, &scores);
                self.confirm(case, Decision::Shadowed);
                Ok((RoundOutcome::Shadowed, None))
            }
            Transition::Reject(_) => {
                events::rejected(name, number, &scores);
                self.lineages.entry(name.clone()).or_default().rejected(number, &scores);
                self.confirm(case, Decision::Rejected);
                Ok((RoundOutcome::Rejected, None))
            }
            Transition::Nothing => return None,
        };
        let (outcome, model) = match done {
            Ok(done) => done,
            Err(cause @ DecisionError::Superseded) => {
                events::round_superseded(name, number, &cause);
                (RoundOutcome::Rejected, None)
            }
            // A model without a bundle never serves: snapshots name their model, and a restart must find it.
            Err(cause) => {
                events::bundle_not_kept(name, number, &cause);
                (RoundOutcome::Failed, None)
            }
        };
        Some((outcome, scores.loss(), model))
    }

    fn tenure(&mut self, stream: &StreamName) -> &mut Tenure {
        self.tenures.entry(stream.clone()).or_default()
    }

    /// Begins a round, with the champion's networks and those that it is held against.
    fn begin(&mut self, stream: &Stream, before: &ModelState) -> Result<Begun, checkpoint::Error> {
        let champion = self.champion(stream, before)?;
        let incumbent =
            champion.as_ref().map(|c| Incumbent::new(c.version, c.rounds, &c.facts, &stream.name));
        let trial = self.tenure(&stream.name).begin(stream.promotion.watch, incumbent, before.rounds);
        let former = match trial.former {
            Some(Predecessor::Model(version)) => self.former(stream, version)?,
            Some(Predecessor::Base) | None => None,
        };
        Ok((champion, former, trial))
    }

    /// The networks that serve, with their optimisers. Another process may have trained them.
    fn champion(
        &mut self,
        stream: &Stream,
        state: &ModelState,
    ) -> Result<Option<Champion>, checkpoint::Error> {
        let Some(model) = &state.model else { return Ok(None) };
        if let Some(champion) = self.champions.get(&stream.name).filter(|c| c.version == model.version) {
            return Ok(Some(champion.clone()));
        }
        let shapes = &self.shapes[&stream.name];
        let champion = match Bundles::new(&self.store, &stream.name).load_version(model.version) {
            Ok(Some(champion)) => Champion { networks: shapes.fitting(&champion.networks), ..champion },
            Err(cause @ checkpoint::Error::Store { .. }) => return Err(cause),
            // Its bundle is gone: the weights that serve are all that is left.
            Ok(None) | Err(_) => Champion {
                version: model.version,
                networks: shapes.networks(&model.networks),
                rounds: state.rounds,
                facts: BTreeMap::new(),
            },
        };
        self.champions.insert(stream.name.clone(), champion.clone());
        Ok(Some(champion))
    }

    /// The networks of a former champion; `None` when they are gone, damaged or of another shape, and so
    /// could not serve again.
    fn former(&self, stream: &Stream, version: ModelVersion) -> Result<Option<Networks>, checkpoint::Error> {
        match Bundles::new(&self.store, &stream.name).load_version(version) {
            Ok(Some(former)) => {
                let networks = self.shapes[&stream.name].fitting(&former.networks);
                Ok(Some(networks).filter(|networks| !networks.is_empty()))
            }
            Err(cause @ checkpoint::Error::Store { .. }) => Err(cause),
            Ok(None) | Err(_) => Ok(None),
        }
    }

    /// Writes a new champion's bundle and announces it. The follower lets it serve, in this process too.
    fn promote(
        &mut self,
        case: &FinishedRound<'_>,
        networks: Networks,
        predecessor: Predecessor,
        scores: &RoundScores,
    ) -> Result<ModelVersion, DecisionError> {
        let FinishedRound { stream, trial, announced, .. } = case;
        let number = trial.number;
        let name = &stream.name;
        if self.is_superseded(case) {
            return Err(DecisionError::Superseded);
        }
        let bundles = Bundles::new(&self.store, name);
        // Bundles of another shape count too.
        let stored = bundles.list()?.first().copied();
        let version = trial.next_version(stored.max(announced.map(|named| named.version)));
        let serving = predecessor.version();
        let of_parent = serving.and_then(|v| self.champions.get(name).filter(|c| c.version == v));
        let mut lineage = Lineage::of(of_parent);
        lineage.extend(self.lineages.get(name));
        let parent = predecessor.to_fact(name);
        lineage.promoted(number, &version.name(name), &parent, scores, case.why);
        let mut facts = facts(scores, case.why);
        facts.extend([
            (Incumbent::PARENT.to_owned(), parent),
            ("lineage".to_owned(), lineage.to_string()),
            ("readings".to_owned(), case.readings.to_string()),
            ("steps".to_owned(), case.steps.to_string()),
            ("seconds".to_owned(), case.took.as_secs_f64().to_string()),
            ("time".to_owned(), now().to_string()),
            ("seed".to_owned(), stream.training.seed.to_string()),
        ]);
        if networks.alone().is_none() {
            let names: Vec<&str> = networks.iter().map(|(name, _)| name).collect();
            facts.insert("networks".to_owned(), names.join(", "));
        }
        let champion = Champion { version, networks, rounds: number, facts };
        let named = BundleRef { version, checksum: bundles.keep(&champion)? };
        let announcement =
            Announcement { champion: Some(named), rounds: number, decision: Decision::Promoted };
        self.announcer.announce(name, &announcement, &bundles)?;
        self.lineages.remove(name);
        self.champions.insert(name.clone(), champion);
        self.wait_until_followed(case);
        // The champion serves. Bundles that could not be deleted now are deleted after the next promotion.
        let kept: Vec<_> = [Some(version), serving].into_iter().flatten().collect();
        if let Err(cause) = bundles.prune(&kept) {
            events::not_tidied(name, &cause);
        }
        Ok(version)
    }

    /// Announces that the champion's predecessor serves again.
    fn roll_back(
        &mut self,
        case: &FinishedRound<'_>,
        to: Predecessor,
        scores: &RoundScores,
    ) -> Result<(), DecisionError> {
        let name = &case.stream.name;
        let to = to.version();
        let bundles = Bundles::new(&self.store, name);
        let gone = |version: ModelVersion| DecisionError::Gone(version.name(name));
        let checked = |version| {
            let checksum = bundles.checksum(version)?.ok_or_else(|| gone(version))?;
            Ok::<_, DecisionError>(BundleRef { version, checksum })
        };
        let champion = to.map(checked).transpose()?;
        if self.is_superseded(case) {
            return Err(DecisionError::Superseded);
        }
        let announcement =
            Announcement { champion, rounds: case.trial.number, decision: Decision::RolledBack };
        self.announcer.announce(name, &announcement, &bundles)?;
        let (from, to_name) = (case.champion(), to.map_or_else(|| "experts".to_owned(), |v| v.name(name)));
        events::rolled_back(name, case.trial.number, &from, &to_name, scores);
        let lineage = self.lineages.entry(name.clone()).or_default();
        lineage.rolled_back(case.trial.number, &from, &to_name, scores);
        self.wait_until_followed(case);
        Ok(())
    }

    /// Announces that the champion goes on serving, so that the next trainer counts this round too. Another
    /// process may train next.
    fn confirm(&mut self, case: &FinishedRound<'_>, decision: Decision) {
        let name = &case.stream.name;
        let bundles = Bundles::new(&self.store, name);
        let champion = match (case.announced, case.trial.serving()) {
            (Some(named), _) => Some(named),
            (None, None) => None,
            // The newest bundle serves, and was never announced.
            (None, Some(version)) => match bundles.checksum(version) {
                Ok(Some(checksum)) => Some(BundleRef { version, checksum }),
                // Without a bundle it can't be announced. After a restart this round's number is used again.
                Ok(None) => return,
                Err(cause) => return events::bundle_passed_over(name, version, &cause),
            },
        };
        if self.is_superseded(case) {
            return;
        }
        let announcement = Announcement { champion, rounds: case.trial.number, decision };
        if let Err(cause) = self.announcer.announce(name, &announcement, &bundles) {
            events::kafka_error("trainer", &cause);
        }
    }

    fn is_superseded(&self, case: &FinishedRound<'_>) -> bool {
        self.models.state(&case.stream.name).announced != case.announced
    }

    /// Waits until the decision is followed here: the next round has to begin from the new champion.
    fn wait_until_followed(&self, case: &FinishedRound<'_>) {
        let until = Instant::now() + FOLLOW_LIMIT;
        while !self.is_superseded(case) && Instant::now() < until && !self.stop.load(Ordering::Acquire) {
            std::thread::sleep(NAP);
        }
    }
}

/// The networks of the champion, those that it is held against, and the round that begins.
type Begun = (Option<Champion>, Option<Networks>, Trial);

/// How a round ended, its loss, and the model that serves since.
type Ended = (RoundOutcome, f64, Option<ModelVersion>);

/// Publishes what a round has found.
fn publish_scores(case: &FinishedRound<'_>, scores: &RoundScores, metrics: &StreamMetrics) {
    let RoundScores { challenger, champion, former, base, p_value, .. } = *scores;
    for (of, loss) in
        [("challenger", challenger), ("champion", champion), ("former", former), ("base", Some(base))]
    {
        metrics.set_promotion_loss(of, loss);
    }
    metrics.promotion_p_value.set(p_value);
    events::round_finished(&case.stream.name, case.trial.number, case.steps, scores.loss(), case.took);
}
