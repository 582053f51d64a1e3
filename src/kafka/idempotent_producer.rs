use super::error::Error;
use super::producer::enqueue;
use super::producing_client::Client;
use super::settings;
use super::topic_handles::{Outgoing, TopicHandles};
use crate::config::Kafka;
use crate::domain::{EventTime, Partition};
use std::time::Duration;

/// An idempotent producer without transactions, for the demo, benches and tests.
pub struct IdempotentProducer {
    // Dropped before the client, which they belong to.
    topics: TopicHandles,
    client: Client,
}

impl IdempotentProducer {
    /// A producer. No broker is contacted yet.
    ///
    /// # Errors
    /// [`Error::Settings`].
    pub fn connect(kafka: &Kafka) -> Result<Self, Error> {
        let settings = settings::idempotent_producer(kafka);
        let client = Client::create(&settings).map_err(|e| Error::of("creating a producer", &e))?;
        Ok(Self { topics: TopicHandles::default(), client })
    }

    /// Queues a record, and waits while the queue is full. Without a partition the key chooses it. Without a time the
    /// record gets the present time.
    ///
    /// # Errors
    /// [`Error::Failed`] when librdkafka refuses it.
    pub fn send(
        &mut self,
        topic: &str,
        partition: Option<Partition>,
        key: Option<&[u8]>,
        payload: &[u8],
        time: Option<EventTime>,
    ) -> Result<(), Error> {
        let record = Outgoing {
            topic,
            partition: partition.map(|p| p.0),
            key,
            payload: Some(payload),
            headers: &[],
            timestamp: time.map(|t| t.as_micros().div_euclid(1_000)),
        };
        enqueue(&self.client, &mut self.topics, &record).map_err(|e| Error::of("sending", &e))
    }

    /// Waits until everything is acknowledged.
    ///
    /// # Errors
    /// [`Error::Failed`] when a record failed or was not acknowledged within this time.
    pub fn flush(&mut self, within: Duration) -> Result<(), Error> {
        let done = self.client.flush(within);
        let late = || (!done).then(|| format!("records were not acknowledged within {within:?}"));
        match self.client.context().take_failure().or_else(late) {
            Some(reason) => Err(Error::Failed { doing: "sending", reason }),
            None => Ok(()),
        }
    }
}
