use super::past_value::value_at;
use super::recent_range::RecentRange;
use super::state_table::{StateRow, StateTable, rows_of_state_table};
use super::{ExpertGroup, Observation};
use crate::domain::{Damaged, Rows, Take};
use bytemuck::{Pod, Zeroable};

/// The numbers of past steps, past residuals and seasonal terms among the regressors.
const ORDER: usize = 4;
const RESIDUALS: usize = 2;
const SEASONAL: usize = 2;
/// The forgetting factor λ: a memory of about 2,000 readings.
const FORGETTING: f64 = 0.999_5;
/// While the trace of the covariance is above this many times its dimension, nothing is forgotten.
const TRACE_MAX: f64 = 10.0;
/// A residual counts as at most this many typical residuals.
const RESIDUAL_MAX: f64 = 4.0;
/// The rate at which the typical residual is learnt.
const RESIDUAL_RATE: f64 = 0.01;
/// A residual within this many deviations of the series is never clipped. So the first residuals after a
/// long calm still teach.
const NEVER_CLIPPED: f64 = 0.01;
/// Regressors are limited to this many deviations.
const FEATURE_MAX: f64 = 50.0;
/// The rate of the slow mean of the series' range.
const CENTRE_RATE: f32 = 0.01;
/// Readings before the model forecasts.
const START: u32 = 24;

/// An online ARMA model with a seasonal term, fitted by extended recursive least squares (Ljung and
/// Söderström 1983, "Theory and practice of recursive identification").
///
/// ```text
/// y_t − y_{t−1} = w·x_t + ε_t
/// x_t = [1, Δy_{t−1} … Δy_{t−4}, ε_{t−1}, ε_{t−2}, Δy_{t−m}, y_{t−m} − y_{t−1}]   m the season
/// K = P x / (λ + xᵀ P x)     w ← w + K·ε     P ← (P − K xᵀ P) / λ
/// ```
///
/// The model is fitted one step ahead. For the other leads its own forecasts are fed back and future
/// residuals are 0. It is small enough for double precision. A reading costs O(order² + horizon · order).
#[derive(Debug)]
pub struct Arma {
    horizon: usize,
    season: Option<usize>,
    features: usize,
    ring: usize,
    table: StateTable<ArmaState>,
    x: Vec<f64>,
    px: Vec<f64>,
    /// The newest `ORDER + 1` values, then the forecasts. `[ORDER + 1 + horizon]`
    path: Vec<f64>,
}

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct ArmaState {
    steps: u64,
    residuals: [f64; RESIDUALS],
    /// Mean absolute residual.
    typical: f64,
    weights: [f64; FEATURES],
    /// The covariance `P`, packed lower half.
    p: [f64; FEATURES * (FEATURES + 1) / 2],
    range: RecentRange,
    readings: u32,
}

/// The regressors: the constant, steps, residuals and the seasonal terms.
const FEATURES: usize = 1 + ORDER + RESIDUALS + SEASONAL;

impl Arma {
    pub fn new(targets: usize, horizon: usize, season: Option<usize>) -> Self {
        let season = season.filter(|m| *m > 1);
        let mut state = ArmaState::zeroed();
        state.p = identity();
        let ring = season.unwrap_or(0) + ORDER + SEASONAL + 1;
        Self {
            table: StateTable::new(targets, state, &vec![0.0; ring], 0, 0),
            features: if season.is_some() { FEATURES } else { FEATURES - SEASONAL },
            x: vec![0.0; FEATURES],
            px: vec![0.0; FEATURES],
            path: vec![0.0; ORDER + 1 + horizon.max(1)],
            horizon: horizon.max(1),
            season,
            ring,
        }
    }

    /// Bytes of one series.
    pub fn bytes_each(&self) -> usize {
        self.table.bytes_each()
    }
}

fn identity() -> [f64; FEATURES * (FEATURES + 1) / 2] {
    let mut p = [0.0; FEATURES * (FEATURES + 1) / 2];
    (0..FEATURES).for_each(|i| p[i * (i + 1) / 2 + i] = 1.0);
    p
}

fn packed(i: usize, j: usize) -> usize {
    if i >= j { i * (i + 1) / 2 + j } else { j * (j + 1) / 2 + i }
}

/// Writes the regressors of the step to `lead` after step `now`. `path` holds the values up to `now`, the
/// newest at `ORDER`, then the forecasts up to the step before. Future residuals are 0.
fn fill(
    x: &mut [f64],
    path: &[f64],
    (now, lead): (u64, usize),
    residuals: &[f64; RESIDUALS],
    ring: &[f32],
    season: Option<usize>,
    per_unit: f64,
) {
    let bounded = |v: f64| (v * per_unit).clamp(-FEATURE_MAX, FEATURE_MAX);
    let last = ORDER + lead - 1;
    x[0] = 1.0;
    for k in 0..ORDER {
        x[1 + k] = bounded(path[last - k] - path[last - k - 1]);
    }
    for k in 0..RESIDUALS {
        x[1 + ORDER + k] = if k + 1 >= lead { residuals[k + 1 - lead] } else { 0.0 };
    }
    let Some(m) = season else { return };
    let season_before = |lead: usize| {
        if lead <= m { f64::from(value_at(ring, now, m - lead)) } else { path[ORDER + lead - m] }
    };
    let then = season_before(lead);
    x[1 + ORDER + RESIDUALS] = bounded(then - season_before(lead - 1));
    x[2 + ORDER + RESIDUALS] = bounded(then - path[last]);
}

impl ExpertGroup for Arma {
    fn names(&self) -> &[&'static str] {
        &["arma"]
    }

    fn step(&mut self, slot: usize, target: usize, reading: &Observation<'_>, out: &mut [f32]) {
        assert_eq!(out.len(), self.horizon);
        let StateRow { state, floats, .. } = self.table.row(slot, target);
        let ring = &mut floats[..self.ring];
        let n = self.features;
        let now = state.steps;
        let observed = reading.observed && reading.value.is_finite();
        let value = match reading.value.is_finite() {
            true => reading.value.clamp(-1e15, 1e15),
            false => value_at(ring, now, 1),
        };
        let unit = f64::from(state.range.deviation());
        let is_ready = state.readings >= START && unit > 1e-15;
        // The regressors of this reading, from what was known before it.
        if is_ready && now > 0 {
            for k in 0..=ORDER {
                self.path[ORDER - k] = f64::from(value_at(ring, now - 1, k));
            }
            fill(&mut self.x, &self.path, (now - 1, 1), &state.residuals, ring, self.season, 1.0 / unit);
            let residual = if observed {
                let step = (f64::from(value) - f64::from(value_at(ring, now - 1, 0))) / unit;
                learn(state, &self.x[..n], &mut self.px[..n], step)
            } else {
                0.0
            };
            state.residuals.rotate_right(1);
            state.residuals[0] = residual;
        }
        ring[(now % self.ring as u64) as usize] = value;
        if observed {
            state.range.update(value, state.readings, CENTRE_RATE);
            state.readings = state.readings.saturating_add(1);
        }
        for k in 0..=ORDER {
            self.path[ORDER - k] = f64::from(value_at(ring, now, k));
        }
        for lead in 1..=self.horizon {
            let last = self.path[ORDER + lead - 1];
            let mut next = last;
            if is_ready {
                fill(&mut self.x, &self.path, (now, lead), &state.residuals, ring, self.season, 1.0 / unit);
                let step: f64 = state.weights.iter().zip(&self.x[..n]).map(|(w, x)| w * x).sum();
                next = last + unit * step;
            }
            // The fed-back forecast stays in the range of the series, so an unstable fit can't diverge.
            let point = state.range.clamp(next as f32);
            self.path[ORDER + lead] = f64::from(point);
            out[lead - 1] = point;
        }
        state.steps = now.wrapping_add(1);
    }

    fn interrupt(&mut self, slot: usize) {
        for state in self.table.states(slot) {
            state.steps = 0;
            state.residuals = [0.0; RESIDUALS];
        }
    }
}

/// One step of recursive least squares. Returns the residual after it, limited.
fn learn(state: &mut ArmaState, x: &[f64], px: &mut [f64], step: f64) -> f64 {
    let n = x.len();
    let predicted: f64 = state.weights.iter().zip(x).map(|(w, x)| w * x).sum();
    let mut error = step - predicted;
    if !error.is_finite() {
        return 0.0;
    }
    let size = error.abs();
    if state.typical > 0.0 {
        let most = (RESIDUAL_MAX * state.typical).max(NEVER_CLIPPED);
        error = error.clamp(-most, most);
        state.typical += RESIDUAL_RATE * (size.min(most) - state.typical);
    } else {
        state.typical = size;
    }
    let trace: f64 = (0..n).map(|i| state.p[packed(i, i)]).sum();
    let forgetting = if trace > TRACE_MAX * n as f64 { 1.0 } else { FORGETTING };
    for (i, px) in px.iter_mut().enumerate() {
        *px = x.iter().enumerate().map(|(j, x)| state.p[packed(i, j)] * x).sum();
    }
    let whole = forgetting + px.iter().zip(x).map(|(p, x)| p * x).sum::<f64>();
    if !(whole.is_finite() && whole > 0.5 * forgetting) {
        state.p = identity();
        state.weights = [0.0; FEATURES];
        return 0.0;
    }
    for i in 0..n {
        state.weights[i] += px[i] / whole * error;
        for j in 0..=i {
            let p = &mut state.p[packed(i, j)];
            *p = (*p - px[i] * px[j] / whole) / forgetting;
        }
    }
    let predicted: f64 = state.weights.iter().zip(x).map(|(w, x)| w * x).sum();
    let after = step - predicted;
    let most = (RESIDUAL_MAX * state.typical).max(NEVER_CLIPPED);
    if after.is_finite() { after.clamp(-most, most) } else { 0.0 }
}

rows_of_state_table!(Arma);
