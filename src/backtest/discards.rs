//! Readings and rows that gave no forecast, by reason.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// How many there were of each reason, and the first of them.
#[derive(Debug, Default)]
pub(super) struct Discards(BTreeMap<&'static str, (u64, String)>);

impl Discards {
    /// Adds `count`. Only the first of a reason needs `example`.
    pub fn add(&mut self, reason: &'static str, count: u64, example: impl FnOnce() -> String) {
        if count > 0 {
            self.0.entry(reason).or_insert_with(|| (0, example())).0 += count;
        }
    }

    pub fn of(&self, reason: &str) -> u64 {
        self.0.get(reason).map_or(0, |(count, _)| *count)
    }

    pub fn total(&self) -> u64 {
        self.0.values().map(|(count, _)| count).sum()
    }

    /// A line for each reason; empty without any.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let words = self.0.keys().map(|reason| reason.len()).max().unwrap_or(0);
        let digits = self.0.values().map(|(count, _)| count.to_string().len()).max().unwrap_or(0);
        for (reason, (count, example)) in &self.0 {
            let _ = write!(out, "\n  {reason:<words$}  {count:>digits$}  the first: {example}");
        }
        out
    }

    /// An object with `count` and `example` for each reason.
    pub fn to_json(&self) -> Value {
        let one = |(reason, (count, example)): (&&'static str, &(u64, String))| {
            ((*reason).to_owned(), json!({"count": count, "example": example}))
        };
        Value::Object(self.0.iter().map(one).collect())
    }
}
