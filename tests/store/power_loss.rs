//! A folder store on a disk that loses what was not synced, is full, or fails: what was acknowledged survives, and
//! nothing torn is taken for whole.

use super::disk::{Disk, Fault, Survival};
use super::places::folder;
use super::{champion, facts, id, noise, power, snapshots};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use tidecast::checkpoint::{Bundles, Error, Facts, SnapshotId, Snapshots, Store};
use tidecast::domain::{EventTime, ModelVersion};

/// What the store has acknowledged, by the length of the journal at that moment.
#[derive(Default)]
pub struct Acknowledged {
    pub snapshots: Vec<(usize, SnapshotId)>,
    pub bundles: Vec<(usize, ModelVersion, u64)>,
}

/// The chunks of a snapshot; of some pieces of the disk.
pub fn chunks(id: SnapshotId) -> Vec<Vec<u8>> {
    let seed = id.offset.0 as u64;
    vec![noise(seed, 9_000), vec![seed as u8; 40_000], noise(seed + 1, 3_000)]
}

/// The state follows from the log alone; only the time of its copy differs from one attempt to the next.
fn facts_at(attempt: i64) -> Facts {
    Facts { created: EventTime::from_micros(1_700_000_000_000_000 + attempt).unwrap(), ..facts() }
}

/// Takes a snapshot as a worker's archive does.
pub fn take(snapshots: &Snapshots, id: SnapshotId, attempt: i64) -> Result<(), Error> {
    let mut writer = snapshots.writer(id);
    for chunk in chunks(id) {
        writer.push(&chunk)?;
    }
    match writer.finish(facts_at(attempt)) {
        Err(Error::Exists { .. }) => drop(snapshots.reader(id)?),
        other => drop(other?),
    }
    // What can't be deleted stays until the next time.
    let _ = snapshots.prune(id);
    Ok(())
}

/// Works on the disk for a while, attempt after attempt until the store acknowledges.
fn work(disk: &Disk, store: &Store) -> Acknowledged {
    let mut done = Acknowledged::default();
    let (snapshots, bundles) = (snapshots(store), Bundles::new(store, &power()));
    for (version, at) in [id(1, 10), id(1, 20), id(2, 20), id(2, 30), id(3, 44)].into_iter().enumerate() {
        for attempt in 0.. {
            assert!(attempt < 50, "the store never acknowledges {at}");
            if take(&snapshots, at, attempt).is_ok() {
                break;
            }
        }
        done.snapshots.push((disk.journal().length(), at));
        let version = ModelVersion(version as u64 + 1);
        for attempt in 0.. {
            assert!(attempt < 50, "the store never acknowledges {version:?}");
            // The round's bundle may be there already, as a failed attempt has left it.
            match bundles.keep(&champion(version.0)) {
                Ok(sum) => {
                    done.bundles.push((disk.journal().length(), version, sum));
                    break;
                }
                Err(Error::Store { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
    }
    done
}

/// Checks what a power loss has left: everything that was acknowledged before it, and nothing torn.
pub fn judge(left: &Store, until: usize, done: &Acknowledged, what: &str) {
    let snapshots = snapshots(left);
    let acknowledged = done.snapshots.iter().filter(|(at, _)| *at <= until).map(|(_, id)| *id).max();
    let mut newest = None;
    for id in snapshots.list().unwrap_or_else(|e| panic!("{what}: {e}")) {
        match super::read(&snapshots, id) {
            Ok(read) => {
                assert_eq!(read, chunks(id), "{what}: {id} is torn and was taken for whole");
                newest = newest.max(Some(id));
            }
            Err(damage) => assert!(damage.is_damage(), "{what}: {damage}"),
        }
    }
    assert!(newest >= acknowledged, "{what}: {acknowledged:?} was acknowledged and {newest:?} is left");
    let bundles = Bundles::new(left, &power());
    for (_, version, sum) in done.bundles.iter().filter(|(at, ..)| *at <= until) {
        let bundle = bundles.load_exactly(*version, *sum);
        assert!(matches!(bundle, Ok(Some(_))), "{what}: {version:?} was acknowledged: {bundle:?}");
    }
}

/// Goes on with what is left, and finds its own work again.
pub fn go_on(left: &Store, what: &str) {
    let (snapshots, bundles) = (snapshots(left), Bundles::new(left, &power()));
    for next in [id(3, 44), id(4, 44), id(4, 50)] {
        take(&snapshots, next, 100).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(super::read(&snapshots, next).unwrap(), chunks(next), "{what}");
    }
    let version = bundles.list().unwrap().first().map_or(1, |newest| newest.0 + 1);
    bundles.keep(&champion(version)).unwrap_or_else(|e| panic!("{what}: {e}"));
}

/// Every power loss after `from` that the journal allows, by some seeds. Returns how many changes were lost.
fn lose_power(
    disk: &Disk,
    done: &Acknowledged,
    from: usize,
    seeds: u64,
    what: &str,
) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    let journal = disk.journal();
    for until in from..=journal.length() {
        let random = (0..seeds).map(|seed| (Survival::Some, seed));
        for (survival, seed) in [(Survival::Nothing, 0), (Survival::All, 0)].into_iter().chain(random) {
            let left = tempfile::tempdir_in("/dev/shm").unwrap();
            let mut rng = ChaCha8Rng::seed_from_u64(seed + 1_000 * until as u64);
            let harm = journal.leave(until, survival, &mut rng, left.path());
            let what = format!("{what}, {survival:?} after event {until}, seed {seed}");
            let store = folder(left.path());
            judge(&store, until, done, &what);
            if (until + seed as usize).is_multiple_of(5) {
                go_on(&store, &what);
            }
            *counts.entry("power losses").or_default() += 1;
            *counts.entry("changes lost or torn").or_default() += harm;
            *counts.entry("that lost or tore something").or_default() += usize::from(harm > 0);
        }
    }
    counts
}

#[test]
fn a_power_loss_takes_nothing_that_was_acknowledged() {
    let Some(disk) = Disk::mount() else { return };
    let store = folder(disk.path());
    let done = work(&disk, &store);
    let counts = lose_power(&disk, &done, 0, 4, "a quiet disk");
    println!("{counts:?}");
    assert!(counts["that lost or tore something"] > 300, "the disk lost nothing: {counts:?}");
}

#[test]
fn a_disk_that_is_full_or_fails_takes_nothing_that_was_acknowledged() {
    let (mut faults, mut bites, mut losses) = (0, 0, 0);
    for (error, times) in [(libc::EIO, 1), (libc::ENOSPC, 1), (libc::ENOSPC, 40)] {
        for at in 0.. {
            let Some(disk) = Disk::mount() else { return };
            let store = folder(disk.path());
            disk.journal().fail(Some(Fault { at, times, error }));
            let done = work(&disk, &store);
            let bit = disk.journal().bites;
            if bit == 0 {
                break;
            }
            disk.journal().fail(None);
            let what = format!("error {error} of {times} requests from {at}");
            judge(&store, usize::MAX, &done, &what);
            let end = disk.journal().length();
            losses += lose_power(&disk, &done, end, 3, &what)["power losses"];
            (faults, bites) = (faults + 1, bites + bit);
        }
    }
    println!("{faults} faults bit {bites} requests; {losses} power losses after them");
    assert!(faults > 100, "{faults} faults");
}
