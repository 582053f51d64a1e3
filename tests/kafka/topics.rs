//! Changes of the source topics while the daemon runs: tombstones, more partitions, a topic that is deleted and created
//! again with the same name.

use crate::case::{Case, LIMIT, PARTITIONS, RECREATED};
use crate::support::broker::Broker;
use crate::support::daemon::Daemon;
use crate::support::kafka::{add_partitions, client, delete_group};
use crate::support::process::{free_port, write};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use std::time::{Duration, Instant};

#[test]
fn tombstones_are_counted_and_stay_tombstones() {
    let case = Case::new("tombstones", "", 1);
    case.produce(0..1, 0..5);
    let producer: BaseProducer = client(&Broker::shared().bootstrap()).create().unwrap();
    let topic = case.topic("in");
    producer.send(BaseRecord::<str, [u8]>::to(&topic).key("gone").partition(0)).unwrap();
    producer.send(BaseRecord::to(&topic).key("empty").payload("").partition(0)).unwrap();
    producer.flush(LIMIT).unwrap();
    case.produce(0..1, 5..10);
    let mut daemon = case.daemon();
    case.wait_answered(&mut daemon, 10);
    let letters = case.read("dead-letters");
    let found: Vec<_> = letters
        .iter()
        .map(|l| (l.key.as_deref().unwrap(), l.value.as_deref(), l.header("tidecast-reason").unwrap()))
        .collect();
    assert_eq!(found, [(&b"gone"[..], None, "empty"), (&b"empty"[..], Some(&b""[..]), "empty")]);
    assert_eq!(case.metric("tidecast_dead_letters_total", "reason=\"empty\""), 2.0);
    assert_eq!(daemon.terminate(LIMIT), 0);
}

fn new_partitions_are_found(name: &str, kafka: &str) {
    let case = Case::new(name, kafka, 1);
    let mut daemon = case.daemon();
    case.produce(0..1, 0..5);
    case.wait_answered(&mut daemon, 5);
    add_partitions(&Broker::shared().bootstrap(), &case.topic("in"), 3);
    case.produce(1..3, 0..5);
    case.wait_answered(&mut daemon, 15);
    assert_eq!(case.answers().len(), 15, "each once");
    assert_eq!(daemon.terminate(LIMIT), 0);
}

/// With the default settings, within the time that these allow.
#[test]
fn new_partitions_are_found_within_a_minute() {
    new_partitions_are_found("grows", "");
}

/// Here the broker finds them.
#[test]
fn new_partitions_are_found_under_kip_848() {
    new_partitions_are_found("grows848", "group_protocol = \"consumer\"");
}

const CLASSIC: &str = "properties = { \"session.timeout.ms\" = \"6000\" }";
const KIP_848: &str = "group_protocol = \"consumer\"";

/// The topic is created again while a daemon runs that has read 100 hours of three partitions. The new topic gets
/// `new` hours at once, and some later.
fn recreated(name: &str, kafka: &str, new: i64, between: Duration) {
    let case = Case::new(name, kafka, PARTITIONS);
    let mut daemon = case.daemon();
    case.produce(0..PARTITIONS, 0..100);
    let mut count = 100 * PARTITIONS as usize;
    case.wait_answered(&mut daemon, count);
    case.recreate(between);
    for (from, to) in [(0, new), (new, new + 10)] {
        case.produce(0..PARTITIONS, RECREATED + from..RECREATED + to);
        count += (to - from) as usize * PARTITIONS as usize;
        case.wait_answered(&mut daemon, count);
    }
    case.assert_answered(100, new + 10, &daemon);
    let told = daemon.events("topic_recreated");
    assert_eq!(told.len(), PARTITIONS as usize, "{}", daemon.log());
    for event in &told {
        assert_ne!(event["former"], event["now"]);
        assert_eq!(event["low"], 0);
    }
    let reset = case.metric("tidecast_log_resets_total", "reason=\"recreated\"");
    assert_eq!(reset, f64::from(PARTITIONS));
    assert_eq!(case.metric("tidecast_log_resets_total", ""), reset, "and nothing else is told");
    // The next daemon knows which topic is read, and does not use snapshots of the former one.
    daemon.kill9();
    let mut daemon = case.daemon();
    case.produce(0..PARTITIONS, RECREATED + new + 10..RECREATED + new + 20);
    case.wait_answered(&mut daemon, count + 10 * PARTITIONS as usize);
    case.assert_answered(100, new + 20, &daemon);
    assert_eq!(case.metric("tidecast_log_resets_total", ""), 0.0, "{}", daemon.log());
    assert_eq!(daemon.terminate(LIMIT), 0);
}

#[test]
fn a_topic_that_is_recreated_and_shorter_is_read_from_its_beginning() {
    recreated("shorter", CLASSIC, 30, Duration::ZERO);
}

#[test]
fn a_topic_that_is_recreated_and_longer_is_read_from_its_beginning() {
    recreated("longer", CLASSIC, 150, Duration::ZERO);
}

#[test]
fn a_topic_that_is_recreated_and_equally_long_is_read_from_its_beginning() {
    recreated("equal", CLASSIC, 100, Duration::ZERO);
}

/// In one generation the snapshots at the ends of the two topics have the same id. No records follow, so no later
/// snapshot has another offset.
#[test]
fn a_topic_that_is_recreated_and_rests_where_the_former_one_did_gets_its_snapshots() {
    let case = Case::new("rests", CLASSIC, PARTITIONS);
    let mut daemon = case.daemon();
    let wait_for_snapshots = |daemon: &mut Daemon, count: usize| {
        let until = Instant::now() + LIMIT;
        let at_end = |event: &Value| {
            event["snapshot"].as_str().is_some_and(|id| id.ends_with("-00000000000000000100"))
        };
        while daemon.events("snapshot_taken").iter().filter(|event| at_end(event)).count() < count {
            assert!(daemon.events("snapshot_failed").is_empty(), "{}", daemon.log());
            assert!(Instant::now() < until && daemon.is_running(), "{}", daemon.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    case.produce(0..PARTITIONS, 0..100);
    wait_for_snapshots(&mut daemon, PARTITIONS as usize);
    case.recreate(Duration::ZERO);
    case.produce(0..PARTITIONS, RECREATED..RECREATED + 100);
    wait_for_snapshots(&mut daemon, 2 * PARTITIONS as usize);
    case.assert_answered(100, 100, &daemon);
    daemon.kill9();
    let mut daemon = case.daemon();
    let restored = daemon.events("restored");
    assert_eq!(restored.len(), PARTITIONS as usize, "{}", daemon.log());
    assert!(
        restored.iter().all(|event| event["snapshot"] != "none" && event["from"] == 100),
        "{}",
        daemon.log()
    );
    assert_eq!(daemon.terminate(LIMIT), 0);
}

#[test]
fn a_topic_that_is_recreated_is_read_under_kip_848_too() {
    recreated("shorter848", KIP_848, 30, Duration::ZERO);
    recreated("longer848", KIP_848, 150, Duration::ZERO);
}

#[test]
fn a_topic_that_is_gone_for_a_while_is_waited_for() {
    recreated("pause", CLASSIC, 30, Duration::from_secs(8));
    recreated("pause848", KIP_848, 150, Duration::from_secs(8));
}

/// With two replicas of two workers each. Partitions move when the topic goes and when it comes back.
#[test]
fn a_topic_that_is_recreated_is_read_by_the_owner_of_its_partitions() {
    for (name, kafka, new) in [("shared", CLASSIC, 150), ("shared848", KIP_848, 30)] {
        let case = Case::with(name, kafka, "[daemon]\nworkers = 2", PARTITIONS);
        let mut daemon = case.daemon();
        let other = std::fs::read_to_string(case.config()).unwrap();
        let other = other.replace(&case.http, &format!("127.0.0.1:{}", free_port()));
        let mut other = Daemon::spawn(&write(case.dir.path(), "other.toml", &other), &[]);
        case.produce(0..PARTITIONS, 0..100);
        case.wait_answered(&mut daemon, 100 * PARTITIONS as usize);
        case.recreate(Duration::from_secs(1));
        case.produce(0..PARTITIONS, RECREATED..RECREATED + new);
        case.wait_answered(&mut daemon, (100 + new as usize) * PARTITIONS as usize);
        case.assert_answered(100, new, &daemon);
        let told = daemon.events("topic_recreated").len() + other.events("topic_recreated").len();
        assert!(told >= PARTITIONS as usize, "{}\n{}", daemon.log(), other.log());
        assert_eq!(daemon.terminate(LIMIT), 0);
        assert_eq!(other.terminate(LIMIT), 0);
    }
}

/// No daemon runs while it is created again, and the broker deletes the group's offsets with it.
#[test]
fn a_topic_that_was_recreated_meanwhile_is_logged_at_the_start() {
    let case = Case::new("meanwhile", CLASSIC, PARTITIONS);
    let mut daemon = case.daemon();
    case.produce(0..PARTITIONS, 0..100);
    case.wait_answered(&mut daemon, 100 * PARTITIONS as usize);
    assert_eq!(daemon.terminate(LIMIT), 0);
    case.recreate(Duration::ZERO);
    case.produce(0..PARTITIONS, RECREATED..RECREATED + 150);
    let mut daemon = case.daemon();
    case.wait_answered(&mut daemon, 250 * PARTITIONS as usize);
    case.assert_answered(100, 150, &daemon);
    assert_eq!(daemon.events("topic_recreated").len(), PARTITIONS as usize, "{}", daemon.log());
    let reset = case.metric("tidecast_log_resets_total", "reason=\"recreated\"");
    assert_eq!(reset, f64::from(PARTITIONS));
    assert_eq!(daemon.terminate(LIMIT), 0);
}

/// The group's offsets are deleted as well, which Kafka allows once the group has no member. The daemon stands still
/// meanwhile.
#[test]
fn a_topic_that_is_recreated_while_the_group_is_deleted_is_read_from_its_beginning() {
    for (name, kafka, new) in [("nogroup", CLASSIC, 150), ("nogroup848", KIP_848, 30)] {
        let case = Case::new(name, kafka, PARTITIONS);
        let mut daemon = case.daemon();
        case.produce(0..PARTITIONS, 0..100);
        case.wait_answered(&mut daemon, 100 * PARTITIONS as usize);
        daemon.signal(libc::SIGSTOP);
        delete_group(&Broker::shared().bootstrap(), name);
        case.recreate(Duration::ZERO);
        case.produce(0..PARTITIONS, RECREATED..RECREATED + new);
        daemon.signal(libc::SIGCONT);
        case.wait_answered(&mut daemon, (100 + new as usize) * PARTITIONS as usize);
        case.assert_answered(100, new, &daemon);
        assert_eq!(daemon.events("topic_recreated").len(), PARTITIONS as usize, "{}", daemon.log());
        assert_eq!(daemon.terminate(LIMIT), 0);
    }
}

/// Readings of the former topic that were read and not committed can't be answered any more, and are counted.
#[test]
fn a_topic_that_is_deleted_among_its_records_costs_no_reading_of_the_new_one() {
    for (name, kafka) in [("midst", CLASSIC), ("midst848", KIP_848)] {
        let case = Case::new(name, kafka, PARTITIONS);
        let mut daemon = case.daemon();
        case.produce(0..PARTITIONS, 0..3_000);
        case.wait_answered(&mut daemon, 1);
        case.recreate(Duration::ZERO);
        case.produce(0..PARTITIONS, RECREATED..RECREATED + 150);
        let until = Instant::now() + LIMIT;
        let of_new = || {
            let all =
                case.answers().into_iter().flat_map(|(at, hours)| hours.into_iter().map(move |h| (at, h)));
            let mut found: Vec<_> = all.filter(|(_, hour)| *hour >= RECREATED).collect();
            found.sort_unstable();
            found
        };
        while of_new().len() < 150 * PARTITIONS as usize {
            assert!(Instant::now() < until && daemon.is_running(), "{}", daemon.log());
            std::thread::sleep(Duration::from_millis(100));
        }
        std::thread::sleep(Duration::from_millis(500));
        let wanted: Vec<_> = (0..PARTITIONS)
            .flat_map(|p| (0..150).map(move |offset| ((p, offset), RECREATED + offset)))
            .collect();
        assert_eq!(of_new(), wanted, "{}", daemon.log());
        let answers = case.answers();
        let old = |at: &(i32, i64), hours: &Vec<i64>| hours.iter().filter(|h| **h == at.1).count();
        assert!(answers.iter().all(|(at, hours)| old(at, hours) <= 1), "the former one's at most once");
        assert_eq!(daemon.events("topic_recreated").len(), PARTITIONS as usize, "{}", daemon.log());
        assert_eq!(daemon.terminate(LIMIT), 0);
    }
}

/// Partitions that no longer exist wait, and new ones are found.
#[test]
fn a_topic_that_is_recreated_with_other_partitions_is_read() {
    for (name, kafka, partitions) in [
        ("fewer", CLASSIC, 1),
        ("fewer848", KIP_848, 1),
        ("more", "properties = { \"topic.metadata.refresh.interval.ms\" = \"2000\" }", 5),
        ("more848", KIP_848, 5),
    ] {
        let case = Case::new(name, kafka, PARTITIONS);
        let mut daemon = case.daemon();
        case.produce(0..PARTITIONS, 0..100);
        case.wait_answered(&mut daemon, 100 * PARTITIONS as usize);
        case.recreate_with(Duration::ZERO, partitions);
        case.produce(0..partitions, RECREATED..RECREATED + 150);
        case.wait_answered(&mut daemon, 100 * PARTITIONS as usize + 150 * partitions as usize);
        let mut new: Vec<_> = case
            .answers()
            .into_iter()
            .flat_map(|(at, hours)| {
                hours.into_iter().filter(|hour| *hour >= RECREATED).map(move |hour| (at, hour))
            })
            .collect();
        new.sort_unstable();
        let wanted: Vec<_> = (0..partitions)
            .flat_map(|p| (0..150).map(move |offset| ((p, offset), RECREATED + offset)))
            .collect();
        assert_eq!(new, wanted, "{}", daemon.log());
        assert_eq!(daemon.terminate(LIMIT), 0);
    }
}

/// The same topic after its broker has lost the log.
#[test]
fn a_log_that_has_lost_its_end_is_logged_and_read_on() {
    let mut broker = Broker::start();
    let case = Case::on(&broker.bootstrap(), "truncated", CLASSIC, "", 1);
    let mut daemon = case.daemon();
    case.produce(0..1, 0..100);
    case.wait_answered(&mut daemon, 100);
    broker.lose_log(&case.topic("in"), 0);
    case.produce(0..1, RECREATED..RECREATED + 30);
    let until = Instant::now() + LIMIT;
    while daemon.events("log_truncated").is_empty() {
        assert!(Instant::now() < until && daemon.is_running(), "{}", daemon.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let told = &daemon.events("log_truncated")[0];
    assert_eq!((&told["committed"], &told["low"]), (&100.into(), &0.into()));
    assert_eq!(case.metric("tidecast_log_resets_total", "reason=\"truncated\""), 1.0);
    case.produce(0..1, RECREATED + 30..RECREATED + 60);
    let later = || -> Vec<i64> {
        case.answers().into_values().flatten().filter(|hour| *hour >= RECREATED + 30).collect()
    };
    while later().len() < 30 {
        assert!(Instant::now() < until && daemon.is_running(), "{}", daemon.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(later(), (RECREATED + 30..RECREATED + 60).collect::<Vec<_>>(), "{}", daemon.log());
    assert!(daemon.events("topic_recreated").is_empty());
    assert_eq!(daemon.terminate(LIMIT), 0);
}
