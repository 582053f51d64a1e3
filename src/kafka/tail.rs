use super::admin;
use super::consumer::drain;
use super::context::{self, MemberContext};
use super::error::Error;
use super::record::{Polled, Record};
use super::settings;
use crate::config::Kafka;
use crate::domain::{Offset, Partition, TopicPartition};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Offset as RawOffset};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Records that are looked at together where one of each partition is wanted.
const GLANCE: usize = 100;

/// Where a [`Tail`] begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Beginning,
    /// After the last record that is there when it is opened.
    End,
}

/// Reads committed records without a group: for `tap`, the demo and tests.
pub struct Tail {
    consumer: BaseConsumer<MemberContext>,
    partitions: usize,
    /// Partitions of which the last record was read.
    ended: BTreeSet<i32>,
}

impl Tail {
    /// All partitions of a topic.
    ///
    /// # Errors
    /// [`Error::MissingTopics`], [`Error::Unreachable`], [`Error::Settings`].
    pub fn open(kafka: &Kafka, topic: &str, start: Start) -> Result<Self, Error> {
        let consumer = client(settings::tail(kafka))?;
        let all = admin::partitions(consumer.client(), &kafka.brokers, Some(topic))?;
        let count = all.get(topic).copied().unwrap_or(0);
        if count == 0 {
            return Err(Error::MissingTopics(vec![topic.to_owned()]));
        }
        let mut starts = Vec::with_capacity(count);
        for partition in (0..).map(Partition).take(count) {
            let tp = TopicPartition { topic: topic.into(), partition };
            let (low, high) = consumer
                .fetch_watermarks(topic, partition.0, ANSWER_TIMEOUT)
                .map_err(|e| Error::of("asking for a partition's ends", &e))?;
            starts.push((tp, Offset(if start == Start::Beginning { low } else { high })));
        }
        Self::assigned(consumer, &starts)
    }

    /// The first record at or after each offset, copied; `None` where there is none, or none came
    /// `within`. One connection for each topic.
    ///
    /// # Errors
    /// [`Error::Settings`], [`Error::Fatal`], [`Error::Refused`].
    pub fn firsts(
        kafka: &Kafka,
        places: &[(TopicPartition, Offset)],
        within: Duration,
    ) -> Result<Vec<(TopicPartition, Option<Record>)>, Error> {
        let deadline = Instant::now() + within;
        let mut found: Vec<_> = places.iter().map(|(tp, _)| (tp.clone(), None)).collect();
        let topics: BTreeSet<&str> = places.iter().map(|(tp, _)| &*tp.topic).collect();
        for topic in topics {
            let starts: Vec<_> = places.iter().filter(|(tp, _)| &*tp.topic == topic).cloned().collect();
            let mut tail = Self::assigned(client(settings::glance(kafka))?, &starts)?;
            let mut missing: BTreeSet<i32> = starts.iter().map(|(tp, _)| tp.partition.0).collect();
            while !missing.is_subset(&tail.ended) && Instant::now() < deadline {
                let left = deadline.saturating_duration_since(Instant::now());
                tail.poll(GLANCE, left, &mut |polled| {
                    if missing.remove(&polled.partition.0) {
                        let mine =
                            |tp: &TopicPartition| &*tp.topic == topic && tp.partition == polled.partition;
                        let place = found.iter_mut().find(|(tp, _)| mine(tp)).expect("it was asked for");
                        place.1 = Some(polled.to_record());
                    }
                })?;
            }
        }
        Ok(found)
    }

    fn assigned(
        consumer: BaseConsumer<MemberContext>,
        starts: &[(TopicPartition, Offset)],
    ) -> Result<Self, Error> {
        let list = context::list(starts.iter().map(|(tp, at)| (tp, RawOffset::Offset(at.0))));
        consumer.assign(&list).map_err(|e| Error::of("taking partitions", &e))?;
        Ok(Self { consumer, partitions: starts.len(), ended: BTreeSet::new() })
    }

    /// As [`Link::poll`](super::Link::poll).
    ///
    /// # Errors
    /// [`Error::Fatal`], [`Error::Refused`].
    pub fn poll(
        &mut self,
        max: usize,
        wait: Duration,
        sink: &mut dyn FnMut(Polled<'_>),
    ) -> Result<usize, Error> {
        let mut ends = Vec::new();
        let ended = &mut self.ended;
        let taken = drain(
            &self.consumer,
            max,
            wait,
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
                    Error::Failed { .. } => Ok(()),
                    ends => Err(ends),
                },
            },
        )?;
        self.ended.extend(ends);
        Ok(taken)
    }

    /// The next record, copied.
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

    /// Whether every partition's last record was read.
    pub fn at_end(&self) -> bool {
        self.ended.len() == self.partitions
    }
}

fn client(settings: ClientConfig) -> Result<BaseConsumer<MemberContext>, Error> {
    settings.create_with_context(MemberContext::default()).map_err(|e| Error::of("creating a reader", &e))
}
