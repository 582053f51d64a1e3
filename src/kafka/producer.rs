//! The producing client: what [`TransactionalProducer`](super::transactional_producer::TransactionalProducer) and [`IdempotentProducer`](super::IdempotentProducer) share.

use super::error::Error;
use super::producing_client::Client;
use super::topic_handles::{Outgoing, TopicHandles};
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;
use std::time::{Duration, Instant};

/// The longest wait for Kafka when a producer starts. Who starts it tries again.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait for room in the queue. By then the oldest record has failed.
const ROOM_TIMEOUT: Duration = Duration::from_secs(120);
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(1);

/// Starts a producer. For exactly-once it waits until its transactions are initialised.
pub(super) fn start(settings: &ClientConfig, brokers: &str, exactly_once: bool) -> Result<Client, Error> {
    let client = Client::create(settings).map_err(|e| Error::of("creating the producer", &e))?;
    if !exactly_once {
        return Ok(client);
    }
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match client.init_transactions(left) {
            Ok(()) => return Ok(client),
            Err(e) if e.is_retriable && !left.is_zero() => {
                std::thread::sleep(RETRY_PAUSE);
            }
            Err(e) if e.is_retriable => {
                return Err(Error::Unreachable {
                    brokers: brokers.to_owned(),
                    waited: START_TIMEOUT,
                    reason: client.context().troubles.newest().unwrap_or_else(|| e.to_string()),
                });
            }
            Err(e) => return Err(Error::of_code("starting transactions", e.code, e.to_string())),
        }
    }
}

/// Hands a record to librdkafka, which copies it. Waits while the queue is full.
pub(super) fn enqueue(
    client: &Client,
    topics: &mut TopicHandles,
    record: &Outgoing<'_>,
) -> Result<(), KafkaError> {
    let mut deadline = None;
    loop {
        match topics.produce(client, record) {
            Err(e) if e.rdkafka_error_code() == Some(Code::QueueFull) => {
                let now = Instant::now();
                if now >= *deadline.get_or_insert(now + ROOM_TIMEOUT) {
                    return Err(e);
                }
                std::thread::sleep(RETRY_PAUSE);
            }
            outcome => return outcome,
        }
    }
}
