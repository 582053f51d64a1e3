use super::context::Event;
use super::error::Error;
use super::member::Member;
use super::offsets::{Ends, Mark};
use super::outbox::{Commit, Outbox};
use super::record::Polled;
use super::settings::{self, Identity};
use super::statistics::LinkStatistics;
use super::topics::{Topic, Topics};
use crate::config::{Config, Guarantee};
use crate::domain::{Offset, Partition, TopicPartition};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// One worker's consumer and producer.
///
/// The loop of its owner: [`poll`](Self::poll), then [`event`](Self::event) until there is none and
/// answer each, step, [`send`](Self::send), now and then [`commit`](Self::commit). Nothing blocks
/// longer than its named limit.
pub struct Link {
    // In this order they are dropped: the transaction is aborted before the partitions go.
    pub(super) outbox: Outbox,
    member: Member,
}

impl Link {
    /// Joins the group and makes the producer ready; for exactly-once this waits until what an
    /// earlier process of the same instance had left open is finished.
    ///
    /// # Errors
    /// [`Error::Settings`], [`Error::Unreachable`] after a minute, [`Error::Refused`].
    pub fn connect(config: &Config, worker: usize, topics: &[String]) -> Result<Self, Error> {
        let identity = Identity::of(&config.kafka, worker);
        let exactly_once = config.delivery.guarantee == Guarantee::ExactlyOnce;
        let brokers = &config.kafka.brokers;
        // The producer first: its orphaned transaction would hide the committed offsets.
        let named = identity.instance.is_some();
        let outbox = Outbox::open(settings::outbox(config, &identity), brokers, exactly_once, named)?;
        let member = Member::join(&settings::member(config, &identity), brokers, topics)?;
        Ok(Self { outbox, member })
    }

    /// Waits for a record at most `wait`, then hands over what is there, at most `max` records, and
    /// says how many. Returns early for an [`event`](Self::event). Must be called at least every
    /// `max.poll.interval.ms` (five minutes), or the group takes the partitions away.
    ///
    /// # Errors
    /// [`Error::Fenced`], [`Error::Fatal`], [`Error::Refused`]. Transient errors are
    /// [`Event::Trouble`].
    pub fn poll(
        &mut self,
        max: usize,
        wait: Duration,
        sink: &mut dyn FnMut(Polled<'_>),
    ) -> Result<usize, Error> {
        self.member.poll(max, wait, sink)
    }

    /// The next thing that happened, rebalances first and in their order.
    pub fn event(&mut self) -> Option<Event> {
        let troubles = || self.member.troubles().take().or_else(|| self.outbox.troubles().take());
        self.member.event().or_else(troubles)
    }

    /// Answers [`Event::Assigned`] with where to read from; `None` is the committed offset, or what
    /// `auto.offset.reset` says (the earliest) where nothing is committed. All of the event's
    /// partitions have to be in one answer.
    ///
    /// # Errors
    /// [`Error::Failed`] when librdkafka does not accept it.
    pub fn assign(&mut self, starts: &[(TopicPartition, Option<Offset>)]) -> Result<(), Error> {
        self.member.assign(starts)
    }

    /// Answers [`Event::Revoked`] and [`Event::Lost`], after the commit. No record of these
    /// partitions is polled from here on.
    ///
    /// # Errors
    /// [`Error::Failed`] when librdkafka does not accept it.
    pub fn release(&mut self, parts: &[TopicPartition]) -> Result<(), Error> {
        self.member.release(parts)
    }

    /// Goes on reading at these offsets; what was fetched from elsewhere is thrown away. For the
    /// recovery after an abort.
    ///
    /// # Errors
    /// [`Error::Failed`] after five seconds.
    pub fn seek(&mut self, places: &[(TopicPartition, Offset)]) -> Result<(), Error> {
        self.member.seek(places)
    }

    /// No record of these partitions is polled from here on, not even one that was fetched before;
    /// [`poll`](Self::poll) has to be called all the same. Where to go on reading must be said by
    /// [`seek`](Self::seek) before [`resume`](Self::resume): of a pause right after
    /// [`assign`](Self::assign) librdkafka does not always keep where it was to start
    /// (confluentinc/librdkafka#2190).
    ///
    /// # Errors
    /// [`Error::Failed`] when librdkafka does not accept it.
    pub fn pause(&mut self, parts: &[TopicPartition]) -> Result<(), Error> {
        self.member.pause(parts)
    }

    /// Ends a [`pause`](Self::pause); so does [`release`](Self::release).
    ///
    /// # Errors
    /// [`Error::Failed`] when librdkafka does not accept it.
    pub fn resume(&mut self, parts: &[TopicPartition]) -> Result<(), Error> {
        self.member.resume(parts)
    }

    /// The group's generation (under KIP-848 the member's epoch) while this is a member of it. It only
    /// grows, so of two writers of one partition the one with the greater number is the newer.
    pub fn generation(&self) -> Option<u32> {
        self.member.generation()
    }

    /// The group's committed offsets (next to read); waits for transactions that are being finished.
    ///
    /// # Errors
    /// [`Error::Unreachable`] after 30 seconds, [`Error::Refused`], [`Error::Failed`].
    pub fn committed(
        &self,
        parts: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, Option<Offset>)>, Error> {
        let marks = self.member.offset_queries().marks(parts)?;
        Ok(marks.into_iter().map(|(at, mark)| (at, mark.map(|mark| mark.next))).collect())
    }

    /// As [`committed`](Self::committed), with what was noted beside.
    ///
    /// # Errors
    /// As [`committed`](Self::committed).
    pub fn marks(&self, parts: &[TopicPartition]) -> Result<Vec<(TopicPartition, Option<Mark>)>, Error> {
        self.member.offset_queries().marks(parts)
    }

    /// Commits this beside the partition's offset, each time from now on and until it is released. Kafka
    /// takes 4,096 bytes unless its `offset.metadata.max.bytes` says otherwise.
    pub fn note(&mut self, at: TopicPartition, note: String) {
        self.member.note(at, note);
    }

    /// What each of these names stands for now.
    ///
    /// # Errors
    /// [`Error::Unreachable`] after 30 seconds, [`Error::Refused`].
    pub fn topics(&self, names: &BTreeSet<Arc<str>>) -> Result<Topics, Error> {
        self.member.topic_queries().topics(names)
    }

    /// Says what a partition's topic is, from now on and until the partition is released. When the broker that
    /// is asked knows another topic under its name, [`commit`](Self::commit) aborts. So nothing of one log is
    /// committed for the other, as long as this broker does not lag behind the partition's leader.
    pub fn reads(&mut self, at: TopicPartition, topic: Topic) {
        self.member.topic_queries().reads(at, topic);
    }

    /// Partitions whose topic was found to be gone, to be another one or to be there again, since the last call.
    /// A broker is asked every few seconds; this never waits.
    pub fn remade(&mut self) -> Vec<TopicPartition> {
        self.member.topic_queries().remade()
    }

    /// What brokers have said of the topics that are read since the last call: with each
    /// [`commit`](Self::commit), and every few seconds for [`remade`](Self::remade). Nothing is asked.
    pub fn newest_topics(&self) -> Topics {
        self.member.topic_queries().newest_topics()
    }

    /// The ends of many partitions, asked from the brokers: two requests to each.
    ///
    /// # Errors
    /// As [`committed`](Self::committed).
    pub fn ends(&self, parts: &[TopicPartition]) -> Result<Vec<(TopicPartition, Ends)>, Error> {
        self.member.offset_queries().ends(parts)
    }

    /// How many offsets lie between `next` (to read) and the partition's end, as of the newest
    /// fetch; no request is made. Where the source is written in transactions, their markers count.
    pub fn lag(&self, tp: &TopicPartition, next: Offset) -> Option<u64> {
        self.member
            .offset_queries()
            .high_watermark(tp)
            .map(|high| u64::try_from(high.0 - next.0).unwrap_or(0))
    }

    /// Queues a record for the next commit. Without a partition the key decides, as in Java.
    ///
    /// After an error that dooms the transaction, records are thrown away and the commit says
    /// [`Commit::Aborted`]: there is one place to handle it.
    ///
    /// # Errors
    /// [`Error::TooLarge`] (this record alone), [`Error::Failed`] for a topic or partition that does
    /// not exist, [`Error::Fenced`], [`Error::Fatal`].
    pub fn send(
        &mut self,
        topic: &str,
        partition: Option<Partition>,
        key: Option<&[u8]>,
        payload: &[u8],
        headers: &[(&str, &[u8])],
    ) -> Result<(), Error> {
        self.outbox.send(topic, partition, key, Some(payload), headers)
    }

    /// As [`send`](Self::send), by the key, of a record that may have no payload: a tombstone stays one.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn forward(
        &mut self,
        topic: &str,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: &[(&str, &[u8])],
    ) -> Result<(), Error> {
        self.outbox.send(topic, None, key, payload, headers)
    }

    /// Commits what was sent and, with it, where to go on reading. Whatever the outcome, the next
    /// record may be sent after it.
    ///
    /// # Errors
    /// [`Error::Fenced`], [`Error::Fatal`], [`Error::Refused`], and [`Error::Unreachable`] when no
    /// new producer could be made after an unknown outcome: the process has to end.
    pub fn commit(&mut self, positions: &[(TopicPartition, Offset)]) -> Result<Commit, Error> {
        self.outbox.commit(&self.member, positions)
    }

    /// Throws away what was sent since the last commit.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn abort(&mut self) -> Result<(), Error> {
        self.outbox.abort()
    }

    /// Leaves after the last commit: the group rebalances at once (a static member's partitions wait
    /// for it until its session ends). What was not committed is aborted.
    ///
    /// # Errors
    /// As [`abort`](Self::abort); the group is left all the same.
    pub fn leave(mut self) -> Result<(), Error> {
        self.outbox.abort()
    }

    pub fn statistics(&self) -> LinkStatistics {
        LinkStatistics { consumer: self.member.statistics(), producer: self.outbox.statistics() }
    }
}
