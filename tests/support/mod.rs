//! What integration tests share: a real Kafka broker, and the daemon's own process.
//!
//! Each test file takes what it needs, so some of this is unused in each.
#![allow(dead_code)]

pub mod daemon;
pub mod fleet;
pub mod kafka;
pub mod process;
pub mod stream;
