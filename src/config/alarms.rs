//! What a stream raises the alarm for: surprising readings, limits, drift.

use super::key::{Key, Preset, Table};
use super::kinds::{Flag, List, Real, Sub, Text, flag, real, sub, text};
use super::section::Section;

/// When a stream raises an alarm, checked.
#[derive(Clone, Debug)]
pub struct Alarms {
    /// The topic for surprising readings; `None` leaves them to the forecasts' scores.
    pub anomaly_topic: Option<String>,
    /// The score above which a reading is an anomaly.
    pub anomaly_threshold: f32,
    /// Values that targets should not cross.
    pub limits: Vec<Limit>,
    /// How far what all series have in common has to move, in long-run deviations, to be drift; `None` switches
    /// the detection off.
    pub drift_threshold: Option<f64>,
}

/// A value that a target should not cross.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// Index into the stream's targets.
    pub target: usize,
    /// In the target's own unit.
    pub value: f64,
    /// Whether values above it are beyond the limit, or values below it.
    pub above: bool,
}

pub(super) static ANOMALY: Key<Sub> = sub(
    "anomaly",
    "Readings that the forecast before them did not expect.",
    &[&ANOMALY_TOPIC, &ANOMALY_THRESHOLD],
);
static ANOMALY_TOPIC: Key<Text> = text(
    "topic",
    Preset::Nothing("none: anomalies stand in the forecasts' scores only", "power.anomalies"),
    "",
    "The topic to which each anomaly is written as a record of its own.",
);
static ANOMALY_THRESHOLD: Key<Real> =
    real("threshold", 0.999, 0.5..=1.0, "The score, from 0 to 1, above which a reading is an anomaly.");

pub(super) static DRIFT: Key<Sub> = sub(
    "drift",
    "Changes that all series of a partition share; each starts a training round.",
    &[&DRIFT_ENABLED, &DRIFT_THRESHOLD],
);
static DRIFT_ENABLED: Key<Flag> = flag("enabled", true, "Whether such changes are detected.");
static DRIFT_THRESHOLD: Key<Real> = real(
    "threshold",
    32.0,
    4.0..=1e4,
    "How far what the series have in common must move, in long-run deviations.",
);

pub(super) static LIMITS: Key<List> = Key {
    name: "limits",
    kind: List(Table::new(
        "A value that a target should not cross. Each forecast says when, within the horizon, it expects the \
         crossing. Give `above` or `below`, not both.",
        &[&LIMIT_TARGET, &ABOVE, &BELOW],
    )),
    effect: "Values that targets should not cross.",
};
static LIMIT_TARGET: Key<Text> =
    text("target", Preset::Required("kw"), "one of `targets`", "The target that has the limit.");
static ABOVE: Key<Real> = Key {
    name: "above",
    kind: Real { preset: Preset::Nothing("none", 3.0), allowed: None },
    effect: "Values above this one are beyond the limit, in the target's own unit.",
};
static BELOW: Key<Real> = Key {
    name: "below",
    kind: Real { preset: Preset::Nothing("none", 0.5), allowed: None },
    effect: "Values below this one are beyond the limit, in the target's own unit.",
};

pub(super) fn alarms(s: &mut Section<'_>, targets: &[String]) -> Alarms {
    let mut anomaly = s.section(&ANOMALY);
    let (anomaly_topic, anomaly_threshold) =
        (anomaly.optional_text(&ANOMALY_TOPIC), anomaly.real(&ANOMALY_THRESHOLD) as f32);
    anomaly.finish();
    let mut drift = s.section(&DRIFT);
    let (enabled, threshold) = (drift.flag(&DRIFT_ENABLED), drift.real(&DRIFT_THRESHOLD));
    drift.finish();
    let mut limits = Vec::new();
    for mut limit in s.sections(&LIMITS) {
        let name = limit.required_text_like(&LIMIT_TARGET, targets.first().map_or("kw", |t| t));
        let target = targets.iter().position(|target| *target == name);
        if target.is_none() && !name.is_empty() {
            limit.fault("target", format!("is \"{name}\", which is none of the stream's targets"));
        }
        match (limit.optional_real(&ABOVE), limit.optional_real(&BELOW)) {
            (Some(value), None) => limits.extend(target.map(|target| Limit { target, value, above: true })),
            (None, Some(value)) => limits.extend(target.map(|target| Limit { target, value, above: false })),
            _ => limit.fault("above", "or below has to be given, and not both: say for example above = 0.95"),
        }
        limit.finish();
    }
    let drift_threshold = enabled.then_some(threshold);
    Alarms { anomaly_topic, anomaly_threshold, limits, drift_threshold }
}
