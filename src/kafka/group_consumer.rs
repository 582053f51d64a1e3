//! The consumer of a worker, which is a member of the group.

use super::consumer::{ANSWER_TIMEOUT, drain, is};
use super::context::{self, ConsumingContext, Event, PendingRebalance};
use super::error::{Error, is_refused};
use super::group_metadata::GroupMetadata;
use super::membership::{GroupMember, Membership};
use super::offsets::OffsetQueries;
use super::record::Polled;
use super::topic_watch::{TopicQueries, TopicWatch};
use crate::domain::{Offset, TopicPartition};
use crate::telemetry::ClientStatistics;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{ClientConfig, Offset as RawOffset, TopicPartitionList};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The pause before a request that a rebalance delays is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// How long after a broken connection a member may be fenced by its own ghost.
const GHOST_TIMEOUT: Duration = Duration::from_secs(60);
/// How long leaving the group may take.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);
/// The most records that are dropped at once while leaving.
const FAREWELL_RECORDS: usize = 1_000;
/// How often the group's metadata is read again because its generation has changed meanwhile.
const GROUP_TRIES: usize = 10;
/// How long a commit or a seek is tried again.
const RETRY_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct GroupConsumer {
    // Dropped before the consumer: its requests must end first.
    watch: RefCell<TopicWatch>,
    consumer: BaseConsumer<ConsumingContext>,
    brokers: String,
    settings: ClientConfig,
    membership: RefCell<Membership>,
    /// The metadata committed beside the offsets.
    notes: RefCell<BTreeMap<TopicPartition, String>>,
}

/// The outcome of an offset commit outside a transaction.
pub(super) enum OffsetsCommitted {
    Yes,
    No(String),
    Unknown(String),
}

impl GroupConsumer {
    pub fn join(settings: &ClientConfig, brokers: &str, topics: &[String]) -> Result<Self, Error> {
        let consumer: BaseConsumer<ConsumingContext> = settings
            .create_with_context(ConsumingContext::default())
            .map_err(|e| Error::of("creating the consumer", &e))?;
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&names).map_err(|e| Error::of("subscribing", &e))?;
        Ok(Self {
            watch: RefCell::default(),
            consumer,
            brokers: brokers.to_owned(),
            settings: settings.clone(),
            membership: RefCell::default(),
            notes: RefCell::default(),
        })
    }

    /// Questions about offsets.
    pub fn offset_queries(&self) -> OffsetQueries<'_> {
        OffsetQueries { consumer: &self.consumer, brokers: &self.brokers, settings: &self.settings }
    }

    /// Questions about topics.
    pub fn topic_queries(&self) -> TopicQueries<'_> {
        TopicQueries { watch: &self.watch, consumer: &self.consumer, brokers: &self.brokers }
    }

    pub fn poll(&self, max: usize, wait: Duration, sink: &mut dyn FnMut(Polled<'_>)) -> Result<usize, Error> {
        let taken = drain(&self.consumer, max, wait, sink, |error| self.judge(&error))?;
        if std::mem::take(&mut self.consumer.context().rebalances().confirmed) {
            let holds = self.consumer.assignment().is_ok_and(|held| held.count() > 0);
            self.membership.borrow_mut().confirm(GroupMember::of(&self.consumer), holds);
        }
        Ok(taken)
    }

    /// The error that ends the polling, if it is one. The context has noted transient errors already.
    fn judge(&self, error: &KafkaError) -> Result<(), Error> {
        let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
        match error.rdkafka_error_code() {
            Some(code) if fatal || code == Code::Fatal => {
                let (code, reason) =
                    self.consumer.client().fatal_error().unwrap_or((code, error.to_string()));
                match Error::of_code("polling", code, reason) {
                    Error::Failed { reason, .. } => Err(Error::Fatal(reason)),
                    other => Err(other),
                }
            }
            Some(code) if is_refused(code) || code == Code::AutoOffsetReset => {
                let reason = self.troubles().newest().unwrap_or_else(|| error.to_string());
                Err(Error::of_code("polling", code, reason))
            }
            _ => Ok(()),
        }
    }

    pub fn troubles(&self) -> &context::Troubles {
        &self.consumer.context().troubles
    }

    pub fn event(&self) -> Option<Event> {
        let event = self.consumer.context().rebalances().events.pop_front()?;
        Some(match event {
            // While this consumer was out of the group, another member had them and may have read further.
            Event::Revoked(parts) if !self.owns_all() => Event::Lost(parts),
            other => other,
        })
    }

    fn owns_all(&self) -> bool {
        self.membership.borrow().owns_all(GroupMember::of(&self.consumer).as_ref())
    }

    pub fn assign(&self, starts: &[(TopicPartition, Option<Offset>)]) -> Result<(), Error> {
        let list = context::list(
            starts.iter().map(|(tp, at)| (tp, at.map_or(RawOffset::Stored, |o| RawOffset::Offset(o.0)))),
        );
        context::add(&self.consumer, &list).map_err(|e| Error::of("taking partitions", &e))?;
        self.consumer.context().rebalances().pending.pop_front();
        Ok(())
    }

    pub fn release(&self, parts: &[TopicPartition]) -> Result<(), Error> {
        let list = context::list(parts.iter().map(|tp| (tp, RawOffset::Invalid)));
        // A pause outlives the assignment, and the partition may come back. An unknown partition needs no resuming.
        let _ = self.consumer.resume(&list);
        self.notes.borrow_mut().retain(|at, _| !parts.contains(at));
        self.topic_queries().reads_no_more(parts);
        context::remove(&self.consumer, &list).map_err(|e| Error::of("releasing partitions", &e))?;
        self.consumer.context().rebalances().pending.pop_front();
        Ok(())
    }

    pub fn pause(&self, parts: &[TopicPartition]) -> Result<(), Error> {
        let list = context::list(parts.iter().map(|tp| (tp, RawOffset::Invalid)));
        self.consumer.pause(&list).map_err(|e| Error::of("pausing partitions", &e))
    }

    pub fn resume(&self, parts: &[TopicPartition]) -> Result<(), Error> {
        let list = context::list(parts.iter().map(|tp| (tp, RawOffset::Invalid)));
        self.consumer.resume(&list).map_err(|e| Error::of("resuming partitions", &e))
    }

    pub fn seek(&self, places: &[(TopicPartition, Offset)]) -> Result<(), Error> {
        let deadline = Instant::now() + RETRY_TIMEOUT;
        let mut left: Vec<_> = places.to_vec();
        while !left.is_empty() {
            let list = context::list(left.iter().map(|(tp, at)| (tp, RawOffset::Offset(at.0))));
            let answer = self
                .consumer
                .seek_partitions(list, ANSWER_TIMEOUT)
                .map_err(|e| Error::NotYet { doing: "seeking", reason: e.to_string() })?;
            let mut failure = None;
            for element in answer.elements() {
                match element.error() {
                    Ok(()) => left.retain(|(tp, _)| !is(&element, tp)),
                    Err(e) => failure = Some(e),
                }
            }
            // A newly assigned partition accepts no seek before its first fetch.
            match failure {
                Some(e) if Instant::now() > deadline => {
                    return Err(Error::NotYet { doing: "seeking", reason: e.to_string() });
                }
                Some(_) => std::thread::sleep(RETRY_PAUSE),
                None => {}
            }
        }
        Ok(())
    }

    pub fn generation(&self) -> Option<u32> {
        GroupMember::of(&self.consumer).map(|member| member.generation)
    }

    /// The group metadata that a transaction's offsets are sent with, or why nothing may be committed now.
    pub fn group(&self) -> Result<GroupMetadata, String> {
        for _ in 0..GROUP_TRIES {
            self.own()?;
            let before = GroupMember::of(&self.consumer);
            // SAFETY: the consumer lives.
            let metadata = unsafe { GroupMetadata::of(self.consumer.client().native_ptr()) };
            // The membership was the same before and after, so the metadata describes it, too.
            if let Some(metadata) = metadata.filter(|_| before.is_some())
                && before == GroupMember::of(&self.consumer)
            {
                return Ok(metadata);
            }
        }
        Err("the group is rebalancing".to_owned())
    }

    /// Checks that the held partitions were given to the present member id. For partitions given to a former id it
    /// fails only once, because the caller then starts them again from their committed offsets.
    fn own(&self) -> Result<(), String> {
        let now = GroupMember::of(&self.consumer);
        let mut membership = self.membership.borrow_mut();
        if membership.owns_all(now.as_ref()) {
            return Ok(());
        }
        membership.clear();
        Err("the group removed this member because it was silent for too long".to_owned())
    }

    /// Whether the member was fenced a moment after its connections were broken: then the other member of its name is most
    /// likely itself, from a request to join whose answer was lost.
    pub fn has_met_its_ghost(&self) -> bool {
        let context = self.consumer.context();
        let broken = context::lock(&context.broken_at).is_some_and(|at| at.elapsed() < GHOST_TIMEOUT);
        let fatal = self.consumer.client().fatal_error();
        broken && fatal.is_some_and(|(code, _)| code == Code::FencedInstanceId)
    }

    /// The group has refused this member's offsets, for this reason.
    pub fn was_refused(&self, code: Option<Code>) {
        let is_of_group = matches!(
            code,
            Some(
                Code::IllegalGeneration
                    | Code::UnknownMemberId
                    | Code::StaleMemberEpoch
                    | Code::GroupIdNotFound
            )
        );
        if is_of_group {
            self.membership.borrow_mut().refuse(GroupMember::of(&self.consumer), Instant::now());
        }
    }

    /// The group has taken this member's offsets.
    pub fn was_accepted(&self) {
        self.membership.borrow_mut().accept();
    }

    /// Whether the group does not know this member, and librdkafka does not notice.
    pub fn is_unknown(&self) -> bool {
        self.membership.borrow().is_unknown(Instant::now())
    }

    /// Joins with the same name as a new member, which holds nothing yet.
    pub fn join_again(&self, topics: &[String]) -> Result<Self, Error> {
        let again = Self::join(&self.settings, &self.brokers, topics)?;
        again.consumer.context().rebalances().events.push_back(Event::Expelled);
        Ok(again)
    }

    /// Commits outside a transaction and waits for the answer.
    pub fn commit(&self, positions: &[(TopicPartition, Offset)]) -> Result<OffsetsCommitted, Error> {
        if let Err(reason) = self.own() {
            return Ok(OffsetsCommitted::No(reason));
        }
        let list = self.offsets(positions);
        let deadline = Instant::now() + RETRY_TIMEOUT;
        loop {
            let failed = match self.consumer.commit(&list, CommitMode::Sync) {
                Ok(()) => list.elements().iter().find_map(|e| e.error().err()),
                Err(e) => Some(e),
            };
            let Some(error) = failed else {
                self.was_accepted();
                return Ok(OffsetsCommitted::Yes);
            };
            let reason = error.to_string();
            self.was_refused(error.rdkafka_error_code());
            match error.rdkafka_error_code() {
                // The members agree on a new generation, which arrives in a moment.
                Some(Code::RebalanceInProgress) if Instant::now() < deadline => {
                    std::thread::sleep(RETRY_PAUSE);
                }
                Some(
                    Code::RebalanceInProgress
                    | Code::IllegalGeneration
                    | Code::UnknownMemberId
                    | Code::StaleMemberEpoch
                    | Code::FencedMemberEpoch
                    | Code::AssignmentLost,
                ) => return Ok(OffsetsCommitted::No(reason)),
                _ => match Error::of("committing offsets", &error) {
                    Error::Failed { reason, .. } => return Ok(OffsetsCommitted::Unknown(reason)),
                    ends => return Err(ends),
                },
            }
        }
    }

    pub fn note(&self, at: TopicPartition, note: String) {
        self.notes.borrow_mut().insert(at, note);
    }

    /// Offsets to commit, with their metadata.
    pub fn offsets(&self, positions: &[(TopicPartition, Offset)]) -> TopicPartitionList {
        let list = context::list(positions.iter().map(|(tp, next)| (tp, RawOffset::Offset(next.0))));
        for (at, note) in &*self.notes.borrow() {
            if let Some(mut element) = list.find_partition(&at.topic, at.partition.0) {
                element.set_metadata(note);
            }
        }
        list
    }

    /// Whether a broker says where the partition ends, as far as it is known.
    pub fn hears(&self, at: &TopicPartition) -> bool {
        !context::lock(&self.consumer.context().unheard).contains(at)
    }

    pub fn statistics(&self) -> ClientStatistics {
        *context::lock(&self.consumer.context().statistics)
    }
}

/// Leaves the group while rebalances are still answered as usual. A consumer that is closed while it holds
/// partitions gets its last rebalance during the close, and librdkafka may never accept the answer: the process
/// would hang.
impl Drop for GroupConsumer {
    fn drop(&mut self) {
        let deadline = Instant::now() + FAREWELL_TIMEOUT;
        self.consumer.unsubscribe();
        while Instant::now() < deadline {
            let polled = self.poll(FAREWELL_RECORDS, RETRY_PAUSE, &mut |_| {});
            let pending: Vec<PendingRebalance> =
                self.consumer.context().rebalances().pending.drain(..).collect();
            let answered = pending.iter().try_for_each(|pending| match pending {
                PendingRebalance::Assign(parts) => {
                    let starts: Vec<_> = parts.iter().map(|tp| (tp.clone(), None)).collect();
                    self.assign(&starts)
                }
                PendingRebalance::Release(parts) => self.release(parts),
            });
            // After a fatal error the consumer accepts no more calls.
            let Ok(polled) = polled.and_then(|n| answered.map(|()| n)) else { break };
            let holds = || self.consumer.assignment().is_ok_and(|list| list.count() > 0);
            if polled == 0 && pending.is_empty() && !holds() {
                break;
            }
        }
        self.consumer.context().closing.store(true, Ordering::Release);
    }
}
