//! What librdkafka's callbacks note for the worker, which reads it after its poll. The contexts are shared with
//! librdkafka's threads and can't reach a shard, so a callback only notes what happened.

use super::error::is_transient;
use super::output_topics::Refusal;
use crate::domain::{Partition, TopicPartition};
use crate::telemetry::{AbortCause, ClientStatistics, TransactionRequest};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{ClientContext, Offset, Statistics, TopicPartitionList};
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

/// What happened to a worker's clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The group has given the worker these partitions. Answer with [`WorkerClients::assign`](super::WorkerClients::assign).
    Assigned(Vec<TopicPartition>),
    /// The group takes these partitions away. They can be committed until the answer,
    /// [`WorkerClients::release`](super::WorkerClients::release).
    Revoked(Vec<TopicPartition>),
    /// These partitions belong to another member already, so nothing may be committed for them. Answer with
    /// [`WorkerClients::release`](super::WorkerClients::release).
    Lost(Vec<TopicPartition>),
    /// The group knows another member of this one's name, and that is most likely a ghost of this one: its connections were
    /// broken a moment before. It joins again, and everything that it held is lost. There is nothing to answer.
    Expelled,
    /// An error that librdkafka tries to recover from, for the log.
    Trouble(String),
    /// The producer has taken a new epoch, because a request of this kind was not answered on its connection and may
    /// still come to a broker.
    NewEpoch(TransactionRequest),
}

/// The facilities of librdkafka's log for broken connections, requests without an answer, and sessions that ended.
const BROKEN: [&str; 3] = ["FAIL", "REQTMOUT", "SESSTMOUT"];

/// The most troubles that wait to be logged. More would add nothing.
const TROUBLES_MAX: usize = 32;

/// Errors that librdkafka tries to recover from, oldest first.
#[derive(Default)]
pub(super) struct Troubles(Mutex<VecDeque<String>>);

impl Troubles {
    fn note(&self, error: &KafkaError, reason: &str) {
        let mut queue = lock(&self.0);
        let text = format!("{error}: {reason}");
        if queue.len() < TROUBLES_MAX && queue.back() != Some(&text) {
            queue.push_back(text);
        }
    }

    /// The oldest trouble.
    pub fn take(&self) -> Option<Event> {
        lock(&self.0).pop_front().map(Event::Trouble)
    }

    /// The newest trouble, which is the likely reason when no broker answers.
    pub fn newest(&self) -> Option<String> {
        lock(&self.0).back().cloned()
    }
}

/// A rebalance whose answer librdkafka waits for. Under KIP-848 it may revoke partitions whose assignment was never
/// answered, and still expects both answers in their order.
pub(super) enum PendingRebalance {
    Assign(Vec<TopicPartition>),
    Release(Vec<TopicPartition>),
}

#[derive(Default)]
pub(super) struct Rebalances {
    pub events: VecDeque<Event>,
    pub pending: VecDeque<PendingRebalance>,
    /// Set by every assignment, also by an empty one, because it confirms the partitions that are held.
    pub confirmed: bool,
}

#[derive(Default)]
pub(super) struct ConsumingContext {
    rebalances: Mutex<Rebalances>,
    pub troubles: Troubles,
    pub statistics: Mutex<ClientStatistics>,
    /// Partitions of which no broker says where they end.
    pub unheard: Mutex<BTreeSet<TopicPartition>>,
    /// When a connection was last broken.
    pub broken_at: Mutex<Option<Instant>>,
    /// Set when the consumer is closing, so that nobody reads events any more.
    pub closing: AtomicBool,
}

impl ConsumingContext {
    pub fn rebalances(&self) -> MutexGuard<'_, Rebalances> {
        lock(&self.rebalances)
    }
}

impl ClientContext for ConsumingContext {
    fn stats(&self, statistics: Statistics) {
        *lock(&self.statistics) = super::statistics::of(&statistics);
        *lock(&self.unheard) = super::statistics::unheard(&statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code().is_some_and(is_transient) {
            *lock(&self.broken_at) = Some(Instant::now());
        }
        self.troubles.note(&error, reason);
    }

    /// A connection that the broker closes is no error for librdkafka, and stands in its log alone.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        if BROKEN.contains(&facility) {
            *lock(&self.broken_at) = Some(Instant::now());
        }
        DefaultClientContext.log(level, facility, line);
    }
}

impl ConsumerContext for ConsumingContext {
    /// Notes the event instead of acting on it, because the worker finishes its batch and commits first. Meanwhile
    /// librdkafka pauses the assigned partitions and keeps up the heartbeat.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, err: RDKafkaRespErr, list: &mut TopicPartitionList) {
        // librdkafka drops every request to a closed group, and the caller would wait for ever.
        if consumer.closed() {
            return;
        }
        let assigned = err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        self.rebalances().confirmed |= assigned;
        // The cooperative protocol often assigns nothing; no worker needs that event.
        if self.closing.load(Ordering::Acquire) || list.count() == 0 {
            let done = if assigned { add(consumer, list) } else { remove(consumer, list) };
            if let Err(e) = done {
                self.troubles.note(&e, "while answering a rebalance");
            }
            return;
        }
        let parts = partitions(list);
        let mut rebalances = self.rebalances();
        rebalances.pending.push_back(if assigned {
            PendingRebalance::Assign(parts.clone())
        } else {
            PendingRebalance::Release(parts.clone())
        });
        rebalances.events.push_back(if assigned {
            Event::Assigned(parts)
        } else if consumer.assignment_lost() {
            Event::Lost(parts)
        } else {
            Event::Revoked(parts)
        });
    }
}

#[derive(Default)]
pub(super) struct ProducingContext {
    /// The first failed delivery since the last call of [`Self::take_failure`].
    failure: Mutex<Option<String>>,
    /// The first refusal by a broker since the last call of [`Self::take_refusal`].
    refusal: Mutex<Option<Refusal>>,
    pub troubles: Troubles,
    pub statistics: Mutex<ClientStatistics>,
}

impl ProducingContext {
    pub fn has_failure(&self) -> bool {
        lock(&self.failure).is_some()
    }

    pub fn take_failure(&self) -> Option<String> {
        lock(&self.failure).take()
    }

    pub fn take_refusal(&self) -> Option<Refusal> {
        lock(&self.refusal).take()
    }

    /// Notes that a record was not delivered.
    pub fn note_failure(&self, topic: &str, code: RDKafkaErrorCode) {
        lock(&self.failure).get_or_insert_with(|| format!("a record for {topic}: {code}"));
        if let Some(cause) = refusal(code) {
            lock(&self.refusal).get_or_insert_with(|| Refusal { topic: topic.to_owned(), cause });
        }
    }
}

impl ClientContext for ProducingContext {
    fn stats(&self, statistics: Statistics) {
        *lock(&self.statistics) = super::statistics::of(&statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.troubles.note(&error, reason);
    }
}

/// Why a broker refuses what was sent; `None` for an error that has nothing to do with what was sent.
pub(super) fn refusal(code: RDKafkaErrorCode) -> Option<AbortCause> {
    Some(match code {
        RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge => {
            AbortCause::TooLarge
        }
        RDKafkaErrorCode::TopicAuthorizationFailed => AbortCause::NotAuthorized,
        RDKafkaErrorCode::InvalidRecord | RDKafkaErrorCode::InvalidMessage => AbortCause::InvalidRecord,
        RDKafkaErrorCode::InvalidTimestamp => AbortCause::InvalidTimestamp,
        RDKafkaErrorCode::PolicyViolation
        | RDKafkaErrorCode::UnsupportedForMessageFormat
        | RDKafkaErrorCode::UnsupportedCompressionType => AbortCause::Refused,
        _ => return None,
    })
}

pub(super) fn add<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    list: &TopicPartitionList,
) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
        _ => consumer.assign(list),
    }
}

pub(super) fn remove<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    list: &TopicPartitionList,
) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
        _ => consumer.unassign(),
    }
}

pub(super) fn partitions(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements()
        .iter()
        .map(|e| TopicPartition { topic: e.topic().into(), partition: Partition(e.partition()) })
        .collect()
}

pub(super) fn list<'a>(parts: impl IntoIterator<Item = (&'a TopicPartition, Offset)>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (tp, offset) in parts {
        list.add_partition_offset(&tp.topic, tp.partition.0, offset)
            .expect("offsets of this room are never negative");
    }
    list
}

/// Locks also after a callback has panicked: callbacks only push or replace, so the value is whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
