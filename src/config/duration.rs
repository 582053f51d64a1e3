//! How a duration is written: a number and a unit.

use std::time::Duration;

/// The units, longest first, in milliseconds.
const UNITS: [(&str, u128); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A duration as a regular expression, for editors.
pub(super) const PATTERN: &str = r"^\s*\+?[0-9.]+\s*(ms|s|m|min|h|d|w)\s*$";

/// Reads `250ms`, `90s`, `15m` (or `15min`), `1h`, `1d`, `2w`. `None` for anything else, such as a number
/// without a unit.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        "w" => 604_800.0,
        _ => return None,
    };
    let number: f64 = number.trim().parse().ok()?;
    Duration::try_from_secs_f64(number * seconds).ok()
}

/// Writes a duration in the longest unit that it is a multiple of.
pub(super) fn written(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms == 0 {
        return "0s".to_owned();
    }
    // A year is known by its days, not by its weeks.
    let units = if ms > 604_800_000 { &UNITS[1..] } else { &UNITS };
    let (unit, length) = units.iter().find(|(_, length)| ms.is_multiple_of(*length)).expect("a millisecond");
    format!("{}{unit}", ms / length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration("90s"), Some(Duration::from_secs(90)));
        assert_eq!(parse_duration("1.5h"), Some(Duration::from_secs(5400)));
        assert_eq!(parse_duration("1w"), Some(Duration::from_secs(604_800)));
        assert_eq!(parse_duration("12"), None);
        assert_eq!(parse_duration("-1s"), None);
        assert_eq!(parse_duration("1e400d"), None);
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["0s", "250ms", "20s", "15m", "1h", "1d", "1w", "30d", "36500d"] {
            assert_eq!(written(parse_duration(text).unwrap()), text);
        }
    }
}
