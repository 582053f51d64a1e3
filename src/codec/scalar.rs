//! The scalars of a record: strings out of their JSON text, and values out of numbers and texts.

/// What should have been a number or a string and is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongType;

/// The string whose JSON text, quotes and all, is `raw`; `scratch` is used only where it has escapes.
///
/// # Errors
/// [`WrongType`] for half a surrogate pair, which no string of ours can hold.
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

/// The character that `text`, which follows a backslash, begins with, and how many bytes it takes.
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
/// [`value_of_text`] reads it. `None` is a missing value; so is a number too large to be finite.
///
/// # Errors
/// [`WrongType`] for anything else.
pub fn value_of_json(raw: &str, scratch: &mut String) -> Result<Option<f64>, WrongType> {
    match raw.as_bytes().first() {
        Some(b'-' | b'0'..=b'9') => raw.parse().map(finite).map_err(|_| WrongType),
        Some(b'"') => value_of_text(string_of_json(raw, scratch)?),
        Some(b't') => Ok(Some(1.0)),
        Some(b'f') => Ok(Some(0.0)),
        Some(b'n') => Ok(None),
        _ => Err(WrongType),
    }
}

/// The value that a text spells. An empty one, `NA`, `null` and what is not finite are missing.
///
/// # Errors
/// [`WrongType`] when it spells no number.
pub fn value_of_text(text: &str) -> Result<Option<f64>, WrongType> {
    let text = text.trim();
    if text.is_empty() || text.eq_ignore_ascii_case("na") || text.eq_ignore_ascii_case("null") {
        return Ok(None);
    }
    text.parse().map(finite).map_err(|_| WrongType)
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_numbers_numeric_texts_and_booleans() {
        let value = |raw: &str| value_of_json(raw, &mut String::new());
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
        for raw in
            ["null", "\"\"", "\"NA\"", "\"NaN\"", "\"null\"", "\"-Infinity\"", "1e999", "-1e999", "\"1e999\""]
        {
            assert_eq!(value(raw), Ok(None), "{raw}");
        }
        for raw in ["{}", "[1]", "\"1,5\"", "\"on\"", "\"\\ud800\"", "\"0x10\""] {
            assert_eq!(value(raw), Err(WrongType), "{raw}");
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
