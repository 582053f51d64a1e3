//! Snapshots of shards, and the store that holds them.

use crate::domain::{StreamName, TopicPartition};
use std::fmt::Display;
use std::time::Duration;

/// A shard's snapshot is finished.
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

/// A shard's snapshot failed. Serving goes on; a restart will replay more.
pub fn snapshot_failed(
    stream: &StreamName,
    shard: &TopicPartition,
    snapshot: &dyn Display,
    cause: &dyn Display,
) {
    event!(warn, "snapshot_failed", { %stream, %shard, %snapshot, cause = %cause, }, "snapshot failed: {cause}");
}

/// Files that are no longer needed could not be deleted from the store.
pub fn not_tidied(stream: &StreamName, cause: &dyn Display) {
    event!(warn, "not_tidied", { %stream, cause = %cause, }, "old files stay in the store: {cause}");
}

/// A snapshot can't be used; the next older one is tried.
pub fn snapshot_passed_over(
    stream: &StreamName,
    shard: &TopicPartition,
    snapshot: &dyn Display,
    cause: &dyn Display,
) {
    event!(warn, "snapshot_passed_over", { %stream, %shard, %snapshot, cause = %cause, },
        "snapshot passed over: {cause}");
}

/// The store does not answer while a shard is restored.
pub fn store_unreachable(stream: &StreamName, shard: &TopicPartition, cause: &dyn Display) {
    event!(warn, "store_unreachable", { %stream, %shard, cause = %cause, },
        "the store does not give its snapshots: {cause}");
}
