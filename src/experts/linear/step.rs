//! One reading of one target: the blocks learn from the origin whose last target it is, the states move, and
//! all leads are forecast.

use super::super::Observation;
use super::super::state_table::StateRow;
use super::features::Feature;
use super::frame::{Frame, Rounding, narrow, wide, widen};
use super::holt_winters::Level;
use super::kernels::{LearnAndForecast, Learning};
use super::layout::{BEFORE, Baseline, LinearLayout, RlsBlock, WORD};
use super::regressors::{FEATURE_MAX, Past, extra_in_range, fill_features};
use super::root::{CovarianceRoot, Gain};
use super::state::{BLOCKS_MAX, LinearState, NEVER, Scratch};
use crate::domain::seasonal_age;
use crate::simd::{Isa, prefetch_second};

/// The covariance of a new series is this many times that of the mature series: their experience counts
/// an eighth.
const DOUBT: f32 = 8.0;
/// A block whose corrections exceed this many units has diverged and starts again.
const CORRECTION_MAX: f32 = 1_000.0;
/// A block younger than this, in readings, starts again when its unit has to change.
const YOUNG: u64 = 96;
/// From this many origins on a block may learn from every so-manieth one only.
const MATURE: u64 = 1_000;
/// The slowest rate at which the size of errors is learnt.
const ERROR_RATE: f32 = 0.005;
/// Values are limited to this, so that their squares are finite.
const VALUE_MAX: f32 = 1e15;
/// A smaller spread counts as 0: its square is not a normal float.
const SPREAD_LEAST: f32 = 1e-15;

/// One step of one target of one series.
pub(super) struct SeriesStep<'a> {
    pub layout: &'a LinearLayout,
    pub isa: Isa,
    pub scratch: &'a mut Scratch,
    /// What a new series starts from.
    pub pooled: Option<&'a [f32]>,
    pub row: StateRow<'a, LinearState>,
    /// Blocks that are mature learn from every so-manieth origin.
    pub every: u32,
}

impl SeriesStep<'_> {
    /// Learns from the reading, then forecasts. `out`: `[experts, horizon]`
    pub fn step(&mut self, reading: &Observation<'_>, out: &mut [f32]) {
        let now = self.row.state.steps;
        let observed = reading.observed && reading.value.is_finite();
        let value = match reading.value {
            value if value.is_finite() => value.clamp(-VALUE_MAX, VALUE_MAX),
            _ if now > 0 => reading.past.value(1),
            _ => 0.0,
        };
        let present = Past { past: reading.past, value, ago: 0, step: now, season: self.layout.season };
        if observed {
            let state = &mut *self.row.state;
            state.range.update(value, state.readings, self.layout.mean_rates[1]);
        }
        let has_blocks = self.layout.has_blocks();
        self.begin_or_refit(now, value);
        let origin = if has_blocks { self.learnt_from(present, observed, reading) } else { None };
        let mut rounding = Rounding::of(now);
        self.move_states(now, reading.clock, value, observed, &mut rounding);
        self.fill_bases(present, reading.clock);
        self.forecast_without_blocks(reading.clock, value, out);
        if has_blocks {
            self.keep_origin(present, reading);
            self.forecast_blocks(now, origin, out);
        }
        let range = &self.row.state.range;
        out.iter_mut().for_each(|f| *f = range.clamp(*f));
        self.row.state.steps = now.wrapping_add(1);
    }

    /// Starts the blocks once the series is known, and changes its frame when it no longer fits.
    fn begin_or_refit(&mut self, now: u64, value: f32) {
        let state = &mut *self.row.state;
        if now == 0 && state.readings == 0 {
            state.frame.centre = value;
        }
        let (deviation, mean) = (state.range.deviation(), state.range.centre);
        if deviation < SPREAD_LEAST {
            return;
        }
        let begins = state.since[0] == NEVER && state.readings as usize >= self.layout.start;
        if begins || !state.frame.fits(mean, deviation) {
            self.refit(now, Frame { centre: mean, unit: deviation });
        }
        if begins {
            self.row.state.since = [now; BLOCKS_MAX];
            self.start_from_pooled();
        }
    }

    /// Starts the blocks from what the mature series have learnt.
    fn start_from_pooled(&mut self) {
        let from = self.layout.blocks_from();
        let Some(pooled) = self.pooled else { return };
        let halves = &mut self.row.halves[from..][..pooled.len()];
        halves.iter_mut().zip(pooled).for_each(|(half, pooled)| *half = narrow(*pooled));
        for (b, block) in self.layout.blocks.iter().enumerate() {
            let root = &mut self.row.halves[block.root.clone()];
            block.covariance.scale(root, DOUBT);
            self.row.state.traces[b] = block.covariance.trace(root);
            if !CovarianceRoot::is_sound(self.row.state.traces[b]) {
                block.covariance.fill(root);
                self.row.state.traces[b] = block.features as f32;
            }
            // The size of its errors is learnt from the series itself.
            self.row.halves[block.errors.clone()].fill(0);
        }
    }

    /// Holds everything in another frame. Blocks learn their covariance again if their unit changes.
    fn refit(&mut self, now: u64, frame: Frame) {
        let (layout, old) = (self.layout, self.row.state.frame);
        self.row.state.frame = frame;
        let halves = &mut *self.row.halves;
        layout.holt_halves.iter().for_each(|at| old.move_differences(frame, &mut halves[at.clone()]));
        layout.profile_halves.iter().for_each(|at| old.move_values(frame, &mut halves[at.clone()]));
        let before = &mut halves[layout.before.clone()];
        let (profile, holt) = before.split_at_mut(before.len() / BEFORE);
        old.move_values(frame, profile);
        old.move_differences(frame, holt);
        // Extras have no unit.
        let in_units = layout.kept() - (layout.extras - layout.shown_again);
        for kept in halves[layout.origins.clone()].chunks_exact_mut(layout.kept().max(1)) {
            old.move_differences(frame, &mut kept[..in_units]);
        }
        if old.unit == 0.0 || old.unit == frame.unit {
            return;
        }
        for b in 0..layout.blocks.len() {
            // The features of such a block were limited most of the time; its weights are of no use.
            if now.saturating_sub(self.row.state.since[b]) < YOUNG {
                self.restart(b, now);
            } else {
                self.rescale(b, old.unit / frame.unit);
            }
        }
    }

    /// Makes a block learn its covariance again. `scale`: the old unit over the new.
    fn rescale(&mut self, b: usize, scale: f32) {
        let (layout, block) = (self.layout, &self.layout.blocks[b]);
        let n = block.padded();
        let scale_all = |halves: &mut [u16]| halves.iter_mut().for_each(|h| *h = narrow(wide(*h) * scale));
        for weights in self.row.halves[block.weights.clone()].chunks_exact_mut(n) {
            // Weights of differences have no unit; those of the constant and the extras have.
            scale_all(&mut weights[..1]);
            scale_all(&mut weights[layout.features.len().min(n)..]);
        }
        scale_all(&mut self.row.halves[block.errors.clone()]);
        block.covariance.fill(&mut self.row.halves[block.root.clone()]);
        self.row.state.traces[b] = block.features as f32;
    }

    /// Resets a block to its initial state.
    fn restart(&mut self, b: usize, now: u64) {
        let block = &self.layout.blocks[b];
        self.row.halves[block.weights.clone()].fill(0);
        self.row.halves[block.errors.clone()].fill(0);
        self.rescale(b, 1.0);
        if self.row.state.since[b] != NEVER {
            self.row.state.since[b] = now;
        }
    }

    /// Finds the origin whose last target this step is, and prepares what is learnt from it: its features, and
    /// all readings after it less what each baseline forecast of them. `None` if there is nothing to learn.
    fn learnt_from(&mut self, present: Past<'_>, observed: bool, reading: &Observation<'_>) -> Option<u64> {
        let (layout, now) = (self.layout, present.step);
        let horizon = layout.horizon;
        let newest = (now % horizon as u64) as usize;
        let word = &mut self.row.halves[layout.observed.start + newest / WORD];
        *word = *word & !(1 << (newest % WORD)) | u16::from(observed) << (newest % WORD);
        let origin = now.checked_sub(horizon as u64)?;
        let learnt = origin.checked_sub(*self.row.state.since.iter().min()?)?;
        if learnt >= MATURE && !origin.is_multiple_of(u64::from(self.every)) {
            return None;
        }
        let past = Past { ago: horizon, step: origin, ..present };
        let mut any = false;
        for (lead, reading) in (1..=horizon).zip(self.scratch.readings.iter_mut()) {
            // The place of the origin is that of the newest step too.
            let at = if newest + lead < horizon { newest + lead } else { newest + lead - horizon };
            let seen = self.row.halves[layout.observed.start + at / WORD] >> (at % WORD) & 1 == 1;
            let ago = horizon - lead;
            let value = if ago == 0 { present.value } else { present.past.value(ago) };
            *reading = if seen { value } else { f32::NAN };
            any |= seen;
        }
        if !any {
            return None;
        }
        self.fill_arrived(past, newest, reading.clock);
        let kept = layout.origins.start + newest * layout.kept();
        widen(&self.row.halves[kept..][..layout.kept()], &mut self.scratch.kept);
        let Scratch { then, kept, .. } = &mut *self.scratch;
        fill_features(layout, past, self.row.state.frame.unit, kept, reading.then, then);
        Some(origin)
    }

    /// The readings after an origin less the forecast of each baseline, at each weighted lead, in units.
    /// `newest`: the place of the origin and of the newest step among the last origins.
    fn fill_arrived(&mut self, past: Past<'_>, newest: usize, clock: i64) {
        let (layout, value) = (self.layout, past.value(0));
        let (horizon, n) = (layout.horizon, layout.leads.len());
        let (halves, state) = (&*self.row.halves, &*self.row.state);
        let Scratch { arrived, readings, before, .. } = &mut *self.scratch;
        let per_unit = state.frame.unit.recip();
        let (last, rest) = arrived.split_at_mut(n);
        let (seasonal, rest) = rest.split_at_mut(n);
        let (profile, holt) = rest.split_at_mut(n);
        let leads = layout.leads.weighted();
        for (last, lead) in last.iter_mut().zip(leads) {
            *last = (readings[lead - 1] - value) * per_unit;
        }
        if let Some(m) = layout.season {
            for (seasonal, lead) in seasonal.iter_mut().zip(leads) {
                let age = if *lead <= m { m - lead } else { seasonal_age(m, *lead) };
                *seasonal = (readings[lead - 1] - past.value(age)) * per_unit;
            }
        }
        if !layout.has_levels() {
            return;
        }
        let [mut long_now, mut season_now, mut mean_now] = [0.0; 3];
        if let Some(m) = layout.season {
            widen(&halves[layout.before.clone()], before);
            let held = layout.holts[1].held(&halves[layout.holt_halves[1].clone()], clock);
            [season_now, long_now] = held.map(wide);
            mean_now = wide(layout.profiles[0].held(&halves[layout.profile_halves[0].clone()], clock));
            debug_assert!(m > 0);
        }
        let kept = layout.origins.start + newest * layout.kept() + layout.slow().count();
        let [level, error] = [0, 1].map(|i| state.frame.difference(halves[kept + i]));
        let level = level + value;
        let [m, long] = layout.holts[1].seasons();
        let (means, seasons) = before.split_at(horizon);
        let (seasons, longs) = seasons.split_at(horizon);
        // What a seasonal state was at the origin: that before the first step with the target's phase.
        let state_then = |of: &[f32], now: f32, season: usize, lead: usize| {
            let first = if lead <= season { lead } else { (lead - 1) % season + 1 };
            if first == horizon {
                return now;
            }
            let at = newest + first;
            of[if at < horizon { at } else { at - horizon }]
        };
        for (i, lead) in leads.iter().enumerate() {
            let mut forecast = level + layout.carries[lead - 1] * error;
            if m > 0 {
                forecast += state.frame.unit * state_then(seasons, season_now, m, *lead);
                let mean = state_then(means, mean_now, m, *lead);
                let mean = mean * state.frame.unit + state.frame.centre;
                let mean = if mean.is_nan() { value } else { mean };
                profile[i] = (readings[lead - 1] - mean) * per_unit;
            }
            if long > 0 {
                forecast += state.frame.unit * state_then(longs, long_now, long, *lead);
            }
            holt[i] = (readings[lead - 1] - forecast) * per_unit;
        }
    }

    /// Updates means, profiles and Holt-Winters. What seasonal states were before is kept with the step.
    fn move_states(&mut self, now: u64, clock: i64, value: f32, observed: bool, rounding: &mut Rounding) {
        let layout = self.layout;
        let (halves, state) = (&mut *self.row.halves, &mut *self.row.state);
        let frame = state.frame;
        if layout.has_levels() {
            if layout.season.is_some() {
                let at = layout.before.start + (now % layout.horizon as u64) as usize;
                let held = layout.holts[1].held(&halves[layout.holt_halves[1].clone()], clock);
                let mean = layout.profiles[0].held(&halves[layout.profile_halves[0].clone()], clock);
                for (k, held) in [mean, held[0], held[1]].into_iter().enumerate() {
                    halves[at + k * layout.horizon] = held;
                }
            }
            for (k, holt) in layout.holts.iter().enumerate() {
                let seasons = &mut halves[layout.holt_halves[k].clone()];
                let reading = (observed.then_some(value), state.readings);
                holt.update(&mut state.levels[k], seasons, clock, reading, frame, rounding);
            }
        }
        if !observed {
            return;
        }
        for (profile, at) in
            layout.profiles.iter().zip(&layout.profile_halves).filter(|(_, at)| !at.is_empty())
        {
            profile.update(&mut halves[at.clone()], clock, (value, state.readings), frame, rounding);
        }
        let young = 1.0 / (state.readings as f32 + 1.0);
        for (mean, rate) in state.means.iter_mut().zip(layout.mean_rates) {
            *mean += rate.max(young) * (value - *mean);
        }
        state.readings = state.readings.saturating_add(1);
    }

    /// The forecasts of the baselines.
    fn fill_bases(&mut self, present: Past<'_>, clock: i64) {
        let (layout, value) = (self.layout, present.value);
        let (halves, frame) = (&*self.row.halves, self.row.state.frame);
        let Scratch { bases, seasons, .. } = &mut *self.scratch;
        let (last, rest) = bases.split_at_mut(layout.horizon);
        let (seasonal, rest) = rest.split_at_mut(layout.horizon);
        let (profile, holt) = rest.split_at_mut(layout.horizon);
        last.fill(value);
        if let Some(m) = layout.season {
            let (first, repeated) = seasonal.split_at_mut(m.min(layout.horizon));
            first.iter_mut().enumerate().for_each(|(i, point)| *point = present.value(m - 1 - i));
            for (i, point) in repeated.iter_mut().enumerate() {
                *point = first[i % m];
            }
        }
        if !layout.has_levels() {
            return;
        }
        if layout.season.is_some() {
            let means = &halves[layout.profile_halves[0].clone()];
            layout.profiles[0].fill(means, clock, value, frame, profile);
        }
        let held = &halves[layout.holt_halves[1].clone()];
        layout.holts[1].fill(self.row.state.levels[1], held, (clock, frame), &layout.carries, holt, seasons);
    }

    /// The forecasts of the experts without a block.
    fn forecast_without_blocks(&mut self, clock: i64, value: f32, out: &mut [f32]) {
        let layout = self.layout;
        let horizon = layout.horizon;
        let (last, rest) = out.split_at_mut(horizon);
        last.fill(value);
        if layout.season.is_none() {
            return;
        }
        let (seasonal, rest) = rest.split_at_mut(horizon);
        seasonal.copy_from_slice(&self.scratch.bases[Baseline::Seasonal as usize * horizon..][..horizon]);
        if !layout.has_profile_expert() {
            return;
        }
        let k = layout.profiles.len() - 1;
        let means = &self.row.halves[layout.profile_halves[k].clone()];
        layout.profiles[k].fill(means, clock, value, self.row.state.frame, &mut rest[..horizon]);
    }

    /// Keeps what can't be found again of the newest origin, and finds its features.
    fn keep_origin(&mut self, present: Past<'_>, reading: &Observation<'_>) {
        let (layout, now, value) = (self.layout, present.step, present.value);
        assert_eq!(reading.extras.len(), layout.extras);
        let (state, frame) = (&*self.row.state, self.row.state.frame);
        let (again, rest) = reading.extras.split_at(layout.shown_again);
        let halves = &*self.row.halves;
        let mut kept = self.scratch.kept.iter_mut();
        let mut put = |value: f32| *kept.next().expect("kept() counts what is put") = value;
        for feature in layout.slow() {
            let forecast = match feature {
                Feature::Mean(k) => state.means[k],
                Feature::Profile(k, lead) => {
                    let means = &halves[layout.profile_halves[k].clone()];
                    layout.profiles[k].forecast(means, reading.clock + lead as i64, value, frame)
                }
                Feature::Holt(k, lead) => {
                    let held = &halves[layout.holt_halves[k].clone()];
                    let carry = layout.holt_carries[k][usize::from(lead > 1)];
                    layout.holts[k].forecast(state.levels[k], held, (reading.clock, lead), carry, frame)
                }
                Feature::One | Feature::Lag(_) | Feature::Difference(_) => unreachable!("it is no slow one"),
            };
            put(frame.in_units(forecast - value).clamp(-FEATURE_MAX, FEATURE_MAX));
        }
        if !layout.difference() {
            let Level { level, error } = state.levels[1];
            put(frame.in_units(level - value));
            put(frame.in_units(error));
        }
        rest.iter().for_each(|extra| put(extra_in_range(*extra)));
        let newest = (now % layout.horizon as u64) as usize;
        let to = &mut self.row.halves[layout.origins.start + newest * layout.kept()..][..layout.kept()];
        to.iter_mut().zip(&self.scratch.kept).for_each(|(to, from)| *to = narrow(*from));
        // Forecasting and learning see the same values.
        widen(to, &mut self.scratch.kept);
        let Scratch { x, kept, .. } = &mut *self.scratch;
        fill_features(layout, present, frame.unit, kept, again, x);
    }

    /// Each block learns from an origin, if there is one, and forecasts.
    fn forecast_blocks(&mut self, now: u64, origin: Option<u64>, out: &mut [f32]) {
        let layout = self.layout;
        let (horizon, leads) = (layout.horizon, layout.leads.len());
        let unit = self.row.state.frame.unit;
        let mut points = out[layout.plain() * horizon..].chunks_exact_mut(horizon);
        for (b, block) in layout.blocks.iter().enumerate() {
            let begun = self.row.state.since[b] <= now;
            let rows = block.bases.len() * leads;
            if begun {
                self.run_block(b, block, origin);
            }
            let Scratch { corrections, bases, .. } = &mut *self.scratch;
            let corrections = &mut corrections[..rows];
            let broken = begun && !corrections.iter().all(|c| c.abs() < CORRECTION_MAX);
            let forecasts = |base: Baseline| &bases[base as usize * horizon..][..horizon];
            for (base, corrections) in block.bases.iter().zip(corrections.chunks_exact_mut(leads)) {
                let Some(points) = points.next() else { break };
                if !begun || broken {
                    points.copy_from_slice(forecasts(*base));
                    continue;
                }
                let shape = layout.shape_between(*base);
                points.copy_from_slice(forecasts(shape));
                if shape != *base {
                    let (base, per_unit) = (forecasts(*base), unit.recip());
                    for (correction, lead) in corrections.iter_mut().zip(layout.leads.weighted()) {
                        *correction += (base[lead - 1] - points[lead - 1]) * per_unit;
                    }
                }
                layout.leads.add(corrections, unit, points);
            }
            if broken {
                self.restart(b, now.wrapping_add(1));
            }
        }
    }

    /// Lets a block learn and correct its baselines.
    fn run_block(&mut self, b: usize, block: &RlsBlock, origin: Option<u64>) {
        let (n, leads) = (block.padded(), self.layout.leads.len());
        let StateRow { state, halves, .. } = &mut self.row;
        let Scratch { x, then, own_x, own_then, k, arrived, targets, corrections, .. } = &mut *self.scratch;
        // A block takes the first features; the rest of their last register is padding.
        let own = |from: &[f32], to: &mut [f32]| {
            to[..block.features].copy_from_slice(&from[..block.features]);
            to[block.features..n].fill(0.0);
        };
        own(x, own_x);
        let rows = block.bases.len() * leads;
        let learnt = origin.and_then(|origin| origin.checked_sub(state.since[b]));
        let (weights, rest) = halves[block.weights.start..].split_at_mut(block.weights.len());
        let (root, errors) = rest.split_at_mut(block.root.len());
        let mut learning = None;
        if let (Some(learnt), Some(origin)) = (learnt, origin) {
            own(then, own_then);
            let every = if learnt >= MATURE { self.every } else { 1 };
            let forgetting = block.covariance.forgetting(state.traces[b], every);
            let (x, seed) = (&own_then[..n], (origin, b as u32));
            // They come into the cache while the gain is computed.
            prefetch_second(weights);
            let trace = self.isa.run_halves(Gain { root, x, forgetting, seed, k: &mut k[..n] });
            state.traces[b] = trace;
            if !CovarianceRoot::is_sound(trace) {
                block.covariance.fill(root);
                state.traces[b] = block.features as f32;
                k.fill(0.0);
            }
            for (i, base) in block.bases.iter().enumerate() {
                targets[i * leads..][..leads].copy_from_slice(&arrived[*base as usize * leads..][..leads]);
            }
            targets[rows..block.errors.len()].fill(f32::NAN);
            learning = Some(Learning {
                x,
                k: &k[..n],
                targets: &targets[..block.errors.len()],
                errors: &mut errors[..block.errors.len()],
                rate: ERROR_RATE.max(1.0 / (learnt + 1) as f32),
                seed: (origin, (BLOCKS_MAX + b) as u32),
            });
        }
        self.isa.run_halves(LearnAndForecast {
            weights,
            origin: learning,
            x: &own_x[..n],
            corrections: &mut corrections[..block.errors.len()],
            rows,
        });
    }
}
