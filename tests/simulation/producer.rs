//! A worker's transactional producer over the simulated cluster: librdkafka as far as transactions go, with the
//! shipped rule of when a new epoch is taken.
//!
//! librdkafka repeats a request under the same epoch when its connection breaks or its answer does not come in time.
//! The first one may have been carried out, may never come, or may come late.

use crate::bites::Fault;
use crate::cluster::{Cluster, Shared, number};
use crate::coordinator::{Body, Refusal, Request};
use crate::output::Output;
use rand::Rng;
use std::time::Duration;
use tidecast::domain::{Offset, TopicPartition};
use tidecast::kafka::{Commit, CommittedOffset, Error, Event, UnansweredRequests};
use tidecast::telemetry::TransactionRequest;

/// How often a request is sent before its call times out.
const TRIES: u32 = 4;
/// As [`TRIES`], when a producer starts.
const START_TRIES: u32 = 60;
/// The pause between two tries.
const BACKOFF: Duration = Duration::from_millis(100);

/// Why a request has no answer of success.
#[derive(Debug)]
enum Failure {
    /// The process is dead.
    Dead(Error),
    TimedOut,
    Refused(Refusal),
}

pub struct SimProducer {
    cluster: Shared,
    worker: usize,
    epoch: u32,
    requests: UnansweredRequests,
    /// The number of the transaction that is open.
    open: Option<u64>,
    /// Why the transaction can't be committed any more.
    broken: Option<String>,
    has_partitions: bool,
    has_group: bool,
    /// The coordinator has refused this epoch.
    is_fenced: bool,
    /// It is not known whether the last records have come.
    has_lost_records: bool,
    sequence: u64,
    queue: Vec<Output>,
}

impl SimProducer {
    pub fn start(cluster: &Shared, worker: usize) -> Self {
        let mut producer = Self {
            cluster: cluster.clone(),
            worker,
            epoch: 0,
            requests: UnansweredRequests::default(),
            open: None,
            broken: None,
            has_partitions: false,
            has_group: false,
            is_fenced: false,
            has_lost_records: false,
            sequence: 0,
            queue: Vec::new(),
        };
        producer.init().expect("a process does not die in its start");
        producer
    }

    /// Sends a request until it is answered.
    fn exchange(&mut self, body: Body, tries: u32) -> Result<(), Failure> {
        let transaction = self.open.unwrap_or(0);
        let kind = body.kind();
        let request = Request { producer: self.worker, epoch: self.epoch, transaction, body };
        for _ in 0..tries {
            let mut cluster = self.cluster.borrow_mut();
            cluster.deliver_late();
            if let Err(dead) = cluster.call(self.worker) {
                cluster.bites.mark_if(self.open.is_some(), Fault::DiedInCommit);
                return Err(Failure::Dead(dead));
            }
            self.requests.sent(kind);
            let faults = cluster.faults;
            let fate: f64 = cluster.rng.random();
            if fate < faults.late {
                cluster.keep(request.clone());
            } else if fate < faults.late + faults.request_lost {
                cluster.bites.mark(Fault::RequestLost);
            } else {
                let answer = cluster.carry_out(request.clone());
                cluster.overtake(&request);
                if fate >= faults.late + faults.request_lost + faults.answer_lost {
                    self.requests.answered(kind);
                    return answer.map_err(Failure::Refused);
                }
                cluster.bites.mark(answer_lost(kind));
            }
            self.requests.given_up(kind);
            cluster.clock += BACKOFF;
        }
        Err(Failure::TimedOut)
    }

    /// A new client with the same id: a new epoch.
    fn init(&mut self) -> Result<(), Error> {
        match self.exchange(Body::InitProducerId, START_TRIES) {
            Ok(()) => {}
            Err(Failure::Dead(error)) => return Err(error),
            Err(other) => panic!("a producer starts: {other:?}"),
        }
        self.epoch = self.cluster.borrow().producers[&self.worker].epoch;
        (self.open, self.broken, self.sequence) = (None, None, 0);
        self.queue.clear();
        Ok(())
    }

    fn settle(&mut self) -> Result<(), Error> {
        self.is_fenced = false;
        self.has_lost_records = false;
        self.requests = UnansweredRequests::default();
        self.init()
    }

    fn take_epoch(&mut self, unanswered: TransactionRequest) -> Result<(), Error> {
        if let Some(member) = self.cluster.borrow_mut().members.get_mut(&self.worker) {
            member.events.push_back(Event::NewEpoch(unanswered));
        }
        self.settle()
    }

    fn begin(&mut self) -> Result<(), Error> {
        if self.open.is_some() {
            return Ok(());
        }
        let follows_rule = self.cluster.borrow().takes_new_epochs;
        if let Some(unanswered) = self.requests.before_begin().filter(|_| follows_rule) {
            self.take_epoch(unanswered)?;
        }
        let mut cluster = self.cluster.borrow_mut();
        cluster.transactions += 1;
        (self.open, self.has_partitions, self.has_group) = (Some(cluster.transactions), false, false);
        Ok(())
    }

    /// Queues a record. Now and then the queue is sent.
    pub fn send(&mut self, record: Output) -> Result<(), Error> {
        if self.broken.is_none() {
            self.begin()?;
            self.queue.push(record);
            if self.cluster.borrow_mut().rng.random_bool(0.3)
                && let Err(failure) = self.flush()
            {
                self.broken = Some(self.doom(failure)?);
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        if self.queue.is_empty() {
            return Ok(());
        }
        if !self.has_partitions {
            self.exchange(Body::AddPartitions, TRIES)?;
            self.has_partitions = true;
        }
        let records = std::mem::take(&mut self.queue);
        let (first, count) = (self.sequence, records.len() as u64);
        self.has_lost_records = true;
        self.exchange(Body::Produce { first, records }, TRIES)?;
        self.has_lost_records = false;
        self.sequence += count;
        Ok(())
    }

    /// Why the transaction can't be committed; fails when the failure ends the process.
    fn doom(&mut self, failure: Failure) -> Result<String, Error> {
        match failure {
            Failure::Dead(error) => Err(error),
            Failure::Refused(Refusal::Fenced) => {
                self.cluster.borrow_mut().bites.mark(Fault::FencedByItself);
                self.is_fenced = true;
                Ok("fenced".to_owned())
            }
            Failure::Refused(Refusal::InvalidState) => {
                Err(Error::Fatal("simulated: invalid transaction state".to_owned()))
            }
            Failure::TimedOut | Failure::Refused(_) => Ok(format!("{failure:?}")),
        }
    }

    /// Commits, and ends what could not be committed.
    pub fn commit(&mut self, positions: &[(TopicPartition, Offset)]) -> Result<Commit, Error> {
        let outcome = match self.broken.take() {
            Some(reason) => Commit::Aborted(reason),
            None => self.commit_transaction(positions)?,
        };
        match outcome {
            Commit::Committed => {}
            Commit::Aborted(_) => self.abort()?,
            Commit::Unknown(_) => self.settle()?,
        }
        Ok(outcome)
    }

    fn commit_transaction(&mut self, positions: &[(TopicPartition, Offset)]) -> Result<Commit, Error> {
        self.begin()?;
        if let Err(failure) = self.flush() {
            return self.doom(failure).map(Commit::Aborted);
        }
        let offsets = match Self::offsets(&mut self.cluster.borrow_mut(), self.worker, positions)? {
            Ok(offsets) => offsets,
            Err(reason) => return Ok(Commit::Aborted(reason)),
        };
        if let Err(failure) = self.exchange(Body::AddOffsets, TRIES) {
            return self.doom(failure).map(Commit::Aborted);
        }
        self.has_group = true;
        let generation = self.cluster.borrow().generation;
        if let Err(failure) = self.exchange(Body::CommitOffsets { generation, offsets }, TRIES) {
            return self.doom(failure).map(Commit::Aborted);
        }
        let (lies, is_unknown) = {
            let mut cluster = self.cluster.borrow_mut();
            let faults = cluster.faults;
            (cluster.rng.random_bool(faults.lying), cluster.rng.random_bool(faults.unknown))
        };
        if lies {
            self.abort()?;
            return Ok(Commit::Committed);
        }
        // The coordinator does not answer: it has the request, or it never comes, or it comes late.
        let normal = self.cluster.borrow().faults;
        if is_unknown {
            let mut cluster = self.cluster.borrow_mut();
            let is_done = cluster.rng.random_bool(0.5);
            let (lost, late) = if is_done { (1.0, 0.0) } else { (0.0, 0.5) };
            cluster.faults.answer_lost = lost;
            cluster.faults.late = late;
            cluster.faults.request_lost = 1.0 - lost - late;
        }
        let ended = self.exchange(Body::End { commits: true }, TRIES);
        self.cluster.borrow_mut().faults = normal;
        match ended {
            Ok(()) => {
                self.open = None;
                Ok(Commit::Committed)
            }
            Err(Failure::TimedOut) => {
                let mut cluster = self.cluster.borrow_mut();
                let is_done = cluster.producers[&self.worker].open.is_none();
                cluster.bites.mark(if is_done { Fault::UnknownAndDone } else { Fault::UnknownAndNotDone });
                Ok(Commit::Unknown("simulated".to_owned()))
            }
            Err(failure) => self.doom(failure).map(Commit::Unknown),
        }
    }

    /// What the client itself looks at before it sends offsets.
    fn offsets(
        cluster: &mut Cluster,
        worker: usize,
        positions: &[(TopicPartition, Offset)],
    ) -> Result<Result<Vec<(usize, CommittedOffset)>, String>, Error> {
        let member = cluster.call(worker)?;
        let (is_out, reads, notes) = (member.is_out, member.reads.clone(), member.notes.clone());
        if is_out || positions.iter().any(|(at, _)| cluster.owners[number(at)] != Some(worker)) {
            return Ok(Err("the group let this member go".to_owned()));
        }
        let now = cluster.topic_now();
        if positions.iter().any(|(at, _)| reads.get(&number(at)).is_some_and(|then| *then != now)) {
            return Ok(Err("the topic is gone or another one".to_owned()));
        }
        let faults = cluster.faults;
        if cluster.rng.random_bool(faults.fenced) {
            cluster.bites.mark(Fault::Fenced);
            return Err(Error::Fenced("simulated".to_owned()));
        }
        if cluster.rng.random_bool(faults.aborted) {
            cluster.bites.mark(Fault::Aborted);
            return Ok(Err("simulated".to_owned()));
        }
        let offset = |(at, next): &(TopicPartition, Offset)| {
            let note = notes.get(&number(at)).cloned().unwrap_or_default();
            (number(at), CommittedOffset { next: *next, note })
        };
        Ok(Ok(positions.iter().map(offset).collect()))
    }

    /// Discards what was sent since the last commit.
    pub fn abort(&mut self) -> Result<(), Error> {
        self.queue.clear();
        self.broken = None;
        if self.open.is_none() {
            return Ok(());
        }
        let follows_rule = self.cluster.borrow().takes_new_epochs;
        if let Some(unanswered) = self.requests.before_abort().filter(|_| follows_rule) {
            return self.take_epoch(unanswered);
        }
        if self.is_fenced {
            return self.settle();
        }
        // Without a partition or a group there is nothing to end.
        if self.has_partitions || self.has_group {
            match self.exchange(Body::End { commits: false }, TRIES) {
                Ok(()) => {}
                Err(failure) => {
                    self.doom(failure)?;
                    return self.settle();
                }
            }
        }
        self.open = None;
        // Without the rule, too: the next sequence number is not known.
        if self.has_lost_records { self.settle() } else { Ok(()) }
    }
}

fn answer_lost(kind: TransactionRequest) -> Fault {
    match kind {
        TransactionRequest::InitProducerId => Fault::AnswerLostInit,
        TransactionRequest::AddPartitions => Fault::AnswerLostAddPartitions,
        TransactionRequest::Produce => Fault::AnswerLostProduce,
        TransactionRequest::AddOffsets => Fault::AnswerLostAddOffsets,
        TransactionRequest::CommitOffsets => Fault::AnswerLostCommitOffsets,
        TransactionRequest::End => Fault::AnswerLostEnd,
    }
}
