use crate::domain::Leads;

/// The errors and coverages that the metrics show: sums over all series of a shard since they were last
/// taken.
#[derive(Clone, Debug)]
pub struct ScoreSummary {
    buckets: Vec<usize>,
    levels: usize,
    names: Vec<String>,
    /// Sum of scaled absolute errors and their number. `[experts, buckets]`
    errors: Vec<(f64, f64)>,
    /// How many targets lay at or below the quantile, and of how many. `[levels, buckets]`
    below: Vec<(f64, f64)>,
}

impl ScoreSummary {
    /// `leads`: those that are scored; `names`: the names of the experts.
    pub fn new(leads: &Leads, names: Vec<String>, levels: usize) -> Self {
        let buckets = leads.shown();
        let n = buckets.len();
        Self {
            buckets,
            levels,
            errors: vec![(0.0, 0.0); names.len() * n],
            names,
            below: vec![(0.0, 0.0); levels * n],
        }
    }

    /// The leads whose errors are summed: the scored ones next to 1, 2, 4, … and the horizon.
    pub fn buckets(&self) -> &[usize] {
        &self.buckets
    }

    /// Adds an expert's absolute error, in units of the series' deviation.
    pub fn add_error(&mut self, expert: usize, bucket: usize, scaled_error: f32) {
        if scaled_error.is_finite() {
            let sum = &mut self.errors[expert * self.buckets.len() + bucket];
            *sum = (sum.0 + f64::from(scaled_error), sum.1 + 1.0);
        }
    }

    /// Compares a target with the quantiles that were forecast for it. `bounds`: `[levels]`
    pub fn add_coverage(&mut self, bucket: usize, value: f32, bounds: &[f32]) {
        for (level, bound) in bounds.iter().enumerate() {
            let sum = &mut self.below[level * self.buckets.len() + bucket];
            *sum = (sum.0 + f64::from(u8::from(value <= *bound)), sum.1 + 1.0);
        }
    }

    /// Adds the sums of another shard.
    pub fn merge(&mut self, other: &Self) {
        for (a, b) in self.errors.iter_mut().zip(&other.errors) {
            *a = (a.0 + b.0, a.1 + b.1);
        }
        for (a, b) in self.below.iter_mut().zip(&other.below) {
            *a = (a.0 + b.0, a.1 + b.1);
        }
    }

    /// Multiplies all sums by `keep`, so that older errors weigh less.
    pub fn fade(&mut self, keep: f64) {
        for (sum, n) in self.errors.iter_mut().chain(&mut self.below) {
            (*sum, *n) = (*sum * keep, *n * keep);
        }
    }

    /// Mean scaled absolute error; `None` before the first.
    pub fn error(&self, expert: usize, bucket: usize) -> Option<f64> {
        let (sum, n) = self.errors[expert * self.buckets.len() + bucket];
        (n > 0.0).then(|| sum / n)
    }

    /// The share of targets at or below a level's quantile; `None` before the first.
    pub fn coverage(&self, level: usize, bucket: usize) -> Option<f64> {
        let (below, n) = self.below[level * self.buckets.len() + bucket];
        (n > 0.0).then(|| below / n)
    }

    /// The number of errors in the sums.
    pub fn scored(&self) -> u64 {
        self.errors.iter().map(|(_, n)| n).sum::<f64>() as u64
    }

    /// The names of the experts, in the order of their errors.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The number of levels.
    pub fn levels(&self) -> usize {
        self.levels
    }

    /// Takes the sums and starts again from zero.
    pub fn take(&mut self) -> Self {
        let taken = self.clone();
        self.errors.fill((0.0, 0.0));
        self.below.fill((0.0, 0.0));
        taken
    }
}
