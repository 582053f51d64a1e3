//! Logical types as JSON. A value outside what its type can be is written as the number that it is.

use super::cursor::Cursor;
use crate::codec::BadRecord;
use crate::codec::formats::text::{number, quote};
use crate::schemas::Logical;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use std::fmt::{Display, Write as _};

const NANOS: i64 = 1_000_000_000;
/// Digits after the point that are written out.
const SCALE_MOST: usize = 60;

/// Writes a whole number.
pub fn whole(to: &mut String, logical: Logical, value: i64) {
    let time = |unit: i64| Timestamp::from_nanosecond(i128::from(value) * i128::from(NANOS / unit)).ok();
    let written = match logical {
        Logical::Instant(unit) => time(unit).map(|time| quoted(to, time)),
        Logical::LocalTime(unit) => {
            time(unit).map(|time| quoted(to, time.to_zoned(TimeZone::UTC).datetime()))
        }
        Logical::Date => {
            let epoch = Date::constant(1970, 1, 1);
            let days = i32::try_from(value).ok().and_then(|days| 0.days().try_days(days).ok());
            days.and_then(|days| epoch.checked_add(days).ok()).map(|date| quoted(to, date))
        }
        Logical::TimeOfDay(unit) => time_of_day(value, unit).map(|time| quoted(to, time)),
        _ => None,
    };
    if written.is_none() {
        to.push_str(itoa::Buffer::new().format(value));
    }
}

fn time_of_day(value: i64, unit: i64) -> Option<Time> {
    let (seconds, rest) = (value.div_euclid(unit), value.rem_euclid(unit));
    let hour = i8::try_from(seconds / 3_600).ok()?;
    let (minute, second) = ((seconds / 60 % 60) as i8, (seconds % 60) as i8);
    Time::new(hour, minute, second, (rest * (NANOS / unit)) as i32).ok()
}

fn quoted(to: &mut String, text: impl Display) {
    write!(to, "\"{text}\"").expect("a string takes everything");
}

/// Writes bytes: a decimal as a number, others as Base64, as Protobuf's JSON has them.
pub fn bytes(to: &mut String, logical: Logical, bytes: &[u8]) -> Result<(), BadRecord> {
    match (logical, bytes.len()) {
        (Logical::Decimal(scale), _) => decimal(to, bytes, i64::try_from(scale).unwrap_or(i64::MAX)),
        (Logical::BigDecimal, _) => {
            let mut from = Cursor(bytes);
            let unscaled = from.sized()?;
            decimal(to, unscaled, from.whole()?);
        }
        (Logical::Uuid, 16) => {
            let mut text = String::with_capacity(36);
            for (i, byte) in bytes.iter().enumerate() {
                let dash = if matches!(i, 4 | 6 | 8 | 10) { "-" } else { "" };
                write!(text, "{dash}{byte:02x}").expect("a string takes everything");
            }
            quote(to, &text);
        }
        (Logical::Duration, 12) => {
            let part = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four of twelve"));
            write!(to, "{{\"months\":{},\"days\":{},\"millis\":{}}}", part(0), part(4), part(8))
                .expect("a string takes everything");
        }
        _ => quote(to, &BASE64_STANDARD.encode(bytes)),
    }
    Ok(())
}

/// A whole number in two's complement, the highest byte first, divided by ten to the power of `scale`.
fn decimal(to: &mut String, bytes: &[u8], scale: i64) {
    let sign = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { 0xFF } else { 0 };
    // Bytes that only repeat the sign, of which one is kept.
    let repeated = bytes.windows(2).take_while(|two| two[0] == sign && (two[0] ^ two[1]) & 0x80 == 0).count();
    let bytes = &bytes[repeated..];
    let (first, rest) = bytes.split_at(bytes.len().min(16));
    let mut wide = [sign; 16];
    wide[16 - first.len()..].copy_from_slice(first);
    let unscaled = i128::from_be_bytes(wide);
    if !rest.is_empty() {
        let exponent = rest.len() as f64 * 256f64.log10() - scale as f64;
        return number(to, unscaled as f64 * 10f64.powf(exponent));
    }
    let digits = unscaled.unsigned_abs().to_string();
    to.push_str(if unscaled < 0 { "-" } else { "" });
    match usize::try_from(scale) {
        Ok(0) => to.push_str(&digits),
        Ok(scale @ 1..=SCALE_MOST) => {
            let digits = format!("{digits:0>width$}", width = scale + 1);
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            write!(to, "{whole}.{fraction}").expect("a string takes everything");
        }
        _ => write!(to, "{digits}e{}", -i128::from(scale)).expect("a string takes everything"),
    }
}
