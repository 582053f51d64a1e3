//! What a worker does while Kafka does not answer: it waits for as long as that takes, asks again, and says why.
//!
//! A restart would mend nothing, so no transient error ends a worker. Partitions of which it is not known yet where they
//! are to be read from stay assigned and paused. Meanwhile the worker polls, so it stays in its group and answers a
//! rebalance; it answers its stop; and the shards of other partitions go on. What was sent and may still be open is
//! aborted first: the committed offsets say nothing before.

use super::logs::PartitionStart;
use super::ports::{Broker, Ports, TimeSource};
use super::rare_paths::RarePath;
use super::{Error, Worker};
use crate::domain::TopicPartition;
use crate::kafka;
use crate::telemetry::{ShardMetrics, TransactionOutcome, events};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// The pause before Kafka is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// How often the log says that a worker still waits.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// What waits until Kafka answers.
#[derive(Default)]
pub(super) struct Outage {
    /// Partitions that are assigned and paused, and wait to be started; they are shown as restoring.
    waiting: VecDeque<(TopicPartition, Vec<ShardMetrics>)>,
    /// What was sent may still be open.
    is_unsettled: bool,
    wait: Option<Wait>,
    pub troubles: Troubles,
}

/// The errors that librdkafka recovers from by itself. While brokers are away the same ones come many times a second: each
/// is logged at once, and then once a minute with its count.
#[derive(Default)]
pub(super) struct Troubles(BTreeMap<String, (Instant, u64)>);

impl Troubles {
    pub fn log(&mut self, now: Instant, worker: usize, cause: String) {
        self.0.retain(|_, (logged, left)| *left > 0 || now.saturating_duration_since(*logged) < SAY_AGAIN);
        let (due, count) = match self.0.get(&cause) {
            Some((logged, left)) => (now.saturating_duration_since(*logged) >= SAY_AGAIN, left + 1),
            None => (true, 1),
        };
        if due {
            events::kafka_errors(&format!("worker-{worker}"), &cause, count);
        }
        let at = if due { now } else { self.0[&cause].0 };
        self.0.insert(cause, (at, if due { 0 } else { count }));
    }
}

/// A wait for Kafka.
struct Wait {
    since: Instant,
    ask_at: Instant,
    say_at: Instant,
    tries: usize,
}

impl Outage {
    /// Partitions that wait to be started.
    pub fn waiting(&self) -> impl Iterator<Item = &TopicPartition> {
        self.waiting.iter().map(|(at, _)| at)
    }

    /// Forgets partitions that belong to another worker now.
    pub fn forget(&mut self, parts: &[TopicPartition]) {
        self.waiting.retain(|(at, _)| !parts.contains(at));
    }
}

impl<P: Ports> Worker<P> {
    /// Where each of these partitions is to be read from. While Kafka does not answer, all of them are left out and
    /// wait.
    pub(super) fn starts_or_wait(&mut self, parts: &[TopicPartition]) -> Result<Vec<PartitionStart>, Error> {
        let now = self.ports.time.now();
        if self.outage.wait.as_ref().is_some_and(|wait| now < wait.ask_at) {
            self.wait_to_start(parts);
            return Ok(Vec::new());
        }
        match self.settled_starts(parts) {
            Err(Error::Kafka(cause)) if cause.is_transient() => {
                self.wait_to_start(parts);
                self.wait_for_kafka(&cause);
                Ok(Vec::new())
            }
            Ok(starts) => {
                self.outage.forget(parts);
                Ok(starts)
            }
            other => other,
        }
    }

    fn settled_starts(&mut self, parts: &[TopicPartition]) -> Result<Vec<PartitionStart>, Error> {
        if self.outage.is_unsettled {
            self.ports.broker.abort()?;
            self.outage.is_unsettled = false;
        }
        self.starts(parts)
    }

    /// Aborts what was sent since the last commit, at the latest before anything is read again.
    pub(super) fn abort(&mut self) -> Result<(), Error> {
        match self.ports.broker.abort() {
            Err(cause) if cause.is_transient() => {
                self.outage.is_unsettled = true;
                self.wait_for_kafka(&cause);
                Ok(())
            }
            outcome => Ok(outcome?),
        }
    }

    /// Goes on after an error: a transient one means that everything is begun again from what is committed, once Kafka
    /// answers.
    pub(super) fn go_on_after(&mut self, error: Error) -> Result<(), Error> {
        match error {
            Error::Kafka(cause) if cause.is_transient() => {
                self.rare_paths.mark(RarePath::KafkaAwaited);
                self.outage.is_unsettled = true;
                self.wait_for_kafka(&cause);
                self.recover()
            }
            Error::Kafka(cause) => {
                if matches!(cause, kafka::Error::Fenced(_)) {
                    self.setup.metrics.transaction(TransactionOutcome::Fenced);
                    events::fenced(self.setup.number, &cause);
                }
                Err(cause.into())
            }
            other => Err(other),
        }
    }

    /// Starts what waits, if Kafka answers now. To be called with each turn.
    pub(super) fn start_waiting(&mut self) -> Result<(), Error> {
        let now = self.ports.time.now();
        let Some(wait) = self.outage.wait.as_mut().filter(|wait| now >= wait.ask_at) else { return Ok(()) };
        wait.tries += 1;
        // Every other time one after the other: a partition without a leader must not keep the others waiting.
        let one_by_one = wait.tries % 2 == 0;
        let all: Vec<TopicPartition> = self.outage.waiting().cloned().collect();
        if one_by_one && all.len() > 1 && !self.outage.is_unsettled {
            for at in &all {
                let starts = self.starts_or_wait(std::slice::from_ref(at))?;
                self.request_shards(&starts);
                if self.outage.waiting().any(|waiting| waiting == at) {
                    // The next time begins with another one.
                    self.outage.waiting.rotate_left(1);
                    break;
                }
            }
        } else {
            let starts = self.starts_or_wait(&all)?;
            self.request_shards(&starts);
        }
        if self.outage.waiting.is_empty() && !self.outage.is_unsettled {
            let wait = self.outage.wait.take();
            let waited = wait.map(|wait| self.ports.time.now().saturating_duration_since(wait.since));
            events::kafka_answered(&self.name(), waited.unwrap_or_default());
            self.publisher.waits_for_kafka(None);
        }
        Ok(())
    }

    fn wait_to_start(&mut self, parts: &[TopicPartition]) {
        for at in parts {
            if !self.outage.waiting().any(|waiting| waiting == at) {
                let shown = self.show_as_restoring(at);
                self.outage.waiting.push_back((at.clone(), shown));
            }
        }
    }

    fn wait_for_kafka(&mut self, cause: &kafka::Error) {
        self.rare_paths.mark(RarePath::KafkaAwaited);
        let (now, name) = (self.ports.time.now(), self.name());
        let wait = self.outage.wait.get_or_insert(Wait { since: now, ask_at: now, say_at: now, tries: 0 });
        wait.ask_at = now + ASK_AGAIN;
        if now >= wait.say_at {
            wait.say_at = now + SAY_AGAIN;
            events::kafka_awaited(&name, now.saturating_duration_since(wait.since), cause);
        }
        self.publisher.waits_for_kafka(Some(cause.to_string()));
    }

    fn name(&self) -> String {
        format!("worker-{}", self.setup.number)
    }
}
