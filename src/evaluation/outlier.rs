use crate::domain::{Damaged, Rows, Take, put};
use bytemuck::{Pod, Zeroable};

/// Readings of a series that are taken as they are, before anything is known of it.
const YOUNG: u32 = 8;
/// So many readings after a level shift are taken as they are: a series that has moved is young again.
const TRUSTED: u8 = 8;
/// As far as so many times the shift.
const TRUSTED_REACH: f32 = 4.0;
/// A series that goes back to its former level within so many readings is believed at once.
const BACK: u16 = 8;
/// A level is the former one within this share of the way to it.
const BACK_SHARE: f32 = 0.25;
/// Two readings agree when they lie closer to each other than this share of their distance from the
/// forecast.
const AGREE: f32 = 0.75;
/// The outliers in a row of which the last is believed, whether they agree or not.
const MOST: u8 = 3;
/// A step is that of a season ago within this share of the distance from the forecast.
const SAME_STEP: f32 = 0.5;
/// Of an outlier one interval's width counts, of one that lies further away less and less, and of one that
/// lies so many widths away, or further, this much of it.
const FURTHEST: f32 = 4.0;
const COUNTS: f32 = 0.5;

/// What is believed of a reading. The words are those of Chen and Liu (1993), "Joint Estimation of Model
/// Parameters and Outlier Effects in Time Series"; the clip is that of Gelper, Fried and Croux (2010),
/// "Robust Forecasting with Exponential and Holt-Winters Smoothing", made to fall again as Hampel's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Belief {
    /// The reading as it is.
    Whole,
    /// An additive outlier: no more of it than this.
    Clipped(f32),
    /// A level shift: the series goes on as expected, at another level.
    Shift,
    /// A level shift that takes the last one back.
    Back,
}

/// A target of a reading, in the three ways in which it is learnt from.
#[derive(Clone, Copy, Debug)]
pub struct Actual {
    /// As it was held when it was forecast.
    pub told: f32,
    /// As it is held from now on: another number only where it shifts the level.
    pub held: f32,
    /// What is believed of it.
    pub believed: f32,
}

impl Actual {
    /// One that is believed.
    pub fn whole(value: f32) -> Self {
        Self { told: value, held: value, believed: value }
    }
}

/// What was known of a reading before it came, all as it is held.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Its forecast; not a number where there was none.
    pub point: f32,
    /// The width of the interval around it.
    pub width: f32,
    /// Whether the reading lies where the series has not been lately.
    pub is_new: bool,
    /// By how much the reading would be held higher if the last level shift were taken back.
    pub back: Option<f32>,
    /// Readings of the series before it.
    pub readings: u32,
}

/// Which readings are believed, so that a single wild one harms neither states nor forecasts, and a second
/// one that agrees with it is a new level.
///
/// | the reading | what is believed |
/// | --- | --- |
/// | lies within its interval's width of the forecast | the reading |
/// | lies further away, alone | the forecast, moved towards it by the interval's width, or by half of it where it lies four widths away: [`Belief::Clipped`] |
/// | the same, and the series made the same step a season ago | the reading |
/// | the second in a row, and it agrees with the first; or the third in a row | the reading; where the series has not been lately it is a level shift: [`Belief::Shift`] |
/// | follows a shift within 8 readings, and lies where the series came from | the former level: [`Belief::Back`] |
/// | is among the first 8 of its series, or of the 8 after a shift | the reading |
///
/// So of three readings in a row one is believed, whatever they are, and no series is ever stuck.
/// O(1) memory and time per series and target.
#[derive(Debug)]
pub struct Outliers {
    targets: usize,
    /// `[slots, targets]`
    rows: Vec<Row>,
}

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Row {
    /// The newest outlier.
    doubted: f32,
    /// What was believed last.
    last: f32,
    /// How large the last shift was.
    shift: f32,
    /// Readings since then, saturating.
    since_shift: u16,
    /// Outliers in a row.
    in_a_row: u8,
    /// Readings that are still taken as they are.
    trusted: u8,
}

impl Outliers {
    pub fn new(targets: usize) -> Self {
        Self { targets, rows: Vec::new() }
    }

    /// Judges a reading; `stepped_before` says whether the series made its step a season ago, to within a distance.
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
        row.since_shift = row.since_shift.saturating_add(1);
        row.trusted = row.trusted.saturating_sub(1);
        match belief {
            Belief::Whole => (row.in_a_row, row.last) = (0, value),
            Belief::Clipped(believed) => {
                (row.in_a_row, row.doubted, row.last) = (row.in_a_row.saturating_add(1), value, believed);
            }
            Belief::Shift | Belief::Back => {
                *row = Row {
                    shift: (value - expected.point).abs(),
                    last: expected.point,
                    since_shift: if belief == Belief::Shift { 0 } else { u16::MAX },
                    trusted: TRUSTED,
                    ..Row::zeroed()
                };
            }
        }
        belief
    }

    /// What was believed of a target last.
    pub fn last(&self, slot: usize, target: usize) -> f32 {
        self.rows[slot * self.targets + target].last
    }

    /// A series goes on after a break that nothing fills: what was doubted before it confirms nothing.
    pub fn interrupt(&mut self, slot: usize) {
        for row in &mut self.rows[slot * self.targets..][..self.targets] {
            (row.in_a_row, row.since_shift) = (0, u16::MAX);
        }
    }
}

impl Row {
    fn judge(&self, value: f32, expected: &Expected, stepped_before: impl FnOnce(f32) -> bool) -> Belief {
        let distance = value - expected.point;
        let far = distance.abs();
        // A forecast that is not a number expects everything.
        if expected.readings < YOUNG || !(far > expected.width) {
            return Belief::Whole;
        }
        let is_back = expected.back.is_some_and(|back| (distance + back).abs() <= BACK_SHARE * back.abs());
        if is_back && self.since_shift <= BACK {
            return Belief::Back;
        }
        if self.trusted > 0 && far <= TRUSTED_REACH * self.shift {
            return Belief::Whole;
        }
        let agrees = self.in_a_row > 0 && (value - self.doubted).abs() <= AGREE * far;
        if agrees || self.in_a_row + 1 >= MOST {
            return match (expected.is_new, is_back) {
                (true, true) => Belief::Back,
                (true, false) => Belief::Shift,
                (false, _) => Belief::Whole,
            };
        }
        if stepped_before(SAME_STEP * far) {
            return Belief::Whole;
        }
        // Without a width everything lies at the far end.
        let beyond = ((far / expected.width - 1.0) / (FURTHEST - 1.0)).clamp(0.0, 1.0);
        let most = (1.0 - beyond * (1.0 - COUNTS)) * expected.width;
        Belief::Clipped(expected.point + distance.clamp(-most, most))
    }
}

impl Rows for Outliers {
    fn grow(&mut self, slots: usize) {
        self.rows.resize(slots * self.targets, UNSEEN);
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
        self.rows.capacity() * size_of::<Row>()
    }
}

const UNSEEN: Row =
    Row { doubted: 0.0, last: 0.0, shift: 0.0, since_shift: u16::MAX, in_a_row: 0, trusted: 0 };

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(value: f32, width: f32) -> Expected {
        Expected { point: 0.0, width, is_new: value.abs() > 5.0, back: None, readings: 100 }
    }

    fn judge(outliers: &mut Outliers, value: f32) -> Belief {
        outliers.judge(0, 0, value, &expected(value, 1.0), |_| false)
    }

    fn outliers() -> Outliers {
        let mut outliers = Outliers::new(1);
        outliers.grow(1);
        outliers
    }

    #[test]
    fn one_is_doubted_and_a_second_that_agrees_is_a_shift() {
        let mut outliers = outliers();
        assert_eq!(judge(&mut outliers, 0.9), Belief::Whole);
        assert_eq!(judge(&mut outliers, 100.0), Belief::Clipped(0.5));
        assert_eq!(judge(&mut outliers, 0.0), Belief::Whole);
        assert_eq!(judge(&mut outliers, 100.0), Belief::Clipped(0.5));
        assert_eq!(judge(&mut outliers, 90.0), Belief::Shift);
    }

    #[test]
    fn where_a_series_has_been_the_second_is_believed_as_it_is() {
        let mut outliers = outliers();
        assert!(matches!(judge(&mut outliers, 4.0), Belief::Clipped(_)));
        assert_eq!(judge(&mut outliers, 3.5), Belief::Whole);
    }

    #[test]
    fn of_three_in_a_row_one_is_believed() {
        let mut outliers = outliers();
        assert!(matches!(judge(&mut outliers, 1e15), Belief::Clipped(_)));
        assert!(matches!(judge(&mut outliers, -1e3), Belief::Clipped(_)));
        assert_eq!(judge(&mut outliers, 1e9), Belief::Shift);
    }

    #[test]
    fn a_shift_is_taken_back_at_once() {
        let mut outliers = outliers();
        judge(&mut outliers, 100.0);
        judge(&mut outliers, 100.0);
        let back = Expected { back: Some(100.0), ..expected(-99.0, 1.0) };
        assert_eq!(outliers.judge(0, 0, -99.0, &back, |_| false), Belief::Back);
    }

    #[test]
    fn a_step_of_a_season_ago_is_believed_alone() {
        let mut outliers = outliers();
        assert_eq!(
            outliers.judge(0, 0, 100.0, &expected(100.0, 1.0), |distance| distance > 40.0),
            Belief::Whole
        );
    }
}
