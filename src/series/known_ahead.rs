use crate::domain::{Damaged, Rows, Take, put};

/// What is known ahead: values of covariates at the leads of each series' newest reading, as its record
/// gave them, or one before it. NaN where nothing has been said.
#[derive(Debug)]
pub struct KnownAhead {
    /// Covariates that are known ahead.
    known: usize,
    horizon: usize,
    /// `[slots, known, horizon]`
    values: Vec<f32>,
}

impl KnownAhead {
    pub fn new(known: usize, horizon: usize) -> Self {
        Self { known, horizon, values: Vec::new() }
    }

    /// A step on: what was said of the first lead is said of now, and written to `now`; of the last lead
    /// nothing is known yet. `now`: `[known]`.
    pub fn advance(&mut self, slot: usize, now: &mut [f32]) {
        let horizon = self.horizon;
        for (now, leads) in now.iter_mut().zip(self.row_mut(slot).chunks_exact_mut(horizon)) {
            *now = leads[0];
            leads.copy_within(1.., 0);
            leads[horizon - 1] = f32::NAN;
        }
    }

    /// Something new is said of a lead, counted from 0; what is NaN says nothing.
    pub fn set(&mut self, slot: usize, known: usize, lead: usize, value: f32) {
        let at = known * self.horizon + lead;
        let told = &mut self.row_mut(slot)[at];
        *told = if value.is_nan() { *told } else { value };
    }

    /// What is known. `[known, horizon]`
    pub fn row(&self, slot: usize) -> &[f32] {
        let width = self.known * self.horizon;
        &self.values[slot * width..][..width]
    }

    fn row_mut(&mut self, slot: usize) -> &mut [f32] {
        let width = self.known * self.horizon;
        &mut self.values[slot * width..][..width]
    }
}

impl Rows for KnownAhead {
    fn grow(&mut self, slots: usize) {
        self.values.resize(slots * self.known * self.horizon, f32::NAN);
    }

    fn reset(&mut self, slot: usize) {
        self.row_mut(slot).fill(f32::NAN);
    }

    fn save(&self, slot: usize, out: &mut Vec<u8>) {
        put(out, self.row(slot));
    }

    fn load(&mut self, slot: usize, row: &mut Take<'_>) -> Result<(), Damaged> {
        row.fill(self.row_mut(slot))
    }

    fn memory(&self) -> usize {
        self.values.capacity() * size_of::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_of_a_lead_comes_nearer() {
        let mut ahead = KnownAhead::new(2, 3);
        ahead.grow(2);
        for (lead, value) in [(0, 1.0), (1, 2.0), (2, 3.0)] {
            ahead.set(1, 1, lead, value);
        }
        let mut now = [0.0; 2];
        ahead.advance(1, &mut now);
        assert!(now[0].is_nan() && now[1] == 1.0);
        assert_eq!(ahead.row(1)[3..5], [2.0, 3.0]);
        assert!(ahead.row(1)[5].is_nan() && ahead.row(0).iter().all(|v| v.is_nan()));
        ahead.set(1, 1, 0, f32::NAN);
        ahead.set(1, 1, 1, 7.0);
        assert_eq!(ahead.row(1)[3..5], [2.0, 7.0]);
        let mut saved = Vec::new();
        ahead.save(1, &mut saved);
        ahead.load(0, &mut Take::new(&saved)).unwrap();
        assert_eq!(ahead.row(0)[3..5], [2.0, 7.0]);
        ahead.reset(1);
        assert!(ahead.row(1).iter().all(|v| v.is_nan()));
    }
}
