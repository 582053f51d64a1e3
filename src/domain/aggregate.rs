use super::EventTime;

/// What becomes of several readings of one series in one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// The latest value of each.
    Last,
    /// The mean of what each has.
    Mean,
}

/// One value of a cell that is still open.
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Partial {
    /// The latest value, or the sum of all.
    value: f64,
    /// When that was, or of how many; below any time where there is none.
    weight: f64,
}

impl Aggregate {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Mean => "mean",
        }
    }

    /// Of no value yet.
    pub fn empty(self) -> Partial {
        match self {
            Self::Last => Partial { value: f64::NAN, weight: f64::NEG_INFINITY },
            Self::Mean => Partial { value: 0.0, weight: 0.0 },
        }
    }

    /// Takes a value in; one that is not finite is none. Of two at one time the one that came later is the
    /// latest.
    pub fn add(self, to: &mut Partial, time: EventTime, value: f64) {
        let time = time.as_micros() as f64;
        match self {
            _ if !value.is_finite() => {}
            Self::Last if time < to.weight => {}
            Self::Last => *to = Partial { value, weight: time },
            Self::Mean => *to = Partial { value: to.value + value, weight: to.weight + 1.0 },
        }
    }

    /// The cell's value; not a number where none has come.
    pub fn value(self, of: Partial) -> f64 {
        match self {
            Self::Last => of.value,
            Self::Mean => of.value / of.weight,
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
