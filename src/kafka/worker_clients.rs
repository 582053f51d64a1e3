use super::context::Event;
use super::divergence::{Lineage, LogPosition};
use super::error::Error;
use super::group_consumer::GroupConsumer;
use super::offsets::{CommittedOffset, Watermarks};
use super::output_topics::{OutputTopics, Refusal};
use super::record::Polled;
use super::settings::{self, Identity};
use super::statistics::WorkerStatistics;
use super::topics::{TopicDescriptions, TopicState};
use super::transactional_producer::{Commit, TransactionalProducer};
use crate::config::{Config, Guarantee};
use crate::domain::{Offset, Partition, TopicPartition};
use crate::telemetry::AbortCause;
use rdkafka::ClientConfig;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// One worker's consumer and producer.
///
/// Its owner's loop is: [`poll`](Self::poll); take each [`event`](Self::event) and answer it; step;
/// [`send`](Self::send); from time to time [`commit`](Self::commit). No call blocks longer than its documented limit.
pub struct WorkerClients {
    // The order of the fields is the order of dropping: the transaction is aborted before the partitions are given up.
    pub(super) producer: TransactionalProducer,
    consumer: GroupConsumer,
    topics: Vec<String>,
    /// Of a consumer that reads single records.
    glance: ClientConfig,
    outputs: OutputTopics,
    refusal: Option<Refusal>,
}

impl WorkerClients {
    /// Joins the group and starts the producer. For exactly-once this waits until a transaction that an earlier
    /// process of the same instance left open has ended.
    ///
    /// # Errors
    /// [`Error::Settings`], [`Error::Unreachable`] after ten seconds, [`Error::Refused`].
    pub fn connect(config: &Config, worker: usize, topics: &[String]) -> Result<Self, Error> {
        let identity = Identity::of(&config.kafka, worker);
        let exactly_once = config.delivery.guarantee == Guarantee::ExactlyOnce;
        let brokers = &config.kafka.brokers;
        // The producer first: an open transaction of its predecessor would hide the committed offsets.
        let mut settings = settings::worker_producer(config, &identity);
        let outputs = OutputTopics::read(config, &settings);
        outputs.limit_batches(&mut settings);
        let producer = TransactionalProducer::open(settings, brokers, exactly_once)?;
        let consumer = GroupConsumer::join(&settings::worker_consumer(config, &identity), brokers, topics)?;
        let (topics, glance) = (topics.to_vec(), settings::glance(&config.kafka));
        Ok(Self { producer, consumer, topics, glance, outputs, refusal: None })
    }

    /// Waits for a record for at most `wait`, then hands over at most `max` fetched records, and returns how many. It
    /// returns early for an [`event`](Self::event). The group takes the partitions away unless this is called at
    /// least every `max.poll.interval.ms` (five minutes).
    ///
    /// # Errors
    /// [`Error::Fenced`], [`Error::Fatal`], [`Error::Refused`]. Transient errors are [`Event::Trouble`].
    pub fn poll(
        &mut self,
        max: usize,
        wait: Duration,
        sink: &mut dyn FnMut(Polled<'_>),
    ) -> Result<usize, Error> {
        if self.consumer.is_unknown() {
            self.consumer = self.consumer.join_again(&self.topics)?;
            return Ok(0);
        }
        match self.consumer.poll(max, wait, sink) {
            Err(Error::Fenced(_)) if self.consumer.has_met_its_ghost() => {
                self.consumer = self.consumer.join_again(&self.topics)?;
                Ok(0)
            }
            outcome => outcome,
        }
    }

    /// The next event: rebalances first, in their order.
    pub fn event(&mut self) -> Option<Event> {
        let event = self.consumer.event().or_else(|| self.producer.take_new_epoch());
        event.or_else(|| self.consumer.troubles().take()).or_else(|| self.producer.troubles().take())
    }

    /// Answers [`Event::Assigned`] with the offsets to read from. `None` stands for the committed offset, or for
    /// `auto.offset.reset` (the earliest) where nothing is committed. One answer must hold all partitions of the
    /// event.
    ///
    /// # Errors
    /// [`Error::Failed`] when librdkafka does not accept it.
    pub fn assign(&mut self, starts: &[(TopicPartition, Option<Offset>)]) -> Result<(), Error> {
        self.consumer.assign(starts)
    }

    /// Answers [`Event::Revoked`] and [`Event::Lost`], after the commit. No record of these partitions is polled from
    /// then on.
    ///
    /// # Errors
    /// [`Error::Failed`] when librdkafka does not accept it.
    pub fn release(&mut self, parts: &[TopicPartition]) -> Result<(), Error> {
        self.consumer.release(parts)
    }

    /// Reads on from these offsets, for the recovery after an abort. Records that were fetched from elsewhere are
    /// dropped.
    ///
    /// # Errors
    /// [`Error::NotYet`] after five seconds.
    pub fn seek(&mut self, places: &[(TopicPartition, Offset)]) -> Result<(), Error> {
        self.consumer.seek(places)
    }

    /// Stops handing over records of these partitions, including those fetched before. [`poll`](Self::poll) must
    /// still be called. Call [`seek`](Self::seek) before [`resume`](Self::resume): when a pause follows directly
    /// on [`assign`](Self::assign), librdkafka does not always keep the start (confluentinc/librdkafka#2190).
    ///
    /// # Errors
    /// [`Error::Failed`] when librdkafka does not accept it.
    pub fn pause(&mut self, parts: &[TopicPartition]) -> Result<(), Error> {
        self.consumer.pause(parts)
    }

    /// Ends a [`pause`](Self::pause). [`release`](Self::release) ends it, too.
    ///
    /// # Errors
    /// [`Error::Failed`] when librdkafka does not accept it.
    pub fn resume(&mut self, parts: &[TopicPartition]) -> Result<(), Error> {
        self.consumer.resume(parts)
    }

    /// The group's generation (under KIP-848 the member's epoch); `None` while this is not a member. It only grows,
    /// so of two writers of one partition the one with the greater number is the newer.
    pub fn generation(&self) -> Option<u32> {
        self.consumer.generation()
    }

    /// The group's committed offsets, which are the next to read.
    ///
    /// # Errors
    /// [`Error::NotYet`] while a transaction that may change them is open, [`Error::Unreachable`] after a few seconds,
    /// [`Error::Refused`], [`Error::Failed`].
    pub fn committed(
        &self,
        parts: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, Option<Offset>)>, Error> {
        let marks = self.consumer.offset_queries().marks(parts)?;
        Ok(marks.into_iter().map(|(at, mark)| (at, mark.map(|mark| mark.next))).collect())
    }

    /// As [`committed`](Self::committed), with the metadata committed beside the offset.
    ///
    /// # Errors
    /// As [`committed`](Self::committed).
    pub fn marks(
        &self,
        parts: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, Option<CommittedOffset>)>, Error> {
        self.consumer.offset_queries().marks(parts)
    }

    /// Sets the metadata that is committed beside the partition's offset, until the partition is released. Kafka
    /// accepts 4,096 bytes by default (`offset.metadata.max.bytes`).
    pub fn note(&mut self, at: TopicPartition, note: String) {
        self.consumer.note(at, note);
    }

    /// What a broker says about topics of these names.
    ///
    /// # Errors
    /// [`Error::Unreachable`] after five seconds, [`Error::Refused`].
    pub fn topics(&self, names: &BTreeSet<Arc<str>>) -> Result<TopicDescriptions, Error> {
        self.consumer.topic_queries().topics(names)
    }

    /// States which topic a partition belongs to, until the partition is released. When the broker that is asked
    /// knows another topic of its name, [`commit`](Self::commit) aborts. So nothing of one log is committed for
    /// another, as long as this broker does not lag behind the partition's leader.
    pub fn reads(&mut self, at: TopicPartition, topic: TopicState) {
        self.consumer.topic_queries().reads(at, topic);
    }

    /// Partitions whose topic was found, since the last call, to be gone, to be another one or to exist again. A
    /// broker is asked every few seconds; this call never waits.
    pub fn remade(&mut self) -> Vec<TopicPartition> {
        self.consumer.topic_queries().remade()
    }

    /// What brokers have said since the last call about the topics that are read: with each [`commit`](Self::commit),
    /// and every few seconds for [`remade`](Self::remade). No request is made.
    pub fn newest_topics(&self) -> TopicDescriptions {
        self.consumer.topic_queries().newest_topics()
    }

    /// The first and the next offset of many partitions, with two requests to each broker.
    ///
    /// # Errors
    /// As [`committed`](Self::committed).
    pub fn ends(&self, parts: &[TopicPartition]) -> Result<Vec<(TopicPartition, Watermarks)>, Error> {
        self.consumer.offset_queries().ends(parts)
    }

    /// What the partitions' leaders say about positions up to which their logs were read. One request to each broker
    /// where no leader has changed since; else a fraction of a second for each topic.
    ///
    /// # Errors
    /// As [`committed`](Self::committed).
    pub fn lineages(&self, places: &[LogPosition]) -> Result<Vec<Lineage>, Error> {
        self.consumer.offset_queries().lineages(&self.glance, places)
    }

    /// How many offsets lie between `next`, the next to read, and the partition's end as of the newest fetch; `None` before
    /// the first one, and while no broker answers for the partition. Negative where the log ends before `next`. No request is
    /// made. Markers of transactions count.
    pub fn lag(&self, tp: &TopicPartition, next: Offset) -> Option<i64> {
        if !self.consumer.hears(tp) {
            return None;
        }
        self.consumer.offset_queries().high_watermark(tp).map(|high| high.0 - next.0)
    }

    /// Queues a record for the next commit. Without a partition the key chooses it, as in Java's client.
    ///
    /// After an error that rules out the commit, records are dropped and the commit returns [`Commit::Aborted`], so
    /// that there is one place to handle it.
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
        self.producer.send(topic, partition, key, Some(payload), headers)
    }

    /// As [`send`](Self::send), with the partition chosen by the key, for a record that may be a tombstone.
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
        if self.outputs.is_too_large(topic, key, payload, headers) {
            let bytes = payload.map_or(0, <[u8]>::len);
            return Err(Error::TooLarge { topic: topic.to_owned(), bytes });
        }
        self.producer.send(topic, None, key, payload, headers)
    }

    /// How many bytes of payload a record of this topic may have beside its key and headers.
    pub fn payload_room(&self, topic: &str, key: Option<&[u8]>, headers: &[(&str, &[u8])]) -> usize {
        self.outputs.payload_room(topic, key, headers)
    }

    /// Whether a record of this topic needs a key, because the topic is compacted.
    pub fn needs_key(&self, topic: &str) -> bool {
        self.outputs.needs_key(topic)
    }

    /// Why a broker has refused records, where the last commit was aborted for that. What the topics take was read again
    /// since.
    pub fn take_refusal(&mut self) -> Option<Refusal> {
        self.refusal.take()
    }

    /// Commits what was sent, together with the offsets to read next. After each outcome the next record can be
    /// sent.
    ///
    /// # Errors
    /// [`Error::Fenced`], [`Error::Fatal`], [`Error::Refused`]: the process has to end. A transient error when no
    /// new producer could be started after an unknown outcome: the committed offsets say nothing before
    /// [`abort`](Self::abort) has succeeded.
    pub fn commit(&mut self, positions: &[(TopicPartition, Offset)]) -> Result<Commit, Error> {
        let outcome = self.producer.commit(&self.consumer, positions)?;
        self.refusal = self.producer.take_refusal();
        match &self.refusal {
            Some(refusal) => {
                self.outputs.learn(refusal);
                if refusal.cause == AbortCause::TooLarge {
                    self.producer.limit_batches(&self.outputs)?;
                }
            }
            None => self.outputs.refresh(),
        }
        Ok(outcome)
    }

    /// Discards what was sent since the last commit.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn abort(&mut self) -> Result<(), Error> {
        self.producer.abort()
    }

    /// Leaves the group. What was not committed is aborted. The group rebalances at once, except that it keeps a
    /// static member's partitions until its session ends.
    ///
    /// # Errors
    /// As [`abort`](Self::abort). The group is left also then.
    pub fn leave(mut self) -> Result<(), Error> {
        self.producer.abort()
    }

    /// What both clients reported last.
    pub fn statistics(&self) -> WorkerStatistics {
        WorkerStatistics { consumer: self.consumer.statistics(), producer: self.producer.statistics() }
    }
}
