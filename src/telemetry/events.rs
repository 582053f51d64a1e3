//! Every log event: one function each, its name written once in the field `event`. Per batch or
//! rarer; nothing logs per reading.

use super::reason::{Ahead, Discard, Doubt, Invariant, MissingValue};
use super::untold::{DiscardedReading, DoubtedTarget, MissingExample};
use crate::domain::{EventTime, ModelVersion, Offset, RoundScores, StreamName, TopicId, TopicPartition};
use std::fmt::Display;
use std::net::SocketAddr;
use std::time::Duration;

const TARGET: &str = "tidecast";

macro_rules! event {
    ($level:ident, $name:literal, { $($fields:tt)* }, $($message:tt)+) => {
        tracing::$level!(target: TARGET, event = $name, $($fields)* $($message)+)
    };
}

/// Partitions as a list for people.
fn listed(partitions: &[TopicPartition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Before anything else is asked of Kafka: it may be away.
pub fn connecting(brokers: &str) {
    event!(info, "connecting", { brokers, }, "asking Kafka at {brokers} for the topics");
}

pub fn started(streams: usize, workers: usize, http: SocketAddr) {
    let version = env!("CARGO_PKG_VERSION");
    event!(info, "started", { version, streams, workers, http = %http, }, "tidecast {version} serves http://{http}");
}

/// A look into a stream's past begins.
pub fn seeking_seasons(stream: &StreamName) {
    event!(info, "seeking_seasons", { stream = %stream, }, "{stream}: looking into its past for its seasons");
}

/// Which seasons a stream has, and who says so.
pub fn seasons(stream: &StreamName, steps: &[usize], from: &str) {
    event!(info, "seasons", { stream = %stream, ?steps, from, }, "{stream}: seasons of {steps:?} steps, from the {from}");
}

/// A stream's past, or what could be read of it in time, is too short to say which seasons it has.
pub fn seasons_unknown(stream: &StreamName, series: usize, readings: usize, whole: bool) {
    let why = if whole { "is too short" } else { "could not be read far enough in time" };
    event!(
        warn, "seasons_unknown", { stream = %stream, series, readings, whole, },
        "{stream}: its past of {readings} readings in {series} series {why} to say which seasons it has: those of \
         the interval are kept; the runbook says how to seek them again (Other seasons)"
    );
}

/// Seasons that a stream's past says can't go with its config.
pub fn seasons_unusable(stream: &StreamName, steps: &[usize], error: &dyn Display) {
    event!(
        warn, "seasons_unusable", { stream = %stream, ?steps, %error, },
        "{stream}: {error}; those of the interval are kept"
    );
}

pub fn stopping(cause: &str) {
    event!(info, "stopping", { cause, }, "stopping: {cause}");
}

pub fn stopped(took: Duration) {
    event!(info, "stopped", { seconds = took.as_secs_f64(), }, "stopped");
}

pub fn assigned(worker: usize, partitions: &[TopicPartition]) {
    let partitions = listed(partitions);
    event!(info, "assigned", { worker, partitions, }, "partitions assigned");
}

pub fn revoked(worker: usize, partitions: &[TopicPartition]) {
    let partitions = listed(partitions);
    event!(info, "revoked", { worker, partitions, }, "partitions revoked");
}

/// `from` is where the replay began; the shard emits from `committed` on.
pub fn restored(
    stream: &StreamName,
    shard: &TopicPartition,
    snapshot: Option<impl Display>,
    from: Offset,
    committed: Offset,
    series: usize,
    took: Duration,
) {
    let seconds = took.as_secs_f64();
    let snapshot = snapshot.map_or_else(|| "none".to_owned(), |id| id.to_string());
    event!(info, "restored", { %stream, %shard, snapshot, from = from.0, committed = committed.0, series, seconds, },
        "shard restored");
}

/// The log no longer has what comes next: what is committed, or what is read.
pub fn log_was_cut(shard: &TopicPartition, committed: Offset, low: Offset, high: Offset) {
    event!(warn, "log_was_cut", { %shard, committed = committed.0, low = low.0, high = high.0, },
        "offset {committed} comes next, but the log holds {low} to {high}: what lies between is lost");
}

/// A topic was deleted; its partitions wait until one of its name is made.
pub fn topic_gone(worker: usize, partitions: &[TopicPartition]) {
    let partitions = listed(partitions);
    event!(warn, "topic_gone", { worker, partitions, },
        "the topic of {partitions} was deleted: nothing is read of it until it is made anew");
}

/// All of the new one is answered, from `low` on. Of the former one `read` came next; what of it was read
/// and not answered is `lost`, in offsets.
pub fn topic_recreated(
    shard: &TopicPartition,
    former: TopicId,
    now: Option<TopicId>,
    read: Option<Offset>,
    low: Offset,
    lost: u64,
) {
    let now = now.map_or_else(|| "unknown".to_owned(), |id| id.to_string());
    let read = read.map(|read| read.0);
    event!(warn, "topic_recreated", { %shard, %former, now, read, low = low.0, lost, },
        "{shard}: the topic was deleted and made anew (id {former}, now {now}): all of the new one is answered, \
         from offset {low} on, and its series begin cold; {lost} offsets of the former one were read and not answered");
}

/// The log of the same topic ends before what was read: its newest records were lost.
pub fn log_truncated(shard: &TopicPartition, committed: Offset, low: Offset, high: Offset) {
    event!(warn, "log_truncated", { %shard, committed = committed.0, low = low.0, high = high.0, },
        "{shard}: offset {committed} comes next, but the log ends before {high}, as after the election of a leader \
         that was behind: it is read on at its end. What was written below offset {committed} in place of what was lost \
         may have no answer");
}

/// The committed offset bears no note of ours, so another tool has set it.
pub fn offset_moved(shard: &TopicPartition, committed: Offset) {
    event!(warn, "offset_moved", { %shard, committed = committed.0, },
        "{shard}: the group's offset was set by another tool: it is read on from {committed}");
}

/// A topic whose id has changed, or that is gone, was found out by a shard's records or by asking.
pub fn log_in_doubt(worker: usize, partitions: &[TopicPartition], cause: &str) {
    let partitions = listed(partitions);
    event!(info, "log_in_doubt", { worker, partitions, cause, }, "{partitions}: {cause}; the log is looked at");
}

pub fn snapshot_taken(
    stream: &StreamName,
    shard: &TopicPartition,
    snapshot: &dyn Display,
    series: u64,
    bytes: u64,
    took: Duration,
) {
    let seconds = took.as_secs_f64();
    event!(info, "snapshot_taken", { %stream, %shard, %snapshot, series, bytes, seconds, }, "snapshot taken");
}

/// Serving goes on; a restart will replay more.
pub fn snapshot_failed(
    stream: &StreamName,
    shard: &TopicPartition,
    snapshot: &dyn Display,
    cause: &dyn Display,
) {
    event!(warn, "snapshot_failed", { %stream, %shard, %snapshot, cause = %cause, }, "snapshot failed: {cause}");
}

/// What is no longer needed could not be deleted from the store.
pub fn not_tidied(stream: &StreamName, cause: &dyn Display) {
    event!(warn, "not_tidied", { %stream, cause = %cause, }, "old files stay in the store: {cause}");
}

/// A snapshot that can't be used; the next older one is tried.
pub fn snapshot_passed_over(
    stream: &StreamName,
    shard: &TopicPartition,
    snapshot: &dyn Display,
    cause: &dyn Display,
) {
    event!(warn, "snapshot_passed_over", { %stream, %shard, %snapshot, cause = %cause, },
        "snapshot passed over: {cause}");
}

/// While a shard is to be restored.
pub fn store_unreachable(stream: &StreamName, shard: &TopicPartition, cause: &dyn Display) {
    event!(warn, "store_unreachable", { %stream, %shard, cause = %cause, },
        "the store does not give its snapshots: {cause}");
}

/// What the series of a shard have in common has changed.
pub fn drift(stream: &StreamName, shard: &TopicPartition, kind: &str, change: f64) {
    event!(info, "drift", { %stream, %shard, kind, change, }, "drift found");
}

/// A fault of the program; what it did wrong is counted, and it goes on.
pub fn invariant_violated(stream: &StreamName, shard: &TopicPartition, invariant: Invariant, times: u64) {
    let invariant = invariant.as_str();
    event!(error, "invariant_violated", { %stream, %shard, invariant, times, },
        "the invariant {invariant} did not hold; please report it");
}

pub fn committed(worker: usize, readings: usize, forecasts: usize, took: Duration) {
    let seconds = took.as_secs_f64();
    event!(debug, "committed", { worker, readings, forecasts, seconds, }, "transaction committed");
}

/// At most once a minute, stream and outcome: how many readings ran ahead of what the series of their partition
/// agree on, or came back from there, since it was told last, and the first of them.
pub fn time_ahead(
    stream: &StreamName,
    shard: &TopicPartition,
    count: u64,
    outcome: Ahead,
    series: &str,
    (time, agreed): (EventTime, EventTime),
) {
    let (word, seconds) = (outcome.as_str(), time.seconds_since(agreed));
    macro_rules! tell {
        ($level:ident, $what:literal) => {
            event!($level, "time_ahead",
                { %stream, %shard, count, outcome = word, series, %time, %agreed, seconds, },
                "{count} readings {} what the partition's series agree on; the first: {series}, {time} at {agreed}",
                $what)
        };
    }
    match outcome {
        Ahead::Discarded => tell!(warn, "discarded: their time was ahead of"),
        Ahead::Kept => tell!(info, "kept: their time was ahead of"),
        Ahead::Returned => tell!(info, "whose series had been ahead are back at"),
    }
}

/// The worker drops its shards and recovers them from what is committed.
pub fn aborted(worker: usize, cause: &dyn Display) {
    event!(warn, "aborted", { worker, cause = %cause, }, "transaction aborted: {cause}");
}

/// The process ends: another one has taken its place.
pub fn fenced(worker: usize, cause: &dyn Display) {
    event!(error, "fenced", { worker, cause = %cause, }, "another producer took this worker's place: {cause}");
}

/// Once a batch: how many records of it were bad, and the first of them.
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

/// So many readings since this was told last for the same reason, and the first of them. Series that were left out
/// on purpose are no reason to worry.
pub fn discarded(stream: &StreamName, why: Discard, count: u64, first: &DiscardedReading) {
    let DiscardedReading { series, time, shard, offset } = first;
    let (reason, meaning) = (why.as_str(), why.meaning());
    let were = if count == 1 { "reading was" } else { "readings were" };
    macro_rules! tell {
        ($level:ident) => {
            event!($level, "readings_discarded", {
                %stream, reason, count, series, %time, %shard, offset = offset.0,
            }, "{count} {were} discarded as {reason}, for example that of series {series} at {time}: {meaning}")
        };
    }
    match why {
        Discard::NotSelected => tell!(info),
        _ => tell!(warn),
    }
}

/// Targets of readings that were not taken as they came: how many since this was last told of, and the first of them.
pub fn values_doubted(stream: &StreamName, reason: Doubt, count: u64, first: &DoubtedTarget) {
    let DoubtedTarget { series, target, time, value, expected } = first;
    let (word, what) = match (reason, count) {
        (Doubt::Outlier, 1) => (reason.as_str(), "value lay far from its forecast and counts for less"),
        (Doubt::Outlier, _) => (reason.as_str(), "values lay far from their forecasts and count for less"),
        (Doubt::LevelShift, 1) => {
            (reason.as_str(), "value showed that its series has moved to another level")
        }
        (Doubt::LevelShift, _) => {
            (reason.as_str(), "values showed that their series have moved to other levels")
        }
        (Doubt::OutOfRange, 1) => (reason.as_str(), "value can't be one of its series and is missing"),
        (Doubt::OutOfRange, _) => (reason.as_str(), "values can't be ones of their series and are missing"),
    };
    event!(info, "values_doubted", { %stream, count, reason = word, series, target, %time, value, expected, },
        "{count} {what}, for example {target} of series {series} at {time}: {value}, where {expected} was forecast");
}

/// Values that are missing though something stands in their fields: how many since this was last told of,
/// and the first of them. Those that can't be read may be a fault of the producer or of the config.
pub fn values_missing(stream: &StreamName, reason: MissingValue, count: u64, first: &MissingExample) {
    let MissingExample { field, series, text } = first;
    let word = reason.as_str();
    let are = if count == 1 { "value is" } else { "values are" };
    macro_rules! tell {
        ($level:ident, $why:literal) => {
            event!($level, "values_missing", { %stream, count, reason = word, field, series, text, },
                "{count} {are} missing: {}, for example {text} at {field} of series {series}", $why)
        };
    }
    match reason {
        MissingValue::Marker => tell!(info, "what stands in the field means that there is no value"),
        MissingValue::NotFinite => tell!(info, "what stands in the field is not finite"),
        MissingValue::Unreadable => tell!(warn, "what stands in the field can't be read as a number"),
    }
}

pub fn device_chosen(stream: &StreamName, device: &str) {
    event!(info, "device_chosen", { %stream, device, }, "networks compute on {device}");
}

pub fn model_loaded(stream: &StreamName, version: ModelVersion) {
    let model = version.name(stream);
    event!(info, "model_loaded", { %stream, model, }, "model loaded");
}

/// A file that can't be used; the next older one is tried.
pub fn bundle_passed_over(stream: &StreamName, version: ModelVersion, cause: &dyn Display) {
    let model = version.name(stream);
    event!(warn, "bundle_passed_over", { %stream, model, cause = %cause, }, "bundle passed over: {cause}");
}

/// The round was for nothing: without a bundle and its announcement its network can't serve.
pub fn bundle_not_kept(stream: &StreamName, round: u64, cause: &dyn Display) {
    event!(error, "bundle_not_kept", { %stream, round, cause = %cause, },
        "bundle not kept and announced: {cause}");
}

/// It was announced, and does not serve here: what served goes on.
pub fn model_not_followed(stream: &StreamName, version: ModelVersion, cause: &dyn Display) {
    let model = version.name(stream);
    event!(warn, "model_not_followed", { %stream, model, cause = %cause, },
        "the announced model can't be followed: {cause}");
}

/// A record of the models topic that nobody can follow.
pub fn announcement_unreadable(stream: &StreamName, offset: Offset, cause: &dyn Display) {
    event!(warn, "announcement_unreadable", { %stream, offset = offset.0, cause = %cause, },
        "an announcement on the models topic can't be read: {cause}");
}

/// The states of a shard are warm and the new network answers.
pub fn model_serves(stream: &StreamName, version: ModelVersion, shard: &TopicPartition) {
    let model = version.name(stream);
    event!(info, "model_serves", { %stream, model, %shard, }, "new network serves");
}

pub fn worker_failed(worker: usize, cause: &dyn Display) {
    event!(error, "worker_failed", { worker, cause = %cause, }, "worker {worker} ended: {cause}");
}

pub fn follower_failed(cause: &dyn Display) {
    event!(error, "follower_failed", { cause = %cause, }, "the models topic can't be followed: {cause}");
}

pub fn trainer_panicked() {
    event!(error, "trainer_panicked", {}, "the trainer panicked");
}

pub fn round_started(stream: &StreamName, round: u64, series: usize, readings: usize, why: &str) {
    event!(info, "round_started", { %stream, round, series, readings, why, }, "training round started");
}

pub fn round_finished(stream: &StreamName, round: u64, steps: usize, loss: f64, took: Duration) {
    let seconds = took.as_secs_f64();
    event!(info, "round_finished", { %stream, round, steps, loss, seconds, }, "training round finished");
}

pub fn round_failed(stream: &StreamName, round: u64, cause: &dyn Display) {
    event!(warn, "round_failed", { %stream, round, cause = %cause, }, "training round failed: {cause}");
}

/// Its challenger has beaten a champion that is none any more.
pub fn round_superseded(stream: &StreamName, round: u64, cause: &dyn Display) {
    event!(info, "round_superseded", { %stream, round, cause = %cause, }, "training round superseded: {cause}");
}

macro_rules! decided {
    ($level:ident, $name:literal, $found:ident, { $($fields:tt)* }, $($message:tt)+) => {{
        let RoundScores { challenger, champion, former, base, p_value, series, blocks } = *$found;
        event!($level, $name, { $($fields)* challenger, champion, former, base, p_value, series, blocks, },
            $($message)+)
    }};
}

pub fn promoted(stream: &StreamName, round: u64, version: ModelVersion, found: &RoundScores) {
    let model = version.name(stream);
    decided!(info, "promoted", found, { %stream, round, model, }, "challenger promoted");
}

pub fn rejected(stream: &StreamName, round: u64, found: &RoundScores) {
    decided!(
        info, "rejected", found, { %stream, round, },
        "challenger rejected: it is not sure enough to be better, or saves too little (promotion.confidence, promotion.gain)"
    );
}

/// It has won its round, and has to win once more before it serves.
pub fn shadowed(stream: &StreamName, round: u64, found: &RoundScores) {
    decided!(info, "shadowed", found, { %stream, round, }, "challenger waits in the shadow");
}

/// `to` serves again; without one the experts serve alone.
pub fn rolled_back(stream: &StreamName, round: u64, from: &str, to: &str, found: &RoundScores) {
    decided!(warn, "rolled_back", found, { %stream, round, from, to, }, "{from} was worse than what served before it");
}

/// Somebody has asked that this model serve.
pub fn model_requested(stream: &StreamName, model: &str) {
    event!(info, "model_requested", { %stream, model, }, "{model} was asked for");
}

/// The experts serve alone again.
pub fn model_dismissed(stream: &StreamName) {
    event!(info, "model_dismissed", { %stream, }, "no network serves any more");
}

pub fn config_fault(key: &str, problem: &str) {
    event!(error, "config_fault", { key, problem, }, "{key}: {problem}");
}

/// What librdkafka reports and mends by itself.
pub fn kafka_error(client: &str, cause: &dyn Display) {
    event!(warn, "kafka_error", { client, cause = %cause, }, "kafka: {cause}");
}

pub fn http_failed(cause: &dyn Display) {
    event!(error, "http_failed", { cause = %cause, }, "the admin server stopped: {cause}");
}
