//! A shard's cut: two bytes for the head's length, the head, the rows.
#![no_main]
#![allow(dead_code)]

#[path = "../readers.rs"]
mod readers;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    readers::restore_at_once(bytes);
});
