use super::announcement::Announcement;
use super::now;
use crate::checkpoint::Bundles;
use crate::config::Kafka;
use crate::domain::StreamName;
use crate::kafka::{Error, Feeder};
use std::time::Duration;

/// How long an announcement may take. After that it may or may not be in the topic.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where announcements go.
pub(crate) trait Announce {
    /// Returns when the announcement is written.
    ///
    /// # Errors
    /// As [`Feeder::flush`]. The announcement may be written all the same; what the follower reads holds.
    fn announce(
        &mut self,
        stream: &StreamName,
        announcement: &Announcement,
        bundles: &Bundles,
    ) -> Result<(), Error>;
}

/// Writes announcements to the models topic. It connects at its first announcement: most processes never
/// train.
pub(crate) struct Announcer {
    kafka: Kafka,
    feeder: Option<Feeder>,
}

impl Announcer {
    pub fn new(kafka: Kafka) -> Self {
        Self { kafka, feeder: None }
    }
}

impl Announce for Announcer {
    fn announce(
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
        // A failed producer is dropped with the records that it still holds.
        self.feeder = Some(feeder);
        Ok(())
    }
}
