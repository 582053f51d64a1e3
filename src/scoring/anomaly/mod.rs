use super::NormalScore;
use crate::domain::{AnomalyKind, AnomalyScore, Damaged, Levels, Rows, Take, lengthen, ln_normal_upper, put};
use bytemuck::{Pod, Zeroable};

mod tail;
#[cfg(test)]
mod tests;

use tail::{HUNDREDTH, OwnTail, PooledTail};

/// The first readings of a series have no score, up to this many.
const YOUNG: u32 = 16;
/// This many steps of a forecast are kept to tell a spike from a shift.
const PATH: usize = 4;
/// In a shift, readings keep at least this share of the first jump.
const HELD: f32 = 0.5;
/// The factor by which the count of surprises fades at each reading.
const FADE: f32 = 0.8;
/// A count above this is a streak: three of five readings.
const STREAK: f32 = 2.3;

/// A forecast at lead 1 whose target has arrived.
#[derive(Clone, Copy, Debug)]
pub struct MaturedForecast<'a> {
    pub value: f32,
    /// The median.
    pub point: f32,
    /// A standard deviation, for sides without a level.
    pub deviation: f32,
    /// The calibrated quantiles, ascending. `[levels]`
    pub bounds: &'a [f32],
}

/// How surprising readings are, from the calibrated forecast at lead 1.
///
/// ```text
/// z  the normal score of the reading (NormalScore)
/// s = −ln P(|Z| ≥ |z|)     surprise, the −ln of a p-value
/// s' = calibrated s        by the tracked tails of calm readings
/// score = 1 − e^(−s')
/// ```
///
/// Beyond the outermost quantiles the forecast is not calibrated. There the surprises that one reading in
/// ten and one in a hundred exceed are tracked for each series, and that of one in a thousand over all
/// series (`tail.rs`). So 1 % of calm readings score above 0.99, whatever their distribution.
///
/// A reading right after a surprise is also compared with what was expected before it, and the better
/// explanation counts. So a forecast that followed a spike does not make a second one. A series that
/// stays where it jumped to has shifted.
///
/// Memory and time are O(1) for each series and target.
#[derive(Debug)]
pub struct Anomalies {
    targets: usize,
    scores: NormalScore,
    pooled: PooledTail,
    /// `[slots, targets]`
    rows: Vec<AnomalyState>,
}

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct AnomalyState {
    tail: OwnTail,
    /// What the newest forecast from before the event says of the next steps. The first is that of the
    /// event itself.
    path: [f32; PATH],
    /// Readings since the event began; 0 when there is no event.
    since: u32,
    /// The distance of the event's reading from its forecast, the deviation there, and its score.
    jump: f32,
    unit: f32,
    began: f32,
    /// A fading count of surprises.
    surprises: f32,
}

impl Anomalies {
    /// `levels`: those of the bounds.
    pub fn new(targets: usize, levels: &Levels) -> Self {
        Self { targets, scores: NormalScore::new(levels), pooled: PooledTail::new(), rows: Vec::new() }
    }

    /// Scores a reading that has arrived, and learns from it. A value that is not finite has no score.
    pub fn judge(&mut self, slot: usize, target: usize, arrived: MaturedForecast<'_>) -> AnomalyScore {
        let MaturedForecast { value, point, deviation, bounds } = arrived;
        if !(value - point).is_finite() {
            return AnomalyScore::default();
        }
        let z = self.scores.of(value, point, deviation, bounds);
        let unit = self.scores.deviation(point, deviation, bounds);
        let row = &mut self.rows[slot * self.targets + target];
        if row.tail.seen() == 0 {
            row.tail.start(&self.pooled);
        }
        let raw = surprise(z);
        let expected_before = row.expected();
        let explained = match expected_before {
            Some(before) => {
                let far = (row.unit * (row.since as f32 + 1.0).sqrt()).max(f32::MIN_POSITIVE);
                raw.min(surprise(((value - before) / far).clamp(-40.0, 40.0)))
            }
            None => raw,
        };
        let calibrated = row.tail.calibrated(&self.pooled, explained);
        // Readings after a surprise are not learnt from: a streak is one surprise.
        if row.since == 0 {
            row.tail.learn(&mut self.pooled, raw, calibrated);
        }
        if row.tail.seen() <= YOUNG {
            return AnomalyScore::default();
        }
        let score = 1.0 - (-calibrated).exp();
        let surprising = calibrated >= HUNDREDTH;
        row.surprises = FADE * row.surprises + if surprising { 1.0 } else { 0.0 };
        let mut kind = match (surprising, row.surprises > STREAK) {
            (false, _) => None,
            (true, false) => Some(AnomalyKind::Spike),
            (true, true) => Some(AnomalyKind::Streak),
        };
        let mut began = score;
        match expected_before {
            Some(before) => {
                let held = (value - before) * row.jump.signum() > HELD * row.jump.abs();
                if !held {
                    row.since = 0;
                } else if row.since as usize == PATH - 1 {
                    (kind, began) = (Some(AnomalyKind::Shift), row.began);
                    (row.since, row.surprises) = (0, 0.0);
                } else {
                    row.since += 1;
                }
            }
            None if surprising => {
                (row.since, row.jump, row.unit, row.began) = (1, value - point, unit, score);
            }
            None => {}
        }
        AnomalyScore { score, kind, began }
    }

    /// Notes the newest forecast, the nearest lead first. Call it after each step, also one whose value
    /// was missing.
    pub fn expect(&mut self, slot: usize, target: usize, points: &[f32]) {
        let row = &mut self.rows[slot * self.targets + target];
        if row.since == 0 {
            let furthest = points.last().copied().unwrap_or(f32::NAN);
            row.path = std::array::from_fn(|i| points.get(i).copied().unwrap_or(furthest));
        }
    }

    /// Raises all that is kept of a target by `by`, after its anchor moved.
    pub fn shift(&mut self, slot: usize, target: usize, by: f32) {
        self.rows[slot * self.targets + target].path.iter_mut().for_each(|expected| *expected += by);
    }

    /// A step whose value is missing. Call it before [`Self::expect`].
    pub fn miss(&mut self, slot: usize, target: usize) {
        let row = &mut self.rows[slot * self.targets + target];
        if row.since > 0 {
            row.since = if row.since as usize + 1 < PATH { row.since + 1 } else { 0 };
        }
    }

    /// A gap so long that earlier expectations no longer count.
    pub fn interrupt(&mut self, slot: usize) {
        for row in &mut self.rows[slot * self.targets..][..self.targets] {
            (row.since, row.surprises) = (0, 0.0);
        }
    }

    /// Appends the state that is pooled over series.
    pub fn save_pooled(&self, out: &mut Vec<u8>) {
        put(out, &[self.pooled]);
    }

    /// Reads what [`Self::save_pooled`] wrote.
    ///
    /// # Errors
    /// [`Damaged`] when it ends too early.
    pub fn load_pooled(&mut self, from: &mut Take<'_>) -> Result<(), Damaged> {
        self.pooled = from.one()?;
        Ok(())
    }
}

impl AnomalyState {
    /// What was expected of this step before the event, if there is one.
    fn expected(&self) -> Option<f32> {
        let at = self.path.get(self.since as usize)?;
        (self.since > 0 && at.is_finite()).then_some(*at)
    }
}

/// −ln of the probability of a score at least as far out, on either side.
fn surprise(z: f32) -> f32 {
    -(ln_normal_upper(f64::from(z.abs())) + std::f64::consts::LN_2) as f32
}

impl Rows for Anomalies {
    fn grow(&mut self, slots: usize) {
        lengthen(&mut self.rows, slots * self.targets, AnomalyState::zeroed());
    }

    fn reset(&mut self, slot: usize) {
        self.rows[slot * self.targets..][..self.targets].fill(AnomalyState::zeroed());
    }

    fn save(&self, slot: usize, out: &mut Vec<u8>) {
        put(out, &self.rows[slot * self.targets..][..self.targets]);
    }

    fn load(&mut self, slot: usize, row: &mut Take<'_>) -> Result<(), Damaged> {
        row.fill(&mut self.rows[slot * self.targets..][..self.targets])
    }

    fn memory(&self) -> usize {
        self.rows.capacity() * size_of::<AnomalyState>()
    }
}
