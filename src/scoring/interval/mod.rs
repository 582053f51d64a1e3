use super::Actual;
use crate::domain::{Damaged, Leads, Levels, Rows, Take, lengthen, put};
use crate::simd::prefetch_first;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};

/// The rate of the error scale: a half-life of about 500 matured forecasts.
const SCALE_RATE: f32 = 1.0 - 0.998_614_6;
/// The share of the error over all phases in the scale of a phase.
const WHOLE_SHARE: f32 = 0.05;
/// Phases are told apart once a lead has this many errors.
const PHASES_FROM: u32 = 24;
/// An error counts as at most this many typical ones of its lead in the factor of its phase.
const FACTOR_MAX: f32 = 8.0;
/// The factor of a phase begins as 1, which counts as so many errors at lead 1.
const FACTOR_PRIOR: f32 = 3.0;
/// The rate of recent errors.
const RECENT_RATE: f32 = 0.01;
/// A recent error counts as at most this many scales.
const RECENT_MAX: f32 = 8.0;
/// The least that recent errors count as, in scales.
const RECENT_LEAST: f32 = 0.05;
/// Three errors in a row beyond this many scales mean a new scale: at lead 1, and at longer leads, whose
/// errors come in runs.
const OUT_OF_SCALE: [f32; 2] = [4.0, 12.0];
/// Three errors in a row beyond this many scales mean that nothing is known of the errors any more.
const UNKNOWN: f32 = 32.0;
/// The mean of absolute errors over the mean of the smallest of three, of a normal distribution.
const OF_SMALLEST: f32 = 2.4;
/// The rate at which a new scale is followed.
const QUICK_RATE: f32 = 0.1;
/// A share of a normal distribution, and its width in deviations.
const WIDE: (f32, f32) = (0.9, 3.29);
/// The rate at which multipliers move.
const MULTIPLIER_RATE: f32 = 0.001;
/// The largest factor exp(z²): without it the far levels would move in too large steps.
const MOST_FACTOR: f32 = 60.0;
/// A bound lies at most this many deviations from its point, and on its own side of it.
const MULTIPLIER_MAX: f32 = 20.0;
/// From mean absolute error to standard deviation, of a normal distribution.
const DEVIATION: f32 = 1.253_3;
/// Lead 1 has factors of its own: its width decides which readings are outliers.
const GROUPS: usize = 2;
/// The most phases that are kept of a season.
const MOST_PHASES: usize = 24;

/// Quantiles around any point forecast. The error scale of a forecast is the product of that of its lead
/// and a factor of its phase of the season; each level τ has a multiplier `m_τ` at each scored lead that
/// is moved until the level is realised (quantile tracking after Gibbs and Candès 2021, "Adaptive
/// conformal inference under distribution shift").
///
/// ```text
/// s  = a_h·f_φ                             f_φ = 0.95·b_φ + 0.05, the mean of b over a season is 1;
///                                          lead 1 has factors b of its own
/// a_h ← a_h + ρ·(|y − ŷ|/f_φ − a_h)        by lead
/// b_φ ← b_φ + ρ'·(|y − ŷ|/a_h − b_φ)       by phase
/// q_τ = ŷ + m_τ·σ                          σ = 1.2533·s·√r, r a recent mean of |y − ŷ|/s
/// m_τ ← m_τ + η·exp(z_τ²)·(τ − 1[y ≤ q_τ])   z_τ the normal quantile of τ
/// ```
///
/// A lead of which every S-th origin is scored learns √S times as fast: its errors overlap less. Between
/// scored leads `1.2533·a·√r` and the multipliers are interpolated.
///
/// Memory is O(1) for each series, target and scored lead.
#[derive(Debug)]
pub struct Intervals {
    targets: usize,
    leads: Leads,
    phases: usize,
    /// The phase of each step of the season.
    phase_of: Vec<u16>,
    levels: Vec<f32>,
    /// Normal quantile of each level.
    normal: Vec<f32>,
    /// exp(z²), limited.
    quickness: Vec<f32>,
    /// √S of each scored lead.
    roots: Vec<f32>,
    /// The factor of each phase, of lead 1 and of all others; empty without a season. `[slots, targets, 2,
    /// phases]`
    factors: Vec<f32>,
    /// `[slots, targets, leads]`
    by_lead: Vec<LeadState>,
    /// As 16-bit floats. `[slots, targets, leads, levels]`
    multipliers: Vec<u16>,
    /// What is interpolated: deviations, then the multipliers of each level. `[1 + levels, leads]`
    known: Vec<f32>,
    /// The deviation at each lead. `[horizon]`
    deviations: Vec<f32>,
    /// The multipliers of a series. `[leads, levels]`
    floats: Vec<f32>,
}

/// What is kept of a lead.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct LeadState {
    /// Mean absolute error at this lead, over all phases.
    error: f32,
    /// Recent errors over the scale of their lead and phase.
    recent: f32,
    /// The last two errors over the deviation that was forecast for them, the newest first. As they are
    /// while there is no scale. The upper halves of 32-bit floats.
    before: [u16; 2],
    count: u32,
}

impl Intervals {
    /// `leads`: those that are scored. `season`: the shortest season of the stream in steps, or 1.
    pub fn new(targets: usize, leads: &Leads, season: usize, levels: &Levels) -> Self {
        let normal: Vec<f32> = levels.iter().map(|l| l.normal_quantile() as f32).collect();
        let phases = season.clamp(1, MOST_PHASES);
        Self {
            targets,
            phases: if phases > 1 { phases } else { 0 },
            phase_of: (0..season.max(1)).map(|step| (step * phases / season.max(1)) as u16).collect(),
            levels: levels.iter().map(|l| l.get() as f32).collect(),
            quickness: normal.iter().map(|z| (z * z).exp().min(MOST_FACTOR)).collect(),
            normal,
            roots: (0..leads.len()).map(|at| (leads.every_origin(at) as f32).sqrt()).collect(),
            factors: Vec::new(),
            by_lead: Vec::new(),
            multipliers: Vec::new(),
            known: vec![0.0; (1 + levels.len()) * leads.len()],
            deviations: vec![0.0; leads.horizon()],
            floats: vec![0.0; leads.len() * levels.len()],
            leads: leads.clone(),
        }
    }

    fn lead_at(&self, slot: usize, target: usize, lead: usize) -> usize {
        (slot * self.targets + target) * self.leads.len() + lead - 1
    }

    /// How much larger the errors of a phase are than those of all.
    fn factor(&self, slot: usize, target: usize, phase: usize, lead: usize) -> f32 {
        match self.phases {
            0 => 1.0,
            _ => blended(self.factors[self.factors_at(slot, target, lead) + phase]),
        }
    }

    /// Where the factors of a lead begin.
    fn factors_at(&self, slot: usize, target: usize, lead: usize) -> usize {
        ((slot * self.targets + target) * GROUPS + usize::from(lead > 1)) * self.phases
    }

    /// The phase of a cell of the season.
    pub fn phase(&self, cell: i64) -> usize {
        usize::from(self.phase_of[cell.rem_euclid(self.phase_of.len() as i64) as usize])
    }

    /// Loads the state of a series into the cache while another series is worked on.
    pub fn prefetch(&self, slot: usize, target: usize) {
        let row = slot * self.targets + target;
        let (n, levels) = (self.leads.len(), self.leads.len() * self.levels.len());
        prefetch_first(&self.factors[row * GROUPS * self.phases..][..GROUPS * self.phases]);
        prefetch_first(&self.by_lead[row * n..][..n]);
        prefetch_first(&self.multipliers[row * levels..][..levels]);
    }

    /// Learns from a target that has arrived. `phase`: the phase of the target. `lead`: counts the scored
    /// leads from 1 on. `scale`: the error scale of [`Self::quantiles`]; `bounds`: those that were given when
    /// `point` was forecast. Bounds learn from the reading as held, scales from its accepted value.
    ///
    /// Errors in a row that are out of all proportion to the scale mean a new scale, as after a long
    /// calm. The interval follows them at once, and forgets them as fast when they are over.
    #[expect(clippy::too_many_arguments, reason = "a matured forecast is all of these")]
    pub fn update(
        &mut self,
        slot: usize,
        target: usize,
        phase: usize,
        lead: usize,
        actual: Actual,
        point: f32,
        scale: f32,
        bounds: &[f32],
    ) {
        let (error, seen) = ((actual.believed - point).abs(), (actual.held - point).abs());
        if !(error + seen).is_finite() {
            return;
        }
        let (at, factor) = (self.lead_at(slot, target, lead), self.factor(slot, target, phase, lead));
        let root = self.roots[lead - 1];
        let state = &mut self.by_lead[at];
        let multipliers = &mut self.multipliers[at * self.levels.len()..][..self.levels.len()];
        let mut unknown = false;
        if state.count > 0 && scale > 0.0 {
            for (l, multiplier) in multipliers.iter_mut().enumerate() {
                let below = if actual.held <= bounds[l] { 1.0 } else { 0.0 };
                let step = MULTIPLIER_RATE * root * self.quickness[l] * (self.levels[l] - below);
                let side = self.normal[l].signum() * MULTIPLIER_MAX;
                let moved = f16::from_bits(*multiplier).to_f32() + step;
                let moved = moved.clamp(side.min(0.0), side.max(0.0));
                *multiplier = rounded(moved, [state.count, lead as u32, l as u32]);
            }
            let ratio = error / scale;
            if state.recent > RECENT_MAX {
                // The mean square of a normal error over the square of its mean absolute error.
                let square = ratio * ratio / (DEVIATION * DEVIATION);
                state.recent += (QUICK_RATE * root).min(1.0) * (square - state.recent);
            } else {
                state.recent += RECENT_RATE * root * (ratio.min(RECENT_MAX) - state.recent);
            }
            let surprise = seen / (scale * state.recent.max(RECENT_LEAST).sqrt());
            let [last, before] = state.before.map(|bits| bf16::from_bits(bits).to_f32());
            let all = surprise.min(last).min(before);
            unknown = all > UNKNOWN;
            if all > OUT_OF_SCALE[usize::from(lead > 1)] && !unknown {
                state.recent = state.recent.max(RECENT_LEAST) * (OF_SMALLEST * all).powi(2);
                for (multiplier, normal) in multipliers.iter_mut().zip(&self.normal) {
                    if f16::from_bits(*multiplier).to_f32().abs() < normal.abs() {
                        *multiplier = f16::from_f32(*normal).to_bits();
                    }
                }
            }
            state.before = [bf16::from_f32(surprise).to_bits(), state.before[0]];
        } else if state.count > 0 && seen > 0.0 {
            // Every forecast so far was exact, so there is no scale to compare with. The second error that
            // is about as large as the first gives one.
            let first = bf16::from_bits(state.before[0]).to_f32();
            unknown = seen.min(first) * UNKNOWN > seen.max(first);
            state.before[0] = bf16::from_f32(seen).to_bits();
        }
        if unknown {
            (state.recent, state.before, state.count) = (1.0, [0; 2], 0);
            fill_normal(multipliers, &self.normal);
        }
        let error = if unknown { error.max(seen) } else { error };
        state.count = state.count.saturating_add(1);
        state.error += (SCALE_RATE * root).max(1.0 / state.count as f32) * (error / factor - state.error);
        if self.phases > 0 {
            self.learn_phase(slot, target, phase, lead, error);
        }
    }

    /// Moves the factor of a phase, and once a season the mean of all factors back to 1: how large errors are
    /// on the whole is for the leads to learn.
    fn learn_phase(&mut self, slot: usize, target: usize, phase: usize, lead: usize, error: f32) {
        let (n, row) = (self.leads.len(), slot * self.targets + target);
        let first_of_lead = self.factors_at(slot, target, lead);
        let factors = &mut self.factors[first_of_lead..][..self.phases];
        let taught_by = if lead == 1 { 1 } else { n - 1 };
        let leads = &self.by_lead[row * n..][..n];
        let season = self.phase_of.len() as u32;
        let LeadState { error: typical, count, .. } = leads[lead - 1];
        if count > PHASES_FROM && typical > 0.0 {
            // All leads of a step beyond the first teach the same factor.
            let rate = SCALE_RATE * self.roots[lead - 1] * self.phases as f32 / taught_by as f32;
            let seasons = (leads[0].count / season + 1) as f32;
            // One error of a phase says little, those of many leads say more.
            let first = match lead {
                1 => 1.0 / (seasons + FACTOR_PRIOR),
                _ => 1.0 / ((0.5 * seasons + 1.0) * taught_by as f32),
            };
            let factor = &mut factors[phase];
            *factor += rate.min(1.0).max(first) * ((error / typical).min(FACTOR_MAX) - *factor);
        }
        if lead == 1 && count % season == 0 {
            let all = &mut self.factors[first_of_lead..][..GROUPS * self.phases];
            for factors in all.chunks_exact_mut(self.phases) {
                let mean = factors.iter().sum::<f32>() / self.phases as f32;
                if mean > 1e-6 {
                    factors.iter_mut().for_each(|factor| *factor /= mean);
                }
            }
        }
    }

    /// The width of the interval around a forecast of the next reading, which falls on `phase`: between
    /// the outermost levels where these contain 90 %, else at least the 90 % width of a normal
    /// distribution. `guess` as in [`Self::quantiles`].
    pub fn width(&self, slot: usize, target: usize, phase: usize, guess: f32) -> f32 {
        let at = self.lead_at(slot, target, 1);
        let deviation =
            self.by_lead[at].deviation().map_or(guess, |d| d * self.factor(slot, target, phase, 1));
        let multipliers = &self.multipliers[at * self.levels.len()..][..self.levels.len()];
        let multiplier = |end: Option<&u16>| end.map_or(0.0, |bits| f16::from_bits(*bits).to_f32());
        let between = multiplier(multipliers.last()) - multiplier(multipliers.first());
        let (share, width) = WIDE;
        let levels = self.levels.last().unwrap_or(&0.0) - self.levels.first().unwrap_or(&0.0);
        deviation * between.max(if levels > share - 1e-3 { 0.0 } else { width })
    }

    /// The error scale of a scored lead, for a target that falls on `phase`; 0 while no error is known.
    pub fn scale(&self, slot: usize, target: usize, phase: usize, lead: usize) -> f32 {
        match self.by_lead[self.lead_at(slot, target, lead)] {
            LeadState { count: 0, .. } => 0.0,
            state => state.error * self.factor(slot, target, phase, lead),
        }
    }

    /// Writes the quantiles around `point` at a scored lead for a target that falls on `phase`, ascending.
    /// Returns the error scale that they were made with. `guess`: a standard deviation to use while no
    /// error is known. The level 0.5 is the point itself. `bounds`: `[levels]`
    #[expect(clippy::too_many_arguments, reason = "a forecast is all of these")]
    pub fn quantiles(
        &self,
        slot: usize,
        target: usize,
        phase: usize,
        lead: usize,
        point: f32,
        guess: f32,
        bounds: &mut [f32],
    ) -> f32 {
        let at = self.lead_at(slot, target, lead);
        let deviation =
            self.by_lead[at].deviation().map_or(guess, |d| d * self.factor(slot, target, phase, lead));
        let multipliers =
            self.multipliers[at * self.levels.len()..].iter().map(|bits| f16::from_bits(*bits).to_f32());
        for (bound, multiplier) in bounds.iter_mut().zip(ascending(multipliers, &self.normal)) {
            *bound = point + multiplier * deviation;
        }
        self.scale(slot, target, phase, lead)
    }

    /// Writes the quantiles around the points of all leads of a forecast from `cell`, as
    /// [`Self::quantiles`] does. `points`: `[horizon]`; `bounds`: `[levels, horizon]`
    pub fn surround(
        &mut self,
        slot: usize,
        target: usize,
        cell: i64,
        points: &[f32],
        guess: f32,
        bounds: &mut [f32],
    ) {
        let (n, horizon) = (self.leads.len(), self.leads.horizon());
        let (first, levels) = (self.lead_at(slot, target, 1), self.levels.len());
        let factors = self.factors_at(slot, target, 1);
        let multipliers = &self.multipliers[first * levels..][..n * levels];
        multipliers.reinterpret_cast::<f16>().convert_to_f32_slice(&mut self.floats);
        let known = &mut self.known;
        for (i, multipliers) in self.floats.chunks_exact(levels).enumerate() {
            known[i] = self.by_lead[first + i].deviation().unwrap_or(guess);
            let ascending = ascending(multipliers.iter().copied(), &self.normal);
            known[n + i..].iter_mut().step_by(n).zip(ascending).for_each(|(to, m)| *to = m);
        }
        self.leads.spread(&known[..n], &mut self.deviations);
        if self.phases > 0 {
            let (of_first, of_others) = self.factors[factors..][..GROUPS * self.phases].split_at(self.phases);
            let mut within = cell.rem_euclid(self.phase_of.len() as i64) as usize;
            for (i, deviation) in self.deviations.iter_mut().enumerate() {
                within = if within + 1 == self.phase_of.len() { 0 } else { within + 1 };
                let factors = if i == 0 { of_first } else { of_others };
                *deviation *= blended(factors[usize::from(self.phase_of[within])]);
            }
        }
        for (bounds, known) in bounds.chunks_exact_mut(horizon).zip(known[n..].chunks_exact(n)) {
            self.leads.spread(known, bounds);
            for ((bound, deviation), point) in bounds.iter_mut().zip(&self.deviations).zip(points) {
                *bound = point + *bound * deviation;
            }
        }
    }
}

impl LeadState {
    /// The standard deviation of the lead's errors over all phases, lately; `None` while none is known.
    fn deviation(self) -> Option<f32> {
        (self.count > 0).then(|| self.error * self.recent.max(RECENT_LEAST).sqrt() * DEVIATION)
    }
}

/// The multipliers of the levels, that of one never below that of a lower one; 0 for the point itself.
fn ascending(multipliers: impl Iterator<Item = f32>, normal: &[f32]) -> impl Iterator<Item = f32> {
    multipliers.zip(normal).scan(f32::NEG_INFINITY, |highest, (multiplier, normal)| {
        *highest = highest.max(if *normal == 0.0 { 0.0 } else { multiplier });
        Some(*highest)
    })
}

/// The factor of a phase as it is used: so no error of a calm phase is infinitely many typical ones.
fn blended(factor: f32) -> f32 {
    (1.0 - WHOLE_SHARE) * factor + WHOLE_SHARE
}

/// A 16-bit float next to a value, up or down by chance so that steps below its precision count on average. The
/// chance follows from what is given, so a replay rounds the same way.
fn rounded(value: f32, by: [u32; 3]) -> u16 {
    let mixed =
        by[0].wrapping_mul(0x9e37_79b9) ^ by[1].wrapping_mul(0x85eb_ca6b) ^ by[2].wrapping_mul(0xc2b2_ae35);
    let mixed = (mixed ^ (mixed >> 16)).wrapping_mul(0x7feb_352d);
    let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x846c_a68b);
    // The bits below the mantissa of a 16-bit float.
    let up = (mixed ^ (mixed >> 16)) >> 19;
    f16::from_f32(f32::from_bits((value.to_bits() + up) & !0x1fff)).to_bits()
}

fn fill_normal(multipliers: &mut [u16], normal: &[f32]) {
    multipliers.iter_mut().zip(normal).for_each(|(to, normal)| *to = f16::from_f32(*normal).to_bits());
}

const UNSEEN: LeadState = LeadState { error: 0.0, recent: 1.0, before: [0; 2], count: 0 };

impl Rows for Intervals {
    fn grow(&mut self, slots: usize) {
        let rows = slots * self.targets;
        lengthen(&mut self.factors, rows * GROUPS * self.phases, 1.0);
        lengthen(&mut self.by_lead, rows * self.leads.len(), UNSEEN);
        let from = self.multipliers.len();
        lengthen(&mut self.multipliers, rows * self.leads.len() * self.levels.len(), 0);
        for multipliers in self.multipliers[from..].chunks_exact_mut(self.levels.len()) {
            fill_normal(multipliers, &self.normal);
        }
    }

    fn reset(&mut self, slot: usize) {
        let (phases, leads) = (self.targets * GROUPS * self.phases, self.targets * self.leads.len());
        let levels = self.levels.len();
        self.factors[slot * phases..][..phases].fill(1.0);
        self.by_lead[slot * leads..][..leads].fill(UNSEEN);
        for multipliers in
            self.multipliers[slot * leads * levels..][..leads * levels].chunks_exact_mut(levels)
        {
            fill_normal(multipliers, &self.normal);
        }
    }

    fn save(&self, slot: usize, out: &mut Vec<u8>) {
        let (phases, leads) = (self.targets * GROUPS * self.phases, self.targets * self.leads.len());
        let multipliers = leads * self.levels.len();
        put(out, &self.factors[slot * phases..][..phases]);
        put(out, &self.by_lead[slot * leads..][..leads]);
        put(out, &self.multipliers[slot * multipliers..][..multipliers]);
    }

    fn load(&mut self, slot: usize, row: &mut Take<'_>) -> Result<(), Damaged> {
        let (phases, leads) = (self.targets * GROUPS * self.phases, self.targets * self.leads.len());
        let multipliers = leads * self.levels.len();
        row.fill(&mut self.factors[slot * phases..][..phases])?;
        row.fill(&mut self.by_lead[slot * leads..][..leads])?;
        row.fill(&mut self.multipliers[slot * multipliers..][..multipliers])
    }

    fn memory(&self) -> usize {
        self.factors.capacity() * size_of::<f32>()
            + self.by_lead.capacity() * size_of::<LeadState>()
            + self.multipliers.capacity() * size_of::<u16>()
    }
}

#[cfg(test)]
mod tests;
