use super::student::{student_quantile, student_upper};

/// Two forecasts of the same targets, compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DieboldMariano {
    /// The mean loss of the first forecast less that of the second.
    pub difference: f64,
    /// The standard deviation of that mean, with the correction for small samples.
    pub deviation: f64,
    /// Student's t: negative where the first forecast is better.
    pub statistic: f64,
    /// The p-value of no difference, two-sided.
    pub p_value: f64,
    /// Targets for which both have a loss.
    pub n: usize,
}

impl DieboldMariano {
    /// The confidence interval of the difference: the values that a test at `1 − confidence` does not
    /// reject.
    pub fn interval(&self, confidence: f64) -> (f64, f64) {
        let reach = student_quantile(0.5 + 0.5 * confidence, (self.n - 1) as f64) * self.deviation;
        (self.difference - reach, self.difference + reach)
    }
}

/// The test of Diebold and Mariano (1995) on losses of two forecasts `lead` steps ahead, in the order of
/// their origins, with the correction of Harvey, Leybourne and Newbold (1997) for small samples.
///
/// ```text
/// d_t = loss of the first − loss of the second,  h = lead
/// V  = (γ_0 + 2·Σ_{k<h} γ_k) / n            γ_k the autocovariances of d
/// t  = d̄ / √V · √((n + 1 − 2h + h(h − 1)/n) / n)     with n − 1 degrees of freedom
/// ```
///
/// Where the variance would not be positive, the autocovariances get Bartlett's weights, as in R's
/// `forecast::dm.test`. Targets with a loss that is not finite are left out. `None` for fewer than three
/// targets, for no more targets than leads, or when the losses never differ.
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
