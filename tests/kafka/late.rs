//! Requests of transactions that come late, on a real Kafka: the network keeps a request while its connection breaks,
//! librdkafka repeats it on the next one, and the first one comes in the midst of a later transaction.

use crate::support::broker::Broker;
use crate::support::daemon::{Daemon, Settings, metric};
use crate::support::kafka::{
    Record, client, committed_offsets, create_models_topic, create_topic, produce, read_committed,
    read_committed_so_far,
};
use crate::support::process::free_port;
use crate::support::proxy::{Frame, Proxy, Towards, Verdict, api};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tidecast::domain::{Offset, Partition, TopicPartition};
use tidecast::kafka::{Commit, Event, WorkerClients};
use tidecast::telemetry::TransactionRequest;

const LIMIT: Duration = Duration::from_secs(60);
/// Each of these tests breaks the network of the one shared broker.
static NETWORK: Mutex<()> = Mutex::new(());
/// The broker refuses the epoch.
const FENCED: [i16; 2] = [47, 90];

fn values(records: &[Record]) -> Vec<&str> {
    records.iter().map(|r| std::str::from_utf8(r.value.as_deref().unwrap()).unwrap()).collect()
}

fn is_request(frame: &Frame<'_>, key: i16) -> bool {
    frame.towards == Towards::Broker && frame.api == key
}

/// Keeps the next `EndTxn`, and breaks its connection.
fn hold_the_next_end(proxy: &Proxy) {
    let mut is_held = false;
    proxy.rule(move |frame| {
        if is_request(frame, api::END_TXN) && !std::mem::replace(&mut is_held, true) {
            return Verdict::HoldAndReset;
        }
        Verdict::Pass
    });
}

/// Delivers the `EndTxn` that is held, and returns the broker's error code.
fn deliver_end(proxy: &Proxy) -> i16 {
    let answer = proxy.deliver_held();
    i16::from_be_bytes(answer[4..6].try_into().expect("an error code after the throttle time"))
}

fn bare(id: &str) -> ThreadedProducer<DefaultProducerContext> {
    let at = Broker::shared().proxied();
    let producer: ThreadedProducer<_> = client(&at).set("transactional.id", id).create().unwrap();
    producer.init_transactions(LIMIT).unwrap();
    producer
}

/// librdkafka alone: a late commit makes an unfinished transaction visible. Its producer can't abort it, sends it again
/// after its next start, and each record is there twice.
#[test]
fn a_late_commit_bites_a_producer_that_keeps_its_epoch() {
    let _network = NETWORK.lock().unwrap_or_else(PoisonError::into_inner);
    let (at, proxy) = (Broker::shared().bootstrap(), Broker::shared().proxy());
    create_topic(&at, "late-commit.out", 1, &[]);
    let producer = bare("late-commit");
    let send = |value: &str| {
        producer.send(BaseRecord::to("late-commit.out").key("k").payload(value)).map_err(|(e, _)| e).unwrap();
        producer.flush(LIMIT).unwrap();
    };
    hold_the_next_end(proxy);
    producer.begin_transaction().unwrap();
    send("first");
    producer.commit_transaction(LIMIT).expect("librdkafka repeats the EndTxn");
    assert_eq!(proxy.held(), 1);
    producer.begin_transaction().unwrap();
    send("half of the second");
    assert_eq!(deliver_end(proxy), 0, "the broker takes it for the end of the second transaction");
    assert_eq!(values(&read_committed(&at, "late-commit.out")), ["first", "half of the second"]);
    let aborted = producer.abort_transaction(LIMIT);
    assert!(
        matches!(&aborted, Err(KafkaError::Transaction(e)) if e.code() == Code::InvalidTransactionalState),
        "what is committed can't be aborted: {aborted:?}"
    );
    proxy.heal();
}

/// librdkafka alone: a late abort takes records out of a transaction whose commit then succeeds.
#[test]
fn a_late_abort_bites_a_producer_that_keeps_its_epoch() {
    let _network = NETWORK.lock().unwrap_or_else(PoisonError::into_inner);
    let (at, proxy) = (Broker::shared().bootstrap(), Broker::shared().proxy());
    for topic in ["late-abort.one", "late-abort.two"] {
        create_topic(&at, topic, 1, &[]);
    }
    let producer = bare("late-abort");
    let send = |topic: &str, value: &str| {
        producer.send(BaseRecord::to(topic).key("k").payload(value)).map_err(|(e, _)| e).unwrap();
        producer.flush(LIMIT).unwrap();
    };
    hold_the_next_end(proxy);
    producer.begin_transaction().unwrap();
    send("late-abort.one", "aborted");
    producer.abort_transaction(LIMIT).expect("librdkafka repeats the EndTxn");
    assert_eq!(proxy.held(), 1);
    producer.begin_transaction().unwrap();
    send("late-abort.one", "half of the second");
    assert_eq!(deliver_end(proxy), 0, "the broker takes it for the end of the second transaction");
    // A partition that is new to the transaction opens another one.
    send("late-abort.two", "the other half");
    producer.commit_transaction(LIMIT).expect("the producer hears of a success");
    assert_eq!(values(&read_committed(&at, "late-abort.two")), ["the other half"]);
    assert!(read_committed(&at, "late-abort.one").is_empty(), "half of a committed transaction is lost");
    proxy.heal();
}

#[test]
fn a_late_end_is_refused_because_the_worker_has_a_new_epoch() {
    let _network = NETWORK.lock().unwrap_or_else(PoisonError::into_inner);
    let (at, proxy) = (Broker::shared().bootstrap(), Broker::shared().proxy());
    for topic in ["late-end.in", "late-end.out"] {
        create_topic(&at, topic, 1, &[]);
    }
    produce(&at, "late-end.in", (0..4).map(|i| ("k", i.to_string(), Some(0))));
    let text = format!(
        "[kafka]\nbrokers = \"{}\"\ngroup = \"late-end\"\ninstance = \"late-end\"\n\
         [streams.s]\ntopics = [\"late-end.in\"]\ntargets = [\"kw\"]\ninterval = \"1h\"\n",
        Broker::shared().proxied()
    );
    let config = tidecast::config::from_toml(&text, &[]).unwrap();
    let mut worker = WorkerClients::connect(&config, 0, &["late-end.in".to_owned()]).unwrap();
    let mut epochs = Vec::new();
    let mut turn = |worker: &mut WorkerClients| {
        worker.poll(100, Duration::from_millis(20), &mut |_| {}).unwrap();
        let mut is_assigned = false;
        while let Some(event) = worker.event() {
            match event {
                Event::Assigned(parts) => {
                    let starts: Vec<_> = parts.into_iter().map(|at| (at, None)).collect();
                    worker.assign(&starts).unwrap();
                    is_assigned = true;
                }
                Event::Revoked(parts) | Event::Lost(parts) => worker.release(&parts).unwrap(),
                Event::NewEpoch(unanswered) => epochs.push(unanswered),
                Event::Expelled => panic!("nobody else has its name"),
                Event::Trouble(cause) => eprintln!("{cause}"),
            }
        }
        is_assigned
    };
    let until = Instant::now() + LIMIT;
    while !turn(&mut worker) {
        assert!(Instant::now() < until, "the group gives the worker its partition");
    }
    let source = TopicPartition { topic: "late-end.in".into(), partition: Partition(0) };
    // An EndTxn of each kind: of a commit, then of an abort.
    for (round, ends_by_commit) in [(0, true), (1, false)] {
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let seen = acknowledged.clone();
        let mut is_held = false;
        proxy.rule(move |frame| {
            let is_answer = frame.towards == Towards::Client && frame.api == api::PRODUCE;
            seen.fetch_add(usize::from(is_answer), Ordering::Release);
            if is_request(frame, api::END_TXN) && !std::mem::replace(&mut is_held, true) {
                return Verdict::HoldAndReset;
            }
            Verdict::Pass
        });
        let send = |worker: &mut WorkerClients, value: &str| {
            let before = acknowledged.load(Ordering::Acquire);
            worker.send("late-end.out", None, Some(b"k"), value.as_bytes(), &[]).unwrap();
            let until = Instant::now() + LIMIT;
            while acknowledged.load(Ordering::Acquire) == before {
                assert!(Instant::now() < until, "the broker has the record");
                std::thread::sleep(Duration::from_millis(2));
            }
        };
        send(&mut worker, &format!("{round}: first"));
        if ends_by_commit {
            let offsets = [(source.clone(), Offset(2 * round + 1))];
            assert_eq!(worker.commit(&offsets).unwrap(), Commit::Committed);
        } else {
            worker.abort().unwrap();
        }
        assert_eq!(proxy.held(), 1);
        send(&mut worker, &format!("{round}: second"));
        let before = values(&read_committed_so_far(&at, "late-end.out")).len();
        let code = deliver_end(proxy);
        assert!(FENCED.contains(&code), "the broker refuses the former epoch: {code}");
        assert_eq!(read_committed_so_far(&at, "late-end.out").len(), before, "nothing of it is visible");
        let offsets = [(source.clone(), Offset(2 * round + 2))];
        assert_eq!(worker.commit(&offsets).unwrap(), Commit::Committed);
        turn(&mut worker);
    }
    assert_eq!(epochs, [TransactionRequest::End; 2]);
    let written = read_committed(&at, "late-end.out");
    assert_eq!(values(&written), ["0: first", "0: second", "1: second"]);
    assert_eq!(committed_offsets(&at, "late-end", "late-end.in"), [Some(4)]);
    proxy.heal();
}

/// How many of these requests pass before one is kept.
const EVERY: usize = 5;
const HOURS: i64 = 60;
const SERIES: i64 = 20;

/// The daemon, with every fifth request of each kind kept until a later transaction is under way.
#[test]
fn each_reading_has_one_answer_although_requests_of_every_kind_come_late() {
    let _network = NETWORK.lock().unwrap_or_else(PoisonError::into_inner);
    let (at, proxy) = (Broker::shared().bootstrap(), Broker::shared().proxy());
    for topic in ["late.in", "late.forecasts", "late.dead-letters"] {
        create_topic(&at, topic, 2, &[]);
    }
    create_models_topic(&at, "late");
    let dir = tempfile::tempdir().unwrap();
    let http = format!("127.0.0.1:{}", free_port());
    let config = Settings {
        brokers: &Broker::shared().proxied(),
        kafka: "group = \"late\"\ninstance = \"late-0\"\nproperties = { \"session.timeout.ms\" = \"6000\" }",
        http: &http,
        store: &format!("file://{}", dir.path().join("store").display()),
        sections: "",
        name: "late",
        topic: "late.in",
        stream: "horizon = 2\nwindow = 48\nmodel = { hidden = 4 }\ntraining = { enabled = false }",
    };
    std::fs::write(dir.path().join("tidecast.toml"), config.text()).unwrap();
    let mut daemon = Daemon::spawn(&dir.path().join("tidecast.toml"), &[]);
    daemon.wait_ready(&http, LIMIT);

    let keys = [
        api::PRODUCE,
        api::ADD_PARTITIONS_TO_TXN,
        api::ADD_OFFSETS_TO_TXN,
        api::TXN_OFFSET_COMMIT,
        api::END_TXN,
    ];
    let held = Arc::new(Mutex::new(BTreeMap::<i16, usize>::new()));
    let counts = held.clone();
    let mut seen = BTreeMap::<i16, usize>::new();
    proxy.rule(move |frame| {
        if !keys.iter().any(|key| is_request(frame, *key)) {
            return Verdict::Pass;
        }
        let seen = seen.entry(frame.api).or_default();
        *seen += 1;
        if !(*seen).is_multiple_of(EVERY) {
            return Verdict::Pass;
        }
        *counts.lock().unwrap().entry(frame.api).or_default() += 1;
        Verdict::HoldAndReset
    });
    let mut delivered = 0;
    let until = Instant::now() + LIMIT;
    for hour in 0.. {
        let has_all = keys.iter().all(|key| held.lock().unwrap().get(key).is_some_and(|n| *n >= 2));
        if hour >= HOURS && has_all {
            break;
        }
        assert!(Instant::now() < until, "held by kind: {:?}\n{}", held.lock().unwrap(), daemon.log());
        let reading = |s: i64| {
            let value = format!(
                "{{\"id\":\"meter-{s}\",\"ts\":{},\"kw\":{}}}",
                1_700_000_000 + hour * 3_600,
                5 + (hour + s) % 24
            );
            (format!("meter-{s}"), value, Some((s % 2) as i32))
        };
        produce(&at, "late.in", (0..SERIES).map(reading));
        // What was kept comes while the transaction of these readings is open.
        while proxy.held() > 0 {
            proxy.deliver_held();
            delivered += 1;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    proxy.heal();
    while proxy.held() > 0 {
        proxy.deliver_held();
        delivered += 1;
    }
    let source = read_committed(&at, "late.in");
    let until = Instant::now() + LIMIT;
    loop {
        let offsets = committed_offsets(&at, "late", "late.in");
        let done: i64 = offsets.iter().map(|offset| offset.unwrap_or(0)).sum();
        if done == source.len() as i64 {
            break;
        }
        assert!(daemon.is_running(), "the daemon has ended:\n{}", daemon.log());
        assert!(Instant::now() < until, "{done} of {} committed:\n{}", source.len(), daemon.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut answers: BTreeMap<(i32, i64), usize> = BTreeMap::new();
    for record in
        read_committed(&at, "late.forecasts").iter().chain(&read_committed(&at, "late.dead-letters"))
    {
        *answers.entry(record.source()).or_default() += 1;
    }
    let lost = source.iter().filter(|r| !answers.contains_key(&(r.partition, r.offset))).count();
    let doubled = answers.values().filter(|n| **n > 1).count();
    let epochs: f64 = TransactionRequest::TEXTS
        .iter()
        .map(|kind| format!("tidecast_producer_epochs_total{{unanswered=\"{kind}\"}}"))
        .map(|series| metric(&http, &series).unwrap_or(0.0))
        .sum();
    println!(
        "{} readings, {delivered} requests late, by kind {:?}, {epochs} new epochs, {lost} lost, {doubled} doubled",
        source.len(),
        held.lock().unwrap()
    );
    assert_eq!((lost, doubled, answers.len()), (0, 0, source.len()));
    assert!(epochs >= 1.0, "the producer takes new epochs");
    assert_eq!(daemon.terminate(LIMIT), 0, "{}", daemon.log());
}
