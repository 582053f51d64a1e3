//! Which requests of a producer may still be on their way: the rule by which a producer takes a new epoch.
//!
//! librdkafka speaks the transaction protocol in which all transactions of a producer have one epoch. A request of an
//! earlier transaction that comes late therefore acts on a later one: a late `EndTxn` commits or aborts half of it
//! (KIP-890). librdkafka repeats requests by itself after a time-out or on a new connection, and reports success once
//! one of them is answered. The others may still lie in a socket's buffer.
//!
//! A request can't come late once it was answered on the connection that it was sent over, because a connection
//! delivers each byte once. So a producer counts what it sends and what is answered, and begins a transaction under
//! its epoch only if the two are equal. Brokers refuse what comes late from an older epoch.

use crate::telemetry::TransactionRequest;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// The requests of a producer that were sent and not answered on their connection.
#[derive(Debug, Default)]
pub struct UnansweredRequests {
    /// Sent less answered, by request.
    counts: [AtomicI64; TransactionRequest::ALL.len()],
    /// Whether waiting for an answer has ended without one, by request.
    given_up: [AtomicBool; TransactionRequest::ALL.len()],
}

/// The requests that act on a transaction, those that do most harm first. A late `InitProducerId` is not among them: it
/// ends every epoch, and a new one would not help.
const ACT_ON_TRANSACTIONS: [TransactionRequest; 5] = [
    TransactionRequest::End,
    TransactionRequest::CommitOffsets,
    TransactionRequest::AddOffsets,
    TransactionRequest::AddPartitions,
    TransactionRequest::Produce,
];

impl UnansweredRequests {
    /// The last byte of a request was handed to its connection.
    pub fn sent(&self, request: TransactionRequest) {
        self.counts[request as usize].fetch_add(1, Ordering::AcqRel);
    }

    /// The answer to a request has come over the request's connection.
    pub fn answered(&self, request: TransactionRequest) {
        self.counts[request as usize].fetch_sub(1, Ordering::AcqRel);
    }

    /// A request's connection broke, or its answer did not come in time.
    pub fn given_up(&self, request: TransactionRequest) {
        self.given_up[request as usize].store(true, Ordering::Release);
    }

    /// How many of these requests were sent and not answered.
    fn count(&self, request: TransactionRequest) -> u64 {
        self.counts[request as usize].load(Ordering::Acquire).unsigned_abs()
    }

    /// Why the next transaction must begin under a new epoch: a request that may still come to a broker, and would
    /// then act on that transaction.
    pub fn before_begin(&self) -> Option<TransactionRequest> {
        ACT_ON_TRANSACTIONS.into_iter().find(|request| self.count(*request) > 0)
    }

    /// Why the open transaction must be aborted by a new epoch, and not by an `EndTxn` of this one: a request that
    /// nobody waits for any longer. An `EndTxn` leaves its epoch valid, and a record or an offset that comes after it
    /// would lie in its partition until the producer's next transaction there commits it. A new epoch aborts the
    /// transaction with a marker of its own in each partition, which refuses what is late. Requests that are still
    /// waited for are no reason: an abort waits for them.
    pub fn before_abort(&self) -> Option<TransactionRequest> {
        let is_given_up =
            |request: &TransactionRequest| self.given_up[*request as usize].load(Ordering::Acquire);
        ACT_ON_TRANSACTIONS.into_iter().find(|request| is_given_up(request) && self.count(*request) > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_was_answered_once_and_sent_twice_asks_for_a_new_epoch() {
        let requests = UnansweredRequests::default();
        assert_eq!(requests.before_begin(), None);
        requests.sent(TransactionRequest::End);
        assert_eq!((requests.before_begin(), requests.before_abort()), (Some(TransactionRequest::End), None));
        requests.given_up(TransactionRequest::End);
        requests.sent(TransactionRequest::End);
        requests.answered(TransactionRequest::End);
        assert_eq!(requests.before_begin(), Some(TransactionRequest::End));
        assert_eq!(requests.before_abort(), Some(TransactionRequest::End));
    }

    #[test]
    fn what_was_never_sent_or_ends_every_epoch_asks_for_none() {
        let requests = UnansweredRequests::default();
        requests.given_up(TransactionRequest::Produce);
        requests.sent(TransactionRequest::InitProducerId);
        requests.given_up(TransactionRequest::InitProducerId);
        assert_eq!((requests.before_begin(), requests.before_abort()), (None, None));
    }
}
