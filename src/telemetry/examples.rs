//! One example of many, for the events that log several readings together.

use crate::domain::{EventTime, Offset, TopicPartition};

/// One of the readings that were discarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscardedReading {
    pub series: String,
    pub time: EventTime,
    pub shard: TopicPartition,
    pub offset: Offset,
}

/// One of the values that are missing though something stands in their fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingExample {
    /// Its place in the record, as the config names it.
    pub field: String,
    pub series: String,
    /// What stands there, in quotes and cut to a length that fits into a line.
    pub text: String,
}

/// One of the targets that were not taken as they came.
#[derive(Clone, Debug, PartialEq)]
pub struct DoubtedTarget {
    pub series: String,
    pub target: String,
    pub time: EventTime,
    pub value: f64,
    /// What was forecast of it.
    pub expected: f64,
}

/// One of the readings whose time was ahead of that of their partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadingAhead {
    pub series: String,
    pub time: EventTime,
    /// What the partition's series agreed on.
    pub agreed: EventTime,
    pub shard: TopicPartition,
}
