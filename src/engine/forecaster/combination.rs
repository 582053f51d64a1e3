//! The combination of forecasts: the experts, their mixture, the networks' corrections of it, the mixture of
//! experts and networks, and the intervals around that. Everything here learns from matured forecasts alone.

use super::matured::Matured;
use super::output::TargetOutput;
use super::rows::CandidateRows;
use super::scores::LeadScores;
use crate::config::{Accuracy, Base, SeasonsFrom, Stream};
use crate::domain::{Damaged, Extras, Leads, Rows, Take};
use crate::engine::history::SeasonSteps;
use crate::engine::serving::NetworkOutputs;
use crate::engine::target_step::TargetStep;
use crate::experts::{Ensemble, ExpertGroup, MIXTURES, Mixer, Observation, TooManyExtras};
use crate::scoring::{Actual, Belief, Expected, ForecastLedger, Intervals, LeadErrors, OutlierFilter};
use crate::series::{Features, Scale};
use crate::telemetry::MemoryPart;

/// The name under which the mixture of the experts is judged, which networks correct.
pub const EXPERTS: &str = "experts";
/// The name under which what is emitted is judged.
pub const EMITTED: &str = "mixture";

/// A value within this share of a series' deviation of its forecast is no outlier, because forecasts are kept
/// rounded.
const LEAST_WIDTH: f32 = 1e-3;

/// Checks that the linear experts can take in what a stream shows them of a reading: calendar, covariates, and
/// what is known ahead of as many leads as its networks are shown.
///
/// # Errors
/// [`TooManyExtras`]. A shard can't be made of such a stream.
pub fn check(stream: &Stream) -> Result<(), TooManyExtras> {
    let mut stream = stream.clone();
    if stream.seasons_from == SeasonsFrom::Undetected {
        // As many as may be found.
        stream.seasons = vec![24, 168];
    }
    Ensemble::try_new(&stream, Features::new(&stream).extras()).map(drop)
}

/// Everything that makes a forecast, except for the networks.
pub(super) struct Combination {
    pub rows: CandidateRows,
    pub leads: Leads,
    horizon: usize,
    /// The row that a network corrects; `None` where it corrects the mean of the series.
    base_row: Option<usize>,
    ensemble: Ensemble,
    networks: Vec<String>,
    mixer: Mixer,
    /// Weighs the experts and the networks, where there are networks.
    outer: Option<Mixer>,
    ledger: ForecastLedger,
    base_errors: LeadErrors,
    intervals: Intervals,
    outliers: OutlierFilter,
    /// Forecasts that have matured. `[kept rows, scored leads]`
    matured: Vec<f32>,
    /// `[levels]`
    bounds: Vec<f32>,
    /// A network's corrections. `[scored leads]`
    corrections: Vec<f32>,
    /// The networks' units. `[scored leads]`
    units: Vec<f32>,
}

/// A network's unit at a lead, from the typical error of its base there and the series' deviation.
fn unit(typical: f32, deviation: f32) -> f32 {
    if typical > 0.0 { (1.25 * typical).max(0.02 * deviation) } else { deviation }
}

impl Combination {
    /// `extras`: how many values experts are shown of a reading beside its target.
    pub fn new(stream: &Stream, extras: Extras) -> Self {
        Self::of_networks(stream, extras, stream.model.names().map(str::to_owned).collect())
    }

    /// With these networks instead of the stream's.
    pub fn of_networks(stream: &Stream, extras: Extras, networks: Vec<String>) -> Self {
        let ensemble = Ensemble::try_new(stream, extras).expect("what the experts are shown was checked");
        let (targets, horizon, leads) = (stream.targets.len(), stream.horizon, stream.leads());
        let experts = ensemble.names().len();
        let rows = CandidateRows {
            experts,
            networks: networks.len(),
            levels: stream.levels.len(),
            keeps_bounds: stream.experts.accuracy == Accuracy::Full,
        };
        let base_row = match stream.model.base {
            Base::Mixture => Some(rows.mixture()),
            base => ensemble.base(base),
        };
        // A network begins with no weight and has to prove itself.
        let beginning: Vec<f32> =
            (0..rows.all()).map(|e| if e < experts { 1.0 / experts as f32 } else { 0.0 }).collect();
        let mixer = |experts: usize| Mixer::new(targets, experts, leads.clone(), ensemble.mix_from());
        Self {
            mixer: mixer(experts),
            outer: (!networks.is_empty()).then(|| mixer(rows.all()).begin_with(&beginning)),
            networks,
            ledger: ForecastLedger::new(targets, rows.kept(), &leads),
            base_errors: LeadErrors::new(targets, &leads),
            intervals: Intervals::new(targets, &leads, stream.season().unwrap_or(1), &stream.levels),
            outliers: OutlierFilter::new(targets),
            matured: vec![f32::NAN; rows.kept() * leads.len()],
            bounds: vec![0.0; stream.levels.len()],
            corrections: vec![0.0; leads.len()],
            units: vec![0.0; leads.len()],
            base_row,
            horizon,
            rows,
            leads,
            ensemble,
        }
    }

    /// Takes over all that was learnt beside other networks. Only the forecasts of networks that are gone are
    /// lost, and their weights.
    pub fn inherit(&mut self, mut other: Self) {
        let from = self.rows.from(&self.networks, other.rows, &other.networks);
        if let Some(outer) = &mut self.outer {
            // Without networks the mixture of the experts is what was emitted.
            outer.inherit(other.outer.as_mut().unwrap_or(&mut other.mixer), &from[..self.rows.all()]);
        }
        self.ledger.inherit(&other.ledger, &from);
        self.ensemble = other.ensemble;
        self.mixer = other.mixer;
        self.base_errors = other.base_errors;
        self.intervals = other.intervals;
        self.outliers = other.outliers;
    }

    /// As [`LinearExperts::learn_every`](crate::experts::LinearExperts::learn_every).
    pub fn learn_every(&mut self, every: u32) {
        self.ensemble.learn_every(every);
    }

    /// The names of the networks.
    pub fn networks(&self) -> impl Iterator<Item = &str> {
        self.networks.iter().map(String::as_str)
    }

    /// The names of the rows that are judged, in the order of [`CandidateRows::judged`].
    pub fn judged(&self) -> Vec<String> {
        let mut names: Vec<String> = self.ensemble.names().iter().map(|name| (*name).to_owned()).collect();
        names.push(EXPERTS.to_owned());
        names.extend_from_slice(&self.networks);
        names.push(EMITTED.to_owned());
        names
    }

    /// Everything that is kept per series and what it is for, in the order of a snapshot.
    pub fn tables(&self) -> impl Iterator<Item = (MemoryPart, &dyn Rows)> {
        let Self { ensemble, mixer, outer, ledger, base_errors, intervals, outliers, .. } = self;
        let outer = outer.iter().map(|outer| (MemoryPart::Mixers, outer as &dyn Rows));
        let all = [
            (MemoryPart::Experts, ensemble as &dyn Rows),
            (MemoryPart::Mixers, mixer),
            (MemoryPart::Ledger, ledger),
            (MemoryPart::Ledger, base_errors),
            (MemoryPart::Intervals, intervals),
            (MemoryPart::Scales, outliers),
        ];
        all.into_iter().chain(outer)
    }

    pub fn tables_mut(&mut self) -> impl Iterator<Item = &mut dyn Rows> {
        let Self { ensemble, mixer, outer, ledger, base_errors, intervals, outliers, .. } = self;
        let outer = outer.iter_mut().map(|outer| outer as &mut dyn Rows);
        [ensemble as &mut dyn Rows, mixer, ledger, base_errors, intervals, outliers].into_iter().chain(outer)
    }

    /// Appends what is pooled over series.
    pub fn save_pooled(&self, out: &mut Vec<u8>) {
        self.ensemble.save_pooled(out);
        self.mixer.save_pooled(out);
        self.outer.iter().for_each(|outer| outer.save_pooled(out));
        self.base_errors.save_pooled(out);
    }

    /// Reads what [`Self::save_pooled`] has written.
    pub fn load_pooled(&mut self, from: &mut Take<'_>) -> Result<(), Damaged> {
        self.ensemble.load_pooled(from)?;
        self.mixer.load_pooled(from)?;
        self.outer.iter_mut().try_for_each(|outer| outer.load_pooled(from))?;
        self.base_errors.load_pooled(from)
    }

    /// Lets series that begin from now on start from what mature ones have learnt.
    pub fn publish(&mut self) {
        self.ensemble.publish();
        self.mixer.publish();
        self.outer.iter_mut().for_each(Mixer::publish);
        self.base_errors.publish();
    }

    /// A series goes on after a gap too long to fill.
    pub fn interrupt(&mut self, slot: usize) {
        self.ensemble.interrupt(slot);
        self.ledger.reset(slot);
        self.outliers.interrupt(slot);
    }

    /// Prefetches a series' memory while another series is worked on.
    pub fn prefetch(&self, slot: usize, target: usize, now: u64) {
        self.ensemble.prefetch(slot, target);
        self.mixer.prefetch(slot, target);
        self.outer.iter().for_each(|outer| outer.prefetch(slot, target));
        self.intervals.prefetch(slot, target);
        self.ledger.prefetch(slot, target, now);
    }

    /// How much of a value is believed. `former` says how it would be held if the last level shift were taken
    /// back, and by how much higher that is; `steps` are those that the series made a season ago.
    pub fn believe(
        &mut self,
        at: TargetStep,
        value: f32,
        former: Option<[f32; 2]>,
        steps: &SeasonSteps<'_>,
    ) -> Belief {
        let TargetStep { slot, target, clock, .. } = at;
        let slot = slot.index();
        let (deviation, phase) = (self.ensemble.deviation(slot, target), self.intervals.phase(clock));
        let expected = Expected {
            point: self.expected(at),
            width: self.intervals.width(slot, target, phase, deviation).max(LEAST_WIDTH * deviation),
            nearest: self.ensemble.nearest_seen(slot, target, value),
            former,
            readings: self.ensemble.readings(slot, target),
        };
        self.outliers.judge(slot, target, value, &expected, |distance| steps.has_one_within(distance))
    }

    /// The value of a target that was believed last.
    pub fn last_believed(&self, slot: usize, target: usize) -> f32 {
        self.outliers.last(slot, target)
    }

    /// How far the values of a target typically lie from their slow mean.
    pub fn deviation(&self, slot: usize, target: usize) -> f32 {
        self.ensemble.deviation(slot, target)
    }

    /// What the last forecast said of this step; not a number where there was no forecast.
    pub fn expected(&self, at: TargetStep) -> f32 {
        self.ledger.next(at.slot.index(), at.target, at.now, self.rows.point())
    }

    /// Learns from a value that has arrived: from what is believed of it, against all that was forecast of it.
    /// `scores` gets the matured forecasts lead by lead. Returns the networks' units as they were before.
    /// `[scored leads]`
    pub fn learn(
        &mut self,
        at: TargetStep,
        actual: Actual,
        scale: &Scale,
        scores: &mut LeadScores<'_>,
    ) -> &[f32] {
        let TargetStep { slot, target, now, clock } = at;
        let (slot, value) = (slot.index(), actual.believed);
        let n = self.leads.len();
        self.ledger.matured(slot, target, now, &mut self.matured);
        let deviation = self.ensemble.deviation(slot, target);
        let Self { rows, leads, mixer, outer, base_errors, intervals, bounds, units, .. } = self;
        let (rows, values) = (*rows, &*self.matured);
        let matured = Matured { rows, leads: leads.learnt(), values };
        let some = |from: usize, rows: usize| &values[from * n..(from + rows) * n];
        mixer.learn(slot, target, value, some(0, rows.experts), some(rows.copies(), MIXTURES));
        mixer.learn_young(slot, target, value, deviation, some(0, rows.experts), matured.row(rows.mixture()));
        if let Some(outer) = outer {
            let emitted = matured.row(rows.point());
            outer.learn(slot, target, value, some(0, rows.all()), some(rows.all_copies(), MIXTURES));
            outer.learn_young(slot, target, value, deviation, some(0, rows.all()), emitted);
        }
        let typical = base_errors.of(slot).skip(target * n);
        units.iter_mut().zip(typical).for_each(|(to, typical)| *to = unit(typical, scale.deviation()));
        if let Some(row) = self.base_row {
            base_errors.learn(slot, target, value, matured.row(row));
        }
        let phase = intervals.phase(clock);
        for i in 0..n {
            let point = matured.at(rows.point(), i);
            if !point.is_finite() {
                continue;
            }
            let scale = if rows.keeps_bounds {
                matured.bounds(i, bounds);
                intervals.scale(slot, target, phase, i + 1)
            } else {
                // An interval that was not kept is computed again, as it would be given now.
                intervals.quantiles(slot, target, phase, i + 1, point, 0.0, bounds)
            };
            scores.add(&matured, i, bounds, scale);
            intervals.update(slot, target, phase, i + 1, actual, point, scale, bounds);
        }
        &self.units
    }

    /// Steps the experts on a reading and mixes their forecasts. `candidates`: `[rows, horizon]`
    pub fn forecast(&mut self, at: TargetStep, reading: &Observation<'_>, candidates: &mut [f32]) {
        let (rows, h) = (self.rows, self.horizon);
        let (experts, rest) = candidates.split_at_mut(rows.experts * h);
        let slot = at.slot.index();
        self.ensemble.step(slot, at.target, reading, experts);
        self.mixer.mix(slot, at.target, experts, &mut rest[rows.networks * h..][..MIXTURES * h]);
    }

    /// What a network corrects, at a lead. `mean` is that of the series.
    pub fn base_of(&self, candidates: &[f32], lead: usize, mean: f32) -> f32 {
        match self.base_row {
            Some(row) => candidates[row * self.horizon + lead - 1],
            None => mean,
        }
    }

    /// The networks' unit at each target and scored lead: the typical error of their base. `scales` are those of
    /// the series' columns.
    pub fn lead_scales(&self, slot: usize, scales: &[Scale]) -> impl Iterator<Item = f32> {
        let n = self.leads.len();
        self.base_errors.of(slot).enumerate().map(move |(i, error)| unit(error, scales[i / n].deviation()))
    }

    /// Adds to the base what each network that serves corrects of it, and mixes experts and networks. `scales`
    /// are the units of the networks' outputs. `[scored leads]`
    pub fn correct(
        &mut self,
        at: TargetStep,
        networks: &NetworkOutputs<'_>,
        scales: &[f32],
        mean: f32,
        candidates: &mut [f32],
    ) {
        let (h, rows) = (self.horizon, self.rows);
        if self.outer.is_none() {
            return;
        }
        for (network, row) in (rows.experts..rows.all()).enumerate() {
            let Some(y) = networks.of(network, at.target) else {
                candidates[row * h..][..h].fill(f32::NAN);
                continue;
            };
            let corrections = self.corrections.iter_mut().zip(y.iter().zip(scales));
            corrections.for_each(|(to, (y, scale))| *to = y * scale);
            for lead in 1..=h {
                candidates[row * h + lead - 1] = self.base_of(candidates, lead, mean);
            }
            self.leads.add(&self.corrections, &mut candidates[row * h..][..h]);
        }
        let (all, mixed) = candidates.split_at_mut(rows.all() * h);
        if let Some(outer) = &mut self.outer {
            outer.mix(at.slot.index(), at.target, all, &mut mixed[MIXTURES * h..][..MIXTURES * h]);
        }
    }

    /// The weights of experts and networks in what is emitted. `[experts + networks, scored leads]`
    pub fn weights(&mut self, slot: usize, target: usize) -> Vec<f32> {
        let mut weights = vec![0.0; self.rows.all() * self.leads.len()];
        self.outer.as_mut().unwrap_or(&mut self.mixer).weights(slot, target, &mut weights);
        weights
    }

    /// Puts the intervals around what is emitted: `output` gets each lead's point and bounds. While no error is
    /// known, the series' deviation stands in for it.
    pub fn surround(&mut self, at: TargetStep, candidates: &mut [f32], output: &mut TargetOutput<'_>) {
        let slot = at.slot.index();
        let (h, rows) = (self.horizon, self.rows);
        let guess = self.ensemble.deviation(slot, at.target);
        let (points, bounds) = candidates[rows.point() * h..].split_at_mut(h);
        self.intervals.surround(slot, at.target, at.clock, points, guess, &mut bounds[..rows.levels * h]);
        for (lead, point) in (1..=h).zip(&*points) {
            let of_lead = bounds[lead - 1..].iter().step_by(h);
            self.bounds.iter_mut().zip(of_lead).for_each(|(to, bound)| *to = *bound);
            output.set(lead, *point, &self.bounds);
        }
    }

    /// Keeps a forecast that was made from `value` until its targets arrive. It is judged then only if
    /// `is_judged`.
    pub fn issue(&mut self, at: TargetStep, value: f32, is_judged: bool, candidates: &[f32]) {
        let slot = at.slot.index();
        let unit = self.ensemble.deviation(slot, at.target);
        let kept = &candidates[..self.rows.kept() * self.horizon];
        self.ledger.issue(slot, at.target, at.now, (value, unit, is_judged), kept);
    }
}
