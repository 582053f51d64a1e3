/// Short lags of a series without a season.
const PLAIN_LAGS: usize = 12;
/// The most short lags of a series with a season.
const SHORT_LAGS: usize = 23;

/// One regressor of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feature {
    /// The constant.
    One,
    /// The value some steps ago, less the newest.
    Lag(usize),
    /// The difference over the shorter season, some steps ago.
    Difference(usize),
    /// An exponentially weighted mean, less the newest value.
    Mean(usize),
    /// A profile's forecast at a lead, less the newest value.
    Profile(usize, usize),
    /// A Holt-Winters forecast at a lead, less the newest value.
    Holt(usize, usize),
}

impl Feature {
    /// Whether it depends on the level of the series over a long time, and not on its last steps only.
    pub fn is_level(self) -> bool {
        matches!(self, Self::Mean(_) | Self::Profile(..) | Self::Holt(..))
    }
}

/// The features of a stream, and how many of the first ones make up the fast block.
pub(super) fn features(seasons: &[usize], horizon: usize, compact: bool) -> (Vec<Feature>, usize) {
    use Feature::{Difference, Holt, Lag, Mean, One, Profile};
    let Some(&m) = seasons.first() else {
        let mut features = vec![One, Lag(1), Lag(2), Lag(3), Mean(0)];
        let lags = if compact { 6 } else { PLAIN_LAGS };
        features.extend((4..=lags).map(Lag));
        features.extend([Mean(1), Holt(0, 1), Holt(1, 1)]);
        return (features, 5);
    };
    // `compact` looks at the profile of the short season alone.
    let longest = if compact { 0 } else { seasons.len() - 1 };
    let mut features = vec![One, Lag(1)];
    features.extend((m > 2).then_some(Lag(2)));
    features.extend((m > 3).then_some(Lag(m - 1)));
    features.extend([Difference(0), Mean(0), Profile(0, 1)]);
    let fast = features.len();
    let mut lags: Vec<usize> = if compact { Vec::new() } else { short_lags(m) };
    if let Some(&long) = seasons.get(1) {
        let around =
            if compact { vec![long - 1, long] } else { vec![long - m, long - m / 2, long - 1, long] };
        lags.extend(around);
    }
    for lag in lags.into_iter().map(Lag) {
        if !features.contains(&lag) {
            features.push(lag);
        }
    }
    features.extend([Difference(1), Mean(1)]);
    if longest > 0 {
        features.push(Profile(longest, 1));
    }
    features.extend([Holt(0, 1), Holt(1, 1), Profile(longest, horizon), Holt(1, horizon)]);
    (features, fast)
}

/// The lags up to a season of `m` steps. Where there are too many: the nearest dozen, and others at
/// growing distances.
fn short_lags(m: usize) -> Vec<usize> {
    let last = (m - 1).max(SHORT_LAGS.min(2 * m - 1));
    if last <= SHORT_LAGS {
        return (1..=last).filter(|lag| *lag != m).collect();
    }
    let near = SHORT_LAGS / 2 + 1;
    let apart = SHORT_LAGS - near - 2;
    let growth = (last as f64 / near as f64).powf(1.0 / (apart + 1) as f64);
    let far = (1..=apart).map(|k| (near as f64 * growth.powi(k as i32)).round() as usize);
    let mut lags: Vec<usize> = (1..=near).chain(far).chain([m - 2, m - 1]).collect();
    lags.sort_unstable();
    lags.dedup();
    lags
}
