use super::instruction_set::{InstructionSet, Settled};
use super::{ConfigFile, topics};
use crate::config::Config;
use crate::console::Failure;
use crate::daemon::Daemon;
use crate::telemetry::{events, init_logging};
use std::sync::mpsc::{RecvTimeoutError, TryRecvError};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often the workers are checked.
const LOOK: Duration = Duration::from_millis(200);

const PANICKED: &str = "the program panicked, which is a bug: the lines above say where";

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// Create the topics that the config needs and the cluster does not have, with the broker's number of replicas.
    #[arg(long, env = "TIDECAST_CREATE_TOPICS")]
    create_topics: bool,
}

/// Runs the daemon until a signal or a failed worker ends it.
pub(super) fn run(options: &Options, kernels: &InstructionSet) -> Result<(), Failure> {
    let config = super::load(&options.file.config)?;
    init_logging(config.log.json, &config.log.level).map_err(Failure::new)?;
    if options.create_topics {
        topics::create(&config, topics::PARTITIONS, None)?;
    }
    let Settled { isa, measured } = kernels.settle()?;
    events::instruction_set(isa, &measured);
    let limit = config.daemon.stop_timeout;
    let mut signals = Signals::watch()?;
    let (mut daemon, cause) = start(config, &mut signals, limit)?;
    let cause = cause.unwrap_or_else(|| signals.wait(|| daemon.has_failed(), None));
    stop(daemon, cause, limit)
}

/// Starts the daemon, and returns the signal that came meanwhile, if one did. After a signal the start may take
/// as long as a stop: Kafka or the store may be unreachable.
fn start(
    config: Config,
    signals: &mut Signals,
    limit: Duration,
) -> Result<(Daemon, Option<&'static str>), Failure> {
    let (started, is_started) = std::sync::mpsc::channel();
    std::thread::spawn(move || drop(started.send(Daemon::start(config))));
    let mut daemon = None;
    let cause = signals.wait(
        || {
            daemon = match is_started.try_recv() {
                Ok(started) => Some(started.map_err(Failure::new)),
                Err(TryRecvError::Disconnected) => Some(Err(Failure::new(PANICKED))),
                Err(TryRecvError::Empty) => None,
            };
            daemon.is_some()
        },
        None,
    );
    match daemon {
        Some(daemon) => Ok((daemon?, None)),
        None => match is_started.recv_timeout(limit) {
            Ok(daemon) => Ok((daemon.map_err(Failure::new)?, Some(cause))),
            Err(RecvTimeoutError::Disconnected) => Err(Failure::new(PANICKED)),
            Err(RecvTimeoutError::Timeout) => {
                Err(Failure::new(format!("{cause}, and the start did not end within {limit:?}")))
            }
        },
    }
}

/// SIGTERM and SIGINT, from the moment when they are watched: a signal during the start stops the daemon in
/// order, too.
pub(super) struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Begins to watch.
    pub fn watch() -> Result<Self, Failure> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::new)?;
        let context = runtime.enter();
        let terminate = signal(SignalKind::terminate()).map_err(Failure::new)?;
        let interrupt = signal(SignalKind::interrupt()).map_err(Failure::new)?;
        drop(context);
        Ok(Self { runtime, terminate, interrupt })
    }

    /// Waits for a signal, the end of `time` or a failure, and returns which it was.
    pub fn wait(&mut self, mut failed: impl FnMut() -> bool, time: Option<Duration>) -> &'static str {
        let Self { runtime, terminate, interrupt } = self;
        runtime.block_on(async {
            let over = async {
                match time {
                    Some(time) => tokio::time::sleep(time).await,
                    None => std::future::pending().await,
                }
            };
            tokio::pin!(over);
            let mut look = tokio::time::interval(LOOK);
            loop {
                tokio::select! {
                    _ = terminate.recv() => return "SIGTERM",
                    _ = interrupt.recv() => return "SIGINT",
                    () = &mut over => return "the time is up",
                    _ = look.tick() => if failed() { return "a worker has ended" },
                }
            }
        })
    }
}

/// Stops the daemon within its time. Past that the process ends at once and loses nothing: what is not committed
/// is done again.
pub(super) fn stop(daemon: Daemon, cause: &'static str, limit: Duration) -> Result<(), Failure> {
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(daemon.stop(cause)).ok());
    match is_done.recv_timeout(limit) {
        Ok(outcome) => outcome.map_err(Failure::new),
        Err(RecvTimeoutError::Disconnected) => Err(Failure::new(PANICKED)),
        Err(RecvTimeoutError::Timeout) => {
            Err(Failure::new(format!("not stopped within {limit:?} (daemon.stop_timeout)")))
        }
    }
}
