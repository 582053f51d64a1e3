use super::admin;
use super::consumer::drain;
use super::context::{self, ConsumingContext};
use super::error::Error;
use super::record::{Polled, Record};
use super::settings;
use crate::config::Kafka;
use crate::domain::{Offset, Partition, TopicPartition};
use crate::telemetry::ClientStatistics;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Offset as RawOffset};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest wait for a single record. Who asks, asks again.
const GLANCE_TIMEOUT: Duration = Duration::from_secs(15);

/// How often it is looked whether a record has come.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Where a [`TopicReader`] begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the first record.
    Beginning,
    /// After the last record at the time of opening.
    End,
}

/// A consumer that reads committed records without a group.
pub struct TopicReader {
    consumer: BaseConsumer<ConsumingContext>,
    partitions: usize,
    /// Partitions whose last record was read.
    ended: BTreeSet<i32>,
}

impl TopicReader {
    /// Reads all partitions of a topic.
    ///
    /// # Errors
    /// [`Error::MissingTopics`], [`Error::Unreachable`], [`Error::Settings`].
    pub fn open(kafka: &Kafka, topic: &str, start: Start) -> Result<Self, Error> {
        let consumer = client(settings::topic_reader(kafka))?;
        let all = admin::partitions(consumer.client(), &kafka.brokers, Some(topic))?;
        let count = all.get(topic).copied().unwrap_or(0);
        if count == 0 {
            return Err(Error::MissingTopics(vec![topic.to_owned()]));
        }
        let mut starts = Vec::with_capacity(count);
        for partition in (0..).map(Partition).take(count) {
            let tp = TopicPartition { topic: topic.into(), partition };
            let at = match start {
                Start::Beginning => RawOffset::Beginning,
                Start::End => {
                    let ends = consumer.fetch_watermarks(topic, partition.0, ANSWER_TIMEOUT);
                    RawOffset::Offset(ends.map_err(|e| Error::of("asking for a partition's ends", &e))?.1)
                }
            };
            starts.push((tp, at));
        }
        Self::assigned(consumer, &starts)
    }

    /// Reads one partition from its first record on.
    ///
    /// # Errors
    /// [`Error::Settings`], [`Error::Failed`].
    pub fn partition(kafka: &Kafka, tp: TopicPartition) -> Result<Self, Error> {
        Self::assigned(client(settings::topic_reader(kafka))?, &[(tp, RawOffset::Beginning)])
    }

    /// The first offset whose timestamp is at most `back` earlier than that of the last record before `next`; `next`
    /// when there is no such record.
    ///
    /// # Errors
    /// [`Error::Settings`], [`Error::Fatal`], [`Error::Refused`], [`Error::Failed`], [`Error::Unreachable`]
    /// after 15 seconds, [`Error::NotYet`].
    pub fn offset_before(
        kafka: &Kafka,
        tp: &TopicPartition,
        next: Offset,
        back: Duration,
    ) -> Result<Offset, Error> {
        let last = Self::first(kafka, tp, Offset(next.0 - 1), GLANCE_TIMEOUT)?;
        let Some(newest) = last.and_then(|record| record.time) else { return Ok(next) };
        let back_us = i64::try_from(back.as_micros()).unwrap_or(i64::MAX);
        let millis = newest.offset_by(-back_us).as_micros().div_euclid(1_000).max(0);
        let list = context::list([(tp, RawOffset::Offset(millis))]);
        let answer = client(settings::glance(kafka))?
            .offsets_for_times(list, ANSWER_TIMEOUT)
            .map_err(|e| Error::of("asking for the offset at a time", &e))?;
        let found = answer.find_partition(&tp.topic, tp.partition.0).map(|e| e.offset());
        Ok(match found {
            Some(RawOffset::Offset(offset)) => Offset(offset),
            _ => next,
        })
    }

    /// A copy of the first record at or after an offset; `None` at the end of the partition.
    fn first(
        kafka: &Kafka,
        tp: &TopicPartition,
        offset: Offset,
        within: Duration,
    ) -> Result<Option<Record>, Error> {
        let deadline = Instant::now() + within;
        let mut tail =
            Self::assigned(client(settings::glance(kafka))?, &[(tp.clone(), RawOffset::Offset(offset.0))])?;
        let mut found = None;
        while found.is_none() && tail.ended.is_empty() && Instant::now() < deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            tail.poll(1, left, &mut |polled| found = Some(polled.to_record()))?;
        }
        if found.is_none() && tail.ended.is_empty() {
            let reason = format!("no answer about offset {offset} of {tp}");
            return Err(Error::Unreachable { brokers: kafka.brokers.clone(), waited: within, reason });
        }
        Ok(found)
    }

    fn assigned(
        consumer: BaseConsumer<ConsumingContext>,
        starts: &[(TopicPartition, RawOffset)],
    ) -> Result<Self, Error> {
        let list = context::list(starts.iter().map(|(tp, at)| (tp, *at)));
        consumer.assign(&list).map_err(|e| Error::of("taking partitions", &e))?;
        Ok(Self { consumer, partitions: starts.len(), ended: BTreeSet::new() })
    }

    /// As [`WorkerClients::poll`](super::WorkerClients::poll).
    ///
    /// # Errors
    /// [`Error::Fatal`], [`Error::Refused`].
    pub fn poll(
        &mut self,
        max: usize,
        wait: Duration,
        sink: &mut dyn FnMut(Polled<'_>),
    ) -> Result<usize, Error> {
        // librdkafka would wait until a time of the wall clock. Where that is set back, a reader of a topic without new
        // records would wait for as long.
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let ended = self.ended.len();
            let taken = self.poll_fetched(max, sink)?;
            if taken > 0 || self.ended.len() != ended || left.is_zero() {
                return Ok(taken);
            }
            std::thread::sleep(LOOK_EVERY.min(left));
        }
    }

    fn poll_fetched(&mut self, max: usize, sink: &mut dyn FnMut(Polled<'_>)) -> Result<usize, Error> {
        let mut ends = Vec::new();
        let ended = &mut self.ended;
        let taken = drain(
            &self.consumer,
            max,
            Duration::ZERO,
            &mut |polled| {
                ended.remove(&polled.partition.0);
                sink(polled);
            },
            |error| match error {
                KafkaError::PartitionEOF(partition) => {
                    ends.push(partition);
                    Ok(())
                }
                other => match Error::of("reading", &other) {
                    Error::Failed { .. } | Error::NotYet { .. } => Ok(()),
                    ends => Err(ends),
                },
            },
        )?;
        self.ended.extend(ends);
        Ok(taken)
    }

    /// A copy of the next record; `None` when there is none within `wait`.
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    pub fn next(&mut self, wait: Duration) -> Result<Option<Record>, Error> {
        let deadline = Instant::now() + wait;
        let mut found = None;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            self.poll(1, left, &mut |polled| found = Some(polled.to_record()))?;
            if found.is_some() || left.is_zero() {
                return Ok(found);
            }
        }
    }

    /// What the consumer has reported last.
    pub fn statistics(&self) -> ClientStatistics {
        *context::lock(&self.consumer.context().statistics)
    }

    /// Whether the last record of every partition was read.
    pub fn at_end(&self) -> bool {
        self.ended.len() == self.partitions
    }
}

fn client(settings: ClientConfig) -> Result<BaseConsumer<ConsumingContext>, Error> {
    settings.create_with_context(ConsumingContext::default()).map_err(|e| Error::of("creating a reader", &e))
}
