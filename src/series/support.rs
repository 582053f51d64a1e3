use super::Slot;
use crate::domain::{Damaged, Lowest, Rows, Take, Transform, ValueRange, lengthen, put};

/// A series of at least this many readings that was never below 0 is not forecast below 0.
const NEVER_BELOW: u32 = 200;
/// Nor is a series that was at 0 this often and never below.
const ZEROS: u32 = 3;
/// The readings from which the span of a transformed target is known.
const KNOWN: u32 = 2;
/// A transformed target is forecast no further beyond its readings than this many times their span.
const SPANS: f64 = 3.0;

/// The range in which the forecasts of each series are emitted, from the config and from its readings.
///
/// | what is known | lowest | highest |
/// | --- | --- | --- |
/// | `range` in the config | its `min`; unbounded for `"none"` | its `max` |
/// | no `min`, and 200 readings or three at 0, none below 0 | 0 | |
/// | `transform`, and two readings | three times the span of the readings below them | the same above them |
///
/// The last row is there because a small error of a quantile as a logarithm is a large factor once it is
/// transformed back. The bounds move with the readings, so a series that goes further is never held back.
/// Learning never sees the bounds.
#[derive(Debug)]
pub struct Support {
    ranges: Vec<ValueRange>,
    is_transformed: bool,
    /// `[slots, targets]`
    rows: Vec<SupportState>,
}

#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct SupportState {
    lowest: f64,
    highest: f64,
    /// Saturating, as `zeros`.
    readings: u32,
    zeros: u32,
}

const UNSEEN: SupportState =
    SupportState { lowest: f64::INFINITY, highest: f64::NEG_INFINITY, readings: 0, zeros: 0 };

impl Support {
    pub fn new(ranges: &[ValueRange], transform: Transform) -> Self {
        Self { ranges: ranges.to_vec(), is_transformed: transform != Transform::None, rows: Vec::new() }
    }

    /// Learns from an accepted value of a target, in its own unit.
    pub fn learn(&mut self, slot: Slot, target: usize, value: f64) {
        let row = &mut self.rows[slot.index() * self.ranges.len() + target];
        (row.lowest, row.highest) = (row.lowest.min(value), row.highest.max(value));
        row.readings = row.readings.saturating_add(1);
        row.zeros = row.zeros.saturating_add(u32::from(value == 0.0));
    }

    /// The lowest and the highest forecast of a target.
    pub fn of(&self, slot: Slot, target: usize) -> [f64; 2] {
        let (row, range) = (self.rows[slot.index() * self.ranges.len() + target], self.ranges[target]);
        let never_below = row.lowest >= 0.0 && (row.readings >= NEVER_BELOW || row.zeros >= ZEROS);
        let reach = match self.is_transformed && row.readings >= KNOWN {
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
        // A `max` may lie below every reading.
        [lowest.min(highest), highest]
    }
}

impl Rows for Support {
    fn grow(&mut self, slots: usize) {
        lengthen(&mut self.rows, slots * self.ranges.len(), UNSEEN);
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
    fn a_series_never_below_zero_is_not_forecast_there_until_it_was() {
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
    fn the_range_of_the_config_wins() {
        let any = ValueRange { lowest: Lowest::Any, highest: Some(9.0) };
        assert_eq!(after(any, Transform::None, &[3.0; 300]), [f64::NEG_INFINITY, 9.0]);
        let within = ValueRange { lowest: Lowest::At(1.0), highest: Some(9.0) };
        assert_eq!(after(within, Transform::Log1p, &[0.5; 300]), [1.0, 9.0]);
    }

    #[test]
    fn a_transformed_target_goes_no_further_than_three_spans() {
        let seen = ValueRange { lowest: Lowest::Seen, highest: None };
        let values: Vec<f64> = (0..30).map(|i| f64::from(i % 11) - 3.0).collect();
        assert_eq!(after(seen, Transform::Asinh, &values), [-33.0, 37.0]);
    }
}
