//! Two processes and the models topic, with a real Kafka. One trains, both serve the model that was announced last, and
//! a killed process comes back to it.

use crate::support::broker::Broker;
use crate::support::daemon::{Daemon, Settings, TOKEN, get, metric, post};
use crate::support::kafka::{
    Record, committed_offsets, create_models_topic, create_topic, produce, read_committed,
};
use crate::support::process::{free_port, fresh_dir, write};
use crate::support::stream::{any_model, networks};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tidecast::checkpoint::{Bundles, Champion, Store};
use tidecast::config::{self, Config};
use tidecast::domain::ModelVersion;

const LIMIT: Duration = Duration::from_secs(120);
const PARTITIONS: i32 = 4;
const SERIES: i64 = 8;
/// Hours that are produced between two checks.
const CHUNK: i64 = 8;

/// `tidecast models VERB …`, and what it printed.
fn models(config: &Path, verb: &str, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidecast"));
    command.args(["models", verb, "--config"]).arg(config).args(arguments);
    let output = command.output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// A process that may be running.
struct Replica {
    config: PathBuf,
    http: String,
    daemon: Option<Daemon>,
}

impl Replica {
    fn start(&mut self) {
        self.daemon = Some(Daemon::spawn(&self.config, &[]));
        let http = self.http.clone();
        self.daemon().wait_ready(&http, LIMIT);
    }

    fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("it was started")
    }

    fn kill(&mut self) {
        self.daemon().kill9();
        self.daemon = None;
    }

    /// The fields of an event in the log since its last start.
    fn events(&self, name: &str) -> Vec<Value> {
        self.daemon.as_ref().map(|daemon| daemon.events(name)).unwrap_or_default()
    }

    /// The stream as `/api/v1` shows it.
    fn stream(&self, name: &str) -> Option<Value> {
        let (_, body) = get(&self.http, &format!("/api/v1/streams/{name}"))?;
        serde_json::from_str(&body).ok()
    }

    fn metric(&self, line: &str) -> f64 {
        metric(&self.http, line).unwrap_or_else(|| panic!("no {line}"))
    }
}

const ONE: &str = "model = { hidden = 8, base = \"last\" }";
const TWO: &str = "model = { base = \"last\" }\nmodels = [{ hidden = 8 }, { family = \"gru\", hidden = 6 }]";

/// Topics, one store and two processes.
struct Case {
    dir: tempfile::TempDir,
    name: &'static str,
    replicas: [Replica; 2],
    hours: i64,
}

/// A model as it was announced.
#[derive(Clone, Debug, PartialEq)]
struct Said {
    version: u64,
    round: u64,
    decision: String,
}

impl Case {
    /// `networks` are those of the stream.
    fn new(name: &'static str, networks: &str, training: &str) -> Self {
        let bootstrap = Broker::shared().bootstrap();
        let dir = fresh_dir("models");
        for (topic, partitions) in [("in", PARTITIONS), ("forecasts", PARTITIONS), ("dead-letters", 1)] {
            create_topic(&bootstrap, &format!("{name}.{topic}"), partitions, &[]);
        }
        create_models_topic(&bootstrap, name);
        let replicas = ["a", "b"].map(|replica| {
            let http = format!("127.0.0.1:{}", free_port());
            let config = Settings {
                brokers: &bootstrap,
                kafka: &format!(
                    "group = \"{name}\"\n\
                     properties = {{ \"session.timeout.ms\" = \"6000\", \"heartbeat.interval.ms\" = \"500\" }}"
                ),
                http: &http,
                store: &format!("file://{}", dir.path().join("store").display()),
                sections: "[snapshots]\nevery = \"1s\"\n[log]\nformat = \"json\"",
                name,
                topic: &format!("{name}.in"),
                stream: &format!(
                    "horizon = 4\nwindow = 256\n{networks}\n\
                     training = {{ {training} }}\npromotion = {{ watch = 0 }}"
                ),
            }
            .text();
            let config = write(dir.path(), &format!("{replica}.toml"), &config);
            Replica { config, http, daemon: None }
        });
        Self { dir, name, replicas, hours: 0 }
    }

    fn topic(&self, kind: &str) -> String {
        format!("{}.{kind}", self.name)
    }

    fn read(&self, kind: &str) -> Vec<Record> {
        read_committed(&Broker::shared().bootstrap(), &self.topic(kind))
    }

    fn config(&self) -> Config {
        config::load(&self.replicas[0].config).expect("a config")
    }

    fn bundles(&self) -> Bundles {
        let config = self.config();
        Bundles::new(&Store::open(&config.store).expect("a store"), &config.streams[0].name)
    }

    /// Produces the next hours of every series. Values change much within an hour, so that a network that corrects the
    /// last value is soon better.
    fn produce(&mut self, hours: i64) {
        let from = self.hours;
        self.hours += hours;
        let records = (from..self.hours).flat_map(|hour| (0..SERIES).map(move |s| record(hour, s)));
        produce(&Broker::shared().bootstrap(), &self.topic("in"), records);
    }

    /// Waits until all that was produced is committed.
    fn wait_committed(&mut self) {
        let until = Instant::now() + LIMIT;
        loop {
            let offsets = committed_offsets(&Broker::shared().bootstrap(), self.name, &self.topic("in"));
            let done: i64 = offsets.iter().map(|o| o.unwrap_or(0)).sum();
            if done == self.hours * SERIES {
                return;
            }
            for replica in &mut self.replicas {
                if let Some(daemon) = &mut replica.daemon {
                    assert!(daemon.is_running() && Instant::now() < until, "{done}:\n{}", daemon.log());
                }
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Everything that was announced, in its order.
    fn said(&self) -> Vec<Said> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let said = |record: &Record| {
            assert_eq!(record.key.as_deref(), Some(self.name.as_bytes()));
            let value: Value = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
            Said {
                version: value["version"].as_u64().unwrap_or(0),
                round: value["round"].as_u64().unwrap(),
                decision: text(&value["decision"]),
            }
        };
        self.read("models").iter().map(said).collect()
    }

    /// The version that was announced last; 0 before the first.
    fn newest(&self) -> u64 {
        self.said().last().map_or(0, |said| said.version)
    }

    /// Feeds until a version above this one is announced.
    fn feed_until_above(&mut self, version: u64) {
        let until = Instant::now() + LIMIT;
        while self.newest() <= version {
            self.produce(CHUNK);
            self.wait_committed();
            let logs = || self.replicas.each_ref().map(|replica| replica.daemon.as_ref().map(Daemon::log));
            assert!(Instant::now() < until, "nothing above {version} is announced: {:?}", logs());
        }
    }

    /// Feeds hour by hour until the newest forecast of every series was made by this version.
    fn feed_until_all_serve(&mut self, version: u64) {
        self.feed_until_all_serve_what(|_| version);
    }

    /// As [`Self::feed_until_all_serve`], for the version that is announced last by then.
    fn feed_until_all_serve_newest(&mut self) {
        self.feed_until_all_serve_what(Self::newest);
    }

    fn feed_until_all_serve_what(&mut self, version: impl Fn(&Self) -> u64) {
        self.feed_until_all_serve_what_name(|case| format!("{}-{:06}", case.name, version(case)));
    }

    /// As above, by the model's name, which is empty for the experts alone.
    fn feed_until_all_serve_what_name(&mut self, name: impl Fn(&Self) -> String) {
        let until = Instant::now() + LIMIT;
        loop {
            self.produce(1);
            self.wait_committed();
            let wanted = name(self);
            let mut models = BTreeMap::new();
            for record in self.read("forecasts") {
                let value: Value = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
                let model = record.header("tidecast-model").unwrap_or_default().to_owned();
                assert_eq!(value["model"].as_str().unwrap_or_default(), model);
                models.insert(record.key, model);
            }
            assert_eq!(models.len(), SERIES as usize);
            if models.values().all(|model| *model == wanted) {
                return;
            }
            assert!(Instant::now() < until, "{wanted} does not serve everywhere: {models:?}");
        }
    }

    /// Waits until each running process has shards and shows the model that was announced last.
    fn wait_all_follow(&self) {
        let until = Instant::now() + LIMIT;
        loop {
            let wanted = format!("{}-{:06}", self.name, self.newest());
            let running = self.replicas.iter().filter(|replica| replica.daemon.is_some());
            let streams: Vec<Value> = running.filter_map(|replica| replica.stream(self.name)).collect();
            let follows = |s: &Value| s["model"] == wanted && s["shards_owned"].as_u64() > Some(0);
            if streams.iter().all(follows) {
                return;
            }
            assert!(Instant::now() < until, "{wanted} does not serve: {streams:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the running processes, and checks that each reading was answered once.
    fn end(mut self) {
        self.wait_committed();
        for daemon in self.replicas.iter_mut().filter_map(|replica| replica.daemon.as_mut()) {
            assert_eq!(daemon.terminate(LIMIT), 0, "{}", daemon.log());
        }
        let origins: Vec<_> = self.read("forecasts").iter().map(Record::source).collect();
        let once: BTreeSet<_> = origins.iter().collect();
        assert_eq!((origins.len(), once.len() as i64), (once.len(), self.hours * SERIES));
    }
}

fn record(hour: i64, series: i64) -> (String, String, Option<i32>) {
    let id = format!("meter-{series}");
    let wave = |period: f64| (hour as f64 / period * std::f64::consts::TAU).sin();
    let kw = 5.0 + series as f64 + 3.0 * wave(8.0) + wave(17.0);
    let value = format!("{{\"id\":\"{id}\",\"ts\":{},\"kw\":{kw:.3}}}", 1_700_000_000 + hour * 3_600);
    (id, value, Some((series % i64::from(PARTITIONS)) as i32))
}

#[test]
fn what_one_process_learns_serves_in_all_and_outlives_any_of_them() {
    let training = "first_after = 60, every = 24, first_steps = 40, steps = 20, batch = 8, truncation = 24, \
                    holdout = 24";
    let mut case = Case::new("learnt", TWO, training);
    case.replicas.iter_mut().for_each(Replica::start);
    case.feed_until_above(0);
    case.wait_all_follow();
    let trains: Vec<bool> =
        case.replicas.iter().map(|replica| !replica.events("round_started").is_empty()).collect();
    assert!(trains[0] != trains[1], "one process trains: {trains:?}");
    let trainer = usize::from(trains[1]);
    let other = 1 - trainer;

    // The process that only follows is killed while readings and rounds go on, and comes back.
    case.produce(4 * CHUNK);
    case.replicas[other].kill();
    case.replicas[other].start();
    case.feed_until_above(case.newest());
    case.wait_all_follow();

    // The process that trains is killed. The other one goes on from the model that was announced last.
    case.produce(4 * CHUNK);
    case.replicas[trainer].kill();
    let began = |replica: &Replica| replica.events("round_started").first().and_then(|e| e["round"].as_u64());
    let until = Instant::now() + LIMIT;
    let first_round = loop {
        if let Some(round) = began(&case.replicas[other]) {
            break round;
        }
        assert!(Instant::now() < until, "nobody trains");
        case.produce(CHUNK);
        case.wait_committed();
    };
    case.feed_until_above(case.newest());

    // It comes back, and serves the model that was announced meanwhile.
    let meanwhile = case.newest();
    case.replicas[trainer].start();
    let loaded = case.replicas[trainer].events("model_loaded")[0]["model"].as_str().unwrap().to_owned();
    assert!(loaded >= format!("learnt-{meanwhile:06}"), "{loaded} is older than {meanwhile}");
    case.wait_all_follow();
    case.feed_until_all_serve_newest();

    // The count of rounds goes on, and each champion's parent is its predecessor.
    let said = case.said();
    assert!(said.is_sorted_by(|a, b| a.round < b.round), "{said:?}");
    let before: Vec<&Said> = said.iter().filter(|said| said.round < first_round).collect();
    assert_eq!(before.last().map(|said| said.round + 1), Some(first_round), "{said:?}");
    let former = before.last().unwrap().version;
    let promoted = |said: &&Said| said.decision == "promoted";
    let heir = said.iter().skip(before.len()).find(promoted).unwrap().version;
    let bundles = case.bundles();
    let load = |version| bundles.load_version(ModelVersion(version)).unwrap().expect("a bundle");
    assert_eq!(load(heir).facts["parent"], format!("learnt-{former:06}"));
    let heir = load(heir);
    for (name, trained) in heir.networks.iter() {
        assert!(trained.optimiser.as_ref().is_some_and(|o| o.step() > 0), "{name}'s moments come along");
    }
    let names: Vec<&str> = heir.networks.iter().map(|(name, _)| name).collect();
    assert_eq!(heir.facts["networks"], names.join(", "));
    let mut serving = 0;
    for said in &said {
        let is_new = said.version != serving;
        assert!(is_new == (said.decision == "promoted") && said.version >= serving, "{said:?}");
        serving = said.version;
    }
    case.end();
}

#[test]
fn the_last_announcement_counts_although_it_is_of_an_older_model() {
    let mut case = Case::new("told", ONE, "enabled = false");
    let bundles = case.bundles();
    let keep = |version: u64| {
        let stream = &case.config().streams[0];
        let networks = networks(stream, &any_model(stream, version));
        let version = ModelVersion(version);
        bundles.keep(&Champion { version, networks, rounds: version.0, facts: BTreeMap::new() }).unwrap()
    };
    let sums: Vec<u64> = (1..=3).map(keep).collect();
    let nine = keep(9);
    let hidden = case.dir.path().join("hidden");
    let nine_at = case.dir.path().join("store/told/models/told-000009.safetensors");
    std::fs::rename(&nine_at, &hidden).unwrap();
    let say = |version: u64, sum: u64| {
        let value = format!(
            "{{\"version\":{version},\"bundle\":\"told-{version:06}.safetensors\",\
             \"checksum\":\"xxh3:{sum:016x}\",\"round\":7,\"decision\":\"promoted\",\"time\":\"\"}}"
        );
        produce(&Broker::shared().bootstrap(), "told.models", [("told", value, Some(0))]);
    };

    // Without an announcement the newest bundle serves.
    case.replicas.iter_mut().for_each(Replica::start);
    case.feed_until_all_serve(3);
    say(2, sums[1]);
    case.feed_until_all_serve(2);
    // After a restart the announced model serves, although the store has a newer bundle.
    case.replicas[0].kill();
    case.replicas[0].start();
    assert_eq!(case.replicas[0].events("model_loaded")[0]["model"], "told-000002");
    say(1, sums[0]);
    case.feed_until_all_serve(1);

    // A model that can't be loaded is waited for, while the last one serves.
    let failures = "tidecast_model_failures_total{stream=\"told\"}";
    say(9, nine);
    let until = Instant::now() + LIMIT;
    while case.replicas.iter().any(|replica| replica.metric(failures) == 0.0) {
        assert!(Instant::now() < until, "nobody misses it");
        std::thread::sleep(Duration::from_millis(20));
    }
    case.feed_until_all_serve(1);
    std::fs::rename(&hidden, &nine_at).unwrap();
    case.feed_until_all_serve(9);

    // An unreadable record is no announcement, and a bundle with another checksum is not the announced one.
    produce(&Broker::shared().bootstrap(), "told.models", [("told", "{\"version\":2}", Some(0))]);
    say(3, sums[1]);
    let wrong = |replica: &Replica| {
        !replica.events("announcement_unreadable").is_empty()
            && replica.events("model_not_followed").iter().any(|event| event["model"] == "told-000003")
    };
    let until = Instant::now() + LIMIT;
    while !case.replicas.iter().all(wrong) {
        assert!(Instant::now() < until, "nobody says so");
        std::thread::sleep(Duration::from_millis(20));
    }
    case.feed_until_all_serve(9);
    case.end();
}

#[test]
fn the_serving_model_can_be_set_over_http_and_on_the_command_line() {
    let mut case = Case::new("hand", ONE, "enabled = false");
    let bundles = case.bundles();
    for (version, parent) in [(1, ""), (2, "hand-000001"), (3, "hand-000002")] {
        let stream = &case.config().streams[0];
        let networks = networks(stream, &any_model(stream, version));
        let facts = [("parent", parent), ("lineage", "a line\nanother"), ("loss", "0.25")];
        let facts = facts.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let version = ModelVersion(version);
        bundles.keep(&Champion { version, networks, rounds: version.0, facts }).unwrap();
    }
    case.replicas.iter_mut().for_each(Replica::start);
    case.feed_until_all_serve(3);
    let ask = |case: &Case, replica: usize, what: &str| {
        let path = format!("/api/v1/streams/hand/{what}");
        let (status, body) = post(&case.replicas[replica].http, &path, TOKEN).expect("an answer");
        (status, serde_json::from_str::<Value>(&body).expect("JSON"))
    };
    let serves = |case: &Case| {
        let (_, body) = get(&case.replicas[1].http, "/api/v1/streams/hand/models").expect("an answer");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        let models = body["models"].as_array().expect("models").clone();
        assert_eq!(models.len(), 3);
        assert_eq!((&models[0]["model"], &models[0]["loss"]), (&"hand-000003".into(), &0.25.into()));
        assert_eq!(models[0]["lineage"], serde_json::json!(["a line", "another"]));
        models.iter().find(|model| model["serves"] == true).map(|model| model["version"].as_u64().unwrap())
    };

    // Over HTTP, from either process.
    assert_eq!(ask(&case, 0, "models/1/promote").0, 200);
    case.feed_until_all_serve(1);
    assert_eq!(ask(&case, 1, "models/hand-000003/promote").0, 200);
    case.feed_until_all_serve(3);
    assert_eq!(serves(&case), Some(3));
    let (status, body) = ask(&case, 1, "rollback");
    assert_eq!((status, &body["announced"]), (200, &"hand-000002".into()));
    case.feed_until_all_serve(2);
    for (what, status) in [
        ("models/9/promote", 404),
        ("models/other-000001/promote", 404),
        ("models/2/promote", 409),
        ("retrain", 409),
    ] {
        assert_eq!(ask(&case, 0, what).0, status, "{what}");
    }
    assert_eq!(
        post(&case.replicas[0].http, "/api/v1/streams/hand/rollback", "not-the-token").unwrap().0,
        401
    );

    // On the command line, back to the experts alone. That stays after a restart, although there are bundles.
    let config = case.replicas[0].config.clone();
    assert_eq!(models(&config, "rollback", &["hand"]).unwrap(), "hand-000001 was announced\n");
    case.feed_until_all_serve(1);
    assert!(models(&config, "rollback", &["hand"]).unwrap().starts_with("no network serves"));
    case.feed_until_all_serve_what_name(|_| String::new());
    assert!(models(&config, "rollback", &["hand"]).unwrap_err().contains("no network serves"));
    case.replicas[0].kill();
    case.replicas[0].start();
    case.feed_until_all_serve_what_name(|_| String::new());
    assert!(case.replicas[0].events("model_loaded").is_empty());
    assert_eq!(serves(&case), None);

    // And forward again.
    assert_eq!(models(&config, "promote", &["hand", "2"]).unwrap(), "hand-000002 was announced\n");
    case.feed_until_all_serve(2);
    let listed: Value = serde_json::from_str(&models(&config, "list", &["--json"]).unwrap()).unwrap();
    let marks: Vec<bool> = listed.as_array().unwrap().iter().map(|m| m["serves"] == true).collect();
    assert_eq!(marks, [false, true, false]);
    let shown = models(&config, "show", &["hand"]).unwrap();
    assert!(shown.contains("hand-000002") && shown.contains("another"), "{shown}");
    assert!(models(&config, "show", &["hand", "7"]).unwrap_err().contains("hand-000007"));
    case.end();
}
