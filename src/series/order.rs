//! Puts readings in order: each series' cells come once and only forward.

use super::{Holding, Slot};
use crate::domain::{Damaged, EventTime, Grid, Take, put};
use crate::telemetry::Discard;
use std::collections::BTreeMap;

/// What becomes of a reading whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It closes `cell`; `gap` cells before it had no reading, and the one before them was `before`.
    /// `cold` when the gap is too long to be filled, and at first sight.
    Step {
        cell: i64,
        before: Option<i64>,
        gap: usize,
        cold: bool,
    },
    Discarded(Discard),
}

/// The place of a held reading: the time that lets it go, and its arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeldAt {
    time: EventTime,
    arrival: u64,
}

/// A partition's order: where each series stands, and the readings that are held back for lateness.
#[derive(Debug)]
pub struct Order<T> {
    grid: Grid,
    lateness_us: i64,
    max_gap: usize,
    max_held: usize,
    /// The cell where each series stands, or [`NOWHERE`].
    last: Vec<i64>,
    newest: Option<EventTime>,
    held: BTreeMap<HeldAt, T>,
    arrivals: u64,
    has_held: bool,
}

/// The place of a series that has not stepped yet; no time has this cell.
const NOWHERE: i64 = i64::MIN;

impl<T> Order<T> {
    /// Holds at most `max_held` readings back: one more lets the earliest go.
    pub fn new(grid: Grid, lateness: std::time::Duration, max_gap: usize, max_held: usize) -> Self {
        Self {
            grid,
            lateness_us: i64::try_from(lateness.as_micros()).unwrap_or(i64::MAX),
            max_gap,
            max_held,
            last: Vec::new(),
            newest: None,
            held: BTreeMap::new(),
            arrivals: 0,
            has_held: false,
        }
    }

    /// From the next reading on others are held back.
    pub fn hold_back(&mut self, holding: Holding) {
        self.lateness_us = i64::try_from(holding.lateness.as_micros()).unwrap_or(i64::MAX);
        self.max_held = holding.max_held;
    }

    /// Whether readings are held back, or still are from a time when the lateness was not 0.
    pub fn holds(&self) -> bool {
        self.lateness_us > 0 || !self.held.is_empty()
    }

    /// The newest event time less lateness.
    pub fn watermark(&self) -> Option<EventTime> {
        self.newest.map(|newest| newest.offset_by(-self.lateness_us))
    }

    /// A reading of this time has come.
    pub fn note(&mut self, time: EventTime) {
        self.newest = self.newest.max(Some(time));
    }

    /// Holds a reading back until the watermark reaches a time; gives its place, by which
    /// [`Self::due`] names it.
    pub fn hold(&mut self, time: EventTime, what: T) -> HeldAt {
        self.arrivals += 1;
        self.has_held = true;
        let at = HeldAt { time, arrival: self.arrivals };
        self.held.insert(at, what);
        at
    }

    pub fn held_mut(&mut self, at: HeldAt) -> Option<&mut T> {
        self.held.get_mut(&at)
    }

    /// All that is held back, in the order in which it will be let go.
    pub fn all_held(&self) -> impl Iterator<Item = (HeldAt, &T)> {
        self.held.iter().map(|(at, what)| (*at, what))
    }

    /// The place of the earliest held reading, if the watermark has reached its time or there are too many,
    /// in the order of these times, and among equals of arrival.
    pub fn due(&self) -> Option<HeldAt> {
        let watermark = self.watermark()?;
        let (at, _) = self.held.first_key_value()?;
        (at.time <= watermark || self.held.len() > self.max_held).then_some(*at)
    }

    /// Lets a reading go.
    pub fn let_go(&mut self, at: HeldAt) -> Option<T> {
        self.held.remove(&at)
    }

    /// The newest event time that was ever admitted or held back.
    pub fn newest(&self) -> Option<EventTime> {
        self.newest
    }

    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Whether any reading was ever held back, as far back as this goes.
    pub fn has_held(&self) -> bool {
        self.has_held
    }

    /// Moves a series to the cell of `time`, or says why it can't.
    pub fn admit(&mut self, slot: Slot, time: EventTime) -> Admission {
        if self.last.len() <= slot.index() {
            self.last.resize(slot.index() + 1, NOWHERE);
        }
        self.note(time);
        let cell = self.grid.cell(time);
        let last = self.last[slot.index()];
        if last == NOWHERE {
            self.last[slot.index()] = cell;
            return Admission::Step { cell, before: None, gap: 0, cold: true };
        }
        if cell == last {
            return Admission::Discarded(Discard::Duplicate);
        }
        if cell < last {
            return Admission::Discarded(Discard::Late);
        }
        self.last[slot.index()] = cell;
        let gap = match self.grid {
            Grid::Irregular => 0,
            Grid::Fixed(_) => usize::try_from(cell - last - 1).unwrap_or(usize::MAX),
        };
        let cold = gap > self.max_gap;
        Admission::Step { cell, before: Some(last), gap: if cold { 0 } else { gap }, cold }
    }

    /// Whether a series stands at the cell of `time`, or past it.
    pub fn has_passed(&self, slot: Slot, time: EventTime) -> bool {
        self.last.get(slot.index()).is_some_and(|last| *last != NOWHERE && self.grid.cell(time) <= *last)
    }

    /// Forgets where a series stands.
    pub fn forget(&mut self, slot: Slot) {
        if let Some(last) = self.last.get_mut(slot.index()) {
            *last = NOWHERE;
        }
    }

    /// Whether a series' last cell began more than `ttl_us` before the newest event time.
    pub fn is_idle(&self, slot: Slot, ttl_us: i64) -> bool {
        let last = self.last.get(slot.index()).copied().unwrap_or(NOWHERE);
        let Some(newest) = self.newest else { return false };
        last != NOWHERE && newest.as_micros().saturating_sub(self.grid.start_of(last).as_micros()) > ttl_us
    }

    /// Appends all of it but its settings; `put_held` writes what is kept of a held reading.
    pub fn save(&self, out: &mut Vec<u8>, mut put_held: impl FnMut(&T, &mut Vec<u8>)) {
        put(out, &[self.newest.map_or(NOWHERE, EventTime::as_micros)]);
        put(out, &[self.arrivals, self.last.len() as u64, self.held.len() as u64]);
        put(out, &self.last);
        for (at, what) in &self.held {
            put(out, &[at.time.as_micros()]);
            put(out, &[at.arrival]);
            put_held(what, out);
        }
    }

    /// Takes back what [`Self::save`] has written for at most `slots` series; `take_held` is told the time
    /// that lets a reading go.
    ///
    /// # Errors
    /// [`Damaged`] for anything else.
    pub fn load(
        &mut self,
        from: &mut Take<'_>,
        slots: usize,
        mut take_held: impl FnMut(&mut Take<'_>, EventTime) -> Result<T, Damaged>,
    ) -> Result<(), Damaged> {
        let time = |micros| EventTime::from_micros(micros).map_err(|_| Damaged("a time out of range"));
        let newest: i64 = from.one()?;
        self.newest = if newest == NOWHERE { None } else { Some(time(newest)?) };
        let [arrivals, last, held]: [u64; 3] = from.one()?;
        self.arrivals = arrivals;
        if last > slots as u64 {
            return Err(Damaged("more places than series"));
        }
        self.last.clear();
        self.last.resize(last as usize, NOWHERE);
        from.fill(&mut self.last)?;
        let sane = self.grid.cell(EventTime::MIN)..=self.grid.cell(EventTime::MAX);
        if self.last.iter().any(|cell| *cell != NOWHERE && !sane.contains(cell)) {
            return Err(Damaged("a cell out of range"));
        }
        self.held.clear();
        self.has_held = held > 0;
        for _ in 0..held {
            let time = time(from.one()?)?;
            let arrival = from.one()?;
            self.held.insert(HeldAt { time, arrival }, take_held(from, time)?);
        }
        Ok(())
    }

    /// Bytes held, about.
    pub fn memory(&self) -> usize {
        self.last.capacity() * size_of::<i64>() + self.held.len() * size_of::<(HeldAt, T)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Interval;
    use std::time::Duration;

    fn at(minutes: i64) -> EventTime {
        EventTime::from_micros(minutes * 60_000_000).unwrap()
    }

    fn order(lateness_minutes: u64) -> Order<i64> {
        let hour = Interval::new(Duration::from_secs(3600)).unwrap();
        Order::new(Grid::Fixed(hour), Duration::from_secs(60 * lateness_minutes), 3, 4)
    }

    #[test]
    fn a_series_steps_forward_once_a_cell() {
        let mut order = order(0);
        assert_eq!(
            order.admit(Slot(0), at(60)),
            Admission::Step { cell: 1, before: None, gap: 0, cold: true }
        );
        assert_eq!(order.admit(Slot(0), at(61)), Admission::Discarded(Discard::Duplicate));
        assert_eq!(
            order.admit(Slot(0), at(125)),
            Admission::Step { cell: 2, before: Some(1), gap: 0, cold: false }
        );
        assert_eq!(order.admit(Slot(0), at(60)), Admission::Discarded(Discard::Late));
        assert_eq!(
            order.admit(Slot(0), at(6 * 60)),
            Admission::Step { cell: 6, before: Some(2), gap: 3, cold: false }
        );
        assert_eq!(
            order.admit(Slot(0), at(11 * 60)),
            Admission::Step { cell: 11, before: Some(6), gap: 0, cold: true }
        );
        assert_eq!(
            order.admit(Slot(1), at(0)),
            Admission::Step { cell: 0, before: None, gap: 0, cold: true }
        );
    }

    #[test]
    fn held_readings_come_out_in_order_once_the_watermark_passes() {
        let mut order = order(120);
        let hold = |order: &mut Order<i64>, minutes| {
            order.note(at(minutes));
            order.hold(at(minutes), minutes);
        };
        for minutes in [60, 180, 120] {
            hold(&mut order, minutes);
        }
        let release = |order: &mut Order<i64>| order.due().and_then(|at| order.let_go(at));
        let mut next = || release(&mut order);
        assert_eq!((next(), next()), (Some(60), None));
        hold(&mut order, 300);
        let mut next = || release(&mut order);
        assert_eq!((next(), next(), next()), (Some(120), Some(180), None));
        assert_eq!(order.held(), 1);
        for minutes in [301, 302, 303, 304] {
            hold(&mut order, minutes);
        }
        assert_eq!(release(&mut order), Some(300), "there are too many");
        let mut bytes = Vec::new();
        order.save(&mut bytes, |what, out| put(out, &[*what]));
        let mut loaded = super::tests::order(120);
        loaded.load(&mut Take::new(&bytes), 0, |from, _| from.one()).unwrap();
        assert_eq!((loaded.held(), loaded.due().is_none()), (4, true));
    }
}
