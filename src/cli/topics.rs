use super::ConfigFile;
use crate::config::{self, Config};
use crate::console::{Failure, say};
use crate::kafka::{Admin, Creation, TopicSpec};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// Create the topics that a config needs and the cluster does not have.
    #[command(after_help = "Example:\n  tidecast topics create --config config/tidecast.toml --partitions 8")]
    Create(Create),
}

#[derive(Debug, clap::Args)]
pub(super) struct Create {
    #[command(flatten)]
    file: ConfigFile,
    /// The partitions of a source topic that is created; a forecast topic gets as many as its source has.
    #[arg(long, default_value_t = PARTITIONS, value_name = "N")]
    partitions: usize,
    /// The replicas of each topic; by default the broker's.
    #[arg(long, value_name = "N")]
    replication: Option<usize>,
}

pub(super) fn topics(verb: &Verb) -> Result<(), Failure> {
    let Verb::Create(options) = verb;
    create(&config::load(&options.file.config)?, options.partitions, options.replication)
}

/// The partitions of a source topic that is created, where nobody says how many.
pub(super) const PARTITIONS: usize = 4;

/// Creates the topics that a config needs and the cluster does not have, and prints which.
pub(super) fn create(config: &Config, partitions: usize, replication: Option<usize>) -> Result<(), Failure> {
    let admin = Admin::connect(&config.kafka).map_err(Failure::new)?;
    let there = admin.topics().map_err(Failure::new)?;
    let specs = needed(config, |topic| there.get(topic).copied(), partitions, replication);
    let mut failed = 0;
    for (name, outcome) in admin.create_topics(&specs).map_err(Failure::new)? {
        match outcome {
            Creation::Created => say!("{name}: created"),
            Creation::Exists => say!("{name}: exists"),
            Creation::Failed(cause) => {
                failed += 1;
                say!("{name}: {cause}");
            }
        }
    }
    if failed > 0 { Err(Failure::new(format!("{failed} topic(s) could not be created"))) } else { Ok(()) }
}

/// Every topic of a config. A forecast keeps the key of its reading, so its topic has as many partitions as the
/// source.
pub(super) fn needed(
    config: &Config,
    partitions_of: impl Fn(&str) -> Option<usize>,
    partitions: usize,
    replication: Option<usize>,
) -> Vec<TopicSpec> {
    let mut specs: Vec<TopicSpec> = Vec::new();
    let mut add = |name: &str, partitions: usize, config: &[(&str, &str)]| {
        if specs.iter().all(|s| s.name != name) {
            let config = config.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            specs.push(TopicSpec { name: name.to_owned(), partitions, replication, config });
        }
    };
    for stream in &config.streams {
        let of = |topic: &String| partitions_of(topic).unwrap_or(partitions);
        let most = stream.topics.iter().map(of).max().unwrap_or(partitions);
        stream.topics.iter().for_each(|topic| add(topic, of(topic), &[]));
        add(&stream.forecast_topic, most, &[]);
        add(&stream.dead_letter_topic, 1, &[]);
        stream.alarms.anomaly_topic.iter().for_each(|topic| add(topic, most, &[]));
    }
    // Only the last announcement of each stream counts.
    add(&config.kafka.models_topic, 1, &[("cleanup.policy", "compact")]);
    specs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_of_a_config_is_made_once() {
        let text = "[kafka]\nbrokers = \"b:1\"\ngroup = \"g\"\n\
            [streams.a]\ntopics = [\"in\", \"wide\"]\ninterval = \"1h\"\ntargets = [\"kw\"]\n\
            [streams.b]\ntopics = [\"in\"]\ninterval = \"1h\"\ntargets = [\"kw\"]\n";
        let config = config::from_toml(text, &[]).unwrap();
        let specs = needed(&config, |topic| (topic == "wide").then_some(9), 4, Some(3));
        let made: Vec<(&str, usize)> = specs.iter().map(|s| (s.name.as_str(), s.partitions)).collect();
        let wanted = [
            ("in", 4),
            ("wide", 9),
            ("a.forecasts", 9),
            ("a.dead-letters", 1),
            ("b.forecasts", 4),
            ("b.dead-letters", 1),
            ("g.models", 1),
        ];
        assert_eq!(made, wanted);
        assert!(specs.iter().all(|s| s.replication == Some(3)));
        let compacted = specs.iter().filter(|s| s.config == [("cleanup.policy".into(), "compact".into())]);
        assert_eq!(compacted.map(|s| s.name.as_str()).collect::<Vec<_>>(), ["g.models"]);
    }
}
