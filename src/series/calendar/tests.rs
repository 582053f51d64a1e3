use super::*;
use crate::config::from_toml;
use crate::domain::{EventTime, Interval};
use std::time::Duration;

const ALL: config::Calendar = config::Calendar { day: true, week: true, year: true };
/// Where the flags of the weekend stand among all features, and those of holidays.
const WEEKEND: Range<usize> = 16..18;
const HOLIDAYS: Range<usize> = 34..36;

fn grid(seconds: u64) -> Grid {
    Grid::Fixed(Interval::new(Duration::from_secs(seconds)).unwrap())
}

fn calendar(seconds: u64, zone: &str) -> Calendar {
    Calendar::new(ALL, grid(seconds), jiff::tz::TimeZone::get(zone).unwrap())
}

fn cell(grid: Grid, utc: &str) -> i64 {
    let t: jiff::Timestamp = utc.parse().unwrap();
    grid.cell(EventTime::from_micros(t.as_microsecond()).unwrap())
}

#[test]
fn the_hour_of_the_day_is_local_across_a_change_of_clocks() {
    let mut calendar = calendar(3_600, "Europe/Paris");
    assert_eq!(calendar.width(), 30 + 4);
    let cell = |utc: &str| cell(grid(3_600), utc);
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
    assert_eq!(calendar.features(cell("2024-03-30T11:00:00Z"))[WEEKEND], [1.0, 1.0]);
    assert_eq!(calendar.features(cell("2024-03-31T10:00:00Z"))[WEEKEND], [1.0, 0.0]);
    assert_eq!(calendar.features(cell("2024-03-29T10:00:00Z"))[WEEKEND], [0.0, 1.0]);
}

/// Days from 1970-01-01 to the n-th Sunday of a month, the last for n = 5, by counting.
fn sunday(year: i64, month: i64, n: usize) -> i64 {
    let days = |y: i64, m: i64| match m {
        2 if y % 4 == 0 && (y % 100 != 0 || y % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let before: i64 = (1970..year).map(|y| (1..=12).map(|m| days(y, m)).sum::<i64>()).sum();
    let first = before + (1..month).map(|m| days(year, m)).sum::<i64>();
    // 1970-01-01 was a Thursday: a day is a Sunday when it leaves 3 of 7.
    let sundays: Vec<i64> = (first..first + days(year, month)).filter(|d| d % 7 == 3).collect();
    sundays[(n - 1).min(sundays.len() - 1)]
}

/// What a zone adds to UTC at an hour since 1970, by the law of the place.
fn law(zone: &str, hour: i64) -> i64 {
    let mut offset = if zone == "Europe/Paris" { 1 } else { -5 };
    for year in 2022..2027 {
        let (from, to) = match zone {
            // The last Sundays of March and October, at 1:00 UTC.
            "Europe/Paris" => (sunday(year, 3, 5) * 24 + 1, sunday(year, 10, 5) * 24 + 1),
            // The second Sunday of March at 2:00 EST, the first of November at 2:00 EDT.
            _ => (sunday(year, 3, 2) * 24 + 7, sunday(year, 11, 1) * 24 + 6),
        };
        if (from..to).contains(&hour) {
            offset += 1;
        }
    }
    offset
}

/// Every hour of four years, both changes of each among them, against the law and plain arithmetic.
#[test]
fn every_hour_is_that_of_the_law() {
    for zone in ["Europe/Paris", "America/New_York"] {
        let mut calendar = calendar(3_600, zone);
        let first = cell(grid(3_600), "2022-06-01T00:00:00Z");
        let mut offsets = std::collections::BTreeSet::new();
        for hour in first..first + 4 * 8_766 {
            let offset = law(zone, hour);
            offsets.insert(offset);
            let local = hour + offset;
            let (of_day, day) = (local.rem_euclid(24), local.div_euclid(24));
            let weekday = (day + 3).rem_euclid(7);
            assert_eq!(calendar.clock(hour), local, "{zone} {hour}");
            let features = calendar.features(hour);
            let phase = TAU * of_day as f32 / 24.0;
            assert!((features[0] - phase.sin()).abs() < 1e-5, "{zone} {hour}: {features:?}");
            assert!((features[1] - phase.cos()).abs() < 1e-5, "{zone} {hour}: {features:?}");
            let week = TAU * (weekday as f32 + of_day as f32 / 24.0) / 7.0;
            assert!((features[8] - week.sin()).abs() < 1e-5, "{zone} {hour}: {features:?}");
            let weekend = [weekday >= 5, (weekday + 1) % 7 >= 5].map(|on| if on { 1.0 } else { 0.0 });
            assert_eq!(features[WEEKEND], weekend, "{zone} {hour}");
        }
        assert_eq!(offsets.len(), 2, "both clocks were seen");
    }
}

/// A daily cell's date is that of most of it, and the next cell's the next, whatever the clocks do.
#[test]
fn daily_cells_are_one_day_apart_across_both_changes() {
    for zone in ["Europe/Paris", "America/New_York", "Asia/Tokyo", "UTC"] {
        let mut calendar = calendar(86_400, zone);
        let first = cell(grid(86_400), "2024-01-01T00:00:00Z");
        for day in 0..800i64 {
            // 2024-01-01 was a Monday.
            let weekday = day.rem_euclid(7);
            let features = calendar.features(first + day);
            let weekend = [weekday >= 5, (weekday + 1) % 7 >= 5].map(|on| if on { 1.0 } else { 0.0 });
            assert_eq!(features[WEEKEND], weekend, "{zone} day {day}");
            let week = TAU * weekday as f32 / 7.0;
            assert!((features[8] - week.sin()).abs() < 1e-5, "{zone} day {day}");
        }
    }
}

fn holidays(list: &str) -> Holidays {
    let text = format!(
        "[kafka]\nbrokers = \"localhost:9092\"\n[streams.s]\ntopics = [\"t\"]\ninterval = \"1h\"\n\
         targets = [\"v\"]\nholidays = {list}\n"
    );
    from_toml(&text, &[]).unwrap_or_else(|e| panic!("{e}")).streams[0].holidays.clone()
}

/// How many hours have the flags (today, tomorrow), of those between two times.
fn flagged(calendar: &mut Calendar, from: &str, to: &str) -> [usize; 2] {
    let (from, to) = (cell(calendar.grid, from), cell(calendar.grid, to));
    let mut counts = [0; 2];
    for cell in from..to {
        let features = calendar.features(cell);
        for (count, flag) in counts.iter_mut().zip(&features[HOLIDAYS]) {
            *count += usize::from(*flag == 1.0);
        }
    }
    counts
}

#[test]
fn a_holiday_is_a_local_day_however_long() {
    // Easter Sunday of 2024 has 23 hours in Paris, the last Sunday of October 25, Christmas 24.
    for (zone, list, hours) in [
        ("Europe/Paris", r#"["2024-03-31"]"#, 23),
        ("Europe/Paris", r#"["2024-10-27"]"#, 25),
        ("America/New_York", r#"["2024-03-10"]"#, 23),
        ("America/New_York", r#"["2024-11-03"]"#, 25),
        ("America/New_York", r#"["--12-25"]"#, 24),
        ("America/New_York", r#"["--02-29", "2023-02-28"]"#, 24),
    ] {
        let mut calendar = calendar(3_600, zone).with_holidays(holidays(list));
        assert_eq!(calendar.width(), 36);
        let counts = flagged(&mut calendar, "2024-01-01T12:00:00Z", "2024-12-31T12:00:00Z");
        assert_eq!(counts, [hours, 24], "{zone} {list}");
    }
    let mut calendar = calendar(3_600, "Europe/Paris").with_holidays(holidays(r#"["2024-05-01"]"#));
    // The day before counts as before a weekend, the day itself as one: a Wednesday.
    for (utc, off, weekend) in [
        ("2024-04-29T21:59:00Z", [0.0, 0.0], [0.0, 0.0]),
        ("2024-04-29T22:00:00Z", [0.0, 1.0], [0.0, 1.0]),
        ("2024-04-30T22:00:00Z", [1.0, 0.0], [1.0, 0.0]),
        ("2024-05-01T21:59:00Z", [1.0, 0.0], [1.0, 0.0]),
        ("2024-05-01T22:00:00Z", [0.0, 0.0], [0.0, 0.0]),
    ] {
        let at = cell(grid(3_600), utc);
        let features = calendar.features(at).to_vec();
        assert_eq!((&features[HOLIDAYS], &features[WEEKEND]), (&off[..], &weekend[..]), "{utc}");
    }
}

#[test]
fn cells_of_days_and_weeks_have_the_holidays_that_lie_in_them() {
    let list = || holidays(r#"["2024-05-01"]"#);
    let mut daily = calendar(86_400, "America/New_York").with_holidays(list());
    let day = cell(grid(86_400), "2024-05-01T00:00:00Z");
    let flags: Vec<[f32; 2]> =
        (-2..2).map(|d| daily.features(day + d)[HOLIDAYS].try_into().unwrap()).collect();
    assert_eq!(flags, [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]);
    // Weeks of the grid begin on Thursdays: 2024-04-25 to 05-01.
    let mut weekly = calendar(7 * 86_400, "UTC").with_holidays(list());
    let week = cell(grid(7 * 86_400), "2024-05-01T00:00:00Z");
    let flags: Vec<[f32; 2]> =
        (-1..2).map(|w| weekly.features(week + w)[HOLIDAYS].try_into().unwrap()).collect();
    assert_eq!(flags, [[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]);
}

#[test]
fn without_holidays_nothing_is_added_and_alone_they_are_all() {
    let plain = calendar(3_600, "UTC");
    assert_eq!(plain.width(), calendar(3_600, "UTC").with_holidays(Holidays::default()).width());
    let mut alone = Calendar::new(config::Calendar::default(), grid(3_600), jiff::tz::TimeZone::UTC)
        .with_holidays(holidays(r#"["--07-14"]"#));
    assert_eq!(alone.features(cell(grid(3_600), "2031-07-14T08:00:00Z")), [1.0, 0.0]);
    assert_eq!(alone.features(cell(grid(3_600), "2031-07-13T08:00:00Z")), [0.0, 1.0]);
}
