//! How a worker answers the group's events, and what it does when the log of a partition is in doubt.

use super::ports::{Broker, Ports, TimeSource};
use super::rare_paths::RarePath;
use super::{Error, Worker};
use crate::domain::{Offset, TopicPartition};
use crate::kafka::{Event, TopicState};
use crate::telemetry::{Discard, events};
use std::time::Duration;

/// How long a revoked partition may wait for the snapshots of its shards. Without them the next owner replays from
/// older ones.
const HANDOVER: Duration = Duration::from_secs(10);
/// How often, at most, the broker is asked about offsets without records: where producers write in transactions,
/// each of their commits leaves one.
const ASK_EVERY: Duration = Duration::from_secs(1);

impl<P: Ports> Worker<P> {
    /// Answers an event.
    pub(super) fn answer(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Assigned(parts) => {
                events::assigned(self.setup.number, &parts);
                let starts = self.starts_or_wait(&parts)?;
                // Those whose topic is gone, or that wait for Kafka, start where a topic that is created again will.
                let start = |at: &TopicPartition| {
                    let known = starts.iter().find(|start| start.at == *at);
                    (at.clone(), Some(known.map_or(Offset(0), |start| start.committed)))
                };
                self.ports.broker.assign(&parts.iter().map(start).collect::<Vec<_>>())?;
                self.ports.broker.pause(&parts)?;
                self.request_shards(&starts);
                self.setup.board.assigned(self.setup.number);
            }
            Event::Revoked(parts) => {
                let has_sent = self.shards.iter().any(|o| parts.contains(&o.at) && o.position > o.committed);
                let committed = self.commit()?;
                self.rare_paths.mark_if(has_sent && committed, RarePath::RevokedUncommitted);
                self.rare_paths.mark_if(!committed, RarePath::RevokeCommitFailed);
                let until = self.ports.time.now() + HANDOVER;
                self.snapshot_now(|owned| parts.contains(&owned.at), until)?;
                self.drop_shards(&parts);
                self.ports.broker.release(&parts)?;
            }
            Event::Lost(parts) => {
                // They belong to another worker: what was sent for them must not be committed.
                self.rare_paths.mark(RarePath::Lost);
                self.abort()?;
                self.drop_shards(&parts);
                self.ports.broker.release(&parts)?;
                self.recover()?;
            }
            Event::Expelled => {
                self.rare_paths.mark(RarePath::Expelled);
                self.abort()?;
                let parts = self.held();
                self.drop_shards(&parts);
            }
            Event::NewEpoch(unanswered) => {
                self.rare_paths.mark(RarePath::NewEpoch);
                let metrics = &self.setup.metrics;
                metrics.new_epoch(self.setup.number, unanswered);
                metrics.log_new_epochs(Some(self.ports.time.now()));
            }
            Event::Trouble(cause) => {
                self.rare_paths.mark(RarePath::Trouble);
                self.outage.troubles.log(self.ports.time.now(), self.setup.number, cause);
            }
        }
        Ok(())
    }

    /// Finds out whether partitions are read from another log than they were started in, and starts those again.
    pub(super) fn restart_doubtful(&mut self) -> Result<(), Error> {
        let parts = self.doubtful()?;
        // Where the commit does not succeed, everything is loaded again already.
        if parts.is_empty() || !self.commit()? {
            return Ok(());
        }
        self.rare_paths.mark(RarePath::LogInDoubt);
        self.restart(&parts)
    }

    /// Counts what retention deleted before it was read, by a worker that was too slow or stood still: librdkafka
    /// continues at the first record that is left, and says nothing. To be called after each commit: the ends are
    /// asked only of topics of which a broker has just said that they are there. For a topic that is gone, brokers
    /// would be asked until they know it again.
    pub(super) fn count_overtaken(&mut self) -> Result<(), Error> {
        let topics = self.ports.broker.newest_topics();
        let is_there = |at: &TopicPartition| matches!(topics.of(at), Some(TopicState::Present(_)));
        let passed = self.shards.iter().filter(|owned| owned.passed.is_some() && is_there(&owned.at));
        let mut parts: Vec<TopicPartition> = passed.map(|owned| owned.at.clone()).collect();
        let now = self.ports.time.now();
        if parts.is_empty() || now.saturating_duration_since(self.ends_asked_at) < ASK_EVERY {
            return Ok(());
        }
        self.ends_asked_at = now;
        parts.sort_unstable();
        parts.dedup();
        let ends = match self.ports.broker.ends(&parts) {
            // The question stays, and is asked again.
            Err(cause) if cause.is_transient() => Vec::new(),
            answer => answer?,
        };
        for (at, (low, high)) in ends {
            let mut is_logged = false;
            for owned in self.shards.iter_mut().filter(|owned| owned.at == at) {
                let Some(passed) = owned.passed.take() else { continue };
                let lost = low.min(passed.end).0 - passed.start.0;
                if lost <= 0 {
                    continue;
                }
                self.rare_paths.mark(RarePath::RetentionWhileRunning);
                owned.metrics.discarded(Discard::Retention).inc_by(lost as u64);
                if !std::mem::replace(&mut is_logged, true) {
                    events::log_was_cut(&at, passed.start, low, high);
                }
            }
        }
        Ok(())
    }
}
