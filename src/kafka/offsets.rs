//! Questions about offsets. Each is for many partitions at once, with one request to each broker. It is asked again
//! while a broker that has just started does not know its partitions yet.

use super::consumer::{ANSWER_TIMEOUT, is};
use super::context::{self, ConsumingContext};
use super::divergence::{self, Comparison, Lineage, LogPosition};
use super::error::{Error, is_transient};
use crate::domain::{LeaderEpoch, Offset, TopicPartition};
use rdkafka::bindings::{rd_kafka_get_watermark_offsets, rd_kafka_topic_partition_get_leader_epoch};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::types::{RDKafkaErrorCode as Code, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset as RawOffset, TopicPartitionList};
use std::ffi::CString;
use std::time::{Duration, Instant};

/// After this time without the committed offsets it is found out whether an open transaction holds them.
const STABLE_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a new client may take for its first answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause before a question is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// A group's committed offset of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next record to read.
    pub next: Offset,
    /// The metadata committed beside it; empty without any, or when it is not text.
    pub note: String,
}

/// A partition's low and high watermark: its first offset, and the one after its last committed record.
pub type Watermarks = (Offset, Offset);

const ASKING_FOR_OFFSETS: &str = "asking for offsets";

type Found = Vec<(TopicPartition, Option<CommittedOffset>)>;

/// Asks brokers about offsets over a member's consumer.
pub(super) struct OffsetQueries<'a> {
    pub consumer: &'a BaseConsumer<ConsumingContext>,
    pub brokers: &'a str,
    /// The consumer's properties.
    pub settings: &'a ClientConfig,
}

impl OffsetQueries<'_> {
    pub fn marks(&self, parts: &[TopicPartition]) -> Result<Found, Error> {
        let doing = "asking for committed offsets";
        let list = context::list(parts.iter().map(|tp| (tp, RawOffset::Invalid)));
        let question = |list, wait| self.consumer.committed_offsets(list, wait);
        let answer = match self.ask(doing, &list, STABLE_TIMEOUT, question) {
            Err(e) if e.is_transient() && self.are_held(&list) => {
                let parts = parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
                let reason = format!(
                    "an open transaction holds the offsets of {parts}; its producer, or the broker after \
                     transaction.timeout.ms, has to end it first"
                );
                return Err(Error::NotYet { doing, reason });
            }
            Err(e) if e.is_transient() => self.ask(doing, &list, ANSWER_TIMEOUT, question)?,
            answer => answer?,
        };
        found(doing, parts, &answer)
    }

    /// Whether the coordinator answers at once when it may say what an open transaction is about to change. librdkafka
    /// itself only asks again and again, and does not say why.
    fn are_held(&self, list: &TopicPartitionList) -> bool {
        let mut settings = self.settings.clone();
        settings.set("isolation.level", "read_uncommitted").set("statistics.interval.ms", "0");
        let Ok(reader) = settings.create_with_context::<_, BaseConsumer<_>>(ConsumingContext::default())
        else {
            return false;
        };
        // The first answer needs a connection.
        let answers = |wait| reader.committed_offsets(list.clone(), wait).is_ok();
        answers(PROBE_TIMEOUT) && answers(STABLE_TIMEOUT / 2)
    }

    pub fn ends(&self, parts: &[TopicPartition]) -> Result<Vec<(TopicPartition, Watermarks)>, Error> {
        // Two requests, as one can't name a partition twice (KAFKA-1588).
        let first = self.at(parts, parts.iter().map(|tp| (tp, RawOffset::Beginning)))?;
        let next = self.at(parts, parts.iter().map(|tp| (tp, RawOffset::End)))?;
        let nothing = Offset(0);
        Ok(first
            .into_iter()
            .zip(next)
            .map(|((tp, low), (_, high))| {
                let [low, high] = [low, high].map(|mark| mark.map(|mark| mark.next));
                (tp, (low.unwrap_or(nothing), high.or(low).unwrap_or(nothing)))
            })
            .collect())
    }

    fn at<'a>(
        &self,
        parts: &[TopicPartition],
        places: impl Iterator<Item = (&'a TopicPartition, RawOffset)>,
    ) -> Result<Found, Error> {
        found(ASKING_FOR_OFFSETS, parts, &self.offsets(places)?)
    }

    fn offsets<'a>(
        &self,
        places: impl Iterator<Item = (&'a TopicPartition, RawOffset)>,
    ) -> Result<TopicPartitionList, Error> {
        self.ask(ASKING_FOR_OFFSETS, &context::list(places), ANSWER_TIMEOUT, |list, wait| {
            self.consumer.offsets_for_times(list, wait)
        })
    }

    /// What the leaders say about these positions, in their order. Where they say that a log may have lost its end, a
    /// consumer with `settings` finds out where.
    pub fn lineages(&self, settings: &ClientConfig, places: &[LogPosition]) -> Result<Vec<Lineage>, Error> {
        let answer = self.offsets(places.iter().map(|place| (&place.at, RawOffset::End)))?;
        let epochs = places.iter().map(|place| leader_epoch(&answer, &place.at)).collect::<Vec<_>>();
        let pairs = places.iter().zip(&epochs);
        let suspects: Vec<_> = pairs
            .filter(|(place, now)| divergence::is_suspect(place, **now))
            .map(|(place, _)| place)
            .collect();
        let found = divergence::compare(settings, self.brokers, &suspects)?;
        let lineage = |(place, epoch): (&LogPosition, Option<LeaderEpoch>)| {
            let goes_on = found.iter().find(|(at, _)| *at == place.at).map(|(_, offset)| *offset);
            let comparison = match goes_on {
                None => Comparison::None,
                Some(offset) if offset < place.next => Comparison::Diverges(offset),
                Some(_) => Comparison::Same,
            };
            Lineage { epoch, comparison }
        };
        Ok(places.iter().zip(epochs).map(lineage).collect())
    }

    /// The high watermark of the newest fetch. No request is made.
    pub fn high_watermark(&self, tp: &TopicPartition) -> Option<Offset> {
        let topic = CString::new(&*tp.topic).ok()?;
        let (mut low, mut high) = (-1, -1);
        // SAFETY: the client lives; librdkafka copies the name and writes two integers.
        let answer = unsafe {
            rd_kafka_get_watermark_offsets(
                self.consumer.client().native_ptr(),
                topic.as_ptr(),
                tp.partition.0,
                &raw mut low,
                &raw mut high,
            )
        };
        let known = answer == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0;
        known.then_some(Offset(high))
    }

    fn ask(
        &self,
        doing: &'static str,
        list: &TopicPartitionList,
        within: Duration,
        question: impl Fn(TopicPartitionList, Duration) -> KafkaResult<TopicPartitionList>,
    ) -> Result<TopicPartitionList, Error> {
        if list.count() == 0 {
            return Ok(TopicPartitionList::new());
        }
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = question(list.clone(), left).and_then(|answer| {
                answer
                    .elements()
                    .iter()
                    .try_for_each(rdkafka::topic_partition_list::TopicPartitionListElem::error)?;
                Ok(answer)
            });
            let error = match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match error.rdkafka_error_code() {
                Some(code) if is_worth_a_retry(code) && !left.is_zero() => {
                    std::thread::sleep(RETRY_PAUSE.min(left));
                }
                Some(code) if is_worth_a_retry(code) => {
                    return Err(Error::Unreachable {
                        brokers: self.brokers.to_owned(),
                        waited: within,
                        reason: self
                            .consumer
                            .context()
                            .troubles
                            .newest()
                            .unwrap_or_else(|| error.to_string()),
                    });
                }
                _ => return Err(Error::of(doing, &error)),
            }
        }
    }
}

/// Whether the question may be answered later.
fn is_worth_a_retry(code: Code) -> bool {
    is_transient(code)
        // A broker that has just started, or one that has not yet heard of the topic.
        || matches!(code, Code::UnknownTopicOrPartition | Code::UnknownPartition)
        // Under KIP-848, until the member has joined again.
        || matches!(code, Code::UnknownMemberId | Code::FencedMemberEpoch)
}

/// The metadata of an element. rdkafka's own accessor panics on bytes that are not text, and any tool may have
/// committed them.
fn note(list: &TopicPartitionList, at: usize) -> String {
    assert!(at < list.count(), "the list has {} elements", list.count());
    // SAFETY: the list lives, and has this element; its metadata is null or has `metadata_size` bytes.
    unsafe {
        let element = &*(*list.ptr()).elems.add(at);
        if element.metadata.is_null() {
            return String::new();
        }
        let bytes = std::slice::from_raw_parts(element.metadata.cast::<u8>(), element.metadata_size);
        std::str::from_utf8(bytes).unwrap_or_default().to_owned()
    }
}

/// The leader epoch of a partition in an answer.
fn leader_epoch(list: &TopicPartitionList, at: &TopicPartition) -> Option<LeaderEpoch> {
    let place = list.elements().iter().position(|element| is(element, at))?;
    // SAFETY: the list lives and has this element.
    let epoch = unsafe { rd_kafka_topic_partition_get_leader_epoch((*list.ptr()).elems.add(place)) };
    (epoch >= 0).then_some(LeaderEpoch(epoch))
}

/// The broker's answer for each of `parts`, in their order.
fn found(doing: &'static str, parts: &[TopicPartition], answer: &TopicPartitionList) -> Result<Found, Error> {
    parts
        .iter()
        .map(|tp| {
            let nothing = || Error::Failed { doing, reason: format!("no answer for {tp}") };
            let (at, element) = answer
                .elements()
                .into_iter()
                .enumerate()
                .find(|(_, element)| is(element, tp))
                .ok_or_else(nothing)?;
            let mark = match element.offset() {
                RawOffset::Offset(next) => {
                    Some(CommittedOffset { next: Offset(next), note: note(answer, at) })
                }
                _ => None,
            };
            Ok((tp.clone(), mark))
        })
        .collect()
}
