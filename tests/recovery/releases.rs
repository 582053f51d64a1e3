//! One record releases very many readings that were held back. They are committed in parts, and a daemon that is killed
//! between two of these goes on where it was.

use super::case::{Case, LIMIT};
use super::support::daemon::Daemon;
use std::time::{Duration, Instant};

/// A commit comes after so many steps, and hardly for another reason.
const IN_PARTS: &str = "commit_readings = 20\ncommit_interval = \"1s\"";
const LINES: &str = "lateness = \"300h\"";
const HOURS: i64 = 200;
/// Two series for each partition.
const HELD: i64 = 2 * HOURS;
const END: i64 = HELD + 2;

/// Produces what is held back, and once that is read, the records that release it.
fn produce(case: &Case, daemon: &mut Daemon) {
    case.produce(0..HOURS);
    case.wait_committed(daemon, HELD);
    case.produce([HOURS + 400]);
}

/// Each reading is answered once, except for the last ones, which are held back.
fn answered(_: i32, offset: i64) -> usize {
    usize::from(offset < HELD)
}

#[test]
fn a_daemon_that_is_killed_within_a_release_goes_on_there() {
    let quiet = Case::new("at-once", ["", "", LINES]);
    let (mut daemon, _) = quiet.daemon();
    produce(&quiet, &mut daemon);
    quiet.wait_committed(&mut daemon, END);
    let wanted = quiet.assert_answered(END, answered);
    assert_eq!(daemon.terminate(LIMIT), 0);

    let case = Case::new("in-parts", ["instance = \"in-parts-0\"", "[snapshots]\nevery = \"1s\"", LINES])
        .with_delivery(IN_PARTS);
    let (mut daemon, _) = case.daemon();
    produce(&case, &mut daemon);
    let (mut kills, mut within) = (0, 0);
    let until = Instant::now() + LIMIT;
    while case.committed().iter().any(|committed| *committed < END) {
        assert!(daemon.is_running(), "the daemon has ended:\n{}", daemon.log());
        assert!(Instant::now() < until, "{:?} after {kills} kills:\n{}", case.committed(), daemon.log());
        if kills < 6 && case.notes().iter().any(|note| note.contains("~in-parts=")) {
            daemon.kill9();
            within += case.notes().iter().filter(|note| note.contains("~in-parts=")).count();
            kills += 1;
            daemon = case.daemon().0;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(kills >= 3 && within >= 3, "{kills} kills, {within} partitions were within a release then");
    println!("{kills} kills, {within} partitions were within a release then");
    assert_eq!(case.assert_answered(END, answered), wanted);
    assert!(case.notes().iter().all(|note| !note.contains('~')), "{:?}", case.notes());
    assert_eq!(daemon.terminate(LIMIT), 0);
}
