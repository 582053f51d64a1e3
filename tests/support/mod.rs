//! Shared by the integration tests: a real Kafka broker, and the daemon as a process.
//!
//! Each test uses only a part of it, so some of it is unused in each.
#![allow(dead_code, reason = "not every test needs all of it")]

pub mod broker;
pub mod daemon;
pub mod fleet;
pub mod kafka;
pub mod process;
pub mod proxy;
pub mod quiet;
pub mod stream;
