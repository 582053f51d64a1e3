//! The properties of each client, made from the config, with their reasons.

use crate::config::{Config, GroupProtocol, Guarantee, Kafka};
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use std::time::Duration;

/// How often librdkafka reports its statistics.
const STATISTICS_INTERVAL_MS: &str = "5000";
/// How often a client asks for the partitions of its topics, which is how late a new partition is found.
/// librdkafka's default is five minutes.
const METADATA_INTERVAL_MS: &str = "30000";

/// How long a broker may take for an answer. No transaction may last for less.
const SOCKET_TIMEOUT_MS: &str = "10000";
/// How long a transaction may last besides two commit intervals, without a `kafka.instance`.
const UNNAMED: Duration = Duration::from_secs(10);
/// As [`UNNAMED`], with a `kafka.instance`, at most.
const NAMED_MAX: Duration = Duration::from_secs(30);

/// Properties of producers; a consumer would warn about them.
const PRODUCER_ONLY: [&str; 24] = [
    "acks",
    "batch.num.messages",
    "batch.size",
    "compression.codec",
    "compression.level",
    "compression.type",
    "delivery.report.only.error",
    "delivery.timeout.ms",
    "enable.gapless.guarantee",
    "linger.ms",
    "message.send.max.retries",
    "message.timeout.ms",
    "partitioner",
    "produce.offset.report",
    "queue.buffering.backpressure.threshold",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "queuing.strategy",
    "request.required.acks",
    "request.timeout.ms",
    "retries",
    "sticky.partitioning.linger.ms",
    "transaction.timeout.ms",
];

/// Properties of consumers; a producer would warn about them.
const CONSUMER_ONLY: [&str; 23] = [
    "auto.commit.interval.ms",
    "auto.offset.reset",
    "check.crcs",
    "consume.callback.max.messages",
    "coordinator.query.interval.ms",
    "enable.partition.eof",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "group.protocol.type",
    "group.remote.assignor",
    "heartbeat.interval.ms",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "offset.store.method",
    "offset.store.path",
    "partition.assignment.strategy",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "session.timeout.ms",
];

/// Properties of a group's members. A consumer without a group refuses some of them, because they contradict defaults
/// that it does not set.
const MEMBERS_ONLY: [&str; 6] = [
    "group.protocol.type",
    "group.remote.assignor",
    "heartbeat.interval.ms",
    "max.poll.interval.ms",
    "partition.assignment.strategy",
    "session.timeout.ms",
];

/// The ids of a worker's clients.
pub(super) struct Identity {
    /// `client.id`.
    pub client: String,
    /// `transactional.id`.
    pub transactional: String,
    /// `group.instance.id`, with static membership.
    pub instance: Option<String>,
}

impl Identity {
    pub fn of(kafka: &Kafka, worker: usize) -> Self {
        match &kafka.instance {
            Some(instance) => Self {
                client: format!("tidecast-{instance}-{worker}"),
                transactional: format!("{}-{instance}-{worker}", kafka.group),
                instance: Some(format!("{instance}-{worker}")),
            },
            // Without a stable name no predecessor's transaction can be aborted; the group's metadata fences a
            // zombie. So the id only has to be unique.
            None => Self {
                client: format!("tidecast-{worker}"),
                transactional: format!("{}-{:016x}-{worker}", kafka.group, rand::random::<u64>()),
                instance: None,
            },
        }
    }
}

pub(super) fn worker_consumer(config: &Config, identity: &Identity) -> ClientConfig {
    let mut c = base(&config.kafka);
    c.set("client.id", &identity.client)
        .set("auto.offset.reset", "earliest")
        // The worker commits what it has stepped, not what it has polled.
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed")
        .set("statistics.interval.ms", STATISTICS_INTERVAL_MS);
    fetching(&mut c);
    match config.kafka.group_protocol {
        GroupProtocol::Classic => {
            c.set("group.protocol", "classic").set("partition.assignment.strategy", "cooperative-sticky");
        }
        GroupProtocol::Consumer => {
            c.set("group.protocol", "consumer");
        }
    }
    if let Some(instance) = &identity.instance {
        c.set("group.instance.id", instance);
    }
    c.set("group.id", &config.kafka.group);
    overlay(&mut c, &config.kafka, &PRODUCER_ONLY);
    // The context reads in the log that a connection broke, whatever the process itself logs.
    if matches!(c.log_level, RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning) {
        c.set_log_level(RDKafkaLogLevel::Info);
    }
    c
}

pub(super) fn worker_producer(config: &Config, identity: &Identity) -> ClientConfig {
    let mut c = base(&config.kafka);
    c.set("client.id", &identity.client).set("statistics.interval.ms", STATISTICS_INTERVAL_MS);
    producing(&mut c);
    if config.delivery.guarantee == Guarantee::ExactlyOnce {
        let timeout = transaction_timeout(config);
        c.set("transactional.id", &identity.transactional)
            .set("transaction.timeout.ms", timeout.as_millis().to_string());
    }
    overlay(&mut c, &config.kafka, &CONSUMER_ONLY);
    c
}

/// How long the broker keeps a transaction whose producer is silent. A process that is gone blocks the readers of its
/// partitions, and their next owner, for that long. With a name it may come back and abort its old transaction itself, and
/// until its session is over nobody else gets its partitions. So the transaction may last nearly as long as the session:
/// half a minute, which is what brokers take to give up a replica that does not follow.
pub(super) fn transaction_timeout(config: &Config) -> Duration {
    let session = config.kafka.properties.iter().find(|(name, _)| name == "session.timeout.ms");
    let session =
        session.and_then(|(_, millis)| millis.parse().ok()).map_or(NAMED_MAX, Duration::from_millis);
    let named = session.clamp(UNNAMED, NAMED_MAX);
    let least = if config.kafka.instance.is_some() { named } else { UNNAMED };
    least + 2 * config.delivery.commit_interval
}

pub(super) fn admin(kafka: &Kafka) -> ClientConfig {
    let mut c = base(kafka);
    c.set("client.id", "tidecast-admin");
    let client_only = [&PRODUCER_ONLY[..], &CONSUMER_ONLY[..]].concat();
    overlay(&mut c, kafka, &client_only);
    c
}

pub(super) fn idempotent_producer(kafka: &Kafka) -> ClientConfig {
    let mut c = base(kafka);
    c.set("client.id", "tidecast-announcer");
    producing(&mut c);
    overlay(&mut c, kafka, &CONSUMER_ONLY);
    c
}

pub(super) fn topic_reader(kafka: &Kafka) -> ClientConfig {
    let mut c = base(kafka);
    fetching(&mut c);
    // librdkafka assigns partitions only to a consumer with a group id; this one never joins the group.
    let unused_group = format!("{}-tail", kafka.group);
    c.set("client.id", "tidecast-models")
        .set("group.id", unused_group)
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        .set("statistics.interval.ms", STATISTICS_INTERVAL_MS);
    let foreign = [&PRODUCER_ONLY[..], &MEMBERS_ONLY[..]].concat();
    overlay(&mut c, kafka, &foreign);
    c.set("enable.partition.eof", "true");
    c
}

/// A consumer for one record of each partition; little is fetched ahead.
pub(super) fn glance(kafka: &Kafka) -> ClientConfig {
    let mut c = topic_reader(kafka);
    c.set("queued.min.messages", "1").set("fetch.message.max.bytes", "16384");
    c
}

fn base(kafka: &Kafka) -> ClientConfig {
    let mut c = ClientConfig::new();
    c.set("bootstrap.servers", &kafka.brokers)
        .set("topic.metadata.refresh.interval.ms", METADATA_INTERVAL_MS)
        // With the default of ten seconds a worker would wait that long after the broker is back.
        .set("reconnect.backoff.max.ms", "1000")
        // A connection that answers nothing is given up after this time. With the default of a minute a network that drops
        // an answer, or a broker that stands still, stops a partition's forecasts for that long.
        .set("socket.timeout.ms", SOCKET_TIMEOUT_MS);
    c
}

fn fetching(c: &mut ClientConfig) {
    c.set("queued.max.messages.kbytes", "65536")
        .set("queued.min.messages", "1000000")
        .set("fetch.max.bytes", "16777216")
        .set("fetch.message.max.bytes", "4000000")
        .set("fetch.wait.max.ms", "100")
        // The default of a second limits a fast consumer to 137,000 readings/s; this allows 800,000.
        .set("fetch.queue.backoff.ms", "10")
        .set("enable.partition.eof", "false");
}

fn producing(c: &mut ClientConfig) {
    c.set("enable.idempotence", "true")
        .set("linger.ms", "5")
        .set("batch.size", "1000000")
        .set("batch.num.messages", "100000")
        .set("queue.buffering.max.messages", "1000000")
        .set("queue.buffering.max.kbytes", "262144")
        // The partitioner of the Java client, so that a key goes to the same partition number as its readings.
        .set("partitioner", "murmur2_random")
        // Of a million acknowledgements a commit only the failed ones matter.
        .set("delivery.report.only.error", "true");
}

/// Sets the user's properties over the ones above. The config refuses those that delivery depends on.
fn overlay(c: &mut ClientConfig, kafka: &Kafka, foreign: &[&str]) {
    for (name, value) in &kafka.properties {
        if !foreign.contains(&name.as_str()) {
            c.set(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::tests::config;

    #[test]
    fn each_client_gets_only_the_properties_it_knows() {
        let mut config = config("localhost:9092", "g");
        config.kafka.properties = vec![
            ("compression.type".into(), "lz4".into()),
            ("session.timeout.ms".into(), "6000".into()),
            ("security.protocol".into(), "SSL".into()),
        ];
        let identity = Identity::of(&config.kafka, 0);
        let (consumer, producer) = (worker_consumer(&config, &identity), worker_producer(&config, &identity));
        assert_eq!(consumer.get("compression.type"), None);
        assert_eq!(consumer.get("session.timeout.ms"), Some("6000"));
        assert_eq!(producer.get("compression.type"), Some("lz4"));
        assert_eq!(producer.get("session.timeout.ms"), None);
        assert_eq!(admin(&config.kafka).get("compression.type"), None);
        assert_eq!(topic_reader(&config.kafka).get("session.timeout.ms"), None);
        for client in [consumer, producer] {
            assert_eq!(client.get("security.protocol"), Some("SSL"));
        }
    }

    #[test]
    fn new_partitions_are_looked_for_twice_a_minute_unless_the_config_says_otherwise() {
        let mut config = config("localhost:9092", "g");
        let name = "topic.metadata.refresh.interval.ms";
        let shipped = |config: &Config| {
            worker_consumer(config, &Identity::of(&config.kafka, 0)).get(name).map(str::to_owned)
        };
        let millis: u64 = shipped(&config).unwrap().parse().unwrap();
        assert!(millis <= 30_000, "{millis} ms, and the group has to move within the rest of a minute");
        config.kafka.properties = vec![(name.into(), "120000".into())];
        assert_eq!(shipped(&config).as_deref(), Some("120000"));
    }

    #[test]
    fn an_instance_makes_the_ids_stable_and_without_one_they_are_unique() {
        let mut kafka = config("localhost:9092", "g").kafka;
        assert_ne!(Identity::of(&kafka, 1).transactional, Identity::of(&kafka, 1).transactional);
        kafka.instance = Some("pod-3".into());
        let identity = Identity::of(&kafka, 1);
        assert_eq!(identity.transactional, "g-pod-3-1");
        assert_eq!(identity.instance.as_deref(), Some("pod-3-1"));
    }
}
