//! Which log each partition is read from, and where to start when the group's offset belongs to another one: the
//! topic was deleted and created again, the log has lost its end, or a tool has moved the group.
//!
//! The topic's id stands in the note beside each committed offset. So the next owner of the partition knows which
//! log the offset belongs to, also after a restart. Nothing is committed before a broker has said, after the last
//! poll, that the id is still the same; `kafka/topics.rs` says how far that holds.

use super::loading::LoadedShard;
use super::ports::{Broker, Ports, TimeSource};
use super::rare_paths::RarePath;
use super::{Error, Worker};
use crate::config::Stream;
use crate::domain::{Offset, TopicId, TopicPartition};
use crate::kafka::{CommittedOffset, TopicDescriptions, TopicState, Watermarks};
use crate::telemetry::{Discard, LogReset, ShardMetrics, ShardState, ShardStatus, events};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// What stands before the topic's id in a note. No stream has this name.
const PREFIX: &str = "@=";
/// A log that seems to have lost its end, or to belong to another topic, is looked at again after this time.
/// Brokers hear of a change one after the other, and two answers may come from different brokers.
const SECOND_LOOK: Duration = Duration::from_secs(1);

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
    went_back: BTreeSet<TopicPartition>,
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
    /// The note beside the committed offset.
    pub note: String,
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
        matches!(self.reset, Some(Reset::Truncated | Reset::Recreated { .. }))
    }
}

/// Why a partition is not read from where the group had left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reset {
    Recreated { former: TopicId },
    Truncated,
    Retention { lost: u64 },
    Moved,
}

/// Where to start, given what the group has committed, the topic's id now, the id under which it was last seen,
/// what the log holds, and whether its offsets have gone back while it was read.
fn judge(
    mark: Option<&CommittedOffset>,
    now: Option<TopicId>,
    known: Option<TopicId>,
    (low, high): Watermarks,
    went_back: bool,
) -> (Offset, Option<Reset>) {
    let other = |then: TopicId| now.is_some_and(|now| now != then);
    // Without a committed offset nobody has read the new topic yet, and a worker that has seen the former one
    // reports the change.
    let then = match mark {
        Some(mark) => noted(&mark.note),
        None => known,
    };
    if let Some(former) = then.filter(|then| other(*then)) {
        return (low, Some(Reset::Recreated { former }));
    }
    let Some(CommittedOffset { next, note }) = mark else { return (low, None) };
    // The two ends were asked for one after the other, and the topic may have been created again between.
    let at = (*next).clamp(low, high.max(low));
    let reset = match at.cmp(next) {
        std::cmp::Ordering::Less => Some(Reset::Truncated),
        std::cmp::Ordering::Greater => Some(Reset::Retention { lost: low.0.abs_diff(next.0) }),
        std::cmp::Ordering::Equal if went_back => Some(Reset::Truncated),
        std::cmp::Ordering::Equal => note.is_empty().then_some(Reset::Moved),
    };
    (at, reset)
}

/// The topic's id in a note.
fn noted(note: &str) -> Option<TopicId> {
    note.split(';').find_map(|part| part.strip_prefix(PREFIX)).and_then(TopicId::parse)
}

/// The beginning of a note.
pub(super) fn note(id: Option<TopicId>) -> String {
    id.map_or_else(String::new, |id| format!("{PREFIX}{id};"))
}

fn topics(parts: &[TopicPartition]) -> BTreeSet<Arc<str>> {
    parts.iter().map(|at| at.topic.clone()).collect()
}

impl Logs {
    /// `topics` as they are before anything is assigned.
    pub fn new(topics: &TopicDescriptions) -> Self {
        let first = topics.ids().map(|(name, id)| (name.clone(), id)).collect();
        Self { first, ..Self::default() }
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
            self.report(finding);
        }
        let starts: Vec<PartitionStart> = found.into_iter().map(|finding| finding.start).collect();
        for start in &starts {
            self.logs.unanswered.remove(&start.at);
            self.logs.went_back.remove(&start.at);
            self.logs.absent.remove(&start.at);
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
        let findings = marks.into_iter().zip(ends).map(|((at, mark), (_, ends))| {
            let topic = found.of(&at).unwrap_or(TopicState::Present(None));
            broker.reads(at.clone(), topic);
            let topic_id = if let TopicState::Present(id) = topic { id } else { None };
            let known = self.logs.known(&at);
            let went_back = self.logs.went_back.contains(&at);
            let (committed, reset) = judge(mark.as_ref(), topic_id, known, ends, went_back);
            let (next, note) = mark.map(|mark| (mark.next, mark.note)).unzip();
            let is_unread = next.is_none() && reset.is_none();
            let is_new = matches!(reset, Some(Reset::Recreated { .. }));
            let note = note.filter(|_| !is_new).unwrap_or_default();
            let (low, high) = ends;
            let start = PartitionStart { at, low, high, committed, topic_id, is_unread, note };
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
            Reset::Truncated => {
                count(LogReset::Truncated);
                events::log_truncated(at, next, *low, *high);
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
        let number = self.setup.number;
        events::topic_gone(number, &new);
        for at in new {
            let mut shown = Vec::new();
            for stream in self.streams_of(&at) {
                shown.push(self.setup.metrics.stream(&stream.name).shard(&at));
                let status =
                    ShardStatus { state: ShardState::Restoring, series: 0, last_offset: None, lag: None };
                self.setup.board.shard(number, &stream.name, &at, status);
            }
            self.ports.broker.reads(at.clone(), TopicState::Absent);
            self.logs.absent.insert(at, shown);
        }
    }

    /// Partitions that are read from another log than they were started in, as far as it is known by now.
    pub(super) fn doubtful(&mut self) -> Vec<TopicPartition> {
        let mut parts = self.ports.broker.remade();
        if !parts.is_empty() {
            events::log_in_doubt(self.setup.number, &parts, "the topic is gone, or another one");
        }
        let mut back = BTreeSet::new();
        for owned in self.shards.iter_mut().filter(|owned| owned.went_back) {
            owned.went_back = false;
            back.insert(owned.at.clone());
        }
        if !back.is_empty() {
            self.rare_paths.mark(RarePath::OffsetWentBack);
            let back: Vec<_> = back.into_iter().collect();
            events::log_in_doubt(self.setup.number, &back, "its offsets have gone back");
            self.logs.went_back.extend(back.iter().cloned());
            parts.extend(back);
        }
        parts.sort_unstable();
        parts.dedup();
        parts
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
        CommittedOffset { next: Offset(next), note: note(id(of)) + "power=0:0:100;" }
    }

    fn at(low: i64, high: i64) -> Watermarks {
        (Offset(low), Offset(high))
    }

    #[test]
    fn a_note_bears_the_id_and_holdings_pass_it_over() {
        assert_eq!(noted(&mark(1, 7).note), id(7));
        for other in ["", "power=0:0:100;", "@=;", "@=AAAAAAAAAAAAAAAAAAAAAA;", "x@=AAAAAAAAAAAAAAAAAAAABw;"]
        {
            assert_eq!(noted(other), None, "{other}");
        }
        assert_eq!(note(None), "");
    }

    #[test]
    fn a_topic_that_was_created_again_is_read_from_its_start() {
        let former = id(7).unwrap();
        for high in [0, 90, 300, 450] {
            let judged = judge(Some(&mark(300, 7)), id(8), id(7), at(0, high), false);
            assert_eq!(judged, (Offset(0), Some(Reset::Recreated { former })), "{high}");
            // The broker has deleted the offsets with the topic.
            let judged = judge(None, id(8), id(7), at(0, high), true);
            assert_eq!(judged, (Offset(0), Some(Reset::Recreated { former })), "{high}");
        }
        // Somebody has read the new one already, and this worker has slept through it.
        assert_eq!(judge(Some(&mark(40, 8)), id(8), id(7), at(0, 90), false), (Offset(40), None));
        assert_eq!(judge(None, id(8), None, at(0, 90), false), (Offset(0), None));
        // A broker that knows no ids.
        assert_eq!(judge(Some(&mark(40, 7)), None, id(7), at(0, 90), false), (Offset(40), None));
    }

    #[test]
    fn each_reset_within_one_topic_has_its_own_name() {
        let cases = [
            (300, at(0, 300), false, 300, None),
            (300, at(0, 250), false, 250, Some(Reset::Truncated)),
            // It has grown again beyond what was read.
            (300, at(0, 310), true, 300, Some(Reset::Truncated)),
            (300, at(320, 400), false, 320, Some(Reset::Retention { lost: 20 })),
        ];
        for (next, ends, went_back, from, told) in cases {
            let judged = judge(Some(&mark(next, 7)), id(7), id(7), ends, went_back);
            assert_eq!(judged, (Offset(from), told), "{next} {ends:?} {went_back}");
        }
        let moved = CommittedOffset { next: Offset(20), note: String::new() };
        assert_eq!(judge(Some(&moved), id(7), id(7), at(0, 300), false), (Offset(20), Some(Reset::Moved)));
    }
}
