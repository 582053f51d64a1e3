//! Records that were polled and that no shard has taken yet, because as many readings wait for their rounds as one part
//! of a turn may step, because a record before them has not let everything through, or because the schema registry has not
//! told the schema of a record yet.
//!
//! There are none on the quiet path: a poll hands over no more records than a part of a turn may step. They wait where
//! records have very many readings each, and where one record releases very many readings that were held back.

use crate::codec::Record;
use crate::domain::{EventTime, LeaderEpoch, Offset, TopicPartition};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A copy of a record.
pub(super) struct KeptRecord {
    offset: Offset,
    /// The epoch of the leader that wrote it.
    pub epoch: Option<LeaderEpoch>,
    key: Option<Box<[u8]>>,
    timestamp: Option<EventTime>,
    payload: Option<Box<[u8]>>,
    headers: Vec<(Box<str>, Box<[u8]>)>,
}

impl KeptRecord {
    pub fn of(record: &Record<'_>, epoch: Option<LeaderEpoch>) -> Self {
        let mut headers = Vec::new();
        record.headers.for_each(&mut |name, value| headers.push((name.into(), value.into())));
        Self {
            headers,
            epoch,
            offset: record.offset,
            key: record.key.map(Into::into),
            timestamp: record.timestamp,
            payload: record.payload.map(Into::into),
        }
    }

    /// The record, which is one of this partition.
    pub fn as_record<'a>(&'a self, at: &'a TopicPartition) -> Record<'a> {
        Record {
            topic: &at.topic,
            partition: at.partition,
            offset: self.offset,
            key: self.key.as_deref(),
            timestamp: self.timestamp,
            payload: self.payload.as_deref(),
            headers: &self.headers,
        }
    }
}

/// The records that wait, by partition and in their order.
#[derive(Default)]
pub(super) struct Backlog {
    waiting: BTreeMap<TopicPartition, VecDeque<KeptRecord>>,
    /// Partitions that are paused until none of their records waits.
    paused: BTreeSet<TopicPartition>,
    turns: usize,
}

impl Backlog {
    /// Whether nothing waits and nothing is paused.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.paused.is_empty()
    }

    /// Whether any record waits.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// How many records wait.
    pub fn len(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum()
    }

    /// Whether records of a partition wait.
    pub fn has(&self, at: &TopicPartition) -> bool {
        self.waiting.contains_key(at)
    }

    pub fn push(&mut self, at: &TopicPartition, record: KeptRecord) {
        match self.waiting.get_mut(at) {
            Some(records) => records.push_back(record),
            None => drop(self.waiting.insert(at.clone(), VecDeque::from([record]))),
        }
    }

    /// The next record of a partition.
    pub fn first(&self, at: &TopicPartition) -> Option<&KeptRecord> {
        self.waiting.get(at)?.front()
    }

    /// Takes the next record of a partition.
    pub fn pop(&mut self, at: &TopicPartition) -> Option<KeptRecord> {
        let records = self.waiting.get_mut(at)?;
        let record = records.pop_front();
        if records.is_empty() {
            self.waiting.remove(at);
        }
        record
    }

    /// The partitions whose records wait. Each call begins with another one.
    pub fn partitions_in_turn(&mut self) -> Vec<TopicPartition> {
        self.turns = self.turns.wrapping_add(1);
        let mut parts: Vec<TopicPartition> = self.waiting.keys().cloned().collect();
        let first = self.turns % parts.len().max(1);
        parts.rotate_left(first);
        parts
    }

    /// How often [`Self::partitions_in_turn`] was called.
    pub fn turns(&self) -> usize {
        self.turns
    }

    /// Whether any partition is paused.
    pub fn has_paused(&self) -> bool {
        !self.paused.is_empty()
    }

    /// Notes that all partitions whose records wait are paused; returns those that were not.
    pub fn pause(&mut self) -> Vec<TopicPartition> {
        let new: Vec<TopicPartition> =
            self.waiting.keys().filter(|at| !self.paused.contains(at)).cloned().collect();
        self.paused.extend(new.iter().cloned());
        new
    }

    /// Notes that the paused partitions of which no record waits are read again; returns them.
    pub fn resume(&mut self) -> Vec<TopicPartition> {
        let done: Vec<TopicPartition> =
            self.paused.iter().filter(|at| !self.waiting.contains_key(at)).cloned().collect();
        self.paused.retain(|at| self.waiting.contains_key(at));
        done
    }

    /// Drops the records of a partition that wait: it is read again from the first of them.
    pub fn drop_waiting(&mut self, at: &TopicPartition) {
        self.waiting.remove(at);
    }

    /// Forgets partitions whose shards are dropped.
    pub fn forget(&mut self, parts: &[TopicPartition]) {
        self.waiting.retain(|at, _| !parts.contains(at));
        self.paused.retain(|at| !parts.contains(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Partition;

    fn at(partition: i32) -> TopicPartition {
        TopicPartition { topic: "in".into(), partition: Partition(partition) }
    }

    fn push(backlog: &mut Backlog, partition: i32, offset: i64) {
        let headers: &[(&str, &[u8])] = &[("gain", b"1"), ("gain", b"2")];
        let (at, offset) = (at(partition), Offset(offset));
        let (topic, partition) = (&*at.topic, at.partition);
        let (key, payload) = (Some(b"k".as_slice()), Some(b"v".as_slice()));
        let record = Record { topic, partition, offset, key, timestamp: None, payload, headers: &headers };
        backlog.push(&at, KeptRecord::of(&record, None));
    }

    #[test]
    fn records_wait_in_their_order_with_all_that_they_have() {
        let mut backlog = Backlog::default();
        for (partition, offset) in [(0, 5), (1, 9), (0, 7), (1, 10)] {
            push(&mut backlog, partition, offset);
        }
        assert_eq!((backlog.len(), backlog.has(&at(0)), backlog.has(&at(2))), (4, true, false));
        let first = backlog.pop(&at(0)).unwrap();
        let part = at(0);
        let record = first.as_record(&part);
        assert_eq!(
            (record.offset, record.key, record.payload),
            (Offset(5), Some(&b"k"[..]), Some(&b"v"[..]))
        );
        assert_eq!((record.headers.get("gain"), record.headers.get("loss")), (Some(&b"2"[..]), None));
        assert_eq!(backlog.pop(&at(0)).map(|record| record.offset), Some(Offset(7)));
        assert!(backlog.pop(&at(0)).is_none() && backlog.has_waiting());
        let mut turns: Vec<_> = (0..2).map(|_| backlog.partitions_in_turn()[0].clone()).collect();
        turns.dedup();
        assert_eq!(turns, [at(1)]);
    }

    #[test]
    fn a_partition_is_paused_while_its_records_wait() {
        let mut backlog = Backlog::default();
        push(&mut backlog, 0, 5);
        push(&mut backlog, 1, 9);
        assert_eq!((backlog.pause(), backlog.pause()), (vec![at(0), at(1)], Vec::new()));
        assert_eq!(backlog.resume(), []);
        backlog.pop(&at(0)).unwrap();
        assert_eq!((backlog.resume(), backlog.resume()), (vec![at(0)], Vec::new()));
        assert!(backlog.has_paused());
        backlog.forget(&[at(1)]);
        assert!(backlog.is_empty());
    }
}
