//! `tidecast demo`: an embedded broker, real sample data replayed faster than it came, and the daemon as it runs in
//! production.

mod feeds;
mod screen;

use super::run::{self, Signals};
use super::topics;
use crate::config;
use crate::console::{Failure, say};
use crate::daemon::Daemon;
use crate::kafka::{EmbeddedBroker, IdempotentProducer};
use crate::telemetry::init_logging;
use feeds::{Feed, feeds};
use screen::Screen;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const CONFIG: &str = include_str!("../../../config/demo.toml");
/// How often the table is drawn on a terminal, and printed elsewhere.
const DRAW: Duration = Duration::from_secs(1);
const PRINT: Duration = Duration::from_secs(10);
/// The replayed data is sent this often.
const BEAT: Duration = Duration::from_millis(20);

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// End after this time, with a summary; by default with Ctrl-C.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// The time in which the sample data (a year and more) is replayed.
    #[arg(long, value_name = "TIME", default_value = "90s", value_parser = duration)]
    replay: Duration,
    /// The dashboard's address.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9464")]
    listen: SocketAddr,
}

fn duration(text: &str) -> Result<Duration, String> {
    config::parse_duration(text)
        .filter(|d| !d.is_zero())
        .ok_or_else(|| format!("\"{text}\" is not a duration like \"60s\" or \"5m\""))
}

pub(super) fn demo(options: &Options) -> Result<(), Failure> {
    let broker = EmbeddedBroker::start().map_err(Failure::new)?;
    let store = tempdir()?;
    let config = config::from_toml(
        CONFIG,
        &[
            ("kafka.brokers", broker.bootstrap_servers()),
            ("http.listen", options.listen.to_string()),
            ("store.url", format!("file://{}", store.0.display())),
        ],
    )?;
    init_logging(config.log.json, &config.log.level).map_err(Failure::new)?;
    for topic in topics::needed(&config, |_| None, 1, None) {
        broker.create_topic(&topic.name, topic.partitions).map_err(Failure::new)?;
    }
    let feeds = feeds()?;
    let producer = IdempotentProducer::connect(&config.kafka).map_err(Failure::new)?;
    let limit = config.daemon.stop_timeout;
    let mut signals = Signals::watch()?;
    let mut daemon = Daemon::start(config).map_err(Failure::new)?;
    say!("broker     {} (Kafka; try kcat -b … -t power.forecasts)", broker.bootstrap_servers());
    say!("dashboard  http://{}/", daemon.address());
    say!("metrics    http://{}/metrics", daemon.address());
    say!(
        "replaying four sets of real readings in {:?}; errors are in units of each series' deviation\n",
        options.replay
    );

    let over = Arc::new(AtomicBool::new(false));
    let replay = {
        let (over, time) = (over.clone(), options.replay);
        std::thread::spawn(move || replay(producer, &feeds, time, &over))
    };
    let mut screen = Screen::new();
    let every = if screen.is_live() { DRAW } else { PRINT };
    let mut next = Instant::now() + every;
    let cause = signals.wait(
        || {
            if Instant::now() >= next {
                next = Instant::now() + every;
                screen.draw(&daemon.board().view());
            }
            daemon.has_failed()
        },
        options.duration,
    );
    over.store(true, Ordering::Release);
    replay.join().map_err(|_| Failure::new("the replay panicked"))??;
    screen.draw(&daemon.board().view());
    let view = daemon.board().view();
    run::stop(daemon, cause, limit)?;
    let readings: u64 = view.streams.iter().map(|s| s.readings).sum();
    let promoted = view.streams.iter().filter_map(|s| s.model).map(|v| v.0).sum::<u64>();
    say!("\nended ({cause}): {readings} readings answered, {promoted} networks promoted");
    Ok(())
}

/// Sends every feed evenly over `time`.
fn replay(
    mut producer: IdempotentProducer,
    feeds: &[Feed],
    time: Duration,
    over: &AtomicBool,
) -> Result<(), Failure> {
    let began = Instant::now();
    let mut sent = vec![0; feeds.len()];
    while !over.load(Ordering::Acquire) && feeds.iter().zip(&sent).any(|(f, s)| *s < f.records.len()) {
        let share = (began.elapsed().as_secs_f64() / time.as_secs_f64()).min(1.0);
        for (feed, sent) in feeds.iter().zip(&mut sent) {
            let due = (share * feed.records.len() as f64) as usize;
            for (key, value) in &feed.records[*sent..due] {
                producer.send(feed.topic, None, Some(key.as_bytes()), value, None).map_err(Failure::new)?;
            }
            *sent = due;
        }
        std::thread::sleep(BEAT);
    }
    Ok(())
}

/// A folder that is removed when it is dropped.
struct TempDir(std::path::PathBuf);

impl Drop for TempDir {
    fn drop(&mut self) {
        // Should that fail, the folder is among the system's temporary ones.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn tempdir() -> Result<TempDir, Failure> {
    let path = std::env::temp_dir().join(format!("tidecast-demo-{}", std::process::id()));
    std::fs::create_dir_all(&path).map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
    Ok(TempDir(path))
}
