use rdkafka::bindings::{
    rd_kafka_error_code, rd_kafka_error_destroy, rd_kafka_error_is_fatal, rd_kafka_error_is_retriable,
    rd_kafka_error_string, rd_kafka_error_t, rd_kafka_error_txn_requires_abort,
};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;
use std::ffi::CStr;
use std::fmt;
use std::time::Duration;

/// An error of a call that has to do with a transaction, with what librdkafka says of it.
#[derive(Debug)]
pub(super) struct TransactionError {
    pub code: Code,
    reason: String,
    /// The producer can't be used any more.
    pub is_fatal: bool,
    /// The same call may be made again.
    pub is_retriable: bool,
    /// The transaction can only be aborted.
    pub requires_abort: bool,
}

impl TransactionError {
    /// Takes over the error that a call of librdkafka has returned; null stands for success.
    ///
    /// # Safety
    /// The pointer is such a call's result, and nobody else uses it.
    pub unsafe fn check(error: *mut rd_kafka_error_t) -> Result<(), Self> {
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: the error is the caller's own until it is destroyed, and its text is copied before.
        unsafe {
            let taken = Self {
                code: rd_kafka_error_code(error).into(),
                reason: CStr::from_ptr(rd_kafka_error_string(error)).to_string_lossy().into_owned(),
                is_fatal: rd_kafka_error_is_fatal(error) != 0,
                is_retriable: rd_kafka_error_is_retriable(error) != 0,
                requires_abort: rd_kafka_error_txn_requires_abort(error) != 0,
            };
            rd_kafka_error_destroy(error);
            Err(taken)
        }
    }

    /// The error of a call that has not returned in time, and may never do so.
    pub fn unanswered(call: &str, waited: Duration) -> Self {
        let reason = format!("{call} was not answered within {waited:?}");
        Self {
            code: Code::OperationTimedOut,
            reason,
            is_fatal: false,
            is_retriable: false,
            requires_abort: true,
        }
    }

    /// The topic in the text of an error of a produce request; empty in another text.
    pub fn refused_topic(&self) -> String {
        let after = self.reason.split_once("ProduceRequest for ").map_or("", |(_, after)| after);
        after.split(' ').next().unwrap_or_default().to_owned()
    }

    /// The error of a record that was not accepted.
    pub fn of_record(error: &KafkaError) -> Self {
        let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
        let reason = error.to_string();
        Self { code, reason, is_fatal: false, is_retriable: false, requires_abort: false }
    }
}

impl fmt::Display for TransactionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}
