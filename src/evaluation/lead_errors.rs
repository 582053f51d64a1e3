use crate::domain::{Damaged, Rows, Take, put};

/// The slowest rate of a recent error: a memory of about 200 matured forecasts.
const RATE: f32 = 0.005;

/// How far one forecast lies from what comes, lately: exponentially weighted absolute errors per
/// series, target and learnt lead.
#[derive(Debug)]
pub struct LeadErrors {
    /// Of one series: targets × learnt leads.
    each: usize,
    /// `[slots, targets, leads]`
    errors: Vec<f32>,
    /// Matured forecasts, saturating; as `errors`.
    counts: Vec<u8>,
}

impl LeadErrors {
    pub fn new(targets: usize, leads: usize) -> Self {
        Self { each: targets * leads, errors: Vec::new(), counts: Vec::new() }
    }

    /// Learns what was said of `value` at each learnt lead; what is not a number is passed over.
    /// `said`: `[leads]`
    pub fn learn(&mut self, slot: usize, target: usize, value: f32, said: &[f32]) {
        let at = slot * self.each + target * said.len();
        let rows = self.errors[at..].iter_mut().zip(&mut self.counts[at..]);
        for ((mean, count), said) in rows.zip(said) {
            let error = (said - value).abs();
            if error.is_finite() {
                *count = count.saturating_add(1);
                *mean += RATE.max(1.0 / f32::from(*count)) * (error - *mean);
            }
        }
    }

    /// The recent errors of a series, 0 where nothing has matured. `[targets, leads]`
    pub fn of(&self, slot: usize) -> &[f32] {
        &self.errors[slot * self.each..][..self.each]
    }
}

impl Rows for LeadErrors {
    fn grow(&mut self, slots: usize) {
        self.errors.resize(slots * self.each, 0.0);
        self.counts.resize(slots * self.each, 0);
    }

    fn reset(&mut self, slot: usize) {
        self.errors[slot * self.each..][..self.each].fill(0.0);
        self.counts[slot * self.each..][..self.each].fill(0);
    }

    fn save(&self, slot: usize, out: &mut Vec<u8>) {
        put(out, self.of(slot));
        put(out, &self.counts[slot * self.each..][..self.each]);
    }

    fn load(&mut self, slot: usize, row: &mut Take<'_>) -> Result<(), Damaged> {
        row.fill(&mut self.errors[slot * self.each..][..self.each])?;
        row.fill(&mut self.counts[slot * self.each..][..self.each])
    }

    fn memory(&self) -> usize {
        self.errors.capacity() * size_of::<f32>() + self.counts.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_errors_are_their_mean_and_leads_are_apart() {
        let mut errors = LeadErrors::new(2, 3);
        errors.grow(2);
        errors.learn(1, 1, 10.0, &[9.0, f32::NAN, 12.0]);
        errors.learn(1, 1, 10.0, &[7.0, f32::NAN, 10.0]);
        assert_eq!(errors.of(1), [0.0, 0.0, 0.0, 2.0, 0.0, 1.0]);
        assert_eq!(errors.of(0), [0.0; 6]);
        for _ in 0..10_000 {
            errors.learn(1, 1, 0.0, &[5.0, 5.0, 5.0]);
        }
        assert!(errors.of(1)[3..].iter().all(|e| (e - 5.0).abs() < 1e-3));
    }
}
