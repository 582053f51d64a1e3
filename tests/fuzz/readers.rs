//! Gives arbitrary bytes to everything that reads bytes from outside. Each reader returns whether it accepted them,
//! and asserts what must hold of what it read. The caller watches for panics and for unbounded memory.

mod models;
mod wire;

use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use std::sync::{Arc, OnceLock};
use tidecast::checkpoint::{Facts, SnapshotId, Snapshots, Store};
use tidecast::codec::{Decoder, Record};
use tidecast::config::{LoadError, Stream, from_toml};
use tidecast::domain::{EventTime, Generation, Offset, Partition, Reading, TopicPartition, Values};
use tidecast::engine::{Restore, Shard};
use xxhash_rust::xxh3::xxh3_64;

const CONFIG: &str = "kafka.brokers = \"localhost:9092\"\n[streams.power]\ntopics = [\"meters\"]\n\
    interval = \"1h\"\ntargets = [\"kw\"]\ncovariates = [\"volt\"]\nhorizon = 3\nseasons = [4]\nwindow = 96\n\
    lateness = \"2h\"\nmax_record_bytes = 65536\nmodel = { hidden = 4 }\ntraining = { enabled = false }\n\
    fields = { series = \"/id\", time = \"/ts\" }\n";

pub fn stream() -> Arc<Stream> {
    static STREAM: OnceLock<Arc<Stream>> = OnceLock::new();
    STREAM.get_or_init(|| from_toml(CONFIG, &[]).expect("a right config").streams[0].clone()).clone()
}

/// A record's payload.
pub fn json(bytes: &[u8]) -> bool {
    let record = Record {
        topic: "meters",
        partition: Partition(0),
        offset: Offset(7),
        key: None,
        timestamp: None,
        payload: Some(bytes),
        headers: &(),
    };
    let decoded = Decoder::new(&stream()).decode(&record, &mut |reading| {
        assert!(!reading.series.is_empty(), "a series without a name");
        assert!(reading.values.as_slice().iter().all(|v| v.is_nan() || v.is_finite()), "a value without end");
    });
    decoded.is_ok()
}

/// A config. What is refused says why, and what is taken is taken again.
pub fn config(text: &str) -> bool {
    let taken = from_toml(text, &[]);
    match &taken {
        Ok(_) => assert!(from_toml(text, &[]).is_ok()),
        Err(LoadError::Faulty(faults)) => assert!(!faults.to_string().is_empty()),
        Err(unreadable) => assert!(!unreadable.to_string().is_empty()),
    }
    taken.is_ok()
}

const ID: SnapshotId = SnapshotId { offset: Offset(41), generation: Generation(3) };

fn at() -> TopicPartition {
    TopicPartition { topic: "meters".into(), partition: Partition(0) }
}

/// Reads a snapshot that consists of these objects, to its end.
fn read_snapshot(objects: &[(String, Vec<u8>)]) -> bool {
    let memory = Arc::new(InMemory::new());
    let stream = stream();
    for (name, bytes) in objects {
        let path = Path::from(format!("{}/state/meters-0/{ID}/{name}", stream.name));
        let put = async { memory.put(&path, bytes.clone().into()).await };
        futures::executor::block_on(put).expect("memory takes it");
    }
    let snapshots = Snapshots::new(&Store::over(memory), &stream.name, &at(), 1);
    assert_eq!(snapshots.list().expect("memory answers"), [ID]);
    let Ok(mut reader) = snapshots.reader(ID) else { return false };
    loop {
        match reader.next_chunk() {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// A manifest around `inner` whose checksum is right.
fn sealed(inner: &[u8]) -> Vec<u8> {
    let head = format!("{{\"format\":1,\"xxh3\":\"{:016x}\",\"manifest\":", xxh3_64(inner));
    [head.as_bytes(), inner, b"}"].concat()
}

/// A manifest, as it stands and as the inside of one whose checksum is right.
pub fn manifest(bytes: &[u8]) -> bool {
    let alone = read_snapshot(&[("manifest.json".to_owned(), bytes.to_vec())]);
    read_snapshot(&[("manifest.json".to_owned(), sealed(bytes))]) || alone
}

/// The inside of a manifest: of two chunks of 32 bytes, or of none.
fn inside(part: Option<&[u8]>) -> String {
    let [chunks, raw] = if part.is_some() { [2, 64] } else { [0, 0] };
    let packed = part.map_or(0, <[u8]>::len);
    let parts = part.map(|part| format!("{{\"bytes\":{packed},\"xxh3\":\"{:016x}\"}}", xxh3_64(part)));
    format!(
        "{{\"stream\":\"power\",\"topic\":\"meters\",\"partition\":0,\"generation\":3,\"offset\":41,\
         \"model\":null,\"shape\":{{}},\"series\":1,\"chunks\":{chunks},\"raw_bytes\":{raw},\
         \"packed_bytes\":{packed},\"parts\":[{}],\"created\":\"2026-11-23T00:00:00Z\",\
         \"tidecast\":\"0.1.0\"}}",
        parts.unwrap_or_default()
    )
}

/// A part that its manifest vouches for.
pub fn part(bytes: &[u8]) -> bool {
    read_snapshot(&[
        (format!("part-00000-{:016x}.zst", xxh3_64(bytes)), bytes.to_vec()),
        ("manifest.json".to_owned(), sealed(inside(Some(bytes)).as_bytes())),
    ])
}

fn step(shard: &mut Shard, hour: i64, offset: i64) {
    let time =
        EventTime::from_micros(1_700_000_000_000_000 + hour * 3_600_000_000).expect("a time of our days");
    let values = Values::from_iter([Some(1.0), None]);
    shard.offer(&Reading { series: "a", time, later: None, values: &values }, offset, None);
    while shard.run_round(&mut |_| {}).expect("a shard steps").is_some() {}
}

/// A whole cut of a small shard: the head and the rows.
pub fn cut() -> (Vec<u8>, Vec<u8>) {
    let mut shard = Shard::new(stream());
    (0..9).for_each(|hour| step(&mut shard, hour, hour));
    shard.between_rounds().unwrap().begin_cut();
    let mut chunk = || shard.cut(usize::MAX).expect("no device").expect("a head and rows");
    (chunk(), chunk())
}

/// A cut, head and rows; what comes back of it can be used.
pub fn restore(head: &[u8], rows: &[u8]) -> bool {
    let mut restore = Restore::new(&stream(), None);
    if restore.take(head).is_err() || restore.take(rows).is_err() {
        return false;
    }
    let Ok(mut shard) = restore.finish() else { return false };
    (20..24).for_each(|hour| step(&mut shard, hour, i64::MAX));
    true
}

/// A cut as one input: two bytes for the head's length, the head, the rows.
pub fn restore_at_once(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return false };
    let (head, rows) = rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len()));
    restore(head, rows)
}

/// A part of two chunks of 32 bytes.
fn whole_part() -> Vec<u8> {
    let memory = Arc::new(InMemory::new());
    let snapshots = Snapshots::new(&Store::over(memory.clone()), &stream().name, &at(), 1);
    let mut writer = snapshots.writer(ID);
    [[7; 32], [9; 32]].iter().for_each(|chunk| writer.push(chunk).expect("memory takes it"));
    let created = EventTime::from_micros(0).expect("a time of our days");
    writer
        .finish(Facts { model: None, topic_id: None, shape: Shard::shape(&stream()), series: 1, created })
        .expect("a manifest");
    let parts =
        futures::executor::block_on_stream(memory.list(None)).map(|meta| meta.expect("memory answers"));
    let part = parts.map(|meta| meta.location).find(|path| path.as_ref().contains("part-"));
    let bytes = async { memory.get(&part.expect("a part")).await.expect("it is there").bytes().await };
    futures::executor::block_on(bytes).expect("memory answers").to_vec()
}

/// A reader: its name, and what it does with bytes; it returns whether it accepted them.
pub type Reader = (&'static str, fn(&[u8]) -> bool);

/// All readers.
pub const ALL: [Reader; 11] = [
    ("json", json),
    ("headers", wire::headers),
    ("note", wire::note),
    ("announcement", models::announcement),
    ("config", |bytes| std::str::from_utf8(bytes).is_ok_and(config)),
    ("seasons", models::seasons),
    ("manifest", manifest),
    ("part", part),
    ("restore", restore_at_once),
    ("model", models::model),
    ("http", wire::http),
];

/// Gives bytes to the reader of this name, and returns whether it accepted them.
///
/// # Panics
/// When there is no such reader.
pub fn read_as(name: &str, bytes: &[u8]) -> bool {
    let (_, reader) = ALL.iter().find(|(known, _)| *known == name).expect("a reader's name");
    reader(bytes)
}

/// A right input of each reader, for a fuzzer to begin from.
pub fn right() -> Vec<(&'static str, Vec<u8>)> {
    let (head, rows) = cut();
    let length = u16::try_from(head.len()).expect("a small head").to_le_bytes();
    let mut all = vec![
        ("json", b"[{\"id\":\"a\",\"ts\":1700000000,\"kw\":1.5e1,\"volt\":null}]".to_vec()),
        ("config", CONFIG.as_bytes().to_vec()),
        ("manifest", inside(None).into_bytes()),
        ("part", whole_part()),
        ("restore", [&length[..], &head, &rows].concat()),
    ];
    all.extend(models::right());
    all.extend(wire::right());
    all
}
