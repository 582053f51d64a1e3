//! Numbers as people and spreadsheets write them: with a decimal comma, and thousands in groups.

/// The sign before a number's fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decimal {
    Point,
    Comma,
}

impl Decimal {
    pub fn sign(self) -> char {
        match self {
            Self::Point => '.',
            Self::Comma => ',',
        }
    }

    pub fn other(self) -> Self {
        match self {
            Self::Point => Self::Comma,
            Self::Comma => Self::Point,
        }
    }
}

/// A number that was read with its signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spelled {
    /// The number as programs write it.
    pub plain: String,
    /// Whether its thousands were grouped.
    pub is_grouped: bool,
}

/// The number that a text is with this decimal sign; `None` when it is no number. Thousands may be grouped by
/// the other sign, a space or an apostrophe.
pub(super) fn spelled(text: &str, decimal: Decimal) -> Option<Spelled> {
    let text = text.trim();
    let (sign, rest) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        _ => ("", text),
    };
    let (number, exponent) = match rest.find(['e', 'E']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    if !exponent.is_empty() && exponent[1..].parse::<i32>().is_err() {
        return None;
    }
    let (whole, fraction) = number.split_once(decimal.sign()).unwrap_or((number, ""));
    let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let separator = whole.chars().find(|c| !c.is_ascii_digit());
    let digits = match separator {
        None => whole.to_owned(),
        Some(between) if separators(decimal).contains(&between) => {
            let groups: Vec<&str> = whole.split(between).collect();
            let first_is_right = (1..=3).contains(&groups[0].len()) && !groups[0].starts_with('0');
            if !first_is_right || groups[1..].iter().any(|group| group.len() != 3) {
                return None;
            }
            groups.concat()
        }
        Some(_) => return None,
    };
    if !is_digits(&digits) || !is_digits(fraction) || digits.len() + fraction.len() == 0 {
        return None;
    }
    let point = if fraction.is_empty() { "" } else { "." };
    let zero = if digits.is_empty() { "0" } else { "" };
    let plain = format!("{sign}{zero}{digits}{point}{fraction}{exponent}");
    Some(Spelled { plain, is_grouped: separator.is_some() })
}

fn separators(decimal: Decimal) -> [char; 6] {
    [decimal.other().sign(), ' ', '\u{a0}', '\u{202f}', '\'', '’']
}

/// Which decimal sign a text is evidence of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    Is(Decimal),
    /// `1,234` may be more than a thousand, or a little more than one.
    Either,
    None,
}

pub(super) fn evidence(text: &str) -> Evidence {
    if !text.contains(['.', ',']) {
        return Evidence::None;
    }
    match (spelled(text, Decimal::Point), spelled(text, Decimal::Comma)) {
        (Some(_), None) => Evidence::Is(Decimal::Point),
        (None, Some(_)) => Evidence::Is(Decimal::Comma),
        // Programs write it so. It is in doubt only when other numbers have commas.
        (Some(_), Some(_)) if !text.contains(',') => Evidence::None,
        (Some(_), Some(_)) => Evidence::Either,
        (None, None) => Evidence::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Decimal::{Comma, Point};

    #[test]
    fn numbers_are_read_with_their_signs_and_groups() {
        let read = |text, decimal| spelled(text, decimal).map(|s| (s.plain, s.is_grouped));
        for (text, decimal, want) in [
            ("116,75", Comma, "116.75"),
            (" -0,5 ", Comma, "-0.5"),
            (",5", Comma, "0.5"),
            ("+1,5e-3", Comma, "1.5e-3"),
            ("12", Comma, "12"),
            ("1.5", Point, "1.5"),
        ] {
            assert_eq!(read(text, decimal), Some((want.to_owned(), false)), "{text}");
        }
        for (text, decimal, want) in [
            ("1.234,5", Comma, "1234.5"),
            ("1.234", Comma, "1234"),
            ("12.345.678", Comma, "12345678"),
            ("1\u{a0}234,5", Comma, "1234.5"),
            ("1'234.5", Point, "1234.5"),
            ("1,234,567.25", Point, "1234567.25"),
        ] {
            assert_eq!(read(text, decimal), Some((want.to_owned(), true)), "{text}");
        }
        for (text, decimal) in [
            ("1.5", Comma),
            ("48.137090", Comma),
            ("0.123", Comma),
            ("1,5", Point),
            ("1.234.5", Comma),
            ("1.234 567", Comma),
            ("1,2,3", Comma),
            ("1234.567", Comma),
            ("", Comma),
            (",", Comma),
            ("NaN", Comma),
            ("2026-01-01", Point),
            ("1e", Point),
        ] {
            assert_eq!(read(text, decimal), None, "{text}");
        }
    }

    #[test]
    fn only_what_can_be_nothing_else_is_evidence() {
        for (text, want) in [
            ("1,5", Evidence::Is(Comma)),
            ("0,123", Evidence::Is(Comma)),
            ("1.234,5", Evidence::Is(Comma)),
            ("1.5", Evidence::Is(Point)),
            ("1,234.5", Evidence::Is(Point)),
            ("1,234", Evidence::Either),
            ("1.234", Evidence::None),
            ("12", Evidence::None),
            ("a,b", Evidence::None),
        ] {
            assert_eq!(evidence(text), want, "{text}");
        }
    }
}
