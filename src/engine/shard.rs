use super::accounts::Accounts;
use super::alarms::Alarms;
use super::cells::Cells;
use super::cut::Cut;
use super::mixture::Mixture;
use super::network::{Incoming, Model, Stateful};
use super::rounds::Rounds;
use super::step::Buffers;
use crate::config::Stream;
use crate::domain::{Degraded, EventTime, ModelVersion, Partial, Rows};
use crate::nn::Error;
use crate::scoring::{DriftFound, ScoreSummary};
use crate::series::{
    Capacity, Directory, Features, KnownAhead, RecentReadings, ReorderBuffer, ReorderSettings, Scaler, Slot,
    Support, WindowCopy, WindowView, Windows,
};
use crate::telemetry::{Invariant, Violations};
use std::sync::Arc;

/// A state is warmed over at least this many readings (RECIPE.md).
const WARM_LEAST: usize = 96;
/// Readings of the first series that are kept for whoever looks at it.
const SHOWN: usize = 160;
/// Series that learn share this many readings of windows, each within the config's and a least.
const HISTORIES: usize = 1 << 16;

/// One partition of one stream.
pub struct Shard {
    pub(super) stream: Arc<Stream>,
    pub(super) directory: Directory,
    pub(super) order: ReorderBuffer<Waiting>,
    /// Where readings are gathered by the cell.
    pub(super) cells: Option<Cells>,
    pub(super) rounds: Rounds,
    pub(super) scaler: Scaler,
    pub(super) support: Support,
    pub(super) recent: RecentReadings,
    pub(super) outlook: KnownAhead,
    /// The windows of series that are learnt from, and shorter ones of all others.
    pub(super) learnt: Windows,
    pub(super) others: Windows,
    pub(super) features: Features,
    pub(super) mixture: Mixture,
    pub(super) alarms: Alarms,
    pub(super) summary: ScoreSummary,
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
    pub(super) offset: i64,
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

impl Shard {
    pub fn new(stream: Arc<Stream>) -> Self {
        let (targets, width) = (stream.targets.len(), stream.width());
        let features = Features::new(&stream);
        let mixture = Mixture::new(&stream, features.extras());
        let summary = ScoreSummary::new(stream.horizon, mixture.judged(), stream.levels.len());
        let (timed, own) = (stream.grid.interval().is_none(), features.own());
        let leads = stream.leads();
        let (learnt, others) = windows(&stream);
        Self {
            directory: Directory::new(stream.bounds.max_series),
            order: ReorderBuffer::new(
                stream.grid,
                stream.lateness,
                stream.max_gap,
                stream.bounds.max_held,
                stream.bounds.max_ahead,
            ),
            cells: Cells::new(&stream),
            rounds: Rounds::new(stream.row()),
            scaler: Scaler::new(width, |column| {
                column.checked_sub(targets).is_some_and(|c| stream.attributes.contains(&c))
            })
            .with_targets(&stream),
            support: Support::new(&stream.ranges, stream.transform),
            recent: RecentReadings::new(recent(&features), targets, width, timed),
            outlook: KnownAhead::new(stream.known_ahead.len(), stream.horizon),
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
        let own: [&dyn Rows; 6] =
            [&self.scaler, &self.support, &self.recent, &self.outlook, &self.learnt, &self.others];
        own.into_iter().chain(self.mixture.tables()).chain(self.alarms.tables())
    }

    pub(super) fn tables_mut(&mut self) -> impl Iterator<Item = &mut dyn Rows> {
        let Self { scaler, support, recent, outlook, learnt, others, mixture, alarms, .. } = self;
        let own: [&mut dyn Rows; 6] = [scaler, support, recent, outlook, learnt, others];
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
    pub fn hold_back(&mut self, holding: ReorderSettings) {
        self.order.hold_back(holding);
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
    pub fn take_summary(&mut self) -> ScoreSummary {
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

    /// The time that the partition's series agree on.
    pub fn agreed_time(&self) -> Option<EventTime> {
        self.order.partition_time()
    }

    /// Readings that are held back for order.
    pub fn held(&self) -> usize {
        self.order.held()
    }

    /// The recent readings of a series' target in its own units, oldest first, at most `most` and no more
    /// than its window holds; `None` where it was missing.
    pub fn recent(&self, slot: Slot, target: usize, most: usize) -> Vec<(EventTime, Option<f64>)> {
        let window = self.recent.view(slot);
        let newest = self.recent.total(slot).saturating_sub(1);
        (0..window.len().min(most))
            .rev()
            .map(|age| {
                let frame = self.scaler.frame_at(slot, target, newest.saturating_sub(age as u64));
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
