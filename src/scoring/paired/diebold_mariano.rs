use super::student::{student_quantile, student_upper};

/// Two forecasts of the same targets, compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DieboldMariano {
    /// The mean loss of the first less that of the second.
    pub difference: f64,
    /// The standard deviation of that mean, corrected as the statistic is.
    pub deviation: f64,
    /// Student's t: negative where the first is better.
    pub statistic: f64,
    /// Of no difference, against one on either side.
    pub p_value: f64,
    /// Targets for which both have a loss.
    pub n: usize,
}

impl DieboldMariano {
    /// Where the difference lies with so much confidence: those that a test at `1 − confidence` would not
    /// refuse.
    pub fn interval(&self, confidence: f64) -> (f64, f64) {
        let reach = student_quantile(0.5 + 0.5 * confidence, (self.n - 1) as f64) * self.deviation;
        (self.difference - reach, self.difference + reach)
    }
}

/// The test of Diebold and Mariano (1995) on losses of two forecasts `lead` steps ahead, in the order of
/// their origins, with the correction of Harvey, Leybourne and Newbold (1997) for few of them. The
/// variance has the autocovariances up to `lead − 1`, and Bartlett's weights on them where it would not
/// be positive without, as R's `forecast::dm.test` has it. What is not a number on either side is left
/// out. `None` for fewer than three targets, for as many as leads, or when nothing ever differs.
pub fn diebold_mariano(first: &[f64], second: &[f64], lead: usize) -> Option<DieboldMariano> {
    let differences: Vec<f64> =
        first.iter().zip(second).map(|(a, b)| a - b).filter(|d| d.is_finite()).collect();
    let (n, lead) = (differences.len(), lead.max(1));
    if n < 3 || n <= lead {
        return None;
    }
    let count = n as f64;
    let difference = differences.iter().sum::<f64>() / count;
    let covariance = |lag: usize| {
        let pairs = differences.iter().zip(&differences[lag..]);
        pairs.map(|(a, b)| (a - difference) * (b - difference)).sum::<f64>() / count
    };
    let own = covariance(0);
    let lags: Vec<f64> = (1..lead).map(covariance).collect();
    let mut variance = (own + 2.0 * lags.iter().sum::<f64>()) / count;
    if variance <= 0.0 {
        let weighted = lags.iter().enumerate().map(|(i, c)| (1.0 - (i + 1) as f64 / lead as f64) * c);
        variance = (own + 2.0 * weighted.sum::<f64>()) / count;
    }
    if variance <= 0.0 {
        return None;
    }
    let h = lead as f64;
    let few = ((count + 1.0 - 2.0 * h + h * (h - 1.0) / count) / count).max(0.0).sqrt();
    let deviation = variance.sqrt() / few;
    let statistic = difference / deviation;
    let p_value = 2.0 * student_upper(statistic.abs(), count - 1.0);
    Some(DieboldMariano { difference, deviation, statistic, p_value, n })
}
