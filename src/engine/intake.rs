//! How a reading comes into a shard: it has its say in the partition's time, waits for its turn in the order,
//! and gets a place in its series and in a round.

use super::rounds::{Answer, Turn};
use super::shard::{Shard, Waiting};
use crate::domain::{EventTime, Reading};
use crate::series::{Admission, Placement, Slot, Timeliness};
use crate::telemetry::{Ahead, Discard, Eviction, Invariant};

/// Silent series are looked for once in as many readings as there are series, and no more often.
const SWEEP_LEAST: u64 = 64;
/// What mature series have learnt is handed to the young once in four readings of each, and no more
/// often than once in so many.
const PUBLISH_LEAST: u64 = 1_024;

/// A reading whose turn in the order has come.
struct Due<'a> {
    series: &'a str,
    time: EventTime,
    offset: i64,
    /// Whether it is to be answered.
    answer: bool,
    values: &'a [f64],
    key: Option<&'a [u8]>,
}

/// What became of an offered reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// It waits for its round.
    Queued,
    /// It is held back for order.
    Held,
    Discarded(Discard),
}

impl Shard {
    /// Takes a reading in, whose record bears no time of its own. Those that it lets out of order's hold are
    /// queued with it.
    pub fn offer(&mut self, reading: &Reading<'_>, offset: i64, key: Option<&[u8]>) -> Offered {
        self.offer_of(reading, offset, key, None)
    }

    /// The same, of a record with this time of its own.
    pub fn offer_of(
        &mut self,
        reading: &Reading<'_>,
        offset: i64,
        key: Option<&[u8]>,
        record: Option<EventTime>,
    ) -> Offered {
        self.violations.check(Invariant::OffsetsGrow, offset >= self.offset);
        self.offset = offset;
        self.accounts.offered += 1;
        let outcome = self.take(reading, offset, key, record);
        if let Offered::Discarded(why) = outcome {
            self.accounts.discard(why, offset >= self.emit_from, reading.series, reading.time, offset);
        }
        outcome
    }

    fn take(
        &mut self,
        reading: &Reading<'_>,
        offset: i64,
        key: Option<&[u8]>,
        record: Option<EventTime>,
    ) -> Offered {
        let reading = &Reading { time: self.time_of(reading), later: None, ..*reading };
        let (series, time, values) = (reading.series, reading.time, reading.values.as_slice());
        if !self.stream.selects(series) {
            return Offered::Discarded(Discard::NotSelected);
        }
        let answer = offset >= self.emit_from;
        if self.cells.is_none() && !self.order.holds() {
            return self.admit(&Due { series, time, offset, answer, values, key }, Some(record));
        }
        let slot = self.directory.find(series);
        if !self.hear(slot, series, time, record, answer) {
            return Offered::Discarded(Discard::TimeAhead);
        }
        let mine = if let Some(cells) = &mut self.cells {
            let is_past = slot.is_some_and(|slot| self.order.has_passed(slot, time));
            if is_past && !cells.is_open(series, time) {
                return Offered::Discarded(Discard::Late);
            }
            if cells.take(&self.stream, &mut self.order, reading, offset, key) {
                self.accounts.aggregate(answer);
            }
            None
        } else {
            let key = key.map(Into::into);
            let (series, values, partial) = (series.into(), values.into(), [].into());
            Some(self.order.hold(time, Waiting { series, time, offset, values, partial, key }))
        };
        let mut outcome = Offered::Held;
        while let Some(at) = self.order.due()
            && let Some(what) = match &mut self.cells {
                Some(cells) => cells.close(&mut self.order, at),
                None => self.order.release(at),
            }
        {
            // What a record below the commit let out was answered then; what still waited is now.
            let Waiting { series, time, offset, values, key, .. } = &what;
            let due = Due { series, time: *time, offset: *offset, answer, values, key: key.as_deref() };
            match self.admit(&due, None) {
                admitted if Some(at) == mine => outcome = admitted,
                Offered::Discarded(why) => {
                    self.accounts.discard(why, answer, due.series, due.time, due.offset);
                }
                Offered::Queued | Offered::Held => {}
            }
        }
        outcome
    }

    /// A reading of this time has come; says whether the time may be right.
    fn hear(
        &mut self,
        slot: Option<Slot>,
        series: &str,
        time: EventTime,
        record: Option<EventTime>,
        answer: bool,
    ) -> bool {
        let (agreed, what) = match self.order.check_time(slot, series, time, record) {
            Timeliness::InTime => return true,
            Timeliness::Ahead(agreed) => (agreed, Ahead::Kept),
            Timeliness::Wrong(agreed) => (agreed, Ahead::Discarded),
        };
        if answer {
            self.accounts.ahead(what, series, time, agreed);
        }
        what != Ahead::Discarded
    }

    /// Gives a reading its place in its series, and a turn. One that was not held back has not been heard
    /// before: it has just come, in a record of this time.
    fn admit(&mut self, due: &Due<'_>, arrived: Option<Option<EventTime>>) -> Offered {
        self.mark_publication(due.time);
        let place = self.directory.place(due.series);
        let slot = place.slot();
        match place {
            Placement::Known(_) => {}
            Placement::New(slot) => self.make_room(slot.index() + 1),
            Placement::Reused { slot, evicted } => {
                self.order.forget(slot);
                self.accounts.evict(Eviction::Capacity, u64::from(evicted && due.answer));
            }
        }
        if let Some(record) = arrived
            && !self.hear(Some(slot), due.series, due.time, record, due.answer)
        {
            self.sweep(due.answer);
            return Offered::Discarded(Discard::TimeAhead);
        }
        let outcome = match self.order.admit(slot, due.time) {
            Admission::Discarded(why) => Offered::Discarded(why),
            Admission::Step { cell, before, gap, cold, is_back } => {
                if is_back && due.answer {
                    let agreed = self.order.partition_time().unwrap_or(due.time);
                    self.accounts.ahead(Ahead::Returned, due.series, due.time, agreed);
                }
                for missing in (1..=gap as i64).rev() {
                    let cell = cell - missing;
                    self.rounds.push(Turn { slot, cell, cold: false, fresh: false, observed: None });
                }
                let answer = match self.stream.answers(before, cell) {
                    _ if !due.answer => Answer::Silent,
                    false => Answer::Thinned,
                    true => Answer::Forecast,
                };
                let kept = self.rounds.keep(due.offset, answer, due.values, due.key, due.series);
                let fresh = matches!(place, Placement::Reused { .. });
                self.rounds.push(Turn { slot, cell, cold, fresh, observed: Some(kept) });
                Offered::Queued
            }
        };
        self.sweep(due.answer);
        outcome
    }

    /// Marks where young series are given what others have learnt, before a reading of another time than
    /// the one before it: what they get depends on the readings of the times before, in whatever batches
    /// these come, and in whatever order those of one time.
    fn mark_publication(&mut self, time: EventTime) {
        let readings = self.directory.readings();
        if std::mem::replace(&mut self.told, time) != time
            && readings - self.published >= PUBLISH_LEAST.max(4 * self.directory.slots() as u64)
        {
            self.published = readings;
            self.rounds.mark(self.directory.len());
        }
    }

    /// Forgets the series that have been silent for too long, now and then. When, depends on the
    /// readings alone: a replay forgets the same at the same.
    fn sweep(&mut self, answer: bool) {
        if self.directory.readings() - self.swept < SWEEP_LEAST.max(self.directory.slots() as u64) {
            return;
        }
        self.swept = self.directory.readings();
        let ttl_us = i64::try_from(self.stream.bounds.idle_ttl.as_micros()).unwrap_or(i64::MAX);
        let idle: Vec<Slot> =
            self.directory.live().filter(|slot| self.order.is_idle(*slot, ttl_us)).collect();
        for slot in idle {
            self.directory.drop(slot);
            self.order.forget(slot);
            self.accounts.evict(Eviction::Idle, u64::from(answer));
        }
    }
}
