//! Which log each partition is read from, and what a worker does when the group's offsets are of another one:
//! a topic was made anew under its name, a log has lost its end, a tool has moved the group.
//!
//! The topic's id stands in the note beside each committed offset. So whoever comes next, be it after a
//! restart, knows of which log the offset is. Nothing is committed before a broker has said, after the last
//! poll, that the id is still the same (`kafka/topics.rs`, which says how far that holds).

use super::Error;
use super::loader::Loaded;
use super::rebalance::Begin;
use super::turn::Joined;
use crate::domain::{Offset, TopicId, TopicPartition};
use crate::kafka::{Ends, Mark, Topic, Topics};
use crate::telemetry::{Discard, LogReset, ShardMetrics, ShardState, ShardStatus, events};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How the id of the topic stands in a note: no stream has this name.
const MARK: &str = "@=";
/// A log that seems to have lost its end, or to be another topic's, is looked at again after this: a broker
/// hears of a change a little later than others, and the two answers may be of different ones.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// What a worker knows of the logs behind the names of its topics.
#[derive(Default)]
pub(crate) struct Logs {
    /// The id that each topic had when the worker started.
    first: BTreeMap<Arc<str>, TopicId>,
    /// The one under which it last began each partition.
    begun: BTreeMap<TopicPartition, TopicId>,
    /// Partitions that are assigned and whose topic is gone; they are shown as restoring.
    absent: BTreeMap<TopicPartition, Vec<ShardMetrics>>,
    /// What was read and not committed when the shards were dropped: from where, to where.
    unanswered: BTreeMap<TopicPartition, (Offset, Offset)>,
    /// Partitions whose records have come with offsets that had come before.
    went_back: BTreeSet<TopicPartition>,
}

/// What was found of a partition.
struct Seen {
    begin: Begin,
    /// What the group has committed, of whichever log.
    next: Option<Offset>,
    reset: Option<Reset>,
}

impl Seen {
    fn is_doubtful(&self) -> bool {
        matches!(self.reset, Some(Reset::Truncated | Reset::Recreated { .. }))
    }
}

/// Why a partition is not read on where the group had left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reset {
    Recreated { former: TopicId },
    Truncated,
    Retention { lost: u64 },
    Moved,
}

/// Where to read on, given what the group has committed, the topic's id now, the one under which it was
/// last seen, what the log holds, and whether its offsets have gone back under our eyes.
fn judge(
    mark: Option<&Mark>,
    now: Option<TopicId>,
    known: Option<TopicId>,
    (low, high): Ends,
    went_back: bool,
) -> (Offset, Option<Reset>) {
    let other = |then: TopicId| now.is_some_and(|now| now != then);
    // Without a committed offset nobody has read the new one yet: who has seen the former one tells it.
    let then = match mark {
        Some(mark) => noted(&mark.note),
        None => known,
    };
    if let Some(former) = then.filter(|then| other(*then)) {
        return (low, Some(Reset::Recreated { former }));
    }
    let Some(Mark { next, note }) = mark else { return (low, None) };
    // Both ends were asked one after the other: a topic may have been made anew between.
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
    note.split(';').find_map(|part| part.strip_prefix(MARK)).and_then(TopicId::parse)
}

/// The beginning of a note.
pub(crate) fn note(id: Option<TopicId>) -> String {
    id.map_or_else(String::new, |id| format!("{MARK}{id};"))
}

fn topics(parts: &[TopicPartition]) -> BTreeSet<Arc<str>> {
    parts.iter().map(|at| at.topic.clone()).collect()
}

impl Logs {
    /// `topics` as they are before anything is assigned.
    pub fn new(topics: &Topics) -> Self {
        let first = topics.ids().map(|(name, id)| (name.clone(), id)).collect();
        Self { first, ..Self::default() }
    }

    /// Under which id a partition was last seen here.
    fn known(&self, at: &TopicPartition) -> Option<TopicId> {
        self.begun.get(at).or(self.first.get(&at.topic)).copied()
    }
}

impl Joined {
    /// Where each of these partitions is to be read from. Those whose topic is gone are not among them: they
    /// wait for it.
    pub(crate) fn starts(&mut self, parts: &[TopicPartition]) -> Result<Vec<Begin>, Error> {
        let mut seen = self.look(parts)?;
        if seen.iter().any(Seen::is_doubtful) {
            std::thread::sleep(SECOND_LOOK);
            seen = self.look(parts)?;
        }
        seen.iter().for_each(|seen| self.tell(seen));
        let begins: Vec<Begin> = seen.into_iter().map(|seen| seen.begin).collect();
        for begin in &begins {
            self.logs.unanswered.remove(&begin.at);
            self.logs.went_back.remove(&begin.at);
            self.logs.absent.remove(&begin.at);
            begin.topic_id.map(|id| self.logs.begun.insert(begin.at.clone(), id));
        }
        Ok(begins)
    }

    /// What is found of those whose topic is there.
    fn look(&mut self, parts: &[TopicPartition]) -> Result<Vec<Seen>, Error> {
        let found = self.link.topics(&topics(parts))?;
        let is_gone = |at: &TopicPartition| found.of(at) == Some(Topic::Absent);
        let (gone, there): (Vec<_>, Vec<_>) = parts.iter().cloned().partition(is_gone);
        self.wait_for(&gone)?;
        // Asked after the id: what is of a topic that was made meanwhile is found out with the first commit.
        let (marks, ends) = (self.link.marks(&there)?, self.link.ends(&there)?);
        let seen = marks.into_iter().zip(ends).map(|((at, mark), (_, ends))| {
            let topic = found.of(&at).unwrap_or(Topic::Present(None));
            self.link.reads(at.clone(), topic);
            let topic_id = if let Topic::Present(id) = topic { id } else { None };
            let known = self.logs.known(&at);
            let went_back = self.logs.went_back.contains(&at);
            let (committed, reset) = judge(mark.as_ref(), topic_id, known, ends, went_back);
            let (next, note) = mark.map(|mark| (mark.next, mark.note)).unzip();
            let is_unread = next.is_none() && reset.is_none();
            let is_new = matches!(reset, Some(Reset::Recreated { .. }));
            let note = note.filter(|_| !is_new).unwrap_or_default();
            let (low, high) = ends;
            Seen { begin: Begin { at, low, high, committed, topic_id, is_unread, note }, next, reset }
        });
        Ok(seen.collect())
    }

    /// Logs and counts why a partition begins where it does.
    fn tell(&self, seen: &Seen) {
        let Seen { begin, next: read, reset } = seen;
        let Begin { at, low, high, committed, .. } = begin;
        let metrics = || self.streams_of(at).map(|stream| self.worker.metrics.stream(&stream.name));
        let count = |reason| metrics().for_each(|metrics| metrics.log_resets(reason).inc());
        let next = read.unwrap_or(*committed);
        match *reset {
            None => {}
            Some(Reset::Recreated { former }) => {
                count(LogReset::Recreated);
                let lost = self.count_unanswered(at);
                events::topic_recreated(at, former, begin.topic_id, *read, *low, lost);
                if *low > Offset(0) {
                    metrics().for_each(|metrics| metrics.discarded(Discard::Retention).inc_by(low.0 as u64));
                    events::log_was_cut(at, Offset(0), *low, *high);
                }
            }
            Some(Reset::Truncated) => {
                count(LogReset::Truncated);
                events::log_truncated(at, next, *low, *high);
            }
            Some(Reset::Moved) => {
                count(LogReset::Moved);
                events::offset_moved(at, next);
            }
            Some(Reset::Retention { lost }) => {
                metrics().for_each(|metrics| metrics.discarded(Discard::Retention).inc_by(lost));
                events::log_was_cut(at, next, *low, *high);
            }
        }
    }

    /// Tells of a topic that was made anew while nobody was there: the broker has deleted the group's offsets
    /// with it, and the snapshots alone remember it.
    pub(crate) fn tell_former(&self, loaded: &[(Loaded, ShardMetrics)]) {
        let Some((first, former)) = loaded.iter().find_map(|(l, _)| Some((&l.wanted, l.former?))) else {
            return;
        };
        for (loaded, _) in loaded {
            let metrics = self.worker.metrics.stream(&loaded.wanted.stream.name);
            metrics.log_resets(LogReset::Recreated).inc();
        }
        events::topic_recreated(&first.at, former, first.topic_id, None, first.low, 0);
    }

    /// Counts what was read of a topic that is gone and has no answer; says how many offsets that are.
    fn count_unanswered(&self, at: &TopicPartition) -> u64 {
        let lost = self.logs.unanswered.get(at).map_or(0, |(from, to)| from.0.abs_diff(to.0));
        for stream in self.streams_of(at) {
            self.worker.metrics.stream(&stream.name).discarded(Discard::TopicDeleted).inc_by(lost);
        }
        lost
    }

    /// Lets partitions whose topic is gone stand still until there is one of its name.
    fn wait_for(&mut self, gone: &[TopicPartition]) -> Result<(), Error> {
        let new: Vec<_> = gone.iter().filter(|at| !self.logs.absent.contains_key(at)).cloned().collect();
        if new.is_empty() {
            return Ok(());
        }
        events::topic_gone(self.worker.number, &new);
        for at in new {
            let mut shown = Vec::new();
            for stream in self.streams_of(&at) {
                shown.push(self.worker.metrics.stream(&stream.name).shard(&at));
                let status =
                    ShardStatus { state: ShardState::Restoring, series: 0, last_offset: None, lag: None };
                self.worker.board.shard(self.worker.number, &stream.name, &at, status);
            }
            self.link.reads(at.clone(), Topic::Absent);
            self.logs.absent.insert(at, shown);
        }
        Ok(())
    }

    /// Finds out whether partitions are read from another log than they were begun in, and begins those anew.
    pub(crate) fn look_at_logs(&mut self) -> Result<(), Error> {
        let mut parts = self.link.remade();
        if !parts.is_empty() {
            events::log_in_doubt(self.worker.number, &parts, "the topic is gone, or another one");
        }
        let mut back = BTreeSet::new();
        for owned in self.shards.iter_mut().filter(|owned| owned.went_back) {
            owned.went_back = false;
            back.insert(owned.at.clone());
        }
        if !back.is_empty() {
            let back: Vec<_> = back.into_iter().collect();
            events::log_in_doubt(self.worker.number, &back, "its offsets have gone back");
            self.logs.went_back.extend(back.iter().cloned());
            parts.extend(back);
        }
        parts.sort_unstable();
        parts.dedup();
        // Where it can't be committed everything has begun anew already.
        if parts.is_empty() || !self.commit()? {
            return Ok(());
        }
        self.restart(&parts)
    }

    /// Drops the shards of some partitions, and starts each again from what is committed.
    pub(crate) fn restart(&mut self, parts: &[TopicPartition]) -> Result<(), Error> {
        self.give_up_snapshot_of(parts);
        for owned in self.shards.iter().filter(|o| parts.contains(&o.at) && o.position > o.committed) {
            self.logs.unanswered.insert(owned.at.clone(), (owned.committed, owned.position));
        }
        self.shards.retain(|owned| !parts.contains(&owned.at));
        self.opening.retain(|opening| !parts.contains(&opening.at));
        if parts.is_empty() {
            return Ok(());
        }
        let starts = self.starts(parts)?;
        self.link.pause(parts)?;
        self.open(&starts)
    }

    /// Partitions that wait for their topic.
    pub(crate) fn absent(&self) -> impl Iterator<Item = &TopicPartition> {
        self.logs.absent.keys()
    }

    /// These are somebody else's now.
    pub(crate) fn forget_logs(&mut self, parts: &[TopicPartition]) {
        for at in parts {
            // Of a topic that is gone nobody will answer what was read.
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

    fn mark(next: i64, of: u128) -> Mark {
        Mark { next: Offset(next), note: note(id(of)) + "power=0:0:100;" }
    }

    fn at(low: i64, high: i64) -> Ends {
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
    fn of_another_topic_everything_is_read_however_long_it_is() {
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
    fn of_the_same_topic_each_case_is_told_for_what_it_is() {
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
        let moved = Mark { next: Offset(20), note: String::new() };
        assert_eq!(judge(Some(&moved), id(7), id(7), at(0, 300), false), (Offset(20), Some(Reset::Moved)));
    }
}
