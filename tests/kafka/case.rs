//! Topics, group and config of one test, and the answers to its readings.

use crate::support::broker::Broker;
use crate::support::daemon::{Daemon, Settings, get};
use crate::support::kafka::{
    Record, client, create_models_topic, create_topic, delete_topic, read_committed,
};
use crate::support::process::{free_port, fresh_dir, write};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub const LIMIT: Duration = Duration::from_secs(60);
pub const PARTITIONS: i32 = 3;
/// How many hours later the readings of the new topic are, so that their times distinguish the two topics.
pub const RECREATED: i64 = 10_000;

/// Topics, group and config of one test.
pub struct Case {
    pub dir: tempfile::TempDir,
    name: String,
    pub http: String,
    bootstrap: String,
}

impl Case {
    /// `kafka` are lines of the section `kafka`.
    pub fn new(name: &str, kafka: &str, partitions: i32) -> Self {
        Self::with(name, kafka, "", partitions)
    }

    pub fn with(name: &str, kafka: &str, sections: &str, partitions: i32) -> Self {
        Self::on(&Broker::shared().bootstrap(), name, kafka, sections, partitions)
    }

    pub fn on(bootstrap: &str, name: &str, kafka: &str, sections: &str, partitions: i32) -> Self {
        let (dir, http) = (fresh_dir("topics"), format!("127.0.0.1:{}", free_port()));
        for topic in ["in", "forecasts", "dead-letters"] {
            create_topic(bootstrap, &format!("{name}.{topic}"), partitions, &[]);
        }
        create_models_topic(bootstrap, name);
        let config = Settings {
            brokers: bootstrap,
            kafka: &format!("group = \"{name}\"\n{kafka}"),
            http: &http,
            store: &format!("file://{}", dir.path().join("store").display()),
            sections: &format!("[log]\nformat = \"json\"\n[snapshots]\nevery = \"1s\"\n{sections}"),
            name,
            topic: &format!("{name}.in"),
            stream: "horizon = 3\nwindow = 64\nmodel = { hidden = 4 }\ntraining = { enabled = false }",
        }
        .text();
        write(dir.path(), "tidecast.toml", &config);
        let (name, bootstrap) = (name.to_owned(), bootstrap.to_owned());
        Self { dir, name, http, bootstrap }
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("tidecast.toml")
    }

    pub fn daemon(&self) -> Daemon {
        let mut daemon = Daemon::spawn(&self.config(), &[]);
        daemon.wait_ready(&self.http, LIMIT);
        daemon
    }

    pub fn topic(&self, kind: &str) -> String {
        format!("{}.{kind}", self.name)
    }

    /// One reading at each of these hours for each of these partitions.
    pub fn produce(&self, partitions: std::ops::Range<i32>, hours: std::ops::Range<i64>) {
        let record = |partition: i32, hour: i64| {
            let kw = 5.0 + f64::from(partition) + (hour as f64 / 24.0 * std::f64::consts::TAU).sin();
            let (id, ts) = (format!("meter-{partition}"), 1_700_000_000 + hour * 3_600);
            let value = format!("{{\"id\":\"{id}\",\"ts\":{ts},\"kw\":{kw:.3}}}");
            (id, value, partition)
        };
        // A new client, because one that knows the former topic may use outdated metadata.
        let settings = [("enable.idempotence", "true"), ("linger.ms", "5")];
        let mut config = client(&self.bootstrap);
        for (key, value) in settings {
            config.set(key, value);
        }
        let producer: BaseProducer = config.create().unwrap();
        for (id, value, partition) in hours.flat_map(|hour| partitions.clone().map(move |p| record(p, hour)))
        {
            let topic = self.topic("in");
            producer.send(BaseRecord::to(&topic).key(&id).payload(&value).partition(partition)).unwrap();
        }
        producer.flush(LIMIT).unwrap();
        assert_eq!(producer.in_flight_count(), 0);
    }

    pub fn read(&self, kind: &str) -> Vec<Record> {
        read_committed(&self.bootstrap, &self.topic(kind))
    }

    /// The hours of all forecasts' origins, by partition and offset of their readings, in their order.
    pub fn answers(&self) -> BTreeMap<(i32, i64), Vec<i64>> {
        let mut answers = BTreeMap::<_, Vec<i64>>::new();
        for record in self.read("forecasts") {
            let value: Value = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
            let origin: jiff::Timestamp = value["origin"].as_str().unwrap().parse().unwrap();
            answers
                .entry(record.source())
                .or_default()
                .push(origin.as_second() / 3_600 - 1_700_000_000 / 3_600);
        }
        answers
    }

    /// Waits until there are `count` forecasts, and then a little longer for surplus ones.
    pub fn wait_answered(&self, daemon: &mut Daemon, count: usize) {
        let until = Instant::now() + LIMIT;
        let mut found = 0;
        while found < count {
            found = self.read("forecasts").len();
            assert!(daemon.is_running(), "the daemon has ended:\n{}", daemon.log());
            assert!(Instant::now() < until, "{found} of {count} answered:\n{}", daemon.log());
            std::thread::sleep(Duration::from_millis(100));
        }
        std::thread::sleep(Duration::from_millis(500));
    }

    /// The sum of a metric's series whose labels have this text.
    pub fn metric(&self, name: &str, label: &str) -> f64 {
        let (_, page) = get(&self.http, "/metrics").expect("the admin server answers");
        let found = page.lines().filter(|line| line.starts_with(name) && line.contains(label));
        found.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
    }

    pub fn recreate(&self, between: Duration) {
        self.recreate_with(between, PARTITIONS);
    }

    pub fn recreate_with(&self, between: Duration, partitions: i32) {
        delete_topic(&self.bootstrap, &self.topic("in"));
        std::thread::sleep(between);
        create_topic(&self.bootstrap, &self.topic("in"), partitions, &[]);
    }

    /// Each of the first `old` hours was answered in the former topic, and each of `new` in the new one:
    /// once, at its offset.
    pub fn assert_answered(&self, old: i64, new: i64, daemon: &Daemon) {
        let answers = self.answers();
        let mut wrong = Vec::new();
        for at in (0..PARTITIONS).flat_map(|p| (0..old.max(new)).map(move |offset| (p, offset))) {
            let wanted: Vec<i64> = [(at.1 < old).then_some(at.1), (at.1 < new).then_some(RECREATED + at.1)]
                .into_iter()
                .flatten()
                .collect();
            let found = answers.get(&at).cloned().unwrap_or_default();
            if found != wanted {
                wrong.push((at, found, wanted));
            }
        }
        let log = if wrong.is_empty() { String::new() } else { daemon.log() };
        assert!(wrong.is_empty(), "source, hours found, hours wanted: {wrong:?}\n{log}");
        let all = i64::from(PARTITIONS) * (old + new);
        assert_eq!(answers.values().map(Vec::len).sum::<usize>() as i64, all);
    }
}
