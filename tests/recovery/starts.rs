//! Starts of a daemon with a log, a group and a store that others have changed.

use super::case::{Case, LIMIT, PARTITIONS, by_partition};
use super::support::daemon::metric;

/// With a stable name, a killed daemon can come back at once.
const STABLE: &str = "instance = \"0\"\nproperties = { \"session.timeout.ms\" = \"6000\" }";
const ALL: usize = PARTITIONS as usize;

/// Hours out of order by up to three.
fn wandering(hours: std::ops::Range<i64>) -> impl Iterator<Item = i64> {
    let first = hours.start;
    hours.map(move |hour| first + (hour - first) / 4 * 4 + [2, 0, 3, 1][((hour - first) % 4) as usize])
}

/// Readings that were read and are held back for order are in no snapshot and lie below the committed offset.
#[test]
fn readings_held_back_are_answered_after_a_kill_without_a_snapshot() {
    let case = Case::new("held", [STABLE, "[snapshots]\nenabled = false", "lateness = \"4h\""]);
    let (mut daemon, _) = case.daemon();
    let mut end = 0;
    for (from, to) in [(0, 40), (40, 60)] {
        case.produce(wandering(from..to));
        end = 2 * to;
        case.wait_committed(&mut daemon, end);
        let answered = case.answers();
        assert!(!answered.contains_key(&(0, end - 1)), "the last ones are held back");
        daemon.kill9();
        daemon = case.daemon().0;
        for restored in daemon.wait_for_events("restored", ALL, LIMIT) {
            assert_eq!(restored["snapshot"], "none");
            assert!(restored["from"].as_i64() < restored["committed"].as_i64(), "{restored}");
        }
    }
    // Killed while it replays and reads.
    case.produce(wandering(60..100));
    end += 80;
    std::thread::sleep(std::time::Duration::from_millis(120));
    daemon.kill9();
    let (mut daemon, _) = case.daemon();
    // These release all readings before them, and are held back themselves.
    case.produce([120]);
    case.wait_committed(&mut daemon, end + 2);
    case.assert_answered(end, |_, _| 1);
    assert_eq!(daemon.terminate(LIMIT), 0);
}

/// Each daemon begins from a snapshot that is older than the previous settings, or without a snapshot.
fn lateness_changes(name: &'static str, sections: &'static str) {
    let case = Case::new(name, [STABLE, sections, ""]);
    let mut daemon = case.daemon_with_lines("lateness = \"4h\"");
    case.produce(wandering(0..40));
    case.wait_committed(&mut daemon, 80);
    assert_eq!(daemon.terminate(LIMIT), 0, "{}", daemon.log());
    let mut end = 80;
    // Readings out of order by more than `lateness` would be late.
    let lives = [
        ("lateness = \"6h\"", 40..60, true),
        ("lateness = \"0s\"", 60..64, false),
        ("lateness = \"12h\"", 64..84, true),
        ("lateness = \"1h\"", 84..88, false),
        ("lateness = \"4h\"\nmax_held = 8", 88..100, true),
    ];
    for (lines, hours, wanders) in lives {
        let mut daemon = case.daemon_with_lines(lines);
        end += 2 * (hours.end - hours.start);
        if wanders {
            case.produce(wandering(hours));
        } else {
            case.produce(hours);
        }
        case.wait_committed(&mut daemon, end);
        assert_eq!(daemon.events("snapshot_passed_over"), [serde_json::Value::Null; 0]);
        daemon.kill9();
    }
    let mut daemon = case.daemon_with_lines("lateness = \"2h\"");
    // These release all readings before them, and are held back themselves.
    case.produce([140]);
    case.wait_committed(&mut daemon, end + 2);
    case.assert_answered(end, |_, _| 1);
    assert_eq!(daemon.terminate(LIMIT), 0);
}

#[test]
fn a_change_of_lateness_while_readings_are_held_back_loses_and_doubles_nothing() {
    std::thread::scope(|scope| {
        scope.spawn(|| lateness_changes("lateness", ""));
        scope.spawn(|| lateness_changes("lateness-cold", "[snapshots]\nenabled = false"));
    });
}

#[test]
fn a_group_that_is_set_back_is_answered_again_from_there_and_nothing_else() {
    let case = Case::new("setback", ["", "", ""]);
    for (hours, end) in [(0..20, 40), (20..40, 80)] {
        let (mut daemon, _) = case.daemon();
        case.produce(hours);
        case.wait_committed(&mut daemon, end);
        assert_eq!(daemon.terminate(LIMIT), 0, "{}", daemon.log());
        assert_eq!(daemon.events("snapshot_taken").len(), ALL);
    }
    // Between the snapshots, before the first of them, and unchanged.
    case.set_group(&[(0, 60), (1, 20)]);
    let (mut daemon, http) = case.daemon();
    let restored = daemon.wait_for_events("restored", ALL, LIMIT);
    let of = |partition| {
        let event = by_partition(&restored, partition);
        let snapshot = event["snapshot"].as_str().unwrap().to_owned();
        (snapshot, event["from"].as_i64().unwrap(), event["committed"].as_i64().unwrap())
    };
    let (snapshot, from, committed) = of(0);
    assert!(snapshot.ends_with("-00000000000000000040") && (from, committed) == (40, 60), "{restored:?}");
    assert_eq!(of(1), ("none".to_owned(), 0, 20));
    assert_eq!((of(2).1, of(2).2), (80, 80));
    let moved = daemon.events("offset_moved");
    assert_eq!((moved.len(), &by_partition(&moved, 0)["committed"]), (2, &60.into()), "{moved:?}");
    let counted = "tidecast_log_resets_total{reason=\"moved\",stream=\"setback\"}";
    assert_eq!(metric(&http, counted), Some(2.0));
    let passed = daemon.events("snapshot_passed_over");
    assert_eq!(passed.len(), 3, "one ahead of partition 0, two of partition 1: {passed:?}");
    case.produce(40..50);
    case.wait_committed(&mut daemon, 100);
    let twice = |partition, offset| match partition {
        0 => (60..80).contains(&offset),
        1 => (20..80).contains(&offset),
        _ => false,
    };
    let answers = case.assert_answered(100, |partition, offset| 1 + usize::from(twice(partition, offset)));
    for (source, said) in answers {
        let apart = said.iter().map(|value| (value - said[0]).abs()).fold(0.0, f64::max);
        assert!(apart < 2e-3, "{source:?} is answered differently: {said:?}");
    }
    assert_eq!(daemon.terminate(LIMIT), 0);
}

#[test]
fn readings_that_retention_took_are_counted_and_the_shard_goes_on_from_its_snapshot() {
    let case = Case::new("retention", ["", "", ""]);
    let (mut daemon, _) = case.daemon();
    case.produce(0..20);
    case.wait_committed(&mut daemon, 40);
    assert_eq!(daemon.terminate(LIMIT), 0);
    case.produce(20..40);
    // Below the committed offset nothing is lost.
    case.delete_before(&[(0, 60), (1, 30)]);
    let (mut daemon, http) = case.daemon();
    case.wait_committed(&mut daemon, 80);
    let restored = daemon.wait_for_events("restored", ALL, LIMIT);
    for (partition, from) in [(0, 60), (1, 40), (2, 40)] {
        let event = by_partition(&restored, partition);
        assert!(event["snapshot"].as_str().unwrap().ends_with("-00000000000000000040"), "{event}");
        assert_eq!((&event["from"], &event["committed"]), (&from.into(), &from.into()), "{event}");
        assert_eq!(event["series"], 2);
    }
    let cut = daemon.events("log_was_cut");
    assert_eq!(cut.len(), 1, "{cut:?}");
    assert_eq!((&cut[0]["committed"], &cut[0]["low"]), (&40.into(), &60.into()));
    let counted = "tidecast_readings_discarded_total{reason=\"retention\",stream=\"retention\"}";
    assert_eq!(metric(&http, counted), Some(20.0));
    case.assert_answered(80, |partition, offset| usize::from(partition != 0 || !(40..60).contains(&offset)));
    assert_eq!(daemon.terminate(LIMIT), 0);
}

/// As above, but the daemon is stopped instead of absent.
#[test]
fn readings_that_retention_took_from_a_running_daemon_are_counted_too() {
    let case = Case::new("overtaken", ["", "", ""]);
    let (mut daemon, http) = case.daemon();
    case.produce(0..20);
    case.wait_committed(&mut daemon, 40);
    daemon.signal(libc::SIGSTOP);
    // The fetch that is already under way returns nothing.
    std::thread::sleep(std::time::Duration::from_millis(500));
    case.produce(20..40);
    case.delete_before(&[(0, 60)]);
    daemon.signal(libc::SIGCONT);
    case.wait_committed(&mut daemon, 80);
    case.assert_answered(80, |partition, offset| usize::from(partition != 0 || !(40..60).contains(&offset)));
    let counted = "tidecast_readings_discarded_total{reason=\"retention\",stream=\"overtaken\"}";
    daemon.wait_for_events("log_was_cut", 1, LIMIT);
    assert_eq!(metric(&http, counted), Some(20.0));
    assert_eq!(daemon.events("log_was_cut").len(), 1);
    assert_eq!(daemon.terminate(LIMIT), 0);
}

#[test]
fn a_daemon_that_was_asked_to_stop_replays_nothing_when_it_starts_again() {
    let case = Case::new("stopped", [STABLE, "", "lateness = \"2h\""]);
    let (mut daemon, http) = case.daemon();
    daemon.wait_ready(&http, LIMIT);
    case.produce(0..40);
    // In the middle of its work.
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(daemon.terminate(LIMIT), 0, "{}", daemon.log());
    let committed = case.committed();
    let (mut daemon, _) = case.daemon();
    let restored = daemon.wait_for_events("restored", ALL, LIMIT);
    for partition in 0..PARTITIONS {
        let event = by_partition(&restored, partition);
        let offset = committed[partition as usize];
        assert_eq!((&event["from"], &event["committed"]), (&offset.into(), &offset.into()), "{event}");
        let snapshot = event["snapshot"].as_str().unwrap();
        // Before the first record there is no state to store.
        let is_right = snapshot.ends_with(&format!("-{offset:020}")) || (offset == 0 && snapshot == "none");
        assert!(is_right, "{event}");
    }
    case.produce([60]);
    case.wait_committed(&mut daemon, 82);
    case.assert_answered(80, |_, _| 1);
    assert_eq!(daemon.terminate(LIMIT), 0);
}

#[test]
fn an_unusable_store_ends_the_start_with_advice() {
    let case = Case::new("nostore", ["", "", ""]);
    let place = super::support::process::fresh_dir("nostore");
    std::fs::write(place.path().join("file"), "no folder").unwrap();
    let url = format!("file://{}/file/store", place.path().display());
    let (mut daemon, _) = case.daemon_with_store(&url);
    assert_eq!(daemon.wait(LIMIT), 1);
    let log = daemon.log();
    assert!(log.contains("store") && log.contains(&url) && log.contains("can't create the folder"), "{log}");
}
