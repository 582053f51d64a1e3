//! What a daemon has said, as events.

use super::support::daemon::Daemon;
use serde_json::Value;
use std::time::{Duration, Instant};

pub const LIMIT: Duration = Duration::from_secs(60);

/// The events of this name, oldest first.
pub fn events(daemon: &Daemon, name: &str) -> Vec<Value> {
    let log = daemon.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["event"] == name).collect()
}

/// Waits until there are so many events of this name.
pub fn wait_for(daemon: &mut Daemon, name: &str, count: usize) -> Vec<Value> {
    let until = Instant::now() + LIMIT;
    loop {
        let found = events(daemon, name);
        if found.len() >= count {
            return found;
        }
        assert!(daemon.is_running(), "the daemon has ended:\n{}", daemon.log());
        assert!(Instant::now() < until, "{} of {count} {name}:\n{}", found.len(), daemon.log());
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// The events of this name by the partition that they are about.
pub fn by_partition(events: &[Value], partition: i32) -> &Value {
    let ending = format!("[{partition}]");
    let is_its = |event: &&Value| event["shard"].as_str().is_some_and(|shard| shard.ends_with(&ending));
    events.iter().rfind(is_its).unwrap_or_else(|| panic!("none of partition {partition} in {events:?}"))
}
