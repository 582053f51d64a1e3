//! `fields.records`: where the readings of a batch lie inside a record.

use super::section::Section;
use std::sync::Arc;

/// The most levels of a batch.
pub(super) const LEVELS_MAX: usize = 8;

/// The way from a record to the elements that are readings, level by level: at the end of each part of it
/// stand an array's elements or an object's members. After the last part an object may stand that is an
/// element itself, where the way does not end in `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records {
    /// One part a level, each a JSON pointer, split and unescaped.
    pub parts: Vec<Arc<[String]>>,
    /// Whether the last level's members are elements even of an object.
    pub ends_in_star: bool,
}

impl Records {
    /// How many levels lie above an element.
    pub fn levels(&self) -> usize {
        self.parts.len()
    }
}

pub(super) fn records(f: &mut Section<'_>) -> Option<Records> {
    let text = f.text_or("records")?;
    let keys = split(&text);
    let ends_in_star = keys.as_ref().is_some_and(|keys| keys.last().is_some_and(|key| key == "*"));
    let mut parts: Vec<Arc<[String]>> =
        keys.iter().flat_map(|keys| keys.split(|key| key == "*")).map(Arc::from).collect();
    if ends_in_star {
        // What follows the last star is nothing.
        parts.pop();
    }
    if !(1..=LEVELS_MAX).contains(&parts.len()) {
        f.fault(
            "records",
            format!(
                "is \"{text}\"; it must be a JSON pointer like \"/metrics\", in which \"*\" stands for all \
                 elements of an array or members of an object, with 1 to {LEVELS_MAX} levels"
            ),
        );
        return None;
    }
    Some(Records { parts, ends_in_star })
}

/// The keys of a JSON pointer, unescaped.
pub(super) fn split(pointer: &str) -> Option<Vec<String>> {
    let keys = pointer.strip_prefix('/')?.split('/');
    Some(keys.map(|key| key.replace("~1", "/").replace("~0", "~")).collect())
}
