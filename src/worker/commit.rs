//! Commits what was sent together with how far was read.

use super::ports::{Broker, Ports, TimeSource};
use super::rare_paths::RarePath;
use super::{Error, Worker};
use crate::domain::{Offset, TopicPartition};
use crate::kafka::{self, Commit};
use crate::telemetry::{TransactionOutcome, events};
use std::collections::BTreeMap;

impl<P: Ports> Worker<P> {
    /// Commits what was sent and how far was read; returns whether every shard is now where the group's offsets
    /// are. After an abort the shards are ahead of the log, so all are dropped and loaded again.
    pub(super) fn commit(&mut self) -> Result<bool, Error> {
        let began = self.ports.time.now();
        self.committed_at = began;
        self.stepped = 0;
        // Of several shards of a partition one may be in the middle of a record that the others have answered.
        let mut next: BTreeMap<TopicPartition, Offset> = BTreeMap::new();
        for owned in self.shards.iter().filter(|o| o.position > o.committed) {
            let mine = owned.next_to_commit();
            next.entry(owned.at.clone()).and_modify(|next| *next = mine.min(*next)).or_insert(mine);
        }
        if next.is_empty() {
            return Ok(true);
        }
        self.bring_notes_up_to_date(&next);
        let positions: Vec<(TopicPartition, Offset)> = next.into_iter().collect();
        let number = self.setup.number;
        let readings = std::mem::take(&mut self.uncommitted);
        match self.ports.broker.commit(&positions) {
            Ok(Commit::Committed) => {
                self.logs.were_committed(&positions);
                let mut forecasts = 0;
                let mut is_whole = true;
                for owned in &mut self.shards {
                    if let Ok(at) = positions.binary_search_by(|(at, _)| at.cmp(&owned.at)) {
                        owned.committed = owned.committed.max(positions[at].1);
                    }
                    is_whole &= owned.position <= owned.committed;
                    forecasts += std::mem::take(&mut owned.forecasts);
                }
                self.end_aborts();
                self.setup.metrics.transaction(TransactionOutcome::Committed);
                let took = self.ports.time.now().saturating_duration_since(began);
                self.rare_paths.mark_if(!is_whole, RarePath::CommittedWithinRecord);
                events::committed(number, readings, forecasts, took);
                Ok(true)
            }
            Ok(Commit::Aborted(cause)) => {
                self.rare_paths.mark(RarePath::CommitAborted);
                self.abort_and_recover(TransactionOutcome::Aborted, &cause).map(|()| false)
            }
            Ok(Commit::Unknown(cause)) => {
                // The group knows what is committed, and the recovery asks the group.
                self.rare_paths.mark(RarePath::CommitUnknown);
                self.abort_and_recover(TransactionOutcome::Unknown, &cause).map(|()| false)
            }
            Err(cause) if cause.is_transient() => {
                self.rare_paths.mark(RarePath::CommitUnknown);
                self.setup.metrics.transaction(TransactionOutcome::Unknown);
                self.go_on_after(cause.into()).map(|()| false)
            }
            Err(cause) => {
                if matches!(cause, kafka::Error::Fenced(_)) {
                    self.rare_paths.mark(RarePath::CommitFenced);
                }
                Err(cause.into())
            }
        }
    }
}
