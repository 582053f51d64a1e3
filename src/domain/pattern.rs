use jiff::civil::{DateTime, Time};
use jiff::fmt::strtime::{self, BrokenDownTime};
use std::sync::Arc;

/// The notation of a time as a pattern of `strptime`: `%Y%m%d%H`, `%d/%m/%Y %H.%M.%S`. It has the year at least; any
/// other part that it leaves out is the first possible one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimePattern(Arc<str>);

/// The time in a text, read by a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrittenTime {
    /// It has an offset or a zone of its own, or is a unix time.
    Instant(jiff::Timestamp),
    /// A date and a time of day somewhere.
    Local(DateTime),
}

/// Why a pattern is unusable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAPattern {
    /// The parser does not know it, with its reason.
    #[error("which is no pattern: {0}")]
    Unknown(String),
    /// It leaves out the year, or something else that a time needs.
    #[error("which names no year, or not what a time needs beside it (%Y, %m, %d, %H, %M, %S)")]
    Incomplete,
}

impl TimePattern {
    /// # Errors
    /// [`NotAPattern`] for an unknown pattern, or one that does not define a time.
    pub fn try_new(pattern: &str) -> Result<Self, NotAPattern> {
        let unknown = |e: jiff::Error| NotAPattern::Unknown(e.to_string());
        let sample = jiff::civil::date(2019, 10, 23).at(17, 8, 9, 250_000_000);
        let sample = sample.to_zoned(jiff::tz::TimeZone::UTC).map_err(unknown)?;
        let text = strtime::format(pattern, &sample).map_err(unknown)?;
        BrokenDownTime::parse(pattern, &text).map_err(unknown)?;
        let this = Self(pattern.into());
        this.read(&text).map(|_| this).ok_or(NotAPattern::Incomplete)
    }

    /// The pattern as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The time in a text; 24:00 is the end of its day. `None` if the text does not match.
    pub fn read(&self, text: &str) -> Option<WrittenTime> {
        let as_it_is = self.read_as_it_is(text).map(|(time, _)| time);
        as_it_is.or_else(|| end_of_day(text, |text| self.read_as_it_is(text)))
    }

    fn read_as_it_is(&self, text: &str) -> Option<(WrittenTime, Time)> {
        let mut broken = BrokenDownTime::parse(&*self.0, text).ok()?;
        let time = broken.to_time().ok()?;
        if let Ok(instant) = broken.to_timestamp() {
            return Some((WrittenTime::Instant(instant), time));
        }
        if broken.to_date().is_err() {
            // A month's or a year's.
            if broken.month().is_none() {
                broken.set_month(Some(1)).ok()?;
            }
            if broken.day().is_none() {
                broken.set_day(Some(1)).ok()?;
            }
        }
        let written = if broken.iana_time_zone().is_some() || broken.offset().is_some() {
            WrittenTime::Instant(broken.to_zoned().ok()?.timestamp())
        } else {
            WrittenTime::Local(broken.to_datetime().ok()?)
        };
        Some((written, time))
    }
}

/// Reads a text with the time 24:00, which `read` rejects, as 00:00 of the next day. The hour is the only part of a
/// time that can't be 24 and can be 00, so its position in the text need not be known. `read` also returns the time
/// of day as written.
pub fn end_of_day(text: &str, read: impl Fn(&str) -> Option<(WrittenTime, Time)>) -> Option<WrittenTime> {
    const DAY: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
    let (written, _) = text
        .match_indices("24")
        .filter_map(|(at, _)| read(&format!("{}00{}", &text[..at], &text[at + 2..])))
        .find(|(_, time)| *time == Time::midnight())?;
    match written {
        WrittenTime::Local(local) => local.checked_add(DAY).ok().map(WrittenTime::Local),
        WrittenTime::Instant(instant) => instant.checked_add(DAY).ok().map(WrittenTime::Instant),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pattern: &str, text: &str) -> Option<String> {
        let pattern = TimePattern::try_new(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}"));
        pattern.read(text).map(|time| match time {
            WrittenTime::Instant(instant) => instant.to_string(),
            WrittenTime::Local(local) => local.to_string(),
        })
    }

    #[test]
    fn texts_are_read_as_their_pattern_says() {
        for (pattern, text, want) in [
            ("%Y%m%d", "20190101", "2019-01-01T00:00:00"),
            ("%Y%m%d%H", "2019091203", "2019-09-12T03:00:00"),
            ("%Y%m%d%H%M", "201909120310", "2019-09-12T03:10:00"),
            ("%Y%m%d%H%M%S", "20190912031059", "2019-09-12T03:10:59"),
            ("%d/%m/%Y %H.%M.%S", "10/03/2004 18.00.00", "2004-03-10T18:00:00"),
            ("%d.%m.%y %H:%M", "1.2.24 24:00", "2024-02-02T00:00:00"),
            ("%m/%d/%Y %I:%M %p", "02/28/2026 12:05 AM", "2026-02-28T00:05:00"),
            ("%Y-%m-%d %H:%M:%S%.f", "2026-02-28 10:00:00.25", "2026-02-28T10:00:00.25"),
            ("%Y-%m-%dT%H:%M:%S%z", "2026-02-28T10:00:00+0130", "2026-02-28T08:30:00Z"),
            ("%Y-%m-%d %H:%M %Q", "2026-07-01 10:00 Europe/Paris", "2026-07-01T08:00:00Z"),
            ("%s", "1546300800", "2019-01-01T00:00:00Z"),
            ("%Y-%m", "2019-10", "2019-10-01T00:00:00"),
            ("%Y", "2019", "2019-01-01T00:00:00"),
            ("%Y%j", "2019032", "2019-02-01T00:00:00"),
            ("%Y%m%d%H", "2024022924", "2024-03-01T00:00:00"),
            ("%Y-%m-%d %H:%M%z", "2024-12-31 24:00+0130", "2024-12-31T22:30:00Z"),
        ] {
            assert_eq!(read(pattern, text).as_deref(), Some(want), "{text} under {pattern}");
        }
        for (pattern, text) in [
            ("%Y%m%d", "2019010"),
            ("%Y%m%d", "201901011"),
            ("%Y%m%d", "20190229"),
            ("%Y%m%d", "24242424"),
            ("%Y%m%d%H%M", "201909122401"),
            ("%Y%m%d%H", "2019091225"),
            ("%Y-%m-%d %H:%M%z", "2024-12-31 24:30+0130"),
            ("%Y-%m-%d", "é24"),
        ] {
            assert_eq!(read(pattern, text), None, "{text} under {pattern}");
        }
    }

    #[test]
    fn a_pattern_says_at_least_which_year() {
        for pattern in ["%H:%M", "%m-%d", "%", "%Y-%m-%d %!", "%Y-%", "%x", "%Y-%m-%d %M"] {
            assert!(TimePattern::try_new(pattern).is_err(), "{pattern}");
        }
    }
}
