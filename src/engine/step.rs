//! A round from end to end, a tile of series at a time: what is said of one waits in the cache for its
//! network.

use super::mixture::{At, Lanes};
use super::rounds::{Answer, Turn};
use super::shard::Shard;
use crate::config::Stream;
use crate::domain::{
    AnomalyScore, Crossing, EventTime, Forecast, Frame, ModelVersion, Rows, TargetForecast, Transform,
};
use crate::experts::Observation;
use crate::nn::Error;
use crate::series::{Features, Slot};
use crate::telemetry::Invariant;

/// Series that are taken in, stepped and answered together.
const TILE: usize = 128;

/// A reading's answer.
pub struct Emitted<'a> {
    pub slot: Slot,
    pub series: &'a str,
    /// The key of the reading's record.
    pub key: Option<&'a [u8]>,
    /// The offset of the reading's record.
    pub offset: i64,
    pub model: Option<ModelVersion>,
    /// Whether `emit_every` leaves the forecast out: what it says of the reading itself holds.
    pub is_thinned: bool,
    pub forecast: &'a Forecast,
    /// `[targets, lanes, horizon]`
    said: &'a [f32],
    frames: &'a [Frame],
    supports: &'a [[f64; 2]],
    lanes: Lanes,
    horizon: usize,
}

impl Emitted<'_> {
    /// What one of those that are judged ([`Shard::judged`]) said, in the target's units; NaN when it
    /// could not.
    pub fn said(&self, judged: usize, target: usize, lead: usize) -> f64 {
        let lane = self.lanes.judged().nth(judged).expect("one of those that are judged");
        let at = (target * self.lanes.count() + lane) * self.horizon + lead - 1;
        let [lowest, highest] = self.supports[target];
        self.frames[target].tell(self.said[at]).clamp(lowest, highest)
    }

    /// What one of the networks said by itself, in the order of the config.
    pub fn network(&self, network: usize, target: usize, lead: usize) -> f64 {
        self.said(self.lanes.experts + 1 + network, target, lead)
    }
}

/// Buffers of the hot loop, kept from round to round so that it allocates nothing.
pub(super) struct Buffers {
    /// Slots that every table has room for.
    pub room: usize,
    pub values: Vec<f32>,
    pub observed: Vec<bool>,
    /// What is believed of each target. `[targets]`
    pub believed: Vec<f32>,
    extras: Vec<f32>,
    /// What was said ahead of this reading. `[known ahead]`
    pub foretold: Vec<f32>,
    /// What is known of the leads, scaled. `[known ahead, horizon]`
    ahead: Vec<f32>,
    slots: Vec<u32>,
    /// Places of the tile's series. `[TILE]`
    places: Vec<At>,
    /// Believed values of the tile's series. `[TILE, targets]`
    origins: Vec<f32>,
    /// How surprising the tile's readings are. `[TILE]`
    pub scores: Vec<AnomalyScore>,
    /// What was said of them a step before: point and bounds. `[TILE, targets, 1 + levels]`
    pub expected: Vec<f32>,
    /// What is said of the tile's series. `[TILE, targets, lanes, horizon]`
    said: Vec<f32>,
    /// What the networks are shown of them. `[TILE, inputs]`
    x: Vec<f32>,
    /// What the networks make of it. `[networks, the tile's series, targets, learnt leads]`
    y: Vec<f32>,
    warm_slots: Vec<u32>,
    warm_x: Vec<f32>,
    warm_y: Vec<f32>,
    /// What a network corrects, and its unit there. `[targets, learnt leads]`
    bases: Vec<f32>,
    lead_scales: Vec<f32>,
    /// `[targets]`
    frames: Vec<Frame>,
    /// Between which values each target is told. `[targets]`
    supports: Vec<[f64; 2]>,
    forecast: Forecast,
    /// For each learnt lead which of the summary's buckets it is.
    pub buckets: Vec<Option<usize>>,
}

impl Buffers {
    pub fn new(stream: &Stream, features: &Features, lanes: Lanes, buckets: &[usize]) -> Self {
        let (targets, h, levels) = (stream.targets.len(), stream.horizon, stream.levels.len());
        let leads = stream.leads();
        let target = TargetForecast {
            last: None,
            expected: Vec::with_capacity(1 + levels),
            yhat: vec![0.0; h],
            quantiles: vec![0.0; levels * h],
            decimals: 0,
        };
        Self {
            room: 0,
            values: vec![0.0; stream.width()],
            observed: vec![false; targets],
            believed: vec![0.0; targets],
            extras: vec![0.0; features.extras()],
            foretold: vec![f32::NAN; stream.known_ahead.len()],
            ahead: vec![0.0; stream.known_ahead.len() * h],
            slots: Vec::with_capacity(TILE),
            places: Vec::with_capacity(TILE),
            origins: vec![0.0; TILE * targets],
            scores: vec![AnomalyScore::default(); TILE],
            expected: vec![f32::NAN; TILE * targets * (1 + levels)],
            said: vec![0.0; TILE * targets * lanes.count() * h],
            x: vec![0.0; TILE * features.inputs()],
            y: vec![0.0; lanes.networks * TILE * features.outputs()],
            warm_slots: Vec::with_capacity(TILE),
            warm_x: Vec::new(),
            warm_y: Vec::new(),
            bases: vec![0.0; targets * leads.len()],
            lead_scales: vec![0.0; targets * leads.len()],
            frames: vec![Frame::new(Transform::None, 0.0); targets],
            supports: vec![[f64::NEG_INFINITY, f64::INFINITY]; targets],
            forecast: Forecast {
                origin: EventTime::MIN,
                degraded: None,
                anomaly: AnomalyScore::default(),
                limits: vec![Crossing::default(); stream.alarms.limits.len()],
                targets: vec![target; targets],
            },
            buckets: leads.learnt().iter().map(|lead| buckets.iter().position(|b| b == lead)).collect(),
        }
    }
}

impl Shard {
    /// Steps the next round, one reading a series, and answers each that is due. Gives how many
    /// series stepped; `None` when nothing waits.
    ///
    /// # Errors
    /// When the network can't step: a fault of the program or the device.
    pub fn run_round(&mut self, sink: &mut impl FnMut(Emitted<'_>)) -> Result<Option<usize>, Error> {
        while let Some(series) = self.rounds.pass_mark() {
            self.known = series as u64;
            self.mixture.publish();
        }
        let Some(turns) = self.rounds.next() else { return Ok(None) };
        self.grow_networks()?;
        for tile in turns.chunks(TILE) {
            self.run_tile(tile, sink)?;
        }
        let stepped = turns.len();
        self.rounds.finish(turns);
        Ok(Some(stepped))
    }

    fn run_tile(&mut self, tile: &[Turn], sink: &mut impl FnMut(Emitted<'_>)) -> Result<(), Error> {
        let (inputs, outputs) = (self.features.inputs(), self.features.outputs());
        let networks = self.mixture.lanes.networks;
        self.buffers.slots.clear();
        self.buffers.places.clear();
        for (i, turn) in tile.iter().enumerate() {
            if let Some(next) = tile.get(i + 1) {
                self.prefetch(next.slot);
            }
            self.copy_before_change(turn.slot)?;
            self.take_in(turn, i)?;
            self.buffers.slots.push(turn.slot.0);
        }
        if let Some(serving) = &mut self.serving {
            let (x, y) = (
                &self.buffers.x[..tile.len() * inputs],
                &mut self.buffers.y[..networks * tile.len() * outputs],
            );
            serving.step(&self.buffers.slots, x, y)?;
        }
        self.step_incoming(tile)?;
        for (i, turn) in tile.iter().enumerate() {
            self.answer(turn, i, sink);
        }
        Ok(())
    }

    fn prefetch(&self, slot: Slot) {
        let now = self.recent.total(slot);
        for target in 0..self.stream.targets.len() {
            self.mixture.prefetch(slot.index(), target, now);
        }
    }

    fn grow_networks(&mut self) -> Result<(), Error> {
        let slots = self.directory.slots();
        self.serving.as_mut().map_or(Ok(()), |s| s.grow(slots))?;
        self.incoming.as_mut().map_or(Ok(()), |i| i.stateful.grow(slots))
    }

    /// The warm states of networks that are to serve step along.
    fn step_incoming(&mut self, tile: &[Turn]) -> Result<(), Error> {
        let Some(incoming) = &mut self.incoming else { return Ok(()) };
        let (inputs, outputs) = (self.features.inputs(), self.features.outputs());
        let b = &mut self.buffers;
        b.warm_slots.clear();
        b.warm_x.clear();
        for (i, turn) in tile.iter().enumerate().filter(|(_, turn)| incoming.is_warm(turn.slot)) {
            b.warm_slots.push(turn.slot.0);
            b.warm_x.extend_from_slice(&b.x[i * inputs..][..inputs]);
        }
        b.warm_y.resize(self.mixture.lanes.networks * b.warm_slots.len() * outputs, 0.0);
        incoming.stateful.step(&b.warm_slots, &b.warm_x, &mut b.warm_y)
    }

    /// Scores what has matured, scales, lets the experts forecast, and notes what a network is shown.
    fn take_in(&mut self, turn: &Turn, tile_at: usize) -> Result<(), Error> {
        let slot = turn.slot;
        if turn.fresh {
            self.tables_mut().for_each(|table| table.reset(slot.index()));
        }
        if turn.cold {
            self.scaler.interrupt(slot);
            self.recent.clear(slot);
            self.outlook.reset(slot.index());
            self.learnt.clear(slot);
            self.others.clear(slot);
            self.mixture.interrupt(slot.index());
            self.alarms.interrupt(slot.index());
            self.serving.as_mut().map_or(Ok(()), |s| s.reset(slot))?;
            self.incoming.as_mut().map_or(Ok(()), |i| i.stateful.reset(slot))?;
        }
        let recent = self.recent.view(slot);
        let forward = recent.is_empty() || recent.cell(0) < turn.cell;
        self.violations.check(Invariant::TimeMovesForward, forward);
        self.steps += u64::from(turn.observed.is_some());
        let now = self.recent.total(slot);
        // The cells of an irregular stream have no phase: its seasons are counts of readings.
        let on_grid = self.stream.grid.interval().is_some();
        let clock = if on_grid { self.features.clock(turn.cell) } else { now as i64 };
        let place = At { slot: slot.index(), target: 0, now, clock };
        self.buffers.places.push(place);
        self.take_values(turn, place, tile_at);
        self.forecast(turn, place, tile_at);
        self.keep(turn, tile_at);
        Ok(())
    }

    /// Lets the experts forecast.
    fn forecast(&mut self, turn: &Turn, place: At, tile_at: usize) {
        let (h, targets) = (self.stream.horizon, self.stream.targets.len());
        let width = self.mixture.lanes.count() * h;
        let b = &mut self.buffers;
        let scales = self.scaler.scales(turn.slot);
        self.features.fill_ahead(&b.values, self.outlook.row(turn.slot.index()), scales, &mut b.ahead);
        self.features.fill_extras(turn.cell, &b.values, scales, &b.ahead, &mut b.extras);
        for target in 0..targets {
            let reading = Observation {
                value: b.believed[target],
                observed: b.observed[target],
                clock: place.clock,
                extras: &b.extras,
            };
            let said = &mut b.said[(tile_at * targets + target) * width..][..width];
            self.mixture.forecast(At { target, ..place }, &reading, said);
            b.origins[tile_at * targets + target] = b.believed[target];
        }
    }

    /// Keeps the reading, and what a network is shown of it.
    fn keep(&mut self, turn: &Turn, tile_at: usize) {
        let (h, targets, inputs) = (self.stream.horizon, self.stream.targets.len(), self.features.inputs());
        let width = self.mixture.lanes.count() * h;
        let b = &mut self.buffers;
        let (scales, learnt) = (self.scaler.scales(turn.slot), self.mixture.leads.learnt());
        for (target, scale) in scales.iter().enumerate().take(targets) {
            let said = &b.said[(tile_at * targets + target) * width..][..width];
            let bases = &mut b.bases[target * learnt.len()..][..learnt.len()];
            for (base, lead) in bases.iter_mut().zip(learnt) {
                *base = self.mixture.base_of(said, *lead, scale.mean);
            }
        }
        self.recent.push(turn.slot, turn.cell, &b.values, &b.observed);
        let row = &mut b.x[tile_at * inputs..][..inputs];
        let own = self.features.own();
        self.features.fill_own(&self.recent.view(turn.slot), scales, &b.bases, &b.ahead, &mut row[..own]);
        let windows = if self.learnt.holds(turn.slot) { &mut self.learnt } else { &mut self.others };
        windows.push(turn.slot, turn.cell, &row[..own]);
        if self.serving.is_some() || self.incoming.is_some() {
            self.features.complete(turn.cell, row);
        }
    }

    /// Mixes in the network, puts the intervals around it, notes it, and emits it if it is due.
    fn answer(&mut self, turn: &Turn, tile_at: usize, sink: &mut impl FnMut(Emitted<'_>)) {
        let (slot, place) = (turn.slot, self.buffers.places[tile_at]);
        let (h, targets) = (self.stream.horizon, self.stream.targets.len());
        let (lanes, learnt) = (self.mixture.lanes, self.mixture.leads.len());
        let width = lanes.count() * h;
        if self.serving.is_some() {
            let scales = self.scaler.scales(slot);
            let to = self.buffers.lead_scales.iter_mut();
            let from = self.mixture.lead_scales(slot.index(), |target| scales[target].deviation());
            to.zip(from).for_each(|(to, from)| *to = from);
        }
        for target in 0..targets {
            let at = At { target, ..place };
            let scale = self.scaler.scales(slot)[target];
            let frame = self.scaler.frame(slot, target);
            let recent = self.recent.view(slot);
            let is_seen = recent.observed(0, target);
            let b = &mut self.buffers;
            let [lowest, highest] = self.support.of(slot, target);
            b.frames[target] = frame;
            b.supports[target] = [lowest, highest];
            let out = &mut b.forecast.targets[target];
            let reading = turn.observed.as_ref().filter(|_| is_seen);
            out.last = reading.map(|observed| frame.in_range(self.rounds.values(observed)[target]));
            // Where a unit is worth the least, among what is usual and what is believed.
            let believed = b.origins[tile_at * targets + target];
            let slope = frame.slope(believed).min(frame.slope(scale.mean));
            out.decimals = decimals(f64::from(scale.deviation()) * slope);
            let said = &mut b.said[(tile_at * targets + target) * width..][..width];
            let (serving, y, tile) = (self.serving.as_ref(), &b.y, b.slots.len());
            let networks = (0..lanes.networks).map(|network| {
                let at = ((network * tile + tile_at) * targets + target) * learnt;
                serving.filter(|s| s.holds_network(network)).map(|_| &y[at..][..learnt])
            });
            let scales = &b.lead_scales[target * learnt..][..learnt];
            self.mixture.correct(at, networks, scales, scale.mean, said);
            let each = 1 + self.stream.levels.len();
            let expected = &b.expected[(tile_at * targets + target) * each..][..each];
            out.expected.clear();
            if expected[0].is_finite() {
                // As it was told, whatever this reading has shifted.
                let then = self.scaler.frame_at(slot, target, place.now.saturating_sub(1));
                let told = expected[1..].iter().map(|bound| then.tell_around(*bound, expected[0]));
                out.expected.push(then.tell(expected[0]));
                out.expected.extend(told);
                out.expected.iter_mut().for_each(|value| *value = value.clamp(lowest, highest));
            }
            let deviation = self.mixture.deviation(at.slot, target);
            let (violations, alarms) = (&mut self.violations, &mut self.alarms);
            self.mixture.surround(at, said, |lead, point, bounds| {
                alarms.forecast(target, lead, (point, deviation), bounds, (frame, believed));
                let ascends = bounds.is_sorted() && bounds.iter().all(|bound| bound.is_finite());
                violations.check(Invariant::QuantilesAscend, ascends);
                out.yhat[lead - 1] = frame.tell(point).clamp(lowest, highest);
                for (level, bound) in bounds.iter().enumerate() {
                    let told = frame.tell_around(*bound, point).clamp(lowest, highest);
                    out.quantiles[level * h + lead - 1] = told;
                }
            });
            // A forecast from a filled cell is stepped on, but never judged.
            let origin = b.origins[tile_at * targets + target];
            self.mixture.issue(at, origin, turn.observed.is_some(), said);
            self.alarms.expect(at, &said[lanes.point() * h..][..h]);
        }
        self.emit(turn, tile_at, sink);
    }

    fn emit(&mut self, turn: &Turn, tile_at: usize, sink: &mut impl FnMut(Emitted<'_>)) {
        let Some(observed) = turn.observed.as_ref() else { return };
        match observed.answer {
            Answer::Silent => {
                self.accounts.silent += 1;
                return;
            }
            Answer::Thinned => self.accounts.thinned += 1,
            Answer::Forecast => self.accounts.answered += 1,
        }
        let again = observed.offset < self.emit_from && !self.order.has_held();
        self.violations.check(Invariant::AnsweredOnce, !again);
        let newest = self.recent.view(turn.slot).cell(0);
        self.violations.check(Invariant::NothingFromLater, newest == turn.cell);
        self.buffers.forecast.origin = self.stream.grid.start_of(turn.cell);
        self.buffers.forecast.degraded = self.degraded();
        self.buffers.forecast.anomaly = self.buffers.scores[tile_at];
        self.alarms.crossings(turn.slot.index(), &mut self.buffers.forecast.limits);
        let (h, lanes, targets) = (self.stream.horizon, self.mixture.lanes, self.stream.targets.len());
        let width = targets * lanes.count() * h;
        sink(Emitted {
            slot: turn.slot,
            series: self.rounds.name(observed),
            key: self.rounds.key(observed),
            offset: observed.offset,
            model: self.model(),
            is_thinned: observed.answer == Answer::Thinned,
            forecast: &self.buffers.forecast,
            said: &self.buffers.said[tile_at * width..][..width],
            frames: &self.buffers.frames,
            supports: &self.buffers.supports,
            lanes,
            horizon: h,
        });
    }
}

/// Decimals that keep a forecast to a ten-thousandth of the series' deviation.
fn decimals(deviation: f64) -> u8 {
    (4.0 - deviation.max(1e-30).log10().floor()).clamp(0.0, 15.0) as u8
}
