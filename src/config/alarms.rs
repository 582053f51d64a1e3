//! What a stream raises the alarm for: surprising readings, limits, drift.

use super::section::Section;

/// When a stream speaks up, checked.
#[derive(Clone, Debug)]
pub struct Alarms {
    /// Where surprising readings go; `None` leaves them to the forecasts' scores.
    pub anomaly_topic: Option<String>,
    /// How surprising a reading has to be for that.
    pub anomaly_threshold: f32,
    pub limits: Vec<Limit>,
    /// How far what the series have in common has to move, in long-run deviations; `None` for never.
    pub drift_threshold: Option<f64>,
}

/// A value that a target should not cross.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// Its place among the stream's targets.
    pub target: usize,
    /// In the target's own unit.
    pub value: f64,
    /// Whether what lies above it is beyond, or what lies below.
    pub above: bool,
}

pub(super) fn alarms(s: &mut Section<'_>, targets: &[String]) -> Alarms {
    let mut anomaly = s.section("anomaly");
    let (anomaly_topic, anomaly_threshold) =
        (anomaly.text_or("topic"), anomaly.real("threshold", 0.999, 0.5..=1.0) as f32);
    anomaly.finish();
    let mut drift = s.section("drift");
    let (enabled, threshold) = (drift.flag("enabled", true), drift.real("threshold", 32.0, 4.0..=1e4));
    drift.finish();
    let mut limits = Vec::new();
    for mut limit in s.sections("limits") {
        let name = limit.required_text("target", &format!("\"{}\"", targets.first().map_or("kw", |t| t)));
        let target = targets.iter().position(|target| *target == name);
        if target.is_none() && !name.is_empty() {
            limit.fault("target", format!("is \"{name}\", which is none of the stream's targets"));
        }
        let mut value = |key: &str| limit.real_or(key);
        match (value("above"), value("below")) {
            (Some(value), None) => limits.extend(target.map(|target| Limit { target, value, above: true })),
            (None, Some(value)) => limits.extend(target.map(|target| Limit { target, value, above: false })),
            _ => limit.fault("above", "or below has to be given, and not both: say for example above = 0.95"),
        }
        limit.finish();
    }
    let drift_threshold = enabled.then_some(threshold);
    Alarms { anomaly_topic, anomaly_threshold, limits, drift_threshold }
}
