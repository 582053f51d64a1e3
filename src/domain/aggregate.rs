use super::EventTime;

/// How several readings of one series in one cell become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// The latest value of each target and covariate.
    Last,
    /// The mean value of each.
    Mean,
    /// The sum of each value.
    Sum,
    /// The latest value of each, as soon as each has one.
    Join,
}

/// One value of a cell that is still open.
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Partial {
    /// The latest value, or the sum of all.
    value: f64,
    /// The time of the latest value, or the number of values; below any time if there are no values.
    weight: f64,
}

impl Aggregate {
    /// Its name in the config.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Mean => "mean",
            Self::Sum => "sum",
            Self::Join => "join",
        }
    }

    /// The state before the first value.
    pub fn empty(self) -> Partial {
        match self {
            Self::Last | Self::Join => Partial { value: f64::NAN, weight: f64::NEG_INFINITY },
            Self::Mean | Self::Sum => Partial { value: 0.0, weight: 0.0 },
        }
    }

    /// Adds a value; one that is not finite is ignored. Of two values of one time the one added later is the
    /// latest.
    pub fn add(self, to: &mut Partial, time: EventTime, value: f64) {
        let time = time.as_micros() as f64;
        match self {
            _ if !value.is_finite() => {}
            Self::Last | Self::Join if time < to.weight => {}
            Self::Last | Self::Join => *to = Partial { value, weight: time },
            Self::Mean | Self::Sum => *to = Partial { value: to.value + value, weight: to.weight + 1.0 },
        }
    }

    /// The cell's value; NaN without a value.
    pub fn value(self, of: Partial) -> f64 {
        match self {
            Self::Last | Self::Join => of.value,
            Self::Mean => of.value / of.weight,
            Self::Sum if of.weight == 0.0 => f64::NAN,
            Self::Sum => of.value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_is_by_time_and_a_mean_is_of_what_there_is() {
        let at = |micros| EventTime::from_micros(micros).unwrap();
        let readings = [(30, 4.0), (10, 1.0), (40, f64::NAN), (30, 7.0), (-5, 9.0), (20, f64::INFINITY)];
        let of = |how: Aggregate, n: usize| {
            let mut partial = how.empty();
            readings[..n].iter().for_each(|(time, value)| how.add(&mut partial, at(*time), *value));
            how.value(partial)
        };
        assert!(of(Aggregate::Last, 0).is_nan() && of(Aggregate::Mean, 0).is_nan());
        assert_eq!([1, 3, 6].map(|n| of(Aggregate::Last, n)), [4.0, 4.0, 7.0]);
        assert_eq!([1, 3, 6].map(|n| of(Aggregate::Mean, n)), [4.0, 2.5, 5.25]);
        assert_eq!(Aggregate::Last.value(Partial { value: 9.0, weight: -5.0 }), 9.0, "before 1970");
    }
}
