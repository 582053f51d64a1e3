//! The test broker itself: it starts, hides aborted records and survives SIGKILL.

use crate::support::broker::Broker;
use crate::support::daemon::Daemon;
use crate::support::kafka::{Record, client, committed_offsets, create_topic, produce};
use crate::support::kafka::{read_committed, read_committed_so_far};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

fn values(records: &[Record]) -> Vec<&str> {
    records.iter().map(|r| std::str::from_utf8(r.value.as_deref().unwrap()).unwrap()).collect()
}

#[test]
fn what_was_written_survives_a_kill() {
    let mut broker = Broker::start();
    let at = broker.bootstrap();
    create_topic(&at, "in", 3, &[("retention.ms", "-1")]);
    produce(&at, "in", (0..3000).map(|i| (format!("meter-{}", i % 100), i.to_string(), Some(i % 3))));
    broker.kill();
    broker.restart();
    assert_eq!(broker.bootstrap(), at);
    let records = read_committed(&at, "in");
    assert_eq!(records.len(), 3000);
    let second: Vec<_> = records.iter().filter(|r| r.partition == 1).cloned().collect();
    assert_eq!(values(&second)[..3], ["1", "4", "7"]);
    assert_eq!(second[2].offset, 2);
    assert_eq!(second[2].key.as_deref(), Some("meter-7".as_bytes()));

    broker.stop();
    broker.restart();
    produce(&at, "in", [("meter-1", "more", Some(0))]);
    assert_eq!(read_committed(&at, "in").len(), 3001);
}

#[test]
fn only_committed_transactions_are_read() {
    let at = Broker::shared().bootstrap();
    create_topic(&at, "out", 1, &[]);
    let producer: BaseProducer = client(&at).set("transactional.id", "writer").create().unwrap();
    let send = |value: &str| {
        producer.send(BaseRecord::to("out").key("k").payload(value)).unwrap();
    };
    producer.init_transactions(LIMIT).unwrap();
    producer.begin_transaction().unwrap();
    send("kept");
    producer.commit_transaction(LIMIT).unwrap();
    producer.begin_transaction().unwrap();
    send("aborted");
    producer.flush(LIMIT).unwrap();
    producer.abort_transaction(LIMIT).unwrap();
    producer.begin_transaction().unwrap();
    send("kept too");
    producer.commit_transaction(LIMIT).unwrap();
    let records = read_committed(&at, "out");
    assert_eq!(values(&records), ["kept", "kept too"]);
    assert_eq!(records[1].offset, 4, "record, marker, aborted, marker, record");

    // An open transaction hides its own records and everything after them.
    producer.begin_transaction().unwrap();
    send("open");
    producer.flush(LIMIT).unwrap();
    produce(&at, "out", [("k", "after", None)]);
    assert_eq!(values(&read_committed_so_far(&at, "out")), ["kept", "kept too"]);
    producer.commit_transaction(LIMIT).unwrap();
    assert_eq!(values(&read_committed(&at, "out")), ["kept", "kept too", "open", "after"]);
}

#[test]
fn a_group_without_commits_has_no_offsets() {
    let at = Broker::shared().bootstrap();
    create_topic(&at, "unread", 2, &[]);
    assert_eq!(committed_offsets(&at, "nobody", "unread"), [None, None]);
}

#[test]
fn the_binary_is_found_and_its_exit_code_read() {
    let mut daemon = Daemon::spawn("/no/such/config.toml".as_ref(), &[]);
    let _ = daemon.wait(LIMIT);
    assert!(!daemon.is_running());
}
