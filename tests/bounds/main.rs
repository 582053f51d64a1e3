//! What memory is said to be held is what is held; what comes and goes leaves nothing; and bytes from
//! anywhere get no more than they warrant.

mod allocator;
mod hostile;
mod judging;
#[path = "../fuzz/readers.rs"]
mod readers;
mod shards;
#[path = "../support/mod.rs"]
mod support;
