//! Writes the JSON text of an element.

use std::fmt::Write as _;

/// Writes members of nested objects into a buffer, which it clears first.
pub(super) struct ObjectText<'a> {
    to: &'a mut String,
    /// Whether the next member is the first of its object.
    is_first: bool,
}

impl<'a> ObjectText<'a> {
    /// Begins an object.
    pub fn begin(to: &'a mut String) -> Self {
        to.clear();
        to.push('{');
        Self { to, is_first: true }
    }

    /// Ends the object; returns its text.
    pub fn end(self) -> &'a str {
        self.to.push('}');
        self.to
    }

    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.is_first) {
            self.to.push(',');
        }
        quote(self.to, name);
        self.to.push(':');
    }

    pub fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        quote(self.to, value);
    }

    /// A member whose value is JSON already.
    pub fn raw(&mut self, name: &str, json: &str) {
        self.name(name);
        self.to.push_str(json);
    }

    pub fn whole(&mut self, name: &str, value: impl itoa::Integer) {
        self.raw(name, itoa::Buffer::new().format(value));
    }

    /// A number; one that JSON does not have as a text like `"NaN"`.
    pub fn number(&mut self, name: &str, value: f64) {
        self.name(name);
        number(self.to, value);
    }

    pub fn flag(&mut self, name: &str, value: bool) {
        self.raw(name, if value { "true" } else { "false" });
    }

    /// A member that is an object.
    pub fn object(&mut self, name: &str, members: impl FnOnce(&mut Self)) {
        self.name(name);
        self.to.push('{');
        self.is_first = true;
        members(self);
        self.to.push('}');
        self.is_first = false;
    }
}

/// Appends a number; one that JSON does not have as a text like `"NaN"`.
pub(super) fn number(to: &mut String, value: f64) {
    let quotes = if value.is_finite() { "" } else { "\"" };
    write!(to, "{quotes}{value:?}{quotes}").expect("a string takes everything");
}

/// Appends a text in quotes, escaped.
pub(super) fn quote(to: &mut String, text: &str) {
    to.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c < ' ' || matches!(c, '"' | '\\')) {
        to.push_str(&rest[..at]);
        let c = rest.as_bytes()[at];
        match c {
            b'"' | b'\\' => {
                to.push('\\');
                to.push(char::from(c));
            }
            _ => write!(to, "\\u{c:04x}").expect("a string takes everything"),
        }
        rest = &rest[at + 1..];
    }
    to.push_str(rest);
    to.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_text_and_number_comes_back(name in any::<String>(), value in any::<String>(), number in any::<f64>()) {
            let mut buffer = String::from("left over");
            let mut object = ObjectText::begin(&mut buffer);
            object.object("o", |o| { o.text(&name, &value); o.number("n", number); });
            object.object("empty", |_| {});
            object.whole("w", -5);
            let text = object.end();
            let back: serde_json::Value = serde_json::from_str(text).unwrap();
            prop_assert_eq!(&back["w"], &serde_json::json!(-5));
            if name != "n" {
                prop_assert_eq!(&back["o"][&name], &serde_json::json!(value));
            }
            if number.is_finite() {
                // As the decoder reads it, to the last bit.
                let written = text.rsplit("\"n\":").next().and_then(|rest| rest.split('}').next());
                prop_assert_eq!(written.and_then(|number| number.parse().ok()), Some(number));
            }
        }
    }
}
