//! `fields.records`: where the readings of a batch lie inside a record.

use super::key::{Key, Preset};
use super::kinds::{Text, text};
use super::section::Section;
use std::sync::Arc;

/// The most levels of a batch.
pub(super) const LEVELS_MAX: usize = 8;

/// The path from a record to the elements that are readings, level by level. Each part leads to an array or an
/// object; its elements or members are the next level. Where the path does not end in `*`, the last part may
/// also lead to an object that is an element itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records {
    /// One part a level, each a JSON pointer, split and unescaped.
    pub parts: Vec<Arc<[String]>>,
    /// Whether the members of an object at the last level are elements.
    pub ends_in_star: bool,
}

impl Records {
    /// How many levels lie above an element.
    pub fn levels(&self) -> usize {
        self.parts.len()
    }
}

pub(super) static RECORDS: Key<Text> = text(
    "records",
    Preset::Nothing("none: a record is a reading, or an array of readings", "/metrics"),
    "a JSON pointer in which `*` stands for all elements of an array or members of an object; 1 to 8 levels",
    "Where the readings of a batch lie inside a record; the other places are then those of an element.",
);

pub(super) fn records(f: &mut Section<'_>) -> Option<Records> {
    let text = f.optional_text(&RECORDS)?;
    let keys = split(&text);
    let ends_in_star = keys.as_ref().is_some_and(|keys| keys.last().is_some_and(|key| key == "*"));
    let mut parts: Vec<Arc<[String]>> =
        keys.iter().flat_map(|keys| keys.split(|key| key == "*")).map(Arc::from).collect();
    if ends_in_star {
        // Nothing follows the last star.
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
