use crate::codec;
use crate::domain::{EventTime, Offset, Partition, SourcePosition};
use rdkafka::Message;
use rdkafka::bindings::{rd_kafka_header_get_all, rd_kafka_message_headers};
use rdkafka::message::BorrowedMessage;
use rdkafka::types::{RDKafkaMessage, RDKafkaRespErr};
use std::ffi::CStr;
use std::marker::PhantomData;
use std::ptr;

/// A record as librdkafka holds it: nothing is copied.
#[derive(Clone, Copy)]
pub struct Polled<'a> {
    pub topic: &'a str,
    pub partition: Partition,
    pub offset: Offset,
    /// The record's own time; `None` when it has none or one outside the sane range.
    pub time: Option<EventTime>,
    pub key: Option<&'a [u8]>,
    /// `None` for a tombstone.
    pub payload: Option<&'a [u8]>,
    pub headers: Headers<'a>,
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
        }
    }

    pub fn position(&self) -> SourcePosition<'a> {
        SourcePosition { topic: self.topic, partition: self.partition, offset: self.offset }
    }

    /// The record as a decoder reads it.
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

/// A record's headers. librdkafka parses them when they are first asked for, so they cost nothing
/// where nobody asks. Names are bytes: rdkafka's own accessor panics on a name that is not UTF-8,
/// and a producer's mistake must not end the daemon.
#[derive(Clone, Copy)]
pub struct Headers<'a> {
    message: *const RDKafkaMessage,
    borrowed: PhantomData<&'a RDKafkaMessage>,
}

impl codec::Headers for Headers<'_> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        Headers::get(self, name)
    }
}

impl<'a> Headers<'a> {
    /// The value of the last header of this name; an absent value is an empty one.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().filter(|(n, _)| *n == name.as_bytes()).last().map(|(_, value)| value)
    }

    /// Names and values in the record's order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut headers = ptr::null_mut();
        // SAFETY: the message lives for 'a, and its headers with it.
        let found = unsafe { rd_kafka_message_headers(self.message, &mut headers) };
        let present = found == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && !headers.is_null();
        (0..).map_while(move |index| {
            if !present {
                return None;
            }
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            // SAFETY: `headers` is the message's own; past its end the call fails and writes nothing.
            let got = unsafe { rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut size) };
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

/// A record of one's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub topic: String,
    pub partition: Partition,
    pub offset: Offset,
    pub time: Option<EventTime>,
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}
