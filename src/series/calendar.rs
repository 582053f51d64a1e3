use crate::config;
use crate::domain::Grid;
use std::f32::consts::TAU;
use std::ops::Range;

/// How many cells' features are kept; a power of two.
const CACHE: usize = 4_096;

const QUARTER_US: i64 = 900_000_000;

const DAY_HARMONICS: usize = 4;
const WEEK_HARMONICS: usize = 4;
const DAY_TYPE_HARMONICS: usize = 3;
const YEAR_HARMONICS: usize = 2;

/// Calendar features of a cell in the stream's time zone, as RECIPE has them: harmonics of the day
/// and of the week, whether it and the next day are weekend, each of these times harmonics of the
/// day; harmonics of the year. In [-1, 1].
#[derive(Debug)]
pub struct Calendar {
    which: config::Calendar,
    grid: Grid,
    zone: jiff::tz::TimeZone,
    width: usize,
    /// Direct-mapped by cell. `[CACHE, width]`
    rows: Vec<f32>,
    cells: Vec<Option<i64>>,
    /// What the zone adds to UTC, in steps, and from which cell to which that holds.
    ahead: i64,
    holds: Range<i64>,
}

impl Calendar {
    pub fn new(which: config::Calendar, grid: Grid, zone: jiff::tz::TimeZone) -> Self {
        let width = width(which);
        let (rows, cells) = if width == 0 { (0, 0) } else { (CACHE * width, CACHE) };
        Self {
            which,
            grid,
            zone,
            width,
            rows: vec![0.0; rows],
            cells: vec![None; cells],
            ahead: 0,
            holds: 0..0,
        }
    }

    pub fn width(&self) -> usize {
        self.width
    }

    /// The cell that a cell has by the local clock: what seasons are counted by. On an irregular stream
    /// it is the cell itself.
    pub fn clock(&mut self, cell: i64) -> i64 {
        let Some(interval) = self.grid.interval() else { return cell };
        if !self.holds.contains(&cell) {
            let at = jiff::Timestamp::from(self.grid.start_of(cell));
            let ahead_us = i64::from(self.zone.to_offset(at).seconds()) * 1_000_000;
            self.ahead = ahead_us.div_euclid(interval.as_micros());
            // Offsets change at quarters of an hour, and seldom.
            let cells = (QUARTER_US / interval.as_micros()).max(1);
            let first = cell.div_euclid(cells) * cells;
            self.holds = first..first + cells;
        }
        cell + self.ahead
    }

    /// The features of a cell. `[width]`
    pub fn features(&mut self, cell: i64) -> &[f32] {
        if self.width == 0 {
            return &[];
        }
        let at = cell.rem_euclid(CACHE as i64) as usize;
        let row = &mut self.rows[at * self.width..][..self.width];
        if self.cells[at] != Some(cell) {
            let time = jiff::Timestamp::from(self.grid.start_of(cell)).to_zoned(self.zone.clone());
            fill(self.which, &time, row);
            self.cells[at] = Some(cell);
        }
        row
    }
}

fn width(which: config::Calendar) -> usize {
    let day = if which.day { 2 * DAY_HARMONICS } else { 0 };
    let week = if which.week { 2 * WEEK_HARMONICS.min(if which.day { 4 } else { 3 }) + 2 } else { 0 };
    let both = if which.day && which.week { 2 * 2 * DAY_TYPE_HARMONICS } else { 0 };
    day + week + both + if which.year { 2 * YEAR_HARMONICS } else { 0 }
}

fn fill(which: config::Calendar, time: &jiff::Zoned, row: &mut [f32]) {
    let mut rest = row.iter_mut();
    let mut put = |value: f32| *rest.next().expect("width() counts what is put") = value;
    let day = (time.hour() as f32 * 3_600.0 + time.minute() as f32 * 60.0 + time.second() as f32) / 86_400.0;
    let weekday = time.weekday().to_monday_zero_offset();
    let harmonic = |phase: f32, k: usize| {
        let (sin, cos) = (TAU * phase * k as f32).sin_cos();
        [sin, cos]
    };
    if which.day {
        (1..=DAY_HARMONICS).flat_map(|k| harmonic(day, k)).for_each(&mut put);
    }
    if which.week {
        let week = (weekday as f32 + day) / 7.0;
        let harmonics = WEEK_HARMONICS.min(if which.day { 4 } else { 3 });
        (1..=harmonics).flat_map(|k| harmonic(week, k)).for_each(&mut put);
        let weekend = [weekday >= 5, weekday == 4 || weekday == 5].map(|w| if w { 1.0 } else { 0.0 });
        weekend.into_iter().for_each(&mut put);
        if which.day {
            for flag in weekend {
                (1..=DAY_TYPE_HARMONICS).flat_map(|k| harmonic(day, k)).for_each(|v| put(flag * v));
            }
        }
    }
    if which.year {
        let year = (f32::from(time.day_of_year()) - 1.0 + day) / 365.25;
        (1..=YEAR_HARMONICS).flat_map(|k| harmonic(year, k)).for_each(&mut put);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventTime, Interval};
    use std::time::Duration;

    #[test]
    fn the_hour_of_the_day_is_local_across_a_change_of_clocks() {
        let grid = Grid::Fixed(Interval::new(Duration::from_secs(3600)).unwrap());
        let which = config::Calendar { day: true, week: true, year: true };
        let zone = jiff::tz::TimeZone::get("Europe/Paris").unwrap();
        let mut calendar = Calendar::new(which, grid, zone);
        assert_eq!(calendar.width(), 30 + 4);
        let cell = |utc: &str| {
            let t: jiff::Timestamp = utc.parse().unwrap();
            grid.cell(EventTime::from_micros(t.as_microsecond()).unwrap())
        };
        // Noon in Paris is 11:00 UTC in winter and 10:00 UTC in summer.
        let winter = calendar.features(cell("2024-03-30T11:00:00Z"))[..8].to_vec();
        let summer = calendar.features(cell("2024-03-31T10:00:00Z"))[..8].to_vec();
        assert_eq!(winter, summer);
        let noons =
            ["2024-03-30T11:00:00Z", "2024-03-31T10:00:00Z", "2024-10-26T10:00:00Z", "2024-10-27T11:00:00Z"];
        for noon in noons {
            assert_eq!(calendar.clock(cell(noon)).rem_euclid(24), 12, "{noon}");
        }
        // 2024-03-30 was a Saturday: weekend today and tomorrow; the 31st today alone.
        assert_eq!(calendar.features(cell("2024-03-30T11:00:00Z"))[16..18], [1.0, 1.0]);
        assert_eq!(calendar.features(cell("2024-03-31T10:00:00Z"))[16..18], [1.0, 0.0]);
        assert_eq!(calendar.features(cell("2024-03-29T10:00:00Z"))[16..18], [0.0, 1.0]);
    }
}
