//! Faults of a config.

use std::fmt;

/// One fault of a config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The key with its path: `streams.power.horizon`.
    pub key: String,
    /// What is wrong and what is allowed.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.problem)
    }
}

/// All faults of a config, in the order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn push(&mut self, key: String, problem: String) {
        self.0.push(Fault { key, problem });
    }

    pub(super) fn sort(&mut self) {
        self.0.sort_by(|a, b| a.key.cmp(&b.key));
    }

    /// Whether there are no faults.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The faults, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = if self.0.len() == 1 { "fault" } else { "faults" };
        write!(f, "the config has {} {faults}", self.0.len())?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}
