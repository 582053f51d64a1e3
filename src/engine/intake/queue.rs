//! Readings that wait for their round.

use crate::series::Slot;
use std::collections::VecDeque;
use std::ops::Range;

/// One step of one series that waits for its round.
#[derive(Clone, Debug)]
pub(crate) struct SeriesStep {
    /// The series.
    pub slot: Slot,
    /// The cell of its time.
    pub cell: i64,
    /// The series begins, or goes on after a gap too long to fill: its hidden state and window are reset first.
    pub cold: bool,
    /// The slot belonged to another series until here: all its rows are reset first.
    pub fresh: bool,
    /// `None` for a cell of a gap.
    pub reading: Option<QueuedReading>,
}

/// Which answer a reading gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// None, because the reading was accounted for before this replay.
    Silent,
    /// None, because `emit_every` gives the answer to another reading of its stretch of time.
    Thinned,
    Forecast,
}

/// Where a queued reading lies in its [`RoundQueue`], and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct QueuedReading {
    /// Of its record.
    pub offset: i64,
    pub answer: Answer,
    values: usize,
    /// The series' name. It is kept because the slot may belong to another series by the time of the answer.
    name: Range<usize>,
    /// `None` when the record has no key.
    key: Option<Range<usize>>,
}

/// Steps, put into rounds such that a series has at most one in each and its steps keep their order.
#[derive(Debug, Default)]
pub(super) struct RoundQueue {
    width: usize,
    rounds: Vec<Vec<SeriesStep>>,
    /// The first round that a slot is not in yet; valid while its epoch is the current one.
    free: Vec<(u64, u32)>,
    epoch: u64,
    values: Vec<f64>,
    bytes: Vec<u8>,
    /// Readings that are kept and have not been answered yet.
    unanswered: u64,
    done: usize,
    /// Rounds that have steps in this epoch.
    planned: usize,
    /// The first round that steps may still join.
    floor: usize,
    /// Rounds before which a mark stands, with the number that each mark carries.
    marks: VecDeque<(usize, usize)>,
}

impl RoundQueue {
    pub fn new(width: usize) -> Self {
        Self { width, epoch: 1, ..Self::default() }
    }

    /// Keeps a reading until its round is over.
    pub fn keep(
        &mut self,
        offset: i64,
        answer: Answer,
        values: &[f64],
        key: Option<&[u8]>,
        series: &str,
    ) -> QueuedReading {
        self.unanswered += 1;
        let at = self.values.len();
        self.values.extend_from_slice(values);
        let mut store = |bytes: &[u8]| {
            let from = self.bytes.len();
            self.bytes.extend_from_slice(bytes);
            from..self.bytes.len()
        };
        let name = store(series.as_bytes());
        let key = key.map(|key| if key == series.as_bytes() { name.clone() } else { store(key) });
        QueuedReading { offset, answer, values: at, name, key }
    }

    /// Bytes held for each series, not those of the steps that wait.
    pub fn memory(&self) -> usize {
        self.free.capacity() * size_of::<(u64, u32)>()
    }

    /// Appends a step to the first round that its series is not in yet.
    pub fn push(&mut self, step: SeriesStep) {
        let slot = step.slot.index();
        if self.free.len() <= slot {
            self.free.resize(slot + 1, (0, 0));
        }
        let (epoch, round) = self.free[slot];
        let round = if epoch == self.epoch { round as usize } else { self.done }.max(self.floor);
        self.planned = self.planned.max(round + 1);
        self.free[slot] = (self.epoch, round as u32 + 1);
        if self.rounds.len() <= round {
            self.rounds.resize_with(round + 1, Vec::new);
        }
        self.rounds[round].push(step);
    }

    /// Sets a mark that carries a number: all steps so far come before it, all later ones after it.
    pub fn mark(&mut self, what: usize) {
        self.floor = self.planned.max(self.done);
        self.marks.push_back((self.floor, what));
    }

    /// Takes the next mark away and returns its number, if everything before it is done.
    pub fn pass_mark(&mut self) -> Option<usize> {
        self.marks.pop_front_if(|(round, _)| *round <= self.done).map(|(_, what)| what)
    }

    /// The next round's steps. The caller gives them back with [`Self::finish`].
    pub fn next(&mut self) -> Option<Vec<SeriesStep>> {
        let steps = std::mem::take(self.rounds.get_mut(self.done)?);
        if steps.is_empty() {
            return None;
        }
        self.done += 1;
        Some(steps)
    }

    /// Ends a round. After the last one all buffers are empty and keep their capacity.
    pub fn finish(&mut self, mut steps: Vec<SeriesStep>) {
        steps.clear();
        self.rounds[self.done - 1] = steps;
        if self.rounds.get(self.done).is_none_or(Vec::is_empty) {
            (self.done, self.planned, self.floor) = (0, 0, 0);
            self.marks.iter_mut().for_each(|(round, _)| *round = 0);
            self.epoch += 1;
            self.values.clear();
            self.bytes.clear();
        }
    }

    /// The reading's values: targets, covariates, then what it says of its leads.
    pub fn values(&self, reading: &QueuedReading) -> &[f64] {
        &self.values[reading.values..][..self.width]
    }

    /// As [`Self::values`], to put others in their place.
    pub fn values_mut(&mut self, reading: &QueuedReading) -> &mut [f64] {
        &mut self.values[reading.values..][..self.width]
    }

    /// The name of the reading's series.
    pub fn name(&self, reading: &QueuedReading) -> &str {
        std::str::from_utf8(&self.bytes[reading.name.clone()]).expect("it was kept as text")
    }

    /// The key of the reading's record; `None` when it had no key.
    pub fn key(&self, reading: &QueuedReading) -> Option<&[u8]> {
        reading.key.as_ref().map(|range| &self.bytes[range.clone()])
    }

    /// Counts a kept reading as answered.
    pub fn count_answer(&mut self) {
        self.unanswered = self.unanswered.saturating_sub(1);
    }

    /// Readings that are kept and have not been answered yet.
    pub fn unanswered(&self) -> u64 {
        self.unanswered
    }

    /// Whether no step and no mark waits.
    pub fn is_empty(&self) -> bool {
        self.rounds.get(self.done).is_none_or(Vec::is_empty) && self.marks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(slot: u32, cell: i64) -> SeriesStep {
        SeriesStep { slot: Slot(slot), cell, cold: false, fresh: false, reading: None }
    }

    #[test]
    fn a_round_holds_a_series_once_and_in_order() {
        let mut rounds = RoundQueue::new(1);
        for refill in 0..3 {
            for (slot, cell) in [(0, 1), (1, 1), (0, 2), (0, 3), (2, 1), (1, 2)] {
                rounds.push(step(slot, cell + 10 * refill));
            }
            let mut seen = Vec::new();
            while let Some(steps) = rounds.next() {
                seen.push(steps.iter().map(|t| (t.slot.0, t.cell - 10 * refill)).collect::<Vec<_>>());
                rounds.finish(steps);
            }
            assert_eq!(seen, [vec![(0, 1), (1, 1), (2, 1)], vec![(0, 2), (1, 2)], vec![(0, 3)]]);
        }
    }

    #[test]
    fn a_mark_stands_between_what_came_before_and_after() {
        let mut rounds = RoundQueue::new(1);
        rounds.mark(7);
        rounds.push(step(0, 1));
        rounds.push(step(1, 1));
        rounds.push(step(1, 2));
        rounds.mark(8);
        rounds.push(step(2, 1));
        rounds.push(step(1, 3));
        rounds.mark(9);
        let mut seen = Vec::new();
        loop {
            while let Some(mark) = rounds.pass_mark() {
                seen.push(vec![(mark as u32, 0)]);
            }
            let Some(steps) = rounds.next() else { break };
            seen.push(steps.iter().map(|t| (t.slot.0, t.cell)).collect());
            rounds.finish(steps);
        }
        assert!(rounds.is_empty());
        let (first, second) = (vec![(0, 1), (1, 1)], vec![(1, 2)]);
        let mark = |n| vec![(n, 0)];
        assert_eq!(seen, [mark(7), first, second, mark(8), vec![(2, 1), (1, 3)], mark(9)]);
    }

    #[test]
    fn keys_are_kept_apart_from_names() {
        let mut rounds = RoundQueue::new(1);
        let same = rounds.keep(1, Answer::Forecast, &[1.0], Some(b"a"), "a");
        let other = rounds.keep(2, Answer::Forecast, &[2.0], Some(b"b"), "a");
        let none = rounds.keep(3, Answer::Forecast, &[3.0], None, "a");
        assert_eq!(rounds.key(&same), Some(b"a".as_slice()));
        assert_eq!(rounds.key(&other), Some(b"b".as_slice()));
        assert_eq!(rounds.key(&none), None);
        assert_eq!((rounds.name(&same), rounds.name(&other)), ("a", "a"));
        assert_eq!(rounds.values(&other), [2.0]);
    }
}
