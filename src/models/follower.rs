//! Follows the models topic: the last announcement of a stream says which model serves it, be it older or
//! newer than the one before. On a thread beside the workers, which look at a counter alone.

use super::Error;
use super::announcement::{Announcement, BundleRef};
use super::serving::{ModelState, Models};
use crate::checkpoint::{self, Bundles, Store};
use crate::config::{Config, Kafka, Stream};
use crate::domain::{ModelVersion, StreamName};
use crate::engine::Model;
use crate::kafka::{self, Polled, Start, Tail};
use crate::nn::{self, Networks};
use crate::telemetry::{Metrics, events};
use crate::training::{Shapes, device};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The longest that the topic may take to be read to its end at the start.
const START_LIMIT: Duration = Duration::from_secs(60);
/// The longest wait for an announcement before a look at the stop sign.
const WAIT: Duration = Duration::from_millis(100);
/// Announcements that are taken at once.
const RECORDS: usize = 1_000;
/// Between two tries to load an announced bundle; each pause is twice as long as the one before.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_LONGEST: Duration = Duration::from_secs(60);

/// The reader of the models topic.
pub(crate) struct Follower {
    tail: Tail,
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
            tail: Tail::open(&config.kafka, models_topic, Start::Beginning)?,
            store: store.clone(),
            streams: config.streams.clone(),
            models: models.clone(),
            metrics: metrics.clone(),
            missing: BTreeMap::new(),
        };
        for stream in &config.streams {
            events::device_chosen(&stream.name, &device(stream)?.name());
        }
        let until = Instant::now() + START_LIMIT;
        while !follower.tail.at_end() {
            if Instant::now() >= until {
                let (brokers, reason) = (brokers.clone(), format!("the end of {models_topic} does not come"));
                return Err(kafka::Error::Unreachable { brokers, waited: START_LIMIT, reason }.into());
            }
            follower.hear()?;
        }
        Ok(follower)
    }

    /// Reads the topic to its end, and says of each stream which model serves: the one that was announced
    /// last, where its bundle can be had; else the newest bundle, unless the experts are to serve alone.
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
    /// When Kafka refuses to be read. A store that fails is asked again.
    pub fn run(mut self, stop: &AtomicBool) -> Result<(), Error> {
        while !stop.load(Ordering::Acquire) {
            let mut news = self.hear()?;
            let now = Instant::now();
            news.extend(self.missing.iter().filter(|(_, m)| m.next <= now).map(|(name, _)| name.clone()));
            for name in news {
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

    /// Notes what was announced since the last call, and says of which streams.
    fn hear(&mut self) -> Result<Vec<StreamName>, kafka::Error> {
        let Self { tail, store, streams, models, .. } = self;
        let mut heard = Vec::new();
        tail.poll(RECORDS, WAIT, &mut |record| heard.extend(note(&record, streams, store, models)))?;
        heard.sort_unstable();
        heard.dedup();
        Ok(heard)
    }

    /// Lets an announced model serve, unless it does or its bundle can't be had; then it is tried again.
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

/// Notes an announcement, and says of which stream it is; `None` for one that is of none of ours, or none.
fn note(record: &Polled<'_>, streams: &[Arc<Stream>], store: &Store, models: &Models) -> Option<StreamName> {
    let stream = streams.iter().find(|s| Some(s.name.as_str().as_bytes()) == record.key)?;
    // A tombstone says nothing.
    let announcement = Announcement::read(record.payload?, &Bundles::new(store, &stream.name));
    match announcement {
        Ok(announcement) => {
            models.note(&stream.name, &announcement);
            Some(stream.name.clone())
        }
        Err(cause) => {
            events::announcement_unreadable(&stream.name, record.offset, &cause);
            None
        }
    }
}
