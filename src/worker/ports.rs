//! What a worker needs from outside, as traits. The daemon implements them over Kafka, the store, threads and
//! the system's clock; the simulation over simulated ones. Every call is dispatched statically.

use super::loading::{LoadError, LoadRequest, LoadedShard};
use super::serving::ModelSource;
use super::snapshot_file::{SnapshotKey, SnapshotOutcome};
use crate::checkpoint::Facts;
use crate::codec::{BadRecord, MissingValues, Record};
use crate::config::Stream;
use crate::domain::{EventTime, LeaderEpoch, Offset, Reading, StreamName, TopicPartition};
use crate::engine::{Accounts, Emitted, Offered, Shard};
use crate::kafka::{
    Commit, CommittedOffset, Error, Event, Lineage, LogPosition, Refusal, TopicDescriptions, TopicState,
    Watermarks, WorkerStatistics,
};
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
    /// Stands before the shards; `()` where nothing does.
    type Interceptor: ReadingInterceptor;
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
    /// Stands before the shards.
    pub interceptor: P::Interceptor,
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
    /// Whether it reads payloads. They are not encoded for an outlet that does not.
    const READS_PAYLOADS: bool = true;

    /// Sends a record into the open transaction.
    ///
    /// # Errors
    /// As [`WorkerClients::send`](crate::kafka::WorkerClients::send).
    fn send(&mut self, record: Outgoing<'_>) -> Result<(), Error>;

    /// Sends a forecast. `emitted` is what the payload was encoded from; an outlet that wants bytes alone needs
    /// no more than [`Self::send`].
    ///
    /// # Errors
    /// As [`WorkerClients::send`](crate::kafka::WorkerClients::send).
    fn send_forecast(&mut self, record: Outgoing<'_>, emitted: &Emitted<'_>) -> Result<(), Error> {
        let _ = emitted;
        self.send(record)
    }

    /// How many bytes of payload a record may have beside its key and headers; `None` where that is not known.
    fn payload_room(&self, record: &Outgoing<'_>) -> Option<usize> {
        let _ = record;
        None
    }

    /// Whether a record of this topic needs a key, because the topic is compacted.
    fn needs_key(&self, topic: &str) -> bool {
        let _ = topic;
        false
    }

    /// Shows a forecast that `emit_every` leaves out. It is not sent.
    #[inline]
    fn withhold(&mut self, emitted: &Emitted<'_>) {
        let _ = emitted;
    }
}

/// Stands between records and their shard, as an interceptor of Kafka's stands between records and their consumer.
/// With `()` nothing stands there, and no call is left of it.
pub trait ReadingInterceptor {
    /// Offers a reading of a record to its shard.
    #[inline]
    fn offer(&mut self, shard: &mut Shard, reading: &Reading<'_>, record: &Record<'_>) -> Offered {
        shard.offer_of(reading, record.offset.0, record.key, record.timestamp)
    }

    /// Shows a record that can't be decoded.
    #[inline]
    fn refuse(&mut self, record: &Record<'_>, why: &BadRecord) {
        let _ = (record, why);
    }

    /// Shows the values that were missing since the last call.
    #[inline]
    fn miss(&mut self, missing: &MissingValues) {
        let _ = missing;
    }

    /// Shows what became of the readings since the last call.
    #[inline]
    fn account(&mut self, accounts: &Accounts) {
        let _ = accounts;
    }
}

impl ReadingInterceptor for () {}

/// A worker's consumer and producer. [`WorkerClients`](crate::kafka::WorkerClients) describes each call and its errors.
pub trait Broker: Outlet {
    /// Waits for a record at most `wait`, hands over at most `max` records with the epochs of the leaders that wrote
    /// them, and returns their number.
    ///
    /// # Errors
    /// When the client can't be used any longer.
    fn poll(
        &mut self,
        max: usize,
        wait: Duration,
        sink: impl FnMut(&Record<'_>, Option<LeaderEpoch>),
    ) -> Result<usize, Error>;

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
    fn marks(
        &self,
        parts: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, Option<CommittedOffset>)>, Error>;

    /// Commits this note beside the partition's offset from now on.
    fn note(&mut self, at: TopicPartition, note: String);

    /// What each of these topic names stands for now.
    ///
    /// # Errors
    /// When no broker answers.
    fn topics(&self, names: &BTreeSet<Arc<str>>) -> Result<TopicDescriptions, Error>;

    /// Says which topic a partition is read from.
    fn reads(&mut self, at: TopicPartition, topic: TopicState);

    /// Partitions whose topic was found to have changed since the last call. Never waits.
    fn remade(&mut self) -> Vec<TopicPartition>;

    /// What brokers have said of the topics since the last call. Asks nothing.
    fn newest_topics(&self) -> TopicDescriptions;

    /// The first offset and the one after the last, in the order of `parts`.
    ///
    /// # Errors
    /// When no broker answers.
    fn ends(&self, parts: &[TopicPartition]) -> Result<Vec<(TopicPartition, Watermarks)>, Error>;

    /// Whether these logs are still those that were read up to these positions, in the order of `places`.
    ///
    /// # Errors
    /// When no broker answers.
    fn lineages(&self, places: &[LogPosition]) -> Result<Vec<Lineage>, Error>;

    /// The number of offsets between `next` and the partition's end, as far as it is known; negative where the log
    /// ends before `next`.
    fn lag(&self, at: &TopicPartition, next: Offset) -> Option<i64>;

    /// Commits what was sent together with these positions.
    ///
    /// # Errors
    /// When the client can't be used any longer.
    fn commit(&mut self, positions: &[(TopicPartition, Offset)]) -> Result<Commit, Error>;

    /// Why a topic has refused records, where the last commit was aborted for that.
    fn take_refusal(&mut self) -> Option<Refusal> {
        None
    }

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
    fn statistics(&self) -> WorkerStatistics;
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
    fn next(&mut self) -> Result<Option<Box<LoadedShard>>, LoadError>;

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
