//! Text for HTML and SVG.

/// Escapes text for an element or a quoted attribute, and drops what XML does not allow.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' | '\r' => out.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => out.push(c),
        }
    }
    out
}

/// A text shortened to `most` characters, the last of which is an ellipsis when it was shortened.
pub fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut out = if number < 0 { String::from("−") } else { String::new() };
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_break_out_is_escaped() {
        assert_eq!(escape("<a b=\"c\">&'\u{0}\u{7}é"), "&lt;a b=&quot;c&quot;&gt;&amp;&#39;é");
        assert_eq!(shortened("abcdef", 4), "abc…");
        assert_eq!(
            (grouped(1_234_567), grouped(-1_000), grouped(7)),
            ("1,234,567".into(), "−1,000".into(), "7".into())
        );
    }
}
