//! Puts the readings of a partition in order, and finds the time of the partition.
//!
//! A reading is held back until the watermark, the time of the partition less the lateness, reaches its
//! time. Then it is released and admitted: the cells of each series come once, and only forward.

mod partition_time;
mod progress;
mod settings;

pub use progress::RecordProgress;
pub use settings::{ReorderHistory, ReorderSettings};

use super::Slot;
use crate::domain::{Damaged, EventTime, Grid, Take, put};
use crate::telemetry::Discard;
use partition_time::{Confirmation, PartitionTime};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

/// The outcome for a reading that is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The reading closes `cell`. `gap` cells before it had no reading; the one before these was
    /// `before`. `cold`: at first sight, and when the gap is too long to be filled.
    Step {
        cell: i64,
        before: Option<i64>,
        gap: usize,
        cold: bool,
        /// The series had run ahead and goes back. `before` is where it stood before that.
        is_back: bool,
    },
    Discarded(Discard),
}

/// A reading's time compared with that of its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeliness {
    InTime,
    /// Well ahead of the time of the partition, which is this.
    Ahead(EventTime),
    /// Ahead of its own record's time too, which its series never was before: the time is wrong.
    Wrong(EventTime),
}

/// The key of a held reading: the time that releases it, and its arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeldKey {
    time: EventTime,
    arrival: u64,
}

/// The order of a partition: the cell of each series, and the readings that are held back for lateness.
#[derive(Debug)]
pub struct ReorderBuffer<T> {
    grid: Grid,
    lateness_us: i64,
    max_gap: usize,
    max_held: usize,
    /// The most that a reading may be behind the time of its own record.
    max_behind_us: i64,
    /// The last cell of each series, or [`NOWHERE`].
    last: Vec<i64>,
    /// The number of readings in a row, up to [`TRUSTED_AFTER`], whose record confirmed their time.
    confirmed: Vec<u8>,
    /// The series that have run ahead, and their cell before that, or [`NOWHERE`].
    ahead: BTreeMap<u32, i64>,
    partition_time: PartitionTime,
    /// The time of the partition before the reading that is being admitted. For a reading that was held
    /// back: when it was released.
    time_before: Option<EventTime>,
    held: BTreeMap<HeldKey, T>,
    arrivals: u64,
    has_held: bool,
}

/// The cell of a series that has not stepped yet. No time has this cell.
const NOWHERE: i64 = i64::MIN;
/// A series whose records confirmed the times of this many readings in a row sends measurements, not
/// forecasts.
const TRUSTED_AFTER: u8 = 8;
/// A time that is ahead by less than this, beyond lateness, counts as in time.
const TOLERANCE_LEAST_US: i64 = 300_000_000;

impl<T> ReorderBuffer<T> {
    /// Holds at most `max_held` readings: one more releases the earliest. `max_behind`: a reading that
    /// lies further behind the time of its own record has a clock that has stopped, if other series have
    /// not. It is at least the lateness.
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
            confirmed: Vec::new(),
            ahead: BTreeMap::new(),
            partition_time: PartitionTime::default(),
            time_before: None,
            held: BTreeMap::new(),
            arrivals: 0,
            has_held: false,
        }
    }

    /// Changes the settings from the next reading on.
    pub fn hold_back(&mut self, holding: ReorderSettings) {
        self.lateness_us = i64::try_from(holding.lateness.as_micros()).unwrap_or(i64::MAX);
        self.max_held = holding.max_held;
    }

    /// Whether readings are held back, or still are from a time when the lateness was not 0.
    pub fn holds(&self) -> bool {
        self.lateness_us > 0 || !self.held.is_empty()
    }

    /// The time of the partition less the lateness.
    pub fn watermark(&self) -> Option<EventTime> {
        self.partition_time().map(|agreed| agreed.offset_by(-self.lateness_us))
    }

    /// The time that the series of the partition agree on.
    pub fn partition_time(&self) -> Option<EventTime> {
        self.partition_time.get()
    }

    /// How far ahead a time may be and still count as in time.
    fn tolerance_us(&self) -> i64 {
        let step_us = self.grid.interval().map_or(0, crate::domain::Interval::as_micros);
        self.lateness_us.saturating_add(step_us.max(TOLERANCE_LEAST_US))
    }

    /// Compares the time of a reading with that of its partition, and lets it move the latter. `slot`:
    /// the slot of its series, if it has one already. `record`: the time of its record.
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
        let latest_confirmed = record.map(|record| record.offset_by(tolerance_us));
        let is_confirmed = latest_confirmed.is_some_and(|latest_confirmed| time <= latest_confirmed);
        let mut is_trusted = false;
        if let Some(slot) = slot {
            self.make_room(slot);
            let times = &mut self.confirmed[slot.index()];
            is_trusted = *times == TRUSTED_AFTER;
            *times = if is_confirmed { (*times + 1).min(TRUSTED_AFTER) } else { 0 };
        }
        match (before, latest_confirmed) {
            (Some(agreed), Some(_)) if is_trusted && !is_confirmed => {
                self.partition_time.keep_alive(series);
                Timeliness::Wrong(agreed)
            }
            (before, _) => {
                let quorum = self.partition_time.quorum();
                let behind_us = self.max_behind_us.max(tolerance_us);
                let stamp = match record {
                    Some(record) if time < record.offset_by(-behind_us) => Confirmation::FarBehind,
                    Some(_) if is_confirmed => Confirmation::Confirmed,
                    _ => Confirmation::Unconfirmed,
                };
                self.partition_time.observe(series, time, stamp);
                before.filter(|_| quorum > 1).map_or(Timeliness::InTime, Timeliness::Ahead)
            }
        }
    }

    fn make_room(&mut self, slot: Slot) {
        if self.last.len() <= slot.index() {
            self.last.resize(slot.index() + 1, NOWHERE);
            self.confirmed.resize(slot.index() + 1, 0);
        }
    }

    /// Holds a reading until the watermark reaches `time`. Returns its key, by which [`Self::due`] names
    /// it.
    pub fn hold(&mut self, time: EventTime, what: T) -> HeldKey {
        self.arrivals += 1;
        self.has_held = true;
        let at = HeldKey { time, arrival: self.arrivals };
        self.held.insert(at, what);
        at
    }

    /// A held reading.
    pub fn held_mut(&mut self, at: HeldKey) -> Option<&mut T> {
        self.held.get_mut(&at)
    }

    /// All held readings, in the order in which they will be released.
    pub fn all_held(&self) -> impl Iterator<Item = (HeldKey, &T)> {
        self.held.iter().map(|(at, what)| (*at, what))
    }

    /// The key of the earliest held reading, if the watermark has reached its time or there are too many.
    /// Readings of the same time come in the order of arrival.
    pub fn due(&self) -> Option<HeldKey> {
        let watermark = self.watermark()?;
        let (at, _) = self.held.first_key_value()?;
        (at.time <= watermark || self.held.len() > self.max_held).then_some(*at)
    }

    /// Releases a held reading.
    pub fn release(&mut self, at: HeldKey) -> Option<T> {
        self.time_before = self.partition_time();
        self.held.remove(&at)
    }

    /// The number of held readings.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Whether any reading was held back since this state began.
    pub fn has_held(&self) -> bool {
        self.has_held
    }

    /// Moves a series to the cell of `time`, or says why it cannot go there.
    pub fn admit(&mut self, slot: Slot, time: EventTime) -> Admission {
        self.make_room(slot);
        let cell = self.grid.cell(time);
        let last = self.last[slot.index()];
        if cell <= last {
            let before = self.cell_before_running_ahead(slot, time).unwrap_or(last);
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
        // While the other series don't agree with it, it may have to go back, but never behind a cell at which they agreed.
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

    /// The cell of a series before it ran ahead, if it is still ahead and now has a reading of the time
    /// of the partition. It goes on from there.
    fn cell_before_running_ahead(&self, slot: Slot, time: EventTime) -> Option<i64> {
        let (before, agreed) = (*self.ahead.get(&slot.0)?, self.partition_time()?);
        let last = self.grid.start_of(self.last[slot.index()]);
        let is_of_now = !self.is_ahead_of(agreed, time) && !self.is_ahead_of(time, agreed);
        (self.is_ahead_of(agreed, last) && is_of_now).then_some(before)
    }

    /// Whether a series stands at the cell of `time` or past it, and does not go back before it.
    pub fn has_passed(&self, slot: Slot, time: EventTime) -> bool {
        let (cell, last) = (self.grid.cell(time), self.last.get(slot.index()).copied().unwrap_or(NOWHERE));
        cell <= last && cell <= self.cell_before_running_ahead(slot, time).unwrap_or(last)
    }

    /// Forgets the cell of a series.
    pub fn forget(&mut self, slot: Slot) {
        if let Some(last) = self.last.get_mut(slot.index()) {
            *last = NOWHERE;
            self.confirmed[slot.index()] = 0;
            self.ahead.remove(&slot.0);
        }
    }

    /// Whether the last cell of a series began more than `ttl_us` before the time of its partition.
    pub fn is_idle(&self, slot: Slot, ttl_us: i64) -> bool {
        let last = self.last.get(slot.index()).copied().unwrap_or(NOWHERE);
        let Some(agreed) = self.partition_time() else { return false };
        last != NOWHERE && agreed.as_micros().saturating_sub(self.grid.start_of(last).as_micros()) > ttl_us
    }

    /// Appends all state but the settings. `put_held` writes a held reading.
    pub fn save(&self, out: &mut Vec<u8>, mut put_held: impl FnMut(&T, &mut Vec<u8>)) {
        self.partition_time.save(out);
        put(out, &[self.arrivals, self.last.len() as u64, self.held.len() as u64, self.ahead.len() as u64]);
        put(out, &self.last);
        put(out, &self.confirmed);
        self.ahead.iter().for_each(|(slot, before)| put(out, &[i64::from(*slot), *before]));
        for (at, what) in &self.held {
            put(out, &[at.time.as_micros()]);
            put(out, &[at.arrival]);
            put_held(what, out);
        }
    }

    /// Reads what [`Self::save`] wrote for at most `slots` series. `take_held` reads a held reading; it
    /// gets the time that releases it.
    ///
    /// # Errors
    /// [`Damaged`] for any other bytes.
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
        self.confirmed.clear();
        self.confirmed.resize(last as usize, 0);
        from.fill(&mut self.confirmed)?;
        if self.confirmed.iter().any(|times| *times > TRUSTED_AFTER) {
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

    /// Bytes held, approximately.
    pub fn memory(&self) -> usize {
        self.last.capacity() * size_of::<i64>()
            + self.confirmed.capacity()
            + self.ahead.len() * size_of::<(u32, i64)>()
            + self.held.len() * size_of::<(HeldKey, T)>()
    }
}

#[cfg(test)]
mod tests;
