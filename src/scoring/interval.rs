use super::Actual;
use crate::domain::{Damaged, Levels, Rows, Take, put};
use crate::simd::prefetch_first;

/// Half-life of about 500 matured forecasts.
const SCALE_RATE: f32 = 1.0 - 0.998_614_6;
/// A phase of the season is seen this much more seldom than a lead, so it learns this much faster.
const PHASE_SPEEDUP: f32 = 24.0;
const LEAD_SHARE: f32 = 0.05;
const RECENT_RATE: f32 = 0.01;
/// A recent error counts as at most this many scales, and all of them as at least so many.
const RECENT_MAX: f32 = 8.0;
const RECENT_LEAST: f32 = 0.05;
/// Three errors in a row beyond so many times what was given are a new scale: at lead 1, and at longer ones,
/// whose errors come in rows.
const OUT_OF_SCALE: [f32; 2] = [4.0, 12.0];
/// Beyond so many nothing is known of the errors any more.
const UNKNOWN: f32 = 32.0;
/// The mean of absolute errors over the mean of the smallest of three, of a normal.
const OF_SMALLEST: f32 = 2.4;
/// How fast a new scale is followed.
const QUICK_RATE: f32 = 0.1;
/// The share of a normal within so many deviations of its width.
const WIDE: (f32, f32) = (0.9, 3.29);
const MULTIPLIER_RATE: f32 = 0.001;
/// Far levels would step too wildly with the plain factor exp(z²).
const MOST_FACTOR: f32 = 60.0;
/// A bound lies at most this many deviations from its point, and on its own side of it.
const MULTIPLIER_MAX: f32 = 20.0;
/// From mean absolute error to standard deviation, of a normal.
const DEVIATION: f32 = 1.253_3;
/// The most phases that are kept of a season.
const MOST_PHASES: usize = 24;

/// Quantiles around any point forecast: an error scale per lead and phase of the target's season,
/// and per level a multiplier that is moved until its level is realised (RECIPE.md, Intervals;
/// quantile tracking after Gibbs and Candès 2021). O(1) memory per series, target and lead.
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
    /// exp(z²), bounded.
    factors: Vec<f32>,
    /// Mean absolute error. `[slots, targets, phases, horizon]`
    by_phase: Vec<f32>,
    counts: Vec<u16>,
    /// `[slots, targets, horizon]`
    by_lead: Vec<LeadState>,
    /// `[slots, targets, horizon, levels]`
    multipliers: Vec<f32>,
}

#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct LeadState {
    /// Mean absolute error at this lead, all phases.
    error: f32,
    /// Recent errors over the scale that they were given.
    recent: f32,
    /// The last two errors over what was given, the newest first; as they are while there is no scale.
    before: [f32; 2],
    count: u32,
}

impl Intervals {
    /// `season` is the stream's shortest season in steps, or 1.
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

    /// Asks for a series' memory while another is worked on.
    pub fn prefetch(&self, slot: usize, target: usize) {
        let row = slot * self.targets + target;
        let (each, levels) = (self.horizon * self.phases, self.horizon * self.levels.len());
        prefetch_first(&self.by_phase[row * each..][..each]);
        prefetch_first(&self.counts[row * each..][..each]);
        prefetch_first(&self.by_lead[row * self.horizon..][..self.horizon]);
        prefetch_first(&self.multipliers[row * levels..][..levels]);
    }

    /// Learns from a target that has arrived: `phase` is the target's, `scale` and `bounds` are what
    /// [`Self::quantiles`] gave when `point` was made. Bounds learn from the reading, scales from what
    /// is believed of it.
    ///
    /// Errors in a row that are out of all proportion to what was given are a new scale, as after a long
    /// calm: the interval follows them at once, and forgets them as fast when they are over.
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
                // The square of a normal's absolute error is this much of its mean's.
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
            // Every forecast so far was right. Without a scale there is no proportion; the second error that
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

    /// The width of the interval around a forecast of the next reading, which is in `phase`: between the
    /// outermost levels where these hold 90 %, else at least that of a normal. `guess` as in
    /// [`Self::quantiles`].
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

    /// Writes the quantiles around `point` for a target in `phase`, ascending, and gives the error
    /// scale that they were made with. While no error is known, `guess` (a standard deviation) stands
    /// in. The level 0.5 is the point itself. `bounds`: `[levels]`
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
