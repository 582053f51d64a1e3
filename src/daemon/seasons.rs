//! The seasons of streams that seek them: those that are kept in the store, else what their past says.

use super::Error;
use super::owned::as_record;
use crate::checkpoint::{self, KeptSeasons, Store};
use crate::codec::Decoder;
use crate::config::{Config, SeasonsFrom, Stream};
use crate::domain::{Partition, TopicPartition};
use crate::kafka::{self, Tail};
use crate::series::Sample;
use crate::telemetry::events;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest look into a stream's past. A start waits for it, but only until seasons were found once.
const LOOK_LIMIT: Duration = Duration::from_secs(20);
/// The longest wait for records.
const WAIT: Duration = Duration::from_millis(100);
/// Records that are taken at once.
const RECORDS: usize = 10_000;

/// The config with the seasons of all streams that seek theirs. A stream whose past is too short keeps
/// those that its interval says.
///
/// # Errors
/// When the store or Kafka can't be read, or another key of the config can't go with what was found.
pub(super) fn settle(mut config: Config, partitions: &BTreeMap<String, usize>) -> Result<Config, Error> {
    let seeking: Vec<Arc<Stream>> =
        config.streams.iter().filter(|s| s.seasons_from == SeasonsFrom::Sought).cloned().collect();
    if seeking.is_empty() {
        return Ok(config);
    }
    let store = Store::open(&config.store)?;
    for stream in seeking {
        let found = match kept(&store, &stream)? {
            Some(steps) => Some(steps),
            None => look(&config, &stream, partitions)?
                .map(|found| found.settle(&store, &stream.name))
                .transpose()?
                .map(|kept| kept.steps),
        };
        if let Some(steps) = found {
            config = config.with_seasons(&stream.name, &steps)?;
        }
    }
    Ok(config)
}

fn interval_us(stream: &Stream) -> i64 {
    stream.grid.interval().map_or(0, |i| i.as_micros())
}

fn kept(store: &Store, stream: &Stream) -> Result<Option<Vec<usize>>, checkpoint::Error> {
    match KeptSeasons::read(store, &stream.name) {
        Ok(kept) => Ok(kept.filter(|kept| kept.interval_us == interval_us(stream)).map(|kept| kept.steps)),
        Err(damaged) if damaged.is_damage() => {
            events::seasons_unreadable(&stream.name, &damaged);
            Ok(None)
        }
        Err(e) => Err(e),
    }
}

/// Reads the stream's past, one partition after the other: so few series are read far.
fn look(
    config: &Config,
    stream: &Stream,
    partitions: &BTreeMap<String, usize>,
) -> Result<Option<KeptSeasons>, kafka::Error> {
    events::seeking_seasons(&stream.name);
    let until = Instant::now() + LOOK_LIMIT;
    let (mut sample, mut decoder) = (Sample::new(stream), Decoder::new(stream));
    'all: for topic in &stream.topics {
        let count = partitions.get(topic).copied().unwrap_or(0);
        for partition in (0..).map(Partition).take(count) {
            let tp = TopicPartition { topic: topic.as_str().into(), partition };
            let mut tail = Tail::partition(&config.kafka, tp)?;
            while !tail.at_end() {
                if sample.is_full() || Instant::now() >= until {
                    break 'all;
                }
                tail.poll(RECORDS, WAIT, &mut |polled| {
                    // What is bad becomes a dead letter when it is read to be answered.
                    let _ = decoder.decode(&as_record(&polled), &mut |reading| {
                        if stream.selects(reading.series) {
                            sample.add(&reading);
                        }
                    });
                })?;
            }
        }
    }
    let (series, readings) = sample.size();
    let Some(seasons) = sample.seasons() else {
        events::seasons_unknown(&stream.name, series, readings);
        return Ok(None);
    };
    let steps = seasons.iter().map(|season| season.steps).collect();
    Ok(Some(KeptSeasons { interval_us: interval_us(stream), steps, series, readings }))
}
