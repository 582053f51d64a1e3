//! `tidecast validate`.

use crate::config::{SeasonsFrom, Stream};
use crate::console::{Failure, say, size};
use crate::domain::ModelVersion;
use crate::engine::{MemoryPlan, Model};
use crate::nn::{Device, Weights};
use crate::training::blueprint;
use std::path::Path;
use std::sync::Arc;

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
        for line in memory(stream)? {
            say!("    {line}");
        }
        for what in stream.experimental() {
            say!("    {what} is experimental: no row of docs/accuracy.md measures it");
        }
    }
    Ok(())
}

/// What the series of a stream will take, in lines of text.
fn memory(stream: &Stream) -> Result<Vec<String>, Failure> {
    let plan = plan(stream)?;
    let mut parts: Vec<_> = plan.each.iter().filter(|(_, bytes)| *bytes > 0).collect();
    parts.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let parts: Vec<String> = parts.iter().map(|(part, bytes)| format!("{} {bytes}", part.as_str())).collect();
    let mut lines = vec![
        format!("a series takes {} bytes: {}", plan.each.total(), parts.join(", ")),
        format!("{} series fit into a GiB, with an eighth as room for more", plan.series_in(1 << 30)),
    ];
    if plan.trained > 0 {
        let (series, bytes) = (plan.trained, size(plan.training_windows as u64));
        lines.push(format!(
            "the first {series} series of a partition have training windows, {bytes} of that GiB"
        ));
    }
    Ok(lines)
}

/// Measured with networks that have learnt nothing: their states are as large as those of others.
fn plan(stream: &Stream) -> Result<MemoryPlan, Failure> {
    let fresh = |kind| Ok(Some(Arc::new(Weights::initial(&blueprint(stream, kind)?, 0))));
    let networks = stream.model.networks.iter().map(fresh).collect::<Result<_, crate::nn::Error>>();
    let model = |networks| Model { version: ModelVersion(1), networks, device: Device::cpu() };
    let plan = networks.and_then(|networks| MemoryPlan::of(stream, &model(networks)));
    plan.map_err(|cause| Failure::new(format!("streams.{}: {cause}", stream.name)))
}
