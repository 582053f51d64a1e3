//! An upgrade and a downgrade under load: daemons of two programs in one group, over one store.

use super::support::broker::Broker;
use super::support::fleet::{Load, Membership, Site, settle};
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
const STAY: Duration = Duration::from_secs(6);

/// There and back, one daemon after the other.
#[test]
#[ignore = "needs the program of another release; tests/upgrade/README.md says how"]
fn there_and_back_under_load() {
    let other = std::env::var("TIDECAST_UPGRADE_OTHER").expect("TIDECAST_UPGRADE_OTHER names a program");
    let other = Path::new(&other);
    let this = Path::new(env!("CARGO_BIN_EXE_tidecast"));
    let broker = Broker::start();
    let site = Site::new(&broker.bootstrap(), "rolling", 4);
    site.keep_model();
    let membership = Membership { protocol: "classic", named: true };
    let mut replicas: Vec<_> = (0..2).map(|i| site.replica(i, membership, "")).collect();
    replicas.iter_mut().for_each(|replica| replica.start_program(other));
    let load = Load::start(&site, 200);
    std::thread::sleep(STAY);
    // Daemon, program, and whether the one before is killed or asked to leave.
    let steps = [(0, this, true), (1, this, false), (1, other, true), (0, other, false), (0, this, false)];
    for (number, program, is_killed) in steps {
        let mut before = replicas[number].daemon.take().expect("it runs");
        assert!(before.is_running(), "{}", before.log());
        if is_killed {
            before.kill9();
        } else {
            assert_eq!(before.dismiss(LIMIT), Some(0), "{}", before.log());
        }
        report(number, &before.log());
        replicas[number].start_program(program);
        std::thread::sleep(STAY);
    }
    let written = load.stop();
    // None may have ended by itself: `settle` would start it again as this program.
    let ended = settle(&site, &mut replicas, written, LIMIT);
    assert!(ended.is_empty(), "{ended:?}");
    for (number, replica) in replicas.iter_mut().enumerate() {
        let code = replica.daemon().terminate(LIMIT);
        assert_eq!(code, 0, "{}", replica.daemon().log());
        report(number, &replica.daemon().log());
    }
    let audit = site.audit("");
    println!(
        "readings {}, forecasts {}, dead letters {}, lost {}, doubled {}",
        audit.readings,
        audit.forecasts,
        audit.dead_letters,
        audit.lost.len(),
        audit.doubled.len()
    );
    assert!(audit.readings == written && audit.is_exact(), "{audit:?}");
}

/// What a daemon made of the snapshots it found.
fn report(number: usize, log: &str) {
    for line in log.lines().filter(|line| line.contains("restored") || line.contains("passed over")) {
        println!("daemon {number}: {line}");
    }
}
