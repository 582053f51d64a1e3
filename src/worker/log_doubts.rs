//! How a worker notices that the log of a partition may be another one than the one that it has read.

use super::logs::{SECOND_LOOK, topics};
use super::owned_shard::LogDoubt;
use super::ports::{Broker, Ports, TimeSource};
use super::rare_paths::RarePath;
use super::{Error, Worker};
use crate::domain::{Offset, TopicPartition};
use crate::kafka::{Comparison, Lineage, LogPosition, TopicState};
use crate::telemetry::events;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How often it is looked whether logs end before what was read of them.
const LOOK_EVERY: Duration = Duration::from_millis(500);

impl<P: Ports> Worker<P> {
    /// Partitions that are read from another log than they were started in, as far as it is known by now.
    pub(super) fn doubtful(&mut self) -> Result<Vec<TopicPartition>, Error> {
        let mut parts = self.ports.broker.remade();
        if !parts.is_empty() {
            events::log_in_doubt(self.setup.number, &parts, "the topic is gone, or another one");
        }
        let mut back = BTreeSet::new();
        for owned in self.shards.iter().filter(|owned| owned.log.doubt == Some(LogDoubt::WentBack)) {
            back.insert(owned.at.clone());
        }
        if !back.is_empty() {
            self.rare_paths.mark(RarePath::OffsetWentBack);
            let back: Vec<_> = back.into_iter().collect();
            events::log_in_doubt(self.setup.number, &back, "its offsets have gone back");
            self.logs.went_back.extend(back.iter().cloned());
            parts.extend(back);
        }
        match self.compare_logs() {
            // The doubt stays, and the question is asked again.
            Err(Error::Kafka(cause)) if cause.is_transient() => self.rare_paths.mark(RarePath::KafkaAwaited),
            compared => parts.extend(compared?),
        }
        parts.extend(self.ended_before());
        parts.sort_unstable();
        parts.dedup();
        Ok(parts)
    }

    /// Compares the logs of partitions whose leader has changed with what was read of them. Those that are the same are
    /// read on; the others are returned.
    fn compare_logs(&mut self) -> Result<Vec<TopicPartition>, Error> {
        let is_new = |doubt| matches!(doubt, Some(LogDoubt::NewEpoch(_)));
        let mut places: Vec<LogPosition> = Vec::new();
        for owned in self.shards.iter().filter(|owned| is_new(owned.log.doubt)) {
            if !places.iter().any(|place| place.at == owned.at) {
                let (at, next) = (owned.at.clone(), owned.position.max(owned.committed));
                places.push(LogPosition { at, next, epoch: owned.log.epoch });
            }
        }
        if places.is_empty() {
            return Ok(Vec::new());
        }
        self.rare_paths.mark(RarePath::LeaderChanged);
        let parts: Vec<_> = places.iter().map(|place| place.at.clone()).collect();
        // Of a topic that is gone brokers would be asked until they know it again.
        let topics = self.ports.broker.topics(&topics(&parts))?;
        let is_there = |at: &TopicPartition| matches!(topics.of(at), Some(TopicState::Present(_)));
        let (places, gone): (Vec<_>, Vec<_>) = places.into_iter().partition(|place| is_there(&place.at));
        let mut doubtful: Vec<_> = gone.into_iter().map(|place| place.at).collect();
        let lineages = self.ports.broker.lineages(&places)?;
        for (LogPosition { at, next, epoch }, lineage) in places.into_iter().zip(lineages) {
            let Lineage { epoch: now, comparison } = lineage;
            // Right after a cut the epoch before is not known. What the group has committed is compared then.
            let is_unknown = epoch.is_none() && next > Offset(0) && now.is_some();
            if is_unknown || matches!(comparison, Comparison::Diverges(_)) {
                doubtful.push(at);
                continue;
            }
            let mut reached = None;
            for owned in self.shards.iter_mut().filter(|owned| owned.at == at) {
                owned.log.confirm(now);
                reached = Some(owned.log.reached);
            }
            // What waits came after the record that was not taken.
            self.backlog.drop_waiting(&at);
            let reached = reached.expect("it is the partition of a shard");
            self.ports.broker.seek(&[(at, reached)])?;
        }
        if !doubtful.is_empty() {
            events::log_in_doubt(
                self.setup.number,
                &doubtful,
                "its leader has changed, and it may have lost records that were read",
            );
        }
        Ok(doubtful)
    }

    /// Partitions whose log ends before what was read, and has done so for a while: a new leader may learn a little
    /// later than its clients how far its log is committed.
    fn ended_before(&mut self) -> Vec<TopicPartition> {
        let now = self.ports.time.now();
        if self.logs.ends_due_at.is_some_and(|due| now < due) {
            return Vec::new();
        }
        self.logs.ends_due_at = Some(now + LOOK_EVERY);
        let mut read: BTreeMap<&TopicPartition, Offset> = BTreeMap::new();
        for owned in &self.shards {
            let next = owned.position.max(owned.committed);
            read.entry(&owned.at).and_modify(|most| *most = next.max(*most)).or_insert(next);
        }
        let broker = &self.ports.broker;
        read.retain(|at, next| broker.lag(at, *next).is_some_and(|lag| lag < 0));
        let before = std::mem::take(&mut self.logs.ended_before);
        let since = |at: &TopicPartition| before.get(at).copied().unwrap_or(now);
        self.logs.ended_before = read.into_keys().map(|at| (at.clone(), since(at))).collect();
        let ended = self.logs.ended_before.iter();
        let parts: Vec<_> = ended
            .filter(|(_, since)| now.saturating_duration_since(**since) >= SECOND_LOOK)
            .map(|(at, _)| at.clone())
            .collect();
        if !parts.is_empty() {
            self.rare_paths.mark(RarePath::LogEndsBefore);
            events::log_in_doubt(self.setup.number, &parts, "it ends before what was read");
        }
        parts
    }
}
