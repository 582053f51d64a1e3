use crate::domain::{Damaged, Rows, Take, lengthen, put};
use bytemuck::{Pod, Zeroable};

/// The first readings of a series are accepted as they are, up to this many.
const YOUNG: u32 = 8;
/// After a level shift, this many readings are accepted as they are: the series is young again.
const TRUSTED: u8 = 8;
/// They are accepted up to a distance of this many times the shift.
const TRUSTED_REACH: f32 = 4.0;
/// A series that returns to its former level within this many readings is accepted there at once.
const BACK: u16 = 8;
/// A level counts as the former one within this share of the shift.
const BACK_SHARE: f32 = 0.25;
/// Two readings agree when they lie closer to each other than this share of their distance from the
/// forecast.
const AGREE: f32 = 0.75;
/// The number of outliers in a row of which the last is accepted in any case.
const MOST: u8 = 3;
/// The rate at which the share of outliers is learnt.
const SHARE_RATE: f32 = 0.02;
/// From this share of outliers on, about one in 20, they are normal for the series.
const USUAL_SHARE: f32 = 0.04;
/// Then an outlier is accepted that lies no further away than this many times the one before it.
const USUAL_REACH: f32 = 4.0;
/// The factor by which the count of shifts fades at each reading: half of a shift is left after 700
/// readings.
const SHIFTS_LEFT: f32 = 0.999;
/// While more than this is left of a shift, a level about as far away is not a new shift: a level that
/// comes and goes is a pattern to learn.
const SHIFTS: f32 = 0.5;
/// A step equals that of a season ago within this share of the distance from the forecast.
const SAME_STEP: f32 = 0.5;
/// An outlier counts as one width of the interval. The weight falls with the distance; from this many
/// widths on it is [`COUNTS`].
const FURTHEST: f32 = 4.0;
const COUNTS: f32 = 0.5;

/// The verdict on a reading. The terms are those of Chen and Liu (1993), "Joint estimation of model
/// parameters and outlier effects in time series". The clip is that of Gelper, Fried and Croux (2010),
/// "Robust forecasting with exponential and Holt-Winters smoothing", changed so that it falls again with
/// the distance, as Hampel's does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Belief {
    /// The reading is accepted as it is.
    Accepted,
    /// An additive outlier. The value is the part of it that is accepted.
    Clipped(f32),
    /// A level shift: the series goes on as expected, at another level.
    LevelShift,
    /// A level shift that takes the last one back. The value is the accepted one, at the former level.
    LevelReturn(f32),
}

/// A target of a reading, in the two forms that are learnt from.
#[derive(Clone, Copy, Debug)]
pub struct Actual {
    /// The value as it is held from now on, relative to the anchor of its series.
    pub held: f32,
    /// The accepted value.
    pub believed: f32,
}

impl Actual {
    /// A reading that is accepted as it is.
    pub fn accepted(value: f32) -> Self {
        Self { held: value, believed: value }
    }
}

/// What was known of a reading before it arrived. All values are relative to the anchor of the series.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// The forecast of the reading; NaN where there was none.
    pub point: f32,
    /// The width of the interval around it.
    pub width: f32,
    /// The reading, limited to the range in which the series has been lately.
    pub nearest: f32,
    /// The value of the reading if the last level shift were taken back, and the height of that shift.
    pub former: Option<[f32; 2]>,
    /// Readings of the series before it.
    pub readings: u32,
}

/// Decides which readings are accepted. A single wild reading harms neither states nor forecasts, and a
/// second one that agrees with it is a new level.
///
/// ```text
/// d = y − ŷ, w the width of the interval
/// |d| ≤ w    accepted: d
/// |d| > w    clipped to ±w·(1 − ½·min((|d|/w − 1)/3, 1))
/// ```
///
/// The rules by which an outlier is accepted after all stand as a table in `docs/engine.md`. Of three outliers in
/// a row the last is accepted in any case, so no series is ever stuck.
///
/// Memory and time are O(1) for each series and target.
#[derive(Debug)]
pub struct OutlierFilter {
    targets: usize,
    /// `[slots, targets]`
    rows: Vec<OutlierState>,
}

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct OutlierState {
    /// The newest outlier, and its distance from the forecast.
    doubted: f32,
    distance: f32,
    /// The value that was accepted last.
    last: f32,
    /// The size of the last shift.
    shift: f32,
    /// A fading count of shifts.
    shifts: f32,
    /// The recent share of outliers.
    share: f32,
    /// Readings since the last shift, saturating.
    since_shift: u16,
    /// Outliers in a row.
    in_a_row: u8,
    /// Readings that are still accepted as they are.
    trusted: u8,
}

impl OutlierFilter {
    pub fn new(targets: usize) -> Self {
        Self { targets, rows: Vec::new() }
    }

    /// Judges a reading. `stepped_before`: whether the series made the same step a season ago, to within
    /// a distance.
    pub fn judge(
        &mut self,
        slot: usize,
        target: usize,
        value: f32,
        expected: &Expected,
        stepped_before: impl FnOnce(f32) -> bool,
    ) -> Belief {
        let row = &mut self.rows[slot * self.targets + target];
        let belief = row.judge(value, expected, stepped_before);
        let far = (value - expected.point).abs();
        // The first reading at the new level counted as an outlier and was none.
        let outliers = match belief {
            Belief::Clipped(_) => 1.0,
            Belief::Accepted => f32::from(u8::from(far > expected.width && row.trusted == 0)),
            Belief::LevelShift | Belief::LevelReturn(_) => -f32::from(row.in_a_row),
        };
        row.share = (row.share + SHARE_RATE * (outliers - row.share)).max(0.0);
        row.shifts *= SHIFTS_LEFT;
        row.since_shift = row.since_shift.saturating_add(1);
        row.trusted = row.trusted.saturating_sub(1);
        match belief {
            Belief::Accepted => (row.in_a_row, row.last) = (0, value),
            Belief::Clipped(believed) => {
                (row.in_a_row, row.doubted, row.last) = (row.in_a_row.saturating_add(1), value, believed);
                row.distance = if far.is_finite() { far } else { (value - believed).abs() };
            }
            Belief::LevelShift => {
                (row.in_a_row, row.last, row.shift) = (0, expected.point, far);
                (row.since_shift, row.trusted, row.shifts) = (0, TRUSTED, row.shifts + 1.0);
            }
            Belief::LevelReturn(believed) => {
                (row.in_a_row, row.last) = (0, believed);
                (row.since_shift, row.trusted) = (u16::MAX, 0);
            }
        }
        belief
    }

    /// The value of a target that was accepted last.
    pub fn last(&self, slot: usize, target: usize) -> f32 {
        self.rows[slot * self.targets + target].last
    }

    /// Marks a break that nothing fills: an outlier before it confirms nothing after it.
    pub fn interrupt(&mut self, slot: usize) {
        for row in &mut self.rows[slot * self.targets..][..self.targets] {
            (row.in_a_row, row.since_shift, row.trusted) = (0, u16::MAX, 0);
        }
    }
}

impl OutlierState {
    fn judge(&self, value: f32, expected: &Expected, stepped_before: impl FnOnce(f32) -> bool) -> Belief {
        let Expected { point, nearest, .. } = *expected;
        if expected.readings < YOUNG {
            return Belief::Accepted;
        }
        let is_new = nearest != value;
        if !point.is_finite() {
            // The first reading after a break: only the range before it is known.
            return if is_new { Belief::Clipped(nearest) } else { Belief::Accepted };
        }
        let far = (value - point).abs();
        if far <= expected.width {
            return Belief::Accepted;
        }
        let back = expected.former.filter(|[former, by]| (former - point).abs() <= BACK_SHARE * by.abs());
        let back = back.map(|[former, _]| Belief::LevelReturn(clipped(former, expected)));
        if let Some(back) = back
            && self.since_shift < BACK
        {
            return back;
        }
        if self.trusted > 0 && far <= TRUSTED_REACH * self.shift {
            return Belief::Accepted;
        }
        let agrees = self.in_a_row > 0 && (value - self.doubted).abs() <= AGREE * far;
        if agrees || self.in_a_row + 1 >= MOST {
            let is_known = !is_new || (self.shifts > SHIFTS && far <= TRUSTED_REACH * self.shift);
            return if is_known { Belief::Accepted } else { back.unwrap_or(Belief::LevelShift) };
        }
        let is_usual = self.share > USUAL_SHARE && far <= USUAL_REACH * self.distance;
        if is_usual || stepped_before(SAME_STEP * far) {
            return Belief::Accepted;
        }
        Belief::Clipped(clipped(value, expected))
    }
}

/// Clips a value around the forecast; a value within the width of the interval stays as it is.
fn clipped(value: f32, expected: &Expected) -> f32 {
    let distance = value - expected.point;
    if distance.abs() <= expected.width {
        return value;
    }
    // Without a width every distance is the largest.
    let beyond = ((distance.abs() / expected.width - 1.0) / (FURTHEST - 1.0)).clamp(0.0, 1.0);
    let most = (1.0 - beyond * (1.0 - COUNTS)) * expected.width;
    expected.point + distance.clamp(-most, most)
}

impl Rows for OutlierFilter {
    fn grow(&mut self, slots: usize) {
        lengthen(&mut self.rows, slots * self.targets, UNSEEN);
    }

    fn reset(&mut self, slot: usize) {
        self.rows[slot * self.targets..][..self.targets].fill(UNSEEN);
    }

    fn save(&self, slot: usize, out: &mut Vec<u8>) {
        put(out, &self.rows[slot * self.targets..][..self.targets]);
    }

    fn load(&mut self, slot: usize, row: &mut Take<'_>) -> Result<(), Damaged> {
        row.fill(&mut self.rows[slot * self.targets..][..self.targets])
    }

    fn memory(&self) -> usize {
        self.rows.capacity() * size_of::<OutlierState>()
    }
}

const UNSEEN: OutlierState = OutlierState {
    doubted: 0.0,
    distance: 0.0,
    last: 0.0,
    shift: 0.0,
    shifts: 0.0,
    share: 0.0,
    since_shift: u16::MAX,
    in_a_row: 0,
    trusted: 0,
};

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(value: f32, width: f32) -> Expected {
        Expected { point: 0.0, width, nearest: value.clamp(-5.0, 5.0), former: None, readings: 100 }
    }

    fn judge(outliers: &mut OutlierFilter, value: f32) -> Belief {
        outliers.judge(0, 0, value, &expected(value, 1.0), |_| false)
    }

    fn outliers() -> OutlierFilter {
        let mut outliers = OutlierFilter::new(1);
        outliers.grow(1);
        outliers
    }

    #[test]
    fn one_outlier_is_clipped_and_a_second_that_agrees_is_a_shift() {
        let mut outliers = outliers();
        assert_eq!(judge(&mut outliers, 0.9), Belief::Accepted);
        assert_eq!(judge(&mut outliers, 100.0), Belief::Clipped(0.5));
        assert_eq!(judge(&mut outliers, 0.0), Belief::Accepted);
        assert_eq!(judge(&mut outliers, 100.0), Belief::Clipped(0.5));
        assert_eq!(judge(&mut outliers, 90.0), Belief::LevelShift);
    }

    #[test]
    fn a_second_outlier_in_the_known_range_is_accepted() {
        let mut outliers = outliers();
        assert!(matches!(judge(&mut outliers, 4.0), Belief::Clipped(_)));
        assert_eq!(judge(&mut outliers, 3.5), Belief::Accepted);
    }

    #[test]
    fn one_of_three_outliers_in_a_row_is_accepted() {
        let mut outliers = outliers();
        assert!(matches!(judge(&mut outliers, 1e15), Belief::Clipped(_)));
        assert!(matches!(judge(&mut outliers, -1e3), Belief::Clipped(_)));
        assert_eq!(judge(&mut outliers, 1e9), Belief::LevelShift);
    }

    #[test]
    fn a_shift_is_taken_back_at_once() {
        let mut outliers = outliers();
        judge(&mut outliers, 100.0);
        judge(&mut outliers, 100.0);
        let back = |former: f32| Expected { former: Some([former, 100.0]), ..expected(-99.0, 1.0) };
        let mut other = OutlierFilter { rows: outliers.rows.clone(), ..OutlierFilter::new(1) };
        assert_eq!(outliers.judge(0, 0, -99.2, &back(0.8), |_| false), Belief::LevelReturn(0.8));
        assert_eq!(
            other.judge(0, 0, -80.0, &back(20.0), |_| false),
            Belief::LevelReturn(0.5),
            "near the former level, and clipped"
        );
        assert!(
            matches!(judge(&mut outliers, 100.0), Belief::Clipped(_)),
            "and then an outlier is clipped again"
        );
    }

    #[test]
    fn a_level_that_comes_and_goes_is_a_pattern_the_second_time() {
        let mut outliers = outliers();
        let mut shifts = Vec::new();
        for i in 0..100 {
            let (value, former) = if i % 20 < 5 { (100.0, None) } else { (0.0, Some([0.0, -100.0])) };
            let expected = Expected { former, ..expected(value, 1.0) };
            if outliers.judge(0, 0, value, &expected, |_| false) == Belief::LevelShift {
                shifts.push(i);
            }
        }
        assert_eq!(shifts, [1]);
    }

    #[test]
    fn a_step_of_a_season_ago_is_accepted_at_once() {
        let mut outliers = outliers();
        assert_eq!(
            outliers.judge(0, 0, 100.0, &expected(100.0, 1.0), |distance| distance > 40.0),
            Belief::Accepted
        );
    }

    #[test]
    fn recurring_outliers_are_accepted() {
        let mut outliers = outliers();
        let mut believed = Vec::new();
        for i in 0..200 {
            let value = if i % 12 == 0 { 10.0 } else { 0.0 };
            if judge(&mut outliers, value) == Belief::Accepted && value > 0.0 {
                believed.push(i);
            }
        }
        assert_eq!(believed[0], 48, "the fifth");
        assert_eq!(believed.len(), 13);
        assert!(matches!(judge(&mut outliers, 1e6), Belief::Clipped(_)), "not whatever comes");
    }

    #[test]
    fn after_a_break_a_new_level_is_clipped_once() {
        let mut outliers = outliers();
        let alone = |value| Expected { point: f32::NAN, ..expected(value, 1.0) };
        assert_eq!(outliers.judge(0, 0, 4.0, &alone(4.0), |_| false), Belief::Accepted);
        outliers.interrupt(0);
        assert_eq!(outliers.judge(0, 0, 90.0, &alone(90.0), |_| false), Belief::Clipped(5.0));
        assert_eq!(judge(&mut outliers, 91.0), Belief::LevelShift);
    }
}
