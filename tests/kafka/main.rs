//! The daemon's own process on a real Kafka.

mod case;
mod delivery;
mod harness;
mod late;
mod models;
mod refused;
mod seed;
#[path = "../support/mod.rs"]
mod support;
mod tap;
mod topics;
mod truncation;
