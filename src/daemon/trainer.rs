use super::Error;
use super::models::Models;
use crate::checkpoint::{self, Bundles, Champion, Store};
use crate::config::{Config, Stream};
use crate::domain::{ModelVersion, StreamName};
use crate::engine::Model;
use crate::nn::Device;
use crate::series::SeriesSample;
use crate::telemetry::{self, Board, Metrics, RoundOutcome, events};
use crate::training::{Outcome, Round, Trained, blueprint, device};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The longest that a pause of the trainer goes without a look at the stop sign.
const NAP: Duration = Duration::from_millis(50);

/// A round to be run.
pub(super) struct Job {
    pub stream: Arc<Stream>,
    pub samples: Vec<SeriesSample>,
}

/// The thread that trains, one round at a time, at low priority and within its share of a core.
pub(super) struct Trainer {
    door: Door,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Where a worker hands in jobs. Bounded: one job a stream.
#[derive(Clone)]
pub(super) struct Door {
    jobs: SyncSender<Job>,
    busy: Arc<Mutex<BTreeMap<StreamName, bool>>>,
}

impl Door {
    /// Hands in a job, unless one of the stream is waiting or running already; says whether it did.
    pub fn hand_in(&self, stream: &Arc<Stream>, samples: impl FnOnce() -> Vec<SeriesSample>) -> bool {
        let mut busy = self.busy.lock().expect("no holder of this lock panics");
        if busy.get(&stream.name).copied().unwrap_or(false) {
            return false;
        }
        let job = Job { stream: stream.clone(), samples: samples() };
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
    /// Loads each stream's newest bundle, publishes it, and starts the thread.
    pub fn start(
        config: &Config,
        store: &Store,
        models: &Models,
        metrics: &Metrics,
        board: &Board,
    ) -> Result<Self, Error> {
        let (mut champions, mut devices) = (BTreeMap::new(), BTreeMap::new());
        for stream in &config.streams {
            let device = device(stream)?;
            events::device_chosen(&stream.name, &device.name());
            devices.insert(stream.name.clone(), device.clone());
            let Some(champion) = Bundles::new(store, &stream.name).newest(&blueprint(stream)?)? else {
                continue;
            };
            events::model_loaded(&stream.name, champion.version);
            let weights = champion.trained.weights.clone();
            models.publish(&stream.name, Model { version: champion.version, weights, device });
            champions.insert(stream.name.clone(), champion);
        }
        let (jobs, inbox) = sync_channel(config.streams.len());
        let door = Door { jobs, busy: Arc::default() };
        let stop = Arc::new(AtomicBool::new(false));
        let desk = Desk {
            store: store.clone(),
            champions,
            devices,
            rounds: BTreeMap::new(),
            models: models.clone(),
            metrics: metrics.clone(),
            board: board.clone(),
            stop: stop.clone(),
        };
        let busy = door.busy.clone();
        let thread =
            std::thread::Builder::new().name("trainer".into()).spawn(move || desk.work(&inbox, &busy))?;
        Ok(Self { door, stop, thread })
    }

    pub fn door(&self) -> Door {
        self.door.clone()
    }

    /// Whether the thread has ended by itself: it panicked.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends the round that runs, if one does, and the thread.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Release);
        drop(self.door);
        if self.thread.join().is_err() {
            events::trainer_panicked();
        }
    }
}

/// What the thread works with.
struct Desk {
    store: Store,
    champions: BTreeMap<StreamName, Champion>,
    /// Where each stream's networks serve.
    devices: BTreeMap<StreamName, Device>,
    /// Rounds that each stream has seen.
    rounds: BTreeMap<StreamName, u64>,
    models: Models,
    metrics: Metrics,
    board: Board,
    stop: Arc<AtomicBool>,
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
        let champion = self.champions.get(&stream.name);
        let rounds = self.rounds.entry(stream.name.clone()).or_insert(champion.map_or(0, |c| c.rounds));
        *rounds += 1;
        let number = *rounds;
        let readings = job.samples.iter().map(|s| s.window.view().len()).sum();
        events::round_started(&stream.name, number, job.samples.len(), readings);
        let began = Instant::now();
        let mut pace = Pace::new(stream.training.budget.cpu_share, &self.stop);
        let round = Round { stream, samples: &job.samples, champion: champion.map(|c| &c.trained), number };
        let outcome = round.run(&mut || pace.go_on());
        let took = began.elapsed();
        let metrics = self.metrics.stream(&stream.name);
        metrics.training_seconds.observe(took.as_secs_f64());
        let (outcome, loss, model) = match outcome {
            Ok(Outcome::Better { trained, loss, champion_loss }) => {
                events::round_finished(&stream.name, number, pace.steps, loss, took);
                match self.keep(stream, number, trained, loss, champion_loss) {
                    Ok(version) => {
                        events::promoted(&stream.name, version, loss, champion_loss);
                        metrics.promotions.inc();
                        (RoundOutcome::Promoted, loss, Some(version))
                    }
                    // Snapshots name their model: one that no restart could find never serves.
                    Err(cause) => {
                        events::bundle_not_kept(&stream.name, number, &cause);
                        (RoundOutcome::Failed, loss, None)
                    }
                }
            }
            Ok(Outcome::Rejected { loss, champion_loss }) => {
                events::round_finished(&stream.name, number, pace.steps, loss, took);
                events::rejected(&stream.name, number, loss, champion_loss);
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
}

impl Desk {
    /// Writes a new champion's bundle, then publishes it.
    fn keep(
        &mut self,
        stream: &Stream,
        round: u64,
        trained: Trained,
        loss: f64,
        champion_loss: f64,
    ) -> Result<ModelVersion, checkpoint::Error> {
        let name = &stream.name;
        let bundles = Bundles::new(&self.store, name);
        let device = self.devices[name].clone();
        let parent = self.champions.get(name).map(|c| c.version);
        // Above every version that ever served, also those of another shape.
        let newest = bundles.list()?.first().copied().max(parent);
        let version = newest.map_or(ModelVersion(1), ModelVersion::next);
        let facts = [
            ("parent", parent.map_or_else(String::new, |v| v.name(name))),
            ("loss", loss.to_string()),
            ("champion_loss", champion_loss.to_string()),
            ("seed", stream.training.seed.to_string()),
        ];
        let facts = facts.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        let champion = Champion { version, trained, rounds: round, facts };
        bundles.keep(&champion)?;
        let weights = champion.trained.weights.clone();
        self.models.publish(name, Model { version, weights, device });
        self.champions.insert(name.clone(), champion);
        Ok(version)
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
