//! What a record costs: nanoseconds and allocations for decoding a reading and encoding a forecast.

#![allow(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tidecast::codec::{Decoder, Encoder, Record};
use tidecast::config::from_toml;
use tidecast::domain::{EventTime, Forecast, Offset, Partition, TargetForecast};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is handed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

const ROUNDS: usize = 20;
const CALLS: usize = 50_000;
const LEADS: usize = 24;

/// The best round's nanoseconds a call, and allocations a call.
fn measure(name: &str, mut call: impl FnMut(usize)) -> (f64, f64) {
    (0..CALLS).for_each(&mut call);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let mut best_ns = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        (0..CALLS).for_each(&mut call);
        best_ns = best_ns.min(start.elapsed().as_nanos() as f64 / CALLS as f64);
    }
    let allocations = (ALLOCATIONS.load(Ordering::Relaxed) - before) as f64 / (ROUNDS * CALLS) as f64;
    println!("{name:<34} {best_ns:>9.1} ns {allocations:>6.2} allocations");
    (best_ns, allocations)
}

fn main() {
    let stream = from_toml(
        r#"
        kafka.brokers = "localhost:9092"
        [streams.power]
        topics = ["meters"]
        targets = ["kw"]
        interval = "1h"
        fields = { series = "/id", time = "/ts" }
        "#,
        &[],
    )
    .expect("the bench's config is right")
    .streams[0]
        .clone();

    let mut decoder = Decoder::new(&stream);
    let mut decode = |name: &str, payload: &str| {
        let record = Record {
            topic: "meters",
            partition: Partition(0),
            offset: Offset(0),
            key: None,
            timestamp: None,
            payload: Some(payload.as_bytes()),
            headers: &(),
        };
        measure(name, |_| {
            decoder
                .decode(black_box(&record), &mut |reading| {
                    black_box(reading);
                })
                .expect("the bench's record is good");
        })
    };
    let (decode_ns, decode_allocations) =
        decode("decode, unix ms", r#"{"id":"meter-17","ts":1700000000000,"kw":1.234}"#);
    let (decode_rfc3339_ns, _) =
        decode("decode, RFC 3339", r#"{"id":"meter-17","ts":"2023-11-14T22:13:20.123Z","kw":1.234}"#);
    let (decode_nested_ns, _) = decode(
        "decode, escapes and other fields",
        r#"{"site":"Z\u00fcrich","id":"meter \"17\"","tags":{"a":[1,2,{"b":null}]},"ts":1700000000000,"kw":1.234}"#,
    );

    let mut encoder = Encoder::new(&stream);
    let value = |i: usize| (i as f64 * 0.737).sin() * 12.5;
    let forecasts: Vec<Forecast> = (0..64)
        .map(|n| {
            let target = TargetForecast {
                last: Some(value(n)),
                yhat: (0..LEADS).map(|i| value(n + i)).collect(),
                quantiles: (0..3 * LEADS).map(|i| value(n + i * 3)).collect(),
                decimals: 3,
                ..TargetForecast::default()
            };
            let hour = (1_700_000_000 + n as i64 * 3_600) * 1_000_000;
            Forecast::new(EventTime::from_micros(hour).expect("in range"), vec![target])
        })
        .collect();
    let mut out = Vec::new();
    let (encode_ns, encode_allocations) = measure("encode, 24 leads × 4", |i| {
        encoder.encode("meter-17", black_box(&forecasts[i % 64]), Some("power-000012"), &mut out);
        black_box(&out);
    });
    println!("{:<34} {:>9} bytes", "encoded", out.len());

    println!(
        "{}",
        serde_json::json!({
            "decode_ns": decode_ns, "decode_allocations": decode_allocations,
            "decode_rfc3339_ns": decode_rfc3339_ns, "decode_nested_ns": decode_nested_ns,
            "encode_ns": encode_ns, "encode_allocations": encode_allocations,
        })
    );
}
