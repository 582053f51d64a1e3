//! A daemon whose store lies on a disk that fails, is full, is slow, and loses what was not synced.

use super::case::{Case, LIMIT, PARTITIONS, by_partition};
use super::disk::{Disk, Fault, Survival};
use super::support::daemon::metric;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::time::{Duration, Instant};

#[test]
fn a_disk_that_fails_and_then_loses_power_costs_no_reading() {
    let Some(disk) = Disk::mount() else { return };
    let case = Case::new("disk", ["instance = \"disk-0\"", "[snapshots]\nevery = \"1s\"", ""]);
    std::os::unix::fs::symlink(disk.path(), case.store()).unwrap();
    let (mut daemon, http) = case.daemon();
    let counted = || metric(&http, "tidecast_snapshot_failures_total{stream=\"disk\"}").unwrap_or(0.0);
    let mut hours = 0;
    let mut bites = Vec::new();
    for (error, times) in [(libc::EIO, usize::MAX), (libc::ENOSPC, usize::MAX), (libc::EIO, 1)] {
        case.produce(hours..hours + 10);
        hours += 10;
        case.wait_committed(&mut daemon, 2 * hours);
        let taken = daemon.events("snapshot_taken").len();
        daemon.wait_for_events("snapshot_taken", taken.max(1), LIMIT);
        let (before, bitten) = (daemon.events("snapshot_failed").len(), disk.journal().bites);
        disk.journal().fail(Some(Fault { at: 0, times, error }));
        case.produce(hours..hours + 10);
        hours += 10;
        // Forecasts go on while no snapshot can be written.
        case.wait_committed(&mut daemon, 2 * hours);
        let failed = daemon.wait_for_events("snapshot_failed", before + 1, LIMIT);
        assert!(failed[before]["cause"].as_str().is_some_and(|cause| !cause.is_empty()), "{failed:?}");
        assert!(counted() >= (before + 1) as f64, "{}", counted());
        disk.journal().fail(None);
        bites.push(disk.journal().bites - bitten);
    }
    // Each sync takes long, and forecasts go on.
    disk.slow_down(Duration::from_millis(150));
    case.produce(hours..hours + 10);
    hours += 10;
    case.wait_committed(&mut daemon, 2 * hours);
    let until = Instant::now() + LIMIT;
    let ending = format!("-{:020}", 2 * hours);
    while daemon
        .events("snapshot_taken")
        .iter()
        .filter(|e| e["snapshot"].as_str().unwrap().ends_with(&ending))
        .count()
        < PARTITIONS as usize
    {
        assert!(daemon.is_running() && Instant::now() < until, "{}", daemon.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let slow = disk.slow_down(Duration::from_millis(400));
    assert!(slow > 0 && bites.iter().all(|bites| *bites > 0), "{slow} slow syncs, {bites:?} requests failed");

    // What was acknowledged at `hours` has to be there afterwards; what comes now may be torn.
    case.produce(hours..hours + 10);
    case.wait_committed(&mut daemon, 2 * hours + 20);
    while !disk.journal().has_unsynced_writes() {
        assert!(daemon.is_running() && Instant::now() < until, "{}", daemon.log());
        std::thread::sleep(Duration::from_millis(1));
    }
    daemon.kill9();
    disk.slow_down(Duration::ZERO);
    let mut lost = 0;
    for (turn, survival) in [Survival::Nothing, Survival::Some, Survival::Some].into_iter().enumerate() {
        let left = tempfile::tempdir().unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(turn as u64);
        let journal = disk.journal();
        lost += journal.leave(journal.length(), survival, &mut rng, left.path());
        drop(journal);
        let (mut daemon, _) = case.daemon_with_store(&format!("file://{}", left.path().display()));
        let restored = daemon.wait_for_events("restored", PARTITIONS as usize, LIMIT);
        for partition in 0..PARTITIONS {
            let event = by_partition(&restored, partition);
            assert!(event["from"].as_i64() >= Some(2 * hours), "{survival:?}: {event}");
        }
        let done = hours + 10 + 5 * turn as i64;
        case.produce(done..done + 5);
        case.wait_committed(&mut daemon, 2 * (done + 5));
        assert_eq!(daemon.terminate(LIMIT), 0, "{}", daemon.log());
    }
    assert!(lost > 0, "the power losses took nothing");
    let end = 2 * (hours + 10 + 15);
    case.assert_answered(end, |_, _| 1);
    println!(
        "{} readings, {bites:?} requests failed, {slow} slow syncs, {lost} changes lost in 3 power losses, lost 0, \
         doubled 0",
        end * i64::from(PARTITIONS)
    );
}
