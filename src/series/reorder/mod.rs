//! Puts readings in order: each series' cells come once and only forward.

mod partition_time;
mod settings;

pub use settings::{ReorderHistory, ReorderSettings};

use super::Slot;
use crate::domain::{Damaged, EventTime, Grid, Take, put};
use crate::telemetry::Discard;
use partition_time::{PartitionTime, Stamp};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

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
        /// Its series had run ahead and goes back: `before` is where it stood before that.
        is_back: bool,
    },
    Discarded(Discard),
}

/// What a reading's time is against that of its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeliness {
    InTime,
    /// Well ahead of the time that the other series agree on, which is this.
    Ahead(EventTime),
    /// Ahead also of its own record's time, which its series never was before: its time is wrong.
    Wrong(EventTime),
}

/// The place of a held reading: the time that lets it go, and its arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeldKey {
    time: EventTime,
    arrival: u64,
}

/// A partition's order: where each series stands, and the readings that are held back for lateness.
#[derive(Debug)]
pub struct ReorderBuffer<T> {
    grid: Grid,
    lateness_us: i64,
    max_gap: usize,
    max_held: usize,
    /// How far behind its record's own time a reading may be.
    max_behind_us: i64,
    /// The cell where each series stands, or [`NOWHERE`].
    last: Vec<i64>,
    /// For how many of a series' readings in a row their records bear their times out, up to
    /// [`TRUSTED_AFTER`].
    borne_out: Vec<u8>,
    /// Series that have run ahead, and where they stood before, or [`NOWHERE`].
    ahead: BTreeMap<u32, i64>,
    partition_time: PartitionTime,
    /// What the time of the partition was before the reading whose turn it is. Of one that was held back: what
    /// it is as it lets it go.
    time_before: Option<EventTime>,
    held: BTreeMap<HeldKey, T>,
    arrivals: u64,
    has_held: bool,
}

/// The place of a series that has not stepped yet; no time has this cell.
const NOWHERE: i64 = i64::MIN;
/// A series whose records have borne out the times of so many readings in a row is known to measure, and not
/// to foretell.
const TRUSTED_AFTER: u8 = 8;
/// What is ahead by less than this, beyond lateness, is nobody's fault.
const TOLERANCE_LEAST_US: i64 = 300_000_000;

impl<T> ReorderBuffer<T> {
    /// Holds at most `max_held` readings back: one more lets the earliest go. A reading that lies further
    /// behind its record's own time than `max_behind`, which is at least what lateness allows, is of a clock
    /// that has stopped if others are not.
    pub fn new(
        grid: Grid,
        lateness: Duration,
        max_gap: usize,
        max_held: usize,
        max_behind: Duration,
    ) -> Self {
        Self {
            grid,
            lateness_us: i64::try_from(lateness.as_micros()).unwrap_or(i64::MAX),
            max_gap,
            max_held,
            max_behind_us: i64::try_from(max_behind.as_micros()).unwrap_or(i64::MAX),
            last: Vec::new(),
            borne_out: Vec::new(),
            ahead: BTreeMap::new(),
            partition_time: PartitionTime::default(),
            time_before: None,
            held: BTreeMap::new(),
            arrivals: 0,
            has_held: false,
        }
    }

    /// From the next reading on others are held back.
    pub fn hold_back(&mut self, holding: ReorderSettings) {
        self.lateness_us = i64::try_from(holding.lateness.as_micros()).unwrap_or(i64::MAX);
        self.max_held = holding.max_held;
    }

    /// Whether readings are held back, or still are from a time when the lateness was not 0.
    pub fn holds(&self) -> bool {
        self.lateness_us > 0 || !self.held.is_empty()
    }

    /// The time that the partition's series agree on, less lateness.
    pub fn watermark(&self) -> Option<EventTime> {
        self.partition_time().map(|agreed| agreed.offset_by(-self.lateness_us))
    }

    /// The time that the partition's series agree on.
    pub fn partition_time(&self) -> Option<EventTime> {
        self.partition_time.get()
    }

    /// How far ahead a time may be before anything is made of it.
    fn tolerance_us(&self) -> i64 {
        let step_us = self.grid.interval().map_or(0, |interval| interval.as_micros());
        self.lateness_us.saturating_add(step_us.max(TOLERANCE_LEAST_US))
    }

    /// A reading has come, of a series that has this slot already, in a record that bears this time of its
    /// own: it has its say in the partition's time.
    pub fn check_time(
        &mut self,
        slot: Option<Slot>,
        series: &str,
        time: EventTime,
        record: Option<EventTime>,
    ) -> Timeliness {
        let tolerance_us = self.tolerance_us();
        self.time_before = self.partition_time();
        let before = self.partition_time().filter(|agreed| self.is_ahead_of(*agreed, time));
        let bearable = record.map(|record| record.offset_by(tolerance_us));
        let is_borne_out = bearable.is_some_and(|bearable| time <= bearable);
        let mut is_trusted = false;
        if let Some(slot) = slot {
            self.make_room(slot);
            let times = &mut self.borne_out[slot.index()];
            is_trusted = *times == TRUSTED_AFTER;
            *times = if is_borne_out { (*times + 1).min(TRUSTED_AFTER) } else { 0 };
        }
        match (before, bearable) {
            (Some(agreed), Some(_)) if is_trusted && !is_borne_out => {
                self.partition_time.keep_alive(series);
                Timeliness::Wrong(agreed)
            }
            (before, _) => {
                let quorum = self.partition_time.quorum();
                let behind_us = self.max_behind_us.max(tolerance_us);
                let stamp = match record {
                    Some(record) if time < record.offset_by(-behind_us) => Stamp::Behind,
                    Some(_) if is_borne_out => Stamp::BorneOut,
                    _ => Stamp::Alone,
                };
                self.partition_time.observe(series, time, stamp);
                before.filter(|_| quorum > 1).map_or(Timeliness::InTime, Timeliness::Ahead)
            }
        }
    }

    fn make_room(&mut self, slot: Slot) {
        if self.last.len() <= slot.index() {
            self.last.resize(slot.index() + 1, NOWHERE);
            self.borne_out.resize(slot.index() + 1, 0);
        }
    }

    /// Holds a reading back until the watermark reaches a time; gives its place, by which
    /// [`Self::due`] names it.
    pub fn hold(&mut self, time: EventTime, what: T) -> HeldKey {
        self.arrivals += 1;
        self.has_held = true;
        let at = HeldKey { time, arrival: self.arrivals };
        self.held.insert(at, what);
        at
    }

    pub fn held_mut(&mut self, at: HeldKey) -> Option<&mut T> {
        self.held.get_mut(&at)
    }

    /// All that is held back, in the order in which it will be let go.
    pub fn all_held(&self) -> impl Iterator<Item = (HeldKey, &T)> {
        self.held.iter().map(|(at, what)| (*at, what))
    }

    /// The place of the earliest held reading, if the watermark has reached its time or there are too many,
    /// in the order of these times, and among equals of arrival.
    pub fn due(&self) -> Option<HeldKey> {
        let watermark = self.watermark()?;
        let (at, _) = self.held.first_key_value()?;
        (at.time <= watermark || self.held.len() > self.max_held).then_some(*at)
    }

    /// Lets a reading go.
    pub fn release(&mut self, at: HeldKey) -> Option<T> {
        self.time_before = self.partition_time();
        self.held.remove(&at)
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
        self.make_room(slot);
        let cell = self.grid.cell(time);
        let last = self.last[slot.index()];
        if cell <= last {
            let before = self.way_back(slot, time).unwrap_or(last);
            return match cell.cmp(&before) {
                Ordering::Less => Admission::Discarded(Discard::Late),
                Ordering::Equal => Admission::Discarded(Discard::Duplicate),
                Ordering::Greater => {
                    self.ahead.remove(&slot.0);
                    self.last[slot.index()] = cell;
                    let before = (before != NOWHERE).then_some(before);
                    Admission::Step { cell, before, gap: 0, cold: true, is_back: true }
                }
            };
        }
        self.last[slot.index()] = cell;
        let is_ahead = |time| self.time_before.is_none_or(|agreed| self.is_ahead_of(agreed, time));
        // As long as the others don't agree it may have to go back, but never to where it has been with them.
        if is_ahead(time) {
            if last != NOWHERE && is_ahead(self.grid.start_of(last)) {
                self.ahead.entry(slot.0).or_insert(last);
            } else {
                self.ahead.insert(slot.0, last);
            }
        } else if !self.ahead.is_empty() {
            self.ahead.remove(&slot.0);
        }
        if last == NOWHERE {
            return Admission::Step { cell, before: None, gap: 0, cold: true, is_back: false };
        }
        let gap = match self.grid {
            Grid::Irregular => 0,
            Grid::Fixed(_) => usize::try_from(cell - last - 1).unwrap_or(usize::MAX),
        };
        let cold = gap > self.max_gap;
        Admission::Step { cell, before: Some(last), gap: if cold { 0 } else { gap }, cold, is_back: false }
    }

    fn is_ahead_of(&self, agreed: EventTime, time: EventTime) -> bool {
        time > agreed.offset_by(self.tolerance_us())
    }

    /// Where a series stood before it ran ahead, if it is still ahead and speaks again of the time that the
    /// others agree on: from there it goes on.
    fn way_back(&self, slot: Slot, time: EventTime) -> Option<i64> {
        let (before, agreed) = (*self.ahead.get(&slot.0)?, self.partition_time()?);
        let last = self.grid.start_of(self.last[slot.index()]);
        let is_of_now = !self.is_ahead_of(agreed, time) && !self.is_ahead_of(time, agreed);
        (self.is_ahead_of(agreed, last) && is_of_now).then_some(before)
    }

    /// Whether a series stands at the cell of `time`, or past it, and does not go back before it.
    pub fn has_passed(&self, slot: Slot, time: EventTime) -> bool {
        let (cell, last) = (self.grid.cell(time), self.last.get(slot.index()).copied().unwrap_or(NOWHERE));
        cell <= last && cell <= self.way_back(slot, time).unwrap_or(last)
    }

    /// Forgets where a series stands.
    pub fn forget(&mut self, slot: Slot) {
        if let Some(last) = self.last.get_mut(slot.index()) {
            *last = NOWHERE;
            self.borne_out[slot.index()] = 0;
            self.ahead.remove(&slot.0);
        }
    }

    /// Whether a series' last cell began more than `ttl_us` before the time of its partition.
    pub fn is_idle(&self, slot: Slot, ttl_us: i64) -> bool {
        let last = self.last.get(slot.index()).copied().unwrap_or(NOWHERE);
        let Some(agreed) = self.partition_time() else { return false };
        last != NOWHERE && agreed.as_micros().saturating_sub(self.grid.start_of(last).as_micros()) > ttl_us
    }

    /// Appends all of it but its settings; `put_held` writes what is kept of a held reading.
    pub fn save(&self, out: &mut Vec<u8>, mut put_held: impl FnMut(&T, &mut Vec<u8>)) {
        self.partition_time.save(out);
        put(out, &[self.arrivals, self.last.len() as u64, self.held.len() as u64, self.ahead.len() as u64]);
        put(out, &self.last);
        put(out, &self.borne_out);
        self.ahead.iter().for_each(|(slot, before)| put(out, &[i64::from(*slot), *before]));
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
        self.partition_time.load(from)?;
        let [arrivals, last, held, ahead]: [u64; 4] = from.one()?;
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
        self.borne_out.clear();
        self.borne_out.resize(last as usize, 0);
        from.fill(&mut self.borne_out)?;
        if self.borne_out.iter().any(|times| *times > TRUSTED_AFTER) {
            return Err(Damaged("more readings than are counted"));
        }
        self.ahead.clear();
        for _ in 0..ahead {
            let [slot, before]: [i64; 2] = from.one()?;
            let is_known = u32::try_from(slot).is_ok_and(|slot| u64::from(slot) < last);
            if !is_known
                || !(before == NOWHERE || sane.contains(&before))
                || self.ahead.insert(slot as u32, before).is_some()
            {
                return Err(Damaged("a series that can't have run ahead"));
            }
        }
        self.held.clear();
        self.has_held = held > 0;
        for _ in 0..held {
            let time = time(from.one()?)?;
            let arrival = from.one()?;
            self.held.insert(HeldKey { time, arrival }, take_held(from, time)?);
        }
        Ok(())
    }

    /// Bytes held, about.
    pub fn memory(&self) -> usize {
        self.last.capacity() * size_of::<i64>()
            + self.borne_out.capacity()
            + self.ahead.len() * size_of::<(u32, i64)>()
            + self.held.len() * size_of::<(HeldKey, T)>()
    }
}

#[cfg(test)]
mod tests;
