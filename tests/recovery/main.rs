//! Every way in which a shard may have to come back, and what becomes of it: over a store in memory
//! where the log plays no part, else with the daemon on a real Kafka.

mod case;
mod lateness;
mod outages;
mod shelf;
mod starts;

#[path = "../support/mod.rs"]
mod support;
