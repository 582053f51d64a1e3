use crate::codec;
use crate::domain::{EventTime, LeaderEpoch, Offset, Partition, SourcePosition};
use rdkafka::Message;
use rdkafka::bindings::{rd_kafka_header_get_all, rd_kafka_message_headers, rd_kafka_message_leader_epoch};
use rdkafka::message::BorrowedMessage;
use rdkafka::types::{RDKafkaMessage, RDKafkaRespErr};
use std::ffi::CStr;
use std::marker::PhantomData;
use std::ptr;

/// A record in librdkafka's memory; nothing is copied.
#[derive(Clone, Copy)]
pub struct Polled<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its partition.
    pub partition: Partition,
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp; `None` without one or when it is outside the sane range.
    pub time: Option<EventTime>,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its payload; `None` for a tombstone.
    pub payload: Option<&'a [u8]>,
    /// Its headers.
    pub headers: Headers<'a>,
    /// The epoch of the leader that wrote it. Brokers before 0.11 have none.
    pub leader_epoch: Option<LeaderEpoch>,
}

impl<'a> Polled<'a> {
    pub(super) fn of(message: &'a BorrowedMessage<'_>) -> Self {
        let millis = message.timestamp().to_millis();
        Self {
            topic: message.topic(),
            partition: Partition(message.partition()),
            offset: Offset(message.offset()),
            time: millis.and_then(|ms| ms.checked_mul(1_000)).and_then(|us| EventTime::from_micros(us).ok()),
            key: message.key(),
            payload: message.payload(),
            headers: Headers { message: message.ptr(), borrowed: PhantomData },
            leader_epoch: leader_epoch(message),
        }
    }

    /// Where it lies.
    pub fn position(&self) -> SourcePosition<'a> {
        SourcePosition { topic: self.topic, partition: self.partition, offset: self.offset }
    }

    /// The record in the form that a decoder reads.
    pub fn as_source(&self) -> codec::Record<'_> {
        codec::Record {
            topic: self.topic,
            partition: self.partition,
            offset: self.offset,
            key: self.key,
            timestamp: self.time,
            payload: self.payload,
            headers: &self.headers,
        }
    }

    /// A copy that outlives the poll.
    pub fn to_record(&self) -> Record {
        Record {
            topic: self.topic.to_owned(),
            partition: self.partition,
            offset: self.offset,
            time: self.time,
            key: self.key.map(<[u8]>::to_vec),
            payload: self.payload.map(<[u8]>::to_vec),
            headers: self
                .headers
                .iter()
                .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.to_vec()))
                .collect(),
        }
    }
}

fn leader_epoch(message: &BorrowedMessage<'_>) -> Option<LeaderEpoch> {
    // SAFETY: the message lives.
    let epoch = unsafe { rd_kafka_message_leader_epoch(message.ptr()) };
    (epoch >= 0).then_some(LeaderEpoch(epoch))
}

/// A record's headers. librdkafka parses them when they are first read, so unread ones cost nothing. Names are bytes,
/// because rdkafka's own accessor panics on a name that is not UTF-8, and a producer's mistake must not end the
/// daemon.
#[derive(Clone, Copy)]
pub struct Headers<'a> {
    message: *const RDKafkaMessage,
    borrowed: PhantomData<&'a RDKafkaMessage>,
}

impl codec::Headers for Headers<'_> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        Headers::get(self, name)
    }

    fn for_each(&self, each: &mut dyn FnMut(&str, &[u8])) {
        let named = self.iter().filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, value)));
        named.for_each(|(name, value)| each(name, value));
    }
}

impl<'a> Headers<'a> {
    /// The value of the last header of this name. A null value counts as empty.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().filter(|(n, _)| *n == name.as_bytes()).last().map(|(_, value)| value)
    }

    /// Names and values in the record's order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut headers = ptr::null_mut();
        // SAFETY: the message lives for 'a, and its headers with it.
        let found = unsafe { rd_kafka_message_headers(self.message, &raw mut headers) };
        let present = found == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && !headers.is_null();
        (0..).map_while(move |index| {
            if !present {
                return None;
            }
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            // SAFETY: `headers` is the message's own; past its end the call fails and writes nothing.
            let got = unsafe {
                rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut size)
            };
            if got != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return None;
            }
            // SAFETY: librdkafka gives a terminated name, and `size` bytes or no value at all.
            unsafe {
                let name = CStr::from_ptr(name).to_bytes();
                let value = if value.is_null() {
                    &[][..]
                } else {
                    std::slice::from_raw_parts(value.cast::<u8>(), size)
                };
                Some((name, value))
            }
        })
    }
}

/// A copy of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: Partition,
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp; `None` without one or when it is outside the sane range.
    pub time: Option<EventTime>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its payload; `None` for a tombstone.
    pub payload: Option<Vec<u8>>,
    /// Its headers, names and values.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    /// The record in the form that a decoder reads.
    pub fn as_source(&self) -> codec::Record<'_> {
        codec::Record {
            topic: &self.topic,
            partition: self.partition,
            offset: self.offset,
            key: self.key.as_deref(),
            timestamp: self.time,
            payload: self.payload.as_deref(),
            headers: &self.headers,
        }
    }
}
