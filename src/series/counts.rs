use super::Slot;
use crate::domain::{Count, Counter, Damaged, Growth, Rows, Take, lengthen, put};

/// Where the counts of each series stand, of the targets that are counters.
#[derive(Clone, Debug)]
pub struct Counts {
    counters: Vec<Counter>,
    /// `[slots, counters]`
    rows: Vec<Count>,
}

impl Counts {
    pub fn new(counters: &[Counter]) -> Self {
        Self { counters: counters.to_vec(), rows: Vec::new() }
    }

    /// For one series, which has the first slot.
    pub fn of_one(counters: &[Counter]) -> Self {
        let mut one = Self::new(counters);
        one.grow(1);
        one
    }

    /// Whether any target is a counter.
    pub fn any(&self) -> bool {
        !self.counters.is_empty()
    }

    /// Puts rates in the place of a reading's counts; a rate that is not known is missing. Calls `reset` with each target
    /// whose count has become lower, that count, and the one before. `at_us` is the time of the reading's cell.
    pub fn take(
        &mut self,
        slot: Slot,
        at_us: i64,
        values: &mut [f64],
        mut reset: impl FnMut(usize, f64, f64),
    ) {
        let n = self.counters.len();
        for (counter, row) in self.counters.iter().zip(&mut self.rows[slot.index() * n..][..n]) {
            let value = &mut values[counter.target];
            let growth = row.take(at_us, *value, counter.per_us);
            if let Growth::Reset(former) = growth {
                reset(counter.target, *value, former);
            }
            *value = if let Growth::Rate(rate) = growth { rate } else { f64::NAN };
        }
    }
}

impl Rows for Counts {
    fn grow(&mut self, slots: usize) {
        lengthen(&mut self.rows, slots * self.counters.len(), Count::NONE);
    }

    fn reset(&mut self, slot: usize) {
        let n = self.counters.len();
        self.rows[slot * n..][..n].fill(Count::NONE);
    }

    fn save(&self, slot: usize, out: &mut Vec<u8>) {
        let n = self.counters.len();
        put(out, &self.rows[slot * n..][..n]);
    }

    fn load(&mut self, slot: usize, row: &mut Take<'_>) -> Result<(), Damaged> {
        let n = self.counters.len();
        row.fill(&mut self.rows[slot * n..][..n])
    }

    fn memory(&self) -> usize {
        self.rows.capacity() * size_of::<Count>()
    }
}
