//! The members of an object as one text, which names a series.

use crate::codec::scalar::{WrongType, string_of_json};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Writes all members of an object that are strings, numbers or booleans as `NAME=VALUE`, in the order of their names,
/// with commas between; what would be read as one of these signs gets a backslash before it. The one that is `left_out`
/// says what another place says.
pub fn members(object: &str, left_out: Option<&str>, to: &mut String) -> Result<(), WrongType> {
    let mut members: BTreeMap<Cow<'_, str>, &RawValue> =
        serde_json::from_str(object).map_err(|_| WrongType)?;
    members.retain(|name, value| value.get() != "null" && Some(&**name) != left_out);
    to.clear();
    let mut scratch = String::new();
    for (i, (name, value)) in members.iter().enumerate() {
        if i > 0 {
            to.push(',');
        }
        let raw = value.get();
        let value = match raw.as_bytes()[0] {
            b'"' => string_of_json(raw, &mut scratch)?,
            b'{' | b'[' => return Err(WrongType),
            _ => raw,
        };
        for (text, sign) in [(&**name, "="), (value, "")] {
            for c in text.chars() {
                if matches!(c, ',' | '=' | '\\') {
                    to.push('\\');
                }
                to.push(c);
            }
            to.push_str(sign);
        }
    }
    Ok(())
}
