//! `tidecast tap`: what a topic holds, as a stream reads it, beside what the stream says to it.
//!
//! It reads committed records without a group, so it neither disturbs a daemon nor is disturbed by one.
//!
//! | file | content |
//! | --- | --- |
//! | `watch` | the loop: topics in, rows out |
//! | `join` | forecasts beside their readings |
//! | `row` | what is shown of a reading, a forecast or a record that could not be read |
//! | `print` | rows as a table, JSON or CSV |
//! | `suggest` | a config for a topic, from its first records |

mod join;
mod print;
mod row;
mod suggest;
mod watch;

use crate::config::{self, Config, Kafka, Stream};
use crate::console::{Failure, say};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use suggest::Suggestion;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The config of the stream to show. Without one, say --brokers and --topic.
    #[arg(long, short, value_name = "FILE", env = "TIDECAST_CONFIG", conflicts_with_all = ["brokers", "topic"])]
    config: Option<PathBuf>,
    /// The stream of the config; needed when it has several.
    #[arg(long, value_name = "NAME", requires = "config")]
    stream: Option<String>,
    /// The brokers, where there is no config: `host:port`, several separated by commas.
    #[arg(long, value_name = "BROKERS", requires = "topic", required_unless_present = "config")]
    brokers: Option<String>,
    /// The topic, where there is no config. Its format, series, time and values are guessed from its first records.
    #[arg(long, value_name = "TOPIC", requires = "brokers")]
    topic: Option<String>,
    /// A property of librdkafka, such as `security.protocol=SSL`; may be given again.
    #[arg(long, value_name = "NAME=VALUE", requires = "brokers")]
    property: Vec<String>,
    /// Print a config for the topic, guessed from its first records, and end.
    #[arg(long, requires = "topic")]
    suggest: bool,
    /// How many records a guess looks at.
    #[arg(long, value_name = "N", default_value_t = 2_000, requires = "topic")]
    sample: usize,
    /// How long a guess waits for so many records.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, requires = "topic")]
    patience: u64,
    /// Begin at the first records instead of the new ones.
    #[arg(long)]
    beginning: bool,
    /// End where nothing more is there to read, and do not wait for more.
    #[arg(long)]
    until_end: bool,
    /// End after this many rows.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Show this series alone; may be given again.
    #[arg(long, value_name = "SERIES")]
    series: Vec<String>,
    /// Show what could not be read too: the reason, the place, and the bytes.
    #[arg(long)]
    raw: bool,
    /// How rows are printed; by default a table on a terminal, and JSON elsewhere.
    #[arg(long, value_enum, value_name = "FORM")]
    output: Option<print::Form>,
}

/// Shows a stream, or suggests a config.
pub(super) fn tap(options: &Options) -> Result<(), Failure> {
    if options.suggest {
        let suggestion = suggest(options)?;
        say!("{}", suggestion.text());
        return Ok(());
    }
    let (config, stream) = match &options.config {
        Some(path) => {
            let config = super::load(path)?;
            let stream = wanted(&config, options.stream.as_deref())?;
            (config, stream)
        }
        None => {
            let suggestion = suggest(options)?;
            suggestion.guesses().for_each(|line| eprintln!("tidecast: {line}"));
            eprintln!("tidecast: --suggest prints the config that is used here");
            let config = suggestion.config;
            let stream = config.streams[0].clone();
            (config, stream)
        }
    };
    watch::watch(&config.kafka, &stream, options)
}

fn suggest(options: &Options) -> Result<Suggestion, Failure> {
    let missing = || Failure::new("say --brokers and --topic");
    let (brokers, topic) =
        (options.brokers.as_deref().ok_or_else(missing)?, options.topic.as_deref().ok_or_else(missing)?);
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            Failure::new(format!("--property \"{text}\" is no pair like security.protocol=SSL"))
        })?;
        Ok((name.to_owned(), value.to_owned()))
    };
    let properties = options.property.iter().map(pair).collect::<Result<Vec<_>, Failure>>()?;
    let access = suggest::Access { brokers, topic, properties: &properties };
    let records = suggest::sample(
        &kafka(&access)?,
        topic,
        options.sample.max(1),
        Duration::from_secs(options.patience),
    )?;
    suggest::suggest(&access, &records)
}

/// How a cluster is reached that no config names.
fn kafka(access: &suggest::Access<'_>) -> Result<Kafka, Failure> {
    let text = format!(
        "{}[streams.sample]\ntopics = [\"sample\"]\ninterval = \"1h\"\ntargets = [\"value\"]\n",
        access.section()
    );
    Ok(config::from_toml(&text, &[])?.kafka)
}

fn wanted(config: &Config, name: Option<&str>) -> Result<Arc<Stream>, Failure> {
    let names = || config.streams.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ");
    match (name, &config.streams[..]) {
        (None, [only]) => Ok(only.clone()),
        (None, _) => Err(Failure::new(format!("say which --stream: {}", names()))),
        (Some(name), streams) => streams
            .iter()
            .find(|s| s.name.as_str() == name)
            .cloned()
            .ok_or_else(|| Failure::new(format!("no stream is named \"{name}\"; there are: {}", names()))),
    }
}
