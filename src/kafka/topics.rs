//! A broker's description of topics: which of them are there, with their ids.
//!
//! rdkafka does not offer Kafka's DescribeTopics, so it is called through librdkafka's C interface.

use crate::domain::{TopicId, TopicPartition};
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
use rdkafka::error::IsError;
use rdkafka::types::{RDKafkaErrorCode as Code, RDKafkaRespErr};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

/// A request without an answer fails after this time.
pub(super) const TRY_TIMEOUT: Duration = Duration::from_secs(5);

/// What a broker says about a topic, or about one of its partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicState {
    /// There is no topic of this name, or it has no such partition.
    Absent,
    /// It exists, with its id. Brokers before 2.8 have no ids.
    Present(Option<TopicId>),
}

/// What a broker says about some topics.
#[derive(Debug, Default)]
pub struct TopicDescriptions {
    /// By name: the topic, and how many partitions it has.
    found: BTreeMap<Arc<str>, (TopicState, usize)>,
}

impl TopicDescriptions {
    /// A partition's topic; `None` where the answer does not name it.
    pub fn of(&self, at: &TopicPartition) -> Option<TopicState> {
        let (topic, partitions) = *self.found.get(&at.topic)?;
        let is_there = usize::try_from(at.partition.0).is_ok_and(|partition| partition < partitions);
        Some(if is_there { topic } else { TopicState::Absent })
    }

    /// Takes over what a newer answer says.
    pub(super) fn update(&mut self, newer: Self) {
        self.found.extend(newer.found);
    }

    /// The ids of the topics that exist.
    pub fn ids(&self) -> impl Iterator<Item = (&Arc<str>, TopicId)> {
        self.found.iter().filter_map(|(name, (topic, _))| match topic {
            TopicState::Present(Some(id)) => Some((name, *id)),
            _ => None,
        })
    }
}

/// By name: the topic, and how many partitions it has.
impl FromIterator<(Arc<str>, (TopicState, usize))> for TopicDescriptions {
    fn from_iter<T: IntoIterator<Item = (Arc<str>, (TopicState, usize))>>(found: T) -> Self {
        Self { found: found.into_iter().collect() }
    }
}

/// A DescribeTopics request that was sent. Dropping it discards the answer.
pub(super) struct DescribeRequest {
    queue: *mut rd_kafka_queue_t,
    pub names: BTreeSet<Arc<str>>,
}

impl DescribeRequest {
    /// Asks `broker`, or the controller where it is `None`.
    ///
    /// # Safety
    /// The client lives for longer than the request.
    pub unsafe fn ask(client: *mut rd_kafka_t, names: BTreeSet<Arc<str>>, broker: Option<i32>) -> Self {
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

    /// The answer; `None` when it has not come within this time. A request gets one answer.
    pub fn wait(&mut self, within: Duration) -> Option<Result<TopicDescriptions, Code>> {
        let millis = i32::try_from(within.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is this request's own, and its client lives.
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
    unsafe fn read(&self, event: *mut rd_kafka_event_t) -> Result<TopicDescriptions, Code> {
        let mut answer = TopicDescriptions::default();
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
            let topics = rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
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
unsafe fn topic(
    description: *const rd_kafka_TopicDescription_t,
) -> Result<(String, TopicState, usize), Code> {
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
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART => {
                return Ok((name, TopicState::Absent, 0));
            }
            other => return Err(other.into()),
        }
        let id = rd_kafka_TopicDescription_topic_id(description);
        let half = |bits: i64| u128::from(bits as u64);
        let id = TopicId::new(
            half(rd_kafka_Uuid_most_significant_bits(id)) << 64
                | half(rd_kafka_Uuid_least_significant_bits(id)),
        );
        let mut partitions = 0;
        rd_kafka_TopicDescription_partitions(description, &raw mut partitions);
        Ok((name, TopicState::Present(id), partitions))
    }
}

impl Drop for DescribeRequest {
    fn drop(&mut self) {
        // SAFETY: the queue is this request's own; an answer that comes later finds it closed.
        unsafe { rd_kafka_queue_destroy(self.queue) }
    }
}
