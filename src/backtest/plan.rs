use super::Settings;
use super::rows::Table;
use super::seasons;
use crate::config::{Config, SeasonsFrom, Stream};
use crate::console::Failure;
use crate::domain::Position;
use std::sync::Arc;

/// A config, and the stream of it that is run.
pub(super) struct Plan {
    config: Config,
    at: usize,
}

impl Plan {
    /// # Errors
    /// When the config does not have the stream, or has several and none is named.
    pub fn new(settings: &Settings, label: &str, config: Config, is_compared: bool) -> Result<Self, Failure> {
        let at = which(settings, label, &config, is_compared)?;
        Ok(Self { config, at })
    }

    pub fn stream(&self) -> &Stream {
        &self.config.streams[self.at]
    }

    /// The names of the targets that are a position.
    pub fn position(&self) -> Option<PositionNames> {
        let stream = self.stream();
        let position = stream.position?;
        let name = |target: usize| stream.targets[target].clone();
        Some(PositionNames { latitude: name(position.latitude), longitude: name(position.longitude) })
    }

    /// The config of a worker that runs this stream alone and takes no snapshots. With `seasons = "auto"` the
    /// stream's seasons are found in the rows that are not scored.
    pub fn settle(self, settings: &Settings, table: &Table, key: &str) -> Result<Config, Failure> {
        let Self { mut config, at } = self;
        let from = settings.score_from;
        if config.streams[at].seasons_from == SeasonsFrom::Undetected {
            let stream = config.streams[at].clone();
            // The seasons must not come from what is scored.
            let found = from.map(|from| seasons::find(table, key, &stream, from)).transpose()?;
            match (from, found.flatten()) {
                (_, Some(steps)) => config = config.with_seasons(&stream.name, &steps, SeasonsFrom::Past)?,
                (Some(_), None) => eprintln!(
                    "tidecast: what comes before --score-from is too short to say which seasons there are, so they are \
                     the interval's"
                ),
                (None, None) => eprintln!(
                    "tidecast: seasons = \"auto\" looks at what comes before --score-from; without it they are the \
                     interval's"
                ),
            }
        }
        let mut stream = Stream::clone(&config.streams[at]);
        if let Some(seed) = settings.seed {
            stream.training.seed = seed;
        }
        stream.training.enabled &= settings.has_networks;
        config.streams = vec![Arc::new(stream)];
        config.snapshots.enabled = false;
        Ok(config)
    }
}

/// The targets that are a position.
pub(super) struct PositionNames {
    latitude: String,
    longitude: String,
}

impl PositionNames {
    /// Their places among a stream's targets, when it has both.
    pub fn among(&self, targets: &[String]) -> Option<Position> {
        let place = |name: &String| targets.iter().position(|target| target == name);
        Some(Position { latitude: place(&self.latitude)?, longitude: place(&self.longitude)? })
    }
}

/// The place of the stream that was asked for.
fn which(settings: &Settings, label: &str, config: &Config, is_compared: bool) -> Result<usize, Failure> {
    let names: Vec<&str> = config.streams.iter().map(|s| s.name.as_str()).collect();
    match &settings.stream {
        _ if names.len() == 1 && is_compared => Ok(0),
        Some(name) => names.iter().position(|n| n == name).ok_or_else(|| {
            Failure::new(format!("{label} has no stream \"{name}\"; it has {}", names.join(", ")))
        }),
        None if names.len() == 1 => Ok(0),
        None => Err(Failure::new(format!("say which --stream: {label} has {}", names.join(", ")))),
    }
}
