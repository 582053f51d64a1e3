//! A worker's ports over Kafka, threads and the system's clocks.

use super::loader_thread::LoaderThread;
use super::snapshot_thread::SnapshotThread;
use crate::codec::Record;
use crate::config::Stream;
use crate::domain::{EventTime, LeaderEpoch, Offset, StreamName, TopicPartition};
use crate::kafka::{
    Commit, CommittedOffset, Error, Event, Lineage, LogPosition, Refusal, TopicDescriptions, TopicState,
    Watermarks, WorkerClients, WorkerStatistics,
};
use crate::models::{self, ModelState, Models, RoundQueue};
use crate::series::WindowCopy;
use crate::training::{Start, Why};
use crate::worker::ports::{Broker, Outgoing, Outlet, Ports, TimeSource, TrainingQueue};
use crate::worker::serving::{ModelSource, Serving};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The ports of a worker of the daemon.
pub(super) enum RealPorts {}

impl Ports for RealPorts {
    type Broker = WorkerClients;
    type Loader = LoaderThread;
    type Snapshots = SnapshotThread;
    type Time = SystemTime;
    type Models = Models;
    type Training = RoundQueue;
    type Interceptor = ();
}

impl Outlet for WorkerClients {
    #[inline]
    fn send(&mut self, Outgoing { topic, key, payload, headers }: Outgoing<'_>) -> Result<(), Error> {
        self.forward(topic, key, payload, headers)
    }

    fn payload_room(&self, record: &Outgoing<'_>) -> Option<usize> {
        Some(Self::payload_room(self, record.topic, record.key, record.headers))
    }

    fn needs_key(&self, topic: &str) -> bool {
        Self::needs_key(self, topic)
    }
}

impl Broker for WorkerClients {
    fn poll(
        &mut self,
        max: usize,
        wait: Duration,
        mut sink: impl FnMut(&Record<'_>, Option<LeaderEpoch>),
    ) -> Result<usize, Error> {
        Self::poll(self, max, wait, &mut |polled| sink(&polled.as_source(), polled.leader_epoch))
    }

    fn event(&mut self) -> Option<Event> {
        Self::event(self)
    }

    fn assign(&mut self, starts: &[(TopicPartition, Option<Offset>)]) -> Result<(), Error> {
        Self::assign(self, starts)
    }

    fn release(&mut self, parts: &[TopicPartition]) -> Result<(), Error> {
        Self::release(self, parts)
    }

    fn seek(&mut self, positions: &[(TopicPartition, Offset)]) -> Result<(), Error> {
        Self::seek(self, positions)
    }

    fn pause(&mut self, parts: &[TopicPartition]) -> Result<(), Error> {
        Self::pause(self, parts)
    }

    fn resume(&mut self, parts: &[TopicPartition]) -> Result<(), Error> {
        Self::resume(self, parts)
    }

    fn generation(&self) -> Option<u32> {
        Self::generation(self)
    }

    fn marks(
        &self,
        parts: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, Option<CommittedOffset>)>, Error> {
        Self::marks(self, parts)
    }

    fn note(&mut self, at: TopicPartition, note: String) {
        Self::note(self, at, note);
    }

    fn topics(&self, names: &BTreeSet<Arc<str>>) -> Result<TopicDescriptions, Error> {
        Self::topics(self, names)
    }

    fn reads(&mut self, at: TopicPartition, topic: TopicState) {
        Self::reads(self, at, topic);
    }

    fn remade(&mut self) -> Vec<TopicPartition> {
        Self::remade(self)
    }

    fn newest_topics(&self) -> TopicDescriptions {
        Self::newest_topics(self)
    }

    fn ends(&self, parts: &[TopicPartition]) -> Result<Vec<(TopicPartition, Watermarks)>, Error> {
        Self::ends(self, parts)
    }

    fn lineages(&self, places: &[LogPosition]) -> Result<Vec<Lineage>, Error> {
        Self::lineages(self, places)
    }

    fn lag(&self, at: &TopicPartition, next: Offset) -> Option<i64> {
        Self::lag(self, at, next)
    }

    fn commit(&mut self, positions: &[(TopicPartition, Offset)]) -> Result<Commit, Error> {
        Self::commit(self, positions)
    }

    fn take_refusal(&mut self) -> Option<Refusal> {
        Self::take_refusal(self)
    }

    fn abort(&mut self) -> Result<(), Error> {
        Self::abort(self)
    }

    fn leave(self) -> Result<(), Error> {
        Self::leave(self)
    }

    fn statistics(&self) -> WorkerStatistics {
        Self::statistics(self)
    }
}

/// The clocks of this machine.
#[derive(Clone, Copy)]
pub(super) struct SystemTime;

impl TimeSource for SystemTime {
    #[inline]
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall(&self) -> EventTime {
        models::now()
    }

    fn sleep(&self, pause: Duration) {
        std::thread::sleep(pause);
    }
}

impl ModelSource for Models {
    fn changes(&self) -> u64 {
        Self::changes(self)
    }

    fn serving(&self, stream: &StreamName) -> Serving {
        match self.state(stream) {
            ModelState { model: Some(model), .. } => Serving::Model(model),
            ModelState { dismissed: true, .. } => Serving::ExpertsAlone,
            _ => Serving::Unknown,
        }
    }
}

impl TrainingQueue for RoundQueue {
    fn hand_in(
        &mut self,
        stream: &Arc<Stream>,
        start: Start,
        why: Why,
        samples: impl FnOnce() -> Vec<WindowCopy>,
    ) -> bool {
        Self::hand_in(self, stream, start, why, samples)
    }

    fn hasten(&mut self, stream: &StreamName, why: Why) {
        Self::hasten(self, stream, why);
    }

    fn take_hastened(&mut self, stream: &StreamName) -> Option<Why> {
        Self::take_hastened(self, stream)
    }
}
