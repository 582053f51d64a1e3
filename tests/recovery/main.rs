//! All ways in which a shard is restored: over a store in memory where the log does not matter, otherwise with the daemon
//! and a real Kafka.

mod case;
mod lateness;
mod outages;
mod releases;
mod snapshots;
mod starts;

#[path = "../support/mod.rs"]
mod support;
