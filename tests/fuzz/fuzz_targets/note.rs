//! The note beside a committed offset.
#![no_main]
#![allow(dead_code)]

#[path = "../readers.rs"]
mod readers;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    readers::read_as("note", bytes);
});
