//! Bytes from anywhere, into everything that reads bytes from anywhere. What must hold is asserted
//! here; that nothing panics and nothing asks for memory without end, whoever calls this sees to.

use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use std::fmt::Write;
use std::sync::{Arc, OnceLock};
use tidecast::checkpoint::{SnapshotId, Snapshots, Store};
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
pub fn json(bytes: &[u8]) {
    let record = Record {
        topic: "meters",
        partition: Partition(0),
        offset: Offset(7),
        key: None,
        timestamp: None,
        payload: Some(bytes),
        headers: &(),
    };
    let _ = Decoder::new(&stream()).decode(&record, &mut |reading| {
        assert!(!reading.series.is_empty(), "a series without a name");
        assert!(reading.values.as_slice().iter().all(|v| v.is_nan() || v.is_finite()), "a value without end");
    });
}

/// A config. What is refused says why, and what is taken is taken again.
pub fn config(text: &str) {
    match from_toml(text, &[]) {
        Ok(_) => assert!(from_toml(text, &[]).is_ok()),
        Err(LoadError::Faulty(faults)) => assert!(!faults.to_string().is_empty()),
        Err(unreadable) => assert!(!unreadable.to_string().is_empty()),
    }
}

const ID: SnapshotId = SnapshotId { offset: Offset(41), generation: Generation(3) };

fn at() -> TopicPartition {
    TopicPartition { topic: "meters".into(), partition: Partition(0) }
}

/// Reads a snapshot that consists of these objects.
fn read(objects: &[(String, Vec<u8>)]) {
    let memory = Arc::new(InMemory::new());
    let stream = stream();
    for (name, bytes) in objects {
        let path = Path::from(format!("{}/state/meters-0/{ID}/{name}", stream.name));
        let put = async { memory.put(&path, bytes.clone().into()).await };
        futures::executor::block_on(put).expect("memory takes it");
    }
    let snapshots = Snapshots::new(&Store::over(memory), &stream.name, &at(), 1);
    assert_eq!(snapshots.list().expect("memory answers"), [ID]);
    let Ok(mut reader) = snapshots.reader(ID) else { return };
    while let Ok(Some(_)) = reader.next_chunk() {}
}

/// A manifest around `inner` whose checksum is right.
fn sealed(inner: &[u8]) -> Vec<u8> {
    let head = format!("{{\"format\":1,\"xxh3\":\"{:016x}\",\"manifest\":", xxh3_64(inner));
    [head.as_bytes(), inner, b"}"].concat()
}

/// A manifest, as it stands and as the inside of one whose checksum is right.
pub fn manifest(bytes: &[u8]) {
    read(&[("manifest.json".to_owned(), bytes.to_vec())]);
    read(&[("manifest.json".to_owned(), sealed(bytes))]);
}

/// A part that its manifest vouches for.
pub fn part(bytes: &[u8]) {
    let sum = format!("{:016x}", xxh3_64(bytes));
    let mut inner = String::new();
    write!(
        inner,
        "{{\"stream\":\"power\",\"topic\":\"meters\",\"partition\":0,\"generation\":3,\"offset\":41,\
         \"model\":null,\"shape\":{{}},\"series\":1,\"chunks\":2,\"raw_bytes\":64,\"packed_bytes\":{0},\
         \"parts\":[{{\"bytes\":{0},\"xxh3\":\"{sum}\"}}],\"created\":\"2026-11-23T00:00:00Z\",\
         \"tidecast\":\"0.1.0\"}}",
        bytes.len()
    )
    .expect("text can be written to memory");
    read(&[
        (format!("part-00000-{sum}.zst"), bytes.to_vec()),
        ("manifest.json".to_owned(), sealed(inner.as_bytes())),
    ]);
}

fn step(shard: &mut Shard, hour: i64, offset: i64) {
    let time =
        EventTime::from_micros(1_700_000_000_000_000 + hour * 3_600_000_000).expect("a time of our days");
    let values = Values::from_iter([Some(1.0), None]);
    shard.offer(&Reading { series: "a", time, values: &values }, offset, None);
    while shard.run_round(&mut |_| {}).expect("a shard steps").is_some() {}
}

/// A whole cut of a small shard: the head and the rows.
pub fn cut() -> (Vec<u8>, Vec<u8>) {
    let mut shard = Shard::new(stream());
    (0..9).for_each(|hour| step(&mut shard, hour, hour));
    shard.begin_cut();
    let mut chunk = || shard.cut(usize::MAX).expect("no device").expect("a head and rows");
    (chunk(), chunk())
}

/// A cut, head and rows; what comes back of it can be used.
pub fn restore(head: &[u8], rows: &[u8]) {
    let mut restore = Restore::new(&stream(), None);
    if restore.take(head).is_err() || restore.take(rows).is_err() {
        return;
    }
    if let Ok(mut shard) = restore.finish() {
        (20..24).for_each(|hour| step(&mut shard, hour, i64::MAX));
    }
}
