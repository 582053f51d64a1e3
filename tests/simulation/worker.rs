//! A worker without Kafka, clock or threads: it polls, steps, commits, takes snapshots, loses and
//! gets partitions; and it can be dropped between any two of its steps.

use crate::world::{Output, Plan, Sent, World};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use tidecast::checkpoint::{Facts, Recovery, RecoveryError, SnapshotId, SnapshotWriter, Snapshots};
use tidecast::domain::{EventTime, Generation, Offset, Reading, Values};
use tidecast::engine::{Offered, Shard};
use tidecast::telemetry::Discard;

/// A shard and where it stands.
struct Owned {
    shard: Shard,
    position: i64,
    committed: i64,
}

/// A snapshot that is being taken.
struct Taking {
    partition: usize,
    writer: SnapshotWriter,
    id: SnapshotId,
    facts: Facts,
}

/// How a commit ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    Done,
    Aborted,
    /// Nobody says whether it was done.
    Unknown {
        done: bool,
    },
}

#[derive(Default)]
pub struct Worker {
    number: usize,
    generation: u32,
    owned: BTreeMap<usize, Owned>,
    /// Partitions that wait for the store to answer.
    opening: Vec<usize>,
    /// Sent and not committed: partition, offset, what.
    pending: Vec<(usize, i64, Output)>,
    taking: Option<Taking>,
}

impl Worker {
    pub fn new(number: usize) -> Self {
        Self { number, ..Self::default() }
    }

    pub fn partitions(&self) -> Vec<usize> {
        self.owned.keys().copied().collect()
    }

    pub fn is_taking(&self) -> bool {
        self.taking.is_some()
    }

    /// A partition is this worker's now.
    pub fn assigned(&mut self, partition: usize) {
        if !self.owned.contains_key(&partition) && !self.opening.contains(&partition) {
            self.opening.push(partition);
        }
    }

    /// It is a member of this generation. One that has missed a generation has lost everything, also
    /// what it is given again: others may have gone on from there.
    pub fn joined(&mut self, generation: u32) {
        if generation > self.generation + 1 {
            self.pending.clear();
            self.forget_all();
        }
        self.generation = generation;
    }

    /// Tries to bring back what is assigned.
    pub fn open(&mut self, world: &World) {
        self.opening.retain(|partition| {
            let committed = world.committed[*partition];
            let (plan, at) = (&world.plan, Plan::at(*partition));
            let recovery = Recovery {
                store: &world.store,
                stream: &plan.stream,
                at: &at,
                topic_id: None,
                committed: Offset(committed),
                current: None,
            };
            let (mut shard, position) = match recovery.newest() {
                Ok(Some(mut recovered)) => {
                    assert_eq!(recovered.violations.take().iter().next(), None);
                    (recovered.shard, recovered.id.offset.0)
                }
                // The cold start, with all of the past: the log is short.
                Ok(None) => {
                    let mut shard = Shard::new(plan.stream.clone());
                    shard.bring(&plan.models[0]).unwrap();
                    shard.warm(1).unwrap();
                    (shard, 0)
                }
                Err(RecoveryError::Store(_)) => return true,
                Err(other) => panic!("{other}"),
            };
            shard.emit_from(committed);
            self.owned.insert(*partition, Owned { shard, position, committed });
            false
        });
    }

    /// Reads some records of a partition and steps them.
    pub fn poll(&mut self, world: &World, partition: usize, most: usize) {
        let Some(owned) = self.owned.get_mut(&partition) else { return };
        let until = world.available[partition].min(owned.position as usize + most);
        for offset in owned.position..until as i64 {
            if offset == world.plan.swaps[partition] {
                step(partition, owned, &mut self.pending);
                owned.shard.bring(&world.plan.models[1]).unwrap();
                while owned.shard.is_warming() {
                    owned.shard.warm(1).unwrap();
                }
            }
            let sent = &world.plan.log[partition][offset as usize];
            if !take(&mut owned.shard, sent, offset) && offset >= owned.committed {
                self.pending.push((partition, offset, Output::DeadLetter));
            }
            owned.position = offset + 1;
        }
        step(partition, owned, &mut self.pending);
    }

    /// Commits all that was sent, as one. A worker that is no member any more is refused; it has to
    /// join again.
    pub fn commit(&mut self, world: &mut World, how: Commit) -> bool {
        let mine = |partition: &usize| world.owners[*partition] == Some(self.number);
        let fenced = self.generation != world.generation || !self.owned.keys().all(mine);
        let done = !fenced && how != Commit::Aborted && how != Commit::Unknown { done: false };
        if done {
            for (partition, owned) in &self.owned {
                if owned.position > world.committed[*partition] {
                    world.committed[*partition] = owned.position;
                }
            }
            for (partition, offset, output) in self.pending.drain(..) {
                world.outputs[partition].push((offset, output));
            }
        }
        self.pending.clear();
        if fenced || how != Commit::Done {
            // Its memory is ahead of the log, or may be.
            self.forget_all();
            if !fenced {
                let mine = (0..world.owners.len()).filter(|p| world.owners[*p] == Some(self.number));
                self.opening = mine.collect();
            }
            return !fenced;
        }
        self.owned.values_mut().for_each(|owned| owned.committed = owned.committed.max(owned.position));
        true
    }

    fn forget_all(&mut self) {
        self.owned.clear();
        self.opening.clear();
        self.taking = None;
    }

    /// The process ends here and now: nothing is tidied away.
    pub fn crash(&mut self) {
        if let Some(taking) = self.taking.take() {
            std::mem::forget(taking.writer);
        }
    }

    /// Hands a partition over: right after a commit.
    pub fn release(&mut self, partition: usize) {
        if self.taking.as_ref().is_some_and(|taking| taking.partition == partition) {
            self.taking = None;
        }
        self.owned.remove(&partition);
        self.opening.retain(|p| *p != partition);
    }

    /// Begins a snapshot of a shard that stands where it was committed.
    pub fn begin_snapshot(&mut self, world: &World, partition: usize) {
        let Some(owned) = self.owned.get_mut(&partition) else { return };
        if self.taking.is_some() || owned.position != owned.committed {
            return;
        }
        let snapshots = self.snapshots(world, partition);
        let id = SnapshotId {
            offset: Offset(world.committed[partition]),
            generation: Generation(self.generation),
        };
        let owned = self.owned.get_mut(&partition).expect("it was there");
        // A worker that was fenced stands behind what others have committed since.
        let id = SnapshotId { offset: Offset(owned.committed), ..id };
        let facts = Facts {
            model: owned.shard.model(),
            topic_id: None,
            shape: Shard::shape(&world.plan.stream),
            series: owned.shard.series() as u64,
            created: EventTime::from_micros(0).unwrap(),
        };
        owned.shard.between_rounds().unwrap().begin_cut();
        self.taking = Some(Taking { partition, writer: snapshots.writer(id), id, facts });
    }

    /// The next piece of the snapshot that is being taken.
    pub fn go_on_taking(&mut self, world: &World, rng: &mut ChaCha8Rng) {
        let Some(mut taking) = self.taking.take() else { return };
        let Some(owned) = self.owned.get_mut(&taking.partition) else { return };
        match owned.shard.cut(rng.random_range(1..4_000)).unwrap() {
            Some(chunk) => match taking.writer.push(&chunk) {
                Ok(()) => self.taking = Some(taking),
                Err(_) => owned.shard.give_up_cut(),
            },
            None => {
                let snapshots = self.snapshots(world, taking.partition);
                if taking.writer.finish(taking.facts).is_ok() {
                    let _ = snapshots.prune(taking.id);
                }
            }
        }
    }

    fn snapshots(&self, world: &World, partition: usize) -> Snapshots {
        Snapshots::new(&world.store, &world.plan.stream.name, &Plan::at(partition), world.plan.keep)
    }
}

/// False for a record that is a dead letter.
fn take(shard: &mut Shard, sent: &Sent, offset: i64) -> bool {
    if sent.bad {
        return false;
    }
    let values = Values::from_iter([sent.value]);
    let reading = Reading { series: &sent.series, time: sent.time, later: None, values: &values };
    let offered = shard.offer_of(&reading, offset, Some(sent.series.as_bytes()), sent.record);
    !matches!(offered, Offered::Discarded(Discard::Late | Discard::TimeAhead))
}

fn step(partition: usize, owned: &mut Owned, pending: &mut Vec<(usize, i64, Output)>) {
    let mut sink = |e: tidecast::engine::Emitted<'_>| {
        if e.is_thinned {
            return;
        }
        let emitted = e.forecast.targets.iter().flat_map(|t| t.yhat.iter().chain(&t.quantiles).copied());
        // The network's own forecast shows the hidden state, also where another expert was chosen.
        let network = (1..=e.forecast.targets[0].yhat.len()).map(|lead| e.network(0, 0, lead));
        let values = emitted.chain(network);
        let forecast = Output::Forecast {
            series: e.series.to_owned(),
            origin: e.forecast.origin,
            model: e.model,
            values: values.collect(),
        };
        pending.push((partition, e.offset, forecast));
    };
    while owned.shard.run_round(&mut sink).unwrap().is_some() {}
    owned.shard.take_accounts();
    let violations: Vec<_> = owned.shard.take_violations().iter().collect();
    assert!(violations.is_empty(), "{violations:?}");
}
