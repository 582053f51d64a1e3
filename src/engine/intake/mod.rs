//! How a reading enters a shard: it counts towards the partition's time, waits for its turn in the order, gets
//! its place in its series, and is queued for a round.
//!
//! Owns which series there are, their order in time, and the account of every reading. Knows nothing of values.

mod accounts;
mod held;
mod local_time;
mod open_cells;
mod queue;
mod release;

use crate::config::Stream;
use crate::domain::{Damaged, EventTime, Reading, Take};
use crate::series::{
    Admission, Directory, HeldKey, Placement, RecordProgress, ReorderBuffer, ReorderSettings, Slot,
    Timeliness,
};
use crate::telemetry::{Ahead, Discard, Doubt, Eviction, MemoryByPart, MemoryPart};
pub use accounts::{Accounts, Discarded, Doubted, RanAhead};
use held::HeldReading;
use open_cells::OpenCells;
pub(crate) use queue::SeriesStep;
use queue::{Answer, QueuedReading, RoundQueue};
use std::sync::Arc;

/// Silent series are looked for once in as many readings as there are series, and at most once in this many.
const SWEEP_LEAST: u64 = 64;
/// What mature series have learnt is given to young ones once in four readings of each series, and at most
/// once in this many readings.
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
    /// It is held back for order, or its cell is still open.
    Held,
    /// It is not stepped.
    Discarded(Discard),
}

/// A reading that has been stepped and is to be answered.
pub(crate) struct Answered<'a> {
    pub series: &'a str,
    pub key: Option<&'a [u8]>,
    pub offset: i64,
    pub is_thinned: bool,
    /// Whether it was answered before this replay, which must not happen.
    pub again: bool,
}

/// A release that was interrupted: more readings are due than may wait for their rounds at once.
struct Release {
    /// The offset of the record that releases.
    offset: i64,
    /// The reading of that record.
    mine: Option<HeldKey>,
}

/// How far the intake has come, as a snapshot keeps it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// Readings when silent series were last looked for.
    pub swept: u64,
    /// Readings when young series were last given what mature ones have learnt.
    pub published: u64,
    /// The time of the last reading that was given its place.
    pub placed: EventTime,
}

/// Takes readings in and queues them for rounds.
pub(crate) struct Intake {
    stream: Arc<Stream>,
    directory: Directory,
    order: ReorderBuffer<HeldReading>,
    /// `None` for a stream without `aggregate`.
    open: Option<OpenCells>,
    queue: RoundQueue,
    accounts: Accounts,
    emit_from: i64,
    /// The record of which a part was answered before this replay.
    answered: Option<RecordProgress>,
    progress: Progress,
    /// The offset of the last reading.
    offset: i64,
    /// Readings that the record at `offset` has brought or released so far.
    let_through: u64,
    /// A release is interrupted while so many readings wait for their rounds.
    waiting_most: u64,
    release: Option<Release>,
}

impl Intake {
    pub fn new(stream: &Arc<Stream>) -> Self {
        let bounds = &stream.bounds;
        Self {
            directory: Directory::new(bounds.max_series),
            order: ReorderBuffer::new(
                stream.grid,
                stream.lateness,
                stream.max_gap,
                bounds.max_held,
                bounds.max_ahead,
            ),
            open: OpenCells::new(stream),
            queue: RoundQueue::new(stream.values_per_reading()),
            accounts: Accounts::default(),
            emit_from: i64::MIN,
            answered: None,
            progress: Progress { swept: 0, published: 0, placed: EventTime::MIN },
            offset: i64::MIN,
            let_through: 0,
            waiting_most: u64::MAX,
            release: None,
            stream: stream.clone(),
        }
    }

    /// Which series there are, and their slots.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Answers only what records from this offset on bring or release.
    pub fn emit_from(&mut self, offset: i64) {
        self.emit_from = offset;
    }

    /// Of the record at this offset, answers only what comes after the part that was answered already.
    pub fn emit_after(&mut self, answered: Option<RecordProgress>) {
        self.answered = answered;
    }

    /// Interrupts a release while so many readings wait for their rounds.
    pub fn interrupt_at(&mut self, waiting_most: usize) {
        self.waiting_most = waiting_most.max(1) as u64;
    }

    /// Readings that wait for their rounds.
    pub fn waiting(&self) -> u64 {
        self.queue.unanswered()
    }

    /// Whether as many readings wait for their rounds as may, or a release is interrupted.
    pub fn is_full(&self) -> bool {
        self.release.is_some() || self.waiting() >= self.waiting_most
    }

    /// Whether a release is interrupted. No reading may be offered until it is over.
    pub fn is_interrupted(&self) -> bool {
        self.release.is_some()
    }

    /// Readings that the record of the last reading has brought or released so far. Which ones these are depends on the
    /// log alone.
    pub fn let_through(&self) -> u64 {
        self.let_through
    }

    /// Holds later readings back by other settings.
    pub fn hold_back(&mut self, holding: ReorderSettings) {
        self.order.hold_back(holding);
    }

    /// The time that the partition's series agree on.
    pub fn agreed_time(&self) -> Option<EventTime> {
        self.order.partition_time()
    }

    /// Readings that are held back for order.
    pub fn held(&self) -> usize {
        self.order.held()
    }

    /// Whether no step waits for its round.
    pub fn is_settled(&self) -> bool {
        self.queue.is_empty()
    }

    /// Readings that have not been accounted for yet: held back for order, or waiting for their round.
    fn unaccounted(&self) -> u64 {
        self.order.held() as u64 + self.queue.unanswered()
    }

    /// Whether each reading is accounted for once.
    pub fn is_balanced(&self) -> bool {
        self.accounts.balance(self.unaccounted())
    }

    /// Takes the accounts and opens new ones.
    pub fn take_accounts(&mut self) -> Accounts {
        self.accounts.take(self.unaccounted())
    }

    /// Adds the bytes held.
    pub fn add_memory(&self, to: &mut MemoryByPart) {
        let open = self.open.as_ref().map_or(0, OpenCells::memory);
        to.add(MemoryPart::Names, self.directory.memory());
        to.add(MemoryPart::Order, self.order.memory() + self.queue.memory() + open);
    }

    /// Moves on to a record's offset. Returns whether it lies at or after the last one.
    pub fn move_to(&mut self, offset: i64) -> bool {
        let moves_on = offset >= self.offset;
        if offset != self.offset {
            self.let_through = 0;
        }
        self.offset = offset;
        moves_on
    }

    /// Takes a reading in. `record` is the time of its record, where it has one. Readings that this one
    /// releases from the order are queued with it.
    pub fn offer(
        &mut self,
        reading: &Reading<'_>,
        offset: i64,
        key: Option<&[u8]>,
        record: Option<EventTime>,
    ) -> Offered {
        self.accounts.offered += 1;
        self.take(reading, offset, key, record).unwrap_or_else(|why| {
            self.accounts.discard(why, offset >= self.emit_from, reading.series, reading.time, offset);
            Offered::Discarded(why)
        })
    }

    /// Fails where a reading is refused before it waits for its turn.
    fn take(
        &mut self,
        reading: &Reading<'_>,
        offset: i64,
        key: Option<&[u8]>,
        record: Option<EventTime>,
    ) -> Result<Offered, Discard> {
        let reading = &Reading { time: self.time_of(reading), later: None, ..*reading };
        let (series, time, values) = (reading.series, reading.time, reading.values.as_slice());
        if !self.stream.reads_series(series) {
            return Err(Discard::NotSelected);
        }
        if self.open.is_none() && !self.order.holds() {
            let answer = self.let_one_through(offset);
            let due = &Due { series, time, offset, answer, values, key };
            let outcome = self.admit(due, Some(record));
            self.account(outcome, due);
            return Ok(outcome);
        }
        let answer = offset >= self.emit_from;
        let slot = self.directory.find(series);
        if !self.hear(slot, series, time, record, answer) {
            return Err(Discard::TimeAhead);
        }
        let mine = if let Some(open) = &mut self.open {
            let is_past = slot.is_some_and(|slot| self.order.has_passed(slot, time));
            if is_past && !open.is_open(series, time) {
                return Err(Discard::Late);
            }
            if open.take(&self.stream, &mut self.order, reading, offset, key) {
                self.accounts.aggregate(answer);
            }
            None
        } else {
            let key = key.map(Into::into);
            let (series, values, partial) = (series.into(), values.into(), [].into());
            Some(self.order.hold(time, HeldReading { series, time, offset, values, partial, key }))
        };
        Ok(self.release(Release { offset, mine }))
    }

    /// Counts a reading's time towards the partition's. Returns whether the time may be right.
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

    /// Gives a reading its place in its series, and queues its step. `arrived` is the record's time of a
    /// reading that was not held back: its own time does not count towards the partition's yet.
    #[expect(clippy::option_option, reason = "whether there is a record, and whether it has a time")]
    fn admit(&mut self, due: &Due<'_>, arrived: Option<Option<EventTime>>) -> Offered {
        self.mark_publication(due.time);
        let place = self.directory.place(due.series);
        let slot = place.slot();
        if let Placement::Reused { slot, evicted } = place {
            self.order.forget(slot);
            self.accounts.evict(Eviction::Capacity, u64::from(evicted && due.answer));
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
                    self.queue.push(SeriesStep { slot, cell, cold: false, fresh: false, reading: None });
                }
                let answer = match self.stream.is_answered(before, cell) {
                    _ if !due.answer => Answer::Silent,
                    false => Answer::Thinned,
                    true => Answer::Forecast,
                };
                let kept = self.queue.keep(due.offset, answer, due.values, due.key, due.series);
                let fresh = matches!(place, Placement::Reused { .. });
                self.queue.push(SeriesStep { slot, cell, cold, fresh, reading: Some(kept) });
                Offered::Queued
            }
        };
        self.sweep(due.answer);
        outcome
    }

    /// Marks where young series are given what others have learnt: before a reading of another time than the
    /// reading before it. What they get then depends on the readings of earlier times alone, not on how
    /// these were batched, nor on the order of readings of one time.
    fn mark_publication(&mut self, time: EventTime) {
        let readings = self.directory.readings();
        if std::mem::replace(&mut self.progress.placed, time) != time
            && readings - self.progress.published >= PUBLISH_LEAST.max(4 * self.directory.slots() as u64)
        {
            self.progress.published = readings;
            self.queue.mark(self.directory.len());
        }
    }

    /// Drops the series that have been silent for too long, now and then. The readings alone decide when, so
    /// that a replay drops the same series at the same reading.
    fn sweep(&mut self, answer: bool) {
        let readings = self.directory.readings();
        if readings - self.progress.swept < SWEEP_LEAST.max(self.directory.slots() as u64) {
            return;
        }
        self.progress.swept = readings;
        let ttl_us = i64::try_from(self.stream.bounds.idle_ttl.as_micros()).unwrap_or(i64::MAX);
        let idle: Vec<Slot> =
            self.directory.live().filter(|slot| self.order.is_idle(*slot, ttl_us)).collect();
        for slot in idle {
            self.directory.drop(slot);
            self.order.forget(slot);
            self.accounts.evict(Eviction::Idle, u64::from(answer));
        }
    }

    /// If young series are to be given what others have learnt before the next round: how many series there
    /// were when that was marked.
    pub fn pass_publication(&mut self) -> Option<usize> {
        self.queue.pass_mark()
    }

    /// The steps of the next round, at most one of each series. The caller gives them back with
    /// [`Self::finish_round`].
    pub fn next_round(&mut self) -> Option<Vec<SeriesStep>> {
        self.queue.next()
    }

    /// Ends a round.
    pub fn finish_round(&mut self, steps: Vec<SeriesStep>) {
        self.queue.finish(steps);
    }

    /// The values of a step's reading; `None` for a cell of a gap.
    pub fn values(&self, step: &SeriesStep) -> Option<&[f64]> {
        step.reading.as_ref().map(|reading| self.queue.values(reading))
    }

    /// As [`Self::values`], to put others in their place.
    pub fn values_mut(&mut self, step: &SeriesStep) -> Option<&mut [f64]> {
        step.reading.as_ref().map(|reading| self.queue.values_mut(reading))
    }

    /// Accounts for a target that is not believed as it came: its value, and its forecast in its units.
    pub fn doubt(&mut self, step: &SeriesStep, target: usize, why: Doubt, value: f64, expected: f64) {
        let Some(reading) = step.reading.as_ref().filter(|r| r.answer != Answer::Silent) else { return };
        let (queue, grid) = (&self.queue, &self.stream.grid);
        self.accounts.doubt(why, || Doubted {
            series: queue.name(reading).to_owned(),
            target,
            time: grid.start_of(step.cell),
            value,
            expected,
        });
    }

    /// Accounts for a reading that has been stepped. `None` where no answer is due.
    pub fn answer(&mut self, step: &SeriesStep) -> Option<Answered<'_>> {
        let reading: &QueuedReading = step.reading.as_ref()?;
        self.queue.count_answer();
        match reading.answer {
            Answer::Silent => {
                self.accounts.silent += 1;
                return None;
            }
            Answer::Thinned => self.accounts.thinned += 1,
            Answer::Forecast => self.accounts.answered += 1,
        }
        Some(Answered {
            series: self.queue.name(reading),
            key: self.queue.key(reading),
            offset: reading.offset,
            is_thinned: reading.answer == Answer::Thinned,
            again: reading.offset < self.emit_from && !self.order.has_held(),
        })
    }

    /// How far the intake has come.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Appends the series and what is held back of them.
    pub fn save(&self, out: &mut Vec<u8>) {
        self.directory.save(out);
        self.order.save(out, |held, out| held.save(self.open.is_some(), out));
    }

    /// Reads what [`Self::save`] has written, and opens new accounts.
    ///
    /// # Errors
    /// [`Damaged`] for anything else.
    pub fn load(&mut self, from: &mut Take<'_>, progress: Progress) -> Result<(), Damaged> {
        self.directory.load(from)?;
        let readings = self.directory.readings();
        let Progress { swept, published, placed } = progress;
        self.progress = Progress { swept: swept.min(readings), published: published.min(readings), placed };
        let (width, aggregate) = (self.stream.values_per_reading(), self.stream.aggregate);
        let held = |from: &mut Take<'_>, time| HeldReading::load(from, time, aggregate, width);
        self.order.load(from, self.directory.slots(), held)?;
        if let Some(open) = &mut self.open {
            open.restore(&self.order);
        }
        self.accounts = Accounts::opened(self.order.held() as u64);
        Ok(())
    }

    /// Drops series until there are no more than the stream allows.
    pub fn shrink(&mut self) {
        while let Some(slot) = self.directory.shrink() {
            self.order.forget(slot);
        }
    }
}
