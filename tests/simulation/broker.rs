//! A worker's consumer and producer over the simulated cluster.

use crate::bites::Fault;
use crate::cluster::{Cluster, Member, Shared, dead, number};
use crate::output::Output;
use crate::plan::{Plan, Sent, TOO_LARGE, TOPIC};
use crate::producer::SimProducer;
use rand::Rng;
use rand::seq::SliceRandom;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tidecast::codec::Record;
use tidecast::domain::{LeaderEpoch, Offset, Partition, TopicPartition};
use tidecast::engine::Emitted;
use tidecast::kafka::{
    Commit, CommittedOffset, Comparison, Error, Event, Lineage, LogPosition, TopicDescriptions, TopicState,
    Watermarks, WorkerStatistics,
};
use tidecast::worker::ports::{Broker, Outgoing, Outlet};

pub struct SimBroker {
    pub cluster: Shared,
    pub worker: usize,
    pub producer: SimProducer,
    pub too_large: bool,
    /// How many forecasters the shards of a stream judge.
    pub judged: BTreeMap<String, usize>,
}

impl SimBroker {
    /// Fails when no broker answers.
    fn ask(&self) -> Result<(), Error> {
        let mut cluster = self.cluster.borrow_mut();
        cluster.call(self.worker)?;
        let unanswered = cluster.faults.unanswered;
        if cluster.rng.random_bool(unanswered) {
            cluster.bites.mark(Fault::Unanswered);
            return Err(Error::NotYet { doing: "asking", reason: "simulated".to_owned() });
        }
        Ok(())
    }

    /// What the topics are now.
    pub fn describe(&self, names: &BTreeSet<Arc<str>>) -> TopicDescriptions {
        let cluster = self.cluster.borrow();
        names.iter().map(|name| (name.clone(), (cluster.topic_now(), cluster.partitions()))).collect()
    }

    fn put(&mut self, record: Outgoing<'_>, emitted: Option<&Emitted<'_>>) -> Result<(), Error> {
        let has_payload = record.payload.is_some_and(|payload| !payload.is_empty());
        if self.too_large && record.key == Some(TOO_LARGE.as_bytes()) && has_payload {
            return Err(Error::TooLarge { topic: record.topic.to_owned(), bytes: 1 << 30 });
        }
        let output = Output::of(record, emitted.map(|emitted| (emitted, &self.judged)));
        self.cluster.borrow_mut().call(self.worker)?;
        self.producer.send(output)
    }
}

/// Each log that is written under the same offsets has a leader of its own.
fn epoch(sent: &Sent) -> LeaderEpoch {
    LeaderEpoch(sent.log as i32)
}

impl Outlet for SimBroker {
    fn send(&mut self, record: Outgoing<'_>) -> Result<(), Error> {
        self.put(record, None)
    }

    fn send_forecast(&mut self, record: Outgoing<'_>, emitted: &Emitted<'_>) -> Result<(), Error> {
        self.put(record, Some(emitted))
    }
}

impl Broker for SimBroker {
    fn poll(
        &mut self,
        max: usize,
        wait: Duration,
        mut sink: impl FnMut(&Record<'_>, Option<LeaderEpoch>),
    ) -> Result<usize, Error> {
        let mut polled = Vec::new();
        {
            let mut cluster = self.cluster.borrow_mut();
            let cluster = &mut *cluster;
            cluster.call(self.worker)?;
            cluster.deliver_late();
            let Cluster { rng, faults, clock, members, logs, topic, bites, .. } = cluster;
            *clock += wait.mul_f64(rng.random_range(0.0..=1.0));
            if rng.random_bool(faults.long_turn) {
                *clock += Duration::from_millis(rng.random_range(500..8_000));
                bites.mark(Fault::LongTurn);
            }
            let member = members.get_mut(&self.worker).ok_or_else(dead)?;
            if rng.random_bool(faults.trouble) {
                member.events.push_back(Event::Trouble("simulated".to_owned()));
                bites.mark(Fault::Trouble);
            }
            if member.is_out && !member.has_heard && rng.random_bool(0.3) {
                // It hears that the group has let it go. Once it has answered, it joins again.
                let held: Vec<_> = member.positions.keys().map(|partition| Plan::at(*partition)).collect();
                member.events.clear();
                if rng.random_bool(0.2) {
                    // Its client joins again as a new member, which holds nothing.
                    bites.mark_if(!held.is_empty(), Fault::Expelled);
                    let events = VecDeque::from([Event::Expelled]);
                    *member = Member { events, calls_left: member.calls_left, ..Member::default() };
                    cluster.rebalance();
                    return Ok(0);
                }
                member.has_heard = !held.is_empty();
                member.is_out = !held.is_empty();
                if held.is_empty() {
                    cluster.rebalance();
                } else {
                    member.events.push_back(Event::Lost(held));
                    bites.mark(Fault::HeardLate);
                }
                return Ok(0);
            }
            for (partition, offset) in std::mem::take(&mut member.stale) {
                // Not of one that has come back: from there on it is read where the worker says.
                if member.positions.contains_key(&partition) {
                    continue;
                }
                if let Some(sent) = logs[partition].records.get(offset as usize).filter(|sent| !sent.gap) {
                    polled.push((partition, offset, sent.clone()));
                    bites.mark(Fault::StaleRecord);
                }
            }
            let mut left = max.min(rng.random_range(1..20));
            let paused = &member.paused;
            let mut readable: Vec<usize> =
                member.positions.keys().filter(|p| topic.is_some() && !paused.contains(p)).copied().collect();
            readable.shuffle(rng);
            for partition in readable.into_iter().take(2) {
                let log = &mut logs[partition];
                let position = member.positions.get_mut(&partition).expect("it is one of them");
                // A log that has lost its end is read on from its new end.
                *position = (*position).clamp(log.low, log.high.max(log.low));
                while *position < log.high && left > 0 {
                    let sent = &log.records[*position as usize];
                    bites.mark_if(sent.gap, Fault::OffsetWithoutRecord);
                    if !sent.gap {
                        polled.push((partition, *position, sent.clone()));
                        left -= 1;
                    }
                    *position += 1;
                }
            }
        }
        for (partition, offset, sent) in &polled {
            let payload = sent.payload();
            let record = Record {
                topic: TOPIC,
                partition: Partition(*partition as i32),
                offset: Offset(*offset),
                key: Some(sent.series.as_bytes()),
                timestamp: sent.record,
                payload: Some(&payload),
                headers: &(),
            };
            sink(&record, Some(epoch(sent)));
        }
        Ok(polled.len())
    }

    fn event(&mut self) -> Option<Event> {
        self.cluster.borrow_mut().members.get_mut(&self.worker)?.events.pop_front()
    }

    fn assign(&mut self, starts: &[(TopicPartition, Option<Offset>)]) -> Result<(), Error> {
        let mut cluster = self.cluster.borrow_mut();
        let member = cluster.call(self.worker)?;
        for (at, from) in starts {
            member.positions.insert(number(at), from.expect("the worker says where").0);
        }
        Ok(())
    }

    fn release(&mut self, parts: &[TopicPartition]) -> Result<(), Error> {
        let mut cluster = self.cluster.borrow_mut();
        let stale = cluster.rng.random_bool(0.2);
        let member = cluster.call(self.worker)?;
        for at in parts {
            let partition = number(at);
            let position = member.positions.remove(&partition);
            member.stale.extend(position.filter(|_| stale).map(|position| (partition, position)));
            member.paused.remove(&partition);
            member.reads.remove(&partition);
            member.notes.remove(&partition);
        }
        if std::mem::take(&mut member.has_heard) {
            member.is_out = false;
            cluster.rebalance();
            return Ok(());
        }
        for at in parts {
            let owner = &mut cluster.owners[number(at)];
            // A member that was let go does not own what it releases.
            if *owner == Some(self.worker) {
                *owner = None;
            }
        }
        cluster.settle();
        Ok(())
    }

    fn seek(&mut self, positions: &[(TopicPartition, Offset)]) -> Result<(), Error> {
        let mut cluster = self.cluster.borrow_mut();
        let member = cluster.call(self.worker)?;
        for (at, to) in positions {
            *member.positions.get_mut(&number(at)).expect("only what is assigned is sought in") = to.0;
        }
        Ok(())
    }

    fn pause(&mut self, parts: &[TopicPartition]) -> Result<(), Error> {
        let mut cluster = self.cluster.borrow_mut();
        cluster.call(self.worker)?.paused.extend(parts.iter().map(number));
        Ok(())
    }

    fn resume(&mut self, parts: &[TopicPartition]) -> Result<(), Error> {
        let mut cluster = self.cluster.borrow_mut();
        let member = cluster.call(self.worker)?;
        member.paused.retain(|partition| !parts.iter().any(|at| number(at) == *partition));
        Ok(())
    }

    fn generation(&self) -> Option<u32> {
        let cluster = self.cluster.borrow();
        cluster.members.get(&self.worker).filter(|member| !member.is_out).map(|_| cluster.generation)
    }

    fn marks(
        &self,
        parts: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, Option<CommittedOffset>)>, Error> {
        self.ask()?;
        let mut cluster = self.cluster.borrow_mut();
        cluster.wait_for_offsets(&parts.iter().map(number).collect::<Vec<_>>());
        Ok(parts.iter().map(|at| (at.clone(), cluster.committed.get(&number(at)).cloned())).collect())
    }

    fn note(&mut self, at: TopicPartition, note: String) {
        if let Some(member) = self.cluster.borrow_mut().members.get_mut(&self.worker) {
            member.notes.insert(number(&at), note);
        }
    }

    fn topics(&self, names: &BTreeSet<Arc<str>>) -> Result<TopicDescriptions, Error> {
        self.ask()?;
        Ok(self.describe(names))
    }

    fn reads(&mut self, at: TopicPartition, topic: TopicState) {
        if let Some(member) = self.cluster.borrow_mut().members.get_mut(&self.worker) {
            member.reads.insert(number(&at), topic);
        }
    }

    fn remade(&mut self) -> Vec<TopicPartition> {
        let mut cluster = self.cluster.borrow_mut();
        let (now, looks) = (cluster.topic_now(), cluster.rng.random_bool(0.5));
        let Some(member) = cluster.members.get(&self.worker).filter(|_| looks) else { return Vec::new() };
        member.reads.iter().filter(|(_, then)| **then != now).map(|(p, _)| Plan::at(*p)).collect()
    }

    fn newest_topics(&self) -> TopicDescriptions {
        self.describe(&BTreeSet::from([Arc::from(TOPIC)]))
    }

    fn ends(&self, parts: &[TopicPartition]) -> Result<Vec<(TopicPartition, Watermarks)>, Error> {
        self.ask()?;
        let cluster = self.cluster.borrow();
        let ends = |at: &TopicPartition| {
            let log = &cluster.logs[number(at)];
            (at.clone(), (Offset(log.low), Offset(log.high)))
        };
        Ok(parts.iter().map(ends).collect())
    }

    fn lineages(&self, places: &[LogPosition]) -> Result<Vec<Lineage>, Error> {
        let mut cluster = self.cluster.borrow_mut();
        cluster.call(self.worker)?;
        let lineage = |place: &LogPosition| {
            let log = &cluster.logs[number(&place.at)];
            let now = log.records.last().map(epoch);
            let comparison = match place.epoch.filter(|then| Some(*then) < now) {
                Some(then) => match log.records.iter().position(|sent| epoch(sent) > then) {
                    Some(first) if (first as i64) < place.next.0 => {
                        Comparison::Diverges(Offset(first as i64))
                    }
                    _ => Comparison::Same,
                },
                None => Comparison::None,
            };
            Lineage { epoch: now, comparison }
        };
        Ok(places.iter().map(lineage).collect())
    }

    fn lag(&self, at: &TopicPartition, next: Offset) -> Option<i64> {
        Some(self.cluster.borrow().logs[number(at)].high - next.0)
    }

    fn commit(&mut self, positions: &[(TopicPartition, Offset)]) -> Result<Commit, Error> {
        let outcome = self.producer.commit(positions)?;
        // The process may die before it hears the answer.
        self.cluster.borrow_mut().call(self.worker)?;
        // After an unknown outcome no new producer can be started yet.
        if matches!(outcome, Commit::Unknown(_)) {
            self.ask()?;
        }
        Ok(outcome)
    }

    fn abort(&mut self) -> Result<(), Error> {
        self.cluster.borrow_mut().call(self.worker)?;
        self.producer.abort()?;
        self.ask()
    }

    fn leave(mut self) -> Result<(), Error> {
        self.producer.abort()?;
        self.cluster.borrow_mut().leave(self.worker);
        Ok(())
    }

    fn statistics(&self) -> WorkerStatistics {
        WorkerStatistics::default()
    }
}
