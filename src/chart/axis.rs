//! Ticks of axes: round values, and round times of clock and calendar.

use crate::domain::EventTime;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// A gridline's position and label.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ValueTick {
    pub at: f64,
    pub label: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct TimeTick {
    pub at: EventTime,
    pub label: String,
    /// The date below a time, or the year below a date, where that changes.
    pub below: Option<String>,
}

/// About `about` round values inside `low..=high` (finite, `low < high`).
pub(super) fn value_ticks(low: f64, high: f64, about: usize) -> Vec<ValueTick> {
    let rough = (high - low) / about as f64;
    let magnitude = 10f64.powf(rough.log10().floor());
    let step = magnitude * [1.0, 2.0, 5.0, 10.0].into_iter().find(|m| m * magnitude >= rough).unwrap_or(10.0);
    if !(step.is_finite() && step > 0.0) {
        return Vec::new();
    }
    let first = (low / step).ceil();
    (0..=2 * about)
        .map(|i| (first + i as f64) * step)
        .take_while(|at| *at <= high + step * 1e-9)
        .map(|at| ValueTick { at, label: value_label(at, step, low.abs().max(high.abs())) })
        .collect()
}

/// A value with as many decimals as a distance of `step` needs.
fn value_label(value: f64, step: f64, largest: f64) -> String {
    let (unit, suffix) = match largest {
        x if x >= 1e15 || (x < 1e-4 && x > 0.0) => return format!("{value:.1e}").replace('-', "−"),
        x if x >= 1e12 => (1e12, "T"),
        x if x >= 1e9 => (1e9, "G"),
        x if x >= 1e6 => (1e6, "M"),
        x if x >= 1e4 => (1e3, "k"),
        _ => (1.0, ""),
    };
    // Adding zero turns a negative zero into a positive one.
    let value = (value / step).round() * step / unit + 0.0;
    let decimals = (-(step / unit * 1.000_001).log10().floor()).clamp(0.0, 9.0) as usize;
    let suffix = if value == 0.0 { "" } else { suffix };
    format!("{value:.decimals$}{suffix}").replace('-', "−")
}

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;
const WEEK: i64 = 7 * DAY;
/// Steps of a clock and of a calendar week, in seconds.
const STEPS: [i64; 18] = [
    1,
    2,
    5,
    15,
    30,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    WEEK,
];
const MONTH_STEPS: [i32; 9] = [1, 3, 6, 12, 24, 60, 120, 240, 600];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// At most about `most` times inside `from..=to` that are round on a clock in `zone`.
pub(super) fn time_ticks(from: EventTime, to: EventTime, zone: &TimeZone, most: usize) -> Vec<TimeTick> {
    let rough = (to.seconds_since(from) / most as f64).ceil() as i64;
    let (step, times) = match STEPS.into_iter().find(|s| *s >= rough) {
        Some(step) => (step, clock_times(from, to, zone, step)),
        None => {
            let months = (rough as f64 / (30.44 * DAY as f64)).ceil() as i32;
            let step = MONTH_STEPS.into_iter().find(|m| *m >= months).unwrap_or(600);
            (i64::from(step) * 31 * DAY, calendar_times(from, to, zone, step))
        }
    };
    let mut last: Option<Date> = None;
    times
        .into_iter()
        .map(|(at, local)| {
            let date = local.date();
            let (label, below, anew) = if step < DAY {
                (clock(local, step), day(date), last != Some(date))
            } else if step < 28 * DAY {
                (day(date), date.year().to_string(), last.is_none_or(|l| l.year() != date.year()))
            } else if step < 365 * DAY {
                let month = MONTHS[date.month() as usize - 1].to_owned();
                (month, date.year().to_string(), last.is_none_or(|l| l.year() != date.year()))
            } else {
                (date.year().to_string(), String::new(), false)
            };
            last = Some(date);
            TimeTick { at, label, below: anew.then_some(below) }
        })
        .collect()
}

/// `23 Nov, 10:00`.
pub(super) fn moment(at: EventTime, zone: &TimeZone) -> String {
    let local = Timestamp::from(at).to_zoned(zone.clone()).datetime();
    format!("{}, {}", day(local.date()), clock(local, if local.second() == 0 { MINUTE } else { 1 }))
}

fn day(date: Date) -> String {
    format!("{} {}", date.day(), MONTHS[date.month() as usize - 1])
}

fn clock(local: DateTime, step: i64) -> String {
    let (h, m, s) = (local.hour(), local.minute(), local.second());
    if step < MINUTE { format!("{h:02}:{m:02}:{s:02}") } else { format!("{h:02}:{m:02}") }
}

/// Multiples of `step` on the local clock; a week starts on Monday.
fn clock_times(from: EventTime, to: EventTime, zone: &TimeZone, step: i64) -> Vec<(EventTime, DateTime)> {
    let Ok(start) = Timestamp::from(from).to_zoned(zone.clone()).datetime().to_zoned(TimeZone::UTC) else {
        return Vec::new();
    };
    // The epoch was a Thursday.
    let phase = if step == WEEK { 4 * DAY } else { 0 };
    let first = (start.timestamp().as_second() - phase).div_euclid(step) * step + phase;
    let locals = (0..).map_while(|i| {
        let local = Timestamp::from_second(first + i * step).ok()?;
        Some(local.to_zoned(TimeZone::UTC).datetime())
    });
    inside(locals, from, to, zone)
}

/// First days of every `step` months.
fn calendar_times(from: EventTime, to: EventTime, zone: &TimeZone, step: i32) -> Vec<(EventTime, DateTime)> {
    let start = Timestamp::from(from).to_zoned(zone.clone()).date();
    let first = (i32::from(start.year()) * 12 + i32::from(start.month()) - 1).div_euclid(step) * step;
    let locals = (0..).map_while(|i: i32| {
        let month = first + i * step;
        let (year, month) = (month.div_euclid(12) as i16, month.rem_euclid(12) as i8 + 1);
        Date::new(year, month, 1).ok().map(|date| date.at(0, 0, 0, 0))
    });
    inside(locals, from, to, zone)
}

fn inside(
    locals: impl Iterator<Item = DateTime>,
    from: EventTime,
    to: EventTime,
    zone: &TimeZone,
) -> Vec<(EventTime, DateTime)> {
    let mut times = Vec::new();
    for local in locals {
        let Ok(zoned) = local.to_zoned(zone.clone()) else { break };
        let Ok(at) = EventTime::from_micros(zoned.timestamp().as_microsecond()) else { break };
        if at > to {
            break;
        }
        // An hour that the clock skips in spring gets no tick.
        if at >= from && zoned.datetime() == local {
            times.push((at, local));
        }
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> EventTime {
        EventTime::from_micros(text.parse::<Timestamp>().unwrap().as_microsecond()).unwrap()
    }

    fn labels(from: &str, to: &str, zone: &TimeZone) -> Vec<(String, Option<String>)> {
        time_ticks(time(from), time(to), zone, 7).into_iter().map(|t| (t.label, t.below)).collect()
    }

    fn tick(label: &str, below: Option<&str>) -> (String, Option<String>) {
        (label.into(), below.map(Into::into))
    }

    #[test]
    fn values_are_round() {
        let labels = |low, high| value_ticks(low, high, 5).into_iter().map(|t| t.label).collect::<Vec<_>>();
        assert_eq!(labels(0.0, 1.0), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(-7.0, 12.0), ["−5", "0", "5", "10"]);
        assert_eq!(labels(0.0, 60_000.0), ["0", "20k", "40k", "60k"]);
        assert_eq!(labels(1000.1, 1000.6), ["1000.1", "1000.2", "1000.3", "1000.4", "1000.5", "1000.6"]);
        assert!(value_ticks(1e300, 1e300 * 1.01, 5).len() < 12);
    }

    #[test]
    fn hours_carry_their_date_where_it_changes() {
        assert_eq!(
            labels("2026-11-22T17:10:00Z", "2026-11-23T13:00:00Z", &TimeZone::UTC),
            [
                tick("18:00", Some("22 Nov")),
                tick("21:00", None),
                tick("00:00", Some("23 Nov")),
                tick("03:00", None),
                tick("06:00", None),
                tick("09:00", None),
                tick("12:00", None),
            ]
        );
    }

    #[test]
    fn ticks_stand_on_the_local_clock_through_a_change_of_it() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let ticks = time_ticks(time("2026-03-28T20:00:00Z"), time("2026-03-29T10:00:00Z"), &zone, 7);
        let labels: Vec<&str> = ticks.iter().map(|t| t.label.as_str()).collect();
        assert_eq!(labels, ["22:00", "00:00", "04:00", "06:00", "08:00", "10:00", "12:00"]);
        assert_eq!(ticks[2].at.seconds_since(ticks[1].at), 10_800.0, "the clock skips from 2 to 3");
    }

    #[test]
    fn weeks_months_and_years() {
        let utc = &TimeZone::UTC;
        assert_eq!(
            labels("2026-12-24T00:00:00Z", "2027-01-20T00:00:00Z", utc),
            [
                tick("28 Dec", Some("2026")),
                tick("4 Jan", Some("2027")),
                tick("11 Jan", None),
                tick("18 Jan", None)
            ]
        );
        assert_eq!(labels("2026-02-10T00:00:00Z", "2026-07-10T00:00:00Z", utc)[0], tick("Mar", Some("2026")));
        assert_eq!(labels("1990-02-10T00:00:00Z", "2026-07-10T00:00:00Z", utc).len(), 3);
        assert!(labels("2026-02-10T00:00:00.2Z", "2026-02-10T00:00:00.9Z", utc).is_empty());
    }
}
