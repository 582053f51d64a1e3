//! Gives changed inputs to every reader of outside bytes: a fuzzer without coverage, which needs no other compiler
//! and no other build.
//!
//! | variable | effect |
//! | --- | --- |
//! | `TIDECAST_FUZZ_RUNS=1000000` | so many inputs for each reader, times its share |
//! | `TIDECAST_FUZZ_SEED=7` | other inputs |
//! | `TIDECAST_FUZZ_READER=json` | this reader only |
//!
//! An input that makes a reader panic, or takes too much memory, is written to `tests/fuzz/kept/<reader>/`. From
//! there every test run reads it again.

use super::allocator::most;
use super::readers;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Inputs of each reader in a usual test run, times its share.
const RUNS: u64 = 400;
/// Accepted inputs that are changed further.
const SEEDS_MAX: usize = 256;
const BYTES_MAX: usize = 8_192;

/// How many more inputs than others a quick reader gets.
fn share(reader: &str) -> f64 {
    match reader {
        "json" | "headers" | "note" | "announcement" => 10.0,
        "http" => 0.2,
        "restore" | "config" => 0.5,
        _ => 1.0,
    }
}

/// The memory that may be taken for so many bytes.
fn allowed(reader: &str, bytes: usize) -> usize {
    let times = match reader {
        "json" | "headers" | "note" => 64,
        "part" => 1 << 15,
        _ => 1 << 10,
    };
    (1 << 20) + times * bytes
}

fn kept(reader: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/kept").join(reader)
}

/// The inputs that were found and kept.
fn found(reader: &str) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(kept(reader)) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

const WORDS: [&str; 40] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ",",
    ":",
    "null",
    "true",
    "-1",
    "1e308",
    "1e-400",
    "NaN",
    "\\u0000",
    "\\ud800",
    "\0",
    "\r\n",
    " ",
    "%",
    "%00",
    "../",
    "?",
    "=",
    ";",
    "@=",
    "\u{feff}",
    "é",
    "\"id\":",
    "\"ts\":",
    "\"format\":",
    "18446744073709551615",
    "-9223372036854775808",
    "9999-12-31T23:59:59Z",
    "[[",
    "''",
    "Content-Length: ",
    "Transfer-Encoding: chunked",
    "F64",
    "\"offset\":",
    "\"parts\":[",
];

/// Changes an input: half of the time one byte, else one to four places.
fn change(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], rng: &mut ChaCha8Rng) {
    if rng.random() && !bytes.is_empty() {
        let at = rng.random_range(0..bytes.len());
        bytes[at] ^= 1 << rng.random_range(0..8);
        return;
    }
    for _ in 0..rng.random_range(1..=4) {
        let length = bytes.len();
        let at = rng.random_range(0..=length);
        let end = (at + rng.random_range(0..=32)).min(length);
        match rng.random_range(0..10) {
            0 if at < length => bytes[at] ^= 1 << rng.random_range(0..8),
            1 if at < length => bytes[at] = rng.random(),
            2 => bytes.insert(at, rng.random()),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let piece = bytes[at..end].to_vec();
                let to = rng.random_range(0..=length);
                bytes.splice(to..to, piece);
            }
            5 => {
                let word = WORDS.choose(rng).expect("there are some");
                bytes.splice(at..at, word.bytes());
            }
            6 => {
                let other = seeds.choose(rng).expect("there is one");
                let from = rng.random_range(0..=other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            7 => {
                let wide: u64 = *[0, 1, 127, 255, 32_768, u64::from(u32::MAX), u64::MAX, rng.random()]
                    .choose(rng)
                    .expect("there are some");
                let size = [1, 2, 4, 8][rng.random_range(0..4)].min(length - at);
                bytes[at..at + size].copy_from_slice(&wide.to_le_bytes()[..size]);
            }
            8 => {
                // Digits stay digits, so that numbers stay numbers.
                for byte in &mut bytes[at..end] {
                    if byte.is_ascii_digit() {
                        *byte = b'0' + rng.random_range(0..10);
                    }
                }
            }
            _ => {
                let piece = bytes[at..end].to_vec();
                for _ in 0..rng.random_range(0..20) {
                    bytes.splice(at..at, piece.iter().copied());
                }
            }
        }
        bytes.truncate(BYTES_MAX);
    }
}

/// Gives one input to a reader; what is found is kept.
fn give(name: &str, reader: fn(&[u8]) -> bool, bytes: &[u8]) -> bool {
    let mut accepted = false;
    let outcome = catch_unwind(AssertUnwindSafe(|| most(|| accepted = reader(bytes))));
    if !matches!(outcome, Ok(most) if most <= allowed(name, bytes.len())) {
        std::fs::create_dir_all(kept(name)).unwrap();
        let mut sum = 0xcbf2_9ce4_8422_2325_u64;
        bytes.iter().for_each(|byte| sum = (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
        let file = kept(name).join(format!("{sum:016x}"));
        std::fs::write(&file, bytes).unwrap();
        let took = outcome.unwrap_or_else(|cause| {
            eprintln!("{name}: panicked at {}", file.display());
            std::panic::resume_unwind(cause)
        });
        panic!("{name}: {took} bytes of memory for the {} bytes of {}", bytes.len(), file.display());
    }
    accepted
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|e| panic!("{variable}: {e}")))
}

#[test]
fn no_change_of_a_right_input_makes_a_reader_panic_or_takes_its_memory() {
    let runs = number("TIDECAST_FUZZ_RUNS").unwrap_or(RUNS) as f64;
    let only = std::env::var("TIDECAST_FUZZ_READER").ok();
    for (name, reader) in readers::ALL {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(number("TIDECAST_FUZZ_SEED").unwrap_or(1));
        let mut seeds: Vec<Vec<u8>> =
            readers::right().into_iter().filter(|(of, _)| *of == name).map(|(_, bytes)| bytes).collect();
        assert!(!seeds.is_empty(), "{name} has no right input");
        // What is allocated once, at the first input.
        reader(&seeds[0]);
        for bytes in found(name) {
            give(name, reader, &bytes);
            seeds.push(bytes);
        }
        let wanted = (runs * share(name)) as u64;
        let (mut accepted, mut bytes) = (0_u64, Vec::new());
        for _ in 0..wanted {
            bytes.clone_from(seeds.choose(&mut rng).expect("there is one"));
            change(&mut bytes, &seeds, &mut rng);
            if give(name, reader, &bytes) {
                accepted += 1;
                if seeds.len() < SEEDS_MAX {
                    seeds.push(bytes.clone());
                } else {
                    // The first is right, and stays.
                    let place = rng.random_range(1..SEEDS_MAX);
                    seeds[place].clone_from(&bytes);
                }
            }
        }
        println!("{name}: {wanted} inputs, {accepted} accepted");
        assert!(
            accepted > 0,
            "{name} accepts nothing: the changes are too rough to get beyond its first check"
        );
    }
}
