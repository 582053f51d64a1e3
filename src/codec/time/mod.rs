//! Times on the wire: numbers and texts in, RFC 3339 out.
//!
//! A time is read to the nearest microsecond, so that a cell's start that a producer's floating point has made
//! 23:59:59.9999998 falls into its own cell and not into the one before. Integers are exact.

mod calendar;
mod number;
mod text;

pub use text::put_rfc3339;

use crate::config::TimeFormat;
use crate::domain::{EventTime, OutOfRange, TimePattern, WrittenTime, end_of_day};
use jiff::civil::{DateTime, Time};
use jiff::fmt::temporal::Pieces;
use jiff::tz::{AmbiguousOffset, TimeZone};
use number::{Unit, from_number};
use text::Parsed;

/// A time as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadTime {
    pub time: EventTime,
    /// At the end of summer time, where a local time means two instants: the second one.
    pub later: Option<EventTime>,
}

impl From<EventTime> for ReadTime {
    fn from(time: EventTime) -> Self {
        Self { time, later: None }
    }
}

/// Why there is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeFault {
    Unreadable,
    OutOfRange,
    /// Its digits are a calendar's, not a unix time's; `unix` is what they would be as one.
    Calendar {
        pattern: &'static str,
        unix: Option<EventTime>,
    },
}

impl From<OutOfRange> for TimeFault {
    fn from(_: OutOfRange) -> Self {
        Self::OutOfRange
    }
}

/// Reads the times of one stream.
pub struct TimeReader {
    format: TimeFormat,
    /// The zone of texts without an offset.
    zone: TimeZone,
    /// The zone's offset in seconds where it has only one.
    zone_offset_s: Option<i64>,
}

impl TimeReader {
    pub fn new(format: TimeFormat, zone: TimeZone) -> Self {
        let zone_offset_s = zone.to_fixed_offset().ok().map(|offset| i64::from(offset.seconds()));
        Self { format, zone, zone_offset_s }
    }

    /// What [`TimeReader::text`] and [`TimeReader::number`] accept, in words.
    pub fn expected(&self) -> String {
        let unix = |unit| format!("a unix time in {unit} was expected");
        match &self.format {
            TimeFormat::Auto => {
                "a time (RFC 3339, a local date and time, or a unix time) was expected".to_owned()
            }
            TimeFormat::Rfc3339 => "a time as RFC 3339 was expected".to_owned(),
            TimeFormat::Seconds => unix("seconds"),
            TimeFormat::Millis => unix("milliseconds"),
            TimeFormat::Micros => unix("microseconds"),
            TimeFormat::Nanos => unix("nanoseconds"),
            TimeFormat::Pattern(pattern) => format!("a time as {} was expected", pattern.as_str()),
        }
    }

    /// The time of a number, given as its text.
    ///
    /// # Errors
    /// [`TimeFault`] when it is no number, the format has no numbers, it lies outside the sane range, or its
    /// digits are a date's.
    pub fn number(&self, text: &str) -> Result<ReadTime, TimeFault> {
        let unit = match &self.format {
            TimeFormat::Auto => None,
            TimeFormat::Rfc3339 => return Err(TimeFault::Unreadable),
            TimeFormat::Seconds => Some(Unit::Seconds),
            TimeFormat::Millis => Some(Unit::Millis),
            TimeFormat::Micros => Some(Unit::Micros),
            TimeFormat::Nanos => Some(Unit::Nanos),
            TimeFormat::Pattern(pattern) => return self.written(pattern, text),
        };
        let unix = from_number(text, unit);
        match calendar::pattern(text) {
            Some(pattern) if calendar::is_meant(pattern, unit.is_some(), unix.ok()) => {
                Err(TimeFault::Calendar { pattern, unix: unix.ok() })
            }
            _ => unix.map(ReadTime::from),
        }
    }

    /// The time of a text; a number may be given as text too. A local time that a clock change skips is taken as the
    /// one after it, and one that comes twice as the first. 24:00 is the end of its day.
    ///
    /// # Errors
    /// As [`TimeReader::number`].
    pub fn text(&self, text: &str) -> Result<ReadTime, TimeFault> {
        let text = text.trim();
        match &self.format {
            TimeFormat::Rfc3339 => match Parsed::new(text.as_bytes()) {
                Some(parsed) if parsed.offset_s.is_some() => parsed.instant(0).map(ReadTime::from),
                _ => with_offset(text).ok_or(TimeFault::Unreadable)?.map(ReadTime::from),
            },
            TimeFormat::Auto => match Parsed::new(text.as_bytes()) {
                Some(parsed) => self.in_zone(parsed),
                None => match self.number(text) {
                    Err(TimeFault::Unreadable) => self.unusual(text),
                    done => done,
                },
            },
            _ => self.number(text),
        }
    }

    fn in_zone(&self, parsed: Parsed) -> Result<ReadTime, TimeFault> {
        match parsed.offset_s.or(self.zone_offset_s) {
            Some(offset_s) => parsed.instant(offset_s).map(ReadTime::from),
            None => self.local(parsed.second().ok_or(TimeFault::OutOfRange)?, parsed.nanos),
        }
    }

    /// The instants of a local time.
    fn local(&self, local: DateTime, more_nanos: i64) -> Result<ReadTime, TimeFault> {
        let ambiguous = self.zone.to_ambiguous_timestamp(local);
        let of = |time: Result<jiff::Timestamp, jiff::Error>| {
            to_event_time(time.map_err(|_| TimeFault::OutOfRange)?, more_nanos)
        };
        let later = match ambiguous.offset() {
            AmbiguousOffset::Fold { after, .. } => Some(of(after.to_timestamp(local))?),
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Gap { .. } => None,
        };
        Ok(ReadTime { time: of(ambiguous.compatible())?, later })
    }

    /// A time under a pattern: of a number the digits, less a fraction that is zero.
    fn written(&self, pattern: &TimePattern, text: &str) -> Result<ReadTime, TimeFault> {
        let read = pattern.read(text).or_else(|| {
            let (whole, fraction) = text.split_once('.')?;
            let is_zero = !fraction.is_empty() && fraction.bytes().all(|b| b == b'0');
            pattern.read(whole).filter(|_| is_zero && whole.bytes().all(|b| b.is_ascii_digit()))
        });
        self.instant(read.ok_or(TimeFault::Unreadable)?)
    }

    fn instant(&self, written: WrittenTime) -> Result<ReadTime, TimeFault> {
        match written {
            WrittenTime::Instant(instant) => to_event_time(instant, 0).map(ReadTime::from),
            WrittenTime::Local(local) => self.local(local, 0),
        }
    }

    /// What the fast way does not know: jiff's whole grammar.
    fn unusual(&self, text: &str) -> Result<ReadTime, TimeFault> {
        let as_it_is = as_jiff_has_it(text).map(|(time, _)| time);
        let read = as_it_is.or_else(|| end_of_day(text, as_jiff_has_it));
        self.instant(read.ok_or(TimeFault::Unreadable)?)
    }
}

/// A time, and its time of day as it is written.
fn as_jiff_has_it(text: &str) -> Option<(WrittenTime, Time)> {
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        let time = Pieces::parse(text).ok()?.time()?;
        return Some((WrittenTime::Instant(instant), time));
    }
    // jiff's local times pass over an offset or a zone; we must not.
    if text.contains(['[', '+', 'Z', 'z']) || text.rfind('-').is_some_and(|at| at > 7) {
        return None;
    }
    text.parse().ok().map(|local: DateTime| (WrittenTime::Local(local), local.time()))
}

fn with_offset(text: &str) -> Option<Result<EventTime, TimeFault>> {
    text.parse::<jiff::Timestamp>().ok().map(|time| to_event_time(time, 0))
}

fn to_event_time(time: jiff::Timestamp, more_nanos: i64) -> Result<EventTime, TimeFault> {
    let nanos = i64::from(time.subsec_nanosecond()) + more_nanos;
    Ok(EventTime::from_micros(time.as_second() * 1_000_000 + (nanos + 500).div_euclid(1_000))?)
}

#[cfg(test)]
mod tests;
