use crate::domain::{StreamName, TopicPartition};
use std::fmt;

/// Whether this process does its work, and what it waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Workers that wait for their first assignment. An empty assignment counts as one.
    pub unassigned: Vec<usize>,
    /// Shards that do not run yet.
    pub restoring: Vec<(StreamName, TopicPartition)>,
    /// Workers that wait for Kafka, and why.
    pub waiting_for_kafka: Vec<(usize, String)>,
    /// Workers that have been silent for a while: they do not poll, as in a commit that no broker answers.
    pub silent: Vec<Stalled>,
    /// Workers that commit nothing, and why.
    pub blocked: Vec<(usize, String)>,
    /// Whether the process is stopping.
    pub stopping: bool,
}

impl Readiness {
    /// Whether the process waits for nothing and is not stopping.
    pub fn is_ready(&self) -> bool {
        let Self { unassigned, restoring, waiting_for_kafka, blocked, silent, stopping } = self;
        let waits = !unassigned.is_empty() || !restoring.is_empty() || !waiting_for_kafka.is_empty();
        !waits && blocked.is_empty() && silent.is_empty() && !stopping
    }
}

/// One line for each thing that the process waits for.
impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.stopping {
            writeln!(f, "stopping")?;
        }
        for (worker, cause) in &self.waiting_for_kafka {
            writeln!(f, "worker {worker} waits for Kafka: {cause}")?;
        }
        for Stalled { worker, silent_seconds } in &self.silent {
            writeln!(f, "worker {worker} has been silent for {silent_seconds} s")?;
        }
        for worker in &self.unassigned {
            writeln!(f, "worker {worker} waits for its first assignment")?;
        }
        for (worker, why) in &self.blocked {
            writeln!(f, "worker {worker}: {why}")?;
        }
        for (stream, shard) in &self.restoring {
            writeln!(f, "stream {stream}: shard {shard} is restoring")?;
        }
        Ok(())
    }
}

/// A worker that has been silent for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stalled {
    /// The worker's number.
    pub worker: usize,
    /// For how long it has been silent.
    pub silent_seconds: u64,
}
