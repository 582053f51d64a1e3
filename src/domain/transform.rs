/// A function that is applied to a target before anything learns from it, and undone in all output. Quantiles and
/// medians keep their meaning under it; means don't.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transform {
    /// Values stay as they are.
    #[default]
    None,
    /// `ln(1 + x)`, for values that are never negative and vary by factors.
    Log1p,
    /// `asinh x`: like a logarithm far from 0 on either side, linear near 0.
    Asinh,
}

/// The largest exponent of e on the way back, so that values stay finite.
const POWER_MAX: f64 = 700.0;

impl Transform {
    /// NaN where the transform is undefined: at and below −1 for the logarithm.
    pub fn apply(self, value: f64) -> f64 {
        match self {
            Self::None => value,
            Self::Log1p if value <= -1.0 => f64::NAN,
            Self::Log1p => value.ln_1p(),
            Self::Asinh => value.asinh(),
        }
    }

    /// The inverse: finite for finite values and never decreasing; NaN stays NaN.
    pub fn undo(self, value: f64) -> f64 {
        match self {
            Self::None => value,
            Self::Log1p => value.clamp(f64::MIN, POWER_MAX).exp_m1(),
            Self::Asinh => value.clamp(-POWER_MAX, POWER_MAX).sinh(),
        }
    }

    /// How many units a small step is worth once it is undone at a value.
    pub fn slope(self, value: f64) -> f64 {
        match self {
            Self::None => 1.0,
            Self::Log1p => value.clamp(f64::MIN, POWER_MAX).exp(),
            Self::Asinh => value.clamp(-POWER_MAX, POWER_MAX).cosh(),
        }
    }

    /// Its name in the config.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Log1p => "log1p",
            Self::Asinh => "asinh",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Transform; 3] = [Transform::None, Transform::Log1p, Transform::Asinh];

    #[test]
    fn what_is_applied_is_undone() {
        for transform in ALL {
            for value in [-0.99, -1e-9, 0.0, 1e-12, 0.5, 3.0, 1e6, 1e30] {
                let back = transform.undo(transform.apply(value));
                assert!((back - value).abs() <= 1e-12 * value.abs(), "{transform:?}: {back} for {value}");
            }
        }
        assert!((Transform::Asinh.undo(Transform::Asinh.apply(-1e9)) + 1e9).abs() < 1e-3);
    }

    #[test]
    fn what_is_undone_is_finite_and_ascends_and_what_has_no_value_is_missing() {
        for transform in ALL {
            let undone: Vec<f64> = [-1e30, -800.0, -1.0, 0.0, 1.0, 699.0, 800.0, 1e30]
                .map(|value| transform.undo(value))
                .to_vec();
            assert!(undone.iter().all(|v| v.is_finite()) && undone.is_sorted(), "{transform:?}: {undone:?}");
        }
        assert!(ALL.iter().all(|transform| transform.undo(f64::NAN).is_nan()));
        assert!([-1.0, -2.0, f64::NAN].iter().all(|v| Transform::Log1p.apply(*v).is_nan()));
    }

    #[test]
    fn the_slope_is_that_of_the_inverse() {
        for transform in ALL {
            for value in [-0.7, 0.0, 2.0, 11.0] {
                let rise = (transform.undo(value + 1e-6) - transform.undo(value - 1e-6)) / 2e-6;
                assert!((rise / transform.slope(value) - 1.0).abs() < 1e-6, "{transform:?} at {value}");
            }
        }
    }
}
