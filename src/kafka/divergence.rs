//! Where a log departs from the one that was read: it has lost its end, and other records were written in place of it.
//!
//! Offsets don't show this once the log has grown again. The epochs of its leaders do (KIP-320): the leader knows at
//! which offset each epoch ended. librdkafka asks it when a consumer seeks to an offset with the epoch of the record
//! before, and where the epoch ended earlier it goes on at that end. It says so only by the first record that comes. So a
//! consumer of its own seeks, and what it gets first is the answer.
//!
//! Within one epoch a log loses nothing. So only those partitions are asked of that have another leader epoch now.

use super::consumer::{ANSWER_TIMEOUT, is};
use super::context::{self, ConsumingContext};
use super::error::Error;
use crate::domain::{LeaderEpoch, Offset, Partition, TopicPartition};
use rdkafka::bindings::{
    rd_kafka_consumer_poll, rd_kafka_message_destroy, rd_kafka_message_leader_epoch, rd_kafka_topic_name,
    rd_kafka_topic_partition_set_leader_epoch,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset as RawOffset, TopicPartitionList};
use std::ffi::CStr;
use std::time::{Duration, Instant};

/// The pause before a seek is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
const DOING: &str = "comparing a log with what was read of it";

/// How far a log was read: the next record, and the epoch of the leader that wrote the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPosition {
    /// The partition.
    pub at: TopicPartition,
    /// The next record to read.
    pub next: Offset,
    /// The leader epoch of the last record that was read; `None` where it is not known.
    pub epoch: Option<LeaderEpoch>,
}

/// What a partition's leader says about a [`LogPosition`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// The present leader epoch; `None` where the broker has none.
    pub epoch: Option<LeaderEpoch>,
    /// Whether the log is the one that was read.
    pub comparison: Comparison,
}

/// Whether a log is the one that was read up to a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// It was not compared: the leader epoch is the same, or one of the two is not known.
    None,
    /// It is.
    Same,
    /// From this offset on, which lies before the position, it is another one.
    Diverges(Offset),
}

/// Whether the log may have lost its end since it was read up to `place`, given the present leader epoch.
pub(super) fn is_suspect(place: &LogPosition, now: Option<LeaderEpoch>) -> bool {
    // A lower epoch is one of a cluster that was set back. Its leader does not know those that came after it.
    place.next > Offset(0) && place.epoch.is_some() && place.epoch < now
}

/// Compares the logs of these positions, by a consumer that has these settings. Returns where each of them goes on.
pub(super) fn compare(
    settings: &ClientConfig,
    brokers: &str,
    places: &[&LogPosition],
) -> Result<Vec<(TopicPartition, Offset)>, Error> {
    let mut found = Vec::new();
    if places.is_empty() {
        return Ok(found);
    }
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    let consumer: BaseConsumer<ConsumingContext> =
        settings.create_with_context(ConsumingContext::default()).map_err(|e| Error::of(DOING, &e))?;
    // At the end, because an offset that is out of range would be reset.
    let ends = context::list(places.iter().map(|place| (&place.at, RawOffset::End)));
    consumer.assign(&ends).map_err(|e| Error::of(DOING, &e))?;
    let (mut unsought, mut waiting) = (places.to_vec(), Vec::new());
    while !unsought.is_empty() || !waiting.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let reason = consumer.context().troubles.newest().unwrap_or_else(|| "no answer".to_owned());
            return Err(Error::Unreachable { brokers: brokers.to_owned(), waited: ANSWER_TIMEOUT, reason });
        }
        seek(&consumer, &mut unsought, &mut waiting)?;
        // A partition accepts no seek before it is fetched from.
        let wait = if unsought.is_empty() { left } else { RETRY_PAUSE };
        let Some(Place { at, offset, epoch }) = poll(&consumer, wait)? else { continue };
        let Some(place) = waiting.extract_if(.., |place| place.at == at).next() else { continue };
        if offset < place.next && epoch.is_some_and(|epoch| Some(epoch) <= place.epoch) {
            // It is no answer, because this record is the one that was read.
            unsought.push(place);
        } else {
            found.push((at, offset));
        }
    }
    Ok(found)
}

/// Seeks to those places that can be sought by now.
fn seek<'a>(
    consumer: &BaseConsumer<ConsumingContext>,
    unsought: &mut Vec<&'a LogPosition>,
    waiting: &mut Vec<&'a LogPosition>,
) -> Result<(), Error> {
    if unsought.is_empty() {
        return Ok(());
    }
    let answer = consumer
        .seek_partitions(with_epochs(unsought), ANSWER_TIMEOUT)
        .map_err(|e| Error::NotYet { doing: DOING, reason: e.to_string() })?;
    let elements = answer.elements();
    let is_sought = |place: &LogPosition| elements.iter().any(|e| is(e, &place.at) && e.error().is_ok());
    waiting.extend(unsought.extract_if(.., |place| is_sought(place)));
    Ok(())
}

/// Where a record lies, or the end of a partition, which has no epoch.
struct Place {
    at: TopicPartition,
    offset: Offset,
    epoch: Option<LeaderEpoch>,
}

/// The next record or end. rdkafka's own poll does not tell at which offset a partition ends.
fn poll(consumer: &BaseConsumer<ConsumingContext>, wait: Duration) -> Result<Option<Place>, Error> {
    let millis = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client lives. The message is whole until it is destroyed, and so are its topic and the topic's name;
    // nothing of it is kept.
    unsafe {
        let message = rd_kafka_consumer_poll(consumer.client().native_ptr(), millis);
        if message.is_null() {
            return Ok(None);
        }
        let found = match (*message).err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR | RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF => {
                let topic = CStr::from_ptr(rd_kafka_topic_name((*message).rkt)).to_string_lossy();
                let is_record = (*message).err == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
                // Of an end this would be 0.
                let epoch = rd_kafka_message_leader_epoch(message);
                Ok(Some(Place {
                    at: TopicPartition { topic: topic.into(), partition: Partition((*message).partition) },
                    offset: Offset((*message).offset),
                    epoch: (is_record && epoch >= 0).then_some(LeaderEpoch(epoch)),
                }))
            }
            code => match Error::of_code(DOING, code.into(), RDKafkaErrorCode::from(code).to_string()) {
                Error::Failed { .. } | Error::NotYet { .. } => Ok(None),
                ends => Err(ends),
            },
        };
        rd_kafka_message_destroy(message);
        found
    }
}

fn with_epochs(places: &[&LogPosition]) -> TopicPartitionList {
    let list = context::list(places.iter().map(|place| (&place.at, RawOffset::Offset(place.next.0))));
    for (n, place) in places.iter().enumerate() {
        let epoch = place.epoch.map_or(-1, |epoch| epoch.0);
        // SAFETY: the list lives and has an element for each place.
        unsafe { rd_kafka_topic_partition_set_leader_epoch((*list.ptr()).elems.add(n), epoch) }
    }
    list
}
