use super::EventTime;

/// The values of a reading in the order of the stream's config: targets, then covariates.
/// NaN stands for a value that is missing; nothing else that is not finite gets in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values(Vec<f64>);

impl Values {
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Appends a value; one that is not finite becomes a missing one.
    pub fn push(&mut self, value: Option<f64>) {
        self.0.push(value.filter(|v| v.is_finite()).unwrap_or(f64::NAN));
    }

    /// Takes a value away.
    pub fn set_missing(&mut self, at: usize) {
        self.0[at] = f64::NAN;
    }

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

/// What one series measured at one event time. Borrowed from the decoder's buffers: nothing is
/// allocated for a reading.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading<'a> {
    pub series: &'a str,
    pub time: EventTime,
    /// The second of the two instants that its local time means at the end of summer time, of which `time` is
    /// the first.
    pub later: Option<EventTime>,
    /// Targets, then covariates, in the order of the config.
    pub values: &'a Values,
}
