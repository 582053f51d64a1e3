//! Hands records to librdkafka without what rdkafka allocates for each of them: a copy of the topic's name, and of the
//! name of each header.

use super::producing_client::Client;
use rdkafka::bindings::{
    rd_kafka_error_code, rd_kafka_error_destroy, rd_kafka_header_add, rd_kafka_headers_destroy,
    rd_kafka_headers_new, rd_kafka_last_error, rd_kafka_produceva, rd_kafka_topic_destroy,
    rd_kafka_topic_new, rd_kafka_vtype_t as Part, rd_kafka_vu_s as Value,
    rd_kafka_vu_s__bindgen_ty_1 as Content, rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 as Bytes,
};
use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaHeaders, RDKafkaTopic};
use std::ffi::CString;
use std::ptr::{self, NonNull};

/// librdkafka chooses the partition by the key.
const BY_KEY: i32 = -1;
/// `RD_KAFKA_MSG_F_COPY`: librdkafka copies key and payload.
const COPY: i32 = 0x2;

/// What is handed over. No payload makes a tombstone.
pub(super) struct Outgoing<'a> {
    pub topic: &'a str,
    pub partition: Option<i32>,
    pub key: Option<&'a [u8]>,
    pub payload: Option<&'a [u8]>,
    pub headers: &'a [(&'a str, &'a [u8])],
    /// In milliseconds; the present time where there is none.
    pub timestamp: Option<i64>,
}

/// librdkafka's objects of the topics that a producer writes to. With them it looks no topic up by its name for each
/// record, under a lock that all of its threads share.
///
/// They belong to one producer and have to be dropped before it.
#[derive(Default)]
pub(super) struct TopicHandles {
    /// The topic that was written to last comes first.
    topics: Vec<(Box<str>, NonNull<RDKafkaTopic>)>,
}

// SAFETY: librdkafka's topic objects may be used and destroyed from any thread.
unsafe impl Send for TopicHandles {}

impl TopicHandles {
    /// Hands a record to librdkafka, which copies all of it.
    pub fn produce(&mut self, client: &Client, record: &Outgoing<'_>) -> Result<(), KafkaError> {
        let topic = self.find_or_make(client, record.topic)?;
        let headers = HeaderList::of(record.headers);
        let part = |vtype, u| Value { vtype, u };
        let bytes = |bytes: Option<&[u8]>| Content {
            mem: Bytes {
                ptr: bytes.map_or(ptr::null_mut(), |b| b.as_ptr().cast_mut().cast()),
                size: bytes.map_or(0, <[u8]>::len),
            },
        };
        let parts = [
            part(Part::RD_KAFKA_VTYPE_RKT, Content { rkt: topic.as_ptr() }),
            part(Part::RD_KAFKA_VTYPE_PARTITION, Content { i32_: record.partition.unwrap_or(BY_KEY) }),
            part(Part::RD_KAFKA_VTYPE_MSGFLAGS, Content { i: COPY }),
            part(Part::RD_KAFKA_VTYPE_VALUE, bytes(record.payload)),
            part(Part::RD_KAFKA_VTYPE_KEY, bytes(record.key)),
            part(Part::RD_KAFKA_VTYPE_TIMESTAMP, Content { i64_: record.timestamp.unwrap_or(0) }),
            part(Part::RD_KAFKA_VTYPE_HEADERS, Content { headers: headers.0 }),
        ];
        // SAFETY: client and topic live, each part has the content of its type, and librdkafka copies what the
        // pointers show before it returns.
        let error = unsafe { rd_kafka_produceva(client.client().native_ptr(), parts.as_ptr(), parts.len()) };
        if error.is_null() {
            headers.hand_over();
            return Ok(());
        }
        // SAFETY: the error is this call's own, and is not used after it is destroyed.
        let code = unsafe {
            let code = rd_kafka_error_code(error);
            rd_kafka_error_destroy(error);
            code
        };
        Err(KafkaError::MessageProduction(code.into()))
    }

    fn find_or_make(&mut self, client: &Client, name: &str) -> Result<NonNull<RDKafkaTopic>, KafkaError> {
        match self.topics.iter().position(|(known, _)| **known == *name) {
            Some(at) => self.topics.swap(0, at),
            None => {
                let text = CString::new(name)?;
                // SAFETY: the client lives, and the default settings of topics are taken.
                let made = unsafe {
                    rd_kafka_topic_new(client.client().native_ptr(), text.as_ptr(), ptr::null_mut())
                };
                // SAFETY: only reads what the thread's last call has left.
                let why = || KafkaError::MessageProduction(unsafe { rd_kafka_last_error() }.into());
                self.topics.insert(0, (name.into(), NonNull::new(made).ok_or_else(why)?));
            }
        }
        Ok(self.topics[0].1)
    }
}

impl Drop for TopicHandles {
    fn drop(&mut self) {
        for (_, topic) in &self.topics {
            // SAFETY: the handle is this object's own, and its producer lives still.
            unsafe { rd_kafka_topic_destroy(topic.as_ptr()) };
        }
    }
}

/// A record's headers in librdkafka's memory; null where there are none. They are its own once the record is.
struct HeaderList(*mut RDKafkaHeaders);

impl HeaderList {
    fn of(headers: &[(&str, &[u8])]) -> Self {
        if headers.is_empty() {
            return Self(ptr::null_mut());
        }
        // SAFETY: no more than an allocation.
        let list = Self(unsafe { rd_kafka_headers_new(headers.len()) });
        for (name, value) in headers {
            // SAFETY: both are copied, and a slice is never longer than `isize::MAX`. An addition can't fail.
            unsafe {
                rd_kafka_header_add(
                    list.0,
                    name.as_ptr().cast(),
                    name.len() as isize,
                    value.as_ptr().cast(),
                    value.len() as isize,
                );
            }
        }
        list
    }

    fn hand_over(self) {
        std::mem::forget(self);
    }
}

impl Drop for HeaderList {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: librdkafka did not take them over.
            unsafe { rd_kafka_headers_destroy(self.0) };
        }
    }
}
