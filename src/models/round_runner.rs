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
use crate::training::{Former, Outcome, Round, Shapes, Why};
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
    /// Those that have won their round and have to win once more.
    shadows: BTreeMap<StreamName, Networks>,
    /// Rounds that each stream has seen here.
    rounds: BTreeMap<StreamName, u64>,
    /// Decisions of each stream that no bundle bears yet.
    lineages: BTreeMap<StreamName, Lineage>,
    models: Models,
    announcer: Announcer,
    metrics: Metrics,
    board: Board,
    pub stop: Arc<AtomicBool>,
}

/// What served before the champion, while that is watched.
enum Watched {
    No,
    Base,
    Networks(Champion),
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
    number: u64,
    why: Why,
    /// How it stood when the round began.
    before: Standing,
    readings: usize,
    steps: usize,
    took: Duration,
}

impl Case<'_> {
    /// The champion's name; nothing when there is none.
    fn champion(&self) -> String {
        self.before.version().map_or_else(String::new, |v| v.name(&self.stream.name))
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
            shadows: BTreeMap::new(),
            rounds: BTreeMap::new(),
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
        let loaded = self.champion(stream, &before).and_then(|champion| {
            let number = self.next_round(name, &before, champion.as_ref());
            let watched = self.watched(stream, champion.as_ref(), number)?;
            Ok((champion, number, watched))
        });
        let (champion, number, watched) = match loaded {
            Ok(loaded) => loaded,
            Err(cause) => {
                events::round_failed(name, before.rounds + 1, &cause);
                return metrics.rounds(RoundOutcome::Failed).inc();
            }
        };
        let readings = job.samples.iter().map(|s| s.view().len()).sum();
        events::round_started(name, number, job.samples.len(), readings, job.why.as_str());
        if job.why != Why::Schedule {
            metrics.hastened(job.why.as_str()).inc();
        }
        let began = Instant::now();
        let mut pace = Pace::new(stream.training.budget.cpu_share, &self.stop);
        let shadow = self.shadows.remove(name);
        let round = Round {
            stream,
            samples: &job.samples,
            champion: champion.as_ref().map(|c| &c.networks),
            former: match &watched {
                Watched::No => Former::Unwatched,
                Watched::Base => Former::Base,
                Watched::Networks(former) => Former::Networks(&former.networks),
            },
            shadow: shadow.as_ref(),
            start: job.start,
            number,
        };
        let outcome = round.run(&mut || pace.go_on());
        let (steps, took) = (pace.steps, began.elapsed());
        metrics.training_seconds.observe(took.as_secs_f64());
        let case = Case { stream, number, why: job.why, before, readings, steps, took };
        let ended = match outcome {
            Ok(outcome) => self.decide(&case, outcome, watched, &metrics),
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

    /// Carries out what a round has come to; `None` where it came to nothing.
    fn decide(
        &mut self,
        case: &Case<'_>,
        outcome: Outcome,
        watched: Watched,
        metrics: &StreamMetrics,
    ) -> Option<Ended> {
        let (name, number) = (&case.stream.name, case.number);
        let scores = outcome.scores()?;
        found(case, &scores, metrics);
        let done = match outcome {
            Outcome::Better { networks, .. } => self.crown(case, networks, &scores).map(|version| {
                events::promoted(name, number, version, &scores);
                metrics.promotions.inc();
                (RoundOutcome::Promoted, Some(version))
            }),
            Outcome::Worse(_) => self.roll_back(case, watched, &scores).map(|to| {
                metrics.rollbacks.inc();
                (RoundOutcome::RolledBack, to)
            }),
            Outcome::Shadowed { networks, .. } => {
                // They wait for their second round. Who trains next does not know of them; then they are forgotten.
                self.shadows.insert(name.clone(), networks);
                events::shadowed(name, number, &scores);
                self.lineages.entry(name.clone()).or_default().shadowed(number, &scores);
                self.confirm(case, Decision::Shadowed);
                Ok((RoundOutcome::Shadowed, None))
            }
            // Of those that have scores.
            Outcome::Rejected(_) | Outcome::TooYoung | Outcome::Stopped => {
                events::rejected(name, number, &scores);
                self.lineages.entry(name.clone()).or_default().rejected(number, &scores);
                self.confirm(case, Decision::Rejected);
                Ok((RoundOutcome::Rejected, None))
            }
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

    /// Its number goes on from whoever has trained before.
    fn next_round(&mut self, stream: &StreamName, before: &Standing, champion: Option<&Champion>) -> u64 {
        let rounds = self.rounds.entry(stream.clone()).or_default();
        *rounds = before.rounds.max(*rounds).max(champion.map_or(0, |c| c.rounds)) + 1;
        *rounds
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

    /// What the champion is held against in this round. Its own bundle says what it took the place of, and
    /// in which round, so whoever trains goes on watching.
    fn watched(
        &self,
        stream: &Stream,
        champion: Option<&Champion>,
        number: u64,
    ) -> Result<Watched, checkpoint::Error> {
        let young = |c: &&Champion| number <= c.rounds + stream.promotion.watch as u64;
        let Some(parent) = champion.filter(young).and_then(|c| c.facts.get("parent")) else {
            return Ok(Watched::No);
        };
        if parent.is_empty() {
            return Ok(Watched::Base);
        }
        let Some(version) = ModelVersion::named(parent, &stream.name) else { return Ok(Watched::No) };
        Ok(match Bundles::new(&self.store, &stream.name).load_version(version) {
            Ok(Some(former)) => match self.shapes[&stream.name].fitting(&former.networks) {
                networks if networks.is_empty() => Watched::No,
                networks => Watched::Networks(Champion { networks, ..former }),
            },
            Err(cause @ checkpoint::Error::Store { .. }) => return Err(cause),
            // What is gone, damaged or of another shape could not serve again.
            Ok(None) | Err(_) => Watched::No,
        })
    }

    /// Writes a new champion's bundle and announces it; the follower lets it serve, here as everywhere.
    fn crown(
        &mut self,
        case: &Case<'_>,
        networks: Networks,
        scores: &RoundScores,
    ) -> Result<ModelVersion, Unkept> {
        let Case { stream, number, before, .. } = case;
        let name = &stream.name;
        if self.is_superseded(case) {
            return Err(Unkept::Superseded);
        }
        let bundles = Bundles::new(&self.store, name);
        // Above every version that ever served, also those of another shape.
        let newest = bundles.list()?.first().copied();
        let newest = newest.max(before.version()).max(before.announced.map(|named| named.version));
        let version = newest.map_or(ModelVersion(1), ModelVersion::next);
        let of_parent = before.version().and_then(|v| self.champions.get(name).filter(|c| c.version == v));
        let mut lineage = Lineage::of(of_parent);
        lineage.extend(self.lineages.get(name));
        let parent = case.champion();
        lineage.promoted(*number, &version.name(name), &parent, scores, case.why);
        let mut facts = facts(scores, case.why);
        facts.extend([
            ("parent".to_owned(), parent),
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
        let champion = Champion { version, networks, rounds: *number, facts };
        let named = Named { version, checksum: bundles.keep(&champion)? };
        let said = Announcement { champion: Some(named), rounds: *number, decision: Decision::Promoted };
        self.announcer.say(name, &said, &bundles)?;
        self.lineages.remove(name);
        self.champions.insert(name.clone(), champion);
        self.wait_until_heard(case);
        // It serves; what could not be tidied away goes with the next one.
        let kept: Vec<_> = [Some(version), before.version()].into_iter().flatten().collect();
        if let Err(cause) = bundles.prune(&kept) {
            events::not_tidied(name, &cause);
        }
        Ok(version)
    }

    /// Lets what served before the champion serve again: another network, or the experts alone.
    fn roll_back(
        &mut self,
        case: &Case<'_>,
        watched: Watched,
        scores: &RoundScores,
    ) -> Result<Option<ModelVersion>, Unkept> {
        let name = &case.stream.name;
        let to = match watched {
            Watched::Networks(former) => Some(former.version),
            Watched::No | Watched::Base => None,
        };
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
        let said = Announcement { champion, rounds: case.number, decision: Decision::RolledBack };
        self.announcer.say(name, &said, &bundles)?;
        let (from, to_name) = (case.champion(), to.map_or_else(|| "experts".to_owned(), |v| v.name(name)));
        events::rolled_back(name, case.number, &from, &to_name, scores);
        let lineage = self.lineages.entry(name.clone()).or_default();
        lineage.rolled_back(case.number, &from, &to_name, scores);
        self.wait_until_heard(case);
        Ok(to)
    }

    /// Announces that the champion serves on, so that whoever trains next counts this round too.
    fn confirm(&mut self, case: &Case<'_>, decision: Decision) {
        let name = &case.stream.name;
        let bundles = Bundles::new(&self.store, name);
        let champion = match (case.before.announced, case.before.version()) {
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
        let said = Announcement { champion, rounds: case.number, decision };
        if let Err(cause) = self.announcer.say(name, &said, &bundles) {
            events::kafka_error("trainer", &cause);
        }
    }

    fn is_superseded(&self, case: &Case<'_>) -> bool {
        self.models.standing(&case.stream.name).announced != case.before.announced
    }

    /// A round that began before what was decided serves would begin from the former champion.
    fn wait_until_heard(&self, case: &Case<'_>) {
        let until = Instant::now() + HEARD_LIMIT;
        while !self.is_superseded(case) && Instant::now() < until && !self.stop.load(Ordering::Acquire) {
            std::thread::sleep(NAP);
        }
    }
}

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
    events::round_finished(&case.stream.name, case.number, case.steps, scores.loss(), case.took);
}
