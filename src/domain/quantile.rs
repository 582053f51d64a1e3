use std::fmt;

/// A quantile level, strictly between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Level(f64);

/// A number that is no quantile level.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{0} is not a quantile level: it must lie strictly between 0 and 1")]
pub struct NotALevel(pub f64);

impl Level {
    /// # Errors
    /// [`NotALevel`] unless `0 < level < 1`.
    pub fn try_new(level: f64) -> Result<Self, NotALevel> {
        if level > 0.0 && level < 1.0 { Ok(Self(level)) } else { Err(NotALevel(level)) }
    }

    /// The level, in (0, 1).
    pub fn get(self) -> f64 {
        self.0
    }

    /// The quantile of the standard normal distribution at this level (Acklam's rational
    /// approximation, relative error below 1.15e-9).
    #[expect(clippy::excessive_precision, reason = "the coefficients as they were published")]
    pub fn normal_quantile(self) -> f64 {
        const A: [f64; 6] = [
            -3.969683028665376e+01,
            2.209460984245205e+02,
            -2.759285104469687e+02,
            1.383577518672690e+02,
            -3.066479806614716e+01,
            2.506628277459239e+00,
        ];
        const B: [f64; 5] = [
            -5.447609879822406e+01,
            1.615858368580409e+02,
            -1.556989798598866e+02,
            6.680131188771972e+01,
            -1.328068155288572e+01,
        ];
        const C: [f64; 6] = [
            -7.784894002430293e-03,
            -3.223964580411365e-01,
            -2.400758277161838e+00,
            -2.549732539343734e+00,
            4.374664141464968e+00,
            2.938163982698783e+00,
        ];
        const D: [f64; 4] =
            [7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00, 3.754408661907416e+00];
        const TAIL: f64 = 0.02425;
        let poly = |k: &[f64], x: f64| k.iter().fold(0.0, |acc, c| acc * x + c);
        let tail = |p: f64| {
            let q = (-2.0 * p.ln()).sqrt();
            poly(&C, q) / (poly(&D, q) * q + 1.0)
        };
        if self.0 < TAIL {
            tail(self.0)
        } else if self.0 > 1.0 - TAIL {
            -tail(1.0 - self.0)
        } else {
            let q = self.0 - 0.5;
            let r = q * q;
            poly(&A, r) * q / (poly(&B, r) * r + 1.0)
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Quantile levels, ascending, each once.
#[derive(Clone, Debug, PartialEq)]
pub struct Levels(Vec<Level>);

impl Levels {
    /// Sorts the levels and drops repeated ones.
    pub fn new(mut levels: Vec<Level>) -> Self {
        levels.sort_by(|a, b| a.0.total_cmp(&b.0));
        levels.dedup();
        Self(levels)
    }

    /// The levels, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Level> + '_ {
        self.0.iter().copied()
    }

    /// The number of levels.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no levels.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_quantiles_are_those_of_the_tables() {
        for (level, z) in
            [(0.5, 0.0), (0.975, 1.959964), (0.025, -1.959964), (0.9, 1.281552), (0.001, -3.090232)]
        {
            let got = Level::try_new(level).unwrap().normal_quantile();
            assert!((got - z).abs() < 1e-5, "{level}: {got} for {z}");
        }
    }

    #[test]
    fn levels_are_ascending_and_unique() {
        let levels = [0.9, 0.1, 0.5, 0.1].map(|l| Level::try_new(l).unwrap()).to_vec();
        let got: Vec<f64> = Levels::new(levels).iter().map(Level::get).collect();
        assert_eq!(got, [0.1, 0.5, 0.9]);
        assert!(Level::try_new(1.0).is_err() && Level::try_new(f64::NAN).is_err());
    }
}
