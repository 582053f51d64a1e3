use super::Actual;
use crate::domain::{Damaged, Levels, Rows, Take, put};
use crate::simd::prefetch_first;

/// The rate of the error scale: a half-life of about 500 matured forecasts.
const SCALE_RATE: f32 = 1.0 - 0.998_614_6;
/// A phase of the season is seen this much less often than a lead, so it learns this much faster.
const PHASE_SPEEDUP: f32 = 24.0;
/// The share of the error of the whole lead in the scale of a phase that is well known.
const LEAD_SHARE: f32 = 0.05;
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
/// The most phases that are kept of a season.
const MOST_PHASES: usize = 24;

/// Quantiles around any point forecast. Each lead and phase of the season has an error scale `s`; each
/// level τ has a multiplier `m_τ` that is moved until the level is realised (quantile tracking after
/// Gibbs and Candès 2021, "Adaptive conformal inference under distribution shift").
///
/// ```text
/// s  ← s + ρ·(|y − ŷ| − s)                 by phase and lead, mixed with that of the lead
/// q_τ = ŷ + m_τ·σ                          σ = 1.2533·s·√r, r a recent mean of |y − ŷ|/s
/// m_τ ← m_τ + η·exp(z_τ²)·(τ − 1[y ≤ q_τ])   z_τ the normal quantile of τ
/// ```
///
/// Memory is O(1) for each series, target and lead.
#[derive(Debug)]
pub struct Intervals {
    targets: usize,
    horizon: usize,
    phases: usize,
    /// The phase of each step of the season.
    phase_of: Vec<u16>,
    levels: Vec<f32>,
    /// Normal quantile of each level.
    normal: Vec<f32>,
    /// exp(z²), limited.
    factors: Vec<f32>,
    /// Mean absolute error. `[slots, targets, phases, horizon]`
    by_phase: Vec<f32>,
    /// Matured forecasts, saturating; as `by_phase`.
    counts: Vec<u16>,
    /// `[slots, targets, horizon]`
    by_lead: Vec<LeadState>,
    /// `[slots, targets, horizon, levels]`
    multipliers: Vec<f32>,
}

/// What is kept of a lead.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct LeadState {
    /// Mean absolute error at this lead, over all phases.
    error: f32,
    /// Recent errors over the scale that was forecast for them.
    recent: f32,
    /// The last two errors over the deviation that was forecast for them, the newest first. As they are
    /// while there is no scale.
    before: [f32; 2],
    count: u32,
}

impl Intervals {
    /// `season`: the shortest season of the stream in steps, or 1.
    pub fn new(targets: usize, horizon: usize, season: usize, levels: &Levels) -> Self {
        let normal: Vec<f32> = levels.iter().map(|l| l.normal_quantile() as f32).collect();
        Self {
            targets,
            horizon,
            phases: season.clamp(1, MOST_PHASES),
            phase_of: (0..season.max(1))
                .map(|step| (step * season.clamp(1, MOST_PHASES) / season.max(1)) as u16)
                .collect(),
            levels: levels.iter().map(|l| l.get() as f32).collect(),
            factors: normal.iter().map(|z| (z * z).exp().min(MOST_FACTOR)).collect(),
            normal,
            by_phase: Vec::new(),
            counts: Vec::new(),
            by_lead: Vec::new(),
            multipliers: Vec::new(),
        }
    }

    fn lead_at(&self, slot: usize, target: usize, lead: usize) -> usize {
        (slot * self.targets + target) * self.horizon + lead - 1
    }

    fn phase_at(&self, slot: usize, target: usize, phase: usize, lead: usize) -> usize {
        ((slot * self.targets + target) * self.phases + phase) * self.horizon + lead - 1
    }

    /// The phase of a cell of the season.
    pub fn phase(&self, cell: i64) -> usize {
        usize::from(self.phase_of[cell.rem_euclid(self.phase_of.len() as i64) as usize])
    }

    /// The phases of the cells after this one, without a division for each.
    pub fn phases_after(&self, cell: i64) -> impl Iterator<Item = usize> {
        let season = self.phase_of.len();
        let mut within = cell.rem_euclid(season as i64) as usize;
        std::iter::repeat_with(move || {
            within = if within + 1 == season { 0 } else { within + 1 };
            usize::from(self.phase_of[within])
        })
    }

    /// Loads the state of a series into the cache while another series is worked on.
    pub fn prefetch(&self, slot: usize, target: usize) {
        let row = slot * self.targets + target;
        let (each, levels) = (self.horizon * self.phases, self.horizon * self.levels.len());
        prefetch_first(&self.by_phase[row * each..][..each]);
        prefetch_first(&self.counts[row * each..][..each]);
        prefetch_first(&self.by_lead[row * self.horizon..][..self.horizon]);
        prefetch_first(&self.multipliers[row * levels..][..levels]);
    }

    /// Learns from a target that has arrived. `phase`: the phase of the target. `scale`, `bounds`: what
    /// [`Self::quantiles`] gave when `point` was forecast. Bounds learn from the reading as held, scales
    /// from its accepted value.
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
        let (at, phase) = (self.lead_at(slot, target, lead), self.phase_at(slot, target, phase, lead));
        let state = &mut self.by_lead[at];
        let multipliers = &mut self.multipliers[at * self.levels.len()..][..self.levels.len()];
        let mut unknown = false;
        if state.count > 0 && scale > 0.0 {
            for (l, multiplier) in multipliers.iter_mut().enumerate() {
                let below = if actual.held <= bounds[l] { 1.0 } else { 0.0 };
                *multiplier += MULTIPLIER_RATE * self.factors[l] * (self.levels[l] - below);
                let side = self.normal[l].signum() * MULTIPLIER_MAX;
                *multiplier = multiplier.clamp(side.min(0.0), side.max(0.0));
            }
            let ratio = error / scale;
            if state.recent > RECENT_MAX {
                // The mean square of a normal error over the square of its mean absolute error.
                let square = ratio * ratio / (DEVIATION * DEVIATION);
                state.recent += QUICK_RATE * (square - state.recent);
            } else {
                state.recent += RECENT_RATE * (ratio.min(RECENT_MAX) - state.recent);
            }
            let surprise = seen / (scale * state.recent.max(RECENT_LEAST).sqrt());
            let [last, before] = state.before;
            let all = surprise.min(last).min(before);
            unknown = all > UNKNOWN;
            if all > OUT_OF_SCALE[usize::from(lead > 1)] && !unknown {
                state.recent = state.recent.max(RECENT_LEAST) * (OF_SMALLEST * all).powi(2);
                for (multiplier, normal) in multipliers.iter_mut().zip(&self.normal) {
                    *multiplier = if multiplier.abs() < normal.abs() { *normal } else { *multiplier };
                }
            }
            state.before = [surprise, last];
        } else if state.count > 0 && seen > 0.0 {
            // Every forecast so far was exact, so there is no scale to compare with. The second error that
            // is about as large as the first gives one.
            unknown = seen.min(state.before[0]) * UNKNOWN > seen.max(state.before[0]);
            state.before[0] = seen;
        }
        if unknown {
            (state.recent, state.before, state.count) = (1.0, [0.0; 2], 0);
            multipliers.copy_from_slice(&self.normal);
            let of_lead = phase % self.horizon;
            let row = phase - phase % (self.horizon * self.phases) + of_lead;
            (0..self.phases).for_each(|phase| self.counts[row + phase * self.horizon] = 0);
        }
        let error = if unknown { error.max(seen) } else { error };
        let state = &mut self.by_lead[at];
        state.count = state.count.saturating_add(1);
        state.error += SCALE_RATE.max(1.0 / state.count as f32) * (error - state.error);
        self.counts[phase] = self.counts[phase].saturating_add(1);
        let rate =
            (SCALE_RATE * PHASE_SPEEDUP.min(self.phases as f32)).max(1.0 / f32::from(self.counts[phase]));
        self.by_phase[phase] += rate * (error - self.by_phase[phase]);
    }

    /// The width of the interval around a forecast of the next reading, which falls on `phase`: between
    /// the outermost levels where these contain 90 %, else at least the 90 % width of a normal
    /// distribution. `guess` as in [`Self::quantiles`].
    pub fn width(&self, slot: usize, target: usize, phase: usize, guess: f32) -> f32 {
        let (at, phase) = (self.lead_at(slot, target, 1), self.phase_at(slot, target, phase, 1));
        let (_, deviation) = self.deviation(at, phase, guess);
        let multipliers = &self.multipliers[at * self.levels.len()..][..self.levels.len()];
        let ends = |all: &[f32]| all.last().unwrap_or(&0.0) - all.first().unwrap_or(&0.0);
        let (share, width) = WIDE;
        let least = if ends(&self.levels) > share - 1e-3 { 0.0 } else { width };
        deviation * ends(multipliers).max(least)
    }

    /// The error scale and the standard deviation of a lead's forecast.
    fn deviation(&self, at: usize, phase: usize, guess: f32) -> (f32, f32) {
        let state = self.by_lead[at];
        if state.count == 0 {
            return (0.0, guess);
        }
        let seen = f32::from(self.counts[phase]);
        let share = if seen > 30.0 { LEAD_SHARE } else { 3.0 / (seen + 3.0) };
        let scale = (1.0 - share) * self.by_phase[phase] + share * state.error;
        (scale, scale * state.recent.max(RECENT_LEAST).sqrt() * DEVIATION)
    }

    /// Writes the quantiles around `point` for a target that falls on `phase`, ascending. Returns the
    /// error scale that they were made with. `guess`: a standard deviation to use while no error is
    /// known. The level 0.5 is the point itself. `bounds`: `[levels]`
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
        let (at, phase) = (self.lead_at(slot, target, lead), self.phase_at(slot, target, phase, lead));
        let (scale, deviation) = self.deviation(at, phase, guess);
        let multipliers = &self.multipliers[at * self.levels.len()..][..self.levels.len()];
        let mut highest = f32::NEG_INFINITY;
        for (l, multiplier) in multipliers.iter().enumerate() {
            let offset = match self.normal[l] {
                0.0 => 0.0,
                _ => multiplier * deviation,
            };
            highest = highest.max(point + offset);
            bounds[l] = highest;
        }
        scale
    }
}

const UNSEEN: LeadState = LeadState { error: 0.0, recent: 1.0, before: [0.0; 2], count: 0 };

impl Rows for Intervals {
    fn grow(&mut self, slots: usize) {
        let leads = slots * self.targets * self.horizon;
        self.by_phase.resize(leads * self.phases, 0.0);
        self.counts.resize(leads * self.phases, 0);
        self.by_lead.resize(leads, UNSEEN);
        self.multipliers.reserve(leads * self.levels.len() - self.multipliers.len());
        while self.multipliers.len() < leads * self.levels.len() {
            self.multipliers.extend_from_slice(&self.normal);
        }
    }

    fn reset(&mut self, slot: usize) {
        let leads = self.targets * self.horizon;
        self.by_phase[slot * leads * self.phases..][..leads * self.phases].fill(0.0);
        self.counts[slot * leads * self.phases..][..leads * self.phases].fill(0);
        self.by_lead[slot * leads..][..leads].fill(UNSEEN);
        let levels = self.levels.len();
        for of_lead in self.multipliers[slot * leads * levels..][..leads * levels].chunks_exact_mut(levels) {
            of_lead.copy_from_slice(&self.normal);
        }
    }

    fn save(&self, slot: usize, out: &mut Vec<u8>) {
        let leads = self.targets * self.horizon;
        put(out, &self.by_phase[slot * leads * self.phases..][..leads * self.phases]);
        put(out, &self.counts[slot * leads * self.phases..][..leads * self.phases]);
        put(out, &self.by_lead[slot * leads..][..leads]);
        put(out, &self.multipliers[slot * leads * self.levels.len()..][..leads * self.levels.len()]);
    }

    fn load(&mut self, slot: usize, row: &mut Take<'_>) -> Result<(), Damaged> {
        let leads = self.targets * self.horizon;
        row.fill(&mut self.by_phase[slot * leads * self.phases..][..leads * self.phases])?;
        row.fill(&mut self.counts[slot * leads * self.phases..][..leads * self.phases])?;
        row.fill(&mut self.by_lead[slot * leads..][..leads])?;
        let levels = self.levels.len();
        row.fill(&mut self.multipliers[slot * leads * levels..][..leads * levels])
    }

    fn memory(&self) -> usize {
        self.by_phase.capacity() * size_of::<f32>()
            + self.counts.capacity() * size_of::<u16>()
            + self.by_lead.capacity() * size_of::<LeadState>()
            + self.multipliers.capacity() * size_of::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Level;
    use rand::{Rng, SeedableRng};

    #[test]
    fn a_flat_stretch_leaves_the_bounds_as_they_were() {
        let levels = Levels::new([0.05, 0.95].map(|l| Level::try_new(l).unwrap()).to_vec());
        let mut intervals = Intervals::new(1, 1, 1, &levels);
        intervals.grow(1);
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        let mut widest = 0.0f32;
        for step in 0..12_000i64 {
            let mut bounds = [0.0; 2];
            let scale = intervals.quantiles(0, 0, 0, 1, 0.0, 1.0, &mut bounds);
            let value = if step < 10_000 { 0.0 } else { rng.random_range(-1.0..1.0f32) };
            intervals.update(0, 0, 0, 1, Actual::accepted(value), 0.0, scale, &bounds);
            widest = bounds.iter().fold(widest, |w, b| w.max(b.abs()));
        }
        assert!(widest < 6.0, "{widest}");
    }

    #[test]
    fn realised_coverage_approaches_the_levels_on_skewed_noise() {
        let levels = Levels::new([0.1, 0.5, 0.9, 0.975].map(|l| Level::try_new(l).unwrap()).to_vec());
        let mut intervals = Intervals::new(1, 1, 24, &levels);
        intervals.grow(1);
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        let (mut below, mut n) = ([0.0f64; 4], 0.0);
        for cell in 0..40_000i64 {
            let mut bounds = [0.0; 4];
            let phase = intervals.phase(cell);
            let scale = intervals.quantiles(0, 0, phase, 1, 0.0, 1.0, &mut bounds);
            assert!(bounds.is_sorted(), "{bounds:?}");
            // Exponential noise, louder in one half of the day.
            let loud = if cell.rem_euclid(24) < 12 { 3.0 } else { 1.0 };
            let value = loud * (-rng.random::<f32>().max(1e-9).ln() - 0.7);
            if cell > 5_000 {
                n += 1.0;
                bounds.iter().enumerate().for_each(|(l, b)| below[l] += f64::from(u8::from(value <= *b)));
            }
            intervals.update(0, 0, phase, 1, Actual::accepted(value), 0.0, scale, &bounds);
        }
        for (l, want) in [(0, 0.1), (2, 0.9), (3, 0.975)] {
            let got = below[l] / n;
            assert!((got - want).abs() < 0.02, "level {want}: {got}");
        }
    }
}
