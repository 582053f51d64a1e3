//! Several daemons on one topic under load, and the count of the answers to every reading.

use super::daemon::{Daemon, Settings, get};
use super::kafka::{Record, committed_offsets, create_models_topic, create_topic, for_each_committed, paced};
use super::process::{free_port, fresh_dir, write};
use super::stream::{any_model, networks};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tidecast::checkpoint::{Bundles, Champion, Store};

/// How the daemons of a test join their group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    /// `classic` or `consumer`.
    pub protocol: &'static str,
    /// Whether each is a static member.
    pub named: bool,
}

/// Long enough for a busy machine, short enough for the test.
pub const SESSION: Duration = Duration::from_secs(3);

/// The topics, the group and the daemons' configs of one test.
pub struct Site {
    dir: tempfile::TempDir,
    pub bootstrap: String,
    /// The addresses of brokers that daemons are given: [`bootstrap`](Self::bootstrap), or those of proxies.
    pub brokers: String,
    /// More lines of the stream.
    pub stream: String,
    pub name: String,
    pub partitions: i32,
}

/// A daemon that may be running.
pub struct Replica {
    config: PathBuf,
    pub http: String,
    pub daemon: Option<Daemon>,
}

impl Site {
    pub fn new(bootstrap: &str, name: &str, partitions: i32) -> Self {
        for topic in ["in", "forecasts", "dead-letters", "quiet.forecasts", "quiet.dead-letters"] {
            create_topic(bootstrap, &format!("{name}.{topic}"), partitions, &[("retention.ms", "-1")]);
        }
        for group in [name, &format!("{name}.quiet")] {
            create_models_topic(bootstrap, group);
        }
        Self {
            dir: fresh_dir("site"),
            bootstrap: bootstrap.to_owned(),
            brokers: bootstrap.to_owned(),
            stream: "window = 256\ntraining = { enabled = false }".to_owned(),
            name: name.to_owned(),
            partitions,
        }
    }

    pub fn topic(&self, kind: &str) -> String {
        format!("{}.{kind}", self.name)
    }

    /// Where the daemons keep their snapshots.
    pub fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// Where the undisturbed daemon keeps its snapshots.
    pub fn quiet_store(&self) -> PathBuf {
        self.dir.path().join("quiet-store")
    }

    /// Writes a network to both stores, so that every daemon serves it from its first reading on.
    pub fn keep_model(&self) {
        for replica in [
            self.replica(0, Membership { protocol: "classic", named: false }, ""),
            self.undisturbed_replica(),
        ] {
            let config = tidecast::config::load(&replica.config).expect("a config");
            let stream = &config.streams[0];
            let model = any_model(stream, 1);
            let (version, networks) = (model.version, networks(stream, &model));
            let champion = Champion { version, networks, rounds: 1, facts: BTreeMap::new() };
            let store = Store::open(&config.store).expect("a store");
            Bundles::new(&store, &stream.name).keep(&champion).expect("a bundle");
        }
    }

    /// A replica with librdkafka's `properties`.
    pub fn replica(&self, number: usize, membership: Membership, properties: &str) -> Replica {
        let instance = format!("instance = \"{}-{number}\"", self.name);
        self.replica_of(
            &format!("daemon-{number}"),
            &format!(
                "group = \"{}\"\ngroup_protocol = \"{}\"\n{}\nproperties = {{ {properties} }}",
                self.name,
                membership.protocol,
                if membership.named { &instance } else { "" }
            ),
            "",
            &self.store(),
        )
    }

    /// A replica that reads the same log alone and undisturbed, with its own forecast topics.
    pub fn undisturbed_replica(&self) -> Replica {
        let topics = format!(
            "forecast_topic = \"{0}.quiet.forecasts\"\ndead_letter_topic = \"{0}.quiet.dead-letters\"",
            self.name
        );
        self.replica_of("quiet", &format!("group = \"{}.quiet\"", self.name), &topics, &self.quiet_store())
    }

    fn replica_of(&self, file: &str, kafka: &str, topics: &str, store: &Path) -> Replica {
        let http = format!("127.0.0.1:{}", free_port());
        let config = Settings {
            brokers: &self.brokers,
            kafka,
            http: &http,
            store: &format!("file://{}", store.display()),
            sections: "[snapshots]\nevery = \"1s\"",
            name: &self.name,
            topic: &self.topic("in"),
            stream: &format!("horizon = 4\nmodel = {{ hidden = 8 }}\n{}\n{topics}", self.stream),
        }
        .text();
        let config = write(self.dir.path(), &format!("{file}.toml"), &config);
        Replica { config, http, daemon: None }
    }

    /// How many records the group `group` has committed, over all partitions.
    pub fn committed(&self, group: &str) -> usize {
        let offsets = committed_offsets(&self.bootstrap, group, &self.topic("in"));
        offsets.iter().map(|o| o.unwrap_or(0) as usize).sum()
    }

    /// Compares every record of the source with its committed answers.
    pub fn audit(&self, prefix: &str) -> Audit {
        let (mut seen, mut all, mut twice) = (BTreeSet::new(), BTreeSet::new(), 0);
        for_each_committed(&self.bootstrap, &self.topic("in"), |record| {
            twice += usize::from(!seen.insert(sequence(&record)));
            all.insert((record.partition, record.offset));
        });
        let torn = twice + seen.last().map_or(0, |last| *last as usize + 1 - seen.len());
        let mut answers: BTreeMap<(i32, i64), usize> = BTreeMap::new();
        let mut counts = [0, 0];
        for (count, kind) in counts.iter_mut().zip(["forecasts", "dead-letters"]) {
            for_each_committed(&self.bootstrap, &self.topic(&format!("{prefix}{kind}")), |record| {
                *answers.entry(record.source()).or_default() += 1;
                *count += 1;
            });
        }
        Audit {
            readings: all.len(),
            torn,
            forecasts: counts[0],
            dead_letters: counts[1],
            lost: all.iter().filter(|at| !answers.contains_key(at)).copied().collect(),
            doubled: answers.iter().filter(|(_, n)| **n > 1).map(|(at, _)| *at).collect(),
        }
    }
}

impl Replica {
    /// The hidden state of every series, from the newest snapshots, by `tidecast state show`.
    pub fn states(&self, stream: &str, partitions: i32) -> BTreeMap<String, Vec<f64>> {
        let mut states = BTreeMap::new();
        for partition in 0..partitions {
            let mut command = Command::new(env!("CARGO_BIN_EXE_tidecast"));
            command.args(["state", "show", "--config"]).arg(&self.config);
            command.args([stream, &partition.to_string(), "--series", "*", "--json"]);
            let shown = command.output().expect("tidecast runs");
            let text = String::from_utf8_lossy(&shown.stdout);
            assert!(shown.status.success(), "{text}{}", String::from_utf8_lossy(&shown.stderr));
            for line in text.lines() {
                let series: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
                let state = series["state"].as_array().expect("a state").iter();
                let name = series["series"].as_str().expect("a name").to_owned();
                let state = state.map(|v| v.as_f64().expect("a number")).collect();
                assert!(states.insert(name, state).is_none(), "a series has one shard");
            }
        }
        states
    }

    /// How many shards of a stream its daemon owns; 0 while it does not answer.
    fn owned(&self, stream: &str) -> u64 {
        let answer = get(&self.http, &format!("/api/v1/streams/{stream}"));
        let stream = answer.and_then(|(_, body)| serde_json::from_str::<serde_json::Value>(&body).ok());
        stream.and_then(|stream| stream["shards_owned"].as_u64()).unwrap_or(0)
    }

    pub fn start(&mut self) {
        self.daemon = Some(Daemon::spawn(&self.config, &[]));
    }

    /// Starts the program of another release.
    pub fn start_program(&mut self, program: &Path) {
        self.daemon = Some(Daemon::spawn_program(program, &self.config, &[]));
    }

    pub fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("it was started")
    }

    /// Starts it, and waits until it serves.
    pub fn start_and_wait(&mut self, limit: Duration) {
        self.start();
        let http = self.http.clone();
        self.daemon().wait_ready(&http, limit);
    }

    /// Starts a daemon again that has ended by itself, as an orchestrator does. Returns the end of its log.
    pub fn revive(&mut self) -> Option<String> {
        let daemon = self.daemon.as_mut()?;
        if daemon.is_running() {
            return None;
        }
        let log = daemon.log();
        let lines: Vec<&str> = log.lines().rev().take(6).collect();
        let last = lines.into_iter().rev().collect::<Vec<_>>().join("\n");
        self.start();
        Some(last)
    }
}

/// The count of a whole run.
#[derive(Debug)]
pub struct Audit {
    pub readings: usize,
    /// Sequence numbers that the source topic lacks or has twice, which is a fault of the test or of the broker.
    pub torn: usize,
    pub forecasts: usize,
    pub dead_letters: usize,
    pub lost: Vec<(i32, i64)>,
    pub doubled: Vec<(i32, i64)>,
}

impl Audit {
    pub fn is_exact(&self) -> bool {
        self.torn == 0 && self.is_answered_once()
    }

    /// Whether each record of the source topic has one answer.
    pub fn is_answered_once(&self) -> bool {
        self.lost.is_empty() && self.doubled.is_empty() && self.readings == self.forecasts + self.dead_letters
    }
}

/// The number that the producer gave a record; bad records have one, too.
fn sequence(record: &Record) -> u64 {
    let text = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default());
    let digits = text.split("\"seq\":").nth(1).expect("each record has a number");
    digits.chars().take_while(char::is_ascii_digit).collect::<String>().parse().expect("a number")
}

/// A producer of numbered readings at a steady rate, on its own thread.
pub struct Load {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<usize>>,
}

/// Series for each partition.
const SERIES: u64 = 4;
/// Hours after which another series takes the place of one, in turn.
const LIVES: [u64; 2] = [480, 120];
/// One of this many records is bad.
const BAD: u64 = 97;

impl Load {
    pub fn start(site: &Site, per_second: usize) -> Self {
        Self::start_with(site, per_second, |n, partitions| {
            let series = n % (SERIES * partitions);
            record(n, n / (SERIES * partitions), series, format!("meter-{series}"), partitions)
        })
    }

    /// Each place of a series is taken over by a new series now and then, more often in some times than in others.
    pub fn start_with_changing_series(site: &Site, per_second: usize) -> Self {
        Self::start_with(site, per_second, |n, partitions| {
            let (series, hour) = (n % (SERIES * partitions), n / (SERIES * partitions));
            let life = LIVES[(hour / 1_000 % 2) as usize];
            record(
                n,
                hour,
                series,
                format!("meter-{series}-{life}-{}", (hour + 7 * series) / life),
                partitions,
            )
        })
    }

    fn start_with(
        site: &Site,
        per_second: usize,
        record: impl Fn(u64, u64) -> (String, String, Option<i32>) + Send + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (bootstrap, topic) = (site.bootstrap.clone(), site.topic("in"));
        let (partitions, until) = (site.partitions as u64, stop.clone());
        let thread = std::thread::spawn(move || {
            let numbered = (0u64..).map(|n| record(n, partitions));
            paced(&bootstrap, &topic, numbered, per_second, &until)
        });
        Self { stop, thread: Some(thread) }
    }

    /// Waits until every record is acknowledged, and returns how many there are.
    pub fn stop(mut self) -> usize {
        self.stop.store(true, Ordering::Release);
        self.thread.take().expect("it is stopped once").join().expect("the producer's thread")
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// Record `n`, of the series `id`. The time of each series advances by an hour with each of its records.
fn record(n: u64, hour: u64, series: u64, id: String, partitions: u64) -> (String, String, Option<i32>) {
    let wave = (hour as f64 / 24.0 * std::f64::consts::TAU).sin();
    let kw = 5.0 + series as f64 + wave + 0.1 * (hour as f64 / 17.0).cos();
    let end = if n % BAD == BAD - 1 { "" } else { "}" };
    let value =
        format!("{{\"id\":\"{id}\",\"ts\":{},\"kw\":{kw:.3},\"seq\":{n}{end}", 1_700_000_000 + hour * 3_600);
    (id, value, Some((series % partitions) as i32))
}

/// Waits until the group has committed `records` records and each partition belongs to exactly one daemon, also when a
/// daemon lost its partitions in the middle of its work. Replicas that end by themselves are started again. Returns the
/// ends of their logs.
pub fn settle(site: &Site, replicas: &mut [Replica], records: usize, limit: Duration) -> Vec<String> {
    let until = Instant::now() + limit;
    let mut ended = Vec::new();
    loop {
        ended.extend(replicas.iter_mut().filter_map(Replica::revive));
        let committed = site.committed(&site.name);
        let owned: u64 = replicas.iter().map(|replica| replica.owned(&site.name)).sum();
        if committed == records && owned == site.partitions as u64 {
            return ended;
        }
        assert!(Instant::now() < until, "committed {committed} of {records}, {owned} shards after {limit:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}
