use super::TimeFault;
use super::number::billionths;
use crate::codec::civil;
use crate::codec::decimal::two_digits;
use crate::domain::EventTime;

/// `YYYY-MM-DD`, then `T` or a space and `HH:MM[:SS[.fraction]]`, then `Z`, `±HH:MM` or nothing.
pub struct Parsed {
    year: i64,
    month: i64,
    day: i64,
    second_of_day: i64,
    pub nanos: i64,
    pub offset_s: Option<i64>,
}

impl Parsed {
    /// `None` for any other form, and for a field out of its range: jiff has the last word on those.
    pub fn new(text: &[u8]) -> Option<Self> {
        let pair = |at: usize| match text.get(at..at + 2)? {
            [a, b] if a.is_ascii_digit() && b.is_ascii_digit() => {
                Some(i64::from((a - b'0') * 10 + (b - b'0')))
            }
            _ => None,
        };
        let is = |at: usize, byte: u8| text.get(at) == Some(&byte);
        if !is(4, b'-') || !is(7, b'-') {
            return None;
        }
        let (year, month, day) = (pair(0)? * 100 + pair(2)?, pair(5)?, pair(8)?);
        if year < 1_800
            || !(1..=12).contains(&month)
            || !(1..=civil::days_in_month(year, month)).contains(&day)
        {
            return None;
        }
        let mut parsed = Self { year, month, day, second_of_day: 0, nanos: 0, offset_s: None };
        if text.len() == 10 {
            return Some(parsed);
        }
        if !(is(10, b'T') || is(10, b' ')) || !is(13, b':') {
            return None;
        }
        let (hour, minute) = (pair(11)?, pair(14)?);
        let mut at = 16;
        let second = if is(at, b':') { pair(17)? } else { 0 };
        if hour > 24 || minute > 59 || second > 59 {
            return None;
        }
        parsed.second_of_day = hour * 3_600 + minute * 60 + second;
        if is(at, b':') {
            at = 19;
            if is(at, b'.') {
                let (nanos, len) = billionths(&text[at + 1..]);
                if len == 0 {
                    return None;
                }
                parsed.nanos = nanos as i64;
                at += 1 + len;
            }
        }
        // The end of its day.
        if hour == 24 && (parsed.second_of_day > 86_400 || parsed.nanos > 0) {
            return None;
        }
        parsed.offset_s = match &text[at..] {
            [] => None,
            [b'Z'] => Some(0),
            [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
                let (hours, minutes) = (pair(at + 1)?, pair(at + 4)?);
                if hours > 23 || minutes > 59 {
                    return None;
                }
                let size = hours * 3_600 + minutes * 60;
                Some(if *sign == b'-' { -size } else { size })
            }
            _ => return None,
        };
        Some(parsed)
    }

    /// The instant, in a zone of this offset unless the text has one of its own.
    pub fn instant(&self, zone_offset_s: i64) -> Result<EventTime, TimeFault> {
        let days = civil::days_from_civil(self.year, self.month, self.day);
        let seconds = days * 86_400 + self.second_of_day - self.offset_s.unwrap_or(zone_offset_s);
        Ok(EventTime::from_micros(seconds * 1_000_000 + (self.nanos + 500) / 1_000)?)
    }

    /// Its second, as a local time; `None` after the last day that there is.
    pub fn second(&self) -> Option<jiff::civil::DateTime> {
        let s = self.second_of_day;
        let day = jiff::civil::date(self.year as i16, self.month as i8, self.day as i8);
        let day = if s == 86_400 { day.tomorrow().ok()? } else { day };
        Some(day.at((s / 3_600 % 24) as i8, (s / 60 % 60) as i8, (s % 60) as i8, 0))
    }
}

/// Appends a time as RFC 3339 in UTC, with a fraction only where there is one.
pub fn put_rfc3339(time: EventTime, out: &mut Vec<u8>) {
    let (seconds, micros) = (time.as_micros().div_euclid(1_000_000), time.as_micros().rem_euclid(1_000_000));
    let (year, month, day) = civil::civil_from_days(seconds.div_euclid(86_400));
    let s = seconds.rem_euclid(86_400);
    let mut text = *b"0000-00-00T00:00:00";
    for (at, n) in [
        (0, year / 100),
        (2, year % 100),
        (5, month),
        (8, day),
        (11, s / 3_600),
        (14, s / 60 % 60),
        (17, s % 60),
    ] {
        text[at..at + 2].copy_from_slice(&two_digits(n as usize));
    }
    out.extend_from_slice(&text);
    if micros != 0 {
        out.push(b'.');
        for n in [micros / 10_000, micros / 100 % 100, micros % 100] {
            out.extend_from_slice(&two_digits(n as usize));
        }
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
    out.push(b'Z');
}
