//! A shard's cut: two bytes for the head's length, the head, the rows.
#![no_main]
#![allow(dead_code)]

#[path = "../readers.rs"]
mod readers;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return };
    let (head, rows) = rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len()));
    readers::restore(head, rows);
});
