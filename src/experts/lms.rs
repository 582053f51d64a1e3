use super::past_value::value_at;
use super::recent_range::RecentRange;
use super::state_table::{StateRow, StateTable, rows_of_state_table};
use super::{ExpertGroup, Observation};
use crate::domain::{Damaged, Leads, Rows, Take, seasonal_age};
use bytemuck::{Pod, Zeroable};

/// The step sizes μ of the models that run side by side. The best one differs a hundredfold between
/// series.
const RATES: [f32; 3] = [0.003, 0.03, 0.3];
/// The least squared norm of the regressors, in squared deviations.
const LEAST: f32 = 1e-3;
/// An error counts as at most this many deviations.
const ERROR_MAX: f32 = 10.0;
/// The rate of the slow mean of the series' range.
const CENTRE_RATE: f32 = 0.01;
/// Readings before the weights move: a deviation has to be known first.
const START: u32 = 16;

/// Normalised least mean squares (Nagumo and Noda 1967; Haykin, "Adaptive Filter Theory", ch. 7) for
/// every learnt lead, at several step sizes μ. It corrects the seasonal naive forecast, or the last value
/// of a series without a season.
///
/// ```text
/// ŷ_{t+h|t} = b_{t,h} + w_h·x_t           b the naive forecast, x_t one and a few lags less y_t
/// w_h ← w_h + μ·e·x_{t−h} / ‖x_{t−h}‖²    e = y_t − ŷ_{t|t−h}, limited
/// ```
///
/// It needs less memory than least squares: no covariance.
#[derive(Debug)]
pub struct Lms {
    leads: Leads,
    season: Option<usize>,
    lags: Vec<usize>,
    ring: usize,
    table: StateTable<LmsState>,
    /// Regressors at the newest reading, and at the origin of a forecast that has matured. `[features]`
    x: Vec<f32>,
    then: Vec<f32>,
    corrections: Vec<f32>,
}

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct LmsState {
    steps: u64,
    readings: u32,
    range: RecentRange,
}

impl Lms {
    pub fn new(targets: usize, leads: Leads, season: Option<usize>) -> Self {
        let season = season.filter(|m| *m > 1);
        let lags: Vec<usize> = match season {
            None => vec![1, 2, 3, 4],
            Some(m) => {
                let mut lags = vec![1, 2, m - 1, m, m + 1, 2 * m];
                lags.sort_unstable();
                lags.dedup();
                lags
            }
        };
        let oldest = leads.horizon() + lags.iter().max().copied().unwrap_or(0);
        let ring = oldest.max(leads.horizon() + season.unwrap_or(0)) + 1;
        let features = lags.len() + 1;
        let floats = vec![0.0; ring + RATES.len() * leads.len() * features];
        Self {
            table: StateTable::new(targets, LmsState::zeroed(), &floats, 0, 0),
            x: vec![0.0; features],
            then: vec![0.0; features],
            corrections: vec![0.0; leads.len()],
            season,
            lags,
            ring,
            leads,
        }
    }

    /// Bytes of one series.
    pub fn bytes_each(&self) -> usize {
        self.table.bytes_each()
    }
}

/// Writes the regressors of the origin `age` steps ago: one, and the lags less the value there, in
/// deviations.
fn fill(x: &mut [f32], ring: &[f32], now: u64, age: usize, lags: &[usize], per_unit: f32) {
    let value = value_at(ring, now, age);
    x[0] = 1.0;
    for (x, lag) in x[1..].iter_mut().zip(lags) {
        *x = ((value_at(ring, now, age + lag) - value) * per_unit).clamp(-50.0, 50.0);
    }
}

impl ExpertGroup for Lms {
    fn names(&self) -> &[&'static str] {
        &["lms_slow", "lms", "lms_quick"]
    }

    fn step(&mut self, slot: usize, target: usize, reading: &Observation<'_>, out: &mut [f32]) {
        let horizon = self.leads.horizon();
        assert_eq!(out.len(), RATES.len() * horizon);
        let StateRow { state, floats, .. } = self.table.row(slot, target);
        let (ring, weights) = floats.split_at_mut(self.ring);
        let now = state.steps;
        let at = (now % self.ring as u64) as usize;
        let observed = reading.observed && reading.value.is_finite();
        let value = match reading.value.is_finite() {
            true => reading.value.clamp(-1e15, 1e15),
            false => value_at(ring, now, 1),
        };
        ring[at] = value;
        let unit = state.range.deviation();
        let is_ready = state.readings >= START && unit > 1e-15;
        let base = |age: usize, lead: usize| match self.season {
            Some(m) if now >= (age + seasonal_age(m, lead)) as u64 => age + seasonal_age(m, lead),
            _ => age,
        };
        let features = self.x.len();
        if is_ready && observed {
            for (i, &lead) in self.leads.learnt().iter().enumerate() {
                if now < lead as u64 + u64::from(START) {
                    break;
                }
                fill(&mut self.then, ring, now, lead, &self.lags, 1.0 / unit);
                let truth = (value - value_at(ring, now, base(lead, lead))) / unit;
                let size = self.then.iter().map(|x| x * x).sum::<f32>() + LEAST;
                for (k, rate) in RATES.iter().enumerate() {
                    let w = &mut weights[(k * self.leads.len() + i) * features..][..features];
                    let predicted: f32 = w.iter().zip(&self.then).map(|(w, x)| w * x).sum();
                    let error = (truth - predicted).clamp(-ERROR_MAX, ERROR_MAX);
                    let step = if error.is_finite() { rate * error / size } else { 0.0 };
                    w.iter_mut().zip(&self.then).for_each(|(w, x)| *w += step * x);
                }
            }
        }
        if observed {
            state.range.update(value, state.readings, CENTRE_RATE);
            state.readings = state.readings.saturating_add(1);
        }
        state.steps = now.wrapping_add(1);
        if is_ready {
            fill(&mut self.x, ring, now, 0, &self.lags, 1.0 / unit);
        }
        for (k, points) in out.chunks_exact_mut(horizon).enumerate() {
            for (i, point) in points.iter_mut().enumerate() {
                *point = value_at(ring, now, base(0, i + 1));
            }
            if is_ready {
                let rows = weights[k * self.leads.len() * features..].chunks_exact(features);
                for (correction, w) in self.corrections.iter_mut().zip(rows) {
                    *correction = unit * w.iter().zip(&self.x).map(|(w, x)| w * x).sum::<f32>();
                }
                self.leads.add(&self.corrections, points);
            }
            points.iter_mut().for_each(|point| *point = state.range.clamp(*point));
        }
    }

    fn interrupt(&mut self, slot: usize) {
        self.table.states(slot).for_each(|state| state.steps = 0);
    }
}

rows_of_state_table!(Lms);
