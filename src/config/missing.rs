//! `missing`: what a field holds in place of a missing value.

use super::key::{Key, Preset};
use super::kinds::{Mixed, mixed};
use super::section::Section;
use serde_json::Value;

/// Texts that mean a missing value in every stream, beside those that spell a number which is not finite.
/// Compared without regard to the case of ASCII letters.
pub const MISSING_TEXTS: [&str; 33] = [
    "",
    "-",
    "--",
    "---",
    ".",
    "?",
    "na",
    "n/a",
    "<na>",
    "#n/a",
    "#na",
    "nat",
    "null",
    "none",
    "nil",
    "(null)",
    "missing",
    "unavailable",
    "not available",
    "unknown",
    "undefined",
    "invalid",
    "no data",
    "nodata",
    "no_data",
    "#value!",
    "#div/0!",
    "#num!",
    "#null!",
    "#ref!",
    "#name?",
    "1.#qnan",
    "-1.#ind",
];

/// The values that mean a missing value in a stream, beside null and [`MISSING_TEXTS`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Missing {
    numbers: Vec<f64>,
    texts: Vec<String>,
    /// Latitudes and longitudes that mean a missing position.
    pub positions: Vec<[f64; 2]>,
}

impl Missing {
    /// Whether a number means a missing value.
    #[inline]
    pub fn has_number(&self, value: f64) -> bool {
        self.numbers.contains(&value)
    }

    /// Whether a trimmed text, which spells no number, means a missing value.
    pub fn has_text(&self, text: &str) -> bool {
        let same = |marker: &str| marker.eq_ignore_ascii_case(text);
        MISSING_TEXTS.iter().any(|marker| same(marker)) || self.texts.iter().any(|marker| same(marker))
    }
}

pub(super) static MISSING: Key<Mixed> = mixed(
    "missing",
    Mixed {
        words: "list of numbers and strings",
        preset: Preset::Nothing("none", r#"[-200, "off"]"#),
        form: "strings in any case of letters",
        schema: r#"{ "type": ["array", "string", "number"], "items": { "type": ["string", "number"] } }"#,
    },
    "Values that mean a missing value in any field, beside null, the empty string, `-`, `?`, `NaN`, `NA`, `N/A`, \
     `null`, `none`, `unavailable`, `unknown` and the like.",
);

pub(super) fn missing(f: &mut Section<'_>) -> Missing {
    let mut missing = Missing::default();
    let mut texts: Vec<&str> = Vec::new();
    match f.value(&MISSING) {
        None => {}
        // A variable of the environment is one string.
        Some(Value::String(all)) => texts.extend(all.split(',')),
        Some(Value::Number(number)) => missing.numbers.extend(number.as_f64()),
        Some(Value::Array(items)) if items.iter().all(|i| i.is_number() || i.is_string()) => {
            missing.numbers.extend(items.iter().filter_map(Value::as_f64));
            texts.extend(items.iter().filter_map(Value::as_str));
        }
        Some(other) => {
            f.fault(
                "missing",
                format!("is {other}; it must be a list of numbers and texts, like [-200, \"off\"]"),
            );
        }
    }
    for text in texts.into_iter().map(str::trim) {
        // A number as a text means that number, however it is written.
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => missing.numbers.push(number),
            _ => missing.texts.push(text.to_owned()),
        }
    }
    missing
}
