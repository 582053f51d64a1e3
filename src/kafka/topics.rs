//! Which log each topic's name stands for now.
//!
//! A topic that is deleted and made anew under its name has another id. Offsets alone don't tell the two
//! apart: where the new log holds a consumer's position already, librdkafka goes on there without a word and
//! passes over all that lies before (2.12 knows the id, and leaves "an offset reset must be triggered" as a
//! note to itself).
//!
//! So a broker is asked for the ids, over the consumer's own connections and beside its polls: every few
//! seconds, and with each commit, while the commit waits for its acknowledgements. When an answer to a
//! question that was asked after a poll names the old id, all that was polled is taken to be of the old log.
//!
//! That is right as long as the broker that is asked does not lag behind the partitions' leaders. Brokers hear
//! of a change one after the other, commonly within milliseconds. While this one lags, records of the new log
//! can be committed under offsets of the old one. The note beside these offsets still bears the old id, so the
//! new log is read from its beginning once the broker knows it: those records are answered twice, and none is
//! passed over. To ask the leader of each partition would close this, at one request to each broker for each
//! commit. docs/architecture.md says what happens where a leader lags instead.

use super::error::{Error, is_refused};
use super::member::Member;
use crate::domain::{Offset, TopicId, TopicPartition};
use rdkafka::bindings::{
    rd_kafka_AdminOptions_destroy, rd_kafka_AdminOptions_new, rd_kafka_AdminOptions_set_broker,
    rd_kafka_AdminOptions_set_request_timeout, rd_kafka_DescribeTopics,
    rd_kafka_DescribeTopics_result_topics, rd_kafka_TopicCollection_destroy,
    rd_kafka_TopicCollection_of_topic_names, rd_kafka_TopicDescription_error, rd_kafka_TopicDescription_name,
    rd_kafka_TopicDescription_partitions, rd_kafka_TopicDescription_t, rd_kafka_TopicDescription_topic_id,
    rd_kafka_Uuid_least_significant_bits, rd_kafka_Uuid_most_significant_bits, rd_kafka_admin_op_t,
    rd_kafka_error_code, rd_kafka_event_DescribeTopics_result, rd_kafka_event_destroy, rd_kafka_event_error,
    rd_kafka_event_t, rd_kafka_queue_destroy, rd_kafka_queue_new, rd_kafka_queue_poll, rd_kafka_queue_t,
    rd_kafka_t,
};
use rdkafka::consumer::Consumer;
use rdkafka::error::IsError;
use rdkafka::types::{RDKafkaErrorCode as Code, RDKafkaRespErr};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a broker is asked without a commit: a topic without new records has none.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// A question without an answer is asked again after this time, perhaps of another broker.
const TRY_TIMEOUT: Duration = Duration::from_secs(5);
/// A question is given up after this time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// What a broker says of a topic's name, or of a partition under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// There is no topic of this name, or it has no such partition.
    Absent,
    /// There is one. Brokers before 2.8 know no ids.
    Present(Option<TopicId>),
}

/// What a broker says of some topics.
#[derive(Debug, Default)]
pub struct Topics {
    /// By name: the topic, and how many partitions it has.
    found: BTreeMap<Arc<str>, (Topic, usize)>,
}

impl Topics {
    /// A partition's topic; `None` where the answer does not name it.
    pub fn of(&self, at: &TopicPartition) -> Option<Topic> {
        let (topic, partitions) = *self.found.get(&at.topic)?;
        let is_there = usize::try_from(at.partition.0).is_ok_and(|partition| partition < partitions);
        Some(if is_there { topic } else { Topic::Absent })
    }

    /// The ids of the topics that are there.
    pub fn ids(&self) -> impl Iterator<Item = (&Arc<str>, TopicId)> {
        self.found.iter().filter_map(|(name, (topic, _))| match topic {
            Topic::Present(Some(id)) => Some((name, *id)),
            _ => None,
        })
    }
}

/// By name: the topic, and how many partitions it has.
impl FromIterator<(Arc<str>, (Topic, usize))> for Topics {
    fn from_iter<T: IntoIterator<Item = (Arc<str>, (Topic, usize))>>(found: T) -> Self {
        Self { found: found.into_iter().collect() }
    }
}

/// What a member knows of the logs that it reads.
#[derive(Default)]
pub(super) struct Logs {
    /// What each partition's topic was when it was begun.
    read: BTreeMap<TopicPartition, Topic>,
    /// The broker that is asked: always the same one, as brokers hear of a change one after the other. It leads
    /// a partition if such a broker could be found. While none is known, librdkafka asks the controller.
    broker: Option<i32>,
    /// The question of now and then that is on its way.
    look: Option<Question>,
    looked_at: Option<Instant>,
    /// The answers since [`Member::newest_topics`] was last called.
    newest: Topics,
}

impl Logs {
    fn topics(&self) -> BTreeSet<Arc<str>> {
        self.read.keys().map(|at| at.topic.clone()).collect()
    }

    /// The partitions of which an answer says that their topic is another one than they are read from.
    fn changed(&mut self, answer: Topics) -> Vec<TopicPartition> {
        let same = |at: &TopicPartition, then: Topic| match (then, answer.of(at)) {
            (_, None) | (Topic::Absent, Some(Topic::Absent)) => true,
            (Topic::Absent, Some(_)) | (_, Some(Topic::Absent)) => false,
            // A broker that knows no ids can't say whether the topic is another one.
            (Topic::Present(then), Some(Topic::Present(now))) => {
                then.is_none() || now.is_none() || then == now
            }
        };
        let changed = self.read.iter().filter(|(at, then)| !same(at, **then));
        let changed = changed.map(|(at, _)| at.clone()).collect();
        self.newest.found.extend(answer.found);
        changed
    }
}

impl Member {
    /// What each of these names stands for. The question is asked again while brokers come and go.
    pub fn topics(&self, names: &BTreeSet<Arc<str>>) -> Result<Topics, Error> {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        // Each try may find its broker by another name, as some may be gone.
        for by in names.iter().cycle() {
            self.choose_broker(by);
            let left = deadline.saturating_duration_since(Instant::now());
            let reason = match self.ask_topics(names, self.logs.borrow().broker).wait(TRY_TIMEOUT.min(left)) {
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(code)) if is_refused(code) => {
                    return Err(Error::of_code("asking for topics", code, code.to_string()));
                }
                Some(Err(code)) => code.to_string(),
                None => "no answer about topics".to_owned(),
            };
            self.logs.borrow_mut().broker = None;
            if Instant::now() >= deadline {
                let reason = self.troubles().newest().unwrap_or(reason);
                let (brokers, waited) = (self.brokers.clone(), ANSWER_TIMEOUT);
                return Err(Error::Unreachable { brokers, waited, reason });
            }
            std::thread::sleep(RETRY_PAUSE);
        }
        Ok(Topics::default())
    }

    /// Finds a broker that leads a partition of this topic, or else any.
    fn choose_broker(&self, by: &str) {
        if self.logs.borrow().broker.is_some() {
            return;
        }
        // Of one topic: without a name the answer would hold every topic of the cluster.
        let Ok(metadata) = self.consumer.fetch_metadata(Some(by), TRY_TIMEOUT) else { return };
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        let leader = partitions.map(|p| p.leader()).find(|id| *id >= 0);
        let any = metadata.brokers().first().map(|broker| broker.id());
        self.logs.borrow_mut().broker = leader.or(any);
    }

    /// Notes what a partition's topic is, from now on and until the partition is released.
    pub fn reads(&self, at: TopicPartition, topic: Topic) {
        let mut logs = self.logs.borrow_mut();
        logs.read.insert(at, topic);
        // The answer to an earlier question may describe an earlier state.
        logs.look = None;
    }

    pub fn reads_no_more(&self, parts: &[TopicPartition]) {
        self.logs.borrow_mut().read.retain(|at, _| !parts.contains(at));
    }

    /// Partitions whose topic is gone, is another one or is there again, by an answer that has come since the
    /// last call. Never waits.
    pub fn remade(&self) -> Vec<TopicPartition> {
        let mut logs = self.logs.borrow_mut();
        if let Some(look) = &mut logs.look {
            let answer = look.wait(Duration::ZERO);
            let is_over = answer.is_some() || logs.looked_at.is_none_or(|at| at.elapsed() > 2 * TRY_TIMEOUT);
            if is_over {
                logs.look = None;
            }
            if is_over && !matches!(answer, Some(Ok(_))) {
                logs.broker = None;
            }
            // Without an answer the question is asked again later.
            return answer.and_then(Result::ok).map(|answer| logs.changed(answer)).unwrap_or_default();
        }
        if !logs.read.is_empty() && logs.looked_at.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            logs.looked_at = Some(Instant::now());
            logs.look = Some(self.ask_topics(&logs.topics(), logs.broker));
        }
        Vec::new()
    }

    /// What brokers have said of the topics that are read, with commits and looks since the last call. Nothing
    /// is asked.
    pub fn newest_topics(&self) -> Topics {
        std::mem::take(&mut self.logs.borrow_mut().newest)
    }

    /// Asks which logs these positions are of; [`Self::same_logs`] hears the answer.
    pub fn ask_logs(&self, positions: &[(TopicPartition, Offset)]) -> Option<Question> {
        let logs = self.logs.borrow();
        let known = positions.iter().filter(|(at, _)| logs.read.contains_key(at));
        let topics: BTreeSet<Arc<str>> = known.map(|(at, _)| at.topic.clone()).collect();
        (!topics.is_empty()).then(|| self.ask_topics(&topics, logs.broker))
    }

    /// Whether all partitions are still read from the logs in which they were begun; else, or where nobody can
    /// say, the reason.
    pub fn same_logs(&self, question: Option<Question>, deadline: Instant) -> Result<(), String> {
        let Some(mut question) = question else { return Ok(()) };
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match question.wait(TRY_TIMEOUT.min(left)) {
                Some(Ok(answer)) => {
                    return match self.logs.borrow_mut().changed(answer).first() {
                        Some(at) => Err(format!("the topic of {at} is gone or another one")),
                        None => Ok(()),
                    };
                }
                Some(Err(code)) if left.is_zero() => return Err(format!("asking for topics: {code}")),
                None if left.is_zero() => return Err("no answer about topics".to_owned()),
                Some(Err(_)) | None => {
                    std::thread::sleep(RETRY_PAUSE.min(left));
                    // Another broker may know more.
                    self.logs.borrow_mut().broker = None;
                    question = self.ask_topics(&question.names, None);
                }
            }
        }
    }

    fn ask_topics(&self, names: &BTreeSet<Arc<str>>, broker: Option<i32>) -> Question {
        // SAFETY: a question lives in this member's `logs`, which is dropped before its consumer is, or in a
        // commit, during which the member is borrowed.
        unsafe { Question::ask(self.consumer.client().native_ptr(), names.clone(), broker) }
    }
}

/// A question that is on its way.
pub(super) struct Question {
    queue: *mut rd_kafka_queue_t,
    names: BTreeSet<Arc<str>>,
}

impl Question {
    /// # Safety
    /// The client lives for longer than the question.
    unsafe fn ask(client: *mut rd_kafka_t, names: BTreeSet<Arc<str>>, broker: Option<i32>) -> Self {
        let texts: Vec<CString> = names.iter().filter_map(|name| CString::new(&**name).ok()).collect();
        let mut pointers: Vec<*const c_char> = texts.iter().map(|text| text.as_ptr()).collect();
        let millis = i32::try_from(TRY_TIMEOUT.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the client lives; the names, options and what holds them are copied by the call that asks;
        // a timeout or broker that is refused leaves the client's own.
        let queue = unsafe {
            let queue = rd_kafka_queue_new(client);
            let options =
                rd_kafka_AdminOptions_new(client, rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
            rd_kafka_AdminOptions_set_request_timeout(options, millis, ptr::null_mut(), 0);
            if let Some(broker) = broker {
                rd_kafka_AdminOptions_set_broker(options, broker, ptr::null_mut(), 0);
            }
            let topics = rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            rd_kafka_DescribeTopics(client, topics, options, queue);
            rd_kafka_TopicCollection_destroy(topics);
            rd_kafka_AdminOptions_destroy(options);
            queue
        };
        Self { queue, names }
    }

    /// The answer; `None` when it has not come within this time. There is one answer to a question.
    fn wait(&mut self, within: Duration) -> Option<Result<Topics, Code>> {
        let millis = i32::try_from(within.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is this question's own, and its client lives.
        let event = unsafe { rd_kafka_queue_poll(self.queue, millis) };
        if event.is_null() {
            return None;
        }
        // SAFETY: the event is whole until it is destroyed, and nothing of it is kept.
        unsafe {
            let answer = self.read(event);
            rd_kafka_event_destroy(event);
            Some(answer)
        }
    }

    /// # Safety
    /// The event came from the queue and is not destroyed yet.
    unsafe fn read(&self, event: *mut rd_kafka_event_t) -> Result<Topics, Code> {
        let mut answer = Topics::default();
        // SAFETY: of a living event; topics live as long as it does, and there are `count` of them.
        unsafe {
            let error = rd_kafka_event_error(event);
            if error.is_error() {
                return Err(error.into());
            }
            let result = rd_kafka_event_DescribeTopics_result(event);
            if result.is_null() {
                return Ok(answer);
            }
            let mut count = 0;
            let topics = rd_kafka_DescribeTopics_result_topics(result, &mut count);
            for n in 0..count {
                let (name, topic, partitions) = topic(*topics.add(n))?;
                if let Some(name) = self.names.get(name.as_str()) {
                    answer.found.insert(name.clone(), (topic, partitions));
                }
            }
        }
        Ok(answer)
    }
}

/// # Safety
/// The description is one of a living event.
unsafe fn topic(description: *const rd_kafka_TopicDescription_t) -> Result<(String, Topic, usize), Code> {
    // SAFETY: names are terminated; an error and an id live as long as their description.
    unsafe {
        let name = CStr::from_ptr(rd_kafka_TopicDescription_name(description)).to_string_lossy().into_owned();
        let error = rd_kafka_TopicDescription_error(description);
        let code = if error.is_null() {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
        } else {
            rd_kafka_error_code(error)
        };
        match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {}
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART => return Ok((name, Topic::Absent, 0)),
            other => return Err(other.into()),
        }
        let id = rd_kafka_TopicDescription_topic_id(description);
        let half = |bits: i64| u128::from(bits as u64);
        let id = TopicId::new(
            half(rd_kafka_Uuid_most_significant_bits(id)) << 64
                | half(rd_kafka_Uuid_least_significant_bits(id)),
        );
        let mut partitions = 0;
        rd_kafka_TopicDescription_partitions(description, &mut partitions);
        Ok((name, Topic::Present(id), partitions))
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        // SAFETY: the queue is this question's own; an answer that comes later finds it closed.
        unsafe { rd_kafka_queue_destroy(self.queue) }
    }
}
