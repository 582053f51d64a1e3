//! Growing counts, such as a meter's register, as rates.

use bytemuck::{Pod, Zeroable};

/// A target that comes as a growing count and is forecast as its rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counter {
    /// The target.
    pub target: usize,
    /// The time that the rate is per, in microseconds.
    pub per_us: f64,
}

/// Where the count of a series stands.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Count {
    /// The last count; NaN before the first.
    count: f64,
    /// Its time.
    at_us: i64,
    /// The count before the last one, if that was lower; NaN otherwise.
    former: f64,
    /// Its time.
    former_at_us: i64,
}

/// What a count says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Growth {
    /// Nothing: it is the first one, missing, or not later than the last one.
    Unknown,
    /// It has grown by this rate since the last one.
    Rate(f64),
    /// It is lower than the last one, which is given. How much was counted in between is not known.
    Reset(f64),
}

impl Count {
    /// Before the first count.
    pub const NONE: Self = Self { count: f64::NAN, at_us: 0, former: f64::NAN, former_at_us: 0 };

    /// Takes a count in, and says at what rate it has grown, per `per_us` microseconds. Time goes forward.
    ///
    /// A lower count is the first one after a reset: of a meter that was replaced, or a process that began again. The next
    /// count tells it from a glitch: where it is not below the count before the reset, it goes on from there.
    pub fn take(&mut self, at_us: i64, count: f64, per_us: f64) -> Growth {
        let is_later = self.count.is_nan() || at_us > self.at_us;
        if !count.is_finite() || !is_later {
            return Growth::Unknown;
        }
        let last = *self;
        (self.count, self.at_us, self.former) = (count, at_us, f64::NAN);
        let rate =
            |from: f64, from_us: i64| Growth::Rate((count - from) / ((at_us - from_us) as f64 / per_us));
        if last.count.is_nan() {
            Growth::Unknown
        } else if count < last.count {
            (self.former, self.former_at_us) = (last.count, last.at_us);
            Growth::Reset(last.count)
        } else if count >= last.former {
            rate(last.former, last.former_at_us)
        } else {
            rate(last.count, last.at_us)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: f64 = 1e6;

    /// The growth of each count, a minute apart, per second.
    fn growths(counts: &[f64]) -> Vec<Growth> {
        let mut count = Count::NONE;
        counts
            .iter()
            .zip(0..)
            .map(|(value, minute)| count.take(minute * 60_000_000, *value, SECOND))
            .collect()
    }

    #[test]
    fn a_count_is_a_rate_from_the_second_one_on() {
        use Growth::*;
        assert_eq!(growths(&[100.0, 160.0, 160.0, 280.0]), [Unknown, Rate(1.0), Rate(0.0), Rate(2.0)]);
    }

    #[test]
    fn a_replaced_meter_goes_on_from_its_first_count() {
        use Growth::*;
        assert_eq!(growths(&[12_508.0, 0.0, 60.0, 120.0]), [Unknown, Reset(12_508.0), Rate(1.0), Rate(1.0)]);
    }

    #[test]
    fn a_glitch_costs_no_growth() {
        use Growth::*;
        assert_eq!(growths(&[600.0, 0.0, 720.0, 780.0]), [Unknown, Reset(600.0), Rate(1.0), Rate(1.0)]);
    }

    #[test]
    fn a_missing_count_is_bridged() {
        use Growth::*;
        assert_eq!(growths(&[0.0, f64::NAN, 120.0]), [Unknown, Unknown, Rate(1.0)]);
    }

    proptest! {
        /// What has grown is neither lost nor counted twice, whatever the steps: the rates add up to the count. No rate is
        /// negative.
        #[test]
        fn rates_add_up_to_the_growth(steps in prop::collection::vec((1_i64..500, 0_u32..1_000), 1..40)) {
            let (mut count, mut at_us, mut total, mut sum) = (Count::NONE, 0, 0.0, 0.0);
            count.take(at_us, total, SECOND);
            for (seconds, growth) in steps {
                at_us += seconds * 1_000_000;
                total += f64::from(growth);
                let Growth::Rate(rate) = count.take(at_us, total, SECOND) else { panic!("no reset") };
                prop_assert!(rate >= 0.0);
                sum += rate * seconds as f64;
            }
            prop_assert!((sum - total).abs() <= 1e-9 * total.max(1.0));
        }
    }
}
