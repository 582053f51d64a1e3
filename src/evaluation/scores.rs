use crate::domain::{Damaged, Rows, Take, put};

/// The slowest rate of a recent error: a memory of about 200 matured forecasts.
const RATE: f32 = 0.005;

/// How many matured forecasts an expert needs at a lead before it may be chosen there.
const LEAST: u16 = 24;

/// Recent absolute errors per series, target, expert and lead: exponentially weighted means of
/// matured forecasts.
#[derive(Debug)]
pub struct Scores {
    experts: usize,
    targets: usize,
    horizon: usize,
    /// `[slots, targets, experts, horizon]`
    errors: Vec<f32>,
    /// Matured forecasts, saturating; as `errors`.
    counts: Vec<u16>,
}

impl Scores {
    pub fn new(experts: usize, targets: usize, horizon: usize) -> Self {
        Self { experts, targets, horizon, errors: Vec::new(), counts: Vec::new() }
    }

    fn per_slot(&self) -> usize {
        self.targets * self.experts * self.horizon
    }

    fn at(&self, slot: usize, target: usize, expert: usize) -> usize {
        ((slot * self.targets + target) * self.experts + expert) * self.horizon
    }

    /// Learns the absolute error of a matured forecast; one that is not finite is passed over.
    pub fn update(&mut self, slot: usize, target: usize, expert: usize, lead: usize, error: f32) {
        if !error.is_finite() {
            return;
        }
        let at = self.at(slot, target, expert) + lead - 1;
        self.counts[at] = self.counts[at].saturating_add(1);
        let rate = RATE.max(1.0 / f32::from(self.counts[at]));
        self.errors[at] += rate * (error - self.errors[at]);
    }

    /// The recent error of an expert at each lead, 0 where nothing has matured. `[horizon]`
    pub fn errors(&self, slot: usize, target: usize, expert: usize) -> &[f32] {
        &self.errors[self.at(slot, target, expert)..][..self.horizon]
    }

    /// The expert with the lowest recent error at a lead among those in `available` that have matured
    /// often enough there; `fallback` while there is none.
    pub fn best(
        &self,
        slot: usize,
        target: usize,
        lead: usize,
        available: &[bool],
        fallback: usize,
    ) -> usize {
        let mut best = (f32::INFINITY, fallback);
        for (expert, _) in available.iter().enumerate().filter(|(_, a)| **a) {
            let at = self.at(slot, target, expert) + lead - 1;
            if self.counts[at] >= LEAST && self.errors[at] < best.0 {
                best = (self.errors[at], expert);
            }
        }
        best.1
    }
}

impl Rows for Scores {
    fn grow(&mut self, slots: usize) {
        self.errors.resize(slots * self.per_slot(), 0.0);
        self.counts.resize(slots * self.per_slot(), 0);
    }

    fn reset(&mut self, slot: usize) {
        let n = self.per_slot();
        self.errors[slot * n..][..n].fill(0.0);
        self.counts[slot * n..][..n].fill(0);
    }

    fn save(&self, slot: usize, out: &mut Vec<u8>) {
        let n = self.per_slot();
        put(out, &self.errors[slot * n..][..n]);
        put(out, &self.counts[slot * n..][..n]);
    }

    fn load(&mut self, slot: usize, row: &mut Take<'_>) -> Result<(), Damaged> {
        let n = self.per_slot();
        row.fill(&mut self.errors[slot * n..][..n])?;
        row.fill(&mut self.counts[slot * n..][..n])
    }

    fn memory(&self) -> usize {
        self.errors.capacity() * size_of::<f32>() + self.counts.capacity() * size_of::<u16>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_expert_is_the_one_with_the_lowest_recent_error_that_is_proven() {
        let mut scores = Scores::new(3, 1, 2);
        scores.grow(1);
        let all = [true, true, true];
        assert_eq!(scores.best(0, 0, 1, &all, 1), 1, "nothing known: the fallback");
        for _ in 0..LEAST {
            scores.update(0, 0, 0, 1, 2.0);
            scores.update(0, 0, 1, 1, 1.0);
        }
        scores.update(0, 0, 2, 1, 0.0);
        assert_eq!(scores.best(0, 0, 1, &all, 0), 1, "one lucky forecast proves nothing");
        for _ in 0..LEAST {
            scores.update(0, 0, 2, 1, 0.5);
            scores.update(0, 0, 2, 1, f32::NAN);
        }
        assert_eq!(scores.best(0, 0, 1, &all, 0), 2);
        assert_eq!(scores.best(0, 0, 1, &[true, true, false], 0), 1);
        assert_eq!(scores.best(0, 0, 2, &all, 0), 0, "leads are apart");
    }
}
