//! A worker's ports over the rows of a file.

use super::audience::Audience;
use super::learner::Learner;
use super::observer::Observer;
use super::rows::TableRow;
use crate::checkpoint::Facts;
use crate::codec::{BadRecord, MissingValues, Record};
use crate::domain::{EventTime, LeaderEpoch, Offset, Partition, Reading, TopicPartition};
use crate::engine::{Accounts, Emitted, Offered, Shard};
use crate::kafka::{
    Commit, CommittedOffset, Comparison, Error, Event, Lineage, LogPosition, TopicDescriptions, TopicState,
    Watermarks, WorkerStatistics,
};
use crate::telemetry::Violations;
use crate::worker::RarePaths;
use crate::worker::loading::{LoadError, LoadRequest, LoadedShard};
use crate::worker::ports::{
    Broker, Outgoing, Outlet, Ports, ReadingInterceptor, ShardLoader, SnapshotSink, TimeSource,
};
use crate::worker::snapshot_file::{SnapshotKey, SnapshotOutcome};
use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the worker's ports and the run both use. A backtest has one thread.
pub(super) type Shared<T> = Rc<RefCell<T>>;

/// The ports of a worker that replays a file.
pub(super) enum ReplayPorts {}

impl Ports for ReplayPorts {
    type Broker = FileBroker<Observer>;
    type Loader = FreshShards;
    type Snapshots = NoSnapshots;
    type Time = StoppedClock;
    type Models = Shared<Learner>;
    type Training = Shared<Learner>;
    type Interceptor = Shared<Observer>;
}

/// The row that the next poll hands over.
pub(super) struct NextRow {
    json: Vec<u8>,
    /// The key of its record.
    key: String,
    /// The number of the partition.
    partition: usize,
    /// The next offset of each partition.
    offsets: Vec<i64>,
    is_waiting: bool,
}

impl NextRow {
    /// No row yet. `key` is that of all rows that are put without one.
    pub fn new(key: &str, partitions: usize) -> Self {
        let (json, key) = (Vec::new(), key.to_owned());
        Self { json, key, partition: 0, offsets: vec![0; partitions], is_waiting: false }
    }

    /// The next poll hands over this row as a record with this key in this partition.
    pub fn put_keyed(&mut self, json: &[u8], key: &str, partition: usize) {
        self.key.clear();
        self.key.push_str(key);
        self.partition = partition;
        self.put(json);
    }

    /// The next poll hands over this row.
    pub fn put(&mut self, json: &[u8]) {
        self.json.clear();
        self.json.extend_from_slice(json);
        self.is_waiting = true;
    }
}

/// A topic whose records are the rows of the file. A poll hands over one row at most, and a commit always succeeds.
/// Forecasts go to the audience.
pub(super) struct FileBroker<A> {
    parts: Vec<TopicPartition>,
    next_row: Shared<NextRow>,
    audience: Shared<A>,
    is_assigned: bool,
}

impl<A> FileBroker<A> {
    /// `topic` is the topic's name. It has as many partitions as `next_row`.
    pub fn new(topic: &str, next_row: Shared<NextRow>, audience: Shared<A>) -> Self {
        let topic: Arc<str> = topic.into();
        let part = |partition| TopicPartition { topic: topic.clone(), partition };
        let parts = (0..).map(Partition).take(next_row.borrow().offsets.len()).map(part).collect();
        Self { parts, next_row, audience, is_assigned: false }
    }
}

impl<A: Audience> Outlet for FileBroker<A> {
    const READS_PAYLOADS: bool = false;

    fn send(&mut self, _: Outgoing<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn send_forecast(&mut self, _: Outgoing<'_>, emitted: &Emitted<'_>) -> Result<(), Error> {
        self.audience.borrow_mut().forecast(emitted);
        Ok(())
    }

    fn withhold(&mut self, emitted: &Emitted<'_>) {
        self.audience.borrow_mut().withheld(emitted);
    }
}

impl<A: Audience> Broker for FileBroker<A> {
    fn poll(
        &mut self,
        _: usize,
        _: Duration,
        mut sink: impl FnMut(&Record<'_>, Option<LeaderEpoch>),
    ) -> Result<usize, Error> {
        let mut next = self.next_row.borrow_mut();
        if !std::mem::take(&mut next.is_waiting) {
            return Ok(0);
        }
        let (row, partition) = (TableRow { number: 0, json: &next.json }, next.partition);
        let at = &self.parts[partition];
        let record = row.record(&at.topic, &next.key, next.offsets[partition]);
        sink(&Record { partition: at.partition, ..record }, None);
        next.offsets[partition] += 1;
        Ok(1)
    }

    fn event(&mut self) -> Option<Event> {
        let is_assigned = std::mem::replace(&mut self.is_assigned, true);
        (!is_assigned).then(|| Event::Assigned(self.parts.clone()))
    }

    fn assign(&mut self, _: &[(TopicPartition, Option<Offset>)]) -> Result<(), Error> {
        Ok(())
    }

    fn release(&mut self, _: &[TopicPartition]) -> Result<(), Error> {
        Ok(())
    }

    fn seek(&mut self, _: &[(TopicPartition, Offset)]) -> Result<(), Error> {
        Ok(())
    }

    fn pause(&mut self, _: &[TopicPartition]) -> Result<(), Error> {
        Ok(())
    }

    fn resume(&mut self, _: &[TopicPartition]) -> Result<(), Error> {
        Ok(())
    }

    fn generation(&self) -> Option<u32> {
        None
    }

    fn marks(
        &self,
        parts: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, Option<CommittedOffset>)>, Error> {
        Ok(parts.iter().map(|at| (at.clone(), None)).collect())
    }

    fn note(&mut self, _: TopicPartition, _: String) {}

    fn topics(&self, names: &BTreeSet<Arc<str>>) -> Result<TopicDescriptions, Error> {
        Ok(names.iter().map(|name| (name.clone(), (TopicState::Present(None), self.parts.len()))).collect())
    }

    fn reads(&mut self, _: TopicPartition, _: TopicState) {}

    fn remade(&mut self) -> Vec<TopicPartition> {
        Vec::new()
    }

    fn newest_topics(&self) -> TopicDescriptions {
        TopicDescriptions::default()
    }

    fn ends(&self, parts: &[TopicPartition]) -> Result<Vec<(TopicPartition, Watermarks)>, Error> {
        Ok(parts.iter().map(|at| (at.clone(), (Offset(0), Offset(0)))).collect())
    }

    fn lineages(&self, places: &[LogPosition]) -> Result<Vec<Lineage>, Error> {
        Ok(places.iter().map(|_| Lineage { epoch: None, comparison: Comparison::None }).collect())
    }

    fn lag(&self, _: &TopicPartition, _: Offset) -> Option<i64> {
        None
    }

    fn commit(&mut self, _: &[(TopicPartition, Offset)]) -> Result<Commit, Error> {
        Ok(Commit::Committed)
    }

    fn abort(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn leave(self) -> Result<(), Error> {
        Ok(())
    }

    fn statistics(&self) -> WorkerStatistics {
        WorkerStatistics::default()
    }
}

/// Gives an empty shard for each request.
#[derive(Default)]
pub(super) struct FreshShards(VecDeque<LoadRequest>);

impl ShardLoader for FreshShards {
    fn request(&mut self, request: LoadRequest) {
        self.0.push_back(request);
    }

    fn forget_below(&mut self, ticket: u64) {
        self.0.retain(|request| request.ticket >= ticket);
    }

    fn next(&mut self) -> Result<Option<Box<LoadedShard>>, LoadError> {
        let Some(request) = self.0.pop_front() else { return Ok(None) };
        Ok(Some(Box::new(LoadedShard {
            shard: Shard::new(request.stream.clone()),
            from: request.committed,
            snapshot: None,
            former: None,
            violations: Violations::default(),
            rare_paths: RarePaths::default(),
            request,
        })))
    }

    fn has_panicked(&mut self) -> bool {
        false
    }
}

/// Takes no snapshots: the config of a backtest asks for none.
pub(super) struct NoSnapshots;

impl SnapshotSink for NoSnapshots {
    fn chunk_bytes(&self) -> usize {
        0
    }

    fn begin(&mut self, _: SnapshotKey, _: Facts) {}

    fn offer(&mut self, _: Vec<u8>) -> Result<(), Vec<u8>> {
        Ok(())
    }

    fn end(&mut self) {}

    fn give_up(&mut self) {}

    fn is_busy(&self) -> bool {
        false
    }

    fn next(&mut self) -> Option<SnapshotOutcome> {
        None
    }

    fn wait(&mut self, _: Instant) -> Option<SnapshotOutcome> {
        None
    }

    fn has_panicked(&mut self) -> bool {
        false
    }
}

/// A clock that stands still: rows alone move a backtest on, so that it never depends on the machine's speed.
pub(super) struct StoppedClock(Instant);

impl Default for StoppedClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl TimeSource for StoppedClock {
    #[inline]
    fn now(&self) -> Instant {
        self.0
    }

    fn wall(&self) -> EventTime {
        EventTime::MIN
    }

    fn sleep(&self, _: Duration) {}
}

impl ReadingInterceptor for Shared<Observer> {
    fn offer(&mut self, shard: &mut Shard, reading: &Reading<'_>, record: &Record<'_>) -> Offered {
        self.borrow_mut().offer(shard, reading, record)
    }

    fn refuse(&mut self, record: &Record<'_>, why: &BadRecord) {
        self.borrow_mut().refuse(record, why);
    }

    fn miss(&mut self, missing: &MissingValues) {
        self.borrow_mut().miss(missing);
    }

    fn account(&mut self, accounts: &Accounts) {
        self.borrow_mut().account(accounts);
    }
}
