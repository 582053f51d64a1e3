use super::Failure;
use crate::config;
use std::path::Path;

/// Checks a config and says what it makes of it.
pub(super) fn validate(path: &Path) -> Result<(), Failure> {
    let config = config::load(path)?;
    println!("{}: right", path.display());
    for stream in &config.streams {
        println!(
            "  {}: {} → {}; {} target(s), horizon {}, {} quantiles, seasons {:?} (from the {})",
            stream.name,
            stream.topics.join(", "),
            stream.forecast_topic,
            stream.targets.len(),
            stream.horizon,
            stream.levels.len(),
            stream.seasons,
            stream.seasons_from.as_str(),
        );
    }
    Ok(())
}
