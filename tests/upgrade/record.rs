//! What a release has left behind: the data of a Kafka broker and a store, as one small archive.
//!
//! The broker's own files are kept, and not a copy of the topics' records, because offsets, their notes and the ids
//! of topics belong together.

use super::support::broker::Broker;
use super::support::daemon::{Daemon, Settings};
use super::support::kafka::{client, create_models_topic, create_topic, produce, read_committed};
use super::support::process::{free_port, fresh_dir, write};
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub const PARTITIONS: i32 = 2;
pub const SERIES: usize = 6;
/// The hours of the recorded readings.
pub const HOURS: i64 = 460;
/// Readings before the first network, and the rest.
const FIRST_HOURS: i64 = 400;
const BASE: i64 = 1_700_000_000 / 3_600;
const LIMIT: Duration = Duration::from_secs(180);
/// A record is tested for years, and a broker forgets nothing meanwhile.
const SETTINGS: [(&str, &str); 2] =
    [("offsets.retention.minutes", "50000000"), ("transactional.id.expiration.ms", "2000000000")];
const START_ATTEMPTS: usize = 3;
const ARCHIVE: &str = "left.tar.zst";
/// A network that is trained in a moment, and serves as soon as it is better than its base at all.
const STREAM: &str = "horizon = 4\nwindow = 256\nlateness = \"2h\"\nmodel = { hidden = 4, base = \"seasonal\" }\n\
    training = { first_after = 300, every = 100000, first_steps = 60, steps = 10, batch = 8, truncation = 32, \
    holdout = 48 }\npromotion = { confidence = 0, gain = 0 }";

fn records() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upgrade")
}

/// The releases that have a record.
pub fn releases() -> Vec<String> {
    let entries =
        std::fs::read_dir(records()).expect("the folder of this test").map(|entry| entry.unwrap().path());
    let mut all: Vec<String> = entries
        .filter(|path| path.join(ARCHIVE).is_file())
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    all.sort();
    all
}

/// The hour of a reading's time.
pub fn reading_time(ts: i64) -> i64 {
    ts / 3_600 - BASE
}

/// The readings of these hours: key, value, partition.
pub fn readings(hours: Range<i64>) -> impl Iterator<Item = (String, String, Option<i32>)> {
    hours.flat_map(|hour| {
        (0..SERIES).map(move |series| {
            let id = format!("meter-{series}");
            let wave = ((hour as f64 / 24.0 + series as f64 * 0.1) * std::f64::consts::TAU).sin();
            let kw = 10.0 + series as f64 + 3.0 * wave + 0.3 * (hour as f64 * 0.7).cos();
            let ts = (BASE + hour) * 3_600;
            let value = format!("{{\"id\":\"{id}\",\"ts\":{ts},\"kw\":{kw:.3}}}");
            (id, value, Some(series as i32 % PARTITIONS))
        })
    })
}

/// A broker and a store, and a daemon over both.
pub struct Left {
    pub broker: Broker,
    pub http: String,
    dir: tempfile::TempDir,
    daemon: Option<Daemon>,
}

impl Left {
    fn new(broker: Broker) -> Self {
        Self { broker, http: format!("127.0.0.1:{}", free_port()), dir: fresh_dir("upgrade"), daemon: None }
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// What this release has left, on a running broker.
    pub fn unpack(release: &str) -> Self {
        for _ in 0..START_ATTEMPTS {
            if let Some(left) = Self::try_unpack(release) {
                return left;
            }
        }
        panic!("Kafka does not start over the data of {release}");
    }

    /// `None` when another process has taken the port in between.
    fn try_unpack(release: &str) -> Option<Self> {
        let mut left = Self::new(Broker::start_with(&SETTINGS));
        left.broker.stop();
        std::fs::remove_dir_all(left.broker.data()).expect("the new broker's data");
        let packed = std::fs::read(records().join(release).join(ARCHIVE)).expect("the archive");
        let archive = left.dir.path().join("left.tar");
        std::fs::write(&archive, zstd::stream::decode_all(&packed[..]).expect("zstd")).expect("room");
        tar(&["-xf", archive.to_str().unwrap(), "-C", left.dir.path().to_str().unwrap()]);
        copy(&left.dir.path().join("kafka"), &left.broker.data());
        std::panic::catch_unwind(AssertUnwindSafe(|| left.broker.restart())).ok()?;
        left.wait_for_leaders();
        Some(left)
    }

    /// A broker that starts over old data leads their partitions a moment later.
    fn wait_for_leaders(&self) {
        let consumer: BaseConsumer = client(&self.broker.bootstrap()).create().expect("a client");
        let until = Instant::now() + LIMIT;
        let topics =
            [("in", PARTITIONS), ("forecasts", PARTITIONS), ("dead-letters", PARTITIONS), ("models", 1)];
        for (topic, partitions) in topics {
            for partition in 0..partitions {
                let ask = || {
                    consumer.fetch_watermarks(&format!("power.{topic}"), partition, Duration::from_secs(1))
                };
                while let Err(e) = ask() {
                    assert!(Instant::now() < until, "power.{topic}[{partition}]: {e}");
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        }
    }

    /// Starts a daemon: of this program, or of another.
    pub fn start(&mut self, program: Option<&Path>) {
        let text = Settings {
            brokers: &self.broker.bootstrap(),
            kafka: "group = \"power\"\ninstance = \"power-0\"",
            http: &self.http,
            store: &format!("file://{}", self.store().display()),
            sections: "[snapshots]\nevery = \"1s\"\n[log]\nformat = \"json\"",
            name: "power",
            topic: "power.in",
            stream: &format!(
                "{STREAM}\nforecast_topic = \"power.forecasts\"\ndead_letter_topic = \"power.dead-letters\""
            ),
        }
        .text();
        let config = write(self.dir.path(), "config.toml", &text);
        self.daemon = Some(match program {
            Some(program) => Daemon::spawn_program(program, &config, &[]),
            None => Daemon::spawn(&config, &[]),
        });
    }

    pub fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("it was started")
    }

    fn wait_for(&mut self, what: &str, mut is_there: impl FnMut(&str) -> bool) {
        let (bootstrap, until) = (self.broker.bootstrap(), Instant::now() + LIMIT);
        while !is_there(&bootstrap) {
            assert!(self.daemon().is_running() && Instant::now() < until, "{what}:\n{}", self.daemon().log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn tar(words: &[&str]) {
    let output = Command::new("tar").args(words).stdout(Stdio::null()).output().expect("tar starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-r").arg(from).arg(to).status();
    assert!(copied.is_ok_and(|status| status.success()), "cp {}", from.display());
}

/// Makes the record of a release, by its own program.
#[test]
#[ignore = "makes a release's record; tests/upgrade/README.md says how"]
fn make() {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let (program, release) = (variable("TIDECAST_RECORD_PROGRAM"), variable("TIDECAST_RECORD_RELEASE"));
    let mut left = Left::new(Broker::start_with(&SETTINGS));
    let bootstrap = left.broker.bootstrap();
    for kind in ["in", "forecasts", "dead-letters"] {
        create_topic(&bootstrap, &format!("power.{kind}"), PARTITIONS, &[("retention.ms", "-1")]);
    }
    create_models_topic(&bootstrap, "power");
    left.start(Some(Path::new(&program)));
    produce(&bootstrap, "power.in", readings(0..FIRST_HOURS));
    produce(&bootstrap, "power.in", [("meter-0", "no reading", Some(0))]);
    left.wait_for("no network serves", |bootstrap| {
        let all = read_committed(bootstrap, "power.models");
        all.iter().any(|record| {
            String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).contains("\"version\"")
        })
    });
    produce(&bootstrap, "power.in", readings(FIRST_HOURS..HOURS));
    super::wait_until_committed(&mut left);
    left.wait_for("the network does not serve yet", |bootstrap| {
        let last = read_committed(bootstrap, "power.forecasts").pop().and_then(|record| record.value);
        String::from_utf8_lossy(&last.unwrap_or_default()).contains("\"model\":\"power-")
    });
    assert_eq!(left.daemon().terminate(LIMIT), 0, "{}", left.daemon().log());
    let answered = super::audit(&left, "the record");
    left.broker.stop();
    copy(&left.broker.data(), &left.dir.path().join("kafka"));
    let archive = left.dir.path().join("left.tar");
    tar(&[
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--sparse",
        "-cf",
        archive.to_str().unwrap(),
        "-C",
        left.dir.path().to_str().unwrap(),
        "kafka",
        "store",
    ]);
    let packed = zstd::stream::encode_all(&std::fs::read(&archive).unwrap()[..], 19).expect("zstd");
    let folder = records().join(&release);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(ARCHIVE), &packed).unwrap();
    println!("{release}: {answered} answers, {} bytes in {}", packed.len(), folder.display());
}
