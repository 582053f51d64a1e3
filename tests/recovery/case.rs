//! Topics, group and configs of one test, and the answers to its readings.

use super::support::broker::Broker;
use super::support::daemon::{Daemon, Settings};
use super::support::kafka::{
    client, committed_offsets, create_models_topic, create_topic, produce, read_committed,
};
use super::support::process::{free_port, fresh_dir, write};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub const LIMIT: Duration = Duration::from_secs(60);
pub const PARTITIONS: i32 = 3;
/// Two for each partition, so that an hour is two offsets.
const SERIES: i64 = 6;

pub struct Case {
    dir: tempfile::TempDir,
    name: &'static str,
    /// More lines of the section `kafka`, more sections, and more lines of the stream.
    lines: [&'static str; 3],
    /// Lines of the section `delivery`.
    delivery: &'static str,
}

/// The forecasts for the next hour that answer each source record, by its partition and offset.
pub type Answers = BTreeMap<(i32, i64), Vec<f64>>;

impl Case {
    pub fn new(name: &'static str, lines: [&'static str; 3]) -> Self {
        let bootstrap = Broker::shared().bootstrap();
        for topic in ["in", "forecasts", "dead-letters"] {
            create_topic(&bootstrap, &format!("{name}.{topic}"), PARTITIONS, &[("retention.ms", "-1")]);
        }
        create_models_topic(&bootstrap, name);
        Self { dir: fresh_dir("recovery"), name, lines, delivery: "commit_interval = \"100ms\"" }
    }

    /// With these lines of the section `delivery`.
    pub fn with_delivery(mut self, lines: &'static str) -> Self {
        self.delivery = lines;
        self
    }

    /// A process and the address of its admin server.
    pub fn daemon(&self) -> (Daemon, String) {
        self.daemon_with_store(&format!("file://{}", self.store().display()))
    }

    pub fn daemon_with_store(&self, url: &str) -> (Daemon, String) {
        self.daemon_of(url, self.lines[2])
    }

    /// A process whose stream has these lines instead of the case's.
    pub fn daemon_with_lines(&self, stream: &str) -> Daemon {
        self.daemon_of(&format!("file://{}", self.store().display()), stream).0
    }

    fn daemon_of(&self, url: &str, stream: &str) -> (Daemon, String) {
        let (name, [kafka, sections, _]) = (self.name, self.lines);
        let http = format!("127.0.0.1:{}", free_port());
        let config = Settings {
            brokers: &Broker::shared().bootstrap(),
            kafka: &format!("group = \"{name}\"\n{kafka}"),
            http: &http,
            store: url,
            sections: &format!("[log]\nformat = \"json\"\n{sections}"),
            name,
            topic: &format!("{name}.in"),
            stream: &format!(
                "horizon = 3\nwindow = 64\nmodel = {{ hidden = 4 }}\ntraining = {{ enabled = false }}\n{stream}"
            ),
        }
        .text()
        .replace("commit_interval = \"100ms\"", self.delivery);
        let path = write(self.dir.path(), &format!("{http}.toml"), &config);
        (Daemon::spawn(&path, &[]), http)
    }

    pub fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn topic(&self, kind: &str) -> String {
        format!("{}.{kind}", self.name)
    }

    /// Readings of all series at these hours, in this order.
    pub fn produce(&self, hours: impl IntoIterator<Item = i64>) {
        let mut records = Vec::new();
        for hour in hours {
            for s in 0..SERIES {
                let kw = 5.0 + s as f64 + (hour as f64 / 24.0 * std::f64::consts::TAU).sin();
                let time = 1_700_000_000 + hour * 3_600;
                let value = format!("{{\"id\":\"meter-{s}\",\"ts\":{time},\"kw\":{kw:.3}}}");
                records.push((format!("meter-{s}"), value, Some((s % i64::from(PARTITIONS)) as i32)));
            }
        }
        produce(&Broker::shared().bootstrap(), &self.topic("in"), records);
    }

    pub fn committed(&self) -> Vec<i64> {
        let offsets = committed_offsets(&Broker::shared().bootstrap(), self.name, &self.topic("in"));
        offsets.into_iter().map(|offset| offset.unwrap_or(0)).collect()
    }

    /// What is noted beside the committed offset of each partition.
    pub fn notes(&self) -> Vec<String> {
        let group: BaseConsumer =
            client(&Broker::shared().bootstrap()).set("group.id", self.name).create().unwrap();
        let parts: Vec<_> = (0..PARTITIONS).map(|partition| (partition, 0)).collect();
        let found = group.committed_offsets(self.list(&parts), LIMIT).unwrap();
        found.elements().iter().map(|element| element.metadata().to_owned()).collect()
    }

    /// Waits until this offset is committed for each partition.
    pub fn wait_committed(&self, daemon: &mut Daemon, offset: i64) {
        let until = Instant::now() + LIMIT;
        loop {
            let committed = self.committed();
            if committed.iter().all(|c| *c == offset) {
                return;
            }
            assert!(daemon.is_running(), "the daemon has ended:\n{}", daemon.log());
            assert!(Instant::now() < until, "committed {committed:?}, not {offset}:\n{}", daemon.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sets the group's offsets, as Kafka's tools do while the group has no member.
    pub fn set_group(&self, offsets: &[(i32, i64)]) {
        let bootstrap = Broker::shared().bootstrap();
        let group: BaseConsumer = client(&bootstrap).set("group.id", self.name).create().unwrap();
        let until = Instant::now() + LIMIT;
        while let Err(e) = group.commit(&self.list(offsets), CommitMode::Sync) {
            assert!(Instant::now() < until, "the group has a member still: {e}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Deletes records, as retention does: the partitions begin at these offsets afterwards.
    pub fn delete_before(&self, offsets: &[(i32, i64)]) {
        let admin: AdminClient<DefaultClientContext> =
            client(&Broker::shared().bootstrap()).create().unwrap();
        let options = AdminOptions::new().operation_timeout(Some(LIMIT));
        let list = self.list(offsets);
        let done = futures::executor::block_on(admin.delete_records(&list, &options)).unwrap();
        done.elements().iter().for_each(|element| element.error().unwrap());
    }

    fn list(&self, offsets: &[(i32, i64)]) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            list.add_partition_offset(&self.topic("in"), *partition, Offset::Offset(*offset)).unwrap();
        }
        list
    }

    pub fn answers(&self) -> Answers {
        let bootstrap = Broker::shared().bootstrap();
        assert_eq!(read_committed(&bootstrap, &self.topic("dead-letters")), []);
        let mut answers = Answers::new();
        for record in read_committed(&bootstrap, &self.topic("forecasts")) {
            let value: Value = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
            let next = value["targets"]["kw"]["yhat"][0].as_f64().unwrap();
            answers.entry(record.source()).or_default().push(next);
        }
        answers
    }

    /// Checks that each record below `ends` has as many answers as `times` gives, and no other record has any.
    pub fn assert_answered(&self, ends: i64, times: impl Fn(i32, i64) -> usize) -> Answers {
        let answers = self.answers();
        let mut wrong = Vec::new();
        for at in (0..PARTITIONS).flat_map(|p| (0..ends).map(move |offset| (p, offset))) {
            let found = answers.get(&at).map_or(0, Vec::len);
            if found != times(at.0, at.1) {
                wrong.push((at, found, times(at.0, at.1)));
            }
        }
        assert!(wrong.is_empty(), "source, answers found, answers wanted: {wrong:?}");
        let beyond: Vec<_> = answers.keys().filter(|(_, offset)| *offset >= ends).collect();
        assert!(beyond.is_empty(), "answers to what nobody wrote: {beyond:?}");
        answers
    }
}

/// The newest event of this partition.
pub fn by_partition(events: &[Value], partition: i32) -> &Value {
    let ending = format!("[{partition}]");
    let is_its = |event: &&Value| event["shard"].as_str().is_some_and(|shard| shard.ends_with(&ending));
    events.iter().rfind(is_its).unwrap_or_else(|| panic!("none of partition {partition} in {events:?}"))
}
