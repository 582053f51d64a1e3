//! The brokers' side of transactions, by the protocol that librdkafka speaks: a coordinator that knows which
//! transaction is open, an output log and a group that know a producer by its epoch. A broker carries out what comes,
//! whether anybody waits for the answer or not.

use crate::output::Output;
use std::collections::BTreeMap;
use tidecast::domain::Offset;
use tidecast::kafka::CommittedOffset;
use tidecast::telemetry::TransactionRequest;

/// A request of a producer.
#[derive(Clone, Debug)]
pub struct Request {
    /// The number of the worker, which is its transactional id.
    pub producer: usize,
    pub epoch: u32,
    /// Counts the transactions of all producers, to tell an earlier one from a later.
    pub transaction: u64,
    pub body: Body,
}

#[derive(Clone, Debug)]
pub enum Body {
    InitProducerId,
    AddPartitions,
    Produce {
        /// The sequence number of the first record.
        first: u64,
        records: Vec<Output>,
    },
    AddOffsets,
    CommitOffsets {
        /// The group's generation when it was sent.
        generation: u32,
        offsets: Vec<(usize, CommittedOffset)>,
    },
    End {
        commits: bool,
    },
}

impl Body {
    pub fn kind(&self) -> TransactionRequest {
        match self {
            Self::InitProducerId => TransactionRequest::InitProducerId,
            Self::AddPartitions => TransactionRequest::AddPartitions,
            Self::Produce { .. } => TransactionRequest::Produce,
            Self::AddOffsets => TransactionRequest::AddOffsets,
            Self::CommitOffsets { .. } => TransactionRequest::CommitOffsets,
            Self::End { .. } => TransactionRequest::End,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A newer epoch is known.
    Fenced,
    /// The transaction is not in a state for this.
    InvalidState,
    /// Records before these are missing.
    OutOfOrder,
    /// The group has another generation by now, or never had this member.
    NotAMember,
}

/// What brokers know of one producer.
#[derive(Debug, Default)]
pub struct ProducerState {
    pub epoch: u32,
    /// The transaction that is open.
    pub open: Option<u64>,
    /// How the last one has ended: whether by a commit.
    ended_by_commit: Option<bool>,
    writes_records: bool,
    commits_offsets: bool,
    /// What the output log knows.
    log_epoch: u32,
    next_sequence: u64,
    /// Records in the log without a marker after them.
    records: Vec<Output>,
    /// What the log of the group's offsets knows.
    group_epoch: u32,
    /// Offsets without a marker after them.
    pub offsets: BTreeMap<usize, CommittedOffset>,
}

/// Whether the brokers of logs ask the coordinator if a transaction is open before they write the first record or
/// offset of it. They do since Kafka 3.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    On,
    Off,
}

/// What a marker has made visible.
#[derive(Debug, Default)]
pub struct Visible {
    pub records: Vec<Output>,
    pub offsets: BTreeMap<usize, CommittedOffset>,
}

impl ProducerState {
    /// Carries out a request, other than of offsets in a generation that is over.
    pub fn carry_out(&mut self, request: Request, verification: Verification) -> Result<Visible, Refusal> {
        let Request { epoch, transaction, body, .. } = request;
        let is_of_epoch = |known: u32| if epoch == known { Ok(()) } else { Err(Refusal::Fenced) };
        match body {
            Body::InitProducerId => self.fence(),
            Body::AddPartitions => {
                is_of_epoch(self.epoch)?;
                self.join(transaction);
                self.writes_records = true;
            }
            Body::AddOffsets => {
                is_of_epoch(self.epoch)?;
                self.join(transaction);
                self.commits_offsets = true;
            }
            Body::Produce { first, records } => {
                if epoch < self.log_epoch {
                    return Err(Refusal::Fenced);
                }
                if verification == Verification::On && self.records.is_empty() {
                    self.verify(epoch, self.writes_records)?;
                }
                if epoch > self.log_epoch {
                    (self.log_epoch, self.next_sequence) = (epoch, 0);
                }
                if first < self.next_sequence {
                    // A duplicate is acknowledged, and not written again.
                    return Ok(Visible::default());
                }
                if first > self.next_sequence {
                    return Err(Refusal::OutOfOrder);
                }
                self.next_sequence += records.len() as u64;
                self.records.extend(records);
            }
            Body::CommitOffsets { offsets, .. } => {
                if epoch < self.group_epoch {
                    return Err(Refusal::Fenced);
                }
                if verification == Verification::On && self.offsets.is_empty() {
                    self.verify(epoch, self.commits_offsets)?;
                }
                self.group_epoch = epoch;
                self.offsets.extend(offsets);
            }
            Body::End { commits } => {
                is_of_epoch(self.epoch)?;
                if self.open.is_some() {
                    return Ok(self.end(commits));
                }
                if self.ended_by_commit != Some(commits) {
                    return Err(Refusal::InvalidState);
                }
            }
        }
        Ok(Visible::default())
    }

    /// What the coordinator says to the broker of a log.
    fn verify(&self, epoch: u32, is_part: bool) -> Result<(), Refusal> {
        if epoch != self.epoch {
            return Err(Refusal::Fenced);
        }
        if self.open.is_some() && is_part { Ok(()) } else { Err(Refusal::InvalidState) }
    }

    fn join(&mut self, transaction: u64) {
        if self.open.is_none() {
            (self.open, self.writes_records, self.commits_offsets) = (Some(transaction), false, false);
        }
    }

    /// Writes markers into the logs that belong to the transaction. They end whatever lies there of this producer.
    fn end(&mut self, commits: bool) -> Visible {
        let mut visible = Visible::default();
        if self.writes_records {
            visible.records = std::mem::take(&mut self.records);
        }
        if self.commits_offsets {
            visible.offsets = std::mem::take(&mut self.offsets);
        }
        (self.open, self.ended_by_commit) = (None, Some(commits));
        if commits { visible } else { Visible::default() }
    }

    /// Gives the producer a new epoch. An open transaction is aborted with markers of the new epoch.
    pub fn fence(&mut self) {
        self.epoch += 1;
        if self.open.is_some() {
            self.end(false);
            if self.writes_records {
                (self.log_epoch, self.next_sequence) = (self.epoch, 0);
            }
            if self.commits_offsets {
                self.group_epoch = self.epoch;
            }
        }
        self.ended_by_commit = None;
    }
}

/// The smallest case of what the simulation has found with brokers that do not verify: offsets come late after their
/// transaction and before the next epoch is known to the group, wait for whatever transaction of the producer comes
/// next, and set the group back behind what another member has committed meanwhile.
#[test]
fn offsets_that_come_after_their_transaction_need_a_broker_that_verifies() {
    for verification in [Verification::On, Verification::Off] {
        let mut state = ProducerState::default();
        let mut send = |epoch, transaction, body| {
            state.carry_out(Request { producer: 0, epoch, transaction, body }, verification)
        };
        let offsets = |partition, next| Body::CommitOffsets {
            generation: 1,
            offsets: vec![(partition, CommittedOffset { next: Offset(next), note: String::new() })],
        };
        send(0, 1, Body::AddOffsets).unwrap();
        send(0, 1, offsets(1, 15)).unwrap();
        assert_eq!(send(0, 1, Body::End { commits: true }).unwrap().offsets.len(), 1);
        let late = send(0, 1, offsets(1, 15));
        assert_eq!(late.is_ok(), verification == Verification::Off);
        send(0, 0, Body::InitProducerId).unwrap();
        send(1, 2, Body::AddOffsets).unwrap();
        send(1, 2, offsets(0, 32)).unwrap();
        let committed = send(1, 2, Body::End { commits: true }).unwrap().offsets;
        assert_eq!(committed.contains_key(&1), verification == Verification::Off);
    }
}
