use rdkafka::bindings::{
    rd_kafka_consumer_group_metadata, rd_kafka_consumer_group_metadata_destroy,
    rd_kafka_consumer_group_metadata_t,
};
use rdkafka::types::RDKafka;
use std::ptr::NonNull;

/// What a transaction's offsets are sent with: the group, the member and its generation.
pub(super) struct GroupMetadata(NonNull<rd_kafka_consumer_group_metadata_t>);

impl GroupMetadata {
    /// Of a consumer; `None` where it has no group.
    ///
    /// # Safety
    /// The consumer lives.
    pub unsafe fn of(consumer: *mut RDKafka) -> Option<Self> {
        // SAFETY: the consumer lives, and what is returned is a copy of its own.
        NonNull::new(unsafe { rd_kafka_consumer_group_metadata(consumer) }).map(Self)
    }

    pub fn ptr(&self) -> *const rd_kafka_consumer_group_metadata_t {
        self.0.as_ptr()
    }
}

// SAFETY: it is a copy that nobody else has, and reading it needs no thread in particular.
unsafe impl Send for GroupMetadata {}

impl Drop for GroupMetadata {
    fn drop(&mut self) {
        // SAFETY: it is this object's own.
        unsafe { rd_kafka_consumer_group_metadata_destroy(self.0.as_ptr()) };
    }
}
