use super::accounts::Accounts;
use super::alarms::Alarms;
use super::cells::Cells;
use super::cut::Cut;
use super::mixture::Mixture;
use super::network::{Incoming, Model, Stateful};
use super::rounds::{Answer, Rounds, Turn};
use super::step::Buffers;
use crate::config::Stream;
use crate::domain::{Degraded, EventTime, ModelVersion, Partial, Reading, Rows};
use crate::evaluation::{DriftFound, Summary};
use crate::nn::Error;
use crate::series::{
    Admission, Capacity, Directory, Features, Holding, Order, Outlook, Place, Recent, Scaler, Slot,
    WindowCopy, WindowView, Windows,
};
use crate::telemetry::{Discard, Eviction, Invariant, Violations};
use std::sync::Arc;

/// A state is warmed over at least this many readings (RECIPE.md).
const WARM_LEAST: usize = 96;
/// Silent series are looked for once in as many readings as there are series, and no more often.
const SWEEP_LEAST: u64 = 64;
/// What mature series have learnt is handed to the young once in four readings of each, and no more
/// often than once in so many.
const PUBLISH_LEAST: u64 = 1_024;
/// Readings of the first series that are kept for whoever looks at it.
const SHOWN: usize = 160;
/// Series that learn share this many readings of windows, each within the config's and a least.
const HISTORIES: usize = 1 << 16;

/// One partition of one stream.
pub struct Shard {
    pub(super) stream: Arc<Stream>,
    pub(super) directory: Directory,
    pub(super) order: Order<Waiting>,
    /// Where readings are gathered by the cell.
    pub(super) cells: Option<Cells>,
    pub(super) rounds: Rounds,
    pub(super) scaler: Scaler,
    pub(super) recent: Recent,
    pub(super) outlook: Outlook,
    /// The windows of series that are learnt from, and shorter ones of all others.
    pub(super) learnt: Windows,
    pub(super) others: Windows,
    pub(super) features: Features,
    pub(super) mixture: Mixture,
    pub(super) alarms: Alarms,
    pub(super) summary: Summary,
    pub(super) serving: Option<Stateful>,
    pub(super) incoming: Option<Incoming>,
    pub(super) buffers: Buffers,
    pub(super) cut: Option<Cut>,
    pub(super) accounts: Accounts,
    pub(super) violations: Violations,
    pub(super) emit_from: i64,
    /// Steps taken on observed readings.
    pub(super) steps: u64,
    /// When silent series were last looked for, in readings.
    pub(super) swept: u64,
    /// When young series were last given what mature ones have learnt, in readings.
    pub(super) published: u64,
    /// Series at that time.
    pub(super) known: u64,
    /// The time of the last reading that was given its place.
    pub(super) told: EventTime,
    offset: i64,
}

/// A reading that is held back for order, or a cell that is still open.
#[derive(Debug)]
pub(super) struct Waiting {
    pub series: Box<str>,
    /// Its own, or when its cell begins.
    pub time: EventTime,
    /// Of a cell that of the last record which went into it.
    pub offset: i64,
    pub values: Box<[f64]>,
    /// What the values of a cell will be made of; empty for a reading.
    pub partial: Box<[Partial]>,
    pub key: Option<Box<[u8]>>,
}

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
    pub fn new(stream: Arc<Stream>) -> Self {
        let (targets, width) = (stream.targets.len(), stream.width());
        let features = Features::new(&stream);
        let mixture = Mixture::new(&stream, features.extras());
        let summary = Summary::new(stream.horizon, mixture.judged(), stream.levels.len());
        let (timed, own) = (stream.grid.interval().is_none(), features.own());
        let leads = stream.leads();
        let (learnt, others) = windows(&stream);
        Self {
            directory: Directory::new(stream.bounds.max_series),
            order: Order::new(stream.grid, stream.lateness, stream.max_gap, stream.bounds.max_held),
            cells: Cells::new(&stream),
            rounds: Rounds::new(stream.row()),
            scaler: Scaler::new(width, |column| {
                column.checked_sub(targets).is_some_and(|c| stream.attributes.contains(&c))
            })
            .with_targets(&stream),
            recent: Recent::new(recent(&features), targets, width, timed),
            outlook: Outlook::new(stream.known_ahead.len(), stream.horizon),
            learnt: Windows::new(learnt, own, targets, leads.learnt(), timed),
            others: Windows::new(others, own, targets, &[], timed),
            serving: None,
            incoming: None,
            buffers: Buffers::new(&stream, &features, mixture.lanes, summary.buckets()),
            features,
            mixture,
            alarms: Alarms::new(&stream),
            summary,
            cut: None,
            accounts: Accounts::default(),
            violations: Violations::default(),
            emit_from: i64::MIN,
            steps: 0,
            swept: 0,
            published: 0,
            known: 1,
            told: EventTime::MIN,
            offset: i64::MIN,
            stream,
        }
    }

    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Everything that is kept per series, besides the hidden states.
    pub(super) fn tables(&self) -> impl Iterator<Item = &dyn Rows> {
        let own: [&dyn Rows; 5] = [&self.scaler, &self.recent, &self.outlook, &self.learnt, &self.others];
        own.into_iter().chain(self.mixture.tables()).chain(self.alarms.tables())
    }

    pub(super) fn tables_mut(&mut self) -> impl Iterator<Item = &mut dyn Rows> {
        let Self { scaler, recent, outlook, learnt, others, mixture, alarms, .. } = self;
        let own: [&mut dyn Rows; 5] = [scaler, recent, outlook, learnt, others];
        own.into_iter().chain(mixture.tables_mut()).chain(alarms.tables_mut())
    }

    /// The names under which errors are kept: every expert of a stream, their mixture (`experts`), every
    /// network, and what is emitted (`mixture`).
    pub fn judged(stream: &Stream) -> Vec<String> {
        Mixture::new(stream, 0).judged()
    }

    /// Replays silently: what records below `offset` bring or release is stepped and learnt from, but
    /// not answered.
    pub fn emit_from(&mut self, offset: i64) {
        self.emit_from = offset;
    }

    /// From the next reading on others are held back for order: by the config's settings or, in a replay,
    /// by those of its time.
    pub fn hold_back(&mut self, holding: Holding) {
        self.order.hold_back(holding);
    }

    /// Takes a reading in. Those that it lets out of order's hold are queued with it.
    pub fn offer(&mut self, reading: &Reading<'_>, offset: i64, key: Option<&[u8]>) -> Offered {
        self.violations.check(Invariant::OffsetsGrow, offset >= self.offset);
        self.offset = offset;
        self.accounts.offered += 1;
        let outcome = self.take(reading, offset, key);
        if let Offered::Discarded(why) = outcome {
            self.accounts.discard(why, offset >= self.emit_from);
        }
        outcome
    }

    fn take(&mut self, reading: &Reading<'_>, offset: i64, key: Option<&[u8]>) -> Offered {
        let reading = &Reading { time: self.time_of(reading), later: None, ..*reading };
        let (series, time, values) = (reading.series, reading.time, reading.values.as_slice());
        if !self.stream.selects(series) {
            return Offered::Discarded(Discard::NotSelected);
        }
        let answer = offset >= self.emit_from;
        let mine = if let Some(cells) = &mut self.cells {
            let is_past = self.directory.find(series).is_some_and(|slot| self.order.has_passed(slot, time));
            if is_past && !cells.is_open(series, time) {
                return Offered::Discarded(Discard::Late);
            }
            if cells.take(&self.stream, &mut self.order, reading, offset, key) {
                self.accounts.aggregate(answer);
            }
            None
        } else if self.order.holds() {
            let key = key.map(Into::into);
            let (series, values, partial) = (series.into(), values.into(), [].into());
            self.order.note(time);
            Some(self.order.hold(time, Waiting { series, time, offset, values, partial, key }))
        } else {
            return self.admit(&Due { series, time, offset, answer, values, key });
        };
        let mut outcome = Offered::Held;
        while let Some(at) = self.order.due()
            && let Some(what) = match &mut self.cells {
                Some(cells) => cells.close(&mut self.order, at),
                None => self.order.let_go(at),
            }
        {
            // What a record below the commit let out was answered then; what still waited is now.
            let Waiting { series, time, offset, values, key, .. } = &what;
            let due = Due { series, time: *time, offset: *offset, answer, values, key: key.as_deref() };
            match self.admit(&due) {
                admitted if Some(at) == mine => outcome = admitted,
                Offered::Discarded(why) => self.accounts.discard(why, answer),
                Offered::Queued | Offered::Held => {}
            }
        }
        outcome
    }

    /// Gives a reading its place in its series, and a turn.
    fn admit(&mut self, due: &Due<'_>) -> Offered {
        self.mark_publication(due.time);
        let place = self.directory.place(due.series);
        let slot = place.slot();
        match place {
            Place::Known(_) => {}
            Place::New(slot) => self.make_room(slot.index() + 1),
            Place::Reused { slot, evicted } => {
                self.order.forget(slot);
                self.accounts.evict(Eviction::Capacity, u64::from(evicted && due.answer));
            }
        }
        let admission = self.order.admit(slot, due.time);
        let outcome = match admission {
            Admission::Discarded(why) => Offered::Discarded(why),
            Admission::Step { cell, before, gap, cold } => {
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
                let fresh = matches!(place, Place::Reused { .. });
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

    /// Every table has room for so many slots afterwards.
    pub(super) fn make_room(&mut self, slots: usize) {
        if slots > self.buffers.room {
            let room =
                (self.buffers.room * 3 / 2).max(slots).max(16).min(self.stream.bounds.max_series.max(slots));
            self.buffers.room = room;
            self.tables_mut().for_each(|table| table.grow(room));
        }
    }

    /// What became of the readings since the last call. Between rounds only.
    pub fn take_accounts(&mut self) -> Accounts {
        let accounted = self.rounds.is_empty() && self.accounts.balance(self.order.held() as u64);
        self.violations.check(Invariant::ReadingsAccounted, accounted);
        self.accounts.take(self.order.held() as u64)
    }

    /// The drift that was found since the last call.
    pub fn take_drift(&mut self) -> Option<DriftFound> {
        self.alarms.take_drift()
    }

    /// How often an invariant did not hold since the last call.
    pub fn take_violations(&mut self) -> Violations {
        self.violations.take()
    }

    /// Starts to bring in another network: it serves once [`Self::warm`] says so. That which serves
    /// already goes on, and what was coming in its place is given up.
    pub fn bring(&mut self, model: &Model) -> Result<(), Error> {
        if self.model() == Some(model.version) {
            self.incoming = None;
            return Ok(());
        }
        let steps = warm_steps(&self.stream);
        self.incoming = Some(Incoming::new(model, self.directory.slots(), steps)?);
        Ok(())
    }

    /// Warms at most `budget` series of the network that was brought; gives its version when it has
    /// begun to serve. Between rounds only.
    pub fn warm(&mut self, budget: usize) -> Result<Option<ModelVersion>, Error> {
        let Some(incoming) = &mut self.incoming else { return Ok(None) };
        let slots = self.directory.slots();
        incoming.stateful.grow(slots)?;
        let window = |slot| window(&self.learnt, &self.others, slot);
        let done = incoming.warm(budget, slots, window, &mut self.features)?;
        if !done {
            return Ok(None);
        }
        let old = std::mem::replace(&mut self.serving, self.incoming.take().map(|i| i.stateful));
        if let Some(cut) = &mut self.cut {
            cut.keep_states(old);
        }
        Ok(self.model())
    }

    /// The network serves no longer, and none is brought in: the experts do. Between rounds only.
    pub fn dismiss(&mut self) {
        self.incoming = None;
        let old = self.serving.take();
        if let Some(cut) = &mut self.cut {
            cut.keep_states(old);
        }
    }

    /// Whether `version` is another one than what serves or, where one is being brought in, than that. An
    /// older one may be wanted again: which is the right one is not for a shard to say.
    pub fn wants(&self, version: ModelVersion) -> bool {
        let coming = self.incoming.as_ref().map(|i| i.stateful.version);
        coming.or(self.model()) != Some(version)
    }

    /// Whether a network waits to serve.
    pub fn is_warming(&self) -> bool {
        self.incoming.is_some()
    }

    /// The version of the network that serves.
    pub fn model(&self) -> Option<ModelVersion> {
        self.serving.as_ref().map(|s| s.version)
    }

    pub fn degraded(&self) -> Option<Degraded> {
        self.serving.is_none().then_some(Degraded::Warming)
    }

    pub fn series(&self) -> usize {
        self.directory.len()
    }

    /// What each expert, and after them each network, weighs in the forecasts of a series' target.
    /// `[experts + networks, learnt leads]`
    pub fn weights(&mut self, slot: Slot, target: usize) -> Vec<f32> {
        self.mixture.weights(slot.index(), target)
    }

    /// Observed readings stepped, per series: the clock of the training schedule.
    pub fn age(&self) -> u64 {
        self.steps / self.directory.len().max(1) as u64
    }

    /// Sums since the last call.
    pub fn take_summary(&mut self) -> Summary {
        self.summary.take()
    }

    /// Copies for training of at most `most` series, spread evenly over all.
    pub fn samples(&self, most: usize) -> Vec<WindowCopy> {
        let window = |slot: Slot| self.learnt.holds(slot).then(|| self.learnt.view(slot));
        let all: Vec<WindowView<'_>> =
            self.directory.live().filter_map(window).filter(|window| !window.is_empty()).collect();
        let taken = most.min(all.len());
        (0..taken).map(|i| all[i * all.len() / taken].copy()).collect()
    }

    /// A series' name; empty when its slot is free.
    pub fn name(&self, slot: Slot) -> &str {
        self.directory.name(slot)
    }

    pub fn find(&self, series: &str) -> Option<Slot> {
        self.directory.find(series)
    }

    /// The names of all series.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.directory.live().map(|slot| self.directory.name(slot))
    }

    /// The newest event time of the partition.
    pub fn newest(&self) -> Option<EventTime> {
        self.order.newest()
    }

    /// Readings that are held back for order.
    pub fn held(&self) -> usize {
        self.order.held()
    }

    /// The recent readings of a series' target in its own units, oldest first, at most `most` and no more
    /// than its window holds; `None` where it was missing.
    pub fn recent(&self, slot: Slot, target: usize, most: usize) -> Vec<(EventTime, Option<f64>)> {
        let window = self.recent.view(slot);
        let frame = self.scaler.frame(slot, target);
        (0..window.len().min(most))
            .rev()
            .map(|age| {
                let value = frame.tell(window.value(age, target));
                (self.stream.grid.start_of(window.cell(age)), window.observed(age, target).then_some(value))
            })
            .collect()
    }

    /// The hidden state of a series; `None` before a network serves.
    pub fn state(&self, slot: Slot) -> Result<Option<Vec<f32>>, Error> {
        self.serving.as_ref().map(|s| s.state(slot)).transpose()
    }

    /// Bytes of all that is kept per series.
    pub fn memory(&self) -> usize {
        let states = self.serving.as_ref().map_or(0, Stateful::memory)
            + self.incoming.as_ref().map_or(0, |i| i.stateful.memory());
        let tables: usize = self.tables().map(Rows::memory).sum();
        let cells = self.cells.as_ref().map_or(0, Cells::memory);
        self.directory.memory() + self.order.memory() + cells + tables + states
    }
}

/// How many readings a state is warmed over.
fn warm_steps(stream: &Stream) -> usize {
    WARM_LEAST.max(4 * stream.season().unwrap_or(1))
}

/// What is looked back on, and what is shown of the first series.
fn recent(features: &Features) -> Capacity {
    let room = features.lookback() + 1;
    Capacity { series: 0..usize::MAX, shared: SHOWN, least: room, most: room.max(SHOWN) }
}

/// The windows of series that are learnt from, and those of all others, to warm a state over.
fn windows(stream: &Stream) -> (Capacity, Capacity) {
    let series = if stream.training.enabled { stream.training.budget.series } else { 0 };
    let least = stream.least_window().min(stream.window);
    let warm = warm_steps(stream).max(stream.model.memory() + 1).min(stream.window);
    (
        Capacity { series: 0..series, shared: HISTORIES, least, most: stream.window },
        Capacity { series: series..usize::MAX, shared: 0, least: warm, most: warm },
    )
}

fn window<'a>(learnt: &'a Windows, others: &'a Windows, slot: Slot) -> WindowView<'a> {
    if learnt.holds(slot) { learnt.view(slot) } else { others.view(slot) }
}
