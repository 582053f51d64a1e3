use super::network::{Incoming, Model, Stateful};
use super::rounds::{Rounds, Turn};
use super::step::Buffers;
use crate::config::{Base, Stream};
use crate::domain::{Degraded, EventTime, ModelVersion, Reading};
use crate::evaluation::{Intervals, Ledger, Scores, Summary};
use crate::expert::{Expert, JUDGED};
use crate::nn::Error;
use crate::series::{Admission, Directory, Features, Order, Scaler, SeriesSample, Slot, Windows};
use crate::telemetry::Discard;
use std::sync::Arc;

/// A state is warmed over at least this many readings (RECIPE.md).
const WARM_LEAST: usize = 96;

/// One partition of one stream.
pub struct Shard {
    pub(super) stream: Arc<Stream>,
    pub(super) directory: Directory,
    pub(super) order: Order<Waiting>,
    pub(super) rounds: Rounds,
    pub(super) scaler: Scaler,
    pub(super) windows: Windows,
    pub(super) features: Features,
    pub(super) ledger: Ledger,
    pub(super) scores: Scores,
    pub(super) intervals: Intervals,
    pub(super) summary: Summary,
    pub(super) serving: Option<Stateful>,
    pub(super) incoming: Option<Incoming>,
    pub(super) buffers: Buffers,
    pub(super) emit_from: i64,
    /// Steps taken on observed readings.
    pub(super) steps: u64,
}

/// A reading that is held back for order.
#[derive(Debug)]
pub(super) struct Waiting {
    slot: Slot,
    offset: i64,
    values: Box<[f64]>,
    key: Option<Box<[u8]>>,
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
        let (targets, width, horizon) = (stream.targets.len(), stream.width(), stream.horizon);
        let levels = stream.levels.len();
        // An irregular stream's cells are times: they have no phase.
        let season = stream.grid.interval().and(stream.season()).unwrap_or(1);
        Self {
            directory: Directory::new(stream.max_series),
            order: Order::new(stream.grid, stream.lateness, stream.max_gap),
            rounds: Rounds::new(width),
            scaler: Scaler::new(width),
            windows: Windows::new(stream.window, targets, width),
            features: Features::new(&stream),
            ledger: Ledger::new(targets, horizon, levels),
            scores: Scores::new(Expert::ALL.len(), targets, horizon),
            intervals: Intervals::new(targets, horizon, season, &stream.levels),
            summary: Summary::new(horizon, JUDGED.len(), levels),
            serving: None,
            incoming: None,
            buffers: Buffers::new(&stream),
            emit_from: i64::MIN,
            steps: 0,
            stream,
        }
    }

    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Replays silently: what records below `offset` bring or release is stepped and learnt from, but
    /// not answered.
    pub fn emit_from(&mut self, offset: i64) {
        self.emit_from = offset;
    }

    /// Takes a reading in. Those that it lets out of order's hold are queued with it.
    pub fn offer(&mut self, reading: &Reading<'_>, offset: i64, key: Option<&[u8]>) -> Offered {
        if !self.stream.selects(reading.series) {
            return Offered::Discarded(Discard::NotSelected);
        }
        let Some(slot) = self.slot(reading.series) else { return Offered::Discarded(Discard::SeriesLimit) };
        if !self.order.holds() {
            let values = reading.values.as_slice();
            return match self.order.admit(slot, reading.time) {
                Admission::Discarded(why) => Offered::Discarded(why),
                Admission::Step { cell, gap, cold } => {
                    let answer = offset >= self.emit_from;
                    self.enqueue(slot, cell, gap, cold, (offset, answer), values, key);
                    Offered::Queued
                }
            };
        }
        let waiting =
            Waiting { slot, offset, values: reading.values.as_slice().into(), key: key.map(Into::into) };
        self.order.hold(reading.time, waiting);
        let mut outcome = Offered::Held;
        while let Some((time, waiting)) = self.order.release() {
            let mine = waiting.offset == offset && time == reading.time && waiting.slot == slot;
            let admission = self.order.admit(waiting.slot, time);
            if let Admission::Step { cell, gap, cold } = admission {
                let key = waiting.key.as_deref();
                // What a record below the commit let out was answered then; what still waited is now.
                let at = (waiting.offset, offset >= self.emit_from);
                self.enqueue(waiting.slot, cell, gap, cold, at, &waiting.values, key);
            }
            match admission {
                Admission::Discarded(why) if mine => outcome = Offered::Discarded(why),
                Admission::Discarded(_) => self.buffers.duplicates += 1,
                Admission::Step { .. } if mine => outcome = Offered::Queued,
                Admission::Step { .. } => {}
            }
        }
        outcome
    }

    #[expect(clippy::too_many_arguments, reason = "a reading whose turn it is, taken apart")]
    fn enqueue(
        &mut self,
        slot: Slot,
        cell: i64,
        gap: usize,
        cold: bool,
        (offset, answer): (i64, bool),
        values: &[f64],
        key: Option<&[u8]>,
    ) {
        for missing in (1..=gap as i64).rev() {
            self.rounds.push(Turn { slot, cell: cell - missing, cold: false, observed: None });
        }
        let observed = Some(self.rounds.keep(offset, answer, values, key, self.directory.name(slot)));
        self.rounds.push(Turn { slot, cell, cold, observed });
    }

    /// The slot of a series; every table has room for it.
    fn slot(&mut self, series: &str) -> Option<Slot> {
        let slot = self.directory.slot(series)?;
        if slot.index() >= self.buffers.room {
            let room = (self.buffers.room * 3 / 2).max(slot.index() + 1).max(16).min(self.stream.max_series);
            self.buffers.room = room;
            self.scaler.grow(room);
            self.windows.grow(room);
            self.ledger.grow(room);
            self.scores.grow(room);
            self.intervals.grow(room);
        }
        Some(slot)
    }

    /// Duplicates that were found among held readings since the last call.
    pub fn take_held_duplicates(&mut self) -> u64 {
        std::mem::take(&mut self.buffers.duplicates)
    }

    /// Starts to bring in a new network: it serves once [`Self::warm`] says so.
    pub fn bring(&mut self, model: &Model) -> Result<(), Error> {
        let season = self.stream.season().unwrap_or(1);
        let steps = WARM_LEAST.max(4 * season).min(self.stream.window);
        self.incoming = Some(Incoming::new(model, self.directory.len(), steps)?);
        Ok(())
    }

    /// Warms at most `budget` series of the network that was brought; gives its version when it has
    /// begun to serve. Between rounds only.
    pub fn warm(&mut self, budget: usize) -> Result<Option<ModelVersion>, Error> {
        let Some(incoming) = &mut self.incoming else { return Ok(None) };
        incoming.stateful.grow(self.directory.len())?;
        let done =
            incoming.warm(budget, self.directory.len(), &self.windows, &self.scaler, &mut self.features)?;
        if !done {
            return Ok(None);
        }
        self.serving = self.incoming.take().map(|i| i.stateful);
        Ok(self.model())
    }

    /// Whether `version` neither serves nor is being brought in.
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

    /// Observed readings stepped, per series: the clock of the training schedule.
    pub fn age(&self) -> u64 {
        self.steps / self.directory.len().max(1) as u64
    }

    /// Sums since the last call.
    pub fn take_summary(&mut self) -> Summary {
        self.summary.take()
    }

    /// Copies for training of at most `most` series, spread evenly over all.
    pub fn samples(&self, most: usize) -> Vec<SeriesSample> {
        let n = self.directory.len();
        let taken = most.min(n);
        (0..taken)
            .map(|i| Slot((i * n / taken) as u32))
            .filter(|slot| !self.windows.view(*slot).is_empty())
            .map(|slot| SeriesSample {
                window: self.windows.view(slot).copy(),
                scales: self.scaler.scales(slot).to_vec(),
                lead_scales: self.lead_scales(slot).collect(),
            })
            .collect()
    }

    /// The typical error of the base at each target and lead: the network's unit. `[targets, horizon]`
    pub(super) fn lead_scales(&self, slot: Slot) -> impl Iterator<Item = f32> + '_ {
        let base = match self.stream.model.base {
            Base::Last => Expert::Last,
            Base::Seasonal => Expert::Seasonal,
        };
        let scales = self.scaler.scales(slot);
        (0..self.stream.targets.len()).flat_map(move |target| {
            let deviation = scales[target].deviation();
            let errors = self.scores.errors(slot.index(), target, base.index());
            errors.iter().map(move |e| if *e > 0.0 { (1.25 * e).max(0.02 * deviation) } else { deviation })
        })
    }

    /// A series' name.
    pub fn name(&self, slot: Slot) -> &str {
        self.directory.name(slot)
    }

    /// The recent readings of a series' target in its own units, oldest first, at most `most`; `None`
    /// where it was missing.
    pub fn recent(&self, slot: Slot, target: usize, most: usize) -> Vec<(EventTime, Option<f64>)> {
        let window = self.windows.view(slot);
        let anchor = self.scaler.anchor(slot, target);
        (0..window.len().min(most))
            .rev()
            .map(|age| {
                let value = f64::from(window.value(age, target)) + anchor;
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
        self.directory.memory()
            + self.order.memory()
            + self.scaler.memory()
            + self.windows.memory()
            + self.ledger.memory()
            + self.scores.memory()
            + self.intervals.memory()
            + self.serving.as_ref().map_or(0, Stateful::memory)
    }
}
