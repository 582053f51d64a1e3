use super::rounds::Turn;
use super::shard::Shard;
use crate::config::{Fill, Stream};
use crate::domain::{Forecast, ModelVersion, TargetForecast};
use crate::evaluation::{Entry, lead_buckets};
use crate::expert::{EMITTED, Expert, Past, last_value, seasonal_naive};
use crate::nn::Error;
use crate::series::{Slot, WindowView};
use crate::telemetry::Invariant;

const EXPERTS: usize = Expert::ALL.len();

/// Errors are shown in units of the series' deviation once it has this many readings.
const SHOWN_AFTER: u32 = 24;

/// A reading's answer.
pub struct Emitted<'a> {
    pub slot: Slot,
    pub series: &'a str,
    /// The key of the reading's record.
    pub key: Option<&'a [u8]>,
    /// The offset of the reading's record.
    pub offset: i64,
    pub model: Option<ModelVersion>,
    pub forecast: &'a Forecast,
    experts: &'a [f32],
    anchors: &'a [f64],
    horizon: usize,
}

impl Emitted<'_> {
    /// What one expert forecast, in the target's units; NaN when it could not.
    pub fn expert(&self, expert: Expert, target: usize, lead: usize) -> f64 {
        let at = (target * EXPERTS + expert.index()) * self.horizon + lead - 1;
        f64::from(self.experts[at]) + self.anchors[target]
    }
}

/// Buffers of the hot loop, kept from round to round so that it allocates nothing.
pub(super) struct Buffers {
    /// Slots that every table has room for.
    pub room: usize,
    values: Vec<f32>,
    observed: Vec<bool>,
    slots: Vec<u32>,
    x: Vec<f32>,
    y: Vec<f32>,
    warm_slots: Vec<u32>,
    warm_x: Vec<f32>,
    warm_y: Vec<f32>,
    /// `[targets, experts, horizon]`
    experts: Vec<f32>,
    /// `[targets, horizon]`
    lead_scales: Vec<f32>,
    anchors: Vec<f64>,
    bounds: Vec<f32>,
    available: [bool; EXPERTS],
    forecast: Forecast,
    buckets: Vec<Option<usize>>,
}

impl Buffers {
    pub fn new(stream: &Stream) -> Self {
        let (targets, h, levels) = (stream.targets.len(), stream.horizon, stream.levels.len());
        let target =
            TargetForecast { last: None, yhat: vec![0.0; h], quantiles: vec![0.0; levels * h], decimals: 0 };
        let leads = lead_buckets(h);
        Self {
            room: 0,
            values: vec![0.0; stream.width()],
            observed: vec![false; targets],
            slots: Vec::new(),
            x: Vec::new(),
            y: Vec::new(),
            warm_slots: Vec::new(),
            warm_x: Vec::new(),
            warm_y: Vec::new(),
            experts: vec![0.0; targets * EXPERTS * h],
            lead_scales: vec![0.0; targets * h],
            anchors: vec![0.0; targets],
            bounds: vec![0.0; levels],
            available: [true, stream.season().is_some(), true],
            forecast: Forecast {
                origin: crate::domain::EventTime::MIN,
                degraded: None,
                targets: vec![target; targets],
            },
            buckets: (1..=h).map(|lead| leads.iter().position(|l| *l == lead)).collect(),
        }
    }
}

/// One target of a window, as experts see it.
struct TargetPast<'a> {
    window: WindowView<'a>,
    target: usize,
}

impl Past for TargetPast<'_> {
    fn known(&self) -> usize {
        self.window.len()
    }

    fn value(&self, age: usize) -> f32 {
        self.window.value(age, self.target)
    }
}

impl Shard {
    /// Steps the next round, one reading a series, and answers each that is due. Gives how many
    /// series stepped; `None` when nothing waits.
    ///
    /// # Errors
    /// When the network can't step: a fault of the program or the device.
    pub fn run_round(&mut self, sink: &mut impl FnMut(Emitted<'_>)) -> Result<Option<usize>, Error> {
        let Some(turns) = self.rounds.next() else { return Ok(None) };
        for turn in &turns {
            self.copy_before_change(turn.slot)?;
        }
        let (inputs, outputs) = (self.features.inputs(), self.features.outputs());
        self.grow_networks()?;
        self.buffers.slots.clear();
        self.buffers.warm_slots.clear();
        self.buffers.x.resize(turns.len() * inputs, 0.0);
        self.buffers.y.resize(turns.len() * outputs, 0.0);
        for (i, turn) in turns.iter().enumerate() {
            self.take_in(turn)?;
            if self.serving.is_some() || self.incoming.is_some() {
                let row = &mut self.buffers.x[i * inputs..][..inputs];
                let window = self.windows.view(turn.slot);
                self.features.fill(&window, 0, self.scaler.scales(turn.slot), row);
            }
            self.buffers.slots.push(turn.slot.0);
        }
        if let Some(serving) = &mut self.serving {
            serving.step(&self.buffers.slots, &self.buffers.x, &mut self.buffers.y)?;
        }
        self.step_incoming(&turns)?;
        for (i, turn) in turns.iter().enumerate() {
            self.answer(turn, i * outputs, sink);
        }
        let stepped = turns.len();
        self.rounds.finish(turns);
        Ok(Some(stepped))
    }

    fn grow_networks(&mut self) -> Result<(), Error> {
        let slots = self.directory.slots();
        self.serving.as_mut().map_or(Ok(()), |s| s.grow(slots))?;
        self.incoming.as_mut().map_or(Ok(()), |i| i.stateful.grow(slots))
    }

    /// The warm states of a network that is to serve step along.
    fn step_incoming(&mut self, turns: &[Turn]) -> Result<(), Error> {
        let Some(incoming) = &mut self.incoming else { return Ok(()) };
        let (inputs, outputs) = (self.features.inputs(), self.features.outputs());
        let b = &mut self.buffers;
        b.warm_x.clear();
        for (i, turn) in turns.iter().enumerate().filter(|(_, turn)| incoming.is_warm(turn.slot)) {
            b.warm_slots.push(turn.slot.0);
            b.warm_x.extend_from_slice(&b.x[i * inputs..][..inputs]);
        }
        b.warm_y.resize(b.warm_slots.len() * outputs, 0.0);
        incoming.stateful.step(&b.warm_slots, &b.warm_x, &mut b.warm_y)
    }

    /// Scores what has matured, scales, and appends to the window.
    fn take_in(&mut self, turn: &Turn) -> Result<(), Error> {
        let slot = turn.slot;
        if turn.fresh {
            self.tables_mut().into_iter().for_each(|table| table.reset(slot.index()));
        }
        if turn.cold {
            self.windows.clear(slot);
            self.ledger.clear(slot.index());
            self.serving.as_mut().map_or(Ok(()), |s| s.reset(slot))?;
            self.incoming.as_mut().map_or(Ok(()), |i| i.stateful.reset(slot))?;
        }
        let targets = self.stream.targets.len();
        let now = self.windows.total(slot);
        let window = self.windows.view(slot);
        let forward = window.is_empty() || window.cell(0) < turn.cell;
        self.violations.check(Invariant::TimeMovesForward, forward);
        self.steps += u64::from(turn.observed.is_some());
        for column in 0..self.stream.width() {
            let raw = turn.observed.as_ref().map_or(f64::NAN, |o| self.rounds.values(o)[column]);
            let value = self.scaler.relative(slot, column, raw);
            let window = self.windows.view(slot);
            let previous = (!window.is_empty()).then(|| window.value(0, column));
            let seen = value.is_finite();
            if column < targets {
                self.buffers.observed[column] = seen;
                if seen {
                    self.score(slot, column, now, turn.cell, value);
                }
            }
            if seen {
                self.scaler.update(slot, column, value, previous);
            }
            self.buffers.values[column] =
                if seen { value } else { self.filling(slot, column, now, previous.unwrap_or(0.0)) };
        }
        self.windows.push(slot, turn.cell, &self.buffers.values, &self.buffers.observed);
        Ok(())
    }

    /// What stands in for a missing value.
    fn filling(&self, slot: Slot, column: usize, now: u64, previous: f32) -> f32 {
        if column >= self.stream.targets.len() || self.stream.fill != Fill::Forecast {
            return previous;
        }
        let point = self.ledger.matured(slot.index(), column, now, 1).point;
        if point.is_finite() { point } else { previous }
    }

    /// Scores the forecasts that speak of step `now` against what has arrived: predict, score, learn.
    fn score(&mut self, slot: Slot, target: usize, now: u64, cell: i64, value: f32) {
        let window = self.windows.view(slot);
        let scale = self.scaler.scales(slot)[target];
        let per_deviation = if scale.readings() < SHOWN_AFTER { f32::NAN } else { 1.0 / scale.deviation() };
        for lead in 1..=self.stream.horizon.min(window.len()) {
            let due = self.ledger.matured(slot.index(), target, now, lead);
            if !due.scale.is_finite() {
                continue;
            }
            let age = lead - 1;
            let mut errors = [f32::NAN; EXPERTS];
            errors[Expert::Last.index()] = (window.value(age, target) - value).abs();
            if let Some(season) = self.stream.season() {
                errors[Expert::Seasonal.index()] = (window.seasonal(age, lead, season, target) - value).abs();
            }
            errors[Expert::Network.index()] = (due.network - value).abs();
            for (expert, error) in errors.iter().enumerate() {
                self.scores.update(slot.index(), target, expert, lead, *error);
            }
            if let Some(bucket) = self.buffers.buckets[lead - 1] {
                for (expert, error) in errors.iter().enumerate() {
                    self.summary.add_error(expert, bucket, error * per_deviation);
                }
                self.summary.add_error(EMITTED, bucket, (due.point - value).abs() * per_deviation);
                self.summary.add_coverage(bucket, value, due.bounds);
            }
            let (point, scale) = (due.point, due.scale);
            self.intervals.update(slot.index(), target, cell, lead, value, point, scale, due.bounds);
        }
    }

    /// Forecasts from the newest reading of a series, and emits when it is due.
    fn answer(&mut self, turn: &Turn, y_at: usize, sink: &mut impl FnMut(Emitted<'_>)) {
        let slot = turn.slot;
        let (targets, h) = (self.stream.targets.len(), self.stream.horizon);
        let now = self.windows.total(slot) - 1;
        self.fill_experts(slot, y_at);
        let networked = self.serving.is_some();
        for target in 0..targets {
            let scale = self.scaler.scales(slot)[target];
            let anchor = self.scaler.anchor(slot, target);
            let window = self.windows.view(slot);
            let seen = turn.observed.is_some() && window.observed(0, target);
            let b = &mut self.buffers;
            b.anchors[target] = anchor;
            let out = &mut b.forecast.targets[target];
            out.last = seen.then(|| f64::from(window.value(0, target)) + anchor);
            out.decimals = decimals(scale.deviation());
            b.available[Expert::Network.index()] = networked;
            for lead in 1..=h {
                let by = |expert: usize| b.experts[(target * EXPERTS + expert) * h + lead - 1];
                let best = self.scores.best(slot.index(), target, lead, &b.available, Expert::Last.index());
                let point = by(best);
                let guess = if scale.readings() > 1 { scale.deviation() } else { 0.0 };
                let error = self.intervals.quantiles(
                    slot.index(),
                    target,
                    turn.cell + lead as i64,
                    lead,
                    point,
                    guess,
                    &mut b.bounds,
                );
                let ascends = b.bounds.is_sorted() && b.bounds.iter().all(|bound| bound.is_finite());
                self.violations.check(Invariant::QuantilesAscend, ascends);
                let network = if networked { by(Expert::Network.index()) } else { f32::NAN };
                // A forecast from a filled cell is stepped on, but never judged.
                let judged = if turn.observed.is_some() { error } else { f32::NAN };
                let entry = Entry { point, network, scale: judged, bounds: &b.bounds };
                self.ledger.issue(slot.index(), target, now, lead, entry);
                out.yhat[lead - 1] = f64::from(point) + anchor;
                for (level, bound) in b.bounds.iter().enumerate() {
                    out.quantiles[level * h + lead - 1] = f64::from(*bound) + anchor;
                }
            }
        }
        let Some(observed) = turn.observed.as_ref() else { return };
        if !observed.answer {
            self.accounts.silent += 1;
            return;
        }
        self.accounts.answered += 1;
        let again = observed.offset < self.emit_from && !self.order.has_held();
        self.violations.check(Invariant::AnsweredOnce, !again);
        let newest = self.windows.view(slot).cell(0);
        self.violations.check(Invariant::NothingFromLater, newest == turn.cell);
        self.buffers.forecast.origin = self.stream.grid.start_of(turn.cell);
        self.buffers.forecast.degraded = self.degraded();
        sink(Emitted {
            slot,
            series: self.rounds.name(observed),
            key: self.rounds.key(observed),
            offset: observed.offset,
            model: self.model(),
            forecast: &self.buffers.forecast,
            experts: &self.buffers.experts,
            anchors: &self.buffers.anchors,
            horizon: h,
        });
    }

    /// What each expert says of each target and lead, from the newest reading.
    fn fill_experts(&mut self, slot: Slot, y_at: usize) {
        let (targets, h) = (self.stream.targets.len(), self.stream.horizon);
        let mut lead_scales = std::mem::take(&mut self.buffers.lead_scales);
        lead_scales.iter_mut().zip(self.lead_scales(slot)).for_each(|(to, from)| *to = from);
        let window = self.windows.view(slot);
        let b = &mut self.buffers;
        for target in 0..targets {
            let past = TargetPast { window, target };
            let rows = &mut b.experts[target * EXPERTS * h..][..EXPERTS * h];
            let (last, rest) = rows.split_at_mut(h);
            let (seasonal, network) = rest.split_at_mut(h);
            last_value(&past, last);
            match self.stream.season() {
                Some(season) => seasonal_naive(&past, season, seasonal),
                None => seasonal.fill(f32::NAN),
            }
            if self.serving.is_some() {
                for (i, point) in network.iter_mut().enumerate() {
                    let at = target * h + i;
                    let correction = b.y[y_at + at] * lead_scales[at];
                    *point = self.features.base(&window, 0, i + 1, target) + correction;
                }
            } else {
                network.fill(f32::NAN);
            }
        }
        self.buffers.lead_scales = lead_scales;
    }
}

/// Decimals that keep a forecast to a ten-thousandth of the series' deviation.
fn decimals(deviation: f32) -> u8 {
    (4.0 - deviation.max(1e-30).log10().floor()).clamp(0.0, 15.0) as u8
}
