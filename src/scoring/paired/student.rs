//! Student's t distribution.

use std::f64::consts::PI;

/// The probability above `t`, with ν = `freedom` degrees of freedom: half of the regularised incomplete
/// beta function of ν/(ν + t²) (DLMF 8.17.22, by Lentz's method).
pub fn student_upper(t: f64, freedom: f64) -> f64 {
    if t.is_nan() || freedom <= 0.0 {
        return f64::NAN;
    }
    let tail = 0.5 * incomplete_beta(freedom / (freedom + t * t), 0.5 * freedom, 0.5);
    if t > 0.0 { tail } else { 1.0 - tail }
}

/// The quantile of a level of at least a half, by bisection.
pub fn student_quantile(level: f64, freedom: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while student_upper(high, freedom) > 1.0 - level && high < 1e300 {
        high *= 2.0;
    }
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if student_upper(middle, freedom) > 1.0 - level { low = middle } else { high = middle }
    }
    high
}

fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp() / a;
    let away_from_zero = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
    let (mut fraction, mut c, mut d) = (1.0, 1.0, 0.0);
    for i in 0..10_000u32 {
        let m = f64::from(i / 2);
        let term = match (i, i % 2) {
            (0, _) => 1.0,
            (_, 0) => m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            _ => -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        };
        d = 1.0 / away_from_zero(1.0 + term * d);
        c = away_from_zero(1.0 + term / c);
        fraction *= c * d;
        if (c * d - 1.0).abs() < 1e-15 {
            break;
        }
    }
    front * (fraction - 1.0)
}

/// Lanczos' approximation with g = 7 and nine terms (Godfrey's coefficients).
#[expect(clippy::excessive_precision, reason = "the coefficients as they were published")]
fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 9] = [
        0.99999999999980993,
        676.5203681218851,
        -1259.1392167224028,
        771.32342877765313,
        -176.61502916214059,
        12.507343278686905,
        -0.13857109526572012,
        9.9843695780195716e-6,
        1.5056327351493116e-7,
    ];
    let x = x - 1.0;
    let sum = TERMS[1..].iter().enumerate().fold(TERMS[0], |s, (i, c)| s + c / (x + i as f64 + 1.0));
    let t = x + 7.5;
    0.5 * (2.0 * PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ```python
    /// from scipy.stats import t  # 1.17.1
    /// for x, nu in [(0.5, 1), (2.0, 3), (-1.3, 7), (2.5, 30), (1.96, 1e6), (12.0, 4), (0.0, 9), (6.0, 167), (40.0, 2)]:
    ///     print((x, nu, float(t.sf(x, nu))))
    /// ```
    const TAILS: [(f64, f64, f64); 9] = [
        (0.5, 1.0, 0.35241638234956674),
        (2.0, 3.0, 0.06966298427942152),
        (-1.3, 7.0, 0.8826160823038114),
        (2.5, 30.0, 0.009057824534033344),
        (1.96, 1e6, 0.024998033792634926),
        (12.0, 4.0, 0.0001382142742514865),
        (0.0, 9.0, 0.5),
        (6.0, 167.0, 5.9456609651979286e-09),
        (40.0, 2.0, 0.0003122073360923703),
    ];

    #[test]
    fn tails_are_those_of_scipy() {
        for (t, freedom, want) in TAILS {
            let got = student_upper(t, freedom);
            assert!((got / want - 1.0).abs() < 1e-9, "{t} {freedom}: {got} for {want}");
        }
        assert!(student_upper(f64::NAN, 3.0).is_nan() && student_upper(1.0, 0.0).is_nan());
        assert_eq!(student_upper(f64::INFINITY, 3.0), 0.0);
    }
    /// `scipy.stats.t.ppf` 1.17.1
    #[test]
    fn quantiles_are_those_of_scipy() {
        for (level, freedom, want) in [
            (0.975, 1.0, 12.706_204_736_432_095),
            (0.95, 5.0, 2.015_048_372_669_157),
            (0.975, 30.0, 2.042_272_456_301_237_3),
            (0.5, 7.0, 0.0),
        ] {
            let got = student_quantile(level, freedom);
            assert!((got - want).abs() < 1e-9, "{level} {freedom}: {got} for {want}");
        }
    }
}
