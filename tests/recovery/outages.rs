//! A store that fails while a daemon works.

use super::case::{Case, LIMIT, PARTITIONS};
use super::support::daemon::metric;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A store's folder with a file in its place, until it is healed.
struct Broken {
    place: PathBuf,
    away: PathBuf,
}

impl Broken {
    fn of(place: &Path) -> Self {
        let away = place.with_extension("away");
        std::fs::rename(place, &away).unwrap();
        std::fs::write(place, "no folder").unwrap();
        Self { place: place.to_owned(), away }
    }

    fn heal(self) {
        std::fs::remove_file(&self.place).unwrap();
        std::fs::rename(&self.away, &self.place).unwrap();
    }
}

#[test]
fn snapshots_that_fail_are_counted_and_stop_no_forecast() {
    let case = Case::new("broken", ["", "[snapshots]\nevery = \"1s\"", ""]);
    let (mut daemon, http) = case.daemon();
    case.produce(0..20);
    case.wait_committed(&mut daemon, 40);
    daemon.wait_for_events("snapshot_taken", PARTITIONS as usize, LIMIT);
    let broken = Broken::of(&case.store());
    case.produce(20..40);
    case.wait_committed(&mut daemon, 80);
    let failed = daemon.wait_for_events("snapshot_failed", PARTITIONS as usize, LIMIT);
    assert!(failed[0]["cause"].as_str().is_some_and(|cause| !cause.is_empty()), "{failed:?}");
    let counted =
        metric(&http, "tidecast_snapshot_failures_total{stream=\"broken\"}").expect("it is counted");
    assert!(counted >= f64::from(PARTITIONS), "{counted}");
    case.produce(40..50);
    case.wait_committed(&mut daemon, 100);
    let before = daemon.events("snapshot_taken").len();
    broken.heal();
    let taken = daemon.wait_for_events("snapshot_taken", before + PARTITIONS as usize, LIMIT);
    assert!(taken.last().unwrap()["snapshot"].as_str().unwrap().ends_with("-00000000000000000100"));
    case.assert_answered(100, |_, _| 1);
    assert_eq!(daemon.terminate(LIMIT), 0);
}

/// One of two daemons leaves, and the other one can't read the snapshots.
fn handed_over(name: &'static str, lines: &'static str, heals: bool) {
    let case = Case::new(name, ["", lines, ""]);
    let (mut first, _) = case.daemon();
    case.produce(0..20);
    case.wait_committed(&mut first, 40);
    let (mut second, http) = case.daemon();
    second.wait_for_events("restored", 1, LIMIT);
    // Every shard has a snapshot at 40: one from the handover, the others taken here.
    let until = Instant::now() + LIMIT;
    while first.events("snapshot_taken").len() + second.events("snapshot_taken").len() < PARTITIONS as usize {
        assert!(Instant::now() < until, "{}{}", first.log(), second.log());
        std::thread::sleep(Duration::from_millis(30));
    }
    let broken = Broken::of(&case.store());
    let before = second.events("restored").len();
    assert_eq!(first.terminate(LIMIT), 0, "{}", first.log());
    second.wait_for_events("store_unreachable", 2, LIMIT);
    case.produce(20..30);
    if heals {
        broken.heal();
    }
    case.wait_committed(&mut second, 60);
    let restored = second.wait_for_events("restored", before + 2, LIMIT);
    let tried = second.events("store_unreachable").len();
    for event in &restored[before..] {
        let snapshot = event["snapshot"].as_str().unwrap();
        if heals {
            assert!(snapshot.ends_with("-00000000000000000040") && event["from"] == 40, "{event}");
        } else {
            assert!(snapshot == "none" && event["from"].as_i64() < Some(40), "{event}");
        }
    }
    assert!(heals || tried >= 4, "each shard is tried for again until its time is over: {tried}");
    second.wait_ready(&http, LIMIT);
    case.assert_answered(60, |_, _| 1);
    assert_eq!(second.terminate(LIMIT), 0);
}

#[test]
fn a_shard_that_is_handed_over_while_the_store_is_away_starts_cold_in_the_end() {
    handed_over("cold", "[snapshots]\nevery = \"1s\"\nrestore_timeout = \"2s\"", false);
}

#[test]
fn a_shard_that_is_handed_over_waits_for_a_store_that_comes_back() {
    handed_over("waits", "[snapshots]\nevery = \"1s\"\nrestore_timeout = \"60s\"", true);
}
