use super::student::student_upper;

/// A gain counts as at most this many times the size that [`USUAL`] of all gains and losses stay below.
const LUCK: f64 = 3.0;
const USUAL: f64 = 0.9;
/// The largest correlation of neighbouring blocks that is assumed.
const RESEMBLANCE_MAX: f64 = 0.7;

/// The losses of a challenger and of a champion on the same held-out readings, by series and by block of
/// time, and a test of whether the challenger is better.
///
/// Series of a fleet depend on each other, as do readings that are close in time. So neither many series
/// nor many readings are as much evidence as independent ones. The variance of the mean gain is therefore
/// clustered both ways (Cameron, Gelbach and Miller 2011, "Robust inference with multiway clustering"),
/// over series and over blocks. It is larger where neighbouring blocks resemble each other.
///
/// ```text
/// g_{s,b}  mean loss of the champion − that of the challenger, in series s and block b
/// V = (V_series + V_blocks·(1 + ρ)/(1 − ρ) − V_both) / n²
/// t = ḡ / √V     with the smaller of the numbers of series and blocks, less 1, degrees of freedom
/// ```
///
/// With one series only blocks count. A lucky gain is clipped, a loss never.
#[derive(Clone, Debug)]
pub struct PromotionTest {
    blocks: usize,
    /// `[series, blocks]`
    losses: Vec<BlockLosses>,
}

#[derive(Clone, Copy, Debug, Default)]
struct BlockLosses {
    champion: f64,
    challenger: f64,
    n: f64,
}

/// What the held-out readings say of a challenger.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// The probability of such a gain if the challenger were not better; 1 where the readings don't
    /// decide.
    pub p_value: f64,
    /// The share of the champion's loss that the challenger saves; negative where it is worse.
    pub gain: f64,
    /// Series that had losses.
    pub series: usize,
    /// Blocks that had losses.
    pub blocks: usize,
}

impl Verdict {
    /// Whether the challenger is better at this confidence. At 0: whether it has the lower loss.
    pub fn is_better(&self, confidence: f64) -> bool {
        self.gain > 0.0 && (self.p_value < 1.0 - confidence || confidence <= 0.0)
    }
}

impl PromotionTest {
    /// `blocks`: of equal length, together the held-out readings. Each is at least as long as the
    /// horizon. With fewer than about six the test has little power.
    pub fn new(series: usize, blocks: usize) -> Self {
        Self { blocks, losses: vec![BlockLosses::default(); series * blocks] }
    }

    /// Adds the losses of one forecast, in units that all series share. A pair with a loss that is not
    /// finite is left out.
    pub fn add(&mut self, series: usize, block: usize, champion: f64, challenger: f64) {
        if champion.is_finite() && challenger.is_finite() {
            let losses_here = &mut self.losses[series * self.blocks + block];
            losses_here.champion += champion;
            losses_here.challenger += challenger;
            losses_here.n += 1.0;
        }
    }

    /// The test on all losses so far.
    pub fn verdict(&self) -> Verdict {
        let losses = self.losses.iter().enumerate().filter(|(_, losses_here)| losses_here.n > 0.0);
        let gains: Vec<(usize, usize, f64)> = losses
            .clone()
            .map(|(at, c)| (at / self.blocks, at % self.blocks, (c.champion - c.challenger) / c.n))
            .collect();
        let (champion, challenger) = losses.fold((0.0, 0.0), |(a, b), (_, losses_here)| {
            (a + losses_here.champion / losses_here.n, b + losses_here.challenger / losses_here.n)
        });
        let gain = if champion > 0.0 { 1.0 - challenger / champion } else { 0.0 };
        let clustered = Clustered::of(&gains, self.losses.len() / self.blocks.max(1), self.blocks);
        let Clustered { series, blocks, .. } = clustered;
        Verdict { p_value: clustered.p_value(), gain, series, blocks }
    }
}

/// The mean of the clipped gains and its variance.
struct Clustered {
    mean: f64,
    variance: f64,
    series: usize,
    blocks: usize,
}

impl Clustered {
    fn of(gains: &[(usize, usize, f64)], series: usize, blocks: usize) -> Self {
        let most = LUCK * usual(gains);
        let clipped = || gains.iter().map(|(s, b, gain)| (*s, *b, gain.min(most)));
        let n = gains.len() as f64;
        let mean = clipped().map(|(.., gain)| gain).sum::<f64>() / n;
        let (mut by_series, mut by_block) = (vec![Sum::default(); series], vec![Sum::default(); blocks]);
        let mut own = 0.0;
        for (s, b, gain) in clipped() {
            let off = gain - mean;
            by_series[s].add(off);
            by_block[b].add(off);
            own += off * off;
        }
        let neighbours: f64 = by_block.windows(2).map(|pair| pair[0].total * pair[1].total).sum();
        let (of_series, series) = squares(&by_series);
        let (of_blocks, blocks) = squares(&by_block);
        // The correction for few clusters.
        let few = |of: f64, clusters: usize| match clusters {
            0 | 1 => 0.0,
            n => of * n as f64 / (n - 1) as f64,
        };
        let (of_series, of_blocks) =
            (few(of_series, series), few(of_blocks * memory(neighbours, of_blocks, blocks), blocks));
        let both = if series > 1 && blocks > 1 { of_series + of_blocks - own } else { 0.0 };
        let variance = both.max(of_series).max(of_blocks) / (n * n);
        Self { mean, variance, series, blocks }
    }

    /// One-sided.
    fn p_value(&self) -> f64 {
        // The smaller of the two numbers of clusters, where there is more than one cluster.
        let clusters = [self.series, self.blocks].into_iter().filter(|n| *n > 1).min().unwrap_or(1);
        if clusters < 2 || !self.mean.is_finite() {
            return 1.0;
        }
        if self.variance <= 0.0 {
            return if self.mean > 0.0 { 0.0 } else { 1.0 };
        }
        student_upper(self.mean / self.variance.sqrt(), (clusters - 1) as f64)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    total: f64,
    n: usize,
}

impl Sum {
    fn add(&mut self, value: f64) {
        self.total += value;
        self.n += 1;
    }
}

/// The sum of squared sums, and how many of them are of anything.
fn squares(sums: &[Sum]) -> (f64, usize) {
    let some = sums.iter().filter(|sum| sum.n > 0);
    (some.clone().map(|sum| sum.total * sum.total).sum(), some.count())
}

/// The factor by which the variance of a mean of `n` blocks grows when neighbours are correlated as in an
/// AR(1): (1 + ρ)/(1 − ρ). `neighbours`: the sum of the products of neighbours; `own`: the sum of
/// squares.
fn memory(neighbours: f64, own: f64, n: usize) -> f64 {
    if n < 3 || own <= 0.0 {
        return 1.0;
    }
    // Around their own mean, independent values have a correlation of −1/n.
    let blocks = n as f64;
    let correlation = (neighbours / own * blocks / (blocks - 1.0) + 1.0 / blocks).clamp(0.0, RESEMBLANCE_MAX);
    (1.0 + correlation) / (1.0 - correlation)
}

/// The size that nine in ten gains and losses stay below.
fn usual(gains: &[(usize, usize, f64)]) -> f64 {
    let mut sizes: Vec<f64> = gains.iter().map(|(.., gain)| gain.abs()).collect();
    sizes.sort_unstable_by(f64::total_cmp);
    let at = (USUAL * sizes.len() as f64) as usize;
    sizes.get(at.min(sizes.len().saturating_sub(1))).copied().unwrap_or(0.0)
}
