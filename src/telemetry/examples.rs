//! One example of many, for the events that log several readings together.

use crate::domain::{EventTime, Offset, TopicPartition};

/// A discarded reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscardedReading {
    /// Its series.
    pub series: String,
    /// Its time.
    pub time: EventTime,
    /// The partition of its record.
    pub shard: TopicPartition,
    /// The offset of its record.
    pub offset: Offset,
}

/// A value that counts as missing although its field holds something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingExample {
    /// Its field in the record, as the config names it.
    pub field: String,
    /// Its series.
    pub series: String,
    /// The field's content, in quotes and shortened to fit into a line.
    pub text: String,
}

/// A target value that was not learned as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct DoubtedTarget {
    /// Its series.
    pub series: String,
    /// The target's name.
    pub target: String,
    /// The time of its reading.
    pub time: EventTime,
    /// The value.
    pub value: f64,
    /// What was forecast.
    pub expected: f64,
}

/// A record that is too large for its topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LargeRecord {
    /// The topic.
    pub topic: String,
    /// Its payload's length before it became less.
    pub bytes: usize,
    /// The partition of the source record.
    pub shard: TopicPartition,
    /// The offset of the source record.
    pub offset: Offset,
}

/// A shard that has fallen behind its partition, or has caught up with it.
#[derive(Clone, Debug, PartialEq)]
pub struct PaceChange {
    /// Its partition.
    pub shard: TopicPartition,
    /// Records that wait in the partition.
    pub lag: u64,
    /// How long it would work on them at its present rate.
    pub seconds: f64,
    /// Its mature series learn at one of so many origins from now on.
    pub every: u32,
}

/// A reading whose time was ahead of that of its partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadingAhead {
    /// Its series.
    pub series: String,
    /// Its time.
    pub time: EventTime,
    /// The time that the partition's series agreed on.
    pub agreed: EventTime,
    /// The partition of its record.
    pub shard: TopicPartition,
}
