//! `holidays`: the days off of a stream.

use super::key::{Key, Preset};
use super::kinds::{Texts, texts};
use super::section::Section;
use jiff::civil::Date;

/// A leap year has every day that a year can have.
const LEAP_YEAR: i16 = 2000;

/// Days off: dates, and days of every year.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holidays {
    /// Ascending.
    dates: Vec<Date>,
    /// Months and days.
    yearly: Vec<(i8, i8)>,
}

impl Holidays {
    /// Whether there are no days off.
    pub fn is_empty(&self) -> bool {
        self.dates.is_empty() && self.yearly.is_empty()
    }

    /// Whether a day is a day off.
    pub fn contains(&self, date: Date) -> bool {
        self.yearly.contains(&(date.month(), date.day())) || self.dates.binary_search(&date).is_ok()
    }
}

pub(super) static HOLIDAYS: Key<Texts> = texts(
    "holidays",
    Preset::Is(&[]),
    "dates like `2026-04-06`, and days of every year like `--12-25`",
    "Days off in the stream's time zone, for the calendar features; they count as weekend too.",
);

/// `2026-12-25`, or `--12-25` for every year.
pub(super) fn holidays(s: &mut Section<'_>) -> Holidays {
    let mut holidays = Holidays::default();
    for text in s.texts(&HOLIDAYS).unwrap_or_default() {
        if let Some(date) = date(&text) {
            holidays.dates.push(date);
        } else if let Some(day) = text.strip_prefix("--").and_then(|day| date(&format!("{LEAP_YEAR}-{day}")))
        {
            holidays.yearly.push((day.month(), day.day()));
        } else {
            let allowed = "allowed are dates like \"2026-12-25\" and days of every year like \"--12-25\"";
            s.fault("holidays", format!("has \"{text}\"; {allowed}"));
        }
    }
    holidays.dates.sort_unstable();
    holidays
}

/// A date as `YYYY-MM-DD` and in no other form.
fn date(text: &str) -> Option<Date> {
    text.parse().ok().filter(|date: &Date| date.to_string() == text)
}
