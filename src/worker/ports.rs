//! What a worker needs from outside, as traits. The daemon implements them over Kafka, the store, threads and
//! the system's clock; the simulation over simulated ones. Every call is dispatched statically.

use super::loading::{LoadError, LoadRequest, LoadedShard};
use super::serving::ModelSource;
use super::snapshot_file::{SnapshotKey, SnapshotOutcome};
use crate::checkpoint::Facts;
use crate::codec::Record;
use crate::config::Stream;
use crate::domain::{EventTime, Offset, StreamName, TopicPartition};
use crate::engine::Emitted;
use crate::kafka::{Commit, Ends, Error, Event, LinkStatistics, Mark, Topic, Topics};
use crate::series::WindowCopy;
use crate::training::{Start, Why};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The types of a worker's ports.
pub trait Ports {
    /// The consumer and the producer.
    type Broker: Broker;
    /// Loads shards beside the worker.
    type Loader: ShardLoader;
    /// Writes snapshots beside the worker.
    type Snapshots: SnapshotSink;
    /// The clocks.
    type Time: TimeSource;
    /// Which model serves.
    type Models: ModelSource;
    /// Where training rounds are handed in.
    type Training: TrainingQueue;
}

/// A worker's ports.
pub struct PortSet<P: Ports> {
    /// The consumer and the producer.
    pub broker: P::Broker,
    /// Loads shards beside the worker.
    pub loader: P::Loader,
    /// Writes snapshots beside the worker.
    pub snapshots: P::Snapshots,
    /// The clocks.
    pub time: P::Time,
    /// Which model serves.
    pub models: P::Models,
    /// Where training rounds are handed in.
    pub training: P::Training,
}

/// A record for an output topic. Its key decides the partition.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The output topic.
    pub topic: &'a str,
    /// The key of the source record.
    pub key: Option<&'a [u8]>,
    /// `None` for a tombstone.
    pub payload: Option<&'a [u8]>,
    /// Names and values.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// Where a shard's output goes.
pub trait Outlet {
    /// Sends a record into the open transaction.
    ///
    /// # Errors
    /// As [`Link::send`](crate::kafka::Link::send).
    fn send(&mut self, record: Outgoing<'_>) -> Result<(), Error>;

    /// Sends a forecast. `emitted` is what the payload was encoded from; an outlet that wants bytes alone needs
    /// no more than [`Self::send`].
    ///
    /// # Errors
    /// As [`Link::send`](crate::kafka::Link::send).
    fn send_forecast(&mut self, record: Outgoing<'_>, emitted: &Emitted<'_>) -> Result<(), Error> {
        let _ = emitted;
        self.send(record)
    }
}

/// A worker's consumer and producer. [`Link`](crate::kafka::Link) describes each call and its errors.
pub trait Broker: Outlet {
    /// Waits for a record at most `wait`, hands over at most `max` records, and returns their number.
    ///
    /// # Errors
    /// When the client can't be used any longer.
    fn poll(&mut self, max: usize, wait: Duration, sink: impl FnMut(&Record<'_>)) -> Result<usize, Error>;

    /// The next event, rebalances first and in their order.
    fn event(&mut self) -> Option<Event>;

    /// Answers [`Event::Assigned`] with where to read from.
    ///
    /// # Errors
    /// When the client refuses.
    fn assign(&mut self, starts: &[(TopicPartition, Option<Offset>)]) -> Result<(), Error>;

    /// Answers [`Event::Revoked`] and [`Event::Lost`].
    ///
    /// # Errors
    /// When the client refuses.
    fn release(&mut self, parts: &[TopicPartition]) -> Result<(), Error>;

    /// Continues at these offsets.
    ///
    /// # Errors
    /// When the client refuses.
    fn seek(&mut self, positions: &[(TopicPartition, Offset)]) -> Result<(), Error>;

    /// No record of these partitions is polled until [`Self::resume`].
    ///
    /// # Errors
    /// When the client refuses.
    fn pause(&mut self, parts: &[TopicPartition]) -> Result<(), Error>;

    /// Ends a [`Self::pause`].
    ///
    /// # Errors
    /// When the client refuses.
    fn resume(&mut self, parts: &[TopicPartition]) -> Result<(), Error>;

    /// The group's generation while this is a member of it.
    fn generation(&self) -> Option<u32>;

    /// The committed offsets with their notes, in the order of `parts`.
    ///
    /// # Errors
    /// When no broker answers.
    fn marks(&self, parts: &[TopicPartition]) -> Result<Vec<(TopicPartition, Option<Mark>)>, Error>;

    /// Commits this note beside the partition's offset from now on.
    fn note(&mut self, at: TopicPartition, note: String);

    /// What each of these topic names stands for now.
    ///
    /// # Errors
    /// When no broker answers.
    fn topics(&self, names: &BTreeSet<Arc<str>>) -> Result<Topics, Error>;

    /// Says which topic a partition is read from.
    fn reads(&mut self, at: TopicPartition, topic: Topic);

    /// Partitions whose topic was found to have changed since the last call. Never waits.
    fn remade(&mut self) -> Vec<TopicPartition>;

    /// What brokers have said of the topics since the last call. Asks nothing.
    fn newest_topics(&self) -> Topics;

    /// The first offset and the one after the last, in the order of `parts`.
    ///
    /// # Errors
    /// When no broker answers.
    fn ends(&self, parts: &[TopicPartition]) -> Result<Vec<(TopicPartition, Ends)>, Error>;

    /// The number of offsets between `next` and the partition's end, as far as it is known.
    fn lag(&self, at: &TopicPartition, next: Offset) -> Option<u64>;

    /// Commits what was sent together with these positions.
    ///
    /// # Errors
    /// When the client can't be used any longer.
    fn commit(&mut self, positions: &[(TopicPartition, Offset)]) -> Result<Commit, Error>;

    /// Throws away what was sent since the last commit.
    ///
    /// # Errors
    /// When the client can't be used any longer.
    fn abort(&mut self) -> Result<(), Error>;

    /// Aborts what was not committed, and leaves the group.
    ///
    /// # Errors
    /// As [`Self::abort`].
    fn leave(self) -> Result<(), Error>;

    /// The clients' own statistics.
    fn statistics(&self) -> LinkStatistics;
}

/// Loads shards beside the worker, one after the other.
pub trait ShardLoader {
    /// Asks for a shard.
    fn request(&mut self, request: LoadRequest);

    /// Drops every request with a lower ticket.
    fn forget_below(&mut self, ticket: u64);

    /// A shard that was loaded since the last call. Never waits.
    ///
    /// # Errors
    /// [`LoadError`].
    fn next(&mut self) -> Result<Option<LoadedShard>, LoadError>;

    /// Whether the loader can't go on.
    fn has_panicked(&mut self) -> bool;
}

/// Writes snapshots beside the worker: begin, chunks, end; one at a time.
pub trait SnapshotSink {
    /// The least size of a chunk.
    fn chunk_bytes(&self) -> usize;

    /// Begins a snapshot.
    fn begin(&mut self, key: SnapshotKey, facts: Facts);

    /// Takes a chunk.
    ///
    /// # Errors
    /// The chunk itself, when too many are waiting for the store.
    fn offer(&mut self, chunk: Vec<u8>) -> Result<(), Vec<u8>>;

    /// Ends the snapshot; [`Self::next`] will say what became of it.
    fn end(&mut self);

    /// Throws away the snapshot that was begun.
    fn give_up(&mut self);

    /// Whether a snapshot that was ended is still being written.
    fn is_busy(&self) -> bool;

    /// A snapshot that was finished since the last call. Never waits.
    fn next(&mut self) -> Option<SnapshotOutcome>;

    /// As [`Self::next`], but waits until `until`.
    fn wait(&mut self, until: Instant) -> Option<SnapshotOutcome>;

    /// Whether the writer can't go on.
    fn has_panicked(&mut self) -> bool;
}

/// The clocks.
pub trait TimeSource {
    /// A clock that never goes back.
    fn now(&self) -> Instant;

    /// The wall clock.
    fn wall(&self) -> EventTime;

    /// Waits.
    fn sleep(&self, pause: Duration);
}

/// Where training rounds are handed in.
pub trait TrainingQueue {
    /// Hands in a round, unless one of the stream is waiting or running; returns whether it did.
    fn hand_in(
        &mut self,
        stream: &Arc<Stream>,
        start: Start,
        why: Why,
        samples: impl FnOnce() -> Vec<WindowCopy>,
    ) -> bool;

    /// Asks for a round of the stream before the schedule does.
    fn hasten(&mut self, stream: &StreamName, why: Why);

    /// What has asked for a round since the last call.
    fn take_hastened(&mut self, stream: &StreamName) -> Option<Why>;
}
