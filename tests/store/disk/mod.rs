//! A disk that fails: a file system of the test's own (FUSE), which notes every change and what was synced. From its
//! journal a test makes what a power loss may leave.
//!
//! POSIX promises little. What was not synced may be there or not, each change by itself: of a file the pieces that
//! were written, of a folder its names. So a name can be durable before the content of its file is, a file can have
//! a hole, and what was deleted can come back.

#![allow(dead_code, reason = "not every test needs all of it")]

mod journal;
mod mount;

pub use journal::{Fault, Survival};
pub use mount::Disk;
