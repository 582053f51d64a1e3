//! A real Kafka broker for one test or for all tests of a process, and a few operations on topics.
//!
//! The jars are in `target/kafka/libs`; `tests/run` puts them there.

#![allow(unsafe_code, reason = "calls of libc")]

use super::process::{Process, free_port, fresh_dir, write};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// The longest wait of one try, where a request may be lost.
const TRY_LIMIT: Duration = Duration::from_secs(5);
/// The longest time that a killed process's transaction stays open. The broker ends it after its timeout, and checks
/// timeouts from the beginning after a restart.
const OPEN_LIMIT: Duration = Duration::from_secs(120);
/// How often a start is tried, because another process may take the free port before the broker does.
const START_ATTEMPTS: usize = 3;

/// Settings that make one node a whole cluster, and tests quick.
const SETTINGS: &str = "\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=100
group.consumer.heartbeat.interval.ms=500
group.consumer.session.timeout.ms=3000
log.cleaner.dedupe.buffer.size=4194304
";

const LOGGING: &str = "\
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{HH:mm:ss.SSS} %p %c{1}: %m%n
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
logger.markers.name=kafka.coordinator.transaction.TransactionMarkerChannelManager
logger.markers.level=info
";

/// A `KRaft` node that is broker and controller in one, with its data in a directory of its own.
/// Dropping it kills it and removes the data.
pub struct Broker {
    process: Option<Process>,
    port: u16,
    dir: tempfile::TempDir,
    jvm: &'static [&'static str],
}

impl Broker {
    /// For tests: starts quickly and stays small.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With broker settings on top of the usual ones.
    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::launch(settings, &["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"])
    }

    /// For benchmarks: slower to start, and as fast as Kafka is.
    pub fn start_for_benchmark() -> Self {
        // What a run has written goes at once with its topic, so that the disk has room for the next.
        let settings = [("log.segment.delete.delay.ms", "0")];
        Self::launch(&settings, &["-Xms1g", "-Xmx1g", "-XX:+UseG1GC"])
    }

    /// One broker for all tests of a process that do not kill it. Each test uses its own topics and groups.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        static DIR: OnceLock<(PathBuf, u32)> = OnceLock::new();
        // Nothing drops a static: the broker dies with the test process, and this removes its data.
        extern "C" fn clean() {
            if let Some((dir, id)) = DIR.get() {
                // SAFETY: the child is never reaped, so the id is still its own.
                unsafe {
                    libc::kill(*id as i32, libc::SIGKILL);
                    libc::waitpid(*id as i32, std::ptr::null_mut(), 0);
                }
                let _ = std::fs::remove_dir_all(dir);
            }
        }
        SHARED.get_or_init(|| {
            let broker = Self::start();
            let id = broker.process.as_ref().map(Process::id).expect("it runs");
            DIR.get_or_init(|| (broker.dir.path().to_owned(), id));
            // SAFETY: `clean` only reads a static that is set before this.
            unsafe { libc::atexit(clean) };
            broker
        })
    }

    fn launch(settings: &[(&str, &str)], jvm: &'static [&'static str]) -> Self {
        let mut fault = String::new();
        for _ in 0..START_ATTEMPTS {
            let (port, controller_port) = (free_port(), free_port());
            let dir = fresh_dir("kafka");
            let mut text = format!(
                "{SETTINGS}listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\n\
                 advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
                 controller.quorum.voters=1@127.0.0.1:{controller_port}\n\
                 log.dirs={}\n",
                dir.path().join("data").display()
            );
            settings.iter().for_each(|(key, value)| text.push_str(&format!("{key}={value}\n")));
            write(dir.path(), "server.properties", &text);
            write(dir.path(), "log4j2.properties", LOGGING);
            let mut broker = Self { process: None, port, dir, jvm };
            broker.format();
            match broker.try_start() {
                Ok(()) => return broker,
                Err(log) => fault = log,
            }
        }
        panic!("Kafka does not start:\n{fault}");
    }

    /// `127.0.0.1:PORT`; the same after a restart.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// SIGTERM, and waits for the orderly end.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(libc::SIGTERM);
            process.wait(STOP_LIMIT);
        }
    }

    /// Starts it again over the same data, on the same port; kills it first when it still runs.
    pub fn restart(&mut self) {
        self.kill();
        if let Err(log) = self.try_start() {
            panic!("Kafka does not start again:\n{log}");
        }
    }

    /// Where a partition's log lies. Its files may be changed while the broker is stopped.
    pub fn log_of(&self, topic: &str, partition: i32) -> PathBuf {
        self.dir.path().join("data").join(format!("{topic}-{partition}"))
    }

    /// Stops it, deletes a partition's log, as a disk may lose it, and starts it again.
    pub fn lose_log(&mut self, topic: &str, partition: i32) {
        self.stop();
        std::fs::remove_dir_all(self.log_of(topic, partition)).expect("the partition's log");
        self.restart();
    }

    fn format(&self) {
        let output = self
            .java(&["-Xshare:auto", "-XX:TieredStopAtLevel=1"], "kafka.tools.StorageTool")
            .args(["format", "--cluster-id", "tidecast-tests-------w", "--config"])
            .arg(self.dir.path().join("server.properties"))
            .output()
            .expect("java starts: `tests/run` installs it");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Returns the broker's log when it ends or does not answer.
    /// Whether its log says that it has left a transaction open for ever, which can happen when it stops or starts
    /// (docs/runbook.md, A transaction that hangs).
    pub fn has_left_one_open(&self) -> bool {
        let log = std::fs::read(self.dir.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).contains("Couldn't find leader endpoint for partitions")
    }

    fn try_start(&mut self) -> Result<(), String> {
        let mut command = self.java(self.jvm, "kafka.Kafka");
        command.arg(self.dir.path().join("server.properties"));
        let mut process =
            Process::spawn("Kafka", command, &self.dir.path().join("log")).map_err(|e| e.to_string())?;
        let client: BaseConsumer = client(&self.bootstrap()).create().expect("a client");
        let until = Instant::now() + START_LIMIT;
        while Instant::now() < until {
            if process.exit_status().is_some() {
                return Err(process.log());
            }
            // An open port is not enough: the answer names a broker once it has registered.
            match client.fetch_metadata(None, Duration::from_millis(500)) {
                Ok(metadata) if !metadata.brokers().is_empty() => {
                    self.process = Some(process);
                    return Ok(());
                }
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        Err(process.log())
    }

    fn java(&self, options: &[&str], main: &str) -> Command {
        let libs = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("kafka").join("libs");
        assert!(libs.is_dir(), "no Kafka in {}: run `tests/run kafka` once", libs.display());
        let java =
            std::env::var_os("JAVA_HOME").map_or("java".into(), |home| Path::new(&home).join("bin/java"));
        let mut command = Command::new(java);
        command
            .args(options)
            .arg(format!(
                "-Dlog4j2.configurationFile={}",
                self.dir.path().join("log4j2.properties").display()
            ))
            .arg("-cp")
            .arg(libs.join("*"))
            .arg(main);
        command
    }
}

/// One record as a consumer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Record {
    /// A header's text; `None` where the record has no such header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(key, _)| key == name)?;
        Some(std::str::from_utf8(value.as_deref()?).expect("a text"))
    }

    /// The partition and offset of the record that this forecast or dead letter answers.
    pub fn source(&self) -> (i32, i64) {
        let number = |name: &str| -> i64 {
            let text = self.header(name).unwrap_or_else(|| panic!("no header {name}"));
            text.parse().expect("a number")
        };
        (number("tidecast-source-partition") as i32, number("tidecast-source-offset"))
    }
}

/// A client's config that reconnects to a restarted broker at once.
pub fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("reconnect.backoff.ms", "10")
        .set("reconnect.backoff.max.ms", "100")
        // No log lines about refused connections while a broker starts.
        .set("log.connection.close", "false")
        .set_log_level(rdkafka::config::RDKafkaLogLevel::Critical);
    config
}

/// Creates a topic and waits until its partitions can be written; `settings` like `cleanup.policy=compact`.
pub fn create_topic(bootstrap: &str, name: &str, partitions: i32, settings: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> = client(bootstrap).create().expect("an admin client");
    let topic = settings
        .iter()
        .fold(NewTopic::new(name, partitions, TopicReplication::Fixed(1)), |topic, (k, v)| topic.set(k, v));
    let options = AdminOptions::new().operation_timeout(Some(REQUEST_LIMIT));
    let created = block_on(admin.create_topics([&topic], &options)).expect("create a topic");
    if let Err((name, code)) = &created[0] {
        panic!("topic {name}: {code}");
    }
    // The controller has created it; the broker learns of it a little later.
    let until = Instant::now() + REQUEST_LIMIT;
    loop {
        let found = admin.inner().fetch_metadata(Some(name), TRY_LIMIT);
        let leaders = found.as_ref().ok().and_then(|m| m.topics().first()).map_or(0, |topic| {
            topic.partitions().iter().filter(|p| p.leader() >= 0 && p.error().is_none()).count()
        });
        if leaders == partitions as usize {
            return;
        }
        assert!(Instant::now() < until, "{leaders} partitions of {name} have a leader");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Deletes a topic and waits until the broker does not know it any more.
pub fn delete_topic(bootstrap: &str, name: &str) {
    let admin: AdminClient<DefaultClientContext> = client(bootstrap).create().expect("an admin client");
    let options = AdminOptions::new().operation_timeout(Some(REQUEST_LIMIT));
    let deleted = block_on(admin.delete_topics(&[name], &options)).expect("delete a topic");
    if let Err((name, code)) = &deleted[0] {
        panic!("topic {name}: {code}");
    }
    let until = Instant::now() + REQUEST_LIMIT;
    let is_there = || {
        let found = admin.inner().fetch_metadata(Some(name), TRY_LIMIT);
        found.is_ok_and(|m| m.topics().first().is_some_and(|topic| !topic.partitions().is_empty()))
    };
    while is_there() {
        assert!(Instant::now() < until, "{name} is there still");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Raises a topic's number of partitions.
pub fn add_partitions(bootstrap: &str, name: &str, partitions: usize) {
    let admin: AdminClient<DefaultClientContext> = client(bootstrap).create().expect("an admin client");
    let options = AdminOptions::new().operation_timeout(Some(REQUEST_LIMIT));
    let made = block_on(admin.create_partitions(&[NewPartitions::new(name, partitions)], &options));
    if let Err((name, code)) = &made.expect("add partitions")[0] {
        panic!("topic {name}: {code}");
    }
}

/// Creates the models topic of a group.
pub fn create_models_topic(bootstrap: &str, group: &str) {
    create_topic(bootstrap, &format!("{group}.models"), 1, &[("cleanup.policy", "compact")]);
}

/// Writes records and waits until all are acknowledged. Without a partition, the key's hash chooses as in
/// Java clients. A broker that dies meanwhile neither loses nor doubles any, if it comes back in time.
pub fn produce<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    bootstrap: &str,
    topic: &str,
    records: impl IntoIterator<Item = (K, V, Option<i32>)>,
) {
    let producer = producer(bootstrap);
    let tally = Arc::new(Tally::default());
    let mut sent = 0;
    for (key, value, partition) in records {
        let mut record =
            BaseRecord::with_opaque_to(topic, tally.clone()).key(key.as_ref()).payload(value.as_ref());
        record.partition = partition;
        while let Err((error, unsent)) = producer.send(record) {
            assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
            producer.poll(Duration::from_millis(10));
            record = unsent;
        }
        sent += 1;
    }
    while tally.taken.load(Ordering::Relaxed) + tally.refused.load(Ordering::Relaxed) < sent {
        producer.poll(Duration::from_millis(5));
    }
    assert_eq!(tally.refused.load(Ordering::Relaxed), 0, "records that {topic} did not take");
}

/// As [`produce`], at a steady rate until `stop` is set. Returns how many records were written. A broker may be away for
/// minutes meanwhile.
pub fn paced<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    bootstrap: &str,
    topic: &str,
    records: impl Iterator<Item = (K, V, Option<i32>)>,
    per_second: usize,
    stop: &AtomicBool,
) -> usize {
    let producer = producer(bootstrap);
    let tally = Arc::new(Tally::default());
    let (mut sent, began) = (0, Instant::now());
    for (key, value, partition) in records {
        let mut record =
            BaseRecord::with_opaque_to(topic, tally.clone()).key(key.as_ref()).payload(value.as_ref());
        record.partition = partition;
        while let Err((error, unsent)) = producer.send(record) {
            assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
            producer.poll(Duration::from_millis(10));
            record = unsent;
        }
        sent += 1;
        let due = Duration::from_secs_f64(sent as f64 / per_second as f64);
        while began.elapsed() < due && !stop.load(Ordering::Acquire) {
            producer.poll(Duration::from_millis(5));
        }
        if stop.load(Ordering::Acquire) {
            break;
        }
    }
    while tally.taken.load(Ordering::Relaxed) + tally.refused.load(Ordering::Relaxed) < sent {
        producer.poll(Duration::from_millis(5));
    }
    assert_eq!(tally.refused.load(Ordering::Relaxed), 0, "records that {topic} did not take");
    sent
}

/// An idempotent producer needs a second to get its id, so each cluster's producer is kept.
fn producer(bootstrap: &str) -> Arc<BaseProducer<CountDeliveries>> {
    static PRODUCERS: Mutex<BTreeMap<String, Arc<BaseProducer<CountDeliveries>>>> =
        Mutex::new(BTreeMap::new());
    let create = || {
        let mut config = client(bootstrap);
        config.set("enable.idempotence", "true").set("linger.ms", "5").set("partitioner", "murmur2_random");
        // The broker's limit, which is higher than a client's default.
        config.set("message.max.bytes", "1048000");
        Arc::new(config.create_with_context(CountDeliveries).expect("a producer"))
    };
    let mut producers = PRODUCERS.lock().unwrap_or_else(PoisonError::into_inner);
    producers.entry(bootstrap.to_owned()).or_insert_with(create).clone()
}

/// The outcomes of the records of one call.
#[derive(Default)]
struct Tally {
    taken: AtomicUsize,
    refused: AtomicUsize,
}

struct CountDeliveries;
impl ClientContext for CountDeliveries {}
impl ProducerContext for CountDeliveries {
    type DeliveryOpaque = Arc<Tally>;
    fn delivery(&self, result: &DeliveryResult<'_>, tally: Arc<Tally>) {
        let count = if result.is_ok() { &tally.taken } else { &tally.refused };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// All committed records of a topic, partition by partition in the order of their offsets. Waits for
/// transactions that are open when it is called: a commit is acknowledged before its markers are written.
pub fn read_committed(bootstrap: &str, topic: &str) -> Vec<Record> {
    let (high, stable) = (reader(bootstrap, "read_uncommitted"), reader(bootstrap, "read_committed"));
    let until = Instant::now() + OPEN_LIMIT;
    for partition in partitions(&high, topic) {
        let end = end_offset(&high, topic, partition);
        while end_offset(&stable, topic, partition) < end {
            assert!(Instant::now() < until, "a transaction on {topic}/{partition} stays open");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    read_committed_so_far(bootstrap, topic)
}

/// Like [`read_committed`], but stops at open transactions.
pub fn read_committed_so_far(bootstrap: &str, topic: &str) -> Vec<Record> {
    let consumer = reader(bootstrap, "read_committed");
    let mut open: BTreeSet<i32> = partitions(&consumer, topic).into_iter().collect();
    let mut assignment = TopicPartitionList::new();
    for partition in &open {
        assignment.add_partition_offset(topic, *partition, Offset::Beginning).expect("a valid offset");
    }
    consumer.assign(&assignment).expect("assign partitions");
    let mut records = Vec::new();
    // Aborted records and markers occupy offsets that are never delivered, so only this event shows the end.
    while !open.is_empty() {
        match consumer.poll(REQUEST_LIMIT) {
            Some(Ok(message)) => records.push(Record {
                partition: message.partition(),
                offset: message.offset(),
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().map(<[u8]>::to_vec),
                headers: message.headers().map_or_else(Vec::new, |headers| {
                    headers.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect()
                }),
            }),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(error)) => panic!("reading {topic}: {error}"),
            None => panic!("reading {topic}: no answer for {REQUEST_LIMIT:?}"),
        }
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}

/// The offsets that a group has committed for each partition of a topic, `None` where it has none.
pub fn committed_offsets(bootstrap: &str, group: &str, topic: &str) -> Vec<Option<i64>> {
    let consumer =
        || -> BaseConsumer { client(bootstrap).set("group.id", group).create().expect("a consumer") };
    let mut wanted = TopicPartitionList::new();
    for partition in partitions(&consumer(), topic) {
        wanted.add_partition(topic, partition);
    }
    let until = Instant::now() + 2 * REQUEST_LIMIT;
    let committed = loop {
        match consumer().committed_offsets(wanted.clone(), TRY_LIMIT) {
            Ok(committed) => break committed,
            // A broker that has just started still loads its coordinators. A request that it had received before
            // is never answered, and neither are those queued behind it.
            Err(error) => assert!(Instant::now() < until, "committed offsets: {error}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let offset = |partition: i32| match committed.find_partition(topic, partition)?.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    };
    (0..committed.count() as i32).map(offset).collect()
}

fn reader(bootstrap: &str, isolation: &str) -> BaseConsumer {
    client(bootstrap)
        .set("group.id", "tests")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", isolation)
        // How long the broker waits before it answers that there are no more records.
        .set("fetch.wait.max.ms", "10")
        .create()
        .expect("a consumer")
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Vec<i32> {
    let metadata = consumer.fetch_metadata(Some(topic), REQUEST_LIMIT).expect("metadata");
    let ids: Vec<_> =
        metadata.topics()[0].partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect();
    assert!(!ids.is_empty(), "no topic {topic}");
    ids
}

/// The high watermark, or the last stable offset to a consumer that reads committed records.
fn end_offset(consumer: &BaseConsumer, topic: &str, partition: i32) -> i64 {
    consumer.fetch_watermarks(topic, partition, REQUEST_LIMIT).expect("watermarks").1
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}
