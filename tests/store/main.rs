//! Bundles and snapshots, over a folder, over memory and over a real S3 server.

mod damage;
mod disk;
mod liar;
mod network;
mod places;
mod power_loss;
mod tool;

use places::{BUCKET, KEY, Place, S3, SECRET, config, each, folder};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidecast::checkpoint::{Bundles, Champion, Damage, Error, Facts, SnapshotId, Snapshots, Store, shards};
use tidecast::config::{Stream, from_toml};
use tidecast::domain::{EventTime, Generation, ModelVersion, Offset, Partition, StreamName, TopicPartition};
use tidecast::nn::{Trained, Weights};
use tidecast::training::{Shapes, blueprint};

fn power() -> StreamName {
    StreamName::new("power").unwrap()
}

fn shard() -> TopicPartition {
    TopicPartition { topic: "meters-v2".into(), partition: Partition(7) }
}

fn snapshots(store: &Store) -> Snapshots {
    Snapshots::new(store, &power(), &shard(), 2)
}

fn id(generation: u32, offset: i64) -> SnapshotId {
    SnapshotId { offset: Offset(offset), generation: Generation(generation) }
}

fn facts() -> Facts {
    Facts {
        model: Some(ModelVersion(12)),
        topic_id: tidecast::domain::TopicId::new(7),
        shape: serde_json::json!({"cell": "lstm", "hidden": 32, "fields": ["kw", "outdoor"]}),
        series: 10_000,
        created: EventTime::from_micros(1_700_000_000_123_456).unwrap(),
    }
}

/// Bytes that can't be compressed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

fn keep(snapshots: &Snapshots, id: SnapshotId, chunks: &[Vec<u8>]) {
    let mut writer = snapshots.writer(id);
    chunks.iter().for_each(|chunk| writer.push(chunk).unwrap());
    writer.finish(facts()).unwrap();
}

fn read(snapshots: &Snapshots, id: SnapshotId) -> Result<Vec<Vec<u8>>, Error> {
    let mut reader = snapshots.reader(id)?;
    let mut chunks = Vec::new();
    while let Some(chunk) = reader.next_chunk()? {
        chunks.push(chunk);
    }
    Ok(chunks)
}

#[test]
fn a_snapshot_is_read_as_it_was_written() {
    // More than one part.
    let mut chunks: Vec<Vec<u8>> = (0..9).map(|n| noise(n, 4 << 20)).collect();
    chunks.extend([Vec::new(), vec![1], vec![0; 5 << 20], b"rows".repeat(9)]);
    let raw: usize = chunks.iter().map(Vec::len).sum();
    each(|place| {
        let snapshots = snapshots(&place.store);
        let mut writer = snapshots.writer(id(3, 41));
        chunks.iter().for_each(|chunk| writer.push(chunk).unwrap());
        assert_eq!(snapshots.list().unwrap(), [], "before the manifest there is no snapshot");
        let written = writer.finish(facts()).unwrap();
        assert_eq!(snapshots.list().unwrap(), [id(3, 41)]);
        let manifest = snapshots.reader(id(3, 41)).unwrap().manifest().clone();
        assert_eq!(manifest, written);
        assert_eq!((manifest.facts, manifest.id), (facts(), id(3, 41)));
        assert_eq!((manifest.chunks, manifest.raw_bytes), (13, raw as u64));
        assert_eq!(manifest.parts.len(), 2);
        let there = place.objects();
        let folder = "power/state/meters-v2-7/0000000003-00000000000000000041";
        assert!(there.contains(&format!("{folder}/manifest.json")), "{there:?}");
        assert!(there[1].starts_with(&format!("{folder}/part-00000-")), "{there:?}");
        assert!(read(&snapshots, id(3, 41)).unwrap() == chunks);
        assert_eq!(shards(&place.store, &power()).unwrap(), [shard()]);
        let other = StreamName::new("powe").unwrap();
        assert_eq!(shards(&place.store, &other).unwrap(), []);
    });
}

#[test]
fn an_empty_snapshot_can_be_read() {
    each(|place| {
        keep(&snapshots(&place.store), id(0, 0), &[]);
        assert!(read(&snapshots(&place.store), id(0, 0)).unwrap().is_empty());
    });
}

#[test]
fn the_newest_comes_first() {
    each(|place| {
        let snapshots = snapshots(&place.store);
        for (generation, offset) in [(2, 30), (3, 20), (1, 9), (2, 9), (4, 100)] {
            keep(&snapshots, id(generation, offset), &[vec![1, 2, 3]]);
        }
        let newest_first = [id(4, 100), id(2, 30), id(3, 20), id(2, 9), id(1, 9)];
        assert_eq!(snapshots.list().unwrap(), newest_first);
        let neighbour = TopicPartition { topic: "meters-v2".into(), partition: Partition(77) };
        let other = Snapshots::new(&place.store, &power(), &neighbour, 2);
        assert_eq!(other.list().unwrap(), []);
    });
}

#[test]
fn an_abandoned_snapshot_leaves_nothing() {
    each(|place| {
        let snapshots = snapshots(&place.store);
        let mut writer = snapshots.writer(id(1, 5));
        (0..9).for_each(|n| writer.push(&noise(n, 4 << 20)).unwrap());
        assert_eq!(place.objects().len(), 1, "a part is out");
        drop(writer);
        assert_eq!(place.objects(), [] as [&str; 0]);
        assert_eq!(snapshots.list().unwrap(), []);
    });
}

/// With a topic that was created again and is as long as the former one, or with a config of another shape, the next
/// snapshot of the same generation has the id of an existing one that can't be used.
#[test]
fn a_snapshot_of_another_topic_or_shape_is_replaced() {
    each(|place| {
        let snapshots = snapshots(&place.store);
        keep(&snapshots, id(1, 5), &[vec![1; 99]]);
        let other_topic = Facts { topic_id: tidecast::domain::TopicId::new(8), ..facts() };
        let unknown_topic = Facts { topic_id: None, ..facts() };
        let other_shape = Facts { shape: serde_json::json!({"cell": "gru"}), ..facts() };
        for (content, facts) in (2..).zip([other_topic, unknown_topic, other_shape]) {
            let mut writer = snapshots.writer(id(1, 5));
            writer.push(&[content; 99]).unwrap();
            let written = writer.finish(facts.clone()).unwrap();
            assert_eq!(written.facts, facts);
            assert_eq!(snapshots.list().unwrap(), [id(1, 5)]);
            assert_eq!(*snapshots.reader(id(1, 5)).unwrap().manifest(), written);
            assert_eq!(read(&snapshots, id(1, 5)).unwrap(), [vec![content; 99]]);
            // From now on this one is not overwritten.
            let mut late = snapshots.writer(id(1, 5));
            late.push(&[0; 99]).unwrap();
            let refused = late.finish(facts).unwrap_err();
            assert!(matches!(refused, Error::Exists { .. }), "{refused}");
        }
        // The parts of the replaced ones are deleted with them.
        keep(&snapshots, id(2, 6), &[vec![7]]);
        keep(&snapshots, id(3, 7), &[vec![8]]);
        snapshots.prune(id(3, 7)).unwrap();
        assert!(place.objects().iter().all(|path| !path.contains(&id(1, 5).to_string())));
    });
}

#[test]
fn a_snapshot_is_never_overwritten() {
    each(|place| {
        let snapshots = snapshots(&place.store);
        keep(&snapshots, id(1, 5), &[vec![1; 99]]);
        // The same snapshot again, as when a request was sent twice.
        keep(&snapshots, id(1, 5), &[vec![1; 99]]);
        let mut other = snapshots.writer(id(1, 5));
        other.push(&[2; 99]).unwrap();
        let refused = other.finish(facts()).unwrap_err();
        assert!(matches!(refused, Error::Exists { .. }), "{refused}");
        assert!(!refused.is_damage());
        assert_eq!(read(&snapshots, id(1, 5)).unwrap(), [vec![1; 99]]);
    });
}

#[test]
fn pruning_keeps_what_any_owner_needs() {
    each(|place| {
        let snapshots = snapshots(&place.store);
        for (generation, offset) in [(1, 10), (2, 20), (3, 30), (3, 31), (3, 32), (4, 40), (5, 35)] {
            keep(&snapshots, id(generation, offset), &[noise(offset as u64, 999)]);
        }
        let half = "power/state/meters-v2-7/0000000002-00000000000000000025/part-00000-00.zst";
        place.write(half, b"half");
        if place.name == "a folder" {
            // A process that was killed while it wrote leaves these.
            place.write("power/state/meters-v2-7/0000000002-00000000000000000026/part-00000-00.zst#1", b"h");
        }
        let gone = snapshots.prune(id(4, 40)).unwrap();
        assert_eq!(gone, if place.name == "a folder" { 5 } else { 4 });
        assert_eq!(snapshots.list().unwrap(), [id(4, 40), id(5, 35), id(3, 32), id(3, 31)]);
        assert_eq!(place.objects().len(), 8, "{:?}", place.objects());
        for id in snapshots.list().unwrap() {
            assert_eq!(read(&snapshots, id).unwrap(), [noise(id.offset.0 as u64, 999)]);
        }
        assert_eq!(snapshots.prune(id(4, 40)).unwrap(), 0);
        // A writer that has lost the shard deletes nothing of its successors.
        keep(&snapshots, id(3, 33), &[vec![0]]);
        assert_eq!(snapshots.prune(id(3, 33)).unwrap(), 1);
        assert_eq!(snapshots.list().unwrap(), [id(4, 40), id(5, 35), id(3, 33), id(3, 32)]);
    });
}

fn stream() -> Arc<Stream> {
    let text = "[kafka]\nbrokers = \"b\"\n[streams.power]\ntopics = [\"t\"]\ninterval = \"1h\"\n\
                targets = [\"kw\"]\nhorizon = 4\nmodel = { hidden = 8 }";
    from_toml(text, &[]).unwrap().streams[0].clone()
}

fn champion(version: u64) -> Champion {
    let shape = blueprint(&stream(), &stream().model.networks[0]).unwrap();
    Champion {
        version: ModelVersion(version),
        networks: Trained { weights: Arc::new(Weights::initial(&shape, version)), optimiser: None }.into(),
        rounds: 10 + version,
        facts: BTreeMap::from([("loss".to_owned(), "0.5".to_owned())]),
    }
}

#[test]
fn the_newest_bundles_are_kept() {
    each(|place| {
        let bundles = Bundles::new(&place.store, &power());
        assert_eq!(bundles.list().unwrap(), []);
        for version in 1..=7 {
            let sum = bundles.keep(&champion(version)).unwrap();
            assert_eq!(bundles.checksum(ModelVersion(version)).unwrap(), Some(sum));
        }
        // An older model may serve.
        bundles.prune(&[ModelVersion(1)]).unwrap();
        assert_eq!(bundles.list().unwrap(), [7, 6, 5, 4, 3, 1].map(ModelVersion));
        bundles.prune(&[ModelVersion(7), ModelVersion(3)]).unwrap();
        assert_eq!(bundles.list().unwrap(), [7, 6, 5, 4, 3].map(ModelVersion));
        assert_eq!(place.objects()[0], "power/models/power-000003.safetensors");
        assert!(bundles.load_version(ModelVersion(2)).unwrap().is_none());
        let five = bundles.load_version(ModelVersion(5)).unwrap().unwrap();
        assert_eq!((five.rounds, five.facts["loss"].as_str()), (15, "0.5"));
        let sum = bundles.checksum(ModelVersion(5)).unwrap().unwrap();
        assert_eq!(bundles.load_exactly(ModelVersion(5), sum).unwrap().unwrap().rounds, 15);
        let other = bundles.load_exactly(ModelVersion(5), sum ^ 1);
        assert!(matches!(other, Err(Error::Damaged { damage: Damage::Checksum, .. })), "{other:?}");
        assert!(bundles.load_exactly(ModelVersion(2), sum).unwrap().is_none());
        let shapes = Shapes::of(&stream()).unwrap();
        assert_eq!(bundles.newest(&shapes).unwrap().unwrap().version, ModelVersion(7));
        // A damaged bundle is passed over, and is an error when it is loaded by its version.
        let name = "power/models/power-000007.safetensors";
        let bytes = place.read(name);
        place.write(name, &bytes[..bytes.len() / 2]);
        assert_eq!(bundles.newest(&shapes).unwrap().unwrap().version, ModelVersion(6));
        assert!(matches!(bundles.load_version(ModelVersion(7)), Err(Error::Bundle { .. })));
    });
}

#[test]
fn temporary_files_of_bundles_are_deleted() {
    let place = Place::folder();
    let half = "power/models/power-000001.safetensors#1";
    place.write(half, b"half");
    let bundles = Bundles::new(&place.store, &power());
    assert_eq!(bundles.list().unwrap(), []);
    bundles.keep(&champion(1)).unwrap();
    assert_eq!(place.objects(), ["power/models/power-000001.safetensors"]);
}

fn refusal(store: &Store) -> String {
    let refused = store.check().unwrap_err();
    assert!(matches!(refused, Error::Unusable { .. }), "{refused:?}");
    let text = format!("{refused} {refused:?}");
    assert!(!text.contains(SECRET), "{text}");
    refused.to_string()
}

#[test]
fn an_unusable_store_gives_the_reason() {
    let server = S3::start();
    let wrong_secret = refusal(&server.store(BUCKET, "wrong"));
    let begins = "s3://models/some/prefix can't be used: refused (SignatureDoesNotMatch";
    assert!(wrong_secret.starts_with(begins), "{wrong_secret}");
    assert!(wrong_secret.contains("check the key and its secret"), "{wrong_secret}");
    let no_bucket = refusal(&server.store("nobodys", SECRET));
    assert!(
        no_bucket.contains("NoSuchBucket") && no_bucket.contains("check that the bucket exists"),
        "{no_bucket}"
    );
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let no_folder = Store::open(&config(&format!("file://{}/below", file.display()), &[])).unwrap_err();
    assert!(no_folder.to_string().contains("can't create the folder"), "{no_folder}");
    let later = folder(&dir.path().join("later"));
    std::fs::remove_dir(dir.path().join("later")).unwrap();
    std::fs::write(dir.path().join("later"), "").unwrap();
    assert!(refusal(&later).contains("Not a directory"), "{}", refusal(&later));
    let nobody = ("aws_endpoint", "http://127.0.0.1:9");
    let keys = [("aws_access_key_id", KEY), ("aws_secret_access_key", SECRET)];
    let plain = config("s3://models", &[nobody, keys[0], keys[1]]);
    let plain = refusal(&Store::open(&plain).unwrap());
    let unreachable = config("s3://models", &[nobody, keys[0], keys[1], ("aws_allow_http", "true")]);
    let unreachable = refusal(&Store::open(&unreachable).unwrap());
    assert!(plain.contains("needs allow_http = true"), "{plain}");
    assert!(unreachable.contains("Connection refused"), "{unreachable}");
    let perhaps = config("s3://models", &[("aws_allow_http", "perhaps")]);
    let no_word = Store::open(&perhaps).unwrap_err().to_string();
    assert!(no_word.contains("\"perhaps\""), "{no_word}");
}

#[test]
fn a_failing_store_is_not_damage() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let snapshots = snapshots(&folder(&root));
    keep(&snapshots, id(1, 1), &[vec![1]]);
    let mut writer = snapshots.writer(id(1, 2));
    std::fs::remove_dir_all(&root).unwrap();
    std::fs::write(&root, "").unwrap();
    writer.push(&[1]).unwrap();
    let failed = writer.finish(facts()).unwrap_err();
    assert!(matches!(failed, Error::Store { .. }) && !failed.is_damage(), "{failed:?}");
    assert!(matches!(snapshots.list(), Err(Error::Store { .. })));
}

/// A folder and a store of the caller work on the caller's thread. The test uses its own process, because the test
/// runner starts threads, too.
#[test]
#[cfg(target_os = "linux")]
fn neither_folder_nor_memory_starts_a_thread() {
    const CHILD: &str = "TIDECAST_TEST_STORE_CHILD";
    if std::env::var_os(CHILD).is_none() {
        let this = std::env::current_exe().unwrap();
        let run = std::process::Command::new(this)
            .args(["--exact", "neither_folder_nor_memory_starts_a_thread", "--test-threads=1"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
        return;
    }
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let before = threads();
    for place in [Place::folder(), Place::memory()] {
        place.store.check().unwrap();
        let snapshots = snapshots(&place.store);
        for offset in 1..5 {
            keep(&snapshots, id(1, offset), &[noise(1, 1 << 20)]);
            snapshots.prune(id(1, offset)).unwrap();
        }
        assert_eq!(read(&snapshots, id(1, 4)).unwrap().len(), 1);
        assert_eq!(threads(), before, "{}", place.name);
    }
}
