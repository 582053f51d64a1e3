use super::student::student_upper;

/// A gain counts as no more than so many times what nine in ten gains and losses stay below.
const LUCK: f64 = 3.0;
const USUAL: f64 = 0.9;
/// The most that neighbouring blocks are thought to resemble each other.
const RESEMBLANCE_MAX: f64 = 0.7;

/// Losses of a challenger and of a champion on the same held-out readings, by series and by block of
/// time, and the test whether the challenger is better.
///
/// Series of a fleet share their weather, and what is close in time is alike: neither many series nor
/// many readings are as many proofs. So the variance of the mean gain is clustered both ways (Cameron,
/// Gelbach and Miller 2011, "Robust inference with multiway clustering"), over series and over blocks,
/// and larger where neighbouring blocks resemble each other; Student's t has the degrees of freedom of
/// the fewer. Of one series only blocks count. A lucky gain is clipped, a loss never.
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
    /// The chance of a gain like this if the challenger were no better; 1 where nothing can be told.
    pub p_value: f64,
    /// Its share of the champion's loss that the challenger saves; negative where it is worse.
    pub gain: f64,
    /// Series and blocks that had losses.
    pub series: usize,
    pub blocks: usize,
}

impl Verdict {
    /// Whether the challenger is better, at this confidence; at 0 whether it has the lower loss.
    pub fn is_better(&self, confidence: f64) -> bool {
        self.gain > 0.0 && (self.p_value < 1.0 - confidence || confidence <= 0.0)
    }
}

impl PromotionTest {
    /// `blocks` of equal length, which together are the held-out readings: each at least as long as the
    /// horizon, and at least six or so, or little can be told.
    pub fn new(series: usize, blocks: usize) -> Self {
        Self { blocks, losses: vec![BlockLosses::default(); series * blocks] }
    }

    /// Adds the losses of one forecast, in units that series have in common. What is not a number on
    /// either side counts for neither.
    pub fn add(&mut self, series: usize, block: usize, champion: f64, challenger: f64) {
        if champion.is_finite() && challenger.is_finite() {
            let losses_here = &mut self.losses[series * self.blocks + block];
            losses_here.champion += champion;
            losses_here.challenger += challenger;
            losses_here.n += 1.0;
        }
    }

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

/// The mean of clipped gains and its variance.
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
        // Unbiased for few clusters.
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
        // The fewer of those that can be told apart.
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

/// The sum of squared sums, and how many of them have anything.
fn squares(sums: &[Sum]) -> (f64, usize) {
    let some = sums.iter().filter(|sum| sum.n > 0);
    (some.clone().map(|sum| sum.total * sum.total).sum(), some.count())
}

/// How much more a mean of `n` blocks varies when neighbours resemble each other, as an AR(1) does: by
/// (1 + ρ)/(1 − ρ). `neighbours`: the sum of their products; `own`: that of squares.
fn memory(neighbours: f64, own: f64, n: usize) -> f64 {
    if n < 3 || own <= 0.0 {
        return 1.0;
    }
    // Around their own mean even strangers lean apart by 1/n.
    let blocks = n as f64;
    let correlation = (neighbours / own * blocks / (blocks - 1.0) + 1.0 / blocks).clamp(0.0, RESEMBLANCE_MAX);
    (1.0 + correlation) / (1.0 - correlation)
}

/// What nine in ten gains and losses stay below.
fn usual(gains: &[(usize, usize, f64)]) -> f64 {
    let mut sizes: Vec<f64> = gains.iter().map(|(.., gain)| gain.abs()).collect();
    sizes.sort_unstable_by(f64::total_cmp);
    let at = (USUAL * sizes.len() as f64) as usize;
    sizes.get(at.min(sizes.len().saturating_sub(1))).copied().unwrap_or(0.0)
}
