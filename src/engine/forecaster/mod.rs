//! From the row of a step to its forecast: experts, their combination with the networks, and intervals; and from
//! a value that arrives to what it teaches: predict, score, then learn.

mod alarms;
mod combination;
mod matured;
mod output;
mod rows;
mod scores;
mod tile;

use super::history::{History, SeasonSteps};
use super::serving::NetworkOutputs;
use super::target_step::TargetStep;
use crate::config::Stream;
use crate::domain::{Damaged, Degraded, EventTime, Extras, Forecast, Rows, Take};
use crate::scoring::{Actual, Belief, DriftFound, ScoreSummary};
use crate::series::Slot;
use crate::telemetry::{MemoryPart, Violations};
use alarms::Alarms;
use combination::Combination;
pub use combination::{EMITTED, EXPERTS, check};
use output::TargetOutput;
use scores::LeadScores;
pub(crate) use tile::Candidates;
use tile::Tile;

/// Errors are shown in units of the series' deviation once it has this many readings.
const SHOWN_AFTER: u32 = 24;

/// Forecasts the series of a shard and learns from what arrives.
pub(crate) struct Forecaster {
    combination: Combination,
    alarms: Alarms,
    summary: ScoreSummary,
    /// How many series there were when young ones were last given what others have learnt.
    known: u64,
    /// For each learnt lead its bucket in the summary.
    buckets: Vec<Option<usize>>,
    tile: Tile,
}

impl Forecaster {
    /// `extras`: how many values experts are shown of a reading beside its target. A tile has at most `tile`
    /// series.
    pub fn new(stream: &Stream, extras: Extras, tile: usize) -> Self {
        let combination = Combination::new(stream, extras);
        let summary = ScoreSummary::new(&combination.leads, combination.judged(), stream.levels.len());
        let buckets = |lead: &usize| summary.buckets().iter().position(|b| b == lead);
        Self {
            buckets: combination.leads.learnt().iter().map(buckets).collect(),
            alarms: Alarms::new(stream),
            tile: Tile::new(stream, combination.rows, tile),
            known: 1,
            combination,
            summary,
        }
    }

    /// The names of what is judged: every expert of a stream, their mixture, every network, and what is emitted.
    pub fn judged(stream: &Stream) -> Vec<String> {
        Combination::new(stream, Extras::default()).judged()
    }

    /// Everything that is kept per series and what it is for, in the order of a snapshot.
    pub fn tables(&self) -> impl Iterator<Item = (MemoryPart, &dyn Rows)> {
        self.combination.tables().chain(self.alarms.tables())
    }

    pub fn tables_mut(&mut self) -> impl Iterator<Item = &mut dyn Rows> {
        self.combination.tables_mut().chain(self.alarms.tables_mut())
    }

    /// Appends what is pooled over series.
    pub fn save_pooled(&self, out: &mut Vec<u8>) {
        self.combination.save_pooled(out);
        self.alarms.save_pooled(out);
    }

    /// Reads what [`Self::save_pooled`] has written.
    ///
    /// # Errors
    /// [`Damaged`] for anything else.
    pub fn load_pooled(&mut self, from: &mut Take<'_>) -> Result<(), Damaged> {
        self.combination.load_pooled(from)?;
        self.alarms.load_pooled(from)
    }

    /// Forecasts beside other networks than the stream's, until [`Self::adopt_networks`].
    pub fn with_networks(&mut self, stream: &Stream, extras: Extras, networks: Vec<String>) {
        self.combination = Combination::of_networks(stream, extras, networks);
    }

    /// Goes on beside the stream's networks. All that was learnt beside others is kept.
    pub fn adopt_networks(&mut self, stream: &Stream, extras: Extras) {
        if !self.combination.networks().eq(stream.model.names()) {
            let other = std::mem::replace(&mut self.combination, Combination::new(stream, extras));
            self.combination.inherit(other);
        }
    }

    /// As [`LinearExperts::learn_every`](crate::experts::LinearExperts::learn_every).
    pub fn learn_every(&mut self, every: u32) {
        self.combination.learn_every(every);
    }

    /// How many series there were when young ones were last given what others have learnt.
    pub fn known(&self) -> u64 {
        self.known
    }

    /// Goes on from this number of series.
    pub fn set_known(&mut self, series: u64) {
        self.known = series;
    }

    /// Lets series that begin from now on start from what mature ones have learnt. `series` is how many there
    /// were when this was due.
    pub fn publish(&mut self, series: usize) {
        self.known = series as u64;
        self.combination.publish();
    }

    /// Sums of errors since the last call.
    pub fn take_summary(&mut self) -> ScoreSummary {
        self.summary.take()
    }

    /// The drift that was found since the last call.
    pub fn take_drift(&mut self) -> Option<DriftFound> {
        self.alarms.take_drift()
    }

    /// The weights of experts and networks in what is emitted. `[experts + networks, learnt leads]`
    pub fn weights(&mut self, slot: Slot, target: usize) -> Vec<f32> {
        self.combination.weights(slot.index(), target)
    }

    /// A series goes on after a gap too long to fill.
    pub fn interrupt(&mut self, slot: Slot) {
        self.combination.interrupt(slot.index());
        self.alarms.interrupt(slot.index());
    }

    /// Prefetches a series' memory while another series is worked on. `now` is the number of its steps.
    pub fn prefetch(&self, slot: Slot, now: u64) {
        for target in 0..self.tile.targets {
            self.combination.prefetch(slot.index(), target, now);
        }
    }

    /// Begins a step of the tile's series `i`, which has the targets' [`TargetStep`] `at`.
    pub fn begin(&mut self, i: usize, at: TargetStep) {
        self.tile.begin(i, at);
        self.alarms.begin();
    }

    /// What the last forecast said of a target's new value; not a number where there was no forecast.
    pub fn expected(&self, at: TargetStep) -> f32 {
        self.combination.expected(at)
    }

    /// The value of a target that was believed last.
    pub fn last_believed(&self, at: TargetStep) -> f32 {
        self.combination.last_believed(at.slot.index(), at.target)
    }

    /// How much of a value is believed. `former` is [`History::former`], `steps` is [`History::season_steps`].
    pub fn believe(
        &mut self,
        at: TargetStep,
        value: f32,
        former: Option<[f32; 2]>,
        steps: &SeasonSteps<'_>,
    ) -> Belief {
        self.combination.believe(at, value, former, steps)
    }

    /// From now on everything of a target is held higher by this.
    pub fn shift(&mut self, at: TargetStep, by: f32) {
        self.alarms.shift(at, by);
    }

    /// A target of the step is missing.
    pub fn miss(&mut self, at: TargetStep) {
        self.alarms.miss(at);
    }

    /// Scores the forecasts of a target's new value and learns from it. Returns the units in which networks
    /// correct their base, as they were before. `[scored leads]`
    pub fn learn(&mut self, i: usize, at: TargetStep, actual: Actual, history: &History) -> &[f32] {
        let scale = history.scales(at.slot)[at.target];
        let per_deviation = if scale.readings() < SHOWN_AFTER { f32::NAN } else { 1.0 / scale.deviation() };
        self.alarms.begin_target();
        let mut scores = LeadScores {
            at,
            rows: self.combination.rows,
            value: history.in_frames(at, actual.held),
            deviation: self.combination.deviation(at.slot.index(), at.target),
            per_deviation,
            buckets: &self.buckets,
            summary: &mut self.summary,
            alarms: &mut self.alarms,
            expected: self.tile.expected_mut(i, at.target),
        };
        let units = self.combination.learn(at, actual, &scale, &mut scores);
        self.alarms.end_target(at, history.standardised(at, actual.believed));
        units
    }

    /// Ends what a reading of the tile's series `i` teaches.
    pub fn end(&mut self, i: usize, slot: Slot) {
        self.tile.scores[i] = self.alarms.end(slot.index(), self.known as usize);
    }

    /// Lets the experts forecast from the row of the step of the tile's series `i`.
    pub fn forecast(&mut self, i: usize, history: &History) {
        for target in 0..self.tile.targets {
            let at = self.tile.step(i).of(target);
            let reading = history.observation(at);
            self.combination.forecast(at, &reading, self.tile.candidates_mut(i, target));
            self.tile.set_origin(i, target, reading.value);
        }
    }

    /// What the networks correct, for the tile's series `i`. `[targets, learnt leads]`
    pub fn bases(&mut self, i: usize, history: &History) -> &[f32] {
        let scales = history.scales(self.tile.step(i).slot);
        let learnt = self.combination.leads.learnt();
        for (target, scale) in scales.iter().enumerate().take(self.tile.targets) {
            let (candidates, bases) = self.tile.candidates_and_bases(i, target);
            for (base, lead) in bases.iter_mut().zip(learnt) {
                *base = self.combination.base_of(candidates, *lead, scale.mean);
            }
        }
        &self.tile.bases
    }

    /// Mixes in the networks, puts the intervals around the forecast of the tile's series `i`, and keeps it until
    /// it matures. `values` are those of the reading, `None` for a cell of a gap.
    pub fn complete(
        &mut self,
        i: usize,
        values: Option<&[f64]>,
        networks: &NetworkOutputs<'_>,
        history: &History,
        violations: &mut Violations,
    ) {
        let slot = self.tile.step(i).slot;
        let learnt = self.combination.leads.len();
        if networks.any() {
            let to = self.tile.lead_scales.iter_mut();
            let from = self.combination.lead_scales(slot.index(), history.scales(slot));
            to.zip(from).for_each(|(to, from)| *to = from);
        }
        for target in 0..self.tile.targets {
            let at = self.tile.step(i).of(target);
            let (scale, frame) = (history.scales(slot)[target], history.frame(at));
            let support = history.support(at);
            let origin = self.tile.origin(i, target);
            let deviation = self.combination.deviation(slot.index(), target);
            let parts = self.tile.target(i, target);
            (*parts.frame, *parts.support) = (frame, support);
            let forecast = parts.forecast;
            let reading = values.filter(|_| history.is_seen(at));
            forecast.last = reading.map(|values| frame.in_range(values[target]));
            // A unit where it is worth the least, of what is usual and what is believed.
            let slope = frame.slope(origin).min(frame.slope(scale.mean));
            forecast.decimals = decimals(f64::from(scale.deviation()) * slope);
            forecast.expected.clear();
            let lead_scales = &parts.lead_scales[target * learnt..][..learnt];
            self.combination.correct(at, networks, lead_scales, scale.mean, parts.candidates);
            let mut output = TargetOutput {
                target,
                frame,
                support,
                origin,
                deviation,
                horizon: parts.horizon,
                forecast,
                alarms: &mut self.alarms,
                violations,
            };
            if parts.expected[0].is_finite() {
                // In the frame of that time, whatever this reading has shifted.
                output.set_expected(history.frame_at(at, at.now.saturating_sub(1)), parts.expected);
            }
            self.combination.surround(at, parts.candidates, &mut output);
            // The forecast from a filled cell is a step towards the next one, but never judged.
            self.combination.issue(at, origin, values.is_some(), parts.candidates);
            let point = self.combination.rows.point();
            self.alarms.expect(at, &parts.candidates[point * parts.horizon..][..parts.horizon]);
        }
    }

    /// The forecast of the tile's series `i`, which is the last one that was completed, and the candidates that it
    /// was made from.
    pub fn emit(
        &mut self,
        i: usize,
        origin: EventTime,
        degraded: Option<Degraded>,
    ) -> (&Forecast, Candidates<'_>) {
        let slot = self.tile.step(i).slot;
        let forecast = &mut self.tile.forecast;
        (forecast.origin, forecast.degraded) = (origin, degraded);
        forecast.anomaly = self.tile.scores[i];
        self.alarms.crossings(slot.index(), &mut forecast.limits);
        self.tile.emitted(i)
    }
}

/// Decimals that keep a forecast to a ten-thousandth of the series' deviation.
fn decimals(deviation: f64) -> u8 {
    (4.0 - deviation.max(1e-30).log10().floor()).clamp(0.0, 15.0) as u8
}
