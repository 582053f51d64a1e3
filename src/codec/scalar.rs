//! The scalars of a record: strings out of their JSON text, and values out of numbers and texts.

use crate::config::Missing;
use crate::telemetry::MissingValue;

/// A value that should have been a number or a string and is neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongType;

/// The string whose JSON text, quotes and all, is `raw`; `scratch` is used only where it has escapes.
///
/// # Errors
/// [`WrongType`] for half a surrogate pair, which no Rust string can hold.
pub fn string_of_json<'a>(raw: &'a str, scratch: &'a mut String) -> Result<&'a str, WrongType> {
    let inner = raw.strip_prefix('"').and_then(|r| r.strip_suffix('"')).ok_or(WrongType)?;
    if !inner.as_bytes().contains(&b'\\') {
        return Ok(inner);
    }
    scratch.clear();
    let mut rest = inner;
    while let Some((plain, escape)) = rest.split_once('\\') {
        scratch.push_str(plain);
        let (character, len) = unescape(escape).ok_or(WrongType)?;
        scratch.push(character);
        rest = &escape[len..];
    }
    scratch.push_str(rest);
    Ok(scratch)
}

/// The character at the start of `text`, which follows a backslash, and the number of bytes that it takes.
fn unescape(text: &str) -> Option<(char, usize)> {
    let plain = match text.as_bytes().first()? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let hex4 = |at: usize| u32::from_str_radix(text.get(at..at + 4)?, 16).ok();
            let high = hex4(1)?;
            if !(0xD800..0xDC00).contains(&high) {
                return Some((char::from_u32(high)?, 5));
            }
            let low = text.get(5..7).filter(|escape| *escape == "\\u").and_then(|_| hex4(7))?;
            let low = low.checked_sub(0xDC00).filter(|low| *low < 0x400)?;
            return Some((char::from_u32(0x1_0000 + ((high - 0xD800) << 10) + low)?, 11));
        }
        _ => return None,
    };
    Some((plain, 1))
}

/// The value whose JSON text is `raw`: a number, a boolean as 0 or 1, null, or a string as
/// [`value_of_text`] reads it. `None` is null.
///
/// # Errors
/// Why the value is missing.
pub fn value_of_json(
    raw: &str,
    missing: &Missing,
    scratch: &mut String,
) -> Result<Option<f64>, MissingValue> {
    let number = match raw.as_bytes().first() {
        Some(b'-' | b'0'..=b'9') => raw.parse().map_err(|_| MissingValue::Unreadable)?,
        Some(b'"') => {
            let text = string_of_json(raw, scratch).map_err(|WrongType| MissingValue::Unreadable)?;
            return value_of_text(text, missing).map(Some);
        }
        Some(b't') => 1.0,
        Some(b'f') => 0.0,
        Some(b'n') => return Ok(None),
        _ => return Err(MissingValue::Unreadable),
    };
    value_of_number(number, missing).map(Some)
}

/// The value that a text spells.
///
/// # Errors
/// Why the value is missing.
pub fn value_of_text(text: &str, missing: &Missing) -> Result<f64, MissingValue> {
    let text = text.trim();
    match text.parse() {
        Ok(number) => value_of_number(number, missing),
        Err(_) if missing.has_text(text) => Err(MissingValue::Marker),
        Err(_) => Err(MissingValue::Unreadable),
    }
}

#[inline]
fn value_of_number(number: f64, missing: &Missing) -> Result<f64, MissingValue> {
    match number {
        _ if !number.is_finite() => Err(MissingValue::NotFinite),
        _ if missing.has_number(number) => Err(MissingValue::Marker),
        _ => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_numbers_numeric_texts_and_booleans() {
        let value = |raw: &str| value_of_json(raw, &Missing::default(), &mut String::new());
        for (raw, want) in [
            ("1.5", 1.5),
            ("-0.25e1", -2.5),
            ("18446744073709551616", 18446744073709551616.0),
            ("\"1.5\"", 1.5),
            ("\" +2 \"", 2.0),
            ("\"\\u0031\"", 1.0),
            ("true", 1.0),
            ("false", 0.0),
            ("5e-324", 5e-324),
        ] {
            assert_eq!(value(raw), Ok(Some(want)), "{raw}");
        }
        assert_eq!(value("null"), Ok(None));
        for (why, all) in [
            (
                MissingValue::NotFinite,
                &["\"NaN\"", "\"-Infinity\"", "\"+Inf\"", "\" nan \"", "1e999", "-1e999", "\"1e999\""][..],
            ),
            (
                MissingValue::Marker,
                &[
                    "\"\"",
                    "\" \"",
                    "\"NA\"",
                    "\"n/a\"",
                    "\"Null\"",
                    "\"NONE\"",
                    "\"-\"",
                    "\"--\"",
                    "\"?\"",
                    "\" Unavailable \"",
                    "\"unknown\"",
                    "\"undefined\"",
                    "\"#DIV/0!\"",
                ],
            ),
            (
                MissingValue::Unreadable,
                &["{}", "[1]", "\"1,5\"", "\"on\"", "\"\\ud800\"", "\"0x10\"", "\"230 W\""],
            ),
        ] {
            for raw in all {
                assert_eq!(value(raw), Err(why), "{raw}");
            }
        }
    }

    /// Every text that is compared has the case that the comparison expects.
    #[test]
    fn the_usual_texts_spell_no_number() {
        for text in crate::config::MISSING_TEXTS {
            assert!(text.parse::<f64>().is_err() && text == text.trim().to_ascii_lowercase(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn strings_are_read_as_serde_json_reads_them(
            inner in r#"([a-zé😀]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}|\\ud83d\\ude0[0-9]|\\ud[89ab][0-9]{2}){0,8}"#
        ) {
            let raw = format!("\"{inner}\"");
            let mut scratch = String::from("left over");
            let got = string_of_json(&raw, &mut scratch).ok().map(str::to_owned);
            prop_assert_eq!(got, serde_json::from_str::<String>(&raw).ok());
        }
    }
}
