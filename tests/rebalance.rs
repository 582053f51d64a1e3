//! Daemons that join, leave, die and sleep under load: each reading has exactly one forecast, with both group protocols.

mod support;

use std::time::{Duration, Instant};
use support::broker::Broker;
use support::fleet::{Load, Membership, Replica, SESSION, Site, settle};

const LIMIT: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 4;
const PER_SECOND: usize = 200;

const CLASSIC: Membership = Membership { protocol: "classic", named: false };
const CLASSIC_NAMED: Membership = Membership { protocol: "classic", named: true };
const CONSUMER: Membership = Membership { protocol: "consumer", named: false };
const CONSUMER_NAMED: Membership = Membership { protocol: "consumer", named: true };

fn pause(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

/// How often a daemon is asked to leave at the moment of its assignment.
const VISITS: usize = 12;

/// Runs cases at the same time, each with its own group; they mostly wait.
fn together<const N: usize>(cases: [fn(); N]) {
    std::thread::scope(|scope| cases.into_iter().for_each(|case| drop(scope.spawn(case))));
}

/// A test's site, daemons and load; two of the daemons serve.
struct Scene {
    site: Site,
    replicas: Vec<Replica>,
    load: Load,
}

impl Scene {
    fn new(name: &str, membership: Membership, replicas: usize, properties: &str) -> Self {
        let site = Site::new(&Broker::shared().bootstrap(), name, PARTITIONS);
        // Under KIP-848 the broker sets the session, and librdkafka refuses these properties.
        let session = match membership.protocol {
            "classic" => {
                format!(
                    "\"session.timeout.ms\" = \"{}\", \"heartbeat.interval.ms\" = \"500\", ",
                    SESSION.as_millis()
                )
            }
            _ => String::new(),
        };
        let properties = format!("{session}{properties}");
        let mut replicas: Vec<Replica> =
            (0..replicas).map(|i| site.replica(i, membership, &properties)).collect();
        let load = Load::start(&site, PER_SECOND);
        replicas[..2].iter_mut().for_each(|replica| replica.start_and_wait(LIMIT));
        pause(1_500);
        Self { site, replicas, load }
    }

    /// Ends the load, waits until all is committed, ends every daemon, and counts. Returns the last log lines of
    /// daemons that ended by themselves.
    fn assert_exact(mut self) -> Vec<String> {
        let written = self.load.stop();
        let ended = settle(&self.site, &mut self.replicas, written, LIMIT);
        for daemon in self.replicas.iter_mut().filter_map(|replica| replica.daemon.as_mut()) {
            assert_eq!(daemon.terminate(LIMIT), 0, "{}", daemon.log());
        }
        let audit = self.site.audit("");
        assert!(audit.readings == written && audit.is_exact(), "{audit:?}\n{ended:?}");
        ended
    }
}

/// Two daemons, then three; one leaves, one is killed and comes back.
fn comes_and_goes(name: &str, membership: Membership) -> Vec<String> {
    let mut scene = Scene::new(name, membership, 3, "");
    scene.replicas[2].start_and_wait(LIMIT);
    pause(1_500);
    let first = scene.replicas[0].daemon();
    assert_eq!(first.terminate(LIMIT), 0, "{}", first.log());
    scene.replicas[0].daemon = None;
    pause(1_000);
    scene.replicas[1].daemon().kill9();
    scene.replicas[1].daemon = None;
    pause(SESSION.as_millis() as u64 + 1_000);
    scene.replicas[1].start();
    scene.replicas[0].start();
    pause(2_500);
    scene.assert_exact()
}

#[test]
fn they_come_and_go_in_the_classic_protocol() {
    together([
        || assert_eq!(comes_and_goes("classic", CLASSIC), [""; 0]),
        || assert_eq!(comes_and_goes("classic-named", CLASSIC_NAMED), [""; 0]),
    ]);
}

#[test]
fn they_come_and_go_in_the_new_protocol() {
    together([
        || assert_eq!(comes_and_goes("consumer", CONSUMER), [""; 0]),
        || assert_eq!(comes_and_goes("consumer-named", CONSUMER_NAMED), [""; 0]),
    ]);
}

/// A daemon is asked to leave while it restores the shards of its new partitions, each time a little later. Each time it
/// ends in order.
#[test]
fn a_daemon_asked_to_leave_at_its_assignment_leaves_in_order() {
    let site = Site::new(&Broker::shared().bootstrap(), "visits", 32);
    let mut replica = site.replica(0, CLASSIC, "");
    for visit in 0..VISITS {
        replica.start();
        let daemon = replica.daemon();
        let until = Instant::now() + LIMIT;
        while !daemon.log().contains("partitions assigned") {
            assert!(Instant::now() < until && daemon.is_running(), "{}", daemon.log());
            pause(1);
        }
        pause(5 * visit as u64);
        assert_eq!(daemon.terminate(LIMIT), 0, "visit {visit}:\n{}", daemon.log());
    }
}

#[test]
fn a_named_daemon_that_is_back_in_time_takes_nothing_from_the_others() {
    let mut scene = Scene::new("back", CLASSIC_NAMED, 2, "");
    let moves = |log: &str| log.lines().filter(|l| l.contains("partitions assigned")).count();
    let before = moves(&scene.replicas[1].daemon().log());
    scene.replicas[0].daemon().kill9();
    scene.replicas[0].start_and_wait(LIMIT);
    pause(1_000);
    assert_eq!(moves(&scene.replicas[1].daemon().log()), before, "{}", scene.replicas[1].daemon().log());
    assert_eq!(scene.assert_exact(), [""; 0]);
}

/// Two daemons have the same name. Under the new protocol the second waits for the end of the first one's session.
#[test]
fn a_named_daemon_of_the_new_protocol_waits_for_its_own_session() {
    let mut scene = Scene::new("unreleased", CONSUMER_NAMED, 2, "");
    scene.replicas[0].daemon().kill9();
    scene.replicas[0].start();
    pause(SESSION.as_millis() as u64 + 1_000);
    for last in scene.assert_exact() {
        assert!(last.contains("fenced"), "{last}");
    }
}

/// A daemon sleeps past its session for `millis`. What it does after waking is refused. Returns the last log lines of
/// daemons that ended.
fn sleeps(name: &str, membership: Membership, millis: u64) -> Vec<String> {
    let mut scene = Scene::new(name, membership, 2, "");
    scene.replicas[0].daemon().signal(libc::SIGSTOP);
    pause(millis);
    scene.replicas[0].daemon().signal(libc::SIGCONT);
    pause(3_000);
    let daemon = scene.replicas[0].daemon();
    let log = daemon.log();
    assert!(log.contains("partitions revoked") || log.contains("fenced"), "it knows that it slept:\n{log}");
    println!("{name}: {}", if daemon.is_running() { "goes on" } else { "has ended" });
    scene.assert_exact()
}

#[test]
fn a_sleep_past_the_session_doubles_no_forecast() {
    const NAP: u64 = SESSION.as_millis() as u64 + 3_000;
    let only_fenced = |ended: Vec<String>| {
        ended.iter().for_each(|last| assert!(last.contains("fenced"), "{last}"));
    };
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(sleeps("slept", CLASSIC, NAP), [""; 0]));
        scope.spawn(|| only_fenced(sleeps("slept-named", CLASSIC_NAMED, NAP)));
        scope.spawn(|| only_fenced(sleeps("slept-new", CONSUMER, NAP)));
        // Longer than the transaction may last: the broker has aborted it, and no other process has its id.
        scope.spawn(|| assert_eq!(sleeps("slept-long", CLASSIC, NAP + 8_000), [""; 0]));
    });
}

/// A worker that is too busy to poll for longer than `max.poll.interval.ms`, while its process beats on.
fn is_busy(name: &str, membership: Membership) -> Vec<String> {
    let mut scene = Scene::new(name, membership, 2, "\"max.poll.interval.ms\" = \"4000\"");
    let noticed = |scene: &mut Scene| scene.replicas[0].daemon().log().contains("maximum poll interval");
    // A worker that is caught in the midst of its poll is not late: then once more.
    for _ in 0..3 {
        if noticed(&mut scene) {
            break;
        }
        let frozen = scene.replicas[0].daemon().freeze("worker-0");
        pause(6_000);
        drop(frozen);
        pause(1_000);
    }
    pause(2_000);
    assert!(noticed(&mut scene), "it was told:\n{}", scene.replicas[0].daemon().log());
    println!("{name}: {}", if scene.replicas[0].daemon().is_running() { "goes on" } else { "has ended" });
    scene.assert_exact()
}

#[test]
fn a_late_poll_doubles_no_forecast_and_goes_on() {
    together([
        || assert_eq!(is_busy("late", CLASSIC), [""; 0]),
        || assert_eq!(is_busy("late-named", CLASSIC_NAMED), [""; 0]),
    ]);
}

/// librdkafka 2.12 may join again in a way that the broker refuses, which ends the process
/// (confluentinc/librdkafka#5541). Either way nothing is lost or doubled.
#[test]
fn a_late_poll_in_the_new_protocol_doubles_no_forecast() {
    for last in is_busy("late-new", CONSUMER) {
        assert!(last.contains("fatal error in librdkafka"), "{last}");
    }
}
