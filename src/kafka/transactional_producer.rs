//! The producer of a worker. What it sends becomes visible with [`TransactionalProducer::commit`].

use super::context::{self, Event, Troubles, lock};
use super::error::{Error, is_fenced, is_refused};
use super::group_consumer::{GroupConsumer, OffsetsCommitted};
use super::output_topics::{OutputTopics, Refusal};
use super::producer::{RETRY_PAUSE, enqueue, start};
use super::producing_client::Client;
use super::topic_handles::{Outgoing, TopicHandles};
use super::transaction_error::TransactionError;
use crate::domain::{Offset, Partition, TopicPartition};
use crate::telemetry::{ClientStatistics, TransactionRequest};
use rdkafka::ClientConfig;
use rdkafka::types::RDKafkaErrorCode as Code;
use std::time::{Duration, Instant};

/// The longest wait for a commit. In a transaction it is the time that this may last: the broker aborts it after that.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(60);
/// How often it is looked whether a record has failed.
const FLUSH_STEP: Duration = Duration::from_millis(500);
/// The longest wait for an abort. After it a new producer with the same id makes the broker abort, because a producer
/// that loses its coordinator during an abort may never finish it.
const ABORT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest wait for the abort at the end. Without it the broker aborts after its own timeout.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);

/// The outcome of a commit of records and offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commit {
    /// All of it is in the log.
    Committed,
    /// Nothing of it is in the log. The worker's memory is ahead of the log, so it recovers.
    Aborted(String),
    /// The broker did not answer in time. The transaction has ended since; the committed offsets tell how, and the
    /// worker recovers from them.
    Unknown(String),
}

/// What an error of the producer means for the transaction.
enum Verdict {
    End(Error),
    Abort(String),
    Retry(String),
    /// The broker has ended the transaction for a reason that lies in this process, such as that it lasted too long.
    /// This producer can't be used any more.
    Expired(String),
}

/// A producer whose records become visible with a commit; for at-least-once, once they are acknowledged.
pub(super) struct TransactionalProducer {
    // Dropped before the client, which they belong to.
    topics: TopicHandles,
    pub(super) client: Client,
    settings: ClientConfig,
    brokers: String,
    exactly_once: bool,
    /// Whether a transaction has begun.
    open: bool,
    /// Whether a new producer has to be started before anything else, because no broker has answered yet.
    unsettled: bool,
    /// Why the transaction can't be committed any more. Records sent meanwhile are dropped.
    broken: Option<String>,
    /// New epochs that [`Event::NewEpoch`] does not tell of yet.
    new_epochs: Vec<TransactionRequest>,
    /// Why a broker has refused what the last transaction sent.
    refusal: Option<Refusal>,
    pub(super) commit_timeout: Duration,
}

impl TransactionalProducer {
    pub fn open(settings: ClientConfig, brokers: &str, exactly_once: bool) -> Result<Self, Error> {
        let client = start(&settings, brokers, exactly_once)?;
        let brokers = brokers.to_owned();
        let lasts = settings.get("transaction.timeout.ms").and_then(|millis| millis.parse().ok());
        let commit_timeout = lasts.map_or(COMMIT_TIMEOUT, Duration::from_millis);
        Ok(Self {
            topics: TopicHandles::default(),
            client,
            settings,
            brokers,
            exactly_once,
            open: false,
            unsettled: false,
            broken: None,
            new_epochs: Vec::new(),
            refusal: None,
            commit_timeout,
        })
    }

    pub fn troubles(&self) -> &Troubles {
        &self.client.context().troubles
    }

    pub fn statistics(&self) -> ClientStatistics {
        *lock(&self.client.context().statistics)
    }

    /// A new epoch that was taken since the last call.
    pub fn take_new_epoch(&mut self) -> Option<Event> {
        self.new_epochs.pop().map(Event::NewEpoch)
    }

    pub fn send(
        &mut self,
        topic: &str,
        partition: Option<Partition>,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: &[(&str, &[u8])],
    ) -> Result<(), Error> {
        if self.broken.is_none() {
            self.begin()?;
        }
        if self.broken.is_some() {
            return Ok(());
        }
        let partition = partition.map(|p| p.0);
        let record = Outgoing { topic, partition, key, payload, headers, timestamp: None };
        match enqueue(&self.client, &mut self.topics, &record) {
            Ok(()) => Ok(()),
            Err(e) if e.rdkafka_error_code() == Some(Code::MessageSizeTooLarge) => {
                Err(Error::TooLarge { topic: topic.to_owned(), bytes: payload.map_or(0, <[u8]>::len) })
            }
            Err(e) => match e.rdkafka_error_code() {
                Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => {
                    Err(Error::of("sending", &e))
                }
                _ => {
                    self.broken = Some(self.doom(&TransactionError::of_record(&e))?);
                    Ok(())
                }
            },
        }
    }

    /// Why the transaction can't be committed after this error; fails when the error ends the process.
    fn doom(&self, error: &TransactionError) -> Result<String, Error> {
        match self.judge(error) {
            Verdict::End(error) => Err(error),
            Verdict::Abort(reason) | Verdict::Retry(reason) | Verdict::Expired(reason) => Ok(reason),
        }
    }

    /// Begins a transaction unless one is open. Where a request of an earlier one may come late it begins under a new
    /// epoch, because the request would act on this one.
    fn begin(&mut self) -> Result<(), Error> {
        if !self.exactly_once || self.open {
            return Ok(());
        }
        if let Some(unanswered) = self.client.requests().before_begin() {
            match self.take_epoch(unanswered) {
                // Nothing can be sent yet. The commit says so, and whoever sends needs not know it.
                Err(cause) if cause.is_transient() => {
                    self.broken = Some(cause.to_string());
                    return Ok(());
                }
                taken => taken?,
            }
        }
        match self.client.begin_transaction() {
            Ok(()) => self.open = true,
            Err(e) => self.broken = Some(self.doom(&e)?),
        }
        Ok(())
    }

    fn take_epoch(&mut self, unanswered: TransactionRequest) -> Result<(), Error> {
        self.settle()?;
        self.new_epochs.push(unanswered);
        Ok(())
    }

    pub fn commit(
        &mut self,
        member: &GroupConsumer,
        positions: &[(TopicPartition, Offset)],
    ) -> Result<Commit, Error> {
        let outcome = if let Some(reason) = self.broken.take() {
            // A record that can't be sent after a refusal says nothing of it.
            Commit::Aborted(self.abortable_error().map_or(reason, |error| error.to_string()))
        } else if self.exactly_once {
            self.commit_transaction(member, positions)?
        } else {
            self.commit_acknowledged(member, positions)?
        };
        let error = if matches!(outcome, Commit::Aborted(_)) { self.abortable_error() } else { None };
        self.refusal = self.client.context().take_refusal();
        match outcome {
            Commit::Committed => {}
            Commit::Aborted(_) => self.abort()?,
            Commit::Unknown(_) => self.settle()?,
        }
        if let Some((cause, error)) = error.and_then(|error| Some((context::refusal(error.code)?, error))) {
            // Of a batch each record alone is just invalid, and its report may come after the error.
            let noted = self.refusal.take().or_else(|| self.client.context().take_refusal());
            let topic = noted.map_or_else(|| error.refused_topic(), |refusal| refusal.topic);
            self.refusal = Some(Refusal { topic, cause });
        }
        Ok(outcome)
    }

    fn commit_transaction(
        &mut self,
        member: &GroupConsumer,
        positions: &[(TopicPartition, Offset)],
    ) -> Result<Commit, Error> {
        if !self.open && positions.is_empty() {
            return Ok(Commit::Committed);
        }
        self.begin()?;
        if let Some(reason) = self.broken.take() {
            return Ok(Commit::Unknown(reason));
        }
        let question = member.topic_queries().ask_logs(&self.client, positions);
        let deadline = Instant::now() + self.commit_timeout;
        if !self.acknowledged(self.commit_timeout) {
            let reason = self.abortable_error().map_or_else(|| self.silence(), |error| error.to_string());
            return Ok(Commit::Aborted(reason));
        }
        if let Err(reason) = member.topic_queries().same_logs(question, deadline) {
            return Ok(Commit::Aborted(reason));
        }
        if !positions.is_empty() {
            let list = member.offsets(positions);
            loop {
                // Read again for each try, because a rebalance may have changed the generation.
                let group = match member.group() {
                    Ok(group) => group,
                    Err(reason) => return Ok(Commit::Aborted(reason)),
                };
                let left = deadline.saturating_duration_since(Instant::now());
                let Err(e) = self.client.send_offsets_to_transaction(list.clone(), group, left) else {
                    member.was_accepted();
                    break;
                };
                member.was_refused(Some(e.code));
                match self.judge(&e) {
                    Verdict::End(error) => return Err(error),
                    Verdict::Retry(_) if Instant::now() < deadline => std::thread::sleep(RETRY_PAUSE),
                    Verdict::Abort(reason) | Verdict::Retry(reason) => return Ok(Commit::Aborted(reason)),
                    Verdict::Expired(reason) => return Ok(Commit::Unknown(reason)),
                }
            }
        }
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Err(e) = self.client.commit_transaction(left) else {
                self.open = false;
                return Ok(Commit::Committed);
            };
            match self.judge(&e) {
                Verdict::End(error) => return Err(error),
                Verdict::Abort(reason) => return Ok(Commit::Aborted(reason)),
                Verdict::Retry(_) if Instant::now() < deadline => std::thread::sleep(RETRY_PAUSE),
                Verdict::Retry(reason) | Verdict::Expired(reason) => return Ok(Commit::Unknown(reason)),
            }
        }
    }

    fn commit_acknowledged(
        &mut self,
        member: &GroupConsumer,
        positions: &[(TopicPartition, Offset)],
    ) -> Result<Commit, Error> {
        let question = member.topic_queries().ask_logs(&self.client, positions);
        if !self.acknowledged(self.commit_timeout) {
            return Ok(Commit::Aborted(self.silence()));
        }
        if let Some(reason) = self.client.context().take_failure() {
            return Ok(Commit::Aborted(reason));
        }
        if let Err(reason) = member.topic_queries().same_logs(question, Instant::now() + self.commit_timeout)
        {
            return Ok(Commit::Aborted(reason));
        }
        if positions.is_empty() {
            return Ok(Commit::Committed);
        }
        Ok(match member.commit(positions)? {
            OffsetsCommitted::Yes => Commit::Committed,
            OffsetsCommitted::No(reason) => Commit::Aborted(reason),
            OffsetsCommitted::Unknown(reason) => Commit::Unknown(reason),
        })
    }

    pub fn abort(&mut self) -> Result<(), Error> {
        if self.unsettled {
            return self.settle();
        }
        let deadline = Instant::now() + ABORT_TIMEOUT.min(self.commit_timeout);
        if self.open {
            if let Some(unanswered) = self.client.requests().before_abort() {
                return self.take_epoch(unanswered);
            }
            loop {
                let left = deadline.saturating_duration_since(Instant::now());
                let Err(e) = self.client.abort_transaction(left) else { break };
                match self.judge(&e) {
                    Verdict::End(error) => return Err(error),
                    Verdict::Retry(_) if Instant::now() < deadline => std::thread::sleep(RETRY_PAUSE),
                    Verdict::Abort(_) | Verdict::Retry(_) | Verdict::Expired(_) => {
                        return self.settle();
                    }
                }
            }
            self.open = false;
        } else {
            self.client.purge_queued();
            if !self.acknowledged(ABORT_TIMEOUT.min(self.commit_timeout)) {
                return self.settle();
            }
        }
        self.broken = None;
        self.client.context().take_failure();
        Ok(())
    }

    /// The error for which the open transaction has to be aborted. Asked by beginning another one, which is refused with
    /// that error and changes nothing.
    fn abortable_error(&self) -> Option<TransactionError> {
        let begun = (self.exactly_once && self.open).then(|| self.client.begin_transaction())?;
        begun.err().filter(|error| error.requires_abort)
    }

    /// Why a broker has refused what the last transaction sent.
    pub fn take_refusal(&mut self) -> Option<Refusal> {
        self.refusal.take()
    }

    /// Starts a new producer whose batches fit into the output topics. No transaction may be open.
    pub fn limit_batches(&mut self, outputs: &OutputTopics) -> Result<(), Error> {
        outputs.limit_batches(&mut self.settings);
        self.settle()
    }

    /// Starts a new producer with the same id. When it is ready, the broker has committed or aborted what the old one
    /// left open. Fails with a transient error while no broker answers; the next [`Self::abort`] tries again.
    fn settle(&mut self) -> Result<(), Error> {
        self.unsettled = true;
        self.topics = TopicHandles::default();
        self.client = start(&self.settings, &self.brokers, self.exactly_once)?;
        self.open = false;
        self.unsettled = false;
        self.broken = None;
        Ok(())
    }

    /// Waits until nothing is in flight. Where a record has failed, a transaction can't be committed any more, and the rest
    /// is not waited for.
    fn acknowledged(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.client.flush(left.min(FLUSH_STEP)) {
                return true;
            }
            if left.is_zero() || self.exactly_once && self.client.context().has_failure() {
                return false;
            }
        }
    }

    fn silence(&self) -> String {
        if let Some(failure) = self.client.context().take_failure() {
            return failure;
        }
        let trouble = self.troubles().newest().unwrap_or_default();
        format!("records were not acknowledged within {:?} {trouble}", self.commit_timeout)
    }

    fn judge(&self, error: &TransactionError) -> Verdict {
        let fatal = self.client.client().fatal_error();
        let code = fatal.as_ref().map_or(error.code, |(code, _)| *code);
        // The broker has ended this process's transaction, an `InitProducerId` of this process came late, or another process
        // has its name. The group knows which: of two members of one name it refuses the older one, whose consumer then ends
        // the process. A new producer of it may abort one transaction of the other process meanwhile, and can commit nothing
        // itself.
        if is_outdated(code) {
            let reason =
                format!("the transaction lasted too long, or a start of this producer came late: {error}");
            return Verdict::Expired(reason);
        }
        if fatal.is_some() || is_fenced(error.code) || is_refused(error.code) {
            return Verdict::End(self.ending("in a transaction", error));
        }
        let reason = error.to_string();
        if error.is_fatal {
            Verdict::End(Error::Fatal(reason))
        } else if error.is_retriable && !error.requires_abort {
            Verdict::Retry(reason)
        } else {
            Verdict::Abort(reason)
        }
    }

    fn ending(&self, doing: &'static str, error: &TransactionError) -> Error {
        match self.client.client().fatal_error() {
            Some((code, reason)) => match Error::of_code(doing, code, reason) {
                Error::Failed { reason, .. } => Error::Fatal(reason),
                other => other,
            },
            None => Error::of_code(doing, error.code, error.to_string()),
        }
    }
}

/// Whether a broker refuses the producer because of a newer one of its id: another process's, or the broker's own
/// when it has ended an expired transaction.
fn is_outdated(code: Code) -> bool {
    let is_of_a_member = matches!(code, Code::FencedInstanceId | Code::UnreleasedInstanceId);
    is_fenced(code) && !is_of_a_member || code == Code::InvalidTransactionalState
}

impl Drop for TransactionalProducer {
    fn drop(&mut self) {
        if self.open {
            // Otherwise readers would wait for the broker's timeout.
            let _ = self.client.abort_transaction(FAREWELL_TIMEOUT);
        }
    }
}
