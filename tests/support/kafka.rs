//! Topics, records and offsets of a real Kafka, as a test writes and reads them.

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// As many replicas of a partition as the cluster makes by default.
const BROKERS_DEFAULT: TopicReplication<'_> = TopicReplication::Fixed(-1);
/// The longest wait of one try, where a request may be lost.
const TRY_LIMIT: Duration = Duration::from_secs(5);
/// The longest time that a killed process's transaction stays open. The broker ends it after its timeout, and checks
/// timeouts from the beginning after a restart.
const OPEN_LIMIT: Duration = Duration::from_secs(120);

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
        .fold(NewTopic::new(name, partitions, BROKERS_DEFAULT), |topic, (k, v)| topic.set(k, v));
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

/// Deletes a group with its offsets, as soon as it has no member.
pub fn delete_group(bootstrap: &str, group: &str) {
    let admin: AdminClient<DefaultClientContext> = client(bootstrap).create().expect("an admin client");
    let options = AdminOptions::new().request_timeout(Some(REQUEST_LIMIT));
    let until = Instant::now() + REQUEST_LIMIT;
    while let Err((_, code)) = &block_on(admin.delete_groups(&[group], &options)).expect("delete a group")[0]
    {
        assert!(Instant::now() < until, "group {group}: {code}");
        std::thread::sleep(Duration::from_millis(200));
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
    wait_until_stable(bootstrap, topic);
    read_committed_so_far(bootstrap, topic)
}

/// Hands over all committed records of a topic, those of a partition in the order of their offsets; for topics that
/// are too large to be held. Waits as [`read_committed`] does.
pub fn for_each_committed(bootstrap: &str, topic: &str, take: impl FnMut(Record)) {
    wait_until_stable(bootstrap, topic);
    for_each_committed_so_far(bootstrap, topic, take);
}

fn wait_until_stable(bootstrap: &str, topic: &str) {
    let (high, stable) = (reader(bootstrap, "read_uncommitted"), reader(bootstrap, "read_committed"));
    let until = Instant::now() + OPEN_LIMIT;
    for partition in partitions(&high, topic) {
        let end = end_offset(&high, topic, partition);
        while end_offset(&stable, topic, partition) < end {
            assert!(Instant::now() < until, "a transaction on {topic}/{partition} stays open");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The number of records that a topic has been given, markers of transactions among them.
pub fn written(bootstrap: &str, topic: &str) -> usize {
    let consumer = reader(bootstrap, "read_uncommitted");
    let ends = partitions(&consumer, topic).into_iter().map(|at| end_offset(&consumer, topic, at));
    usize::try_from(ends.sum::<i64>()).expect("offsets are not negative")
}

/// Like [`read_committed`], but stops at open transactions.
pub fn read_committed_so_far(bootstrap: &str, topic: &str) -> Vec<Record> {
    let mut records = Vec::new();
    for_each_committed_so_far(bootstrap, topic, |record| records.push(record));
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}

fn for_each_committed_so_far(bootstrap: &str, topic: &str, mut take: impl FnMut(Record)) {
    let consumer = reader(bootstrap, "read_committed");
    let mut open: BTreeSet<i32> = partitions(&consumer, topic).into_iter().collect();
    let mut assignment = TopicPartitionList::new();
    for partition in &open {
        assignment.add_partition_offset(topic, *partition, Offset::Beginning).expect("a valid offset");
    }
    consumer.assign(&assignment).expect("assign partitions");
    // Aborted records and markers occupy offsets that are never delivered, so only this event shows the end.
    while !open.is_empty() {
        match consumer.poll(REQUEST_LIMIT) {
            Some(Ok(message)) => take(Record {
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
