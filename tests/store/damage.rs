//! Damage is recognised, and hostile content makes the reader allocate no more than its limits.

#![allow(unsafe_code, reason = "an allocator that counts")]

use super::places::{Place, each};
use super::{id, keep, noise, power, read, shard, snapshots};
use proptest::prelude::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use tidecast::checkpoint::{CHUNK_BYTES_MAX, Damage, Error, SnapshotId, Snapshots};
use tidecast::domain::{Partition, TopicPartition};
use xxhash_rust::xxh3::xxh3_64;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which notes each thread's largest allocation.
struct Noting;

// SAFETY: every call is passed on to the system's allocator.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.with(|most| most.set(most.get().max(layout.size())));
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.dealloc(p, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Noting = Noting;

const FOLDER: &str = "power/state/meters-v2-7/0000000003-00000000000000000041";
const HEADER: usize = 28;
const ONE: fn() -> SnapshotId = || id(3, 41);

/// The outcome of a read, and the largest allocation that it made on this thread.
fn measured(snapshots: &Snapshots) -> (Result<Vec<Vec<u8>>, Error>, usize) {
    LARGEST.set(0);
    let outcome = read(snapshots, ONE());
    (outcome, LARGEST.get())
}

fn small(place: &Place) -> (Snapshots, String, String) {
    let snapshots = snapshots(&place.store);
    keep(&snapshots, ONE(), &[noise(1, 300), vec![7; 5_000], noise(2, 40)]);
    let names = place.objects();
    let part = names.iter().find(|name| name.contains("part")).unwrap().clone();
    let manifest = names.iter().find(|name| name.ends_with("manifest.json")).unwrap().clone();
    (snapshots, manifest, part)
}

fn assert_damaged(snapshots: &Snapshots, what: &str) {
    match read(snapshots, ONE()) {
        Err(damage) => assert!(damage.is_damage(), "{what}: {damage}"),
        Ok(_) => panic!("{what}: not seen"),
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_seen() {
    let place = Place::memory();
    let (snapshots, manifest, part) = small(&place);
    for name in [&manifest, &part] {
        let whole = place.read(name);
        for bit in 0..8 * whole.len() {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            place.write(name, &bytes);
            assert_damaged(&snapshots, &format!("{name}, bit {bit}"));
        }
        for length in 0..whole.len() {
            place.write(name, &whole[..length]);
            assert_damaged(&snapshots, &format!("{name}, cut to {length}"));
        }
        place.write(name, &[&whole[..], b"x"].concat());
        assert_damaged(&snapshots, &format!("{name}, with a byte more"));
        place.remove(name);
        assert_damaged(&snapshots, &format!("{name}, gone"));
        place.write(name, &whole);
        assert_eq!(read(&snapshots, ONE()).unwrap().len(), 3);
    }
}

#[test]
fn damage_is_seen_in_every_store() {
    each(|place| {
        let (snapshots, manifest, part) = small(place);
        for name in [&manifest, &part] {
            let whole = place.read(name);
            for at in [0, 7, whole.len() / 2, whole.len() - 1] {
                let mut bytes = whole.clone();
                bytes[at] ^= 0x10;
                place.write(name, &bytes);
                assert_damaged(&snapshots, &format!("{}: {name}, byte {at}", place.name));
                place.write(name, &whole[..at]);
                assert_damaged(&snapshots, &format!("{}: {name}, cut to {at}", place.name));
            }
            place.remove(name);
            assert_damaged(&snapshots, &format!("{}: {name}, gone", place.name));
            place.write(name, &whole);
        }
        assert_eq!(read(&snapshots, ONE()).unwrap().len(), 3);
    });
}

/// A manifest around `inner`, with the right checksum.
fn sealed(inner: &str) -> Vec<u8> {
    format!("{{\"format\":1,\"xxh3\":\"{:016x}\",\"manifest\":{inner}}}", xxh3_64(inner.as_bytes()))
        .into_bytes()
}

fn inner(manifest: &[u8]) -> serde_json::Value {
    serde_json::from_slice::<serde_json::Value>(manifest).unwrap()["manifest"].take()
}

#[test]
fn a_newer_format_names_both_versions() {
    let place = Place::memory();
    let (snapshots, manifest, _) = small(&place);
    place.write(&manifest, br#"{"format":7,"layout":"of a later day"}"#);
    let newer = snapshots.reader(ONE()).err().unwrap();
    assert!(newer.is_damage() && matches!(newer, Error::Newer { found: 7, known: 2, .. }));
    assert!(newer.to_string().contains("format 7") && newer.to_string().contains("up to 2"), "{newer}");
    place.write(&manifest, br#"{"format":0}"#);
    assert_damaged(&snapshots, "format 0");
}

#[test]
fn a_snapshot_in_the_wrong_place_is_refused() {
    let place = Place::memory();
    let (_, manifest, part) = small(&place);
    let elsewhere = TopicPartition { partition: Partition(8), ..shard() };
    for name in [&manifest, &part] {
        place.write(&name.replace("meters-v2-7", "meters-v2-8"), &place.read(name));
    }
    let refused = Snapshots::new(&place.store, &power(), &elsewhere, 2).reader(ONE()).err().unwrap();
    let is_misplaced = matches!(&refused, Error::Damaged { damage: Damage::Misplaced(_), .. });
    assert!(is_misplaced && refused.to_string().contains("meters-v2[7]"), "{refused}");
}

/// Writes `part` with a manifest that fits it.
fn vouched(place: &Place, part: &[u8], raw_bytes: u64, chunks: u64) -> Snapshots {
    place.objects().iter().for_each(|name| place.remove(name));
    let (snapshots, manifest, _) = small(place);
    let sum = format!("{:016x}", xxh3_64(part));
    let mut all = inner(&place.read(&manifest));
    all["parts"] = serde_json::json!([{ "bytes": part.len(), "xxh3": sum }]);
    all["raw_bytes"] = raw_bytes.into();
    all["chunks"] = chunks.into();
    place.write(&manifest, &sealed(&all.to_string()));
    place.write(&format!("{FOLDER}/part-00000-{sum}.zst"), part);
    snapshots
}

/// What a header may make the reader allocate: what its bytes could hold, and one chunk at most.
fn warranted(part: usize) -> usize {
    (part << 15).min(CHUNK_BYTES_MAX) + (1 << 20)
}

#[test]
fn a_part_is_a_zstd_file() {
    let place = Place::memory();
    let (snapshots, _, part) = small(&place);
    let mut unpacked = zstd::stream::decode_all(&place.read(&part)[..]).unwrap();
    let mut raw = read(&snapshots, ONE()).unwrap().concat();
    // The same bytes, partly in planes.
    unpacked.sort_unstable();
    raw.sort_unstable();
    assert_eq!(unpacked, raw);
}

#[test]
fn a_chunk_allocates_no_more_than_its_bytes_can_hold() {
    let place = Place::memory();
    let (_, _, name) = small(&place);
    let whole = place.read(&name);
    for claim in [u32::MAX, CHUNK_BYTES_MAX as u32 + 1, CHUNK_BYTES_MAX as u32, 30 << 20] {
        let mut part = whole.clone();
        part[8..12].copy_from_slice(&claim.to_le_bytes());
        let (outcome, largest) = measured(&vouched(&place, &part, 5_340, 3));
        assert!(outcome.unwrap_err().is_damage());
        assert!(largest <= warranted(part.len()), "{claim}: {largest} bytes");
    }
    // A frame with more content than its header gives, and a part that is larger in the store.
    let packed = zstd::bulk::compress(&vec![0; 50 << 20], 1).unwrap();
    let mut part = whole[..HEADER].to_vec();
    part[8..12].copy_from_slice(&1_000u32.to_le_bytes());
    part[12..16].copy_from_slice(&(packed.len() as u32).to_le_bytes());
    part.extend(packed);
    let (outcome, largest) = measured(&vouched(&place, &part, 1_000, 1));
    assert!(outcome.unwrap_err().is_damage() && largest < 1 << 20, "{largest}");
}

#[test]
fn an_object_beyond_its_limit_is_not_fetched() {
    let place = Place::memory();
    let (snapshots, manifest, _) = small(&place);
    place.write(&manifest, &vec![b' '; (16 << 20) + 1]);
    let (outcome, largest) = measured(&snapshots);
    let too_large = matches!(outcome, Err(Error::Damaged { damage: Damage::TooLarge { .. }, .. }));
    assert!(too_large && largest < 1 << 20, "{largest}");
    let part = vec![0; (100 << 20) + 1];
    let snapshots = vouched(&place, &part, 1, 1);
    let (outcome, largest) = measured(&snapshots);
    let too_large = matches!(outcome, Err(Error::Damaged { damage: Damage::TooLarge { .. }, .. }));
    assert!(too_large && largest < 1 << 20, "{largest}");
}

/// JSON that resembles a manifest.
fn value() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        Just(serde_json::Value::Null),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "\\PC{0,20}".prop_map(Into::into),
        proptest::collection::vec((any::<u64>(), "[0-9a-f]{0,20}"), 0..4).prop_map(|parts| {
            parts
                .into_iter()
                .map(|(bytes, xxh3)| serde_json::json!({ "bytes": bytes, "xxh3": xxh3 }))
                .collect()
        }),
    ]
}

proptest! {
    #[test]
    fn any_bytes_as_a_manifest(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let place = Place::memory();
        place.write(&format!("{FOLDER}/manifest.json"), &bytes);
        let (outcome, largest) = measured(&snapshots(&place.store));
        prop_assert!(outcome.unwrap_err().is_damage());
        prop_assert!(largest < 1 << 20, "{largest}");
    }

    #[test]
    fn any_text_in_a_manifest(
        changes in proptest::collection::vec((0usize..14, value()), 1..4),
        text in "\\PC{0,200}",
        as_text in any::<bool>(),
    ) {
        let place = Place::memory();
        let (snapshots, name, _) = small(&place);
        let was = inner(&place.read(&name));
        let mut all = was.clone();
        let keys: Vec<String> = all.as_object().unwrap().keys().cloned().collect();
        for (key, value) in changes {
            all[&keys[key]] = value;
        }
        place.write(&name, &sealed(&if as_text { text } else { all.to_string() }));
        let (outcome, largest) = measured(&snapshots);
        if let Err(damage) = outcome {
            prop_assert!(damage.is_damage(), "{damage}");
        }
        prop_assert!(largest < 1 << 20, "{largest}");
    }

    #[test]
    fn any_bytes_as_a_part(
        part in proptest::collection::vec(any::<u8>(), 0..2_000),
        header in any::<bool>(),
        raw in any::<u32>(),
        packed in 0u32..3_000,
        planes in 0u32..10,
    ) {
        let place = Place::memory();
        let mut part = part;
        if header && part.len() >= HEADER {
            part[..8].copy_from_slice(&[0x57, 0x2A, 0x4D, 0x18, 20, 0, 0, 0]);
            part[8..12].copy_from_slice(&raw.to_le_bytes());
            part[12..16].copy_from_slice(&packed.to_le_bytes());
            part[16..20].copy_from_slice(&planes.to_le_bytes());
        }
        let (outcome, largest) = measured(&vouched(&place, &part, 9, 1));
        prop_assert!(outcome.unwrap_err().is_damage());
        prop_assert!(largest <= warranted(part.len()), "{largest}");
    }

    /// A good part with a few changed bytes, and a manifest that fits it.
    #[test]
    fn any_change_in_a_chunk(changes in proptest::collection::vec((0usize..400, 1u8..), 1..4)) {
        let place = Place::memory();
        let (good, _, name) = small(&place);
        let whole = read(&good, ONE()).unwrap();
        let mut part = place.read(&name);
        for (at, change) in changes {
            let at = at % part.len();
            part[at] ^= change;
        }
        let (outcome, largest) = measured(&vouched(&place, &part, 5_340, 3));
        match outcome {
            Ok(chunks) => prop_assert_eq!(chunks, whole, "changes may undo each other"),
            Err(damage) => prop_assert!(damage.is_damage(), "{damage}"),
        }
        prop_assert!(largest <= warranted(part.len()), "{largest}");
    }
}
