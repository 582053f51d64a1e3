use crate::domain::Levels;

/// Scores are limited to ± this.
const FURTHEST: f32 = 40.0;
/// A bound's distance from the point is at least this share of the deviation.
const LEAST_SHARE: f32 = 0.001;

/// The normal score of a value in a forecast distribution: the `z` of a standard normal distribution with
/// the same probability below it. It is interpolated linearly between the quantiles of the forecast.
/// Beyond the outermost quantile it goes on by that quantile's distance from the point. So it is as well
/// calibrated as the quantiles are.
#[derive(Clone, Debug)]
pub struct NormalScore {
    /// Normal quantiles of the levels, ascending.
    normal: Vec<f32>,
}

impl NormalScore {
    pub fn new(levels: &Levels) -> Self {
        Self { normal: levels.iter().map(|l| l.normal_quantile() as f32).collect() }
    }

    /// The score of `value`; 0 for the point itself, within ±40. `bounds`: the quantiles of the forecast,
    /// ascending: `[levels]`. `point`: its median. `deviation`: a standard deviation, for a side without
    /// a level.
    pub fn of(&self, value: f32, point: f32, deviation: f32, bounds: &[f32]) -> f32 {
        let distance = value - point;
        if distance == 0.0 || !distance.is_finite() {
            return 0.0;
        }
        let above = distance > 0.0;
        let unit = self.unit(above, point, deviation, bounds);
        // The two bounds on the value's own side that enclose it; the point is the innermost.
        let (mut lower, mut upper) = ((point, 0.0), (point, 0.0));
        let mut beyond = true;
        let side = self.normal.iter().zip(bounds).map(|(z, bound)| (*bound, *z));
        let side = side.filter(|(_, z)| if above { *z > 0.0 } else { *z < 0.0 });
        let mut enclose = |(bound, z): (f32, f32)| {
            if !beyond {
                return;
            }
            lower = upper;
            upper = (bound, z);
            beyond = if above { value > bound } else { value < bound };
        };
        if above {
            side.for_each(&mut enclose);
        } else {
            // From the point outwards.
            side.rev().for_each(&mut enclose);
        }
        let score = if beyond {
            upper.1 + (value - upper.0) / unit
        } else {
            lower.1 + (upper.1 - lower.1) * (value - lower.0) / (upper.0 - lower.0)
        };
        if score.is_nan() { 0.0 } else { score.clamp(-FURTHEST, FURTHEST) }
    }

    /// The distance that is worth one unit of score beyond the outermost bound of a side.
    fn unit(&self, above: bool, point: f32, deviation: f32, bounds: &[f32]) -> f32 {
        let outermost = if above { self.normal.len().checked_sub(1) } else { Some(0) };
        let by_bound = outermost.and_then(|at| {
            let z = *self.normal.get(at)?;
            let right = if above { z > 0.0 } else { z < 0.0 };
            right.then(|| (bounds[at] - point) / z)
        });
        let least = (LEAST_SHARE * deviation).max(f32::MIN_POSITIVE);
        by_bound.filter(|unit| unit.is_finite()).unwrap_or(deviation).max(least)
    }

    /// The standard deviation that the bounds imply, the mean of both sides.
    pub fn deviation(&self, point: f32, deviation: f32, bounds: &[f32]) -> f32 {
        0.5 * (self.unit(true, point, deviation, bounds) + self.unit(false, point, deviation, bounds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Level;

    fn score(levels: &[f64]) -> NormalScore {
        NormalScore::new(&Levels::new(levels.iter().map(|l| Level::try_new(*l).unwrap()).collect()))
    }

    #[test]
    fn scores_of_a_normal_forecast_are_its_own() {
        for levels in
            [&[0.05, 0.5, 0.95][..], &[0.5], &[0.1, 0.9], &[0.025, 0.1, 0.2], &[0.3, 0.5, 0.6, 0.99]]
        {
            let score = score(levels);
            let bounds: Vec<f32> = score.normal.iter().map(|z| 10.0 + 3.0 * z).collect();
            for z in [-30.0, -3.0, -1.0, -0.1, 0.0, 0.2, 1.5, 2.0, 12.0f32] {
                let got = score.of(10.0 + 3.0 * z, 10.0, 3.0, &bounds);
                assert!((got - z).abs() < 1e-4 * z.abs().max(1.0), "{levels:?}: {got} for {z}");
            }
            assert!((score.deviation(10.0, 3.0, &bounds) - 3.0).abs() < 1e-4);
        }
    }

    #[test]
    fn the_score_of_a_bound_is_that_of_its_level() {
        let score = score(&[0.05, 0.2, 0.5, 0.8, 0.95]);
        let bounds = [-1.0, -0.5, 0.0, 3.0, 20.0];
        for (z, bound) in score.normal.iter().zip(bounds) {
            assert!((score.of(bound, 0.0, 1.0, &bounds) - z).abs() < 1e-5, "{bound}");
        }
        let ascending: Vec<f32> = (-400..800).map(|i| score.of(i as f32 * 0.1, 0.0, 1.0, &bounds)).collect();
        assert!(ascending.is_sorted());
    }

    #[test]
    fn equal_bounds_give_a_finite_score() {
        let score = score(&[0.05, 0.5, 0.95]);
        for (bounds, deviation) in [([1.0; 3], 0.0), ([1.0; 3], 2.0), ([0.0, 1.0, 1.0], 1.0)] {
            for value in [0.9, 1.0, 1.1, 1e30, -1e30, f32::NAN, f32::INFINITY] {
                let got = score.of(value, 1.0, deviation, &bounds);
                assert!(got.abs() <= FURTHEST, "{value} in {bounds:?}: {got}");
                assert!(value != 1.0 || got == 0.0);
            }
        }
        assert_eq!(score.of(2.0, 1.0, 0.0, &[1.0; 3]), FURTHEST, "nothing else was ever seen");
    }
}
