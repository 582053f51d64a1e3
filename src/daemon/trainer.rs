use super::Error;
use super::announcement::{Announcement, Decision, Named};
use super::companion::Companion;
use super::herald::Herald;
use super::models::{Models, Standing};
use crate::checkpoint::{self, Bundles, Champion, Store};
use crate::config::{Config, Stream};
use crate::domain::{ModelVersion, StreamName};
use crate::kafka;
use crate::series::WindowCopy;
use crate::telemetry::{self, Board, Metrics, RoundOutcome, events};
use crate::training::{Outcome, Round, Start, Trained};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The longest that a pause of the trainer goes without a look at the stop sign.
const NAP: Duration = Duration::from_millis(50);
/// How long a new champion may take to serve in this process before the next round begins without it.
const HEARD_LIMIT: Duration = Duration::from_secs(10);

/// A round to be run.
pub(super) struct Job {
    pub stream: Arc<Stream>,
    pub start: Start,
    pub samples: Vec<WindowCopy>,
}

/// The thread that trains, one round at a time, at low priority and within its share of a core.
pub(super) struct Trainer {
    door: Door,
    stop: Arc<AtomicBool>,
    thread: Companion,
}

/// Where a worker hands in jobs. Bounded: one job a stream.
#[derive(Clone)]
pub(super) struct Door {
    jobs: SyncSender<Job>,
    busy: Arc<Mutex<BTreeMap<StreamName, bool>>>,
}

impl Door {
    /// Hands in a job, unless one of the stream is waiting or running already; says whether it did.
    pub fn hand_in(
        &self,
        stream: &Arc<Stream>,
        start: Start,
        samples: impl FnOnce() -> Vec<WindowCopy>,
    ) -> bool {
        let mut busy = self.busy.lock().expect("no holder of this lock panics");
        if busy.get(&stream.name).copied().unwrap_or(false) {
            return false;
        }
        let job = Job { stream: stream.clone(), start, samples: samples() };
        match self.jobs.try_send(job) {
            Ok(()) => {
                busy.insert(stream.name.clone(), true);
                true
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

impl Trainer {
    pub fn start(
        config: &Config,
        store: &Store,
        models: &Models,
        metrics: &Metrics,
        board: &Board,
    ) -> Result<Self, Error> {
        let (jobs, inbox) = sync_channel(config.streams.len());
        let door = Door { jobs, busy: Arc::default() };
        let stop = Arc::new(AtomicBool::new(false));
        let desk = Desk {
            store: store.clone(),
            champions: BTreeMap::new(),
            rounds: BTreeMap::new(),
            models: models.clone(),
            herald: Herald::new(config.kafka.clone()),
            metrics: metrics.clone(),
            board: board.clone(),
            stop: stop.clone(),
        };
        let busy = door.busy.clone();
        let thread = Companion::start("trainer".into(), move || desk.work(&inbox, &busy))?;
        Ok(Self { door, stop, thread })
    }

    pub fn door(&self) -> Door {
        self.door.clone()
    }

    pub fn has_panicked(&mut self) -> bool {
        self.thread.has_panicked()
    }

    /// Ends the round that runs, if one does, and the thread.
    ///
    /// # Errors
    /// [`Error::Panicked`] when it had panicked.
    pub fn stop(mut self) -> Result<(), Error> {
        self.stop.store(true, Ordering::Release);
        self.thread.join();
        if self.thread.has_panicked() {
            events::trainer_panicked();
            return Err(Error::Panicked);
        }
        Ok(())
    }
}

/// What the thread works with.
struct Desk {
    store: Store,
    /// The networks that rounds begin from, as they were loaded or made here.
    champions: BTreeMap<StreamName, Champion>,
    /// Rounds that each stream has seen here.
    rounds: BTreeMap<StreamName, u64>,
    models: Models,
    herald: Herald,
    metrics: Metrics,
    board: Board,
    stop: Arc<AtomicBool>,
}

/// Why a new champion does not serve.
#[derive(Debug, thiserror::Error)]
enum Unkept {
    #[error("another model was announced meanwhile")]
    Superseded,
    #[error(transparent)]
    Store(#[from] checkpoint::Error),
    #[error("kafka: {0}")]
    Kafka(#[from] kafka::Error),
}

impl Desk {
    fn work(mut self, inbox: &Receiver<Job>, busy: &Mutex<BTreeMap<StreamName, bool>>) {
        yield_to_serving();
        while !self.stop.load(Ordering::Acquire) {
            let Ok(job) = inbox.recv_timeout(NAP) else { continue };
            self.run(&job);
            busy.lock().expect("no holder of this lock panics").insert(job.stream.name.clone(), false);
        }
    }

    fn run(&mut self, job: &Job) {
        let stream = &job.stream;
        let before = self.models.standing(&stream.name);
        let champion = match self.champion(stream, &before) {
            Ok(champion) => champion,
            Err(cause) => {
                events::round_failed(&stream.name, before.rounds + 1, &cause);
                return self.metrics.stream(&stream.name).rounds(RoundOutcome::Failed).inc();
            }
        };
        let rounds = self.rounds.entry(stream.name.clone()).or_default();
        // Its number goes on from whoever has trained before.
        *rounds = before.rounds.max(*rounds).max(champion.as_ref().map_or(0, |c| c.rounds)) + 1;
        let number = *rounds;
        let readings = job.samples.iter().map(|s| s.view().len()).sum();
        events::round_started(&stream.name, number, job.samples.len(), readings);
        let began = Instant::now();
        let mut pace = Pace::new(stream.training.budget.cpu_share, &self.stop);
        let from = champion.as_ref().map(|c| &c.trained);
        let round = Round { stream, samples: &job.samples, champion: from, start: job.start, number };
        let outcome = round.run(&mut || pace.go_on());
        let steps = pace.steps;
        let took = began.elapsed();
        let metrics = self.metrics.stream(&stream.name);
        metrics.training_seconds.observe(took.as_secs_f64());
        let (outcome, loss, model) = match outcome {
            Ok(Outcome::Better { trained, loss, champion_loss }) => {
                events::round_finished(&stream.name, number, steps, loss, took);
                match self.crown(stream, &before, number, trained, [loss, champion_loss]) {
                    Ok(version) => {
                        events::promoted(&stream.name, version, loss, champion_loss);
                        metrics.promotions.inc();
                        (RoundOutcome::Promoted, loss, Some(version))
                    }
                    Err(cause @ Unkept::Superseded) => {
                        events::round_superseded(&stream.name, number, &cause);
                        (RoundOutcome::Rejected, loss, None)
                    }
                    // Snapshots name their model: one that no restart could find never serves.
                    Err(cause) => {
                        events::bundle_not_kept(&stream.name, number, &cause);
                        (RoundOutcome::Failed, loss, None)
                    }
                }
            }
            Ok(Outcome::Rejected { loss, champion_loss }) => {
                events::round_finished(&stream.name, number, steps, loss, took);
                events::rejected(&stream.name, number, loss, champion_loss);
                self.confirm(stream, &before, number);
                (RoundOutcome::Rejected, loss, None)
            }
            Ok(Outcome::TooYoung | Outcome::Stopped) => return,
            Err(cause) => {
                events::round_failed(&stream.name, number, &cause);
                (RoundOutcome::Failed, f64::NAN, None)
            }
        };
        metrics.rounds(outcome).inc();
        metrics.training_loss.set(loss);
        self.board.round(&stream.name, telemetry::Round { round: number, outcome, loss, took, model });
    }

    /// The network that serves, with its optimiser, whoever has made it.
    fn champion(
        &mut self,
        stream: &Stream,
        standing: &Standing,
    ) -> Result<Option<Champion>, checkpoint::Error> {
        let Some(model) = &standing.model else { return Ok(None) };
        if let Some(champion) = self.champions.get(&stream.name).filter(|c| c.version == model.version) {
            return Ok(Some(champion.clone()));
        }
        let champion = match Bundles::new(&self.store, &stream.name).load_version(model.version) {
            Ok(Some(champion)) => champion,
            Err(cause @ checkpoint::Error::Store { .. }) => return Err(cause),
            // What serves is all that is left of it.
            Ok(None) | Err(_) => Champion {
                version: model.version,
                trained: Trained { weights: model.weights.clone(), optimiser: None },
                rounds: standing.rounds,
                facts: BTreeMap::new(),
            },
        };
        self.champions.insert(stream.name.clone(), champion.clone());
        Ok(Some(champion))
    }

    /// Writes a new champion's bundle and announces it; the follower lets it serve, here as everywhere.
    /// `losses`: its own, and the former champion's.
    fn crown(
        &mut self,
        stream: &Stream,
        before: &Standing,
        round: u64,
        trained: Trained,
        losses: [f64; 2],
    ) -> Result<ModelVersion, Unkept> {
        let name = &stream.name;
        let is_superseded = |models: &Models| models.standing(name).announced != before.announced;
        if is_superseded(&self.models) {
            return Err(Unkept::Superseded);
        }
        let bundles = Bundles::new(&self.store, name);
        // Above every version that ever served, also those of another shape.
        let newest = bundles.list()?.first().copied();
        let newest = newest.max(before.version()).max(before.announced.map(|named| named.version));
        let version = newest.map_or(ModelVersion(1), ModelVersion::next);
        let facts = [
            ("parent", before.version().map_or_else(String::new, |v| v.name(name))),
            ("loss", losses[0].to_string()),
            ("champion_loss", losses[1].to_string()),
            ("seed", stream.training.seed.to_string()),
        ];
        let facts = facts.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        let champion = Champion { version, trained, rounds: round, facts };
        let named = Named { version, checksum: bundles.keep(&champion)? };
        let said = Announcement { champion: Some(named), rounds: round };
        self.herald.say(name, &said, Decision::Promoted, &bundles)?;
        self.champions.insert(name.clone(), champion);
        // A round that began before it serves would begin from the former one.
        let until = Instant::now() + HEARD_LIMIT;
        while !is_superseded(&self.models) && Instant::now() < until && !self.stop.load(Ordering::Acquire) {
            std::thread::sleep(NAP);
        }
        // It serves; what could not be tidied away goes with the next one.
        let _ = bundles.prune(version);
        Ok(version)
    }

    /// Announces that the champion serves on, so that whoever trains next counts this round too.
    fn confirm(&mut self, stream: &Stream, before: &Standing, round: u64) {
        let bundles = Bundles::new(&self.store, &stream.name);
        let champion = match (before.announced, before.version()) {
            (Some(named), _) => Some(named),
            (None, None) => None,
            // The newest bundle, which nobody has announced.
            (None, Some(version)) => match bundles.checksum(version) {
                Ok(Some(checksum)) => Some(Named { version, checksum }),
                Ok(None) | Err(_) => return,
            },
        };
        if self.models.standing(&stream.name).announced != before.announced {
            return;
        }
        let said = Announcement { champion, rounds: round };
        if let Err(cause) = self.herald.say(&stream.name, &said, Decision::Rejected, &bundles) {
            events::kafka_error("trainer", &cause);
        }
    }
}

/// Works for a share of the time and rests for the others.
struct Pace<'a> {
    rest_per_work: f64,
    since: Instant,
    stop: &'a AtomicBool,
    steps: usize,
}

impl<'a> Pace<'a> {
    fn new(cpu_share: f64, stop: &'a AtomicBool) -> Self {
        Self { rest_per_work: 1.0 / cpu_share - 1.0, since: Instant::now(), stop, steps: 0 }
    }

    fn go_on(&mut self) -> bool {
        self.steps += 1;
        let mut rest = self.since.elapsed().mul_f64(self.rest_per_work);
        while !rest.is_zero() && !self.stop.load(Ordering::Acquire) {
            let nap = rest.min(NAP);
            std::thread::sleep(nap);
            rest -= nap;
        }
        self.since = Instant::now();
        !self.stop.load(Ordering::Acquire)
    }
}

/// The lowest priority that an ordinary thread can have; serving comes first.
fn yield_to_serving() {
    #[cfg(target_os = "linux")]
    // SAFETY: both calls take plain numbers; on Linux `PRIO_PROCESS` with a thread's id is that
    // thread alone. A refusal changes nothing.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, libc::gettid() as libc::id_t, 19);
    }
}
