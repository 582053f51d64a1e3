//! Whether each topic is still the one from which a member began to read.
//!
//! A topic that is deleted and created again has the same name and another id. Offsets do not distinguish the two. When
//! the new log already holds a consumer's position, librdkafka reads on from there without an error and skips all
//! records before it. (librdkafka 2.12 knows the id, but does not reset the offset.)
//!
//! So a broker is asked for the ids, in parallel to the polls: every few seconds, and with each commit while it waits
//! for its acknowledgements. When the answer to a request that was sent after a poll has the old id, everything polled
//! counts as the old log's.
//!
//! A commit asks over the producer's connections. A broker answers the requests of a connection one after the other, and
//! over the consumer's the answer would wait behind a fetch for new records, which takes up to `fetch.wait.max.ms`.
//!
//! That is right as long as the broker that is asked does not lag behind the partitions' leaders. Brokers learn of a
//! change one after the other, usually within milliseconds. While this one lags, records of the new log can be
//! committed under offsets of the old one. The metadata beside these offsets still has the old id, so the new log is
//! read from its beginning once the broker knows it: those records are answered twice, and no record is skipped. Asking
//! the leader of each partition would avoid this, at the price of one request to each broker for each commit.
//! docs/delivery.md says what happens when a leader lags instead.

use super::context::ConsumingContext;
use super::error::{Error, is_refused};
use super::producing_client::Client;
use super::topics::{DescribeRequest, TRY_TIMEOUT, TopicDescriptions, TopicState};
use crate::domain::{Offset, TopicPartition};
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a broker is asked between commits, because a topic without new records has no commits.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// The longest wait for an answer. Who asks has other work, and asks again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// What a consumer knows about the topics that it reads.
#[derive(Default)]
pub(super) struct TopicWatch {
    /// Each partition's topic at the start of reading.
    read: BTreeMap<TopicPartition, TopicState>,
    /// The broker that is asked. It is always the same one, because brokers learn of a change one after the other. It
    /// leads a partition if such a broker could be found. While it is unknown, librdkafka asks the controller.
    broker: Option<i32>,
    /// The periodic request that waits for its answer.
    look: Option<DescribeRequest>,
    looked_at: Option<Instant>,
    /// The answers since [`TopicQueries::newest_topics`] was last called.
    newest: TopicDescriptions,
}

impl TopicWatch {
    fn topics(&self) -> BTreeSet<Arc<str>> {
        self.read.keys().map(|at| at.topic.clone()).collect()
    }

    /// The partitions whose topic is another one according to the answer.
    fn changed(&mut self, answer: TopicDescriptions) -> Vec<TopicPartition> {
        let same = |at: &TopicPartition, then: TopicState| match (then, answer.of(at)) {
            (_, None) | (TopicState::Absent, Some(TopicState::Absent)) => true,
            (TopicState::Absent, Some(_)) | (_, Some(TopicState::Absent)) => false,
            // A broker without ids can't tell whether the topic is another one.
            (TopicState::Present(then), Some(TopicState::Present(now))) => {
                then.is_none() || now.is_none() || then == now
            }
        };
        let changed = self.read.iter().filter(|(at, then)| !same(at, **then));
        let changed = changed.map(|(at, _)| at.clone()).collect();
        self.newest.update(answer);
        changed
    }
}

/// What was asked for a commit, over the connections of a producer.
pub(super) struct LogQuestion<'p> {
    request: DescribeRequest,
    producer: PhantomData<&'p Client>,
}

/// Asks brokers about topics over a member's consumer, or for a commit over its producer.
pub(super) struct TopicQueries<'a> {
    pub watch: &'a RefCell<TopicWatch>,
    pub consumer: &'a BaseConsumer<ConsumingContext>,
    pub brokers: &'a str,
}

impl TopicQueries<'_> {
    /// What a broker says about these topics. The request is repeated while brokers come and go.
    pub fn topics(&self, names: &BTreeSet<Arc<str>>) -> Result<TopicDescriptions, Error> {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        // Each try finds its broker by another topic, because some topics may be gone.
        for by in names.iter().cycle() {
            self.choose_broker(by);
            let left = deadline.saturating_duration_since(Instant::now());
            let reason = match self.ask_topics(names, self.watch.borrow().broker).wait(TRY_TIMEOUT.min(left))
            {
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(code)) if is_refused(code) => {
                    return Err(Error::of_code("asking for topics", code, code.to_string()));
                }
                Some(Err(code)) => code.to_string(),
                None => "no answer about topics".to_owned(),
            };
            self.watch.borrow_mut().broker = None;
            if Instant::now() >= deadline {
                let reason = self.consumer.context().troubles.newest().unwrap_or(reason);
                let (brokers, waited) = (self.brokers.to_owned(), ANSWER_TIMEOUT);
                return Err(Error::Unreachable { brokers, waited, reason });
            }
            std::thread::sleep(RETRY_PAUSE);
        }
        Ok(TopicDescriptions::default())
    }

    /// Chooses a broker that leads a partition of this topic, or else any broker.
    fn choose_broker(&self, by: &str) {
        if self.watch.borrow().broker.is_some() {
            return;
        }
        // For one topic, because without a name the answer would hold every topic of the cluster.
        let Ok(metadata) = self.consumer.fetch_metadata(Some(by), TRY_TIMEOUT) else { return };
        let partitions = metadata.topics().iter().flat_map(rdkafka::metadata::MetadataTopic::partitions);
        let leader = partitions.map(rdkafka::metadata::MetadataPartition::leader).find(|id| *id >= 0);
        let any = metadata.brokers().first().map(rdkafka::metadata::MetadataBroker::id);
        self.watch.borrow_mut().broker = leader.or(any);
    }

    /// States a partition's topic, until the partition is released.
    pub fn reads(&self, at: TopicPartition, topic: TopicState) {
        let mut watch = self.watch.borrow_mut();
        watch.read.insert(at, topic);
        // The answer to an earlier request may describe an earlier state.
        watch.look = None;
    }

    pub fn reads_no_more(&self, parts: &[TopicPartition]) {
        self.watch.borrow_mut().read.retain(|at, _| !parts.contains(at));
    }

    /// Partitions whose topic is gone, is another one or exists again, by an answer since the last call. Never
    /// waits.
    pub fn remade(&self) -> Vec<TopicPartition> {
        let mut watch = self.watch.borrow_mut();
        if let Some(look) = &mut watch.look {
            let answer = look.wait(Duration::ZERO);
            let is_over = answer.is_some() || watch.looked_at.is_none_or(|at| at.elapsed() > 2 * TRY_TIMEOUT);
            if is_over {
                watch.look = None;
            }
            if is_over && !matches!(answer, Some(Ok(_))) {
                watch.broker = None;
            }
            // Without an answer the request is repeated later.
            return answer.and_then(Result::ok).map(|answer| watch.changed(answer)).unwrap_or_default();
        }
        if !watch.read.is_empty() && watch.looked_at.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            watch.looked_at = Some(Instant::now());
            watch.look = Some(self.ask_topics(&watch.topics(), watch.broker));
        }
        Vec::new()
    }

    /// What brokers have said since the last call about the topics that are read. No request is made.
    pub fn newest_topics(&self) -> TopicDescriptions {
        std::mem::take(&mut self.watch.borrow_mut().newest)
    }

    /// Asks for the topics of these positions, over a producer's connections. [`Self::same_logs`] waits for the answer.
    pub fn ask_logs<'p>(
        &self,
        producer: &'p Client,
        positions: &[(TopicPartition, Offset)],
    ) -> Option<LogQuestion<'p>> {
        let watch = self.watch.borrow();
        let known = positions.iter().filter(|(at, _)| watch.read.contains_key(at));
        let topics: BTreeSet<Arc<str>> = known.map(|(at, _)| at.topic.clone()).collect();
        if topics.is_empty() {
            return None;
        }
        // SAFETY: the question borrows the producer, which therefore outlives it.
        let request = unsafe { DescribeRequest::ask(producer.client().native_ptr(), topics, watch.broker) };
        Some(LogQuestion { request, producer: PhantomData })
    }

    /// Checks that the topic of every partition is still the one that was read first. The error says what changed, or
    /// that there was no answer.
    pub fn same_logs(&self, question: Option<LogQuestion<'_>>, deadline: Instant) -> Result<(), String> {
        let Some(LogQuestion { request: mut question, .. }) = question else { return Ok(()) };
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match question.wait(TRY_TIMEOUT.min(left)) {
                Some(Ok(answer)) => {
                    return match self.watch.borrow_mut().changed(answer).first() {
                        Some(at) => Err(format!("the topic of {at} is gone or another one")),
                        None => Ok(()),
                    };
                }
                Some(Err(code)) if left.is_zero() => return Err(format!("asking for topics: {code}")),
                None if left.is_zero() => return Err("no answer about topics".to_owned()),
                Some(Err(_)) | None => {
                    std::thread::sleep(RETRY_PAUSE.min(left));
                    // Another broker may know more.
                    self.watch.borrow_mut().broker = None;
                    question = self.ask_topics(&question.names, None);
                }
            }
        }
    }

    fn ask_topics(&self, names: &BTreeSet<Arc<str>>, broker: Option<i32>) -> DescribeRequest {
        // SAFETY: a request lives in the member's watch, which is dropped before its consumer is, or in a commit,
        // during which the member is borrowed.
        unsafe { DescribeRequest::ask(self.consumer.client().native_ptr(), names.clone(), broker) }
    }
}
