//! The seasons of streams that seek them: those that are kept in the store, else what their past says.

use super::Error;
use crate::checkpoint::{KeptSeasons, Store};
use crate::codec::Decoder;
use crate::config::{Config, SeasonsFrom, Stream};
use crate::domain::{Partition, TopicPartition};
use crate::kafka::{self, TopicReader};
use crate::registry::RegistryClient;
use crate::schemas::SchemaSource;
use crate::series::SeasonSample;
use crate::telemetry::events;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest look into the past of all streams together: each has an equal share. A start waits for it, but
/// only until their seasons are settled.
const LOOK_LIMIT: Duration = Duration::from_secs(20);
/// What an error says was being done.
const LOOKING: &str = "looking into the past";
/// The longest wait for records.
const WAIT: Duration = Duration::from_millis(100);
/// After so long without a record no broker answers.
const SILENCE: Duration = Duration::from_secs(5);
/// Records that are taken at once.
const RECORDS: usize = 10_000;

/// The config with the seasons of all streams that seek theirs: those that were settled before; else what
/// their past says, or their interval where that is too short, settled for all replicas and for ever.
///
/// # Errors
/// When the store or Kafka can't be read, or another key of the config can't go with what was settled.
pub(super) fn settle(config: Config, partitions: &BTreeMap<String, usize>) -> Result<Config, Error> {
    if config.streams.iter().all(|s| s.seasons_from != SeasonsFrom::Undetected) {
        return Ok(config);
    }
    let store = Store::open(&config.store)?;
    let mut config = KeptSeasons::recall(config, &store)?;
    let is_undetected = |stream: &Arc<Stream>| stream.seasons_from == SeasonsFrom::Undetected;
    let seeking: Vec<Arc<Stream>> = config.streams.iter().filter(|s| is_undetected(s)).cloned().collect();
    for stream in &seeking {
        let until = Instant::now() + LOOK_LIMIT / seeking.len() as u32;
        let found = seek(&config, stream, partitions, until)?;
        config = found.settle(config, &store, &stream.name)?;
    }
    Ok(config)
}

/// What a stream's past says, if it says something that goes with the config; else what the interval does.
fn seek(
    config: &Config,
    stream: &Stream,
    partitions: &BTreeMap<String, usize>,
    until: Instant,
) -> Result<KeptSeasons, Error> {
    events::seeking_seasons(&stream.name);
    let (sample, whole) = look(config, stream, partitions, until)?;
    let (series, readings) = sample.size();
    let usual = KeptSeasons::usual(stream, series, readings);
    let Some(steps) = sample.seasons() else {
        events::seasons_unknown(&stream.name, series, readings, whole);
        return Ok(usual);
    };
    let found = KeptSeasons { steps, found: true, ..usual.clone() };
    match found.put_into(config.clone(), &stream.name) {
        Ok(_) => Ok(found),
        Err(cause) => {
            events::seasons_unusable(&stream.name, &found.steps, &cause);
            Ok(usual)
        }
    }
}

/// Reads the stream's past, one partition after the other, so that few series are read far; says whether all
/// of it was read that could tell more.
fn look(
    config: &Config,
    stream: &Stream,
    partitions: &BTreeMap<String, usize>,
    until: Instant,
) -> Result<(SeasonSample, bool), Error> {
    let mut schemas: Option<Arc<dyn SchemaSource>> = None;
    if let Some(registry) = config.registry.as_ref().filter(|_| stream.format.has_schemas()) {
        schemas = Some(Arc::new(RegistryClient::new(registry)?));
    }
    let (mut sample, mut decoder) = (SeasonSample::new(stream), Decoder::with_schemas(stream, schemas));
    let mut heard = Instant::now();
    for topic in &stream.topics {
        let count = partitions.get(topic).copied().unwrap_or(0);
        for partition in (0..).map(Partition).take(count) {
            let tp = TopicPartition { topic: topic.as_str().into(), partition };
            let mut tail = TopicReader::partition(&config.kafka, tp)?;
            while !tail.at_end() {
                if sample.is_full() {
                    return Ok((sample, true));
                }
                if Instant::now() >= until {
                    // What is settled now holds for ever, and a broker that is away says nothing about the past.
                    if heard.elapsed() >= SILENCE {
                        let reason = format!("no record of {topic} comes, and not its end either");
                        return Err(kafka::Error::NotYet { doing: LOOKING, reason }.into());
                    }
                    return Ok((sample, false));
                }
                let mut is_registry_away = false;
                let taken = tail.poll(RECORDS, WAIT, &mut |polled| {
                    is_registry_away |= decoder.awaits_schema(&polled.as_source());
                    if is_registry_away {
                        return;
                    }
                    // What is bad becomes a dead letter when it is read to be answered.
                    let _ = decoder.decode(&polled.as_source(), &mut |reading| {
                        if stream.reads_series(reading.series) {
                            sample.add(&reading);
                        }
                    });
                })?;
                if is_registry_away {
                    let reason = "the schema registry does not answer".to_owned();
                    return Err(kafka::Error::NotYet { doing: LOOKING, reason }.into());
                }
                if taken > 0 {
                    heard = Instant::now();
                }
            }
            heard = Instant::now();
        }
    }
    Ok((sample, true))
}
