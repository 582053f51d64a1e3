//! The standard normal distribution.

use std::f64::consts::TAU;

/// The density at `z`.
pub fn normal_density(z: f64) -> f64 {
    (-0.5 * z * z).exp() / TAU.sqrt()
}

/// The probability of lying above `z` (West 2005, "Better approximations to cumulative normal
/// functions", after Hart 1968; relative error below 1e-8). 0 from about 38 on.
pub fn normal_upper(z: f64) -> f64 {
    normal_tail(z).0
}

/// [`normal_upper`] and [`normal_density`], for little more than the cost of one of them.
pub fn normal_tail(z: f64) -> (f64, f64) {
    const ABOVE: [f64; 7] = [
        3.52624965998911e-02,
        0.700383064443688,
        6.37396220353165,
        33.912866078383,
        112.079291497871,
        221.213596169931,
        220.206867912376,
    ];
    const BELOW: [f64; 8] = [
        8.83883476483184e-02,
        1.75566716318264,
        16.064177579207,
        86.7807322029461,
        296.564248779674,
        637.333633378831,
        793.826512519948,
        440.413735824752,
    ];
    let a = z.abs();
    let poly = |k: &[f64]| k.iter().fold(0.0, |acc, c| acc * a + c);
    let e = (-0.5 * a * a).exp();
    let density = e / TAU.sqrt();
    let tail = if a < 7.071_067_811_865_47 {
        e * poly(&ABOVE) / poly(&BELOW)
    } else {
        density / (a + 1.0 / (a + 2.0 / (a + 3.0 / (a + 4.0 / (a + 0.65)))))
    };
    (if z > 0.0 { tail } else { 1.0 - tail }, density)
}

/// The natural logarithm of [`normal_upper`], finite even where that is 0.
pub fn ln_normal_upper(z: f64) -> f64 {
    if z < 10.0 {
        return normal_upper(z).ln();
    }
    -0.5 * z * z - (z + 1.0 / (z + 2.0 / (z + 3.0 / (z + 4.0 / (z + 0.65))))).ln() - 0.5 * TAU.ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Level;

    /// ```python
    /// from scipy.stats import norm  # 1.17.1
    /// for z in (-3, -1, -0.1, 0.1, 0.5, 1.959963984540054, 4, 6.9, 7.2, 20):
    ///     print((z, float(norm.sf(z)), float(norm.logsf(z))))
    /// print(float(norm.logsf(60)))
    /// ```
    const TAILS: [(f64, f64, f64); 10] = [
        (-3.0, 0.9986501019683699, -0.0013508099647481925),
        (-1.0, 0.8413447460685429, -0.1727537790234499),
        (-0.1, 0.539827837277029, -0.6165050101150262),
        (0.1, 0.460172162722971, -0.7761545927302733),
        (0.5, 0.3085375387259869, -1.1759117615936188),
        (1.959963984540054, 0.025, -3.6888794541139367),
        (4.0, 3.167124183311986e-05, -10.360101486527292),
        (6.9, 2.600126965638173e-12, -26.67546083915564),
        (7.2, 3.010627981117422e-13, -28.831457520321884),
        (20.0, 2.7536241186061556e-89, -203.9171553710973),
    ];
    const LN_60: f64 = -1805.0135606805675;

    #[test]
    fn tails_are_those_of_scipy() {
        for (z, upper, ln) in TAILS {
            assert!((normal_upper(z) / upper - 1.0).abs() < 1e-8, "{z}: {}", normal_upper(z));
            assert!(
                (ln_normal_upper(z) - ln).abs() < 1e-9 * ln.abs().max(1.0),
                "{z}: {}",
                ln_normal_upper(z)
            );
        }
        assert!((ln_normal_upper(60.0) - LN_60).abs() < 1e-6, "{}", ln_normal_upper(60.0));
    }

    #[test]
    fn it_is_the_inverse_of_the_quantile() {
        for i in 1..2_000 {
            let level = Level::try_new(f64::from(i) / 2_000.0).unwrap();
            assert!((1.0 - normal_upper(level.normal_quantile()) - level.get()).abs() < 1e-8);
        }
    }
}
