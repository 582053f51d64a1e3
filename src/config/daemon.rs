//! The part of the config that is about the process, not about its streams.

use super::section::Section;
use std::net::SocketAddr;
use std::time::Duration;

/// `[kafka]`: the cluster and the group.
#[derive(Clone, Debug)]
pub struct Kafka {
    pub brokers: String,
    pub group: String,
    /// The stable name of this process; static membership when it is set.
    pub instance: Option<String>,
    pub group_protocol: GroupProtocol,
    /// The compacted topic on which every process hears which model serves.
    pub models_topic: String,
    /// Handed to librdkafka as they are.
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
    pub guarantee: Guarantee,
    pub commit_interval: Duration,
    pub commit_readings: usize,
}

/// What a reader of the forecast topic may rely on.
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
    pub workers: usize,
    pub stop_timeout: Duration,
    /// The most records that a worker takes from Kafka before it steps.
    pub poll_records: usize,
}

/// `[http]`: the admin server.
#[derive(Clone, Debug)]
pub struct Http {
    pub listen: SocketAddr,
    /// What a request has to bear that changes something; `None`: nothing can be changed.
    pub token: Option<String>,
}

/// A token that is shorter can be guessed.
const TOKEN_LEAST: usize = 16;

/// `[snapshots]`: how often a shard's state is kept, and how many times.
#[derive(Clone, Debug)]
pub struct Snapshots {
    pub enabled: bool,
    pub every: Duration,
    /// Of each shard and generation.
    pub keep: usize,
    /// The longest that a shard waits for its snapshot before it starts without.
    pub restore_timeout: Duration,
}

/// `[log]`.
#[derive(Clone, Debug)]
pub struct Log {
    /// One JSON object a line, or text.
    pub json: bool,
    pub level: String,
}

/// What Tidecast sets itself and nobody else may: delivery depends on it.
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

pub(super) fn kafka(mut s: Section<'_>) -> Kafka {
    let brokers = s.required_text("brokers", "\"localhost:9092\"");
    let group = s.text("group", "tidecast");
    let instance = s.text_or("instance");
    let group_protocol = s.choice(
        "group_protocol",
        &[("classic", GroupProtocol::Classic), ("consumer", GroupProtocol::Consumer)],
    );
    let models_topic = s.text("models_topic", &format!("{group}.models"));
    let mut table = s.section("properties");
    let properties = properties(&mut table, "");
    for (name, _) in &properties {
        if RESERVED.contains(&name.as_str()) {
            table.fault(name, "is set by Tidecast itself, from [kafka] and [delivery]");
        }
    }
    s.finish();
    Kafka { brokers, group, instance, group_protocol, models_topic, properties }
}

/// Both `"security.protocol" = "SSL"` and the nested tables that a dotted key makes.
fn properties(table: &mut Section<'_>, prefix: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for name in table.names() {
        let full = format!("{prefix}{name}");
        if table.value(&name).is_some_and(serde_json::Value::is_object) {
            found.extend(properties(&mut table.section(&name), &format!("{full}.")));
        } else if let Some(text) = table.plain(&name) {
            found.push((full, text));
        }
    }
    found
}

pub(super) fn delivery(mut s: Section<'_>) -> Delivery {
    let delivery = Delivery {
        guarantee: s.choice(
            "guarantee",
            &[("exactly-once", Guarantee::ExactlyOnce), ("at-least-once", Guarantee::AtLeastOnce)],
        ),
        commit_interval: s.duration(
            "commit_interval",
            Duration::from_millis(250),
            Duration::from_millis(1)..=Duration::from_secs(60),
        ),
        commit_readings: s.count("commit_readings", 50_000, 1..=10_000_000),
    };
    s.finish();
    delivery
}

pub(super) fn daemon(mut s: Section<'_>) -> Daemon {
    let daemon = Daemon {
        workers: s.count("workers", 1, 1..=256),
        stop_timeout: s.duration(
            "stop_timeout",
            Duration::from_secs(20),
            Duration::from_secs(1)..=Duration::from_secs(600),
        ),
        poll_records: s.count("poll_records", 10_000, 1..=1_000_000),
    };
    s.finish();
    daemon
}

pub(super) fn http(mut s: Section<'_>) -> Http {
    let text = s.text("listen", "127.0.0.1:9464");
    let listen = text.parse().unwrap_or_else(|_| {
        s.fault("listen", format!("is \"{text}\"; it must be an address and a port like \"127.0.0.1:9464\""));
        SocketAddr::from(([127, 0, 0, 1], 9464))
    });
    let token = Some(s.text("token", "")).filter(|token| !token.is_empty());
    if token
        .as_ref()
        .is_some_and(|token| token.len() < TOKEN_LEAST || !token.bytes().all(|b| b.is_ascii_graphic()))
    {
        s.fault("token", format!("must have {TOKEN_LEAST} characters or more, all of them printable ASCII"));
    }
    s.finish();
    Http { listen, token }
}

pub(super) fn snapshots(mut s: Section<'_>) -> Snapshots {
    let snapshots = Snapshots {
        enabled: s.flag("enabled", true),
        every: s.duration(
            "every",
            Duration::from_secs(60),
            Duration::from_secs(1)..=Duration::from_secs(86_400),
        ),
        keep: s.count("keep", 3, 1..=100),
        restore_timeout: s.duration(
            "restore_timeout",
            Duration::from_secs(60),
            Duration::from_secs(1)..=Duration::from_secs(3_600),
        ),
    };
    s.finish();
    snapshots
}

pub(super) fn log(mut s: Section<'_>) -> Log {
    let log =
        Log { json: s.choice("format", &[("text", false), ("json", true)]), level: s.text("level", "info") };
    if tracing_subscriber::EnvFilter::try_new(&log.level).is_err() {
        s.fault(
            "level",
            format!("is \"{}\"; say for example \"info\" or \"info,tidecast=debug\"", log.level),
        );
    }
    s.finish();
    log
}
