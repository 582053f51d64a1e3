use crate::config::{self, Holidays};
use crate::domain::Grid;
use jiff::civil::Date;
use std::f32::consts::TAU;
use std::ops::Range;

/// The number of cells whose features are cached; a power of two.
const CACHE: usize = 4_096;

const QUARTER_US: i64 = 900_000_000;
const DAY_US: i64 = 86_400_000_000;

const DAY_HARMONICS: usize = 4;
const WEEK_HARMONICS: usize = 4;
const DAY_TYPE_HARMONICS: usize = 3;
const YEAR_HARMONICS: usize = 2;

/// Calendar features of a cell in the time zone of the stream, in [−1, 1]:
///
/// | feature | values |
/// | --- | --- |
/// | harmonics of the day, of the week and of the year | `sin(2πkφ)`, `cos(2πkφ)`, φ the phase, k = 1, 2, … |
/// | whether the cell, and the next day, is weekend | 0 or 1 |
/// | each of these two times harmonics of the day | |
/// | whether the cell, and the next day, is a holiday | 0 or 1; a holiday counts as weekend too |
///
/// A cell of a day or more has the dates that most of it lies in, and no hour.
#[derive(Debug)]
pub struct Calendar {
    which: config::Calendar,
    grid: Grid,
    zone: jiff::tz::TimeZone,
    holidays: Holidays,
    width: usize,
    /// Direct-mapped by cell. `[CACHE, width]`
    rows: Vec<f32>,
    cells: Vec<Option<i64>>,
    /// The offset of the zone from UTC in steps, and the cells for which it holds.
    ahead: i64,
    holds: Range<i64>,
}

impl Calendar {
    pub fn new(which: config::Calendar, grid: Grid, zone: jiff::tz::TimeZone) -> Self {
        let mut calendar = Self {
            which,
            grid,
            zone,
            holidays: Holidays::default(),
            width: 0,
            rows: Vec::new(),
            cells: Vec::new(),
            ahead: 0,
            holds: 0..0,
        };
        calendar.make_room();
        calendar
    }

    /// Adds two features if there are any holidays.
    pub fn with_holidays(mut self, holidays: Holidays) -> Self {
        self.holidays = holidays;
        self.make_room();
        self
    }

    fn make_room(&mut self) {
        self.width = width(self.which) + if self.holidays.is_empty() { 0 } else { 2 };
        let cells = if self.width == 0 { 0 } else { CACHE };
        self.rows = vec![0.0; cells * self.width];
        self.cells = vec![None; cells];
    }

    /// The number of features.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The cell of a cell by the local clock, which seasons are counted by. On an irregular stream it is
    /// the cell itself.
    pub fn clock(&mut self, cell: i64) -> i64 {
        let Some(interval) = self.grid.interval() else { return cell };
        if !self.holds.contains(&cell) {
            let at = jiff::Timestamp::from(self.grid.start_of(cell));
            let ahead_us = i64::from(self.zone.to_offset(at).seconds()) * 1_000_000;
            self.ahead = ahead_us.div_euclid(interval.as_micros());
            // Offsets change only at quarters of an hour.
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
            let day = Day::of(self.grid, cell, &self.zone);
            fill(self.which, &day, &self.holidays, row);
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

/// The position of a cell among the local days.
struct Day {
    date: Date,
    /// The number of days it covers, at least one.
    days: i32,
    /// The share of the date that is over when the cell begins. In [0, 1)
    over: f32,
}

impl Day {
    fn of(grid: Grid, cell: i64, zone: &jiff::tz::TimeZone) -> Self {
        let start = grid.start_of(cell);
        let days = grid.interval().map_or(0, |interval| interval.as_micros() / DAY_US);
        if days > 0 {
            // Cells of a day begin at midnight UTC, which is still the day before west of Greenwich.
            let noon = jiff::Timestamp::from(start.offset_by(DAY_US / 2));
            return Self { date: zone.to_datetime(noon).date(), days: days as i32, over: 0.0 };
        }
        let local = zone.to_datetime(jiff::Timestamp::from(start));
        let seconds =
            f32::from(local.hour()) * 3_600.0 + f32::from(local.minute()) * 60.0 + f32::from(local.second());
        Self { date: local.date(), days: 1, over: seconds / 86_400.0 }
    }

    /// Whether one of these days is a holiday, and whether one of the same number of days that follow is.
    fn holidays(&self, holidays: &Holidays) -> [bool; 2] {
        let any = |from: i32| {
            (from..from + self.days).any(|ahead| {
                let date = self.date.checked_add(jiff::Span::new().days(ahead));
                date.is_ok_and(|date| holidays.contains(date))
            })
        };
        if holidays.is_empty() { [false; 2] } else { [any(0), any(self.days)] }
    }
}

fn fill(which: config::Calendar, day: &Day, holidays: &Holidays, row: &mut [f32]) {
    let mut rest = row.iter_mut();
    let mut put = |value: f32| *rest.next().expect("make_room() counts what is put") = value;
    let off = day.holidays(holidays);
    let weekday = day.date.weekday().to_monday_zero_offset();
    let (date, day) = (day.date, day.over);
    let harmonic = |phase: f32, k: usize| {
        let (sin, cos) = (TAU * phase * k as f32).sin_cos();
        [sin, cos]
    };
    if which.day {
        (1..=DAY_HARMONICS).flat_map(|k| harmonic(day, k)).for_each(&mut put);
    }
    if which.week {
        let week = (f32::from(weekday) + day) / 7.0;
        let harmonics = WEEK_HARMONICS.min(if which.day { 4 } else { 3 });
        (1..=harmonics).flat_map(|k| harmonic(week, k)).for_each(&mut put);
        let weekend = [weekday >= 5 || off[0], weekday == 4 || weekday == 5 || off[1]];
        let weekend = weekend.map(|w| if w { 1.0 } else { 0.0 });
        weekend.into_iter().for_each(&mut put);
        if which.day {
            for flag in weekend {
                (1..=DAY_TYPE_HARMONICS).flat_map(|k| harmonic(day, k)).for_each(|v| put(flag * v));
            }
        }
    }
    if which.year {
        let year = (f32::from(date.day_of_year()) - 1.0 + day) / 365.25;
        (1..=YEAR_HARMONICS).flat_map(|k| harmonic(year, k)).for_each(&mut put);
    }
    if !holidays.is_empty() {
        off.into_iter().for_each(|off| put(if off { 1.0 } else { 0.0 }));
    }
}

#[cfg(test)]
mod tests;
