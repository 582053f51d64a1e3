use super::Failure;
use crate::config;
use crate::daemon::Daemon;
use crate::telemetry::init_logging;
use std::path::Path;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How often the workers are looked after.
const LOOK: Duration = Duration::from_millis(200);

/// Runs the daemon until a signal or a failed worker ends it.
pub(super) fn run(path: &Path) -> Result<(), Failure> {
    let config = config::load(path)?;
    init_logging(config.log.json, &config.log.level).map_err(Failure::new)?;
    let limit = config.daemon.stop_timeout;
    let daemon = Daemon::start(config).map_err(Failure::new)?;
    let cause = wait(|| daemon.has_failed(), None)?;
    stop(daemon, cause, limit)
}

/// Waits for SIGTERM, SIGINT, the end of `time` or a failure, and says which it was.
pub(super) fn wait(
    mut failed: impl FnMut() -> bool,
    time: Option<Duration>,
) -> Result<&'static str, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::new)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::new)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::new)?;
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
                _ = terminate.recv() => return Ok("SIGTERM"),
                _ = interrupt.recv() => return Ok("SIGINT"),
                () = &mut over => return Ok("the time is up"),
                _ = look.tick() => if failed() { return Ok("a worker has ended") },
            }
        }
    })
}

/// Stops the daemon within its time; past it the process ends as it is, and loses nothing: what is
/// not committed is done again.
pub(super) fn stop(daemon: Daemon, cause: &'static str, limit: Duration) -> Result<(), Failure> {
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(daemon.stop(cause)));
    match is_done.recv_timeout(limit) {
        Ok(outcome) => outcome.map_err(Failure::new),
        Err(_) => Err(Failure::new(format!("not stopped within {limit:?} (daemon.stop_timeout)"))),
    }
}
