//! Times on the wire: numbers and texts in, RFC 3339 out.
//!
//! A time is read to the nearest microsecond: a cell's start that a producer's floating point has
//! made 23:59:59.9999998 is put right, not into the cell before. Integers lose nothing on the way.

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
pub struct Stamp {
    pub time: EventTime,
    /// The second instant that a local time means at the end of summer time.
    pub later: Option<EventTime>,
}

impl From<EventTime> for Stamp {
    fn from(time: EventTime) -> Self {
        Self { time, later: None }
    }
}

/// Why a time could not be had.
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
    /// In which texts without an offset are understood.
    zone: TimeZone,
    /// The zone's offset in seconds where it has only one.
    zone_offset_s: Option<i64>,
}

impl TimeReader {
    pub fn new(format: TimeFormat, zone: TimeZone) -> Self {
        let zone_offset_s = zone.to_fixed_offset().ok().map(|offset| i64::from(offset.seconds()));
        Self { format, zone, zone_offset_s }
    }

    /// What [`TimeReader::text`] and [`TimeReader::number`] take, in words.
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

    /// The time that a number, given as its text, stands for.
    ///
    /// # Errors
    /// [`TimeFault`] when it is no number, the format has no numbers, it lies outside the sane range, or its
    /// digits are a date's.
    pub fn number(&self, text: &str) -> Result<Stamp, TimeFault> {
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
            _ => unix.map(Stamp::from),
        }
    }

    /// The time that a text stands for; a number may be given as text too. A local time that a clock
    /// change leaves out is taken as the one after it, one that comes twice as the first; 24:00 is the end
    /// of its day.
    ///
    /// # Errors
    /// As [`TimeReader::number`].
    pub fn text(&self, text: &str) -> Result<Stamp, TimeFault> {
        let text = text.trim();
        match &self.format {
            TimeFormat::Rfc3339 => match Parsed::new(text.as_bytes()) {
                Some(parsed) if parsed.offset_s.is_some() => parsed.instant(0).map(Stamp::from),
                _ => with_offset(text).ok_or(TimeFault::Unreadable)?.map(Stamp::from),
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

    fn in_zone(&self, parsed: Parsed) -> Result<Stamp, TimeFault> {
        match parsed.offset_s.or(self.zone_offset_s) {
            Some(offset_s) => parsed.instant(offset_s).map(Stamp::from),
            None => self.local(parsed.second().ok_or(TimeFault::OutOfRange)?, parsed.nanos),
        }
    }

    /// The instants of a local time.
    fn local(&self, local: DateTime, more_nanos: i64) -> Result<Stamp, TimeFault> {
        let ambiguous = self.zone.to_ambiguous_timestamp(local);
        let of = |time: Result<jiff::Timestamp, jiff::Error>| {
            to_event_time(time.map_err(|_| TimeFault::OutOfRange)?, more_nanos)
        };
        let later = match ambiguous.offset() {
            AmbiguousOffset::Fold { after, .. } => Some(of(after.to_timestamp(local))?),
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Gap { .. } => None,
        };
        Ok(Stamp { time: of(ambiguous.compatible())?, later })
    }

    /// A time under a pattern: of a number the digits, less a fraction that is zero.
    fn written(&self, pattern: &TimePattern, text: &str) -> Result<Stamp, TimeFault> {
        let read = pattern.read(text).or_else(|| {
            let (whole, fraction) = text.split_once('.')?;
            let is_zero = !fraction.is_empty() && fraction.bytes().all(|b| b == b'0');
            pattern.read(whole).filter(|_| is_zero && whole.bytes().all(|b| b.is_ascii_digit()))
        });
        self.instant(read.ok_or(TimeFault::Unreadable)?)
    }

    fn instant(&self, written: WrittenTime) -> Result<Stamp, TimeFault> {
        match written {
            WrittenTime::Instant(instant) => to_event_time(instant, 0).map(Stamp::from),
            WrittenTime::Local(local) => self.local(local, 0),
        }
    }

    /// What the fast way does not know: jiff's whole grammar.
    fn unusual(&self, text: &str) -> Result<Stamp, TimeFault> {
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
