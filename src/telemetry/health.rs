use crate::domain::{StreamName, TopicPartition};
use std::fmt;

/// Whether this process does its work, and what it waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Workers that the group has not assigned anything to yet, not even nothing.
    pub unassigned: Vec<usize>,
    pub restoring: Vec<(StreamName, TopicPartition)>,
    pub stopping: bool,
}

impl Readiness {
    pub fn is_ready(&self) -> bool {
        self.unassigned.is_empty() && self.restoring.is_empty() && !self.stopping
    }
}

/// What is waited for, a line each.
impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.stopping {
            writeln!(f, "stopping")?;
        }
        for worker in &self.unassigned {
            writeln!(f, "worker {worker} waits for its first assignment")?;
        }
        for (stream, shard) in &self.restoring {
            writeln!(f, "stream {stream}: shard {shard} is restoring")?;
        }
        Ok(())
    }
}

/// A worker that has not been heard of for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stalled {
    pub worker: usize,
    pub silent_seconds: u64,
}
