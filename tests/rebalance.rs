//! Daemons that join, leave, die and fall asleep under load: each reading has exactly one forecast,
//! whichever protocol the group speaks.

mod support;

use std::time::{Duration, Instant};
use support::fleet::{Load, Membership, SESSION, Seat, Site, settle};
use support::kafka::Broker;

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

/// How often a daemon is asked to leave in the moment in which it comes.
const VISITS: usize = 12;

/// Each with a group of its own, at the same time: they mostly wait.
fn together<const N: usize>(cases: [fn(); N]) {
    std::thread::scope(|scope| cases.into_iter().for_each(|case| drop(scope.spawn(case))));
}

/// A test's site, daemons and load; two of the daemons serve.
struct Scene {
    site: Site,
    seats: Vec<Seat>,
    load: Load,
}

impl Scene {
    fn new(name: &str, membership: Membership, seats: usize, properties: &str) -> Self {
        let site = Site::new(&Broker::shared().bootstrap(), name, PARTITIONS);
        // Under KIP-848 the session is the broker's business, and librdkafka refuses these.
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
        let mut seats: Vec<Seat> = (0..seats).map(|i| site.seat(i, membership, &properties)).collect();
        let load = Load::start(&site, PER_SECOND);
        seats[..2].iter_mut().for_each(|seat| seat.start_and_wait(LIMIT));
        pause(1_500);
        Self { site, seats, load }
    }

    /// Ends the load, waits until all is committed, ends every daemon, and counts. Gives the last words
    /// of those that ended by themselves.
    fn assert_exact(mut self) -> Vec<String> {
        let written = self.load.stop();
        let ended = settle(&self.site, &mut self.seats, written, LIMIT);
        for daemon in self.seats.iter_mut().filter_map(|seat| seat.daemon.as_mut()) {
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
    scene.seats[2].start_and_wait(LIMIT);
    pause(1_500);
    let first = scene.seats[0].daemon();
    assert_eq!(first.terminate(LIMIT), 0, "{}", first.log());
    scene.seats[0].daemon = None;
    pause(1_000);
    scene.seats[1].daemon().kill9();
    scene.seats[1].daemon = None;
    pause(SESSION.as_millis() as u64 + 1_000);
    scene.seats[1].start();
    scene.seats[0].start();
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

/// It is asked to leave while it asks for the shards of the partitions that it was just given: each time a
/// little later, and each time it ends in order.
#[test]
fn who_is_asked_to_leave_in_the_moment_of_its_assignment_leaves_in_order() {
    let site = Site::new(&Broker::shared().bootstrap(), "visits", 32);
    let mut seat = site.seat(0, CLASSIC, "");
    for visit in 0..VISITS {
        seat.start();
        let daemon = seat.daemon();
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
    let before = moves(&scene.seats[1].daemon().log());
    scene.seats[0].daemon().kill9();
    scene.seats[0].start_and_wait(LIMIT);
    pause(1_000);
    assert_eq!(moves(&scene.seats[1].daemon().log()), before, "{}", scene.seats[1].daemon().log());
    assert_eq!(scene.assert_exact(), [""; 0]);
}

/// Two are of the same name: under the new protocol the second has to wait for the first one's session.
#[test]
fn a_named_daemon_of_the_new_protocol_waits_for_its_own_session() {
    let mut scene = Scene::new("unreleased", CONSUMER_NAMED, 2, "");
    scene.seats[0].daemon().kill9();
    scene.seats[0].start();
    pause(SESSION.as_millis() as u64 + 1_000);
    for last in scene.assert_exact() {
        assert!(last.contains("fenced"), "{last}");
    }
}

/// A daemon that sleeps past its session, for so long: what it does when it wakes is refused. Gives the last
/// words of those that ended.
fn sleeps(name: &str, membership: Membership, millis: u64) -> Vec<String> {
    let mut scene = Scene::new(name, membership, 2, "");
    scene.seats[0].daemon().signal(libc::SIGSTOP);
    pause(millis);
    scene.seats[0].daemon().signal(libc::SIGCONT);
    pause(3_000);
    let daemon = scene.seats[0].daemon();
    let log = daemon.log();
    assert!(log.contains("partitions revoked") || log.contains("fenced"), "it knows that it slept:\n{log}");
    println!("{name}: {}", if daemon.is_running() { "goes on" } else { "has ended" });
    scene.assert_exact()
}

#[test]
fn who_slept_past_its_session_doubles_nothing() {
    const NAP: u64 = SESSION.as_millis() as u64 + 3_000;
    let only_fenced = |ended: Vec<String>| {
        ended.iter().for_each(|last| assert!(last.contains("fenced"), "{last}"));
    };
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(sleeps("slept", CLASSIC, NAP), [""; 0]));
        scope.spawn(|| only_fenced(sleeps("slept-named", CLASSIC_NAMED, NAP)));
        scope.spawn(|| only_fenced(sleeps("slept-new", CONSUMER, NAP)));
        // Longer than its transaction may last: the broker has aborted it, and nobody else has its id.
        scope.spawn(|| assert_eq!(sleeps("slept-long", CLASSIC, NAP + 8_000), [""; 0]));
    });
}

/// A worker that is too busy to poll for longer than `max.poll.interval.ms`, while its process beats on.
fn is_busy(name: &str, membership: Membership) -> Vec<String> {
    let mut scene = Scene::new(name, membership, 2, "\"max.poll.interval.ms\" = \"4000\"");
    let noticed = |scene: &mut Scene| scene.seats[0].daemon().log().contains("maximum poll interval");
    // A worker that is caught in the midst of its poll is not late: then once more.
    for _ in 0..3 {
        if noticed(&mut scene) {
            break;
        }
        let frozen = scene.seats[0].daemon().freeze("worker-0");
        pause(6_000);
        drop(frozen);
        pause(1_000);
    }
    pause(2_000);
    assert!(noticed(&mut scene), "it was told:\n{}", scene.seats[0].daemon().log());
    println!("{name}: {}", if scene.seats[0].daemon().is_running() { "goes on" } else { "has ended" });
    scene.assert_exact()
}

#[test]
fn who_polls_too_late_doubles_nothing_and_goes_on() {
    together([
        || assert_eq!(is_busy("late", CLASSIC), [""; 0]),
        || assert_eq!(is_busy("late-named", CLASSIC_NAMED), [""; 0]),
    ]);
}

/// librdkafka 2.12 may join again in a way that the broker refuses, which ends the process
/// (confluentinc/librdkafka#5541). Either way nothing is lost or doubled.
#[test]
fn who_polls_too_late_in_the_new_protocol_doubles_nothing() {
    for last in is_busy("late-new", CONSUMER) {
        assert!(last.contains("fatal error in librdkafka"), "{last}");
    }
}
