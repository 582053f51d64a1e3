//! What librdkafka's callbacks leave for the worker to find after its poll. The contexts are shared
//! with librdkafka's threads and can't reach a shard: a callback only notes what happened.

use crate::domain::{Partition, TopicPartition};
use crate::telemetry::ClientStatistics;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, Statistics, TopicPartitionList};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

/// What happened to a worker's clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// These partitions are the worker's now; [`Link::assign`](super::Link::assign) answers.
    Assigned(Vec<TopicPartition>),
    /// These go to somebody else once [`Link::release`](super::Link::release) answers; until then
    /// they can be committed.
    Revoked(Vec<TopicPartition>),
    /// These belong to somebody else already: nothing may be committed for them.
    /// [`Link::release`](super::Link::release) answers.
    Lost(Vec<TopicPartition>),
    /// Something is wrong that librdkafka goes on trying to mend: for the log.
    Trouble(String),
}

/// The most troubles that wait to be logged; more of them say nothing new.
const TROUBLES_MAX: usize = 32;

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

    pub fn take(&self) -> Option<Event> {
        lock(&self.0).pop_front().map(Event::Trouble)
    }

    /// The newest trouble: the likely reason when nothing answers.
    pub fn newest(&self) -> Option<String> {
        lock(&self.0).back().cloned()
    }
}

/// A rebalance that waits for an answer: librdkafka goes no further without it. Under KIP-848 it takes
/// back what was never answered, and still wants both answers, in their order.
pub(super) enum Owed {
    Assign(Vec<TopicPartition>),
    Release(Vec<TopicPartition>),
}

#[derive(Default)]
pub(super) struct Rebalances {
    pub events: VecDeque<Event>,
    pub owed: VecDeque<Owed>,
    /// Set by every assignment, also by one of nothing new: what is held was confirmed with it.
    pub confirmed: bool,
}

#[derive(Default)]
pub(super) struct MemberContext {
    rebalances: Mutex<Rebalances>,
    pub troubles: Troubles,
    pub statistics: Mutex<ClientStatistics>,
    /// Set when nobody polls for events any longer, only the consumer's own end.
    pub closing: AtomicBool,
}

impl MemberContext {
    pub fn rebalances(&self) -> MutexGuard<'_, Rebalances> {
        lock(&self.rebalances)
    }
}

impl ClientContext for MemberContext {
    fn stats(&self, statistics: Statistics) {
        *lock(&self.statistics) = super::statistics::of(&statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.troubles.note(&error, reason);
    }
}

impl ConsumerContext for MemberContext {
    /// Notes the event instead of acting: the worker finishes its batch and commits first.
    /// Meanwhile librdkafka pauses what is assigned and keeps up the heartbeat.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, err: RDKafkaRespErr, list: &mut TopicPartitionList) {
        // librdkafka drops every question to a group that has ended, and the asker waits for ever.
        if consumer.closed() {
            return;
        }
        let assigned = err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        self.rebalances().confirmed |= assigned;
        // The cooperative protocol often assigns nothing: no worker needs to hear of that.
        if self.closing.load(Ordering::Acquire) || list.count() == 0 {
            let done = if assigned { add(consumer, list) } else { remove(consumer, list) };
            if let Err(e) = done {
                self.troubles.note(&e, "while answering a rebalance");
            }
            return;
        }
        let parts = partitions(list);
        let mut rebalances = self.rebalances();
        rebalances.owed.push_back(if assigned {
            Owed::Assign(parts.clone())
        } else {
            Owed::Release(parts.clone())
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
pub(super) struct OutboxContext {
    /// The first delivery that failed since it was last taken.
    failure: Mutex<Option<String>>,
    pub troubles: Troubles,
    pub statistics: Mutex<ClientStatistics>,
}

impl OutboxContext {
    pub fn take_failure(&self) -> Option<String> {
        lock(&self.failure).take()
    }
}

impl ClientContext for OutboxContext {
    fn stats(&self, statistics: Statistics) {
        *lock(&self.statistics) = super::statistics::of(&statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.troubles.note(&error, reason);
    }
}

impl ProducerContext for OutboxContext {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        use rdkafka::Message;
        if let Err((error, message)) = result {
            lock(&self.failure).get_or_insert_with(|| format!("a record for {}: {error}", message.topic()));
        }
    }
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

/// A callback that panicked has left nothing half done: each only pushes or replaces.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
