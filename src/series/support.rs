use super::Slot;
use crate::domain::{Damaged, Lowest, Rows, Take, Transform, ValueRange, put};

/// A series that has never been below 0 in so many readings is not forecast there.
const NEVER_BELOW: u32 = 200;
/// Nor is one that has stood at 0 so often, and never been below.
const ZEROS: u32 = 3;
/// After so many readings it is known how far a bent target goes.
const KNOWN: u32 = 2;
/// A bent one is forecast no further beyond its readings than so many times what they span.
const SPANS: f64 = 3.0;

/// Between which values the forecasts of each series are told, from the config and from its readings.
///
/// | what is known | lowest | highest |
/// | --- | --- | --- |
/// | `range` in the config | its `min`; none for `"none"` | its `max` |
/// | no `min`, and 200 readings or three at 0, none below 0 | 0 | |
/// | `transform`, and two readings | three times what the readings span below them | as far above them |
///
/// A quantile that is wrong by a little as a logarithm is wrong by factors when it is told: hence the last
/// row. Bounds move with the readings, so they never hold a series back that goes further. What learns never
/// sees them.
#[derive(Debug)]
pub struct Support {
    ranges: Vec<ValueRange>,
    is_bent: bool,
    /// `[slots, targets]`
    rows: Vec<SupportState>,
}

#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct SupportState {
    lowest: f64,
    highest: f64,
    /// Both saturating.
    readings: u32,
    zeros: u32,
}

const UNSEEN: SupportState =
    SupportState { lowest: f64::INFINITY, highest: f64::NEG_INFINITY, readings: 0, zeros: 0 };

impl Support {
    pub fn new(ranges: &[ValueRange], transform: Transform) -> Self {
        Self { ranges: ranges.to_vec(), is_bent: transform != Transform::None, rows: Vec::new() }
    }

    /// Learns from a reading's target in its own unit: from one that is believed.
    pub fn learn(&mut self, slot: Slot, target: usize, value: f64) {
        let row = &mut self.rows[slot.index() * self.ranges.len() + target];
        (row.lowest, row.highest) = (row.lowest.min(value), row.highest.max(value));
        row.readings = row.readings.saturating_add(1);
        row.zeros = row.zeros.saturating_add(u32::from(value == 0.0));
    }

    /// The lowest and the highest value that is told of a target.
    pub fn of(&self, slot: Slot, target: usize) -> [f64; 2] {
        let (row, range) = (self.rows[slot.index() * self.ranges.len() + target], self.ranges[target]);
        let never_below = row.lowest >= 0.0 && (row.readings >= NEVER_BELOW || row.zeros >= ZEROS);
        let reach = match self.is_bent && row.readings >= KNOWN {
            true => SPANS * (row.highest - row.lowest),
            false => f64::INFINITY,
        };
        let lowest = match range.lowest {
            Lowest::At(value) => value,
            Lowest::Seen if never_below => 0.0,
            Lowest::Seen if reach.is_finite() => row.lowest - reach,
            Lowest::Seen | Lowest::Any => f64::NEG_INFINITY,
        };
        let highest = match range.highest {
            Some(value) => value,
            None if reach.is_finite() => row.highest + reach,
            None => f64::INFINITY,
        };
        // A `max` may lie below all that is seen.
        [lowest.min(highest), highest]
    }
}

impl Rows for Support {
    fn grow(&mut self, slots: usize) {
        self.rows.resize(slots * self.ranges.len(), UNSEEN);
    }

    fn reset(&mut self, slot: usize) {
        let n = self.ranges.len();
        self.rows[slot * n..][..n].fill(UNSEEN);
    }

    fn save(&self, slot: usize, out: &mut Vec<u8>) {
        let n = self.ranges.len();
        put(out, &self.rows[slot * n..][..n]);
    }

    fn load(&mut self, slot: usize, row: &mut Take<'_>) -> Result<(), Damaged> {
        let n = self.ranges.len();
        row.fill(&mut self.rows[slot * n..][..n])
    }

    fn memory(&self) -> usize {
        self.rows.capacity() * size_of::<SupportState>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(range: ValueRange, transform: Transform, values: &[f64]) -> [f64; 2] {
        let mut support = Support::new(&[range], transform);
        support.grow(1);
        values.iter().for_each(|value| support.learn(Slot(0), 0, *value));
        support.of(Slot(0), 0)
    }

    #[test]
    fn what_was_never_below_zero_is_not_told_there_until_it_is() {
        let seen = ValueRange { lowest: Lowest::Seen, highest: None };
        let all = [f64::NEG_INFINITY, f64::INFINITY];
        assert_eq!(after(seen, Transform::None, &[]), all);
        assert_eq!(after(seen, Transform::None, &[3.0; 199]), all);
        assert_eq!(after(seen, Transform::None, &[3.0; 200]), [0.0, f64::INFINITY]);
        assert_eq!(after(seen, Transform::None, &[0.0, 5.0, 0.0, 0.0]), [0.0, f64::INFINITY]);
        let mut values = vec![3.0; 300];
        values.push(-0.5);
        assert_eq!(after(seen, Transform::None, &values), all);
    }

    #[test]
    fn the_config_has_the_last_word() {
        let any = ValueRange { lowest: Lowest::Any, highest: Some(9.0) };
        assert_eq!(after(any, Transform::None, &[3.0; 300]), [f64::NEG_INFINITY, 9.0]);
        let within = ValueRange { lowest: Lowest::At(1.0), highest: Some(9.0) };
        assert_eq!(after(within, Transform::Log1p, &[0.5; 300]), [1.0, 9.0]);
    }

    #[test]
    fn a_bent_target_goes_no_further_than_three_spans() {
        let seen = ValueRange { lowest: Lowest::Seen, highest: None };
        let values: Vec<f64> = (0..30).map(|i| f64::from(i % 11) - 3.0).collect();
        assert_eq!(after(seen, Transform::Asinh, &values), [-33.0, 37.0]);
    }
}
