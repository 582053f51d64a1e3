use crate::config::Limit;
use crate::domain::{Crossing, Damaged, Rows, Take, lengthen, lengthen_by_rows, normal_tail, put};

#[cfg(test)]
mod tests;

/// Scores further out say no more about how leads are correlated.
const CLIP: f32 = 3.0;
/// Scores in the rings are kept in this many steps for each unit; the lowest value marks that there is
/// none.
const STEPS: f32 = 127.0 / CLIP;
const NONE: i8 = i8::MIN;
/// The pairs of matured forecasts that the start counts as, and the pairs in the memory.
const START: f32 = 30.0;
const MEMORY: f32 = 1_000.0;
const CORRELATION: (f32, f32) = (-0.9, 0.998);
/// A limit whose score is at least this at every lead has a probability below 1 in a million and is not
/// computed.
const FAR: f32 = 5.0;

/// The probability that a target crosses a limit within the horizon.
///
/// The normal score `z_h` of the limit in the forecast of lead `h` ([`NormalScore`](super::NormalScore))
/// gives the probability of lying beyond it at that lead. The scores of the errors of one forecast are
/// taken as a Markov chain from lead to lead. Its correlations ρ are learnt online from matured
/// forecasts, for each series, target and pair of neighbouring leads. The paths that have not crossed are
/// carried from lead to lead by their mean and variance (assumed density filtering: Maybeck 1982,
/// "Stochastic models, estimation and control", ch. 12):
///
/// ```text
/// μ ← ρ·μ     v ← ρ²·(v − 1) + 1              one lead on
/// P ← P·Φ((z_h − μ)/√v)                       those below the limit are left
/// μ, v ← moments of the normal truncated at z_h
/// probability = 1 − P
/// ```
///
/// It is within 0.05 of the truth on random walks and AR(1), where leads that are taken as independent
/// are wrong by up to 0.6. Brier scores over 24 leads of an AR(1) of 0.9 (of 0.99): 0.218 (0.039); leads
/// as independent 0.359 (0.093), the likeliest lead alone 0.310 (0.045), climatology 0.249 (0.095).
///
/// A limit costs O(horizon); memory is O(horizon) for each series and target with limits.
#[derive(Debug)]
pub struct Limits {
    limits: Vec<Limit>,
    /// Leads whose forecasts mature, ascending from 1 on.
    leads: Vec<usize>,
    /// The place of each target in a row.
    places: Vec<Option<usize>>,
    watched: usize,
    /// Where each pair's ring begins. It is as long as the distance of its leads.
    starts: Vec<usize>,
    waiting: usize,
    /// Scores of matured forecasts that wait for the next lead of the same origin. `[slots, watched,
    /// waiting]`
    rings: Vec<i8>,
    /// `[slots, watched, pairs]`
    pairs: Vec<LeadPair>,
}

/// Second moments of the scores at two leads of one origin.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct LeadPair {
    near: f32,
    both: f32,
    far: f32,
    seen: f32,
}

impl Limits {
    /// `leads`: those whose forecasts mature, ascending from 1 to the horizon.
    pub fn new(limits: Vec<Limit>, targets: usize, leads: &[usize]) -> Self {
        let mut watched = 0;
        let places = (0..targets).map(|target| {
            let place = limits.iter().any(|l| l.target == target).then_some(watched);
            watched += usize::from(place.is_some());
            place
        });
        let places = places.collect();
        let gaps = leads.windows(2).map(|pair| pair[1] - pair[0]);
        let starts = gaps.scan(0, |sum, gap| Some(std::mem::replace(sum, *sum + gap))).collect();
        let waiting = leads.last().map_or(0, |last| last - leads[0]);
        Self {
            limits,
            leads: leads.to_vec(),
            places,
            watched,
            starts,
            waiting,
            rings: Vec::new(),
            pairs: Vec::new(),
        }
    }

    pub fn limits(&self) -> &[Limit] {
        &self.limits
    }

    /// Whether a target has a limit. Others are not learnt from.
    pub fn watches(&self, target: usize) -> bool {
        self.places[target].is_some()
    }

    /// Learns from a step: the normal score of the value in the forecasts that were made of it at each
    /// lead, NaN where there was none. `now`: counts the steps of the series; each comes here once.
    /// `scores`: `[leads]`
    pub fn learn(&mut self, slot: usize, target: usize, now: u64, scores: &[f32]) {
        let Some(place) = self.places[target] else { return };
        let row = slot * self.watched + place;
        let ring = &mut self.rings[row * self.waiting..][..self.waiting];
        let pairs = &mut self.pairs[row * self.starts.len()..][..self.starts.len()];
        for (i, pair) in pairs.iter_mut().enumerate() {
            let gap = self.leads[i + 1] - self.leads[i];
            let turn = if gap == 1 { 0 } else { (now % gap as u64) as usize };
            let near = std::mem::replace(&mut ring[self.starts[i] + turn], step_of(scores[i]));
            if near != NONE && !scores[i + 1].is_nan() {
                pair.learn(f32::from(near) / STEPS, scores[i + 1].clamp(-CLIP, CLIP));
            }
        }
    }

    /// The probability that a limit is crossed. `scores`: the normal score of the limit's value at
    /// each lead of a forecast, as [`NormalScore::of`](super::NormalScore::of) gives them: `[horizon]`
    pub fn crossing(&self, slot: usize, limit: usize, scores: &[f32]) -> Crossing {
        let Limit { target, above, .. } = self.limits[limit];
        let place = self.places[target].expect("a target with a limit is watched");
        let sign = if above { 1.0 } else { -1.0 };
        if scores.iter().all(|z| sign * z >= FAR) {
            return Crossing::default();
        }
        let row = slot * self.watched + place;
        let pairs = &self.pairs[row * self.starts.len()..][..self.starts.len()];
        let mut paths = Paths::new();
        let mut first_lead = None;
        let (mut pair, mut correlation) = (0, 0.0);
        for (i, z) in scores.iter().enumerate() {
            let lead = i + 1;
            if lead > 1 {
                // Leads between two that mature share their correlation.
                if pair < pairs.len() && (lead == 2 || lead > self.leads[pair]) {
                    pair += usize::from(lead > 2);
                    if let Some(of_pair) = pairs.get(pair) {
                        correlation = of_pair.per_step(self.leads[pair + 1] - self.leads[pair]);
                    }
                }
                paths.go_on(f64::from(correlation));
            }
            paths.stay_below(f64::from(sign * z));
            if first_lead.is_none() && paths.left < 0.5 {
                first_lead = Some(lead as u16);
            }
        }
        Crossing { probability: (1.0 - paths.left) as f32, first_lead }
    }
}

impl LeadPair {
    /// The start: errors that add up like a random walk.
    fn start(near: usize, far: usize) -> Self {
        Self { near: 1.0, both: (near as f32 / far as f32).sqrt(), far: 1.0, seen: 0.0 }
    }

    fn learn(&mut self, near: f32, far: f32) {
        self.seen = (self.seen + 1.0).min(MEMORY);
        let rate = 1.0 / (START + self.seen).min(MEMORY);
        self.near += rate * (near * near - self.near);
        self.both += rate * (near * far - self.both);
        self.far += rate * (far * far - self.far);
    }

    /// The correlation of neighbouring leads, from that of leads `gap` apart.
    fn per_step(&self, gap: usize) -> f32 {
        let correlation = self.both / (self.near * self.far).sqrt().max(1e-6);
        let correlation = correlation.clamp(CORRELATION.0, CORRELATION.1);
        match gap {
            1 => correlation,
            _ => correlation.max(0.0).powf(1.0 / gap as f32).min(CORRELATION.1),
        }
    }
}

fn step_of(place: f32) -> i8 {
    // To the nearest step; a cast truncates.
    let step = place.clamp(-CLIP, CLIP) * STEPS;
    if place.is_nan() { NONE } else { (step + 0.5f32.copysign(step)) as i8 }
}

/// The paths that have not crossed yet: their share, and the mean and variance of their scores.
struct Paths {
    left: f64,
    mean: f64,
    variance: f64,
}

impl Paths {
    fn new() -> Self {
        Self { left: 1.0, mean: 0.0, variance: 1.0 }
    }

    fn go_on(&mut self, correlation: f64) {
        self.mean *= correlation;
        self.variance = correlation * correlation * (self.variance - 1.0) + 1.0;
    }

    /// Drops the paths above `limit`.
    fn stay_below(&mut self, limit: f64) {
        let deviation = self.variance.sqrt();
        let z = (limit - self.mean) / deviation;
        if z > 8.0 {
            return;
        }
        let (below, density) = normal_tail(-z);
        if below < 1e-12 {
            *self = Self { left: 0.0, mean: limit, variance: 1e-6 };
            return;
        }
        let ratio = density / below;
        self.left *= below;
        self.mean -= deviation * ratio;
        self.variance = (self.variance * (1.0 - ratio * (z + ratio))).max(1e-6);
    }
}

impl Rows for Limits {
    fn grow(&mut self, slots: usize) {
        let rows = slots * self.watched;
        lengthen(&mut self.rings, rows * self.waiting, NONE);
        let pairs: Vec<LeadPair> =
            self.leads.windows(2).map(|pair| LeadPair::start(pair[0], pair[1])).collect();
        lengthen_by_rows(&mut self.pairs, rows, &pairs);
    }

    fn reset(&mut self, slot: usize) {
        let (rings, pairs) = (self.watched * self.waiting, self.watched * self.starts.len());
        self.rings[slot * rings..][..rings].fill(NONE);
        let fresh = self.leads.windows(2).map(|pair| LeadPair::start(pair[0], pair[1])).cycle();
        self.pairs[slot * pairs..][..pairs].iter_mut().zip(fresh).for_each(|(pair, fresh)| *pair = fresh);
    }

    fn save(&self, slot: usize, out: &mut Vec<u8>) {
        let (rings, pairs) = (self.watched * self.waiting, self.watched * self.starts.len());
        put(out, &self.rings[slot * rings..][..rings]);
        put(out, &self.pairs[slot * pairs..][..pairs]);
    }

    fn load(&mut self, slot: usize, row: &mut Take<'_>) -> Result<(), Damaged> {
        let (rings, pairs) = (self.watched * self.waiting, self.watched * self.starts.len());
        row.fill(&mut self.rings[slot * rings..][..rings])?;
        row.fill(&mut self.pairs[slot * pairs..][..pairs])
    }

    fn memory(&self) -> usize {
        self.rings.capacity() * size_of::<i8>() + self.pairs.capacity() * size_of::<LeadPair>()
    }
}
