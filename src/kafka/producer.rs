//! The producing client: what [`TransactionalProducer`](super::transactional_producer::TransactionalProducer) and [`IdempotentProducer`](super::IdempotentProducer) share.

use super::context::ProducingContext;
use super::error::Error;
use super::topic_handles::{Outgoing, TopicHandles};
use rdkafka::ClientConfig;
use rdkafka::bindings::rd_kafka_flush;
use rdkafka::error::KafkaError;
use rdkafka::producer::{Producer, ThreadedProducer};
use rdkafka::types::{RDKafkaErrorCode as Code, RDKafkaRespErr};
use std::time::{Duration, Instant};

/// The longest wait for Kafka when a producer starts. Who starts it tries again.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait for room in the queue. By then the oldest record has failed.
const ROOM_TIMEOUT: Duration = Duration::from_secs(120);
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(1);

/// A producer with a thread that serves its delivery reports. `abort_transaction` waits for these reports, so it would
/// wait for ever in the only thread that serves them.
pub(super) type Client = ThreadedProducer<ProducingContext>;

/// Starts a producer. For exactly-once it waits until its transactions are initialised.
pub(super) fn start(settings: &ClientConfig, brokers: &str, exactly_once: bool) -> Result<Client, Error> {
    let client: Client = settings
        .create_with_context(ProducingContext::default())
        .map_err(|e| Error::of("creating the producer", &e))?;
    if !exactly_once {
        return Ok(client);
    }
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match client.init_transactions(left) {
            Ok(()) => return Ok(client),
            Err(KafkaError::Transaction(e)) if e.is_retriable() && !left.is_zero() => {
                std::thread::sleep(RETRY_PAUSE);
            }
            Err(KafkaError::Transaction(e)) if e.is_retriable() => {
                return Err(Error::Unreachable {
                    brokers: brokers.to_owned(),
                    waited: START_TIMEOUT,
                    reason: client.context().troubles.newest().unwrap_or_else(|| e.to_string()),
                });
            }
            Err(e) => return Err(Error::of("starting transactions", &e)),
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

/// Waits until nothing is in flight, and returns whether that was reached. librdkafka's own flush sends lingering
/// records at once and wakes at the last acknowledgement; rdkafka's flush checks only every 100 ms.
pub(super) fn flush(client: &Client, within: Duration) -> bool {
    let millis = i32::try_from(within.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client lives, and the call may be made from any thread.
    let answer = unsafe { rd_kafka_flush(client.client().native_ptr(), millis) };
    answer == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
}
