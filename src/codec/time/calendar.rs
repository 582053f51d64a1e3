//! Digits of a calendar where a unix time should be: `20190101`, `2019091200`, `201909120000`.

use crate::codec::civil;
use crate::domain::EventTime;

/// Before this a unix time is more likely a calendar's digits.
const UNIX_PLAUSIBLE_FROM_S: f64 = 631_152_000.0;
/// A month's digits: only where no unit says that they are a unix time.
const MONTH: &str = "%Y%m";

/// The pattern under which a number's digits are a date, or a date and a time of day, of the years 1900 to
/// 2099.
#[inline]
pub fn pattern(text: &str) -> Option<&'static str> {
    match text.as_bytes() {
        [b'1', b'9', ..] | [b'2', b'0', ..] => of_digits(text),
        _ => None,
    }
}

fn of_digits(text: &str) -> Option<&'static str> {
    let digits = match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|b| b == b'0') => whole,
        Some(_) => return None,
        None => text,
    };
    let pattern = match digits.len() {
        6 => MONTH,
        8 => "%Y%m%d",
        10 => "%Y%m%d%H",
        12 => "%Y%m%d%H%M",
        14 => "%Y%m%d%H%M%S",
        _ => return None,
    };
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let pair =
        |at: usize, default: i64| digits.get(at..at + 2).and_then(|p| p.parse().ok()).unwrap_or(default);
    let (year, month, day) = (pair(0, 0) * 100 + pair(2, 0), pair(4, 1), pair(6, 1));
    let is_date = (1..=12).contains(&month) && (1..=civil::days_in_month(year, month)).contains(&day);
    let is_time = pair(8, 0) <= 24 && pair(10, 0) <= 59 && pair(12, 0) <= 59;
    (is_date && is_time).then_some(pattern)
}

/// Whether digits that fit a pattern are meant so, and not as the unix time that they would be: always where
/// the format was not said; otherwise where that time is impossible or long past.
pub fn is_meant(pattern: &str, has_unit: bool, unix: Option<EventTime>) -> bool {
    !has_unit || (pattern != MONTH && unix.is_none_or(|unix| unix.as_seconds() < UNIX_PLAUSIBLE_FROM_S))
}
