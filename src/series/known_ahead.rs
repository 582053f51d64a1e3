use crate::domain::{Damaged, Rows, Take, lengthen, put};

/// Covariates that are known ahead: their values at the leads of the newest reading of each series, from
/// its record or an earlier one. NaN where nothing is known.
#[derive(Debug)]
pub struct KnownAhead {
    /// The number of covariates that are known ahead.
    known: usize,
    horizon: usize,
    /// `[slots, known, horizon]`
    values: Vec<f32>,
}

impl KnownAhead {
    pub fn new(known: usize, horizon: usize) -> Self {
        Self { known, horizon, values: Vec::new() }
    }

    /// Goes one step on: the value of the first lead is now that of the present, and is written to `now`.
    /// Nothing is known of the last lead yet. `now`: `[known]`
    pub fn advance(&mut self, slot: usize, now: &mut [f32]) {
        let horizon = self.horizon;
        for (now, leads) in now.iter_mut().zip(self.row_mut(slot).chunks_exact_mut(horizon)) {
            *now = leads[0];
            leads.copy_within(1.., 0);
            leads[horizon - 1] = f32::NAN;
        }
    }

    /// Sets the value of a lead, counted from 0. NaN changes nothing.
    pub fn set(&mut self, slot: usize, known: usize, lead: usize, value: f32) {
        let at = known * self.horizon + lead;
        let value_now = &mut self.row_mut(slot)[at];
        *value_now = if value.is_nan() { *value_now } else { value };
    }

    /// The known values. `[known, horizon]`
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
        lengthen(&mut self.values, slots * self.known * self.horizon, f32::NAN);
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
    fn a_known_value_comes_nearer_with_each_step() {
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
