//! Memory is bounded: what a shard reports is what it holds, series that come and go leave nothing behind, and
//! hostile bytes get no more than their size warrants.

mod allocator;
mod hostile;
mod judging;
mod mutations;
#[path = "../fuzz/readers.rs"]
mod readers;
mod shards;
#[path = "../support/mod.rs"]
mod support;
