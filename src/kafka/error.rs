use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;
use std::time::Duration;

/// An error that ends the use of a client. Expected outcomes, such as an aborted transaction or a broker that does not
/// answer for a moment, are a [`Commit`](super::Commit) or an [`Event`](super::Event) instead.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A property is wrong.
    #[error("librdkafka refuses the settings: {0}")]
    Settings(String),
    /// No broker answered in time.
    #[error("Kafka at {brokers} did not answer within {waited:?}: {reason}")]
    Unreachable { brokers: String, waited: Duration, reason: String },
    /// The principal lacks a right.
    #[error("Kafka refuses access: {0}; the principal needs more rights")]
    Refused(String),
    /// Topics are missing.
    #[error("these topics do not exist: {}; `tidecast topics create` creates them", .0.join(", "))]
    MissingTopics(Vec<String>),
    /// Another process has taken over, or this one was silent for too long. It has to end.
    #[error(
        "fenced: {0}; another process has the same kafka.instance, or this one was silent for longer \
         than its transaction may last"
    )]
    Fenced(String),
    /// The client can't be used any longer. The process has to end.
    #[error("fatal error in librdkafka: {0}")]
    Fatal(String),
    /// This record can't be sent; the transaction is not affected.
    #[error("a record of {bytes} bytes for {topic} is larger than message.max.bytes")]
    TooLarge { topic: String, bytes: usize },
    /// Another error.
    #[error("while {doing}: {reason}")]
    Failed { doing: &'static str, reason: String },
}

impl Error {
    /// The error of this room for an error of rdkafka, by its meaning for the process.
    pub(super) fn of(doing: &'static str, error: &KafkaError) -> Self {
        let reason = error.to_string();
        match error.rdkafka_error_code() {
            Some(code) => Self::of_code(doing, code, reason),
            None => match error {
                KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_) => Self::Settings(reason),
                _ => Self::Failed { doing, reason },
            },
        }
    }

    pub(super) fn of_code(doing: &'static str, code: Code, reason: String) -> Self {
        if is_fenced(code) {
            Self::Fenced(reason)
        } else if is_refused(code) {
            Self::Refused(reason)
        } else if code == Code::Fatal {
            Self::Fatal(reason)
        } else {
            Self::Failed { doing, reason }
        }
    }
}

pub(super) fn is_fenced(code: Code) -> bool {
    matches!(
        code,
        Code::Fenced
            | Code::ProducerFenced
            | Code::InvalidProducerEpoch
            | Code::FencedInstanceId
            | Code::UnreleasedInstanceId
    )
}

pub(super) fn is_refused(code: Code) -> bool {
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
    )
}
