use crate::domain::{Damaged, Take, put};
use bytemuck::{Pod, Zeroable};

/// The newest numbers do not yet count as usual, so that a drift does not hide itself.
const RECENT: usize = 32;
/// Changes below this are ignored. In long-run deviations, as the next.
const SLACK: f64 = 0.25;
/// A number counts as at most this.
const LARGEST: f64 = 5.0;
/// What is usual is learnt from numbers limited to this many of their own deviations.
const USUAL: f64 = 3.0;
/// The long-run variance is at most this many times the numbers' own.
const LONG_RUN_MAX: f64 = 64.0;

/// A two-sided Page-Hinkley test (Page 1954, "Continuous inspection schemes"; Hinkley 1971, "Inference
/// about the change-point from cumulative sum tests") on numbers whose mean and spread are learnt from
/// all but the newest.
///
/// ```text
/// d  = clip((x − μ) / σ, ±5)
/// S⁺ ← max(0, S⁺ + d − ¼)     S⁻ ← max(0, S⁻ − d − ¼)     drift when S ≥ threshold
/// ```
///
/// `σ` is the long-run deviation, from the covariances of neighbours with Bartlett's weights (Newey and
/// West 1987). So shocks that last are no drift.
#[derive(Clone, Debug)]
pub struct PageHinkley {
    threshold: f64,
    /// The least change of the mean that counts, in the numbers' own unit.
    least: f64,
    /// Numbers that are learnt before the test begins.
    young: u64,
    /// The slowest rate at which mean and variance are learnt.
    rate: f64,
    state: TestState,
}

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct TestState {
    mean: f64,
    variance: f64,
    /// Covariance with the weighted sum of the numbers that follow.
    covariance: f64,
    rises: CumulativeSum,
    falls: CumulativeSum,
    seen: u64,
    /// A ring of the newest numbers.
    recent: [f64; RECENT],
}

/// A cumulative sum since it was last 0, and the numbers behind it.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct CumulativeSum {
    excess: f64,
    total: f64,
    numbers: f64,
}

impl CumulativeSum {
    /// Adds a number that lies `beyond` the mean. Whether the sum has reached the threshold.
    fn add(&mut self, beyond: f64, number: f64, threshold: f64) -> bool {
        self.excess = (self.excess + beyond - SLACK).clamp(0.0, threshold);
        if self.excess == 0.0 {
            *self = Self::zeroed();
            return false;
        }
        self.total += number;
        self.numbers += 1.0;
        self.excess >= threshold
    }

    fn mean(&self) -> f64 {
        self.total / self.numbers
    }
}

impl PageHinkley {
    /// `threshold`: of the cumulative sum, in long-run deviations. `least`: the least change of the mean
    /// that counts. `young`: the numbers that are learnt, besides the newest, before the test begins.
    /// `memory`: the numbers that make up what is usual.
    pub fn new(threshold: f64, least: f64, young: u64, memory: f64) -> Self {
        Self { threshold, least, young, rate: 1.0 / memory, state: TestState::zeroed() }
    }

    /// Takes the next number. Returns the change of the mean when there is drift; then everything is
    /// learnt again.
    pub fn take(&mut self, number: f32) -> Option<f64> {
        let (number, at) = (f64::from(number), (self.state.seen % RECENT as u64) as usize);
        let oldest = std::mem::replace(&mut self.state.recent[at], number);
        self.state.seen += 1;
        let learnt = self.state.seen.checked_sub(RECENT as u64).filter(|n| *n > 0)?;
        self.learn(oldest, learnt);
        if learnt <= self.young {
            return None;
        }
        let state = &mut self.state;
        let own = state.variance.max(1e-24);
        let long_run = (own + 2.0 * state.covariance).clamp(own, LONG_RUN_MAX * own).sqrt();
        let beyond = ((number - state.mean) / long_run).clamp(-LARGEST, LARGEST);
        let rises = state.rises.add(beyond, number, self.threshold).then_some(state.rises);
        let falls = state.falls.add(-beyond, number, self.threshold).then_some(state.falls);
        let change = rises.or(falls)?.mean() - state.mean;
        if change.abs() < self.least {
            return None;
        }
        self.state = TestState::zeroed();
        Some(change)
    }

    fn learn(&mut self, number: f64, learnt: u64) {
        let state = &mut self.state;
        let rate = self.rate.max(1.0 / learnt as f64);
        let far = if learnt > self.young { USUAL * state.variance.sqrt() } else { f64::INFINITY };
        let (mean, newest) = (state.mean, state.seen);
        let off = |number: f64| (number - mean).clamp(-far, far);
        // The ring holds the numbers that followed, the oldest at the place of the next.
        let weighted = (0..RECENT).map(|i| {
            let weight = 1.0 - (i + 1) as f64 / (RECENT + 1) as f64;
            weight * off(state.recent[((newest + i as u64) % RECENT as u64) as usize])
        });
        let product = off(number) * weighted.sum::<f64>();
        state.covariance += rate * (product - state.covariance);
        let off = off(number);
        state.mean += rate * off;
        state.variance = (1.0 - rate) * (state.variance + rate * off * off);
    }

    pub fn save(&self, out: &mut Vec<u8>) {
        put(out, &[self.state]);
    }

    pub fn load(&mut self, from: &mut Take<'_>) -> Result<(), Damaged> {
        self.state = from.one()?;
        Ok(())
    }
}
