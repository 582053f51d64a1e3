use super::TimeFault;
use crate::domain::EventTime;

/// What a unix time counts.
#[derive(Clone, Copy)]
pub enum Unit {
    Seconds,
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    /// The unit in which a time of this size lies between the years 1973 and 5138.
    fn of_size(whole: u64) -> Self {
        match whole {
            0..100_000_000_000 => Self::Seconds,
            100_000_000_000..100_000_000_000_000 => Self::Millis,
            100_000_000_000_000..100_000_000_000_000_000 => Self::Micros,
            _ => Self::Nanos,
        }
    }
}

/// The unix time that a text spells; without a unit, its size tells it.
///
/// # Errors
/// [`TimeFault`] when it spells no number or a time outside the sane range.
pub fn from_number(text: &str, unit: Option<Unit>) -> Result<EventTime, TimeFault> {
    let (negative, unsigned) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (whole, len) = digits(unsigned, usize::MAX);
    let (billionths, tail) = match &unsigned[len..] {
        [b'.', fraction @ ..] => {
            let (billionths, fraction_len) = billionths(fraction);
            if len + fraction_len == 0 {
                return Err(TimeFault::Unreadable);
            }
            (billionths, &fraction[fraction_len..])
        }
        _ if len == 0 => return Err(TimeFault::Unreadable),
        tail => (0, tail),
    };
    let (whole, billionths) = match (whole, tail) {
        (Some(whole), []) => (whole, billionths),
        (None, []) => return Err(TimeFault::OutOfRange),
        (_, [b'e' | b'E', ..]) => {
            let size = text.parse::<f64>().map_err(|_| TimeFault::Unreadable)?.abs();
            (size.trunc() as u64, (size.fract() * 1e9) as u64)
        }
        _ => return Err(TimeFault::Unreadable),
    };
    let micros = match unit.unwrap_or_else(|| Unit::of_size(whole)) {
        Unit::Seconds => whole.checked_mul(1_000_000).map(|m| m.saturating_add((billionths + 500) / 1_000)),
        Unit::Millis => {
            whole.checked_mul(1_000).map(|m| m.saturating_add((billionths + 500_000) / 1_000_000))
        }
        Unit::Micros => whole.checked_add((billionths + 500_000_000) / 1_000_000_000),
        Unit::Nanos => Some(whole / 1_000 + (whole % 1_000 + 500) / 1_000),
    };
    let micros = micros.and_then(|m| i64::try_from(m).ok()).ok_or(TimeFault::OutOfRange)?;
    Ok(EventTime::from_micros(if negative { -micros } else { micros })?)
}

/// The number that the leading digits spell, `None` when it is too large, and how many they are.
fn digits(text: &[u8], most: usize) -> (Option<u64>, usize) {
    let len = text.iter().take(most).take_while(|b| b.is_ascii_digit()).count();
    let push = |n: u64, b: &u8| n.checked_mul(10)?.checked_add(u64::from(b - b'0'));
    (text[..len].iter().try_fold(0, push), len)
}

/// The leading digits as a fraction, in billionths, the rest dropped; and how many they are.
pub fn billionths(text: &[u8]) -> (u64, usize) {
    let (read, read_len) = digits(text, 9);
    let len = read_len + text[read_len..].iter().take_while(|b| b.is_ascii_digit()).count();
    (read.unwrap_or(0) * 10_u64.pow(9 - read_len as u32), len)
}
