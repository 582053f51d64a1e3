//! A Kafka in memory: one topic, one group, transactions; and everything that can go wrong with them.

use crate::bites::{Bites, Fault};
use crate::coordinator::{Body, ProducerState, Refusal, Request, Verification};
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
use tidecast::telemetry::TransactionRequest;

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
    /// A request is given up and comes later.
    pub late: f64,
    /// A request never comes.
    pub request_lost: f64,
    /// A request is carried out, and its answer never comes.
    pub answer_lost: f64,
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
    /// By transactional id, which is the number of the worker.
    pub producers: BTreeMap<usize, ProducerState>,
    /// Requests that their producers have given up, and after how many calls of brokers each will come.
    in_flight: Vec<(u32, Request)>,
    /// How many transactions were begun.
    pub transactions: u64,
    /// Whether producers follow the rule of new epochs. Without it the simulation has to find what comes late.
    pub takes_new_epochs: bool,
    pub bites: Bites,
}

/// A late request comes after at most two to the power of this many calls of brokers.
const LATE_CALLS_LOG2: f64 = 9.0;
/// The timeout of a transaction that its process has left open.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

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
        let log = |records: &Vec<Sent>| Log { records: records.clone(), low: 0, high: 0 };
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
            producers: BTreeMap::new(),
            in_flight: Vec::new(),
            transactions: 0,
            takes_new_epochs: true,
            bites: Bites::default(),
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
            // What was committed of a log that has lost its end may lie anywhere.
            let newest = log.records.last().map_or(0, |sent| sent.log);
            let is_of_it = |mark: &CommittedOffset| mark.note.contains(&format!("@e={newest};"));
            let is_of_this_log = newest == 0 || self.committed.get(&p).is_some_and(is_of_it);
            let is_all_there = log.high == log.records.len() as i64;
            is_all_there && is_of_this_log && self.next(p).max(log.low) == log.high
        };
        self.topic.is_some() && (0..self.partitions()).all(done)
    }

    /// A process joins the group.
    pub fn join(&mut self, worker: usize) {
        self.members.insert(worker, Member::default());
    }

    /// A process is gone. What it has sent and not committed is in the log, until its transaction is ended.
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
        self.bites.mark_if(self.owners.contains(&Some(worker)), Fault::Evicted);
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
            let Some(fewer) = left.checked_sub(1) else {
                self.bites.mark(Fault::DiedInCall);
                return Err(dead());
            };
            *left = fewer;
        }
        Ok(member)
    }

    /// Carries out a request of a producer.
    pub fn carry_out(&mut self, request: Request) -> Result<(), Refusal> {
        let producer = request.producer;
        if let Body::CommitOffsets { generation, offsets } = &request.body {
            let is_member = self.members.get(&producer).is_some_and(|member| !member.is_out);
            let owns_all = offsets.iter().all(|(partition, _)| self.owners[*partition] == Some(producer));
            if !is_member || *generation != self.generation || !owns_all {
                return Err(Refusal::NotAMember);
            }
        }
        let state = self.producers.entry(producer).or_default();
        let visible = state.carry_out(request, Verification::On)?;
        self.outputs.extend(visible.records);
        self.committed.extend(visible.offsets);
        Ok(())
    }

    /// The network keeps a request. Most come soon, and some after many transactions.
    pub fn keep(&mut self, request: Request) {
        let calls = self.rng.random_range(0.0..LATE_CALLS_LOG2).exp2() as u32;
        self.in_flight.push((calls.max(1), request));
    }

    /// Some of what is late comes now. Nobody waits for the answer.
    pub fn deliver_late(&mut self) {
        let mut at = 0;
        while at < self.in_flight.len() {
            let (calls, _) = &mut self.in_flight[at];
            *calls -= 1;
            if *calls > 0 {
                at += 1;
                continue;
            }
            let (_, request) = self.in_flight.swap_remove(at);
            let kind = request.body.kind();
            self.bites.mark(late(kind));
            let open = self.producers.get(&request.producer).and_then(|state| state.open);
            let is_later = open.is_some_and(|open| open > request.transaction);
            self.bites.mark_if(is_later, Fault::LateInLaterTransaction);
            self.bites.mark_if(is_later && kind == TransactionRequest::End, Fault::LateEndInLaterTransaction);
            let answer = self.carry_out(request);
            self.bites.mark_if(answer == Err(Refusal::Fenced), Fault::LateRefused);
        }
    }

    /// A request was carried out: perhaps before one of its kind that was sent earlier.
    pub fn overtake(&mut self, request: &Request) {
        let is_one = |other: &Request| {
            (other.producer, other.transaction, other.body.kind())
                == (request.producer, request.transaction, request.body.kind())
        };
        self.bites.mark_if(self.in_flight.iter().any(|(_, other)| is_one(other)), Fault::Overtaken);
    }

    /// Who asks for offsets waits until the transactions that will change them have ended.
    pub fn wait_for_offsets(&mut self, partitions: &[usize]) {
        for state in self.producers.values_mut() {
            if state.open.is_some() && partitions.iter().any(|p| state.offsets.contains_key(p)) {
                self.bites.mark(Fault::TransactionLeftOpen);
                self.clock += TRANSACTION_TIMEOUT;
                state.fence();
            }
        }
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
        let next = self.committed.get(&partition).map_or(0, |mark| mark.next.0);
        self.bites.mark_if(low > next, Fault::RetentionAhead);
        for offset in next..low {
            if offset >= 0 {
                self.forgiven.lost.insert((partition, log.records[offset as usize].log, offset));
            }
        }
        log.low = low;
    }

    /// Deletes the topic, and the group's offsets with it.
    pub fn delete(&mut self) {
        self.topic = None;
        self.bites.mark(Fault::TopicDeleted);
        self.committed.clear();
    }

    /// Makes the topic again, with other records.
    pub fn create(&mut self, id: u128, records: Vec<Vec<Sent>>) {
        self.topic = TopicId::new(id);
        self.bites.mark(Fault::TopicCreated);
        for (log, records) in self.logs.iter_mut().zip(records) {
            *log = Log { records, low: 0, high: 0 };
        }
    }

    /// The log loses its end, and others are written in its place.
    pub fn truncate(&mut self, partition: usize, records: Vec<Sent>) {
        let log = &mut self.logs[partition];
        let end = self.rng.random_range(log.low..=log.high);
        self.bites.mark_if(end < log.high, Fault::Truncated);
        log.records.truncate(end as usize);
        log.records.extend(records);
        let all = log.records.len() as i64;
        log.high = if self.rng.random_bool(0.5) { end } else { self.rng.random_range(end..=all) };
    }

    /// Another program moves the group.
    pub fn move_offset(&mut self, partition: usize) {
        let (next, log) = (self.next(partition), &self.logs[partition]);
        let to = self.rng.random_range(log.low..=log.high);
        self.bites.mark_if(to < next, Fault::MovedBack);
        self.bites.mark_if(to > next, Fault::MovedAhead);
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

fn late(kind: TransactionRequest) -> Fault {
    match kind {
        TransactionRequest::InitProducerId => Fault::LateInit,
        TransactionRequest::AddPartitions => Fault::LateAddPartitions,
        TransactionRequest::Produce => Fault::LateProduce,
        TransactionRequest::AddOffsets => Fault::LateAddOffsets,
        TransactionRequest::CommitOffsets => Fault::LateCommitOffsets,
        TransactionRequest::End => Fault::LateEnd,
    }
}
