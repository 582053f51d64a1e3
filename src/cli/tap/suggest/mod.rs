//! A config for a topic, guessed from its first records.
//!
//! | file | content |
//! | --- | --- |
//! | `sample` | the first records |
//! | `format` | which format they have |
//! | `elements` | the elements of the sample as columns of places |
//! | `places` | which place is the time, which names the series, which are values |
//! | `interval` | how far apart the readings of a series are, and which values only grow |
//! | `text` | the config as TOML |
//!
//! Each guess is printed as a comment, and the config is tried on the sample before it is printed.

mod elements;
mod format;
mod interval;
mod places;
mod sample;
#[cfg(test)]
mod tests;
mod text;

pub(super) use sample::sample;
pub(super) use text::Access;

use crate::codec::Decoder;
use crate::config::{self, Config};
use crate::console::Failure;
use crate::engine;
use crate::kafka::Record;
use elements::Elements;
use places::Places;
use std::collections::BTreeSet;
use text::ConfigText;

/// A config that reads the sample.
pub(super) struct Suggestion {
    pub config: Config,
    toml: String,
    /// What was guessed and why, and what came of it.
    guesses: Vec<String>,
}

/// What the config makes of the sample.
struct Trial {
    readings: u64,
    series: BTreeSet<String>,
    bad: u64,
    filtered: u64,
    example: Option<String>,
}

impl Suggestion {
    /// The config with its guesses as comments.
    pub fn text(&self) -> String {
        let comments: String = self.guesses.iter().map(|line| format!("# {line}\n")).collect();
        format!("{comments}\n{}", self.toml)
    }

    /// What was guessed, a line each.
    pub fn guesses(&self) -> impl Iterator<Item = &str> {
        self.guesses.iter().map(String::as_str)
    }
}

/// Guesses a config for the topic that these records come from.
///
/// # Errors
/// When nothing readable is found in them. The message says what was looked for.
pub(super) fn suggest(access: &Access<'_>, records: &[Record]) -> Result<Suggestion, Failure> {
    let shape = format::guess(records)?;
    let elements = Elements::read(records, &shape);
    let places = Places::guess(&elements, &shape)?;
    let pace = interval::guess(&elements, &places);
    let described = ConfigText { access, shape: &shape, places: &places, pace: &pace };
    let toml = described.toml();
    let config = config::from_toml(&toml, &[])?;
    engine::check(&config.streams[0]).map_err(Failure::new)?;
    let trial = Trial::of(&config, records);
    if trial.readings == 0 {
        let example = trial.example.unwrap_or_else(|| "all were filtered".to_owned());
        return Err(Failure::new(format!(
            "the records of {} look like format = \"{}\", but none gives a reading: {example}",
            access.topic,
            shape.format.as_str()
        )));
    }
    let mut guesses = vec![format!(
        "Guessed from {} records of {}: {} readings of {} series, {} elements left out by fields.where, {} records \
         that can't be read.",
        records.len(),
        access.topic,
        trial.readings,
        trial.series.len(),
        trial.filtered,
        trial.bad
    )];
    guesses.extend(trial.example.map(|example| format!("The first that can't be read: {example}")));
    guesses.extend(shape.notes.iter().chain(&places.notes).chain(&pace.notes).cloned());
    let guesses = guesses.into_iter().map(|line| line.replace(['\n', '\r'], " ")).collect();
    Ok(Suggestion { config, toml, guesses })
}

impl Trial {
    fn of(config: &Config, records: &[Record]) -> Self {
        let mut decoder = Decoder::new(&config.streams[0]);
        let mut trial = Self { readings: 0, series: BTreeSet::new(), bad: 0, filtered: 0, example: None };
        for record in records {
            let outcome = decoder.decode(&record.as_source(), &mut |reading| {
                trial.readings += 1;
                if !trial.series.contains(reading.series) {
                    trial.series.insert(reading.series.to_owned());
                }
            });
            trial.filtered += decoder.take_filtered();
            if let Err(bad) = outcome {
                trial.bad += 1;
                trial.example.get_or_insert_with(|| bad.to_string());
            }
        }
        trial
    }
}
