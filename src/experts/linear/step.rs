//! One reading of one target: the blocks learn from it, the states move, and all leads are forecast.

use super::super::Observation;
use super::super::holt_winters::TimeIndex;
use super::super::state_table::StateRow;
use super::covariance::Gain;
use super::features::Feature;
use super::kernels::{GAIN_UNIT, LearnAndForecast, RoundToHalf};
use super::layout::{Baseline, LinearLayout, RlsBlock};
use super::state::{BLOCKS_MAX, LinearState, Scratch};
use crate::domain::seasonal_age;
use crate::simd::Isa;

/// The covariance of a new series is this many times that of the mature series: their experience counts
/// an eighth.
const DOUBT: f32 = 8.0;
/// Features are limited to this many deviations of the series.
const FEATURE_MAX: f32 = 50.0;
/// A block whose corrections exceed this many units has diverged and starts again.
const CORRECTION_MAX: f32 = 1_000.0;
/// The unit of the blocks is kept while the deviation stays within this factor of it.
const UNIT_FIT: f32 = 8.0;
/// A block younger than this, in readings, starts again when its unit has to change.
const YOUNG: u64 = 96;
/// Values are limited to this, so that their squares are finite.
const VALUE_MAX: f32 = 1e15;
/// A smaller spread counts as 0: its square is not a normal float.
const SPREAD_LEAST: f32 = 1e-15;

/// The value `age` steps before step `now`. Before the start it is the value of a season later, or else
/// the first value. `newest`: the place of step `now` in the ring.
#[inline(always)]
fn value_at(ring: &[f32], newest: usize, now: u64, season: Option<usize>, mut age: usize) -> f32 {
    if age as u64 > now {
        if let Some(m) = season {
            while age as u64 > now && age > m {
                age -= m;
            }
        }
        age = age.min(now as usize);
    }
    ring[if age <= newest { newest - age } else { newest + ring.len() - age }]
}

/// One step of one target of one series.
pub(super) struct SeriesStep<'a> {
    pub layout: &'a LinearLayout,
    pub isa: Isa,
    pub scratch: &'a mut Scratch,
    /// What a new series starts from.
    pub pooled: Option<&'a [f32]>,
    pub row: StateRow<'a, LinearState>,
}

impl SeriesStep<'_> {
    /// Learns from the reading, then forecasts. `out`: `[experts, horizon]`
    pub fn step(&mut self, reading: &Observation<'_>, out: &mut [f32]) {
        let ring = self.layout.ring;
        let now = self.row.state.steps;
        let at = (now % ring as u64) as usize;
        let observed = reading.observed && reading.value.is_finite();
        let value = if reading.value.is_finite() {
            reading.value.clamp(-VALUE_MAX, VALUE_MAX)
        } else {
            self.row.floats[if at == 0 { ring - 1 } else { at - 1 }]
        };
        self.row.floats[at] = value;
        let time = TimeIndex { steps: now, clock: reading.clock, readings: self.row.state.readings };
        if observed {
            self.fill_arrived(at, time, value);
        }
        self.move_states(time, value, observed);
        self.begin_or_refit(now);
        self.fill_bases(at, time, value);
        self.forecast_without_blocks(value, time, out);
        self.fill_features(at, time, value, reading.extras);
        self.forecast_blocks(now, observed, out);
        let range = &self.row.state.range;
        out.iter_mut().for_each(|f| *f = range.clamp(*f));
        self.row.state.steps = now.wrapping_add(1);
    }

    /// The reading less the forecast of each baseline of it, at each learnt lead.
    fn fill_arrived(&mut self, at: usize, time: TimeIndex, value: f32) {
        let layout = self.layout;
        let leads = layout.leads.learnt();
        let n = leads.len();
        let floats = &*self.row.floats;
        let ring = &floats[..layout.ring];
        let steps = time.steps;
        let waiting = leads.partition_point(|lead| *lead as u64 <= steps);
        let leads = &leads[..waiting];
        let (last, rest) = self.scratch.arrived.split_at_mut(n);
        let (seasonal, rest) = rest.split_at_mut(n);
        let (profile, holt) = rest.split_at_mut(n);
        for (then, lead) in last.iter_mut().zip(leads) {
            *then = value_at(ring, at, steps, layout.season, *lead);
        }
        if let Some(m) = layout.season {
            let values = &floats[layout.profile_floats[0]..];
            let past_forecast = layout.profiles[0].past_forecast(
                values,
                &self.row.counts[layout.profile_counts[0]..],
                time.clock,
            );
            for (i, &lead) in leads.iter().enumerate() {
                let age = if lead <= m { m } else { lead + seasonal_age(m, lead) };
                seasonal[i] = value - value_at(ring, at, steps, Some(m), age);
                profile[i] = value - past_forecast(lead).unwrap_or(last[i]);
            }
        }
        let past_forecast = layout.holts[1].past_forecast(&floats[layout.holt_floats[1]..], time);
        for (i, lead) in leads.iter().enumerate() {
            holt[i] = value - past_forecast(*lead, layout.carries[lead - 1]);
            last[i] = value - last[i];
        }
    }

    /// Updates means, range, profiles and Holt-Winters.
    fn move_states(&mut self, time: TimeIndex, value: f32, observed: bool) {
        let layout = self.layout;
        let (floats, counts, state) = (&mut *self.row.floats, &mut *self.row.counts, &mut *self.row.state);
        for (k, holt) in layout.holts.iter().enumerate() {
            let (row, seen) = (&mut floats[layout.holt_floats[k]..], &mut counts[layout.holt_counts[k]..]);
            holt.update(row, seen, time, observed.then_some(value));
        }
        if !observed {
            return;
        }
        for (k, profile) in layout.profiles.iter().enumerate() {
            let row = &mut floats[layout.profile_floats[k]..];
            profile.update(row, &mut counts[layout.profile_counts[k]..], time.clock, value);
        }
        let young = 1.0 / (state.readings as f32 + 1.0);
        for (mean, rate) in state.means.iter_mut().zip(layout.mean_rates) {
            *mean += rate.max(young) * (value - *mean);
        }
        state.range.update(value, state.readings, layout.mean_rates[1]);
        state.readings = state.readings.saturating_add(1);
    }

    /// Starts the blocks once a deviation is known, and changes their unit when it no longer fits.
    fn begin_or_refit(&mut self, now: u64) {
        let state = &mut *self.row.state;
        let deviation = state.range.deviation();
        if deviation < SPREAD_LEAST || (state.readings as usize) <= self.layout.start {
            return;
        }
        if state.unit == 0.0 {
            state.unit = deviation;
            state.since = [now; BLOCKS_MAX];
            self.start_from_pooled();
            return;
        }
        let fit = deviation / state.unit;
        if !(1.0 / UNIT_FIT..=UNIT_FIT).contains(&fit) {
            state.unit = deviation;
            for b in 0..self.layout.blocks.len() {
                // The features of such a block were limited most of the time; its weights are of no use.
                if now.saturating_sub(self.row.state.since[b]) < YOUNG {
                    self.restart(b, now);
                } else {
                    self.refit(b, now, 1.0 / fit);
                }
            }
        }
    }

    /// Starts the blocks from what the mature series have learnt.
    fn start_from_pooled(&mut self) {
        let from = self.layout.blocks_from();
        let Some(pooled) = self.pooled else { return };
        self.row.floats[from..self.layout.floats].copy_from_slice(pooled);
        for (b, block) in self.layout.blocks.iter().enumerate() {
            let p = &mut self.row.floats[block.p..][..block.covariance.floats()];
            p.iter_mut().for_each(|p| *p *= DOUBT);
            let (trace, least) = block.covariance.trace(p);
            if trace.is_finite() && least > 0.0 {
                self.row.state.traces[b] = trace;
            } else {
                block.covariance.fill(p);
            }
            // The size of its errors is learnt from the series itself.
            let n = block.bases.len() * self.layout.leads.len();
            self.row.floats[block.errors..][..n].fill(0.0);
        }
    }

    /// Makes a block learn its covariance again. `scale`: the old unit over the new.
    fn refit(&mut self, b: usize, now: u64, scale: f32) {
        let (layout, block) = (self.layout, &self.layout.blocks[b]);
        let n = block.padded();
        for weights in self.row.floats[block.weights..block.p].chunks_exact_mut(n) {
            // Weights of differences have no unit; those of the constant and the extras have.
            weights[0] *= scale;
            weights[layout.features.len().min(n)..].iter_mut().for_each(|w| *w *= scale);
        }
        let leads = block.bases.len() * layout.leads.len();
        self.row.floats[block.errors..][..leads].iter_mut().for_each(|e| *e *= scale);
        block.covariance.fill(&mut self.row.floats[block.p..][..block.covariance.floats()]);
        self.row.state.traces[b] = block.features as f32;
        self.row.state.since[b] = now;
    }

    /// Resets a block to its initial state.
    fn restart(&mut self, b: usize, now: u64) {
        let block = &self.layout.blocks[b];
        self.row.floats[block.weights..block.p].fill(0.0);
        let leads = block.bases.len() * self.layout.leads.len();
        self.row.floats[block.errors..][..leads].fill(0.0);
        self.refit(b, now, 1.0);
    }

    /// The forecasts of the baselines.
    fn fill_bases(&mut self, at: usize, time: TimeIndex, value: f32) {
        let layout = self.layout;
        let horizon = layout.leads.horizon();
        let floats = &*self.row.floats;
        let (last, rest) = self.scratch.bases.split_at_mut(horizon);
        let (seasonal, rest) = rest.split_at_mut(horizon);
        let (profile, holt) = rest.split_at_mut(horizon);
        last.fill(value);
        if let Some(m) = layout.season {
            let ring = &floats[..layout.ring];
            for (i, point) in seasonal.iter_mut().enumerate() {
                let age = if i < m { m - 1 - i } else { seasonal_age(m, i + 1) };
                *point = value_at(ring, at, time.steps, Some(m), age);
            }
            let values = &floats[layout.profile_floats[0]..];
            let counts = &self.row.counts[layout.profile_counts[0]..];
            layout.profiles[0].fill(values, counts, time.clock, value, profile);
        }
        layout.holts[1].fill(&floats[layout.holt_floats[1]..], time, &layout.carries, holt);
    }

    /// The forecasts of the experts without a block.
    fn forecast_without_blocks(&mut self, value: f32, time: TimeIndex, out: &mut [f32]) {
        let layout = self.layout;
        let horizon = layout.leads.horizon();
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
        let values = &self.row.floats[layout.profile_floats[k]..];
        let counts = &self.row.counts[layout.profile_counts[k]..];
        layout.profiles[k].fill(values, counts, time.clock, value, &mut rest[..horizon]);
    }

    /// The regressors of the newest reading.
    fn fill_features(&mut self, at: usize, time: TimeIndex, value: f32, extras: &[f32]) {
        let layout = self.layout;
        assert_eq!(extras.len(), layout.extras);
        let unit = self.row.state.unit;
        if unit == 0.0 {
            return;
        }
        let (floats, counts, state) = (&*self.row.floats, &*self.row.counts, &*self.row.state);
        let ring = &floats[..layout.ring];
        let per_unit = 1.0 / unit;
        let back = |age: usize| value_at(ring, at, time.steps, layout.season, age);
        let (x, rest) = self.scratch.x.split_at_mut(layout.features.len());
        for (x, feature) in x.iter_mut().zip(&layout.features) {
            let difference = match *feature {
                Feature::One => unit,
                Feature::Lag(lag) => back(lag) - value,
                Feature::Difference(age) => back(age) - back(age + layout.season.unwrap_or(0)),
                Feature::Mean(k) => state.means[k] - value,
                Feature::Profile(k, lead) => {
                    let (values, seen) =
                        (&floats[layout.profile_floats[k]..], &counts[layout.profile_counts[k]..]);
                    layout.profiles[k].forecast(values, seen, time.clock, lead, value) - value
                }
                Feature::Holt(k, lead) => {
                    let row = &floats[layout.holt_floats[k]..];
                    layout.holts[k].forecast(row, time, lead, layout.holt_carries[k][usize::from(lead > 1)])
                        - value
                }
            };
            *x = (difference * per_unit).clamp(-FEATURE_MAX, FEATURE_MAX);
        }
        for (x, extra) in rest.iter_mut().zip(extras) {
            *x = if extra.is_finite() { extra.clamp(-FEATURE_MAX, FEATURE_MAX) } else { 0.0 };
        }
        self.isa.run_by_eight(RoundToHalf {
            x: &mut self.scratch.x,
            kept: &mut self.scratch.kept,
            unit: 1.0,
        });
    }

    /// Each block learns from what has arrived and forecasts. Then features and gains of this origin are
    /// kept.
    fn forecast_blocks(&mut self, now: u64, observed: bool, out: &mut [f32]) {
        let layout = self.layout;
        let (horizon, leads) = (layout.leads.horizon(), layout.leads.len());
        let ring_at = (now % horizon as u64) as usize;
        let mut points = out[layout.plain() * horizon..].chunks_exact_mut(horizon);
        let mut gains_at = 0;
        for (b, block) in layout.blocks.iter().enumerate() {
            let n = block.padded();
            let since = self.row.state.since[b];
            let begun = since <= now;
            if begun {
                // A block takes the first features; the rest of their last register is padding.
                let x = &mut self.scratch.own[..n];
                x[..block.features].copy_from_slice(&self.scratch.x[..block.features]);
                x[block.features..].fill(0.0);
                let x = &self.scratch.own[..n];
                let gains = &mut self.scratch.new_gains[gains_at..][..n];
                self.row.move_covariance(self.isa, block, b, x, &mut self.scratch.k[..n], gains);
                let learnt = now - since;
                let arrived = if observed {
                    layout.leads.learnt().iter().take_while(|lead| **lead as u64 <= learnt).count()
                } else {
                    0
                };
                let per_unit = 1.0 / self.row.state.unit;
                for (k, base) in block.bases.iter().enumerate() {
                    let from = &self.scratch.arrived[*base as usize * leads..][..leads];
                    let to = &mut self.scratch.targets[k * leads..][..leads];
                    to.iter_mut().zip(from).for_each(|(to, from)| *to = from * per_unit);
                }
                let nb = block.bases.len() * leads;
                let (before, after) = self.row.floats.split_at_mut(block.p);
                self.isa.run_by_eight(LearnAndForecast {
                    weights: &mut before[block.weights..][..block.bases.len() * leads * n],
                    errors: &mut after[block.errors - block.p..][..nb],
                    targets: &self.scratch.targets[..nb],
                    arrived,
                    learnt,
                    leads: layout.leads.learnt(),
                    now: ring_at,
                    origins: horizon,
                    past: &self.row.halves[..horizon * layout.stride()],
                    stride: layout.stride(),
                    gains: &self.row.halves[block.gains..][..horizon * n],
                    x,
                    corrections: &mut self.scratch.corrections[..nb],
                });
            }
            let unit = self.row.state.unit;
            let corrections = &mut self.scratch.corrections[..block.bases.len() * leads];
            corrections.iter_mut().for_each(|c| *c *= unit);
            let broken = begun && !corrections.iter().all(|c| c.abs() < CORRECTION_MAX * unit);
            for (k, base) in block.bases.iter().enumerate() {
                let Some(points) = points.next() else { break };
                points.copy_from_slice(&self.scratch.bases[*base as usize * horizon..][..horizon]);
                if begun && !broken {
                    layout.leads.add(&self.scratch.corrections[k * leads..][..leads], points);
                }
            }
            if broken {
                self.restart(b, now.wrapping_add(1));
            }
            gains_at += n;
        }
        self.keep_origin(ring_at);
    }

    /// Keeps features and gains of the newest origin in the rings.
    fn keep_origin(&mut self, ring_at: usize) {
        let stride = self.layout.stride();
        self.row.halves[ring_at * stride..][..stride].copy_from_slice(&self.scratch.kept);
        let mut from = &self.scratch.new_gains[..];
        for block in &self.layout.blocks {
            let (mine, rest) = from.split_at(block.padded());
            self.row.halves[block.gains + ring_at * mine.len()..][..mine.len()].copy_from_slice(mine);
            from = rest;
        }
    }
}

impl StateRow<'_, LinearState> {
    /// Updates the covariance of a block with the newest features. Writes the gain as it is kept.
    fn move_covariance(
        &mut self,
        isa: Isa,
        block: &RlsBlock,
        b: usize,
        x: &[f32],
        k: &mut [f32],
        kept: &mut [u16],
    ) {
        let p = &mut self.floats[block.p..][..block.covariance.floats()];
        let forgetting = block.covariance.forgetting(self.state.traces[b]);
        let quadratic = isa.run_by_eight(Gain { p, x, forgetting, k });
        let (trace, least) = block.covariance.trace(p);
        if quadratic.is_finite() && trace.is_finite() && least > 0.0 {
            self.state.traces[b] = trace;
        } else {
            block.covariance.fill(p);
            self.state.traces[b] = block.features as f32;
            k.fill(0.0);
        }
        isa.run_by_eight(RoundToHalf { x: k, kept, unit: GAIN_UNIT });
    }
}
