//! Partitions, their logs and the shards that are restored from them.

use super::listed;
use crate::domain::{Offset, StreamName, TopicId, TopicPartition};
use crate::telemetry::examples::PaceChange;
use crate::telemetry::words::{Invariant, Pace};
use std::fmt::Display;
use std::time::Duration;

/// The group has given a worker partitions.
pub fn assigned(worker: usize, partitions: &[TopicPartition]) {
    let partitions = listed(partitions);
    event!(info, "assigned", { worker, partitions, }, "partitions assigned");
}

/// The group has taken partitions from a worker.
pub fn revoked(worker: usize, partitions: &[TopicPartition]) {
    let partitions = listed(partitions);
    event!(info, "revoked", { worker, partitions, }, "partitions revoked");
}

/// A shard runs. Its replay began at `from`; it emits from `committed` on.
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

/// Shards since the last event of the same reason that have fallen behind their partition, or have caught up with it:
/// how many, and the first of them.
pub fn pace_changed(stream: &StreamName, reason: Pace, count: u64, first: &PaceChange) {
    let PaceChange { shard, lag, seconds, every } = first;
    let word = reason.as_str();
    let times = if count == 1 { "a shard has" } else { "shards have" };
    macro_rules! log {
        ($level:ident, $what:literal) => {
            event!($level, "pace_changed", { %stream, %shard, count, reason = word, lag, seconds, every, },
                "{times} {}, for example {shard}: {lag} records wait, {seconds:.1} s of work. Series past 1,000 origins \
                 learn at one of {every} origins", $what)
        };
    }
    match reason {
        Pace::Behind => log!(warn, "fallen behind"),
        Pace::CaughtUp => log!(info, "caught up"),
    }
}

/// The log no longer holds the next offset, which is the committed one or the next one to read.
pub fn log_was_cut(shard: &TopicPartition, committed: Offset, low: Offset, high: Offset) {
    event!(warn, "log_was_cut", { %shard, committed = committed.0, low = low.0, high = high.0, },
        "the next offset is {committed}, but the log holds {low} to {high}: the records between are lost");
}

/// A topic was deleted; its partitions wait until a topic of its name is created.
pub fn topic_gone(worker: usize, partitions: &[TopicPartition]) {
    let partitions = listed(partitions);
    event!(warn, "topic_gone", { worker, partitions, },
        "the topic of {partitions} was deleted: nothing is read from it until it is created again");
}

/// A topic was deleted and created again. The new one is answered from its first offset, `low`. In the former one
/// `read` was the next offset; `lost` offsets of it were read and not answered.
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
        "{shard}: the topic was deleted and created again (id {former}, now {now}). The new one is answered from \
         offset {low} on, and its series begin cold. Of the former one {lost} offsets were read and not answered");
}

/// The log of the same topic has lost its newest records, after they were read. `is_exact` says whether `from` is known
/// to be the first offset that was lost.
pub fn log_truncated(
    shard: &TopicPartition,
    committed: Offset,
    (low, high): (Offset, Offset),
    from: Offset,
    is_exact: bool,
) {
    let answered = if is_exact {
        "every record that was written since is answered".to_owned()
    } else {
        format!("records that were written below {from} in place of the lost ones may have no forecast")
    };
    event!(warn, "log_truncated", { %shard, committed = committed.0, low = low.0, high = high.0, from = from.0, },
        "{shard}: the next offset is {committed}, but the log has lost its records from {from} on, as after the \
         election of a leader that was behind. Reading goes on at {from}: {answered}");
}

/// The committed offset does not carry this program's metadata, so another tool has set it.
pub fn offset_moved(shard: &TopicPartition, committed: Offset) {
    event!(warn, "offset_moved", { %shard, committed = committed.0, },
        "{shard}: another tool has set the group's offset. Reading goes on at {committed}");
}

/// Something suggests that a topic has a new id or is gone, so its log is examined.
pub fn log_in_doubt(worker: usize, partitions: &[TopicPartition], cause: &str) {
    let partitions = listed(partitions);
    event!(info, "log_in_doubt", { worker, partitions, cause, }, "{partitions}: {cause}; examining the log");
}

/// An invariant did not hold: a fault of the program. It is counted, and the program goes on.
pub fn invariant_violated(stream: &StreamName, shard: &TopicPartition, invariant: Invariant, times: u64) {
    let invariant = invariant.as_str();
    event!(error, "invariant_violated", { %stream, %shard, invariant, times, },
        "the invariant {invariant} did not hold; please report it");
}
