use crate::config::Stream;
use crate::domain::Transform;

/// What a stream's shards must have in common with a snapshot to be restored from it. A snapshot of another shape
/// can't be used.
pub fn shape(stream: &Stream) -> serde_json::Value {
    let mut shape = serde_json::json!({
        "targets": stream.targets,
        "covariates": stream.covariates,
        "known_ahead": stream.known_ahead,
        "attributes": stream.attributes,
        "interval": stream.grid.interval().map_or_else(|| "irregular".to_owned(), |i| format!("{} us", i.as_micros())),
        "horizon": stream.horizon,
        "quantiles": stream.levels.iter().map(crate::domain::Level::get).collect::<Vec<_>>(),
        "seasons": stream.seasons,
        "accuracy": format!("{:?}", stream.experts),
        "base": format!("{:?}", stream.model.base),
        "calendar": format!("{:?}", stream.calendar),
        "holidays": !stream.holidays.is_empty(),
        "training": (stream.training.enabled, stream.training.budget.series),
        "limits": stream.alarms.limits.iter().map(|l| (l.target, l.value, l.above)).collect::<Vec<_>>(),
        "drift": stream.alarms.drift_threshold.is_some(),
        "tables": 5,
    });
    // These keys are there only if they are set, so that older snapshots remain usable.
    if stream.transform != Transform::None {
        shape["transform"] = stream.transform.as_str().into();
    }
    if let Some(how) = stream.aggregate {
        shape["aggregate"] = how.as_str().into();
    }
    if stream.model.unrolls() && !stream.known_ahead.is_empty() {
        shape["unrolls"] = true.into();
    }
    if stream.difference {
        shape["difference"] = true.into();
    }
    if !stream.counters.is_empty() {
        let counters = stream.counters.iter().map(|counter| (counter.target, counter.per_us));
        shape["counters"] = serde_json::json!(counters.collect::<Vec<_>>());
    }
    if let Some(position) = stream.position {
        shape["position"] = serde_json::json!([position.latitude, position.longitude]);
    }
    shape
}
