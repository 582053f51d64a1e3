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
/// How fast the share of outliers follows them, and the share from which on they are what the series does: one
/// in 20.
const SHARE_RATE: f32 = 0.02;
const USUAL_SHARE: f32 = 0.04;
/// Then one is believed that lies no further away than so many times the one before it.
const USUAL_REACH: f32 = 4.0;
/// How fast shifts are forgotten: half of one in 700 readings. A level that is about as far away is no other shift
/// while so much is left of one: what comes and goes is a pattern to learn.
const SHIFTS_LEFT: f32 = 0.999;
const SHIFTS: f32 = 0.5;
/// A step is that of a season ago within this share of the distance from the forecast.
const SAME_STEP: f32 = 0.5;
/// An outlier counts for the interval's width. It counts for less the further away it lies, and from so many
/// widths on for this share of one.
const FURTHEST: f32 = 4.0;
const COUNTS: f32 = 0.5;

/// What is believed of a reading. The words are those of Chen and Liu (1993), "Joint Estimation of Model
/// Parameters and Outlier Effects in Time Series"; the clip is that of Gelper, Fried and Croux (2010),
/// "Robust Forecasting with Exponential and Holt-Winters Smoothing", made to fall again as Hampel's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Belief {
    /// The reading as it is.
    Accepted,
    /// An additive outlier: no more of it than this.
    Clipped(f32),
    /// A level shift: the series goes on as expected, at another level.
    LevelShift,
    /// A level shift that takes the last one back, and what is believed of the reading at the former level.
    LevelReturn(f32),
}

/// A target of a reading, in the two ways in which it is learnt from.
#[derive(Clone, Copy, Debug)]
pub struct Actual {
    /// As it is held from now on.
    pub held: f32,
    /// What is believed of it.
    pub believed: f32,
}

impl Actual {
    /// One that is believed.
    pub fn accepted(value: f32) -> Self {
        Self { held: value, believed: value }
    }
}

/// What was known of a reading before it came, all as it is held.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Its forecast; not a number where there was none.
    pub point: f32,
    /// The width of the interval around it.
    pub width: f32,
    /// The reading, or the end of where the series has been lately that lies next to it.
    pub nearest: f32,
    /// How the reading would be held if the last level shift were taken back, and by how much higher that is.
    pub former: Option<[f32; 2]>,
    /// Readings of the series before it.
    pub readings: u32,
}

/// Which readings are believed, so that a single wild one harms neither states nor forecasts, and a second
/// one that agrees with it is a new level. `docs/architecture.md` has the rules as a table. Of three readings in
/// a row one is believed, whatever they are, so no series is ever stuck.
///
/// O(1) memory and time per series and target.
#[derive(Debug)]
pub struct OutlierFilter {
    targets: usize,
    /// `[slots, targets]`
    rows: Vec<OutlierState>,
}

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct OutlierState {
    /// The newest outlier, and how far it lay from its forecast.
    doubted: f32,
    distance: f32,
    /// What was believed last.
    last: f32,
    /// How large the last shift was.
    shift: f32,
    /// Shifts lately.
    shifts: f32,
    /// The share of outliers lately.
    share: f32,
    /// Readings since the last shift, saturating.
    since_shift: u16,
    /// OutlierFilter in a row.
    in_a_row: u8,
    /// Readings that are still taken as they are.
    trusted: u8,
}

impl OutlierFilter {
    pub fn new(targets: usize) -> Self {
        Self { targets, rows: Vec::new() }
    }

    /// Judges a reading; `stepped_before` says whether the series made its step a season ago, to within a
    /// distance.
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
        // The first reading at another level was no outlier.
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

    /// What was believed of a target last.
    pub fn last(&self, slot: usize, target: usize) -> f32 {
        self.rows[slot * self.targets + target].last
    }

    /// A series goes on after a break that nothing fills: what was doubted before it confirms nothing.
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
            // The first after a break: nothing is known but where the series was before it.
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

/// A value as far from the forecast as an outlier counts; one within the interval's width as it is.
fn clipped(value: f32, expected: &Expected) -> f32 {
    let distance = value - expected.point;
    if distance.abs() <= expected.width {
        return value;
    }
    // Without a width everything lies at the far end.
    let beyond = ((distance.abs() / expected.width - 1.0) / (FURTHEST - 1.0)).clamp(0.0, 1.0);
    let most = (1.0 - beyond * (1.0 - COUNTS)) * expected.width;
    expected.point + distance.clamp(-most, most)
}

impl Rows for OutlierFilter {
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
    fn one_is_doubted_and_a_second_that_agrees_is_a_shift() {
        let mut outliers = outliers();
        assert_eq!(judge(&mut outliers, 0.9), Belief::Accepted);
        assert_eq!(judge(&mut outliers, 100.0), Belief::Clipped(0.5));
        assert_eq!(judge(&mut outliers, 0.0), Belief::Accepted);
        assert_eq!(judge(&mut outliers, 100.0), Belief::Clipped(0.5));
        assert_eq!(judge(&mut outliers, 90.0), Belief::LevelShift);
    }

    #[test]
    fn where_a_series_has_been_the_second_is_believed_as_it_is() {
        let mut outliers = outliers();
        assert!(matches!(judge(&mut outliers, 4.0), Belief::Clipped(_)));
        assert_eq!(judge(&mut outliers, 3.5), Belief::Accepted);
    }

    #[test]
    fn of_three_in_a_row_one_is_believed() {
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
            "near it, and wild"
        );
        assert!(matches!(judge(&mut outliers, 100.0), Belief::Clipped(_)), "and then one is doubted again");
    }

    #[test]
    fn what_comes_and_goes_is_a_pattern_the_second_time() {
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
    fn a_step_of_a_season_ago_is_believed_alone() {
        let mut outliers = outliers();
        assert_eq!(
            outliers.judge(0, 0, 100.0, &expected(100.0, 1.0), |distance| distance > 40.0),
            Belief::Accepted
        );
    }

    #[test]
    fn what_comes_again_and_again_is_what_the_series_does() {
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
    fn after_a_break_a_level_that_is_new_is_doubted_once() {
        let mut outliers = outliers();
        let alone = |value| Expected { point: f32::NAN, ..expected(value, 1.0) };
        assert_eq!(outliers.judge(0, 0, 4.0, &alone(4.0), |_| false), Belief::Accepted);
        outliers.interrupt(0);
        assert_eq!(outliers.judge(0, 0, 90.0, &alone(90.0), |_| false), Belief::Clipped(5.0));
        assert_eq!(judge(&mut outliers, 91.0), Belief::LevelShift);
    }
}
