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
    /// Brokers or connections come and go, or a broker has to finish something first. The same request succeeds later.
    #[error("Kafka can't answer yet, while {doing}: {reason}")]
    NotYet { doing: &'static str, reason: String },
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
    /// Whether the same request will succeed once brokers and network work again. A restart of the process mends
    /// nothing then, so its owner waits and asks again.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::NotYet { .. })
    }

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
        } else if is_transient(code) {
            Self::NotYet { doing, reason }
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

/// Whether the error is transient: a connection, a broker, a partition's leader or the group's coordinator starts, ends or
/// moves, or a transaction is still ending.
pub(super) fn is_transient(code: Code) -> bool {
    matches!(
        code,
        // Of librdkafka itself. Its broker's handle is destroyed when a broker gets another id or address.
        Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::BrokerTransportFailure
            | Code::DestroyBroker
            | Code::UnknownBroker
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::WaitingForCoordinator
            | Code::WaitCache
            // Of a broker.
            | Code::RequestTimedOut
            | Code::NetworkException
            | Code::BrokerNotAvailable
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::ReplicaNotAvailable
            | Code::OffsetNotAvailable
            | Code::KafkaStorageError
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::NotController
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::NotEnoughReplicas
            | Code::ConcurrentTransactions
            | Code::UnstableOffsetCommit
            | Code::ThrottlingQuotaExceeded
            | Code::RebootstrapRequired
            // Under KIP-848, until the next heartbeat has brought the new epoch.
            | Code::StaleMemberEpoch
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(code: Code) -> Error {
        Error::of("asking", &KafkaError::MetadataFetch(code))
    }

    #[test]
    fn what_brokers_that_come_and_go_cause_is_waited_for_and_what_a_person_must_mend_is_not() {
        for code in
            [Code::DestroyBroker, Code::BrokerTransportFailure, Code::UnstableOffsetCommit, Code::Resolve]
        {
            assert!(judged(code).is_transient(), "{code:?}");
        }
        for code in [Code::Fatal, Code::ProducerFenced, Code::TopicAuthorizationFailed, Code::InvalidConfig] {
            assert!(!judged(code).is_transient(), "{code:?}");
        }
    }
}
