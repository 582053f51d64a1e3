//! Which log each partition is read from, and where to start when the group's offset belongs to another one: the
//! topic was deleted and created again, the log has lost its end, or a tool has moved the group.
//!
//! The topic's id stands in the note beside each committed offset. So the next owner of the partition knows which
//! log the offset belongs to, also after a restart. Nothing is committed before a broker has said, after the last
//! poll, that the id is still the same; `kafka/topics.rs` says how far that holds.
//!
//! The leader epoch of the last record stands there, too. So it is known where a log was cut, even if it has grown again
//! since.

use super::loading::LoadedShard;
use super::log_note::{LogNote, noted_epoch, noted_id};
use super::ports::{Broker, Ports, TimeSource};
use super::rare_paths::RarePath;
use super::{Error, Worker};
use crate::config::Stream;
use crate::domain::{LeaderEpoch, Offset, TopicId, TopicPartition};
use crate::kafka::{
    CommittedOffset, Comparison, Lineage, LogPosition, TopicDescriptions, TopicState, Watermarks,
};
use crate::series::RecordProgress;
use crate::telemetry::{Discard, LogReset, ShardMetrics, ShardState, ShardStatus, events};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A log that seems to have lost its end, or to belong to another topic, is looked at again after this time.
/// Brokers hear of a change one after the other, and two answers may come from different brokers.
pub(super) const SECOND_LOOK: Duration = Duration::from_secs(1);

/// What a worker knows of the logs behind the names of its topics.
#[derive(Default)]
pub(super) struct Logs {
    /// The id that each topic had when the worker started.
    first: BTreeMap<Arc<str>, TopicId>,
    /// The id that the topic of each partition had when the worker last started to read it.
    started: BTreeMap<TopicPartition, TopicId>,
    /// Partitions that are assigned and whose topic is gone; they are shown as restoring.
    absent: BTreeMap<TopicPartition, Vec<ShardMetrics>>,
    /// What was read and not committed when the shards were dropped: from where, to where.
    unanswered: BTreeMap<TopicPartition, (Offset, Offset)>,
    /// Partitions whose records have come with offsets that had come before.
    pub went_back: BTreeSet<TopicPartition>,
    /// Since when the log of a partition is seen to end before what was read.
    pub ended_before: BTreeMap<TopicPartition, Instant>,
    /// When the ends are looked at next.
    pub ends_due_at: Option<Instant>,
    /// What was last reported of each partition and not followed by a commit: the committed offset, where reading goes
    /// on, and why.
    reported: BTreeMap<TopicPartition, (Option<Offset>, Offset, Reset)>,
    /// What is committed beside the offset of each partition.
    notes: BTreeMap<TopicPartition, LogNote>,
}

/// Where a partition that was assigned is read from.
pub(super) struct PartitionStart {
    pub at: TopicPartition,
    /// The first record that is kept.
    pub low: Offset,
    /// The offset after the last record.
    pub high: Offset,
    /// What the group has committed of this log, within what the log holds.
    pub committed: Offset,
    pub topic_id: Option<TopicId>,
    /// The group has committed nothing of this log, and the reason is not known.
    pub is_unread: bool,
    /// The log was cut at the committed offset.
    pub is_cut: bool,
    /// The note beside the committed offset.
    pub note: String,
    /// The leader epoch of the last record below the committed offset; `None` where it is not known.
    pub epoch: Option<LeaderEpoch>,
    /// The leader epoch of the log when it was compared with what was read.
    pub compared: Option<LeaderEpoch>,
}

/// What was found out about a partition.
struct Finding {
    start: PartitionStart,
    /// What the group has committed, of whichever log.
    next: Option<Offset>,
    reset: Option<Reset>,
}

impl Finding {
    fn is_doubtful(&self) -> bool {
        matches!(self.reset, Some(Reset::Truncated { .. } | Reset::Recreated { .. }))
    }
}

/// Why a partition is not read from where the group had left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reset {
    Recreated {
        former: TopicId,
    },
    /// Whether it is known where.
    Truncated {
        is_exact: bool,
    },
    Retention {
        lost: u64,
    },
    Moved,
}

/// Where to start, given what the group has committed, the topic's id now, the id under which it was last seen,
/// what the log holds, how it compares with what was read, and whether its offsets have gone back while it was read.
fn judge(
    mark: Option<&CommittedOffset>,
    now: Option<TopicId>,
    known: Option<TopicId>,
    (low, high): Watermarks,
    comparison: Comparison,
    went_back: bool,
) -> (Offset, Option<Reset>) {
    let other = |then: TopicId| now.is_some_and(|now| now != then);
    // Without a committed offset nobody has read the new topic yet, and a worker that has seen the former one
    // reports the change.
    let then = match mark {
        Some(mark) => noted_id(&mark.note),
        None => known,
    };
    if let Some(former) = then.filter(|then| other(*then)) {
        return (low, Some(Reset::Recreated { former }));
    }
    let Some(CommittedOffset { next, note }) = mark else { return (low, None) };
    let next = *next;
    if next < low {
        return (low, Some(Reset::Retention { lost: low.0.abs_diff(next.0) }));
    }
    match comparison {
        Comparison::Diverges(from) => (from.max(low), Some(Reset::Truncated { is_exact: true })),
        // Where the log seems to end before, its new leader does not know yet how far the others have come.
        Comparison::Same => (next, None),
        // The two ends were asked for one after the other, and the topic may have been created again between.
        Comparison::None if high < next => (high.max(low), Some(Reset::Truncated { is_exact: false })),
        Comparison::None if went_back => (next, Some(Reset::Truncated { is_exact: false })),
        Comparison::None => (next, note.is_empty().then_some(Reset::Moved)),
    }
}

/// How far the group has read a partition's log.
fn position((at, mark): &(TopicPartition, Option<CommittedOffset>)) -> LogPosition {
    let Some(CommittedOffset { next, note }) = mark else {
        return LogPosition { at: at.clone(), next: Offset(0), epoch: None };
    };
    // Of a record that is not finished a part was read.
    let next = if RecordProgress::is_noted(note, *next) { next.next() } else { *next };
    LogPosition { at: at.clone(), next, epoch: noted_epoch(note) }
}

pub(super) fn topics(parts: &[TopicPartition]) -> BTreeSet<Arc<str>> {
    parts.iter().map(|at| at.topic.clone()).collect()
}

impl Logs {
    /// `topics` as they are before anything is assigned.
    pub fn new(topics: &TopicDescriptions) -> Self {
        let first = topics.ids().map(|(name, id)| (name.clone(), id)).collect();
        Self { first, ..Self::default() }
    }

    /// Whether a finding was not reported yet. Until something is committed, each start of a partition finds the same
    /// again.
    fn is_news(&mut self, finding: &Finding) -> bool {
        let Finding { start, next, reset: Some(reset) } = finding else { return false };
        let found = (*next, start.committed, *reset);
        self.reported.insert(start.at.clone(), found) != Some(found)
    }

    /// These positions were committed: what is found from now on is news.
    pub fn were_committed(&mut self, positions: &[(TopicPartition, Offset)]) {
        for (at, _) in positions {
            self.reported.remove(at);
        }
    }

    /// The id under which a partition was last seen here.
    fn known(&self, at: &TopicPartition) -> Option<TopicId> {
        self.started.get(at).or(self.first.get(&at.topic)).copied()
    }
}

impl<P: Ports> Worker<P> {
    /// The streams that read a partition.
    pub(super) fn streams_of<'a>(
        &'a self,
        at: &'a TopicPartition,
    ) -> impl Iterator<Item = &'a Arc<Stream>> + 'a {
        self.setup.config.streams.iter().filter(|s| s.topics.iter().any(|t| **t == *at.topic))
    }

    /// Where each of these partitions is to be read from. Those whose topic is gone are left out: they wait for it.
    pub(super) fn starts(&mut self, parts: &[TopicPartition]) -> Result<Vec<PartitionStart>, Error> {
        let mut found = self.find_starts(parts)?;
        if found.iter().any(Finding::is_doubtful) {
            self.rare_paths.mark(RarePath::SecondLook);
            self.ports.time.sleep(SECOND_LOOK);
            found = self.find_starts(parts)?;
        }
        for finding in &found {
            if self.logs.is_news(finding) {
                self.report(finding);
            }
        }
        let starts: Vec<PartitionStart> = found.into_iter().map(|finding| finding.start).collect();
        for start in &starts {
            self.logs.unanswered.remove(&start.at);
            self.logs.went_back.remove(&start.at);
            self.logs.absent.remove(&start.at);
            self.logs.ended_before.remove(&start.at);
            start.topic_id.map(|id| self.logs.started.insert(start.at.clone(), id));
        }
        Ok(starts)
    }

    /// What is found out about those partitions whose topic is there.
    fn find_starts(&mut self, parts: &[TopicPartition]) -> Result<Vec<Finding>, Error> {
        let found = self.ports.broker.topics(&topics(parts))?;
        let is_gone = |at: &TopicPartition| found.of(at) == Some(TopicState::Absent);
        let (gone, there): (Vec<_>, Vec<_>) = parts.iter().cloned().partition(is_gone);
        self.wait_for_topics(&gone);
        // Asked after the id: if the topic is created again meanwhile, the first commit finds it out.
        let broker = &mut self.ports.broker;
        let (marks, ends) = (broker.marks(&there)?, broker.ends(&there)?);
        let lineages = broker.lineages(&marks.iter().map(position).collect::<Vec<_>>())?;
        let findings = marks.into_iter().zip(ends).zip(lineages).map(|(((at, mark), (_, ends)), lineage)| {
            let Lineage { epoch: compared, comparison } = lineage;
            let topic = found.of(&at).unwrap_or(TopicState::Present(None));
            broker.reads(at.clone(), topic);
            let topic_id = if let TopicState::Present(id) = topic { id } else { None };
            let known = self.logs.known(&at);
            let went_back = self.logs.went_back.contains(&at);
            let (committed, reset) = judge(mark.as_ref(), topic_id, known, ends, comparison, went_back);
            let (next, note) = mark.map(|mark| (mark.next, mark.note)).unzip();
            let is_unread = next.is_none() && reset.is_none();
            let is_new = matches!(reset, Some(Reset::Recreated { .. }));
            let is_cut = matches!(reset, Some(Reset::Truncated { .. }));
            let note = note.filter(|_| !is_new).unwrap_or_default();
            // The record that was not finished is lost, and another one may lie at its offset.
            let note = if is_cut { RecordProgress::removed(&note) } else { note };
            let (low, high) = ends;
            // What lies before another place than the committed one has another epoch.
            let epoch = if next == Some(committed) { noted_epoch(&note) } else { None };
            let start = PartitionStart {
                at,
                low,
                high,
                committed,
                topic_id,
                is_unread,
                is_cut,
                note,
                epoch,
                compared,
            };
            Finding { start, next, reset }
        });
        Ok(findings.collect())
    }

    /// Logs and counts why a partition starts where it does.
    fn report(&mut self, finding: &Finding) {
        let Finding { start, next: read, reset } = finding;
        let PartitionStart { at, low, high, committed, .. } = start;
        let metrics = || self.streams_of(at).map(|stream| self.setup.metrics.stream(&stream.name));
        let count = |reason| metrics().for_each(|metrics| metrics.log_resets(reason).inc());
        let discard = |lost| metrics().for_each(|m| m.discarded(Discard::Retention).inc_by(lost));
        let next = read.unwrap_or(*committed);
        let Some(reset) = *reset else { return };
        let path = match reset {
            Reset::Recreated { former } => {
                count(LogReset::Recreated);
                let lost = self.count_unanswered(at);
                events::topic_recreated(at, former, start.topic_id, *read, *low, lost);
                if *low > Offset(0) {
                    discard(low.0 as u64);
                    events::log_was_cut(at, Offset(0), *low, *high);
                }
                RarePath::TopicRecreated
            }
            Reset::Truncated { is_exact } => {
                count(LogReset::Truncated);
                events::log_truncated(at, next, (*low, *high), *committed, is_exact);
                RarePath::LogTruncated
            }
            Reset::Moved => {
                count(LogReset::Moved);
                events::offset_moved(at, next);
                RarePath::OffsetMoved
            }
            Reset::Retention { lost } => {
                discard(lost);
                events::log_was_cut(at, next, *low, *high);
                RarePath::RetentionAtStart
            }
        };
        self.rare_paths.mark(path);
    }

    /// Reports a topic that was deleted and created again while no worker ran. The broker has deleted the group's
    /// offsets with it, so only the snapshots know.
    pub(super) fn report_former_topic(&mut self, loaded: &[(Box<LoadedShard>, ShardMetrics)]) {
        let Some((first, former)) = loaded.iter().find_map(|(l, _)| Some((&l.request, l.former?))) else {
            return;
        };
        let found = (None, first.low, Reset::Recreated { former });
        if self.logs.reported.insert(first.at.clone(), found) == Some(found) {
            return;
        }
        self.rare_paths.mark(RarePath::TopicRecreatedBySnapshot);
        for (loaded, _) in loaded {
            let metrics = self.setup.metrics.stream(&loaded.request.stream.name);
            metrics.log_resets(LogReset::Recreated).inc();
        }
        events::topic_recreated(&first.at, former, first.topic_id, None, first.low, 0);
    }

    /// Counts what was read of a topic that is gone and was not answered; returns the number of offsets.
    fn count_unanswered(&self, at: &TopicPartition) -> u64 {
        let lost = self.logs.unanswered.get(at).map_or(0, |(from, to)| from.0.abs_diff(to.0));
        for stream in self.streams_of(at) {
            self.setup.metrics.stream(&stream.name).discarded(Discard::TopicDeleted).inc_by(lost);
        }
        lost
    }

    /// Lets partitions whose topic is gone stand still until there is a topic of that name.
    fn wait_for_topics(&mut self, gone: &[TopicPartition]) {
        let new: Vec<_> = gone.iter().filter(|at| !self.logs.absent.contains_key(at)).cloned().collect();
        if new.is_empty() {
            return;
        }
        self.rare_paths.mark(RarePath::TopicGone);
        events::topic_gone(self.setup.number, &new);
        for at in new {
            let shown = self.show_as_restoring(&at);
            self.ports.broker.reads(at.clone(), TopicState::Absent);
            self.logs.absent.insert(at, shown);
        }
    }

    /// Shows the shards of a partition as restoring while there is none; the result keeps their metrics.
    pub(super) fn show_as_restoring(&self, at: &TopicPartition) -> Vec<ShardMetrics> {
        let status = ShardStatus { state: ShardState::Restoring, series: 0, last_offset: None, lag: None };
        let show = |stream: &Arc<Stream>| {
            self.setup.board.shard(self.setup.number, &stream.name, at, status);
            self.setup.metrics.stream(&stream.name).shard(at)
        };
        self.streams_of(at).map(show).collect()
    }

    /// What is committed beside a partition's offset from now on.
    pub(super) fn note_beside(&mut self, at: &TopicPartition, note: LogNote) {
        self.ports.broker.note(at.clone(), note.to_string());
        self.logs.notes.insert(at.clone(), note);
    }

    /// Brings the notes beside these offsets up to date, before they are committed: the leader epochs, and how much of the
    /// records at the offsets is answered.
    pub(super) fn bring_notes_up_to_date(&mut self, next: &BTreeMap<TopicPartition, Offset>) {
        let Self { logs, shards, ports, .. } = self;
        for (at, next) in next {
            let Some(note) = logs.notes.get_mut(at) else { continue };
            let mut progress = String::new();
            let mut epoch = note.epoch;
            let is_within = shards.iter().any(|owned| owned.at == *at && owned.position > *next);
            for owned in shards.iter().filter(|owned| owned.at == *at && owned.position > owned.committed) {
                epoch = owned.log.epoch;
                if is_within {
                    owned.progress(*next).note(&owned.stream().name, &mut progress);
                }
            }
            if (note.epoch, &note.progress) != (epoch, &progress) {
                (note.epoch, note.progress) = (epoch, progress);
                ports.broker.note(at.clone(), note.to_string());
            }
        }
    }

    /// Notes what was read of a partition and will not be answered by its shard.
    pub(super) fn note_unanswered(&mut self, parts: &[TopicPartition]) {
        for owned in self.shards.iter().filter(|o| parts.contains(&o.at) && o.position > o.committed) {
            self.logs.unanswered.insert(owned.at.clone(), (owned.committed, owned.position));
        }
    }

    /// Partitions that wait for their topic.
    pub(super) fn absent(&self) -> impl Iterator<Item = &TopicPartition> {
        self.logs.absent.keys()
    }

    /// Forgets partitions that belong to another worker now.
    pub(super) fn forget_logs(&mut self, parts: &[TopicPartition]) {
        for at in parts {
            // Nobody will answer what was read of a topic that is gone.
            if self.logs.absent.remove(at).is_some() {
                self.count_unanswered(at);
            }
            self.logs.unanswered.remove(at);
            self.logs.went_back.remove(at);
            self.logs.ended_before.remove(at);
            self.logs.notes.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(bits: u128) -> Option<TopicId> {
        TopicId::new(bits)
    }

    fn mark(next: i64, of: u128) -> CommittedOffset {
        CommittedOffset {
            next: Offset(next),
            note: format!(
                "{}power=0:0:100;",
                LogNote { topic_id: id(of), epoch: None, rest: String::new(), progress: String::new() }
            ),
        }
    }

    fn at(low: i64, high: i64) -> Watermarks {
        (Offset(low), Offset(high))
    }

    #[test]
    fn a_topic_that_was_created_again_is_read_from_its_start() {
        let former = id(7).unwrap();
        for high in [0, 90, 300, 450] {
            let judged = judge(Some(&mark(300, 7)), id(8), id(7), at(0, high), Comparison::None, false);
            assert_eq!(judged, (Offset(0), Some(Reset::Recreated { former })), "{high}");
            // The broker has deleted the offsets with the topic.
            let judged = judge(None, id(8), id(7), at(0, high), Comparison::None, true);
            assert_eq!(judged, (Offset(0), Some(Reset::Recreated { former })), "{high}");
        }
        // Somebody has read the new one already, and this worker has slept through it.
        assert_eq!(
            judge(Some(&mark(40, 8)), id(8), id(7), at(0, 90), Comparison::None, false),
            (Offset(40), None)
        );
        assert_eq!(judge(None, id(8), None, at(0, 90), Comparison::None, false), (Offset(0), None));
        // A broker that knows no ids.
        assert_eq!(
            judge(Some(&mark(40, 7)), None, id(7), at(0, 90), Comparison::None, false),
            (Offset(40), None)
        );
    }

    #[test]
    fn each_reset_within_one_topic_has_its_own_name() {
        let truncated = |is_exact| Some(Reset::Truncated { is_exact });
        let (none, same) = (Comparison::None, Comparison::Same);
        let cases = [
            (300, at(0, 300), none, false, 300, None),
            (300, at(0, 250), none, false, 250, truncated(false)),
            // It has grown again beyond what was read.
            (300, at(0, 310), none, true, 300, truncated(false)),
            (300, at(0, 310), Comparison::Diverges(Offset(240)), false, 240, truncated(true)),
            (300, at(0, 240), Comparison::Diverges(Offset(240)), true, 240, truncated(true)),
            (300, at(280, 310), Comparison::Diverges(Offset(0)), true, 280, truncated(true)),
            // Its new leader does not know yet that more is committed, and offsets that went back are those of a reset.
            (300, at(0, 290), same, false, 300, None),
            (300, at(0, 310), same, true, 300, None),
            (300, at(320, 400), none, false, 320, Some(Reset::Retention { lost: 20 })),
        ];
        for (next, ends, comparison, went_back, from, told) in cases {
            let judged = judge(Some(&mark(next, 7)), id(7), id(7), ends, comparison, went_back);
            assert_eq!(judged, (Offset(from), told), "{next} {ends:?} {comparison:?} {went_back}");
        }
        let moved = CommittedOffset { next: Offset(20), note: String::new() };
        assert_eq!(
            judge(Some(&moved), id(7), id(7), at(0, 300), Comparison::None, false),
            (Offset(20), Some(Reset::Moved))
        );
    }
}
