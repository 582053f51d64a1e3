//! Kafka is away for longer than any timeout, or can't say yet what is committed: the daemons wait, say why, and go on by
//! themselves, and every record that was written has one answer.
//!
//! ```sh
//! tests/run outage                              # about a minute
//! TIDECAST_OUTAGE_SECONDS=200 tests/run outage  # away for longer
//! ```

mod support;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};
use support::broker::Broker;
use support::daemon::{get, metric};
use support::fleet::{Load, Membership, Replica, SESSION, Site, settle};
use support::kafka::client;

const PARTITIONS: i32 = 4;
const PER_SECOND: usize = 200;
const LIMIT: Duration = Duration::from_secs(120);
/// Runs, while each is spoilt by a transaction that the broker has left open.
const ATTEMPTS: usize = 3;
/// How long the transaction of a producer that is gone stays open.
const OPEN: Duration = Duration::from_secs(8);

/// Waits until this holds.
fn until(what: &str, replica: &mut Replica, mut holds: impl FnMut(&str) -> bool) {
    let (http, deadline) = (replica.http.clone(), Instant::now() + LIMIT);
    while !holds(&http) {
        assert!(replica.daemon().is_running(), "it has ended instead of {what}:\n{}", replica.daemon().log());
        assert!(Instant::now() < deadline, "{what} does not come:\n{}", replica.daemon().log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn status(http: &str, path: &str) -> Option<u16> {
    get(http, path).map(|(status, _)| status)
}

/// Whether it says that it is alive, not ready, and waits for Kafka.
fn waits_for_kafka(http: &str) -> bool {
    get(http, "/readyz").is_some_and(|(status, body)| status == 503 && body.contains("waits for Kafka"))
        && status(http, "/livez") == Some(200)
}

fn is_unready(http: &str) -> bool {
    status(http, "/readyz") == Some(503)
}

#[test]
fn brokers_that_are_away_are_waited_for_in_every_state() {
    let is_spoilt = |_| !are_waited_for();
    assert!(
        !(0..ATTEMPTS).all(is_spoilt),
        "the broker has left a transaction open in each of {ATTEMPTS} runs"
    );
}

/// One run; `false` when a transaction that the broker has left open for ever kept it from its end.
fn are_waited_for() -> bool {
    let seconds = std::env::var("TIDECAST_OUTAGE_SECONDS").ok().map_or(20, |text| text.parse().unwrap());
    let mut broker =
        Broker::start_with(&[("transaction.abort.timed.out.transaction.cleanup.interval.ms", "10000")]);
    let site = Site::new(&broker.bootstrap(), "outage", PARTITIONS);
    let session =
        format!("\"session.timeout.ms\" = \"{}\", \"heartbeat.interval.ms\" = \"500\"", SESSION.as_millis());
    let member = |number, named| site.replica(number, Membership { protocol: "classic", named }, &session);
    // One without a name, one with a name, and one that is started when no broker is there.
    let mut replicas = vec![member(0, false), member(1, true)];
    replicas.iter_mut().for_each(|replica| replica.start_and_wait(LIMIT));
    let load = Load::start(&site, PER_SECOND);
    let until_committed = Instant::now() + LIMIT;
    while site.committed(&site.name) < PER_SECOND {
        assert!(Instant::now() < until_committed, "nothing is committed");
        std::thread::sleep(Duration::from_millis(100));
    }
    broker.kill();
    let away = Instant::now();
    let mut late = member(2, true);
    late.start();
    replicas.push(late);
    for replica in &mut replicas {
        until("being unready", replica, is_unready);
    }
    let unready = away.elapsed();
    for replica in &mut replicas {
        until("waiting", replica, waits_for_kafka);
    }
    for replica in &mut replicas[..2] {
        until("the connections' metric", replica, |http| {
            ["consumer-0", "producer-0", "models"].iter().all(|client| {
                metric(http, &format!("tidecast_kafka_connected{{client=\"{client}\"}}")) == Some(0.0)
            })
        });
        let page = get(&replica.http, "/metrics").unwrap().1;
        assert!(!page.contains("tidecast_consumer_lag_readings{"), "a lag that nobody knows:\n{page}");
    }
    let waiting = away.elapsed();
    while away.elapsed() < Duration::from_secs(seconds) {
        replicas.iter().for_each(|replica| assert_eq!(status(&replica.http, "/livez"), Some(200)));
        std::thread::sleep(Duration::from_secs(1));
    }
    let was_away = away.elapsed();
    broker.restart();
    let back = Instant::now();
    let run = AssertUnwindSafe(|| {
        for replica in &mut replicas {
            until("being ready", replica, |http| status(http, "/readyz") == Some(200));
        }
        let ready = back.elapsed();
        let written = load.stop();
        let ended = settle(&site, &mut replicas, written, LIMIT);
        assert!(ended.is_empty(), "a restart mends nothing: {ended:?}");
        for replica in &mut replicas {
            assert_eq!(replica.daemon().terminate(LIMIT), 0);
        }
        // The one that was started meanwhile has waited for certain.
        let log = replicas[2].daemon().log();
        assert!(log.contains("without an answer of Kafka"), "{log}");
        let audit = site.audit("");
        println!(
            "outage: away {was_away:.1?}, all unready after {unready:.1?} and waiting after {waiting:.1?}, all ready {ready:.1?} after the broker, \
             readings {}, lost {}, doubled {}",
            audit.readings,
            audit.lost.len(),
            audit.doubled.len(),
        );
        assert!(audit.is_exact(), "{audit:?}");
    });
    match std::panic::catch_unwind(run) {
        Err(_) if broker.has_left_one_open() => false,
        Err(failed) => std::panic::resume_unwind(failed),
        Ok(()) => true,
    }
}

/// A producer that is gone has sent offsets for a group, and has not ended its transaction: what a process leaves that is
/// killed in the middle of its commit.
fn leave_offsets_open(site: &Site, offset: i64) {
    let mut settings = client(&site.bootstrap);
    let open = OPEN.as_millis().to_string();
    settings.set("transactional.id", "gone").set("transaction.timeout.ms", open);
    let producer: BaseProducer = settings.create().expect("a producer");
    producer.init_transactions(LIMIT).expect("a producer's id");
    producer.begin_transaction().unwrap();
    producer.send(BaseRecord::<str, str>::to(&site.topic("forecasts")).payload("never committed")).unwrap();
    producer.flush(LIMIT).unwrap();
    let mut offsets = TopicPartitionList::new();
    for partition in 0..site.partitions {
        offsets.add_partition_offset(&site.topic("in"), partition, Offset::Offset(offset)).unwrap();
    }
    // Of a consumer that is in no group, so the broker checks no membership.
    let consumer: BaseConsumer =
        client(&site.bootstrap).set("group.id", &site.name).create().expect("a consumer");
    let group = consumer.group_metadata().expect("a group");
    producer.send_offsets_to_transaction(&offsets, &group, LIMIT).expect("offsets in the transaction");
    // Not even its end reaches the broker.
    std::mem::forget(producer);
}

#[test]
fn offsets_that_an_open_transaction_holds_are_waited_for_and_the_reason_is_told() {
    let broker = Broker::start();
    let site = Site::new(&broker.bootstrap(), "held", PARTITIONS);
    let load = Load::start(&site, PER_SECOND);
    std::thread::sleep(Duration::from_secs(1));
    let written = load.stop();
    leave_offsets_open(&site, 10);
    let began = Instant::now();
    let mut replica = site.replica(0, Membership { protocol: "classic", named: true }, "");
    replica.start();
    until("waiting", &mut replica, |http| {
        get(http, "/readyz").is_some_and(|(_, body)| body.contains("an open transaction holds the offsets"))
    });
    assert_eq!(status(&replica.http, "/livez"), Some(200));
    until("being ready", &mut replica, |http| status(http, "/readyz") == Some(200));
    let ready = began.elapsed();
    assert!(ready >= OPEN / 2, "the transaction was open for {ready:?} only");
    let mut replicas = [replica];
    let ended = settle(&site, &mut replicas, written, LIMIT);
    assert!(ended.is_empty(), "{ended:?}");
    let audit = site.audit("");
    println!("outage: offsets were held for {OPEN:?}, ready after {ready:.1?}, {} readings", audit.readings);
    assert!(audit.is_exact(), "{audit:?}");
}
