//! Every metric, declared once: see [`metrics!`]. A new one needs an entry here, a line where it is counted,
//! and `docs/metrics.md` written again (the test of the page says how).

use super::declaration::Spec;
use super::declaration::{
    Label,
    Unit::{Bytes, Count, Flag, Ratio, Scale, Seconds},
};
use super::handle::{
    ByExpert, ByLevel, Handle, Metric, OnDemand, PerWord, Process, Scope, StreamShape, metrics, registered,
};
use crate::domain::{StreamName, TopicPartition};
use crate::telemetry::words::{
    AbortCause, Ahead, Discard, Doubt, Eviction, Invariant, LogReset, MemoryPart, MissingValue,
    RegistryOutcome, RoundOutcome, ShardState, TooLarge, TransactionOutcome, TransactionRequest,
};
use prometheus::{Gauge, Histogram, IntCounter, IntGauge, Registry};

const STREAM: Label = Label::named("stream");
const TOPIC: Label = Label::named("topic");
const PARTITION: Label = Label::named("partition");
const EXPERT: Label = Label::named("expert");
const LEAD: Label = Label::named("lead");

/// Why a record went to the dead-letter topic.
const DEAD_LETTERS: &[&str] = &[
    "empty",
    "not_json",
    "not_in_format",
    "unknown_schema",
    "wrong_type",
    "missing_series",
    "series_too_long",
    "missing_time",
    "time_out_of_range",
    "time_ahead",
    "too_large",
    "no_value",
    "missing_records",
    "unknown_alias",
    "late",
    "forecast_too_large",
];

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

metrics! {
    /// The metrics of one stream.
    StreamHandles, StreamFamilies of StreamShape;

    pub readings: IntCounter, "readings_total", Count("readings"), [STREAM],
        "Readings that were decoded. A replay does not count them again.";
    pub(super) discarded: PerWord<Discard>, "readings_discarded_total", Count("readings, or offsets"),
        [STREAM, Label::words("reason", Discard::TEXTS)],
        "Readings that were not stepped. The reasons retention and topic_deleted count offsets: records that \
         were deleted before they were read, or before their forecasts were committed.";
    pub(super) missing: PerWord<MissingValue>, "values_missing_total", Count("values"),
        [STREAM, Label::words("reason", MissingValue::TEXTS)],
        "Values that count as missing although their field holds something. A replay does not count them again.";
    pub(super) doubted: PerWord<Doubt>, "values_doubted_total", Count("values"),
        [STREAM, Label::words("reason", Doubt::TEXTS)],
        "Target values that were not learned as they came. A replay does not count them again.";
    pub forecasts: IntCounter, "forecasts_total", Count("forecasts"), [STREAM],
        "Forecasts handed to the producer.";
    pub thinned: IntCounter, "readings_thinned_total", Count("readings"), [STREAM],
        "Readings that were stepped and got no forecast of their own because of emit_every.";
    pub aggregated: IntCounter, "readings_aggregated_total", Count("readings"), [STREAM],
        "Readings that were added to a cell that an earlier reading had opened, because of aggregate.";
    pub(super) ahead: PerWord<Ahead>, "readings_ahead_total", Count("readings"),
        [STREAM, Label::words("outcome", Ahead::TEXTS)],
        "Readings whose time was ahead of what the series of their partition agree on, discarded (as \
         time_ahead) or kept; and readings with which a series came back from there (returned).";
    pub(super) dead_letters: OnDemand<IntCounter>, "dead_letters_total", Count("records"),
        [STREAM, Label::words("reason", DEAD_LETTERS)],
        "Records sent to the dead-letter topic. With the reason forecast_too_large: forecasts that their topic \
         does not take.";
    pub(super) too_large: PerWord<TooLarge>, "records_too_large_total", Count("records"),
        [STREAM, Label::words("outcome", TooLarge::TEXTS)],
        "Records that are larger than their topic takes (max.message.bytes), by what became of them.";
    pub(super) anomalies: OnDemand<IntCounter>, "anomalies_total", Count("readings"),
        [STREAM, Label::words("kind", &["spike", "streak", "shift", "none"])],
        "Surprising readings sent to the anomaly topic. The kind is none for a score below 0.99, which only a \
         lower threshold lets pass.";
    pub(super) drifts: OnDemand<IntCounter>, "drift_total", Count("drifts"),
        [STREAM, Label::words("kind", &["residual", "level", "spread"])],
        "Changes in what the series of a shard have in common.";
    pub reading_to_forecast_seconds: Histogram, "reading_to_forecast_seconds", Seconds, [STREAM],
        buckets LATENCY_SECONDS,
        "Time from the poll that takes a batch of readings, with its wait, until their forecasts are sent. \
         The commit is not included.";
    pub batch_size: Histogram, "batch_size", Count("readings"), [STREAM],
        buckets BATCH_READINGS,
        "Readings that were stepped together.";
    pub step_seconds: Histogram, "step_seconds", Seconds, [STREAM],
        buckets STEP_SECONDS,
        "Time to step one batch: network, experts, scores and calibration.";
    pub(super) series: IntGauge, "series", Count("series"), [STREAM],
        "Series in memory in this process.";
    pub(super) evicted: PerWord<Eviction>, "series_evicted_total", Count("series"),
        [STREAM, Label::words("reason", Eviction::TEXTS)],
        "Series dropped from memory. A dropped series that sends again begins cold.";
    pub(super) memory: PerWord<MemoryPart, IntGauge>, "series_memory_bytes", Bytes,
        [STREAM, Label::words("part", MemoryPart::TEXTS)],
        "Memory held for series, by what it is for. The sum over the parts is all of it; spare is room for \
         series to come.";
    pub restore_seconds: Histogram, "restore_seconds", Seconds, [STREAM],
        buckets LONG_SECONDS,
        "Time from a partition's assignment until its shard runs.";
    pub snapshot_seconds: Histogram, "snapshot_seconds", Seconds, [STREAM],
        buckets LONG_SECONDS,
        "Time that a shard's snapshot took, from the copy of its state to its manifest.";
    pub snapshot_failures: IntCounter, "snapshot_failures_total", Count("snapshots"), [STREAM],
        "Snapshots that were begun and not finished. The next one is tried when it is due.";
    pub(super) snapshot_bytes: IntGauge, "snapshot_bytes", Bytes, [STREAM],
        "Compressed size of the newest snapshots of all shards that this process owns.";
    pub(super) series_snapshot_bytes: Gauge, "series_snapshot_bytes", Bytes, [STREAM],
        "Mean compressed size of a series in those snapshots.";
    pub(super) violations: PerWord<Invariant>, "invariant_violations_total", Count("violations"),
        [STREAM, Label::words("invariant", Invariant::TEXTS)],
        "How often an invariant did not hold. Any value above 0 is a fault of the program.";
    pub(super) log_resets: PerWord<LogReset>, "log_resets_total", Count("partitions"),
        [STREAM, Label::words("reason", LogReset::TEXTS)],
        "Partitions that were not read on from the group's offset: the topic was deleted and created again \
         (recreated), the log has lost records that were read (truncated), or another tool set the offset (moved).";
    pub(super) forecast_error: ByExpert, "forecast_error", Scale, [STREAM, EXPERT, LEAD],
        "Recent mean absolute error. The emitted forecast is the expert mixture.";
    pub(super) skill: ByExpert, "skill", Ratio, [STREAM, EXPERT, LEAD],
        "1 minus the ratio of the error to that of the seasonal naive forecast, or to that of the last value \
         where the stream has no season.";
    pub(super) coverage: ByLevel, "coverage", Ratio, [STREAM, Label::named("level"), LEAD],
        "Share of recent targets at or below the quantile of this level. A calibrated quantile has a share \
         equal to its level.";
    pub(super) rounds: PerWord<RoundOutcome>, "training_rounds_total", Count("rounds"),
        [STREAM, Label::words("outcome", RoundOutcome::TEXTS)],
        "Finished training rounds.";
    pub training_seconds: Histogram, "training_seconds", Seconds, [STREAM],
        buckets LONG_SECONDS,
        "Time that a training round took.";
    pub training_loss: Gauge, "training_loss", Scale, [STREAM],
        "Loss of the last training round's best checkpoint on the held-out readings.";
    pub(super) model: OnDemand<IntGauge>, "model_info", Flag, [STREAM, Label::named("version")],
        "1 for the model that serves. There is no such series until a network was trained.";
    pub promotions: IntCounter, "model_promotions_total", Count("models"), [STREAM],
        "Challengers that became champion.";
    pub rollbacks: IntCounter, "model_rollbacks_total", Count("models"), [STREAM],
        "Champions that were worse than their predecessor and were replaced by it.";
    pub(super) hastened: OnDemand<IntCounter>, "training_rounds_hastened_total", Count("rounds"),
        [STREAM, Label::words("why", &["drift", "request"])],
        "Training rounds that began before they were due.";
    pub(super) promotion_loss: OnDemand<Gauge>, "promotion_loss", Scale,
        [STREAM, Label::words("of", &["challenger", "champion", "former", "base"])],
        "Loss on the last round's held-out readings: of the challenger, of the champion, of the champion's \
         predecessor while the champion is watched (former), and of the forecasts that networks correct \
         (base). Of several networks it is the mean.";
    pub promotion_p_value: Gauge, "promotion_p_value", Ratio, [STREAM],
        "Probability of a gain like the last round's by chance. A challenger is promoted below 1 minus \
         promotion.confidence if it saves promotion.gain, else below 0.05.";
    pub model_failures: IntCounter, "model_failures_total", Count("attempts"), [STREAM],
        "Failed attempts to load an announced model. The model that served before goes on.";
}

metrics! {
    /// The metrics of one shard.
    ShardHandles, ShardFamilies of ShardScope;

    pub(super) lag: OnDemand<IntGauge>, "consumer_lag_readings", Count("records"), [STREAM, TOPIC, PARTITION],
        "Records in the partition that were not read yet. Negative while the partition ends before what was read: \
         it has lost its newest records. There is no such series while no broker says where the partition ends.";
    pub(super) learn_every: IntGauge, "learn_every", Count("origins"), [STREAM, TOPIC, PARTITION],
        "Series past 1,000 origins learn at one of so many: 1, or more by `learn_every` or while the shard is behind.";
    pub(super) state: PerWord<ShardState, IntGauge>, "shard_state", Flag,
        [STREAM, TOPIC, PARTITION, Label::words("state", ShardState::TEXTS)],
        "1 for the state that an owned shard is in, 0 for the other state.";
    pub(super) snapshot_age: Gauge, "snapshot_age_seconds", Seconds, [STREAM, TOPIC, PARTITION],
        "Age of an owned shard's newest finished snapshot: the time that is replayed after a crash.";
}

metrics! {
    /// The metrics of the process.
    ProcessHandles, ProcessFamilies of Process;

    pub(super) transactions: PerWord<TransactionOutcome>, "transactions_total", Count("transactions"),
        [Label::words("outcome", TransactionOutcome::TEXTS)],
        "Finished transactions. The outcome is unknown when the broker did not answer.";
    pub(super) aborts: PerWord<AbortCause>, "transaction_aborts_total", Count("transactions"),
        [Label::words("cause", AbortCause::TEXTS)],
        "Transactions that were aborted, by cause. All causes but other say that a topic refuses what is sent: the \
         worker tries again at longer and longer intervals.";
    pub(super) new_epochs: PerWord<TransactionRequest>, "producer_epochs_total", Count("epochs"),
        [Label::words("unanswered", TransactionRequest::TEXTS)],
        "New epochs of producers, because a request was not answered on its connection and might come late.";
    pub(super) schemas_asked: PerWord<RegistryOutcome>, "registry_requests_total", Count("requests"),
        [Label::words("outcome", RegistryOutcome::TEXTS)],
        "Questions to the schema registry about a schema, by the answer. One that it did not answer (away) is asked again.";
    pub(super) schemas_pending: IntGauge, "registry_pending_schemas", Count("schemas"), [],
        "Schemas that the registry was asked for and that are not known yet. The records that need them wait.";
    pub(super) build: OnDemand<IntGauge>, "build_info", Flag,
        [Label::named("version"), Label::named("revision")],
        "1, with the version and the revision that the program was built from.";
}

metrics! {
    /// The metrics of one Kafka client.
    ClientHandles, ClientFamilies of Client;

    pub(super) sent: IntCounter, "rdkafka_sent_bytes_total", Bytes, [CLIENT],
        "Bytes that a Kafka client has sent to brokers.";
    pub(super) received: IntCounter, "rdkafka_received_bytes_total", Bytes, [CLIENT],
        "Bytes that a Kafka client has received from brokers.";
    pub(super) queued: IntGauge, "rdkafka_queued_messages", Count("messages"), [CLIENT],
        "Messages in a Kafka client's queues, not yet sent or not yet polled.";
    pub(super) queued_bytes: IntGauge, "rdkafka_queued_bytes", Bytes, [CLIENT],
        "Bytes of the messages in a Kafka client's queues.";
    pub(super) round_trip: Gauge, "rdkafka_round_trip_p99_seconds", Seconds, [CLIENT],
        "99th percentile of the round trip to the slowest broker.";
    pub(super) connected: IntGauge, "kafka_connected", Flag, [CLIENT],
        "1 while a broker answers this Kafka client, 0 while none does.";
}

/// All declarations, in the order of the documentation.
#[cfg(test)]
pub fn declarations() -> impl Iterator<Item = &'static Spec> {
    [StreamFamilies::SPECS, ShardFamilies::SPECS, ProcessFamilies::SPECS, ClientFamilies::SPECS]
        .into_iter()
        .flatten()
}

const CLIENT: Label = Label::named("client");

/// A partition of a stream.
pub(super) struct ShardScope {
    pub stream: StreamName,
    pub at: TopicPartition,
}

impl Scope for ShardScope {
    fn labels(&self) -> Vec<String> {
        vec![self.stream.to_string(), self.at.topic.to_string(), self.at.partition.to_string()]
    }
}

/// A Kafka client, by its `client.id`.
pub(super) struct Client(pub String);

impl Scope for Client {
    fn labels(&self) -> Vec<String> {
        vec![self.0.clone()]
    }
}
