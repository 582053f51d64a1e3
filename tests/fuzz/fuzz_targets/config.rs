//! A config file.
#![no_main]
#![allow(dead_code)]

#[path = "../readers.rs"]
mod readers;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    readers::config(text);
});
