use super::announcement::Announcement;
use super::now;
use crate::checkpoint::Bundles;
use crate::config::Kafka;
use crate::domain::StreamName;
use crate::kafka::{Error, Feeder};
use std::time::Duration;

/// How long an announcement may take; after it nobody knows whether it was heard.
const PATIENCE: Duration = Duration::from_secs(30);

/// Says on the models topic what was decided. Its producer is made when it is first needed: most
/// processes never train.
pub(crate) struct Announcer {
    kafka: Kafka,
    feeder: Option<Feeder>,
}

impl Announcer {
    pub fn new(kafka: Kafka) -> Self {
        Self { kafka, feeder: None }
    }

    /// Waits until the announcement is in the topic.
    ///
    /// # Errors
    /// As [`Feeder::flush`]. It may be in the topic all the same: what the follower hears holds.
    pub fn announce(
        &mut self,
        stream: &StreamName,
        announcement: &Announcement,
        bundles: &Bundles,
    ) -> Result<(), Error> {
        let mut feeder = match self.feeder.take() {
            Some(feeder) => feeder,
            None => Feeder::connect(&self.kafka)?,
        };
        let (key, value) = (stream.as_str().as_bytes(), announcement.write(bundles, now()));
        feeder.send(&self.kafka.models_topic, None, Some(key), &value, None)?;
        feeder.flush(PATIENCE)?;
        // One that has failed is given up, with what it still holds.
        self.feeder = Some(feeder);
        Ok(())
    }
}
