use crate::series::Slot;
use std::collections::VecDeque;
use std::ops::Range;

/// One advance of one series that waits for its turn.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub slot: Slot,
    pub cell: i64,
    /// The hidden state and the window are reset first.
    pub cold: bool,
    /// The slot is another series' from here on: all its rows are reset first.
    pub fresh: bool,
    /// `None` for a cell of a gap.
    pub observed: Option<Observed>,
}

/// What a reading gets for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// None: it was accounted for before this replay.
    Silent,
    /// None: another one of its time has it (`emit_every`).
    Thinned,
    Forecast,
}

/// Where a turn's reading lies in its [`Rounds`], and where it came from.
#[derive(Clone, Debug)]
pub(super) struct Observed {
    pub offset: i64,
    pub answer: Answer,
    values: usize,
    /// The series' name: its slot may be another's by now.
    name: Range<usize>,
    /// `None` when the record has none.
    key: Option<Range<usize>>,
}

/// Turns, put into rounds such that a series has at most one in each and its turns keep their order.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    width: usize,
    rounds: Vec<Vec<Turn>>,
    /// The first round that a slot is not in yet; valid while its epoch is the current one.
    free: Vec<(u64, u32)>,
    epoch: u64,
    values: Vec<f64>,
    bytes: Vec<u8>,
    done: usize,
    /// Rounds that have turns in this epoch.
    planned: usize,
    /// The first round that turns may still join.
    floor: usize,
    /// Rounds before which a mark stands, and what it says.
    marks: VecDeque<(usize, usize)>,
}

impl Rounds {
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
    ) -> Observed {
        let at = self.values.len();
        self.values.extend_from_slice(values);
        let mut store = |bytes: &[u8]| {
            let from = self.bytes.len();
            self.bytes.extend_from_slice(bytes);
            from..self.bytes.len()
        };
        let name = store(series.as_bytes());
        let key = key.map(|key| if key == series.as_bytes() { name.clone() } else { store(key) });
        Observed { offset, answer, values: at, name, key }
    }

    pub fn push(&mut self, turn: Turn) {
        let slot = turn.slot.index();
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
        self.rounds[round].push(turn);
    }

    /// Sets a mark that says something: all turns so far come before it, all others after it.
    pub fn mark(&mut self, what: usize) {
        self.floor = self.planned.max(self.done);
        self.marks.push_back((self.floor, what));
    }

    /// Takes the next mark away and gives what it says, if everything before it is done.
    pub fn pass_mark(&mut self) -> Option<usize> {
        self.marks.pop_front_if(|(round, _)| *round <= self.done).map(|(_, what)| what)
    }

    /// The next round's turns, to be given back with [`Self::finish`].
    pub fn next(&mut self) -> Option<Vec<Turn>> {
        let turns = std::mem::take(self.rounds.get_mut(self.done)?);
        if turns.is_empty() {
            return None;
        }
        self.done += 1;
        Some(turns)
    }

    /// Ends a round. After the last one all buffers are empty again, with their room kept.
    pub fn finish(&mut self, mut turns: Vec<Turn>) {
        turns.clear();
        self.rounds[self.done - 1] = turns;
        if self.rounds.get(self.done).is_none_or(Vec::is_empty) {
            (self.done, self.planned, self.floor) = (0, 0, 0);
            self.marks.iter_mut().for_each(|(round, _)| *round = 0);
            self.epoch += 1;
            self.values.clear();
            self.bytes.clear();
        }
    }

    pub fn values(&self, observed: &Observed) -> &[f64] {
        &self.values[observed.values..][..self.width]
    }

    pub fn name(&self, observed: &Observed) -> &str {
        std::str::from_utf8(&self.bytes[observed.name.clone()]).expect("it was kept as text")
    }

    /// The record's key; `None` when it had none.
    pub fn key(&self, observed: &Observed) -> Option<&[u8]> {
        observed.key.as_ref().map(|range| &self.bytes[range.clone()])
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.rounds.get(self.done).is_none_or(Vec::is_empty) && self.marks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(slot: u32, cell: i64) -> Turn {
        Turn { slot: Slot(slot), cell, cold: false, fresh: false, observed: None }
    }

    #[test]
    fn a_round_holds_a_series_once_and_in_order() {
        let mut rounds = Rounds::new(1);
        for refill in 0..3 {
            for (slot, cell) in [(0, 1), (1, 1), (0, 2), (0, 3), (2, 1), (1, 2)] {
                rounds.push(turn(slot, cell + 10 * refill));
            }
            let mut seen = Vec::new();
            while let Some(turns) = rounds.next() {
                seen.push(turns.iter().map(|t| (t.slot.0, t.cell - 10 * refill)).collect::<Vec<_>>());
                rounds.finish(turns);
            }
            assert_eq!(seen, [vec![(0, 1), (1, 1), (2, 1)], vec![(0, 2), (1, 2)], vec![(0, 3)]]);
        }
    }

    #[test]
    fn a_mark_stands_between_what_came_before_and_after() {
        let mut rounds = Rounds::new(1);
        rounds.mark(7);
        rounds.push(turn(0, 1));
        rounds.push(turn(1, 1));
        rounds.push(turn(1, 2));
        rounds.mark(8);
        rounds.push(turn(2, 1));
        rounds.push(turn(1, 3));
        rounds.mark(9);
        let mut seen = Vec::new();
        loop {
            while let Some(mark) = rounds.pass_mark() {
                seen.push(vec![(mark as u32, 0)]);
            }
            let Some(turns) = rounds.next() else { break };
            seen.push(turns.iter().map(|t| (t.slot.0, t.cell)).collect());
            rounds.finish(turns);
        }
        assert!(rounds.is_empty());
        let (first, second) = (vec![(0, 1), (1, 1)], vec![(1, 2)]);
        let mark = |n| vec![(n, 0)];
        assert_eq!(seen, [mark(7), first, second, mark(8), vec![(2, 1), (1, 3)], mark(9)]);
    }

    #[test]
    fn keys_are_kept_apart_from_names() {
        let mut rounds = Rounds::new(1);
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
