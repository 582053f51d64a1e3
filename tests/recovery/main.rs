//! All ways in which a shard is restored: over a store in memory where the log does not matter, otherwise with the daemon
//! and a real Kafka.

mod case;
#[path = "../store/disk/mod.rs"]
mod disk;
mod disk_faults;
mod lateness;
mod outages;
mod releases;
mod snapshots;
mod starts;

#[path = "../support/mod.rs"]
mod support;
