//! Times on the wire: numbers and texts in, RFC 3339 out.
//!
//! A time is read to the nearest microsecond: a cell's start that a producer's floating point has
//! made 23:59:59.9999998 is put right, not into the cell before. Integers lose nothing on the way.

mod number;
mod text;

pub use text::put_rfc3339;

use crate::config::TimeFormat;
use crate::domain::{EventTime, OutOfRange};
use jiff::tz::TimeZone;
use number::{Unit, from_number};
use text::Parsed;

/// Why a time could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeFault {
    Unreadable,
    OutOfRange,
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
    pub fn expected(&self) -> &'static str {
        match self.format {
            TimeFormat::Auto => "a time (RFC 3339, a local date and time, or a unix time) was expected",
            TimeFormat::Rfc3339 => "a time as RFC 3339 was expected",
            TimeFormat::Seconds => "a unix time in seconds was expected",
            TimeFormat::Millis => "a unix time in milliseconds was expected",
            TimeFormat::Micros => "a unix time in microseconds was expected",
            TimeFormat::Nanos => "a unix time in nanoseconds was expected",
        }
    }

    /// The time that a number, given as its text, stands for.
    ///
    /// # Errors
    /// [`TimeFault`] when it is no number, the format has no numbers, or it lies outside the sane range.
    pub fn number(&self, text: &str) -> Result<EventTime, TimeFault> {
        match self.format {
            TimeFormat::Auto => from_number(text, None),
            TimeFormat::Rfc3339 => Err(TimeFault::Unreadable),
            TimeFormat::Seconds => from_number(text, Some(Unit::Seconds)),
            TimeFormat::Millis => from_number(text, Some(Unit::Millis)),
            TimeFormat::Micros => from_number(text, Some(Unit::Micros)),
            TimeFormat::Nanos => from_number(text, Some(Unit::Nanos)),
        }
    }

    /// The time that a text stands for; a number may be given as text too. A local time that a clock
    /// change leaves out is taken as the one after it, one that comes twice as the first.
    ///
    /// # Errors
    /// As [`TimeReader::number`].
    pub fn text(&self, text: &str) -> Result<EventTime, TimeFault> {
        let text = text.trim();
        match self.format {
            TimeFormat::Rfc3339 => match Parsed::new(text.as_bytes()) {
                Some(parsed) if parsed.offset_s.is_some() => parsed.instant(0),
                _ => with_offset(text).ok_or(TimeFault::Unreadable)?,
            },
            TimeFormat::Auto => match Parsed::new(text.as_bytes()) {
                Some(parsed) => self.in_zone(parsed),
                None => match from_number(text, None) {
                    Err(TimeFault::Unreadable) => self.unusual(text),
                    done => done,
                },
            },
            _ => self.number(text),
        }
    }

    fn in_zone(&self, parsed: Parsed) -> Result<EventTime, TimeFault> {
        match parsed.offset_s.or(self.zone_offset_s) {
            Some(offset_s) => parsed.instant(offset_s),
            None => {
                let second = self.zone.to_timestamp(parsed.second()).map_err(|_| TimeFault::OutOfRange)?;
                to_event_time(second, parsed.nanos)
            }
        }
    }

    /// What the fast way does not know: jiff's whole grammar.
    fn unusual(&self, text: &str) -> Result<EventTime, TimeFault> {
        if let Some(time) = with_offset(text) {
            return time;
        }
        // jiff's local times pass over an offset or a zone; we must not.
        if text.contains(['[', '+', 'Z', 'z']) || text.rfind('-').is_some_and(|at| at > 7) {
            return Err(TimeFault::Unreadable);
        }
        let local: jiff::civil::DateTime = text.parse().map_err(|_| TimeFault::Unreadable)?;
        let time = self.zone.to_timestamp(local).map_err(|_| TimeFault::OutOfRange)?;
        to_event_time(time, 0)
    }
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
