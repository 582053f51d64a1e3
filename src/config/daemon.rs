//! The part of the config that is about the process, not about its streams.

use super::key::{Key, Preset, Table};
use super::kinds::{Choice, Flag, Pairs, Span, Sub, Text, Whole, Word, choice, flag, span, sub, text, whole};
use super::section::Section;
use std::net::SocketAddr;
use std::time::Duration;

/// `[kafka]`: the cluster and the group.
#[derive(Clone, Debug)]
pub struct Kafka {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// The consumer group.
    pub group: String,
    /// The stable name of this process; static membership when it is set.
    pub instance: Option<String>,
    /// How the group shares the partitions.
    pub group_protocol: GroupProtocol,
    /// The compacted topic on which every process reads which model serves.
    pub models_topic: String,
    /// Names and values that are handed to librdkafka unchanged.
    pub properties: Vec<(String, String)>,
}

/// Kafka's protocol for consumer groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupProtocol {
    /// The classic protocol with the cooperative-sticky assignor.
    Classic,
    /// KIP-848; for brokers from 4.3 on.
    Consumer,
}

/// `[delivery]`: how forecasts and offsets are committed.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What a reader can rely on.
    pub guarantee: Guarantee,
    /// The longest time between two commits.
    pub commit_interval: Duration,
    /// The number of readings after which a commit is made before its interval is over.
    pub commit_readings: usize,
    /// What becomes of a forecast that is too large for its topic.
    pub too_large: WhenTooLarge,
}

/// What becomes of a forecast that is larger than its topic takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenTooLarge {
    /// It is sent with as many leads as fit.
    Shorten,
    /// A dead letter is sent in its place.
    DeadLetter,
}

/// What a reader of the forecast topic can rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// Forecasts, dead letters and offsets in one transaction.
    ExactlyOnce,
    /// An idempotent producer; offsets after acknowledgement.
    AtLeastOnce,
}

/// `[daemon]`: threads and stopping.
#[derive(Clone, Debug)]
pub struct Daemon {
    /// Threads that each own partitions, a consumer and a producer.
    pub workers: usize,
    /// How long the process may take to stop.
    pub stop_timeout: Duration,
    /// The most records that a worker takes from Kafka before it forecasts.
    pub poll_records: usize,
}

/// `[http]`: the admin server.
#[derive(Clone, Debug)]
pub struct Http {
    /// The address that it listens on.
    pub listen: SocketAddr,
    /// The bearer token that a request must carry to change something; `None`: nothing can be changed.
    pub token: Option<String>,
}

/// A shorter token can be guessed.
const TOKEN_LEAST: usize = 16;

/// `[snapshots]`: how often a shard's state is kept, and how many snapshots are.
#[derive(Clone, Debug)]
pub struct Snapshots {
    /// Whether any are written.
    pub enabled: bool,
    /// The time between two snapshots of a shard.
    pub every: Duration,
    /// How many are kept of each shard and generation.
    pub keep: usize,
    /// How long a shard waits for its snapshot before it starts without one.
    pub restore_timeout: Duration,
}

/// `[log]`: how events are logged.
#[derive(Clone, Debug)]
pub struct Log {
    /// One JSON object a line, or text.
    pub json: bool,
    /// The least severe level, or directives of `tracing`.
    pub level: String,
}

/// Properties that Tidecast sets itself and the config may not: delivery depends on them.
const RESERVED: [&str; 10] = [
    "auto.offset.reset",
    "bootstrap.servers",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "transactional.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "isolation.level",
];

pub(super) static KAFKA: Key<Sub> = Key {
    name: "kafka",
    kind: Sub {
        table: Table::new(
            "The cluster, and the consumer group of this process.",
            &[&BROKERS, &GROUP, &INSTANCE, &GROUP_PROTOCOL, &MODELS_TOPIC, &KAFKA_PROPERTIES],
        ),
        required: true,
    },
    effect: "The cluster, and the consumer group of this process.",
};
static BROKERS: Key<Text> = text(
    "brokers",
    Preset::Required("localhost:9092"),
    "`host:port`, several separated by commas",
    "The brokers to which the first connection is made.",
);
static GROUP: Key<Text> = text(
    "group",
    Preset::Is("tidecast"),
    "",
    "The consumer group, whose members share the partitions; snapshots are kept under its name.",
);
static INSTANCE: Key<Text> = text(
    "instance",
    Preset::Nothing("none: dynamic membership", "tidecast-0"),
    "",
    "A name of this process that no other one has and that it keeps after a restart: static membership, and its own \
     transactions. Without one nobody reads its partitions after a crash until its session has ended, for 45 s by default.",
);
static GROUP_PROTOCOL: Key<Choice<GroupProtocol>> = choice(
    "group_protocol",
    &[
        Word::new("classic", GroupProtocol::Classic, "the classic protocol, cooperative-sticky"),
        Word::new("consumer", GroupProtocol::Consumer, "KIP-848, with brokers from 4.3 on"),
    ],
    "Kafka's protocol for consumer groups.",
);
static MODELS_TOPIC: Key<Text> = text(
    "models_topic",
    Preset::Follows("`GROUP.models`", "tidecast.models"),
    "",
    "The compacted topic on which all processes read which model serves.",
);
static KAFKA_PROPERTIES: Key<Pairs> = Key {
    name: "properties",
    kind: Pairs {
        names: None,
        form: "librdkafka's properties, without those that Tidecast sets itself",
        any: true,
        preset: Preset::Nothing("empty", r#"{"security.protocol": "SASL_SSL"}"#),
    },
    effect: "Properties that are handed to librdkafka unchanged.",
};

pub(super) fn kafka(mut s: Section<'_>) -> Kafka {
    let brokers = s.required_text(&BROKERS);
    let group = s.text(&GROUP);
    let instance = s.optional_text(&INSTANCE);
    let group_protocol = s.choice(&GROUP_PROTOCOL);
    let models_topic = s.text_or(&MODELS_TOPIC, &format!("{group}.models"));
    let mut table = s.pairs(&KAFKA_PROPERTIES);
    let properties = properties(&mut table, "");
    for (name, _) in &properties {
        if RESERVED.contains(&name.as_str()) {
            table.fault(name, "is set by Tidecast itself, from [kafka] and [delivery]");
        }
    }
    s.finish();
    Kafka { brokers, group, instance, group_protocol, models_topic, properties }
}

/// Takes both `"security.protocol" = "SSL"` and the nested tables that a dotted key makes.
fn properties(table: &mut Section<'_>, prefix: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for name in table.names() {
        let full = format!("{prefix}{name}");
        if table.is_table(&name) {
            found.extend(properties(&mut table.of_name(&name), &format!("{full}.")));
        } else if let Some(text) = table.plain_of_name(&name) {
            found.push((full, text));
        }
    }
    found
}

pub(super) static DELIVERY: Key<Sub> = sub(
    "delivery",
    "How forecasts and offsets are committed.",
    &[&GUARANTEE, &COMMIT_INTERVAL, &COMMIT_READINGS, &TOO_LARGE],
);
static GUARANTEE: Key<Choice<Guarantee>> = choice(
    "guarantee",
    &[
        Word::new(
            "exactly-once",
            Guarantee::ExactlyOnce,
            "forecasts, dead letters and offsets in one transaction",
        ),
        Word::new(
            "at-least-once",
            Guarantee::AtLeastOnce,
            "an idempotent producer, and offsets after the acknowledgement",
        ),
    ],
    "What a reader of the forecast topic can rely on.",
);
static COMMIT_INTERVAL: Key<Span> = span(
    "commit_interval",
    Preset::Is(Duration::from_millis(250)),
    Duration::from_millis(1)..=Duration::from_secs(60),
    "The longest time between two commits.",
);
static COMMIT_READINGS: Key<Whole> = whole(
    "commit_readings",
    Preset::Is(50_000),
    1..=10_000_000,
    "The number of readings after which a commit is made before its interval is over. A record that lets more \
     readings through is answered in several commits.",
);
static TOO_LARGE: Key<Choice<WhenTooLarge>> = choice(
    "too_large",
    &[
        Word::new(
            "shorten",
            WhenTooLarge::Shorten,
            "it is sent with the first leads only, as many as fit; a dead letter where not even one fits",
        ),
        Word::new(
            "dead_letter",
            WhenTooLarge::DeadLetter,
            "a dead letter without its values is sent in its place",
        ),
    ],
    "What becomes of a forecast that is larger than its topic takes (`max.message.bytes`).",
);

pub(super) fn delivery(mut s: Section<'_>) -> Delivery {
    let delivery = Delivery {
        guarantee: s.choice(&GUARANTEE),
        commit_interval: s.duration(&COMMIT_INTERVAL),
        commit_readings: s.count(&COMMIT_READINGS),
        too_large: s.choice(&TOO_LARGE),
    };
    s.finish();
    delivery
}

pub(super) static DAEMON: Key<Sub> =
    sub("daemon", "Threads, and how the process stops.", &[&WORKERS, &STOP_TIMEOUT, &POLL_RECORDS]);
static WORKERS: Key<Whole> = whole(
    "workers",
    Preset::Is(1),
    1..=256,
    "The number of workers; each is a thread with partitions, a consumer and a producer of its own.",
);
static STOP_TIMEOUT: Key<Span> = span(
    "stop_timeout",
    Preset::Is(Duration::from_secs(20)),
    Duration::from_secs(1)..=Duration::from_secs(600),
    "How long the process may take, when it is stopped, for its last commit and its last snapshots.",
);
static POLL_RECORDS: Key<Whole> = whole(
    "poll_records",
    Preset::Is(10_000),
    1..=1_000_000,
    "The most records that a worker takes from Kafka before it forecasts.",
);

pub(super) fn daemon(mut s: Section<'_>) -> Daemon {
    let daemon = Daemon {
        workers: s.count(&WORKERS),
        stop_timeout: s.duration(&STOP_TIMEOUT),
        poll_records: s.count(&POLL_RECORDS),
    };
    s.finish();
    daemon
}

pub(super) static HTTP: Key<Sub> =
    sub("http", "The admin server: metrics, health, API and dashboard.", &[&LISTEN, &TOKEN]);
static LISTEN: Key<Text> = text(
    "listen",
    Preset::Is("127.0.0.1:9464"),
    "an address and a port",
    "The address of `/metrics`, `/livez`, `/readyz`, `/api/v1/streams` and the dashboard at `/`.",
);
static TOKEN: Key<Text> = text(
    "token",
    Preset::Nothing("none: nothing can be changed over HTTP", "${file:/run/secrets/tidecast-token}"),
    "16 or more printable ASCII characters",
    "The bearer token that a request must carry to change something.",
);

pub(super) fn http(mut s: Section<'_>) -> Http {
    let text = s.text(&LISTEN);
    let listen = text.parse().unwrap_or_else(|_| {
        s.fault("listen", format!("is \"{text}\"; it must be an address and a port like \"127.0.0.1:9464\""));
        SocketAddr::from(([127, 0, 0, 1], 9464))
    });
    let token = s.optional_text(&TOKEN);
    if token
        .as_ref()
        .is_some_and(|token| token.len() < TOKEN_LEAST || !token.bytes().all(|b| b.is_ascii_graphic()))
    {
        s.fault("token", format!("must have {TOKEN_LEAST} characters or more, all of them printable ASCII"));
    }
    s.finish();
    Http { listen, token }
}

pub(super) static SNAPSHOTS: Key<Sub> = sub(
    "snapshots",
    "How often the state of a shard is kept in the store.",
    &[&SNAPSHOTS_ENABLED, &SNAPSHOTS_EVERY, &KEEP, &RESTORE_TIMEOUT],
);
static SNAPSHOTS_ENABLED: Key<Flag> = flag(
    "enabled",
    true,
    "Whether snapshots are written; without them a shard starts from the last `cold_replay` of its partition.",
);
static SNAPSHOTS_EVERY: Key<Span> = span(
    "every",
    Preset::Is(Duration::from_secs(60)),
    Duration::from_secs(1)..=Duration::from_secs(86_400),
    "The time between two snapshots of a shard; this much is replayed after a crash.",
);
static KEEP: Key<Whole> = whole(
    "keep",
    Preset::Is(3),
    1..=100,
    "The number of snapshots kept of each shard in each generation of the group, and of generations kept.",
);
static RESTORE_TIMEOUT: Key<Span> = span(
    "restore_timeout",
    Preset::Is(Duration::from_secs(60)),
    Duration::from_secs(1)..=Duration::from_secs(3_600),
    "How long a shard waits for a store that does not answer before it starts without its snapshot.",
);

pub(super) fn snapshots(mut s: Section<'_>) -> Snapshots {
    let snapshots = Snapshots {
        enabled: s.flag(&SNAPSHOTS_ENABLED),
        every: s.duration(&SNAPSHOTS_EVERY),
        keep: s.count(&KEEP),
        restore_timeout: s.duration(&RESTORE_TIMEOUT),
    };
    s.finish();
    snapshots
}

pub(super) static LOG: Key<Sub> = sub("log", "Log events on standard error.", &[&LOG_FORMAT, &LOG_LEVEL]);
static LOG_FORMAT: Key<Choice<bool>> = choice(
    "format",
    &[Word::new("text", false, "lines for people"), Word::new("json", true, "one JSON object a line")],
    "How an event is written.",
);
static LOG_LEVEL: Key<Text> = text(
    "level",
    Preset::Is("info"),
    "`error`, `warn`, `info`, `debug`, `trace`, or directives like `info,tidecast=debug`",
    "The least severe level that is logged.",
);

pub(super) fn log(mut s: Section<'_>) -> Log {
    let log = Log { json: s.choice(&LOG_FORMAT), level: s.text(&LOG_LEVEL) };
    if tracing_subscriber::EnvFilter::try_new(&log.level).is_err() {
        s.fault(
            "level",
            format!("is \"{}\"; say for example \"info\" or \"info,tidecast=debug\"", log.level),
        );
    }
    s.finish();
    log
}
