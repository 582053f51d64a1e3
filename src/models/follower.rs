//! Follows the models topic: a stream's last announcement says which model serves it. That model may be older
//! or newer than the one before it. The follower has a thread of its own; workers look at a counter alone.

use super::Error;
use super::announcement::{Announcement, BundleRef};
use super::serving::{ModelState, Models};
use crate::checkpoint::{self, Bundles, Store};
use crate::config::{Config, Kafka, Stream};
use crate::domain::{ModelVersion, StreamName};
use crate::engine::Model;
use crate::kafka::{self, Polled, Start, TopicReader};
use crate::nn::{self, Networks};
use crate::telemetry::{Metrics, events};
use crate::training::{Shapes, device};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The longest wait for the next record, or for the end of the topic, at the start. Who starts it tries again.
const START_LIMIT: Duration = Duration::from_secs(15);
/// The longest wait for an announcement before the stop flag is checked.
const WAIT: Duration = Duration::from_millis(100);
/// The most announcements in one poll.
const RECORDS: usize = 1_000;
/// The pause between two tries to load an announced bundle. Each is twice as long as the one before.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_LONGEST: Duration = Duration::from_secs(60);

/// The reader of the models topic.
pub(crate) struct Follower {
    tail: TopicReader,
    store: Store,
    streams: Vec<Arc<Stream>>,
    models: Models,
    metrics: Metrics,
    /// Announced bundles that could not be loaded yet.
    missing: BTreeMap<StreamName, MissingBundle>,
}

struct MissingBundle {
    named: BundleRef,
    pause: Duration,
    next: Instant,
}

/// Why an announced model does not serve here.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error("the config asks for another shape")]
    Shape,
    #[error("the store does not have it: do all replicas have one store?")]
    Gone,
    #[error(transparent)]
    Store(#[from] checkpoint::Error),
    #[error("the network: {0}")]
    Network(#[from] nn::Error),
}

impl Follower {
    /// Reads the topic to its end.
    ///
    /// # Errors
    /// When Kafka can't be read.
    pub fn open(config: &Config, store: &Store, models: &Models, metrics: &Metrics) -> Result<Self, Error> {
        let Kafka { models_topic, brokers, .. } = &config.kafka;
        let mut follower = Self {
            tail: TopicReader::open(&config.kafka, models_topic, Start::Beginning)?,
            store: store.clone(),
            streams: config.streams.clone(),
            models: models.clone(),
            metrics: metrics.clone(),
            missing: BTreeMap::new(),
        };
        for stream in &config.streams {
            events::device_chosen(&stream.name, &device(stream)?.name());
        }
        let mut until = Instant::now() + START_LIMIT;
        while !follower.tail.at_end() {
            if Instant::now() >= until {
                let (brokers, reason) = (brokers.clone(), format!("the end of {models_topic} does not come"));
                return Err(kafka::Error::Unreachable { brokers, waited: START_LIMIT, reason }.into());
            }
            if follower.read_announcements()?.1 > 0 {
                until = Instant::now() + START_LIMIT;
            }
        }
        Ok(follower)
    }

    /// Reads the topic to its end, and publishes the model of each stream: the one that was announced last. If
    /// its bundle can't be loaded, the newest bundle serves in its place, unless it was announced that the
    /// experts serve alone.
    ///
    /// # Errors
    /// When Kafka or the store can't be read, or a stream's device is not there.
    pub fn start(config: &Config, store: &Store, models: &Models, metrics: &Metrics) -> Result<Self, Error> {
        let mut follower = Self::open(config, store, models, metrics)?;
        for stream in config.streams.clone() {
            let state = follower.models.state(&stream.name);
            if let Some(named) = state.announced {
                follower.follow(&stream, named);
            }
            if !state.dismissed
                && follower.models.current(&stream.name).is_none()
                && let Some(champion) = Bundles::new(store, &stream.name).newest(&Shapes::of(&stream)?)?
            {
                follower.publish(&stream.name, model(&stream, champion.version, &champion.networks)?);
            }
        }
        Ok(follower)
    }

    /// Follows until it is asked to stop.
    ///
    /// # Errors
    /// When Kafka can't be read. A store that fails is tried again.
    pub fn run(mut self, stop: &AtomicBool) -> Result<(), Error> {
        let client = self.metrics.kafka_client("models");
        while !stop.load(Ordering::Acquire) {
            client.update(&self.tail.statistics());
            let (mut changed, _) = self.read_announcements()?;
            let now = Instant::now();
            changed.extend(self.missing.iter().filter(|(_, m)| m.next <= now).map(|(name, _)| name.clone()));
            for name in changed {
                let Some(stream) = self.streams.iter().find(|s| s.name == name).cloned() else { continue };
                match self.models.state(&name) {
                    ModelState { announced: Some(named), .. } => self.follow(&stream, named),
                    ModelState { dismissed: true, .. } => self.dismiss(&name),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Records the announcements since the last call, and returns their streams and how many records there were.
    fn read_announcements(&mut self) -> Result<(Vec<StreamName>, usize), kafka::Error> {
        let Self { tail, store, streams, models, .. } = self;
        let mut announced = Vec::new();
        let taken = tail.poll(RECORDS, WAIT, &mut |record| {
            announced.extend(record_announcement(&record, streams, store, models));
        })?;
        announced.sort_unstable();
        announced.dedup();
        Ok((announced, taken))
    }

    /// Lets an announced model serve, unless it serves already. A bundle that can't be loaded is tried again.
    fn follow(&mut self, stream: &Stream, named: BundleRef) {
        let name = &stream.name;
        let missing = self.missing.remove(name).filter(|missing| missing.named == named);
        if self.models.state(name).version() == Some(named.version) {
            return;
        }
        match self.load(stream, named) {
            Ok(model) => self.publish(name, model),
            Err(cause) => {
                events::model_not_followed(name, named.version, &cause);
                self.metrics.stream(name).model_failures.inc();
                // Another shape stays another one until the config changes.
                if !matches!(cause, FollowError::Shape) {
                    let pause = missing.map_or(PAUSE_FIRST, |m| (2 * m.pause).min(PAUSE_LONGEST));
                    let next = Instant::now() + pause;
                    self.missing.insert(name.clone(), MissingBundle { named, pause, next });
                }
            }
        }
    }

    /// Lets the experts serve alone.
    fn dismiss(&mut self, stream: &StreamName) {
        self.missing.remove(stream);
        if self.models.dismiss(stream) {
            events::model_dismissed(stream);
        }
    }

    fn load(&self, stream: &Stream, named: BundleRef) -> Result<Model, FollowError> {
        let bundles = Bundles::new(&self.store, &stream.name);
        let champion = bundles.load_exactly(named.version, named.checksum)?.ok_or(FollowError::Gone)?;
        let networks = Shapes::of(stream)?.fitting(&champion.networks);
        if networks.is_empty() {
            return Err(FollowError::Shape);
        }
        Ok(model(stream, named.version, &networks)?)
    }

    fn publish(&self, stream: &StreamName, model: Model) {
        events::model_loaded(stream, model.version);
        self.models.publish(stream, model);
    }
}

fn model(stream: &Stream, version: ModelVersion, networks: &Networks) -> Result<Model, nn::Error> {
    Ok(Model { version, networks: Shapes::of(stream)?.weights(networks), device: device(stream)? })
}

/// Records an announcement, and returns its stream. `None` for a record of another stream, or for one that is
/// no announcement.
fn record_announcement(
    record: &Polled<'_>,
    streams: &[Arc<Stream>],
    store: &Store,
    models: &Models,
) -> Option<StreamName> {
    let stream = streams.iter().find(|s| Some(s.name.as_str().as_bytes()) == record.key)?;
    // A tombstone announces nothing.
    let announcement = Announcement::read(record.payload?, &Bundles::new(store, &stream.name));
    match announcement {
        Ok(announcement) => {
            models.announced(&stream.name, &announcement);
            Some(stream.name.clone())
        }
        Err(cause) => {
            events::announcement_unreadable(&stream.name, record.offset, &cause);
            None
        }
    }
}
