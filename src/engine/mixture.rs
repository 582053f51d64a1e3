//! What forecasts a series: the experts, their mixture, a network's correction of it, the mixture of
//! both, and the intervals around what is emitted. Everything here learns from matured targets alone.

use crate::config::{Accuracy, Base, SeasonsFrom, Stream};
use crate::domain::{Damaged, Leads, Rows, Take};
use crate::experts::{Ensemble, ExpertGroup, MIXED, Mixer, Observation, TooManyExtras};
use crate::scoring::{Actual, Belief, Expected, ForecastLedger, Intervals, LeadErrors, OutlierFilter};
use crate::series::{Features, Scale};

/// The name under which the experts' mixture is judged, which networks correct.
pub const EXPERTS: &str = "experts";
/// The name under which what is emitted is judged.
pub const EMITTED: &str = "mixture";

/// A base counts as wrong by at most this many of its units.
const ERROR_MAX: f32 = 8.0;
/// What lies within this share of a series' deviation of its forecast is no outlier: forecasts wait
/// rounded.
const LEAST_WIDTH: f32 = 1e-3;

/// Where the parts of what is said stand, each `[horizon]` long: experts, networks, what the mixer makes
/// of the experts (two copies and the mixture), the same of experts and networks, and, where they are
/// judged as they were given, an interval's error scale and bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lanes {
    pub experts: usize,
    pub networks: usize,
    /// Of intervals; 0 where they are not kept.
    levels: usize,
}

impl Lanes {
    /// Experts and networks, which come first.
    fn all(self) -> usize {
        self.experts + self.networks
    }

    fn copies(self) -> usize {
        self.all()
    }

    /// The experts' mixture.
    pub fn mixture(self) -> usize {
        self.copies() + MIXED - 1
    }

    fn all_copies(self) -> usize {
        self.mixture() + 1
    }

    /// What is emitted.
    pub fn point(self) -> usize {
        self.all_copies() + MIXED - 1
    }

    fn scale(self) -> usize {
        self.point() + 1
    }

    fn bounds(self) -> usize {
        self.scale() + 1
    }

    /// Whether intervals wait with their forecasts.
    fn keeps_bounds(self) -> bool {
        self.levels > 0
    }

    pub fn count(self) -> usize {
        self.scale() + if self.keeps_bounds() { 1 + self.levels } else { 0 }
    }

    /// Where each lane stood among those of other networks, which are told by their names.
    fn from(self, networks: &[String], other: Self, others: &[String]) -> Vec<Option<usize>> {
        let network = |name: &String| others.iter().position(|other| other == name);
        let networks = networks.iter().map(|name| network(name).map(|at| other.experts + at));
        let experts = (0..self.experts).map(Some);
        let rest = (self.all()..self.count()).map(|lane| Some(lane - self.all() + other.all()));
        experts.chain(networks).chain(rest).collect()
    }

    /// Who is judged: every expert, their mixture, every network, and what is emitted.
    pub fn judged(self) -> impl Iterator<Item = usize> {
        (0..self.experts).chain([self.mixture()]).chain(self.experts..self.all()).chain([self.point()])
    }
}

/// Whether the linear experts can carry what a stream shows them of a reading: calendar and covariates,
/// and what is known ahead of as many leads as its networks are shown.
///
/// # Errors
/// [`TooManyExtras`]; no shard can be made of the stream then.
pub fn check(stream: &Stream) -> Result<(), TooManyExtras> {
    let mut stream = stream.clone();
    if stream.seasons_from == SeasonsFrom::Sought {
        // As many as may be found.
        stream.seasons = vec![24, 168];
    }
    Ensemble::try_new(&stream, Features::new(&stream).extras()).map(drop)
}

/// Everything of a shard that makes a forecast, but for the hidden states.
pub(super) struct Mixture {
    pub lanes: Lanes,
    pub leads: Leads,
    horizon: usize,
    /// The lane that a network corrects, where it is one.
    base_lane: Option<usize>,
    panel: Ensemble,
    networks: Vec<String>,
    mixer: Mixer,
    /// Weighs the experts and the networks.
    outer: Mixer,
    waiting: ForecastLedger,
    base_errors: LeadErrors,
    intervals: Intervals,
    outliers: OutlierFilter,
    /// What has matured. `[lanes, learnt leads]`
    matured: Vec<f32>,
    /// `[levels]`
    bounds: Vec<f32>,
    /// A network's corrections; by how much its base was wrong. `[learnt leads]`
    corrections: Vec<f32>,
    errors: Vec<f32>,
}

/// A network's unit at a lead, from the typical error of its base there and the series' deviation.
fn unit(typical: f32, deviation: f32) -> f32 {
    if typical > 0.0 { (1.25 * typical).max(0.02 * deviation) } else { deviation }
}

/// One target's forecast that has matured, at the learnt leads.
pub(super) struct Matured<'a> {
    lanes: Lanes,
    leads: &'a [usize],
    values: &'a [f32],
}

impl Matured<'_> {
    /// What a lane said; not a number where nothing was.
    pub fn said(&self, lane: usize, lead: usize) -> f32 {
        self.values[lane * self.leads.len() + lead]
    }

    /// How many steps ago it was said.
    pub fn steps(&self, lead: usize) -> u64 {
        self.leads[lead] as u64
    }

    fn lane(&self, lane: usize) -> &[f32] {
        &self.values[lane * self.leads.len()..][..self.leads.len()]
    }
}

/// Which target of which series, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub slot: usize,
    pub target: usize,
    /// Steps of the series before this one.
    pub now: u64,
    /// The cell that seasons are counted by.
    pub clock: i64,
}

impl Mixture {
    /// `extras` are what experts are shown of a reading beside its target.
    pub fn new(stream: &Stream, extras: usize) -> Self {
        Self::of_networks(stream, extras, stream.model.names().map(str::to_owned).collect())
    }

    /// With other networks than the stream's, by their names.
    pub fn of_networks(stream: &Stream, extras: usize, networks: Vec<String>) -> Self {
        let panel = Ensemble::try_new(stream, extras).expect("what the experts are shown was checked");
        let (targets, horizon, leads) = (stream.targets.len(), stream.horizon, stream.leads());
        let experts = panel.names().len();
        let kept = if stream.experts.accuracy == Accuracy::Full { stream.levels.len() } else { 0 };
        let lanes = Lanes { experts, networks: networks.len(), levels: kept };
        let base_lane = match stream.model.base {
            Base::Mixture => Some(lanes.mixture()),
            base => panel.base(base),
        };
        // A network has to prove itself.
        let beginning: Vec<f32> =
            (0..lanes.all()).map(|e| if e < experts { 1.0 / experts as f32 } else { 0.0 }).collect();
        Self {
            mixer: Mixer::new(targets, experts, leads.clone(), panel.mix_from()),
            outer: Mixer::new(targets, lanes.all(), leads.clone(), panel.mix_from()).begin_with(&beginning),
            networks,
            waiting: ForecastLedger::new(targets, lanes.count(), leads.learnt()),
            base_errors: LeadErrors::new(targets, leads.len()),
            intervals: Intervals::new(targets, leads.len(), stream.season().unwrap_or(1), &stream.levels),
            outliers: OutlierFilter::new(targets),
            matured: vec![f32::NAN; lanes.count() * leads.len()],
            bounds: vec![0.0; stream.levels.len()],
            corrections: vec![0.0; leads.len()],
            errors: vec![0.0; leads.len()],
            base_lane,
            horizon,
            lanes,
            leads,
            panel,
        }
    }

    /// Takes over all that was learnt beside other networks: nothing is lost but what those that are gone
    /// have said and are due to be weighed by.
    pub fn inherit(&mut self, other: Self) {
        let from = self.lanes.from(&self.networks, other.lanes, &other.networks);
        self.outer.inherit(other.outer, &from[..self.lanes.all()]);
        self.waiting.inherit(other.waiting, &from);
        self.panel = other.panel;
        self.mixer = other.mixer;
        self.base_errors = other.base_errors;
        self.intervals = other.intervals;
        self.outliers = other.outliers;
    }

    pub fn networks(&self) -> impl Iterator<Item = &str> {
        self.networks.iter().map(String::as_str)
    }

    /// The names of those that are judged, in the order of their lanes.
    pub fn judged(&self) -> Vec<String> {
        let mut names: Vec<String> = self.panel.names().iter().map(|name| (*name).to_owned()).collect();
        names.push(EXPERTS.to_owned());
        names.extend_from_slice(&self.networks);
        names.push(EMITTED.to_owned());
        names
    }

    /// Everything that is kept per series.
    pub fn tables(&self) -> [&dyn Rows; 7] {
        let Self { panel, mixer, outer, waiting, base_errors, intervals, outliers, .. } = self;
        [panel, mixer, outer, waiting, base_errors, intervals, outliers]
    }

    pub fn tables_mut(&mut self) -> [&mut dyn Rows; 7] {
        let Self { panel, mixer, outer, waiting, base_errors, intervals, outliers, .. } = self;
        [panel, mixer, outer, waiting, base_errors, intervals, outliers]
    }

    /// What is pooled over series.
    pub fn save_pooled(&self, out: &mut Vec<u8>) {
        self.panel.save_pooled(out);
        self.mixer.save_pooled(out);
        self.outer.save_pooled(out);
        self.base_errors.save_pooled(out);
    }

    pub fn load_pooled(&mut self, from: &mut Take<'_>) -> Result<(), Damaged> {
        self.panel.load_pooled(from)?;
        self.mixer.load_pooled(from)?;
        self.outer.load_pooled(from)?;
        self.base_errors.load_pooled(from)
    }

    /// Lets series that begin from now on start from what mature ones have learnt.
    pub fn publish(&mut self) {
        self.panel.publish();
        self.mixer.publish();
        self.outer.publish();
        self.base_errors.publish();
    }

    /// A series goes on after a break that nothing fills.
    pub fn interrupt(&mut self, slot: usize) {
        self.panel.interrupt(slot);
        self.waiting.reset(slot);
        self.outliers.interrupt(slot);
    }

    /// Asks for a series' memory while another is worked on.
    pub fn prefetch(&self, slot: usize, target: usize, now: u64) {
        self.panel.prefetch(slot, target);
        self.mixer.prefetch(slot, target);
        self.outer.prefetch(slot, target);
        self.intervals.prefetch(slot, target);
        self.waiting.prefetch(slot, target, now);
    }

    /// What of a value is believed. `former`: how it would be held if the last level shift were taken back, and
    /// by how much higher that is; `stepped_before`: whether the series made this step a season ago, to within a
    /// distance.
    pub fn believe(
        &mut self,
        at: At,
        value: f32,
        former: Option<[f32; 2]>,
        stepped_before: impl FnOnce(f32) -> bool,
    ) -> Belief {
        let At { slot, target, clock, .. } = at;
        let (deviation, phase) = (self.panel.deviation(slot, target), self.intervals.phase(clock));
        let expected = Expected {
            point: self.expected(at),
            width: self.intervals.width(slot, target, phase, deviation).max(LEAST_WIDTH * deviation),
            nearest: self.panel.nearest_seen(slot, target, value),
            former,
            readings: self.panel.readings(slot, target),
        };
        self.outliers.judge(slot, target, value, &expected, stepped_before)
    }

    /// What was believed of a target last.
    pub fn last_believed(&self, slot: usize, target: usize) -> f32 {
        self.outliers.last(slot, target)
    }

    /// How far the values of a series lie from their slow mean.
    pub fn deviation(&self, slot: usize, target: usize) -> f32 {
        self.panel.deviation(slot, target)
    }

    /// What the last forecast said of step `now`; not a number where there was none.
    pub fn expected(&self, at: At) -> f32 {
        self.waiting.next(at.slot, at.target, at.now, self.lanes.point())
    }

    /// Learns from a value that has arrived, of all that was said of it: from what is believed of it. `judge`
    /// gets all that was said, the bounds that were given with it, and the error scale that these were made with,
    /// by learnt lead. Gives by how much a network's base was wrong, in its units; not a number where there was
    /// none.
    pub fn learn(
        &mut self,
        at: At,
        actual: Actual,
        scale: &Scale,
        mut judge: impl FnMut(&Matured<'_>, usize, &[f32], f32),
    ) -> &[f32] {
        let (At { slot, target, now, clock }, value) = (at, actual.believed);
        let n = self.leads.len();
        self.waiting.matured(slot, target, now, &mut self.matured);
        let deviation = self.panel.deviation(slot, target);
        let Self { lanes, leads, mixer, outer, base_errors, intervals, bounds, errors, .. } = self;
        let (lanes, values) = (*lanes, &*self.matured);
        let matured = Matured { lanes, leads: leads.learnt(), values };
        let some = |from: usize, lanes: usize| &values[from * n..(from + lanes) * n];
        mixer.learn(slot, target, value, some(0, lanes.experts), some(lanes.copies(), MIXED));
        outer.learn(slot, target, value, some(0, lanes.all()), some(lanes.all_copies(), MIXED));
        let (mixed, emitted) = (matured.lane(lanes.mixture()), matured.lane(lanes.point()));
        mixer.learn_young(slot, target, value, deviation, some(0, lanes.experts), mixed);
        outer.learn_young(slot, target, value, deviation, some(0, lanes.all()), emitted);
        let units = base_errors.of(slot).skip(target * n);
        for (i, (error, typical)) in errors.iter_mut().zip(units).enumerate() {
            let base = self.base_lane.map_or(scale.mean, |lane| matured.said(lane, i));
            *error = ((value - base) / unit(typical, scale.deviation())).clamp(-ERROR_MAX, ERROR_MAX);
        }
        if let Some(lane) = self.base_lane {
            base_errors.learn(slot, target, value, matured.lane(lane));
        }
        let phase = intervals.phase(clock);
        for i in 0..n {
            let point = matured.said(lanes.point(), i);
            if !point.is_finite() {
                continue;
            }
            let scale = matured.bounds(i, bounds).unwrap_or_else(|| {
                // What is not kept is given again, as it would be given now.
                intervals.quantiles(slot, target, phase, i + 1, point, 0.0, bounds)
            });
            judge(&matured, i, bounds, scale);
            intervals.update(slot, target, phase, i + 1, actual, point, scale, bounds);
        }
        &self.errors
    }

    /// Steps the experts on a reading and mixes what they say. `said`: `[lanes, horizon]`
    pub fn forecast(&mut self, at: At, reading: &Observation<'_>, said: &mut [f32]) {
        let (lanes, h) = (self.lanes, self.horizon);
        let (experts, rest) = said.split_at_mut(lanes.experts * h);
        self.panel.step(at.slot, at.target, reading, experts);
        self.mixer.mix(at.slot, at.target, experts, &mut rest[lanes.networks * h..][..MIXED * h]);
    }

    /// What a network corrects, at a lead. `mean` is the series' own.
    pub fn base_of(&self, said: &[f32], lead: usize, mean: f32) -> f32 {
        match self.base_lane {
            Some(lane) => said[lane * self.horizon + lead - 1],
            None => mean,
        }
    }

    /// The network's unit at each target and learnt lead: the typical error of its base.
    pub fn lead_scales(&self, slot: usize, deviation: impl Fn(usize) -> f32) -> impl Iterator<Item = f32> {
        let n = self.leads.len();
        self.base_errors.of(slot).enumerate().map(move |(i, error)| unit(error, deviation(i / n)))
    }

    /// Mixes the experts with what each network makes of its base, where it is there: with its outputs, in
    /// units of `scales`. `[learnt leads]` each
    pub fn correct<'y>(
        &mut self,
        at: At,
        networks: impl Iterator<Item = Option<&'y [f32]>>,
        scales: &[f32],
        mean: f32,
        said: &mut [f32],
    ) {
        let (h, lanes) = (self.horizon, self.lanes);
        for (lane, y) in (lanes.experts..lanes.all()).zip(networks) {
            let Some(y) = y else {
                said[lane * h..][..h].fill(f32::NAN);
                continue;
            };
            let corrections = self.corrections.iter_mut().zip(y.iter().zip(scales));
            corrections.for_each(|(to, (y, scale))| *to = y * scale);
            for lead in 1..=h {
                said[lane * h + lead - 1] = self.base_of(said, lead, mean);
            }
            self.leads.add(&self.corrections, &mut said[lane * h..][..h]);
        }
        let (all, mixed) = said.split_at_mut(lanes.all() * h);
        self.outer.mix(at.slot, at.target, all, &mut mixed[MIXED * h..][..MIXED * h]);
    }

    /// What experts and networks weigh in what is emitted. `[experts + networks, learnt leads]`
    pub fn weights(&mut self, slot: usize, target: usize) -> Vec<f32> {
        let mut weights = vec![0.0; self.lanes.all() * self.leads.len()];
        self.outer.weights(slot, target, &mut weights);
        weights
    }

    /// Puts the intervals around what is emitted: `each` gets each lead's point and bounds. While no
    /// error is known, the series' deviation stands in.
    pub fn surround(&mut self, at: At, said: &mut [f32], mut each: impl FnMut(usize, f32, &[f32])) {
        let (h, lanes) = (self.horizon, self.lanes);
        let guess = self.panel.deviation(at.slot, at.target);
        let mut learnt = 0;
        for (lead, phase) in (1..=h).zip(self.intervals.phases_after(at.clock)) {
            // A lead between learnt ones takes its interval from the next of them.
            learnt += usize::from(self.leads.learnt()[learnt] < lead);
            let point = said[lanes.point() * h + lead - 1];
            let bounds = &mut self.bounds;
            let scale = self.intervals.quantiles(at.slot, at.target, phase, learnt + 1, point, guess, bounds);
            each(lead, point, bounds);
            if lanes.keeps_bounds() {
                said[lanes.scale() * h + lead - 1] = scale;
                for (l, bound) in bounds.iter().enumerate() {
                    said[(lanes.bounds() + l) * h + lead - 1] = *bound;
                }
            }
        }
    }

    /// Notes what was said from `value`, to be judged when it matures if it is emitted.
    pub fn issue(&mut self, at: At, value: f32, is_judged: bool, said: &[f32]) {
        let unit = self.panel.deviation(at.slot, at.target);
        self.waiting.issue(at.slot, at.target, at.now, (value, unit, is_judged), said);
    }
}

impl Matured<'_> {
    /// The bounds that were given with a forecast, and their scale, where they were kept.
    fn bounds(&self, lead: usize, bounds: &mut [f32]) -> Option<f32> {
        if !self.lanes.keeps_bounds() {
            return None;
        }
        for (l, bound) in bounds.iter_mut().enumerate() {
            *bound = self.said(self.lanes.bounds() + l, lead);
        }
        Some(self.said(self.lanes.scale(), lead))
    }
}
