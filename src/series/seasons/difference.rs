use std::ops::RangeInclusive;

/// The most pairs of values that are compared, over all series and lags; and the most and the least of
/// one series at one lag, spread evenly over it.
const PAIRS_ALL: usize = 1 << 30;
const PAIRS_MAX: usize = 4_096;
const PAIRS_SOME: usize = 64;
/// A series with fewer pairs at a lag does not count there.
const PAIRS_LEAST: usize = 8;

/// The average magnitude difference function: the mean of |x_t − x_{t−l}| at each lag l over the pairs of
/// all series, each series in units of its own mean.
pub(super) struct Difference {
    first: usize,
    /// By lag, from the first on: the mean, and the number of pairs.
    at: Vec<(f64, usize)>,
    /// Before each lag: the sum of the means, and the number of lags.
    sums: Vec<(f64, usize)>,
}

impl Difference {
    pub fn of(series: &[Vec<f32>], lags: RangeInclusive<usize>) -> Self {
        let first = *lags.start();
        let mut at = vec![(0.0, 0); lags.clone().count()];
        let most = (PAIRS_ALL / (series.len() * at.len()).max(1)).clamp(PAIRS_SOME, PAIRS_MAX);
        for values in series {
            let own: Vec<(f64, usize)> = lags.clone().map(|lag| mean(values, lag, most)).collect();
            let known: Vec<f64> = own.iter().filter(|(_, n)| *n > 0).map(|(d, _)| *d).collect();
            let scale = known.iter().sum::<f64>() / known.len().max(1) as f64;
            if !(scale > 0.0 && scale.is_finite()) {
                continue;
            }
            for ((sum, pairs), (d, n)) in at.iter_mut().zip(own) {
                *sum += d / scale * n as f64;
                *pairs += n;
            }
        }
        let mut sums = vec![(0.0, 0)];
        for (mean, pairs) in &mut at {
            *mean /= (*pairs).max(1) as f64;
            let (sum, lags) = sums[sums.len() - 1];
            sums.push((sum + *mean, lags + usize::from(*pairs > 0)));
        }
        Self { first, at, sums }
    }

    pub fn pairs(&self, lag: usize) -> usize {
        self.at.get(lag.wrapping_sub(self.first)).map_or(0, |(_, pairs)| *pairs)
    }

    /// How far the mean at a lag lies below that of the lags from half of it to one and a half of it, as
    /// a share of theirs.
    pub fn depth(&self, lag: usize) -> Option<f32> {
        let half = (lag / 2).max(1);
        (lag >= 2).then(|| self.below(lag, lag - half..=lag + half)).flatten()
    }

    /// The same, compared with all lags that are known.
    pub fn dip(&self, lag: usize) -> Option<f32> {
        self.below(lag, self.first..=self.first + self.at.len() - 1)
    }

    fn below(&self, lag: usize, around: RangeInclusive<usize>) -> Option<f32> {
        let (from, to) = (around.start().checked_sub(self.first)?, around.end() + 1 - self.first);
        let ((low, before), (high, lags)) = (self.sums[from], *self.sums.get(to)?);
        let (mean, pairs) = self.at[lag - self.first];
        let depth = 1.0 - mean * (lags - before) as f64 / (high - low);
        (pairs > 0 && depth.is_finite()).then_some(depth as f32)
    }
}

/// Of one series at one lag: the mean over at most `most` pairs of finite values, and their number.
fn mean(values: &[f32], lag: usize, most: usize) -> (f64, usize) {
    let (mut sum, mut pairs) = (0.0, 0);
    let count = values.len().saturating_sub(lag);
    for t in (0..count).step_by(count.div_ceil(most).max(1)) {
        let apart = (values[t + lag] - values[t]).abs();
        if apart.is_finite() {
            sum += f64::from(apart);
            pairs += 1;
        }
    }
    if pairs < PAIRS_LEAST { (0.0, 0) } else { (sum / pairs as f64, pairs) }
}
