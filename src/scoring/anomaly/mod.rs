use super::NormalScore;
use crate::domain::{AnomalyKind, AnomalyScore, Damaged, Levels, Rows, Take, ln_normal_upper, put};
use bytemuck::{Pod, Zeroable};

mod tail;
#[cfg(test)]
mod tests;

use tail::{HUNDREDTH, OwnTail, PooledTail};

/// Readings of a series before its scores mean something.
const YOUNG: u32 = 16;
/// So many steps of a forecast are kept to tell a spike from a shift.
const PATH: usize = 4;
/// A shift holds at least this share of its first jump.
const HELD: f32 = 0.5;
/// What is left of a count of surprises after a reading; and how much makes a streak: three of five.
const FADE: f32 = 0.8;
const STREAK: f32 = 2.3;

/// A forecast at lead 1 whose target has arrived.
#[derive(Clone, Copy, Debug)]
pub struct MaturedForecast<'a> {
    pub value: f32,
    /// The median.
    pub point: f32,
    /// Stands for sides that have no level; a standard deviation.
    pub deviation: f32,
    /// The calibrated quantiles, ascending. `[levels]`
    pub bounds: &'a [f32],
}

/// How surprising readings are, from the calibrated forecast at lead 1.
///
/// A reading's place among the quantiles is its place in a normal distribution; the chance to lie at
/// least as far out, on either side, is its p-value. What lies beyond the outermost quantiles is a tail
/// that nobody has calibrated yet: the places of one reading in ten and of one in a hundred are tracked
/// per series, that of one in a thousand over all series (`tail.rs`). So of calm readings 1 %
/// score above 0.99, whatever their tails.
///
/// A reading right after a surprise is held against what was expected before it, too, and the better
/// explanation counts: a forecast that ran after a spike makes no second one. A series that stays where
/// it jumped to has shifted.
///
/// O(1) memory and time per series and target.
#[derive(Debug)]
pub struct Anomalies {
    targets: usize,
    standing: NormalScore,
    pooled: PooledTail,
    /// `[slots, targets]`
    rows: Vec<AnomalyState>,
}

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct AnomalyState {
    tail: OwnTail,
    /// What the newest forecast from before the event says of the next steps; its first is that of the
    /// event's own reading.
    path: [f32; PATH],
    /// Readings since the event began; 0 when there is none.
    since: u32,
    /// How far the event's reading lay from what was expected, the deviation there, and its score.
    jump: f32,
    unit: f32,
    began: f32,
    /// A fading count of surprises.
    surprises: f32,
}

impl Anomalies {
    /// `levels`: those of the bounds.
    pub fn new(targets: usize, levels: &Levels) -> Self {
        Self { targets, standing: NormalScore::new(levels), pooled: PooledTail::new(), rows: Vec::new() }
    }

    /// Judges what has arrived, and learns from it; nothing of what is not a number.
    pub fn judge(&mut self, slot: usize, target: usize, arrived: MaturedForecast<'_>) -> AnomalyScore {
        let MaturedForecast { value, point, deviation, bounds } = arrived;
        if !(value - point).is_finite() {
            return AnomalyScore::default();
        }
        let standing = self.standing.of(value, point, deviation, bounds);
        let unit = self.standing.deviation(point, deviation, bounds);
        let row = &mut self.rows[slot * self.targets + target];
        if row.tail.seen() == 0 {
            row.tail.start(&self.pooled);
        }
        let raw = surprise(standing);
        let expected_before = row.expected();
        let explained = match expected_before {
            Some(before) => {
                let far = (row.unit * (row.since as f32 + 1.0).sqrt()).max(f32::MIN_POSITIVE);
                raw.min(surprise(((value - before) / far).clamp(-40.0, 40.0)))
            }
            None => raw,
        };
        let calibrated = row.tail.calibrated(&self.pooled, explained);
        // Of what follows a surprise nothing is learnt: a streak is one surprise.
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

    /// Notes what has just been forecast of the next steps, the nearest first: after each step, also
    /// one whose value was missing.
    pub fn expect(&mut self, slot: usize, target: usize, points: &[f32]) {
        let row = &mut self.rows[slot * self.targets + target];
        if row.since == 0 {
            let furthest = points.last().copied().unwrap_or(f32::NAN);
            row.path = std::array::from_fn(|i| points.get(i).copied().unwrap_or(furthest));
        }
    }

    /// Everything of a target is held higher by this from now on.
    pub fn shift(&mut self, slot: usize, target: usize, by: f32) {
        self.rows[slot * self.targets + target].path.iter_mut().for_each(|expected| *expected += by);
    }

    /// A step whose value is missing: before [`Self::expect`].
    pub fn miss(&mut self, slot: usize, target: usize) {
        let row = &mut self.rows[slot * self.targets + target];
        if row.since > 0 {
            row.since = if row.since as usize + 1 < PATH { row.since + 1 } else { 0 };
        }
    }

    /// A gap so long that nothing of what was expected counts any more.
    pub fn interrupt(&mut self, slot: usize) {
        for row in &mut self.rows[slot * self.targets..][..self.targets] {
            (row.since, row.surprises) = (0, 0.0);
        }
    }

    /// Appends what is pooled over series.
    pub fn save_pooled(&self, out: &mut Vec<u8>) {
        put(out, &[self.pooled]);
    }

    /// Takes back what [`Self::save_pooled`] has written.
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

/// −ln of the chance to stand at least so far out, on either side.
fn surprise(standing: f32) -> f32 {
    -(ln_normal_upper(f64::from(standing.abs())) + std::f64::consts::LN_2) as f32
}

impl Rows for Anomalies {
    fn grow(&mut self, slots: usize) {
        self.rows.resize(slots * self.targets, AnomalyState::zeroed());
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
