use super::announcement::{Announcement, Decision, Named};
use super::announcer::Announcer;
use super::lineage::{Lineage, facts};
use super::serving::{Models, Standing};
use super::trainer::{Job, Pace};
use super::{NAP, now};
use crate::checkpoint::{self, Bundles, Champion, Store};
use crate::config::{Config, Stream};
use crate::domain::{ModelVersion, RoundScores, StreamName};
use crate::kafka;
use crate::nn::{self, Networks};
use crate::telemetry::{self, Board, Metrics, RoundOutcome, StreamMetrics, events};
use crate::training::{Incumbent, Outcome, Predecessor, Round, Shapes, Tenure, Transition, Trial, Why};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a decision may take to be followed in this process before the next round begins without it.
const HEARD_LIMIT: Duration = Duration::from_secs(10);

/// What the trainer's thread works with: runs rounds, and carries out what comes of them.
pub(crate) struct RoundRunner {
    store: Store,
    shapes: BTreeMap<StreamName, Shapes>,
    /// The networks that rounds begin from, as they were loaded or made here.
    champions: BTreeMap<StreamName, Champion>,
    tenures: BTreeMap<StreamName, Tenure>,
    /// Decisions of each stream that no bundle bears yet.
    lineages: BTreeMap<StreamName, Lineage>,
    models: Models,
    announcer: Announcer,
    metrics: Metrics,
    board: Board,
    pub stop: Arc<AtomicBool>,
}

/// Why what was decided is not so.
#[derive(Debug, thiserror::Error)]
enum Unkept {
    #[error("another model was announced meanwhile")]
    Superseded,
    #[error("the bundle of {0} is gone")]
    Gone(String),
    #[error(transparent)]
    Store(#[from] checkpoint::Error),
    #[error("kafka: {0}")]
    Kafka(#[from] kafka::Error),
}

/// A round that is being decided on.
struct Case<'a> {
    stream: &'a Stream,
    trial: Trial,
    why: Why,
    /// What was announced last when the round began.
    announced: Option<Named>,
    readings: usize,
    steps: usize,
    took: Duration,
}

impl Case<'_> {
    /// The champion's name; nothing when there is none.
    fn champion(&self) -> String {
        Predecessor::from(self.trial.serving()).to_fact(&self.stream.name)
    }
}

impl RoundRunner {
    pub fn new(
        config: &Config,
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
            announcer: Announcer::new(config.kafka.clone()),
            metrics: metrics.clone(),
            board: board.clone(),
            stop: stop.clone(),
        })
    }

    pub fn run(&mut self, job: &Job) {
        let (stream, name) = (&*job.stream, &job.stream.name);
        let before = self.models.standing(name);
        let metrics = self.metrics.stream(name);
        let (champion, former, trial) = match self.begin(stream, &before) {
            Ok(begun) => begun,
            Err(cause) => {
                events::round_failed(name, before.rounds + 1, &cause);
                return metrics.rounds(RoundOutcome::Failed).inc();
            }
        };
        let number = trial.number;
        let readings = job.samples.iter().map(|s| s.view().len()).sum();
        events::round_started(name, number, job.samples.len(), readings, job.why.as_str());
        if job.why != Why::Schedule {
            metrics.hastened(job.why.as_str()).inc();
        }
        let shadow = self.tenure(name).take_shadow();
        let began = Instant::now();
        let mut pace = Pace::new(stream.training.budget.cpu_share, &self.stop);
        let round = Round {
            stream,
            samples: &job.samples,
            champion: champion.as_ref().map(|c| &c.networks),
            former: trial.hold_against(former.as_ref()),
            shadow: shadow.as_ref(),
            start: job.start,
            number,
        };
        let outcome = round.run(&mut || pace.go_on());
        let (steps, took) = (pace.steps, began.elapsed());
        metrics.training_seconds.observe(took.as_secs_f64());
        let case = Case { stream, trial, why: job.why, announced: before.announced, readings, steps, took };
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

    /// Carries out what follows from a round; `None` where nothing does.
    fn carry_out(&mut self, case: &Case<'_>, outcome: Outcome, metrics: &StreamMetrics) -> Option<Ended> {
        let (name, number) = (&case.stream.name, case.trial.number);
        let scores = outcome.scores()?;
        found(case, &scores, metrics);
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
            Err(cause @ Unkept::Superseded) => {
                events::round_superseded(name, number, &cause);
                (RoundOutcome::Rejected, None)
            }
            // Snapshots name their model: one that no restart could find never serves.
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
    fn begin(&mut self, stream: &Stream, before: &Standing) -> Result<Begun, checkpoint::Error> {
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

    /// The networks that serve, with their optimisers, whoever has made them.
    fn champion(
        &mut self,
        stream: &Stream,
        standing: &Standing,
    ) -> Result<Option<Champion>, checkpoint::Error> {
        let Some(model) = &standing.model else { return Ok(None) };
        if let Some(champion) = self.champions.get(&stream.name).filter(|c| c.version == model.version) {
            return Ok(Some(champion.clone()));
        }
        let shapes = &self.shapes[&stream.name];
        let champion = match Bundles::new(&self.store, &stream.name).load_version(model.version) {
            Ok(Some(champion)) => Champion { networks: shapes.fitting(&champion.networks), ..champion },
            Err(cause @ checkpoint::Error::Store { .. }) => return Err(cause),
            // What serves is all that is left of it.
            Ok(None) | Err(_) => Champion {
                version: model.version,
                networks: shapes.networks(&model.networks),
                rounds: standing.rounds,
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

    /// Writes a new champion's bundle and announces it; the follower lets it serve, here as everywhere.
    fn promote(
        &mut self,
        case: &Case<'_>,
        networks: Networks,
        predecessor: Predecessor,
        scores: &RoundScores,
    ) -> Result<ModelVersion, Unkept> {
        let Case { stream, trial, announced, .. } = case;
        let number = trial.number;
        let name = &stream.name;
        if self.is_superseded(case) {
            return Err(Unkept::Superseded);
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
        let named = Named { version, checksum: bundles.keep(&champion)? };
        let said = Announcement { champion: Some(named), rounds: number, decision: Decision::Promoted };
        self.announcer.say(name, &said, &bundles)?;
        self.lineages.remove(name);
        self.champions.insert(name.clone(), champion);
        self.wait_until_heard(case);
        // It serves; what could not be tidied away goes with the next one.
        let kept: Vec<_> = [Some(version), serving].into_iter().flatten().collect();
        if let Err(cause) = bundles.prune(&kept) {
            events::not_tidied(name, &cause);
        }
        Ok(version)
    }

    /// Lets what served before the champion serve again: another network, or the experts alone.
    fn roll_back(&mut self, case: &Case<'_>, to: Predecessor, scores: &RoundScores) -> Result<(), Unkept> {
        let name = &case.stream.name;
        let to = to.version();
        let bundles = Bundles::new(&self.store, name);
        let gone = |version: ModelVersion| Unkept::Gone(version.name(name));
        let checked = |version| {
            let checksum = bundles.checksum(version)?.ok_or_else(|| gone(version))?;
            Ok::<_, Unkept>(Named { version, checksum })
        };
        let champion = to.map(checked).transpose()?;
        if self.is_superseded(case) {
            return Err(Unkept::Superseded);
        }
        let said = Announcement { champion, rounds: case.trial.number, decision: Decision::RolledBack };
        self.announcer.say(name, &said, &bundles)?;
        let (from, to_name) = (case.champion(), to.map_or_else(|| "experts".to_owned(), |v| v.name(name)));
        events::rolled_back(name, case.trial.number, &from, &to_name, scores);
        let lineage = self.lineages.entry(name.clone()).or_default();
        lineage.rolled_back(case.trial.number, &from, &to_name, scores);
        self.wait_until_heard(case);
        Ok(())
    }

    /// Announces that the champion serves on, so that whoever trains next counts this round too.
    fn confirm(&mut self, case: &Case<'_>, decision: Decision) {
        let name = &case.stream.name;
        let bundles = Bundles::new(&self.store, name);
        let champion = match (case.announced, case.trial.serving()) {
            (Some(named), _) => Some(named),
            (None, None) => None,
            // The newest bundle, which nobody has announced.
            (None, Some(version)) => match bundles.checksum(version) {
                Ok(Some(checksum)) => Some(Named { version, checksum }),
                // Then it can't be announced, and this round's number is used again.
                Ok(None) => return,
                Err(cause) => return events::bundle_passed_over(name, version, &cause),
            },
        };
        if self.is_superseded(case) {
            return;
        }
        let said = Announcement { champion, rounds: case.trial.number, decision };
        if let Err(cause) = self.announcer.say(name, &said, &bundles) {
            events::kafka_error("trainer", &cause);
        }
    }

    fn is_superseded(&self, case: &Case<'_>) -> bool {
        self.models.standing(&case.stream.name).announced != case.announced
    }

    /// A round that began before what was decided serves would begin from the former champion.
    fn wait_until_heard(&self, case: &Case<'_>) {
        let until = Instant::now() + HEARD_LIMIT;
        while !self.is_superseded(case) && Instant::now() < until && !self.stop.load(Ordering::Acquire) {
            std::thread::sleep(NAP);
        }
    }
}

/// The networks of the champion, those that it is held against, and the round that begins.
type Begun = (Option<Champion>, Option<Networks>, Trial);

/// How a round ended, its loss, and the model that serves since.
type Ended = (RoundOutcome, f64, Option<ModelVersion>);

/// Shows what a round has found.
fn found(case: &Case<'_>, scores: &RoundScores, metrics: &StreamMetrics) {
    let RoundScores { challenger, champion, former, base, p_value, .. } = *scores;
    for (of, loss) in
        [("challenger", challenger), ("champion", champion), ("former", former), ("base", Some(base))]
    {
        metrics.set_promotion_loss(of, loss);
    }
    metrics.promotion_p_value.set(p_value);
    events::round_finished(&case.stream.name, case.trial.number, case.steps, scores.loss(), case.took);
}
