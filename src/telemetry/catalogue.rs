//! Every metric's name, type, labels and meaning. `docs/metrics.md` is this table; a test holds the
//! two together.

use std::fmt::Write;

/// What every name of ours starts with.
pub const PREFIX: &str = "tidecast_";

/// A metric as it is declared.
#[derive(Debug)]
pub struct Spec {
    /// Without [`PREFIX`].
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Counter,
    Gauge,
    /// The upper bounds of the buckets.
    Histogram(&'static [f64]),
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

const LATENCY_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
const STEP_SECONDS: &[f64] =
    &[2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0];
const BATCH_READINGS: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0,
    32768.0,
];
const LONG_SECONDS: &[f64] =
    &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];

macro_rules! catalogue {
    ($($id:ident = $name:literal, $kind:expr, [$($label:literal),*], $help:literal;)+) => {
        $(pub(super) const $id: Spec =
            Spec { name: $name, kind: $kind, labels: &[$($label),*], help: $help };)+

        /// Every metric of ours, in the order of the documentation.
        pub const ALL: &[Spec] = &[$($id),+];
    };
}

use Kind::{Counter, Gauge, Histogram};

catalogue! {
    READINGS = "readings_total", Counter, ["stream"],
        "Readings that were decoded, replayed ones not counted.";
    DISCARDED = "readings_discarded_total", Counter, ["stream", "reason"],
        "Readings that were not stepped: duplicate, late, time_ahead, not_selected; or, in offsets, deleted before they were read (retention), or before their answers were committed (topic_deleted).";
    VALUES_MISSING = "values_missing_total", Counter, ["stream", "reason"],
        "Values that are missing though something stands in their field, replayed ones not counted: marker, not_finite, unreadable.";
    VALUES_DOUBTED = "values_doubted_total", Counter, ["stream", "reason"],
        "Targets of readings that were not taken as they came, replayed ones not counted: outlier, level_shift, out_of_range.";
    FORECASTS = "forecasts_total", Counter, ["stream"],
        "Forecasts handed to the producer.";
    THINNED = "readings_thinned_total", Counter, ["stream"],
        "Readings that were stepped and got no forecast of their own, for emit_every.";
    AGGREGATED = "readings_aggregated_total", Counter, ["stream"],
        "Readings that went into a cell which another one had opened, for aggregate.";
    AHEAD = "readings_ahead_total", Counter, ["stream", "outcome"],
        "Readings whose time was ahead of what the series of their partition agree on: discarded as time_ahead, \
         kept; and those with which a series came back from there, returned.";
    DEAD_LETTERS = "dead_letters_total", Counter, ["stream", "reason"],
        "Records sent to the dead-letter topic.";
    ANOMALIES = "anomalies_total", Counter, ["stream", "kind"],
        "Surprising readings sent to the anomaly topic: spike, streak, shift; none where the threshold \
         lies below 0.99.";
    DRIFTS = "drift_total", Counter, ["stream", "kind"],
        "Changes in what the series of a shard have in common: residual, level, spread.";
    READING_TO_FORECAST = "reading_to_forecast_seconds", Histogram(LATENCY_SECONDS), ["stream"],
        "From the poll that takes a batch of readings, its wait included, to the sending of their forecasts; without the commit.";
    LAG = "consumer_lag_readings", Gauge, ["stream", "topic", "partition"],
        "Records in the partition that were not read yet.";
    TRANSACTIONS = "transactions_total", Counter, ["outcome"],
        "Transactions by their end: committed, aborted, fenced, or unknown when the broker did not say.";
    BATCH = "batch_size", Histogram(BATCH_READINGS), ["stream"],
        "Readings that were stepped together.";
    STEP = "step_seconds", Histogram(STEP_SECONDS), ["stream"],
        "Time to step one batch: network, experts, scores and calibration.";
    SERIES = "series", Gauge, ["stream"],
        "Series in memory in this process.";
    EVICTED = "series_evicted_total", Counter, ["stream", "reason"],
        "Series dropped from memory; each comes back cold. Reasons: capacity, idle.";
    MEMORY = "series_memory_bytes", Gauge, ["stream"],
        "Memory held for series: states, windows, ledgers, experts.";
    SHARD_STATE = "shard_state", Gauge, ["stream", "topic", "partition", "state"],
        "1 for the state that an owned shard is in, 0 for the other: restoring, running.";
    RESTORE = "restore_seconds", Histogram(LONG_SECONDS), ["stream"],
        "From a partition's assignment until its shard runs.";
    SNAPSHOT = "snapshot_seconds", Histogram(LONG_SECONDS), ["stream"],
        "How long a shard's snapshot took, from its cut to its manifest.";
    SNAPSHOT_FAILURES = "snapshot_failures_total", Counter, ["stream"],
        "Snapshots that were begun and not finished; the next one is tried in its time.";
    SNAPSHOT_AGE = "snapshot_age_seconds", Gauge, ["stream", "topic", "partition"],
        "Age of an owned shard's newest finished snapshot: so much is replayed after a crash.";
    SNAPSHOT_BYTES = "snapshot_bytes", Gauge, ["stream"],
        "Compressed size of the newest snapshots of the shards that this process owns.";
    SERIES_SNAPSHOT_BYTES = "series_snapshot_bytes", Gauge, ["stream"],
        "Mean compressed size of a series in those snapshots.";
    VIOLATIONS = "invariant_violations_total", Counter, ["stream", "invariant"],
        "How often something was otherwise than it must ever be; anything above 0 is a fault of the program.";
    LOG_RESETS = "log_resets_total", Counter, ["stream", "reason"],
        "Partitions that were not read on where the group had left them: recreated (the topic was deleted and made anew), truncated (the log ends before what was read), moved (another tool has set the group's offset).";
    FORECAST_ERROR = "forecast_error", Gauge, ["stream", "expert", "lead"],
        "Recent mean absolute error in units of each series' scale; what is emitted is the expert mixture.";
    SKILL = "skill", Gauge, ["stream", "expert", "lead"],
        "1 less the error over that of the seasonal naive forecast (the last value without a season).";
    COVERAGE = "coverage", Gauge, ["stream", "level", "lead"],
        "Share of recent targets at or below the quantile of this level; calibrated when equal to the level.";
    ROUNDS = "training_rounds_total", Counter, ["stream", "outcome"],
        "Training rounds by their end: promoted, rejected, shadowed, rolled_back, failed.";
    TRAINING = "training_seconds", Histogram(LONG_SECONDS), ["stream"],
        "How long a training round took.";
    TRAINING_LOSS = "training_loss", Gauge, ["stream"],
        "Loss of the last training round's best checkpoint on the held-out readings, in scaled units.";
    MODEL = "model_info", Gauge, ["stream", "version"],
        "1 for the model that serves; no series while no network has been trained.";
    PROMOTIONS = "model_promotions_total", Counter, ["stream"],
        "Challengers that became champion.";
    ROLLBACKS = "model_rollbacks_total", Counter, ["stream"],
        "Champions that were worse than what had served before them, and gave way to it.";
    HASTENED = "training_rounds_hastened_total", Counter, ["stream", "why"],
        "Training rounds that began before their time: drift, request.";
    PROMOTION_LOSS = "promotion_loss", Gauge, ["stream", "of"],
        "Loss on the last round's held-out readings, in scaled units, of the challenger, the champion, the one before it (former) while it is watched, and of what networks correct (base); of several networks the mean.";
    PROMOTION_P = "promotion_p_value", Gauge, ["stream"],
        "How likely the last round's gain is by chance; a challenger is promoted below 1 less promotion.confidence if it saves promotion.gain, else below 0.05.";
    MODEL_FAILURES = "model_failures_total", Counter, ["stream"],
        "Tries to load an announced model that failed; what served goes on.";
    RELOAD = "config_last_reload_successful", Gauge, [],
        "1 when the config in force is the one that was read last, 0 when that one was faulty. Always 1 yet: nothing is reloaded.";
    BUILD = "build_info", Gauge, ["version", "revision"],
        "1; what was built from what.";
    CLIENT_SENT = "rdkafka_sent_bytes_total", Counter, ["client"],
        "Bytes that a Kafka client has sent to brokers.";
    CLIENT_RECEIVED = "rdkafka_received_bytes_total", Counter, ["client"],
        "Bytes that a Kafka client has received from brokers.";
    CLIENT_QUEUED = "rdkafka_queued_messages", Gauge, ["client"],
        "Messages in a Kafka client's queues, not yet sent or not yet polled.";
    CLIENT_QUEUED_BYTES = "rdkafka_queued_bytes", Gauge, ["client"],
        "Bytes of the messages in a Kafka client's queues.";
    CLIENT_RTT = "rdkafka_round_trip_p99_seconds", Gauge, ["client"],
        "99th percentile of the round trip to the slowest broker.";
}

/// The catalogue as the table of `docs/metrics.md`.
pub fn table() -> String {
    let mut text = String::from("| name | type | labels | meaning |\n| --- | --- | --- | --- |\n");
    for spec in ALL {
        let labels: Vec<String> = spec.labels.iter().map(|l| format!("`{l}`")).collect();
        let (name, kind, labels) = (spec.name, spec.kind.as_str(), labels.join(", "));
        let _ = writeln!(text, "| `{PREFIX}{name}` | {kind} | {labels} | {} |", spec.help);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        for spec in ALL {
            let name = spec.name;
            assert_eq!(spec.kind == Kind::Counter, name.ends_with("_total"), "{name}");
            for unit in ["_ms", "_millis", "_micros", "_us", "_minutes", "_kb", "_mb", "_percent"] {
                assert!(!name.ends_with(unit) && !name.contains(&format!("{unit}_")), "{name}: base units");
            }
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit()),
                "{name}"
            );
            assert!(!spec.labels.contains(&"series"), "{name}: never a label per series");
            assert!(spec.help.ends_with('.'), "{name}: {}", spec.help);
            assert_eq!(ALL.iter().filter(|s| s.name == name).count(), 1, "{name} twice");
        }
    }

    #[test]
    fn the_documentation_is_this_table() {
        let docs = include_str!("../../docs/metrics.md");
        assert!(docs.contains(&table()), "docs/metrics.md needs this table:\n{}", table());
    }
}
