use super::context::ProducingContext;
use super::error::Error;
use super::producer::{Client, enqueue, flush};
use super::settings;
use crate::config::Kafka;
use crate::domain::{EventTime, Partition};
use rdkafka::producer::Producer;
use std::time::Duration;

/// An idempotent producer without transactions, for the demo, benches and tests.
pub struct Feeder {
    client: Client,
}

impl Feeder {
    /// A producer. No broker is contacted yet.
    ///
    /// # Errors
    /// [`Error::Settings`].
    pub fn connect(kafka: &Kafka) -> Result<Self, Error> {
        let client = settings::feeder(kafka)
            .create_with_context(ProducingContext::default())
            .map_err(|e| Error::of("creating a feeder", &e))?;
        Ok(Self { client })
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
        let payload = Some(payload);
        enqueue(&self.client, topic, partition, key, payload, &[], time).map_err(|e| Error::of("feeding", &e))
    }

    /// Waits until everything is acknowledged.
    ///
    /// # Errors
    /// [`Error::Failed`] when a record failed or was not acknowledged within this time.
    pub fn flush(&mut self, within: Duration) -> Result<(), Error> {
        let done = flush(&self.client, within);
        let late = || (!done).then(|| format!("records were not acknowledged within {within:?}"));
        match self.client.context().take_failure().or_else(late) {
            Some(reason) => Err(Error::Failed { doing: "feeding", reason }),
            None => Ok(()),
        }
    }
}
