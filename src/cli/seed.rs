//! `tidecast seed`: a history in, snapshots and a model out.

use super::{ConfigFile, settled};
use crate::backtest::{CsvOptions, Seed, SeedSettings};
use crate::config::Stream;
use crate::console::{Failure, Progress, say};
use crate::kafka::{Admin, Partitioner};
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// A CSV file, plain or gzipped (.gz), or a Parquet file (.parquet), in the order of time. Its columns are the
    /// fields of a record.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The stream of the config; needed when it has several.
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// The topic of the stream whose readings go on from the history; by default its first.
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// How many partitions the topic has; by default the broker is asked.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    partitions: Option<u32>,
    /// How the topic's producer chooses the partition of a key. The key is taken to be the name of the series.
    #[arg(long, value_enum, default_value = "murmur2")]
    partitioner: Choice,
    /// Sort the rows by time first. Takes memory for all of them.
    #[arg(long)]
    sort: bool,
    /// Train no network.
    #[arg(long)]
    no_network: bool,
    /// Replace snapshots that exist.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    csv: CsvOptions,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Choice {
    /// Java's clients, and librdkafka's `murmur2_random`.
    Murmur2,
    /// librdkafka's default.
    Crc32,
}

pub(super) fn seed(options: &Options) -> Result<(), Failure> {
    let (mut config, store) = settled(&options.file.config)?;
    let at = place(&config.streams, options.stream.as_deref())?;
    let mut stream = Stream::clone(&config.streams[at]);
    stream.training.enabled &= !options.no_network;
    let stream = Arc::new(stream);
    config.streams[at] = stream.clone();
    let topic = options.topic.clone().unwrap_or_else(|| stream.topics[0].clone());
    if !stream.topics.contains(&topic) {
        return Err(Failure::new(format!(
            "{topic} is none of the stream's topics: {}",
            stream.topics.join(", ")
        )));
    }
    let partitions = match options.partitions {
        Some(partitions) => partitions as usize,
        None => {
            let admin = Admin::connect(&config.kafka).map_err(Failure::new)?;
            let found = admin.require(std::slice::from_ref(&topic)).map_err(Failure::new)?;
            found.get(&topic).copied().unwrap_or(1)
        }
    };
    let settings = SeedSettings {
        data: options.from.clone(),
        csv: options.csv.clone(),
        is_sorted: options.sort,
        topic,
        partitions,
        partitioner: match options.partitioner {
            Choice::Murmur2 => Partitioner::Murmur2,
            Choice::Crc32 => Partitioner::Crc32,
        },
        replaces: options.force,
    };
    let mut seed = Seed::begin(settings, config, store, &stream)?;
    let mut progress = Progress::new(seed.total(), "rows");
    while seed.step()? {
        progress.at(seed.row_count(), format_args!(", {} training rounds", seed.training_rounds()));
    }
    progress.done();
    let rows = seed.row_count();
    let seeded = seed.finish()?;
    seeded.warnings.iter().for_each(|warning| eprintln!("tidecast: {warning}"));
    say!("{rows} rows, {}", seeded.account);
    seeded.kept.iter().for_each(|line| say!("{line}"));
    Ok(())
}

fn place(streams: &[Arc<Stream>], name: Option<&str>) -> Result<usize, Failure> {
    let names = || streams.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ");
    match name {
        None if streams.len() == 1 => Ok(0),
        None => Err(Failure::new(format!("say which --stream: {}", names()))),
        Some(name) => streams
            .iter()
            .position(|s| s.name.as_str() == name)
            .ok_or_else(|| Failure::new(format!("no stream is named \"{name}\"; there are: {}", names()))),
    }
}
