//! `tidecast validate`.

use crate::config::SeasonsFrom;
use crate::console::{Failure, say};
use std::path::Path;

/// Checks a config and prints what it means.
pub(super) fn validate(path: &Path) -> Result<(), Failure> {
    let config = super::load(path)?;
    say!("{}: right", path.display());
    for stream in &config.streams {
        let seasons = match stream.seasons_from {
            SeasonsFrom::Undetected => "seasons to be detected in its past".to_owned(),
            from => format!("seasons {:?} (from the {})", stream.seasons, from.as_str()),
        };
        let networks = match stream.training.enabled {
            true => format!("networks {}", stream.model.names().collect::<Vec<_>>().join(", ")),
            false => "no network is trained".to_owned(),
        };
        say!(
            "  {}: {} → {}; {} target(s), horizon {}, {} quantiles, {seasons}, {networks}",
            stream.name,
            stream.topics.join(", "),
            stream.forecast_topic,
            stream.targets.len(),
            stream.horizon,
            stream.levels.len(),
        );
        for what in stream.experimental() {
            say!("    {what} is experimental: no row of docs/accuracy.md measures it");
        }
    }
    Ok(())
}
