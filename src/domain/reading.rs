use super::EventTime;

/// The values of a reading in the order of the stream's config: targets, then covariates.
/// NaN is a missing value; other non-finite values can't occur.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values(Vec<f64>);

impl Values {
    /// Removes all values, and keeps the memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Appends a value; one that is not finite becomes missing.
    pub fn push(&mut self, value: Option<f64>) {
        self.0.push(value.filter(|v| v.is_finite()).unwrap_or(f64::NAN));
    }

    /// Makes a value missing.
    pub fn set_missing(&mut self, at: usize) {
        self.0[at] = f64::NAN;
    }

    /// The values; NaN is a missing one. `[targets + covariates]`
    pub fn as_slice(&self) -> &[f64] {
        &self.0
    }
}

impl FromIterator<Option<f64>> for Values {
    fn from_iter<I: IntoIterator<Item = Option<f64>>>(iter: I) -> Self {
        let mut values = Self::default();
        iter.into_iter().for_each(|v| values.push(v));
        values
    }
}

/// The values of one series at one event time, borrowed from the decoder's buffers: a reading allocates nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading<'a> {
    /// The name of the series.
    pub series: &'a str,
    /// The event time.
    pub time: EventTime,
    /// The second instant of a local time that comes twice at the end of summer time; `time` is the first.
    pub later: Option<EventTime>,
    /// Targets, then covariates, in the order of the config.
    pub values: &'a Values,
}
