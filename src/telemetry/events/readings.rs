//! Readings that were refused, doubted or out of the ordinary, and what a stream's past says of it.

use crate::domain::{Offset, StreamName, TopicPartition};
use crate::telemetry::examples::{
    DiscardedReading, DoubtedTarget, LargeRecord, MissingExample, ReadingAhead,
};
use crate::telemetry::words::{Ahead, Discard, Doubt, MissingValue, TooLarge};
use std::fmt::Display;

/// A stream's past is read to find its seasons.
pub fn seeking_seasons(stream: &StreamName) {
    event!(info, "seeking_seasons", { stream = %stream, }, "{stream}: reading its past to find its seasons");
}

/// The seasons of a stream are known; `from` says whether its past, its config or a default gave them.
pub fn seasons(stream: &StreamName, steps: &[usize], from: &str) {
    event!(info, "seasons", { stream = %stream, ?steps, from, }, "{stream}: seasons of {steps:?} steps, from the {from}");
}

/// A stream's past is too short, or could not be read far enough in time, to show its seasons.
pub fn seasons_unknown(stream: &StreamName, series: usize, readings: usize, whole: bool) {
    let why = if whole { "is too short" } else { "could not be read far enough in time" };
    event!(
        warn, "seasons_unknown", { stream = %stream, series, readings, whole, },
        "{stream}: its past of {readings} readings in {series} series {why} to show its seasons. Those of the \
         interval are kept; the runbook says how to find them again (Other seasons)"
    );
}

/// The seasons found in a stream's past do not fit its config.
pub fn seasons_unusable(stream: &StreamName, steps: &[usize], error: &dyn Display) {
    event!(
        warn, "seasons_unusable", { stream = %stream, ?steps, %error, },
        "{stream}: {error}; those of the interval are kept"
    );
}

/// What the series of a shard have in common has changed.
pub fn drift(stream: &StreamName, shard: &TopicPartition, kind: &str, change: f64) {
    event!(info, "drift", { %stream, %shard, kind, change, }, "drift found");
}

/// Bad records of one batch: how many there are, and the first of them.
pub fn dead_letters(
    stream: &StreamName,
    count: usize,
    first: (&TopicPartition, Offset),
    reason: &str,
    field: Option<&str>,
) {
    let (shard, offset) = first;
    event!(warn, "dead_letters", { %stream, count, %shard, offset = offset.0, reason, field, },
        "{count} records sent to the dead-letter topic");
}

/// Records since the last event of the same outcome that are too large for their topic: how many, and the first of them.
pub fn too_large(stream: &StreamName, outcome: TooLarge, count: u64, first: &LargeRecord) {
    let LargeRecord { topic, bytes, shard, offset } = first;
    let word = outcome.as_str();
    let what = match outcome {
        TooLarge::Shortened => "forecasts were sent with fewer leads",
        TooLarge::DeadLetter => "forecasts were sent to the dead-letter topic without their values",
        TooLarge::Cut => "dead letters were cut",
        TooLarge::AnomalyLeftOut => "anomalies were left out",
    };
    event!(warn, "too_large", { %stream, topic, count, outcome = word, bytes, %shard, offset = offset.0, },
        "{count} {what}, for example one of {bytes} bytes: the topic {topic} takes no more (max.message.bytes)");
}

/// Discarded readings since the last event of the same reason: how many, and the first of them. It is a warning,
/// except for series that the config leaves out.
pub fn discarded(stream: &StreamName, why: Discard, count: u64, first: &DiscardedReading) {
    let DiscardedReading { series, time, shard, offset } = first;
    let (reason, meaning) = (why.as_str(), why.meaning());
    let were = if count == 1 { "reading was" } else { "readings were" };
    macro_rules! log {
        ($level:ident) => {
            event!($level, "readings_discarded", {
                %stream, reason, count, series, %time, %shard, offset = offset.0,
            }, "{count} {were} discarded as {reason}, for example that of series {series} at {time}: {meaning}")
        };
    }
    match why {
        Discard::NotSelected => log!(info),
        _ => log!(warn),
    }
}

/// Readings since the last event of the same outcome that were ahead of what the series of their partition agree
/// on, or that came back from there: how many, and the first of them.
pub fn time_ahead(stream: &StreamName, outcome: Ahead, count: u64, first: &ReadingAhead) {
    let ReadingAhead { series, time, agreed, shard } = first;
    let (word, seconds) = (outcome.as_str(), time.seconds_since(*agreed));
    macro_rules! log {
        ($level:ident, $what:literal) => {
            event!($level, "time_ahead",
                { %stream, %shard, count, outcome = word, series, %time, %agreed, seconds, },
                "{count} readings {} what the partition's series agree on; the first: {series}, {time} at {agreed}",
                $what)
        };
    }
    match outcome {
        Ahead::Discarded => log!(warn, "discarded: their time was ahead of"),
        Ahead::Kept => log!(info, "kept: their time was ahead of"),
        Ahead::Returned => log!(info, "whose series had been ahead are back at"),
    }
}

/// Target values since the last event of the same reason that were not learned as they came: how many, and the
/// first of them.
pub fn values_doubted(stream: &StreamName, reason: Doubt, count: u64, first: &DoubtedTarget) {
    let DoubtedTarget { series, target, time, value, expected } = first;
    let word = reason.as_str();
    let what = match (reason, count) {
        (Doubt::Outlier, 1) => "value lay far from its forecast and counts for less",
        (Doubt::Outlier, _) => "values lay far from their forecasts and count for less",
        (Doubt::LevelShift, 1) => "value showed that its series has moved to another level",
        (Doubt::LevelShift, _) => "values showed that their series have moved to other levels",
        (Doubt::OutOfRange, 1) => "value is out of its series' range and counts as missing",
        (Doubt::OutOfRange, _) => "values are out of their series' range and count as missing",
        (Doubt::CounterReset, 1) => "count is lower than the one before it and begins again",
        (Doubt::CounterReset, _) => "counts are lower than those before them and begin again",
    };
    let was = if reason == Doubt::CounterReset { "counted before" } else { "forecast" };
    event!(info, "values_doubted", { %stream, count, reason = word, series, target, %time, value, expected, },
        "{count} {what}, for example {target} of series {series} at {time}: {value}, where {expected} was {was}");
}

/// Values since the last event of the same reason that count as missing although their field holds something: how
/// many, and the first of them. Unreadable ones may be a fault of the producer or of the config, so they are a
/// warning.
pub fn values_missing(stream: &StreamName, reason: MissingValue, count: u64, first: &MissingExample) {
    let MissingExample { field, series, text } = first;
    let word = reason.as_str();
    let are = if count == 1 { "value is" } else { "values are" };
    macro_rules! log {
        ($level:ident, $why:literal) => {
            event!($level, "values_missing", { %stream, count, reason = word, field, series, text, },
                "{count} {are} missing: {}, for example {text} at {field} of series {series}", $why)
        };
    }
    match reason {
        MissingValue::Marker => log!(info, "the field's content stands for no value"),
        MissingValue::NotFinite => log!(info, "the field's content is not finite"),
        MissingValue::Unreadable => log!(warn, "the field's content can't be read as a number"),
    }
}
