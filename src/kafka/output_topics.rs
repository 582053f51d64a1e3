//! What the output topics take: how large a batch of records may be, and whether a record needs a key.
//!
//! The settings of the topics are read when a worker starts, and again when a broker has refused records. A principal may
//! not be allowed to read them (`DescribeConfigs`); then a limit is found by halving what was refused.

use super::admin::{Admin, TopicLimits};
use crate::config::{Config, Kafka};
use crate::telemetry::{AbortCause, events};
use rdkafka::ClientConfig;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The longest wait for the settings. Without them a worker starts all the same.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// What a batch takes beside its records, and a little more.
const BATCH_OVERHEAD: usize = 128;
/// The most that a record takes beside its key, payload and headers.
const RECORD_OVERHEAD: usize = 40;
/// The most that a header takes beside its name and value.
const HEADER_OVERHEAD: usize = 10;
/// A record that is not larger than this is always sent. What is not taken then is not taken at all.
const ALWAYS_SENT: usize = 512;
/// Batches of this size are tried at least.
const BATCH_LEAST: usize = 1_024;
/// librdkafka's default of `message.max.bytes`.
const MESSAGE_BYTES_MAX: usize = 1_000_000;
/// While records are held back, the settings are read again after this time.
const REFRESH_AFTER: Duration = Duration::from_secs(60);

/// A refusal by a broker, of one record or of its whole batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The topic whose leader refused.
    pub topic: String,
    /// Why.
    pub cause: AbortCause,
}

/// What a broker takes into a topic, as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
struct OutputTopic {
    limits: TopicLimits,
    /// The largest record that is sent, before compression; `None` while none was refused. A record that is larger than
    /// the limit may still be small enough once it is compressed, so none is held back before.
    record_bytes_max: Option<usize>,
}

/// What brokers take into each output topic.
pub(super) struct OutputTopics {
    kafka: Kafka,
    /// The largest record that the client takes.
    message_bytes_max: usize,
    read_at: Instant,
    topics: BTreeMap<String, OutputTopic>,
}

impl OutputTopics {
    /// The output topics of all streams, with their settings.
    pub fn read(config: &Config, producer: &ClientConfig) -> Self {
        let of = |stream: &std::sync::Arc<crate::config::Stream>| {
            let anomalies = stream.alarms.anomaly_topic.clone();
            [stream.forecast_topic.clone(), stream.dead_letter_topic.clone()].into_iter().chain(anomalies)
        };
        let names = config.streams.iter().flat_map(of);
        let mut all = Self {
            kafka: config.kafka.clone(),
            message_bytes_max: number(producer, "message.max.bytes").unwrap_or(MESSAGE_BYTES_MAX),
            read_at: Instant::now(),
            topics: names.map(|name| (name, OutputTopic::default())).collect(),
        };
        all.read_limits();
        all
    }

    fn read_limits(&mut self) {
        self.read_at = Instant::now();
        let names: Vec<&str> = self.topics.keys().map(String::as_str).collect();
        let found = Admin::connect(&self.kafka).and_then(|admin| admin.limits(&names, ANSWER_TIMEOUT));
        match found {
            Ok(found) => {
                let missing = names.iter().filter(|name| !found.iter().any(|(found, _)| found == *name));
                let missing = missing.copied().collect::<Vec<_>>().join(" ");
                if !missing.is_empty() {
                    events::output_limits_unknown(&missing, &"the broker does not show their settings");
                }
                for (name, limits) in found {
                    if let Some(topic) = self.topics.get_mut(&name) {
                        topic.limits = limits;
                    }
                }
            }
            Err(cause) => events::output_limits_unknown(&names.join(" "), &cause),
        }
    }

    /// Whether a record of this topic needs a key, because the topic is compacted.
    pub fn needs_key(&self, topic: &str) -> bool {
        self.topics.get(topic).is_some_and(|topic| topic.limits.is_compacted)
    }

    /// How many bytes of payload a record may have beside its key and headers.
    pub fn payload_room(&self, topic: &str, key: Option<&[u8]>, headers: &[(&str, &[u8])]) -> usize {
        let found = self.topics.get(topic).and_then(|topic| topic.record_bytes_max);
        let most = found.map_or(self.message_bytes_max, |found| found.min(self.message_bytes_max));
        most.saturating_sub(bytes(key, None, headers))
    }

    /// Whether a record is larger than what a broker has refused.
    pub fn is_too_large(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: &[(&str, &[u8])],
    ) -> bool {
        let found = self.topics.get(topic).and_then(|topic| topic.record_bytes_max);
        found.is_some_and(|most| bytes(key, payload, headers) > most)
    }

    /// Reads the settings again now and then while records are held back: a limit may have been raised.
    pub fn refresh(&mut self) {
        let is_held_back = self.topics.values().any(|topic| topic.record_bytes_max.is_some());
        if !is_held_back || self.read_at.elapsed() < REFRESH_AFTER {
            return;
        }
        self.read_limits();
        for topic in self.topics.values_mut() {
            let known = topic.limits.batch_bytes_max.map(|bytes| bytes.saturating_sub(BATCH_OVERHEAD));
            if let (Some(most), Some(known)) = (&mut topic.record_bytes_max, known) {
                *most = known.max(*most);
            }
        }
    }

    /// Learns from a refusal. Batches may have to become smaller ([`Self::limit_batches`]).
    pub fn learn(&mut self, refusal: &Refusal) {
        self.read_limits();
        let batch = self.batch_bytes_max();
        let refused = self.topics.get_mut(&refusal.topic).filter(|_| refusal.cause == AbortCause::TooLarge);
        let Some(topic) = refused else { return };
        let known = topic.limits.batch_bytes_max.map(|bytes| bytes.saturating_sub(BATCH_OVERHEAD));
        // One that was kept to and was refused all the same is no limit.
        let before = topic.record_bytes_max;
        let next = match (known, before) {
            (Some(known), None) => known,
            (Some(known), Some(before)) => known.min(before / 2),
            (None, before) => before.or(batch).unwrap_or(MESSAGE_BYTES_MAX) / 2,
        };
        topic.record_bytes_max = Some(next.max(ALWAYS_SENT));
    }

    /// The size that fits into every output topic. A client has one setting for all of its topics.
    fn batch_bytes_max(&self) -> Option<usize> {
        let of = |topic: &OutputTopic| {
            let known = topic.limits.batch_bytes_max.map(|bytes| bytes.saturating_sub(BATCH_OVERHEAD));
            known.into_iter().chain(topic.record_bytes_max).min()
        };
        self.topics.values().filter_map(of).min()
    }

    /// Lets a producer's batches become no larger than what fits into every output topic.
    pub fn limit_batches(&self, settings: &mut ClientConfig) {
        let Some(most) = self.batch_bytes_max() else { return };
        let most = most.max(BATCH_LEAST);
        if number(settings, "batch.size").is_none_or(|set| set > most) {
            settings.set("batch.size", most.to_string());
        }
    }
}

fn number(settings: &ClientConfig, name: &str) -> Option<usize> {
    settings.get(name)?.parse().ok()
}

/// The most bytes that a record takes in a batch.
fn bytes(key: Option<&[u8]>, payload: Option<&[u8]>, headers: &[(&str, &[u8])]) -> usize {
    let header = |(name, value): &(&str, &[u8])| HEADER_OVERHEAD + name.len() + value.len();
    RECORD_OVERHEAD
        + key.map_or(0, <[u8]>::len)
        + payload.map_or(0, <[u8]>::len)
        + headers.iter().map(header).sum::<usize>()
}
