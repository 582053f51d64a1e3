//! Snapshots: how small zstd makes rows of sensor state, and how fast they go into a store and out.
//! The yardstick is zstd's level 1 on the bytes as they lie.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Instant;
use tidecast::checkpoint::{Facts, SnapshotId, Snapshots, Store};
use tidecast::config::{Store as Config, StoreLocation};
use tidecast::domain::{EventTime, Generation, Offset, Partition, StreamName, TopicPartition};

const CHUNK: usize = 4 << 20;
const CHUNKS: usize = 32;
/// Floats of a row: one series' state or window.
const ROW: usize = 512;
const TURNS: usize = 3;

/// Rows that each walk at random from a level of their own, as windows of readings do.
fn walks() -> Vec<Vec<u8>> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    (0..CHUNKS)
        .map(|_| {
            let mut chunk = Vec::with_capacity(CHUNK);
            while chunk.len() < CHUNK {
                let mut value = random.random_range(-10.0f32..10.0);
                for _ in 0..ROW {
                    value += random.random_range(-0.1f32..0.1);
                    chunk.extend(value.to_le_bytes());
                }
            }
            chunk
        })
        .collect()
}

/// First bytes, second bytes, third and fourth: exponents beside exponents.
fn by_planes(chunk: &[u8]) -> Vec<u8> {
    (0..4).flat_map(|plane| chunk.iter().skip(plane).step_by(4)).copied().collect()
}

/// The best of a few turns, in MB of raw bytes a second.
fn speed(bytes: usize, mut work: impl FnMut()) -> f64 {
    let turn = |work: &mut dyn FnMut()| {
        let began = Instant::now();
        work();
        bytes as f64 / 1e6 / began.elapsed().as_secs_f64()
    };
    (0..TURNS).map(|_| turn(&mut work)).fold(0.0, f64::max)
}

fn main() {
    let chunks = walks();
    let raw = CHUNK * CHUNKS;
    let planes: Vec<Vec<u8>> = chunks.iter().map(|chunk| by_planes(chunk)).collect();
    let mut figures = Map::new();
    println!("{:<28} {:>8} {:>12} {:>12}", "", "ratio", "in, MB/s", "out, MB/s");
    let mut row = |name: &str, ratio: f64, there: f64, back: f64| {
        println!("{name:<28} {ratio:>8.3} {there:>12.0} {back:>12.0}");
        figures.insert(name.into(), json!({ "ratio": ratio, "in_mb_s": there, "out_mb_s": back }));
    };
    for (name, chunks, level) in [
        ("zstd 1", &chunks, 1),
        ("zstd 3", &chunks, 3),
        ("zstd 1, byte planes", &planes, 1),
        ("zstd 3, byte planes", &planes, 3),
    ] {
        let mut packed = Vec::new();
        let there = speed(raw, || {
            packed = chunks.iter().map(|c| zstd::bulk::compress(c, level).expect("zstd")).collect::<Vec<_>>();
        });
        let back = speed(raw, || {
            for chunk in &packed {
                assert_eq!(zstd::bulk::decompress(chunk, CHUNK).expect("zstd").len(), CHUNK);
            }
        });
        row(name, raw as f64 / packed.iter().map(Vec::len).sum::<usize>() as f64, there, back);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let location = StoreLocation::Folder(folder.path().to_owned());
    let stores = [
        ("snapshot in memory", Store::over(Arc::new(object_store::memory::InMemory::new()))),
        ("snapshot in a folder", Store::open(&Config { location, properties: Vec::new() }).expect("a store")),
    ];
    let stream = StreamName::new("power").expect("a name");
    let at = TopicPartition { topic: "meters".into(), partition: Partition(0) };
    for (name, store) in stores {
        let snapshots = Snapshots::new(&store, &stream, &at, 1);
        let (mut offset, mut ratio) = (0, 0.0);
        let there = speed(raw, || {
            offset += 1;
            let id = SnapshotId { offset: Offset(offset), generation: Generation(1) };
            let mut writer = snapshots.writer(id);
            chunks.iter().for_each(|chunk| writer.push(chunk).expect("a store"));
            let created = EventTime::from_micros(0).expect("a time");
            let facts = Facts { model: None, topic_id: None, shape: Value::Null, series: 1, created };
            ratio = writer.finish(facts).expect("a store").ratio();
            snapshots.prune(id).expect("a store");
        });
        let newest = snapshots.list().expect("a store")[0];
        let back = speed(raw, || {
            let mut reader = snapshots.reader(newest).expect("a snapshot");
            while reader.next_chunk().expect("a snapshot").is_some() {}
        });
        row(name, ratio, there, back);
    }
    println!("{}", Value::Object(figures));
}
