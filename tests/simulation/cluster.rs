//! A Kafka in memory: one topic, one group, transactions; and everything that can go wrong with them.

use crate::output::Output;
use crate::plan::{Plan, Sent, TOPIC};
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;
use tidecast::domain::{Offset, TopicId, TopicPartition};
use tidecast::kafka::{CommittedOffset, Error, Event, TopicState};

/// How often things go wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub aborted: f64,
    pub unknown: f64,
    pub fenced: f64,
    pub trouble: f64,
    /// A question to a broker, or a new producer after an unknown outcome, gets no answer.
    pub unanswered: f64,
    pub long_turn: f64,
    /// The store's chunks have to wait.
    pub full: f64,
    /// What is done beside a worker is not done yet.
    pub slow: f64,
    /// A commit that was aborted is reported as done: the broken path that the simulation has to find.
    pub lying: f64,
}

/// Outputs that need not be there, or may be there twice: partition, log, offset.
#[derive(Debug, Default)]
pub struct Forgiven {
    pub lost: BTreeSet<(usize, i64, i64)>,
    pub doubled: BTreeSet<(usize, i64, i64)>,
}

/// A member of the group: what the group and its client know of a worker.
#[derive(Debug, Default)]
pub struct Member {
    pub events: VecDeque<Event>,
    /// Where it reads, of the partitions that it has taken.
    pub positions: BTreeMap<usize, i64>,
    pub paused: BTreeSet<usize>,
    pub reads: BTreeMap<usize, TopicState>,
    pub notes: BTreeMap<usize, String>,
    /// Sent and not committed.
    pub pending: Vec<Output>,
    /// The group has let it go, and it does not know.
    pub is_out: bool,
    /// It has heard of it, and is to answer.
    pub has_heard: bool,
    /// Calls until its process dies.
    pub calls_left: Option<u32>,
    /// What was fetched of partitions that were released since.
    pub stale: Vec<(usize, i64)>,
}

pub struct Log {
    pub records: Vec<Sent>,
    /// The first offset that is kept.
    pub low: i64,
    /// The offset after the last record that is there by now.
    pub high: i64,
    /// The end of what was ever read.
    pub reached: i64,
}

/// Everything outside the workers that Kafka holds, and the clock.
pub struct Cluster {
    pub rng: ChaCha8Rng,
    pub faults: Faults,
    pub clock: Duration,
    pub logs: Vec<Log>,
    /// `None` while the topic is deleted.
    pub topic: Option<TopicId>,
    pub committed: BTreeMap<usize, CommittedOffset>,
    pub outputs: Vec<Output>,
    pub generation: u32,
    pub members: BTreeMap<usize, Member>,
    pub owners: Vec<Option<usize>>,
    targets: Vec<Option<usize>>,
    pub forgiven: Forgiven,
}

pub type Shared = Rc<RefCell<Cluster>>;

/// The error of a process that dies here and now.
pub fn dead() -> Error {
    Error::Fatal("simulated crash".to_owned())
}

pub fn number(at: &TopicPartition) -> usize {
    assert_eq!(&*at.topic, TOPIC);
    at.partition.0 as usize
}

impl Cluster {
    pub fn new(plan: &Plan, rng: ChaCha8Rng) -> Self {
        let log = |records: &Vec<Sent>| Log { records: records.clone(), low: 0, high: 0, reached: 0 };
        let partitions = plan.log.len();
        Self {
            rng,
            faults: Faults::default(),
            clock: Duration::from_secs(3_600),
            logs: plan.log.iter().map(log).collect(),
            topic: TopicId::new(1),
            committed: BTreeMap::new(),
            outputs: Vec::new(),
            generation: 1,
            members: BTreeMap::new(),
            owners: vec![None; partitions],
            targets: vec![None; partitions],
            forgiven: Forgiven::default(),
        }
    }

    pub fn partitions(&self) -> usize {
        self.logs.len()
    }

    pub fn topic_now(&self) -> TopicState {
        self.topic.map_or(TopicState::Absent, |id| TopicState::Present(Some(id)))
    }

    /// Where the group has to go on in a partition.
    pub fn next(&self, partition: usize) -> i64 {
        self.committed.get(&partition).map_or(0, |mark| mark.next.0)
    }

    /// Whether all that is in the log was read and committed.
    pub fn is_done(&self) -> bool {
        let done = |p: usize| {
            let log = &self.logs[p];
            log.high == log.records.len() as i64 && self.next(p).max(log.low) >= log.high
        };
        self.topic.is_some() && (0..self.partitions()).all(done)
    }

    /// A process joins the group.
    pub fn join(&mut self, worker: usize) {
        self.members.insert(worker, Member::default());
    }

    /// A process is gone. What it has sent is aborted.
    pub fn leave(&mut self, worker: usize) {
        self.members.remove(&worker);
        for owner in self.owners.iter_mut().filter(|owner| **owner == Some(worker)) {
            *owner = None;
        }
        self.generation += 1;
    }

    /// The group lets a member go that it has not heard of. The member finds out later.
    pub fn evict(&mut self, worker: usize) {
        let Some(member) = self.members.get_mut(&worker) else { return };
        member.is_out = true;
        for owner in self.owners.iter_mut().filter(|owner| **owner == Some(worker)) {
            *owner = None;
        }
        self.rebalance();
    }

    /// The group gives every partition to a member.
    pub fn rebalance(&mut self) {
        let alive: Vec<usize> = self.members.iter().filter(|(_, m)| !m.is_out).map(|(w, _)| *w).collect();
        self.generation += 1;
        let mut revoked: BTreeMap<usize, Vec<TopicPartition>> = BTreeMap::new();
        for partition in 0..self.partitions() {
            let target = alive.choose(&mut self.rng).copied();
            self.targets[partition] = target;
            if let Some(owner) = self.owners[partition].filter(|owner| Some(*owner) != target) {
                revoked.entry(owner).or_default().push(Plan::at(partition));
            }
        }
        for (owner, parts) in revoked {
            let member = self.members.get_mut(&owner).expect("owners are members");
            let waits = |event: &Event| matches!(event, Event::Revoked(all) if all.iter().any(|at| parts.contains(at)));
            if !member.events.iter().any(waits) {
                member.events.push_back(Event::Revoked(parts));
            }
        }
        self.settle();
    }

    /// Partitions that nobody owns go to those that are to have them.
    pub fn settle(&mut self) {
        let mut assigned: BTreeMap<usize, Vec<TopicPartition>> = BTreeMap::new();
        for partition in 0..self.partitions() {
            let Some(target) = self.targets[partition].filter(|_| self.owners[partition].is_none()) else {
                continue;
            };
            if self.members.get(&target).is_some_and(|m| !m.is_out) {
                self.owners[partition] = Some(target);
                assigned.entry(target).or_default().push(Plan::at(partition));
            }
        }
        for (owner, parts) in assigned {
            self.members.get_mut(&owner).expect("it was looked up").events.push_back(Event::Assigned(parts));
        }
    }

    /// Counts a call of a worker, which may be its last.
    pub fn call(&mut self, worker: usize) -> Result<&mut Member, Error> {
        let member = self.members.get_mut(&worker).ok_or_else(dead)?;
        if let Some(left) = &mut member.calls_left {
            *left = left.checked_sub(1).ok_or_else(dead)?;
        }
        Ok(member)
    }

    /// More records come into the log.
    pub fn produce(&mut self, partition: usize, count: i64) {
        if self.topic.is_some() {
            let log = &mut self.logs[partition];
            log.high = (log.records.len() as i64).min(log.high + count);
        }
    }

    /// Deletes the oldest records.
    pub fn retain(&mut self, partition: usize) {
        let log = &mut self.logs[partition];
        let low = self.rng.random_range(log.low..=log.high);
        for offset in self.committed.get(&partition).map_or(0, |mark| mark.next.0)..low {
            if offset >= 0 {
                self.forgiven.lost.insert((partition, log.records[offset as usize].log, offset));
            }
        }
        log.low = low;
    }

    /// Deletes the topic, and the group's offsets with it.
    pub fn delete(&mut self) {
        self.topic = None;
        self.committed.clear();
    }

    /// Makes the topic again, with other records.
    pub fn create(&mut self, id: u128, records: Vec<Vec<Sent>>) {
        self.topic = TopicId::new(id);
        for (log, records) in self.logs.iter_mut().zip(records) {
            *log = Log { records, low: 0, high: 0, reached: 0 };
        }
    }

    /// The log loses its end, and others are written in its place.
    pub fn truncate(&mut self, partition: usize, records: Vec<Sent>) {
        let next = self.next(partition).max(self.logs[partition].reached);
        let log = &mut self.logs[partition];
        let end = self.rng.random_range(log.low..=log.high);
        log.records.truncate(end as usize);
        log.records.extend(records);
        // What comes in place of what was read is passed over where the new log is as long by then.
        for offset in end..next.max(end) {
            if let Some(sent) = log.records.get(offset as usize) {
                self.forgiven.lost.insert((partition, sent.log, offset));
            }
        }
        let all = log.records.len() as i64;
        log.high = if self.rng.random_bool(0.5) { end } else { self.rng.random_range(end..=all) };
    }

    /// Another program moves the group.
    pub fn move_offset(&mut self, partition: usize) {
        let (next, log) = (self.next(partition), &self.logs[partition]);
        let to = self.rng.random_range(log.low..=log.high);
        for offset in to.min(next)..to.max(next) {
            let Some(sent) = log.records.get(offset as usize) else { continue };
            let forgiven = (partition, sent.log, offset);
            if to < next {
                self.forgiven.doubled.insert(forgiven);
            } else {
                self.forgiven.lost.insert(forgiven);
            }
        }
        self.committed.insert(partition, CommittedOffset { next: Offset(to), note: String::new() });
    }
}
