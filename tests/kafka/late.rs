//! Requests that come late, on a real Kafka: the network keeps a request while its connection breaks,
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
use std::collections::{BTreeMap, VecDeque};
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

/// A worker's clients behind the proxy, and what has happened to them.
struct Worker {
    link: WorkerClients,
    epochs: Vec<TransactionRequest>,
    /// How often the group knew another member of its name.
    expulsions: usize,
    /// Answers to requests with records that have passed the proxy.
    acknowledged: Arc<AtomicUsize>,
}

impl Worker {
    /// Reads the one partition of `NAME.in`, and writes to `NAME.out`. The first request of this kind is held, and
    /// the next one after each call of [`hold`](Self::hold).
    fn start(name: &str, held: i16) -> Self {
        let (at, proxy) = (Broker::shared().bootstrap(), Broker::shared().proxy());
        let source = format!("{name}.in");
        for topic in [&source, &format!("{name}.out")] {
            create_topic(&at, topic, 1, &[]);
        }
        produce(&at, &source, (0..4).map(|i| ("k", i.to_string(), Some(0))));
        let acknowledged = Arc::new(AtomicUsize::new(0));
        Self::hold(proxy, held, &acknowledged);
        let text = format!(
            "[kafka]\nbrokers = \"{}\"\ngroup = \"{name}\"\ninstance = \"{name}\"\n\
             [streams.s]\ntopics = [\"{source}\"]\ntargets = [\"kw\"]\ninterval = \"1h\"\n",
            Broker::shared().proxied()
        );
        let config = tidecast::config::from_toml(&text, &[]).unwrap();
        let link = WorkerClients::connect(&config, 0, &[source]).unwrap();
        let mut worker = Self { link, epochs: Vec::new(), expulsions: 0, acknowledged };
        let until = Instant::now() + LIMIT;
        while !worker.turn() {
            assert!(Instant::now() < until, "the group gives the worker its partition");
        }
        worker
    }

    fn hold(proxy: &Proxy, key: i16, acknowledged: &Arc<AtomicUsize>) {
        let (seen, mut is_held) = (acknowledged.clone(), false);
        proxy.rule(move |frame| {
            let is_answer = frame.towards == Towards::Client && frame.api == api::PRODUCE;
            seen.fetch_add(usize::from(is_answer), Ordering::Release);
            if is_request(frame, key) && !std::mem::replace(&mut is_held, true) {
                return Verdict::HoldAndReset;
            }
            Verdict::Pass
        });
    }

    /// Polls, and returns whether it was given its partition.
    fn turn(&mut self) -> bool {
        self.link.poll(100, Duration::from_millis(20), &mut |_| {}).unwrap();
        let mut is_assigned = false;
        while let Some(event) = self.link.event() {
            match event {
                Event::Assigned(parts) => {
                    let starts: Vec<_> = parts.into_iter().map(|at| (at, None)).collect();
                    self.link.assign(&starts).unwrap();
                    is_assigned = true;
                }
                Event::Revoked(parts) | Event::Lost(parts) => self.link.release(&parts).unwrap(),
                Event::NewEpoch(unanswered) => self.epochs.push(unanswered),
                Event::Expelled => self.expulsions += 1,
                Event::Trouble(cause) => eprintln!("{cause}"),
            }
        }
        is_assigned
    }

    /// Sends a record, and waits until the broker has it.
    fn send(&mut self, topic: &str, value: &str) {
        let before = self.acknowledged.load(Ordering::Acquire);
        self.link.send(topic, None, Some(b"k"), value.as_bytes(), &[]).unwrap();
        let until = Instant::now() + LIMIT;
        while self.acknowledged.load(Ordering::Acquire) == before {
            assert!(Instant::now() < until, "the broker has the record");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn commit(&mut self, source: &str, next: i64) -> Commit {
        let at = TopicPartition { topic: source.into(), partition: Partition(0) };
        self.link.commit(&[(at, Offset(next))]).unwrap()
    }
}

#[test]
fn a_late_end_is_refused_because_the_worker_has_a_new_epoch() {
    let _network = NETWORK.lock().unwrap_or_else(PoisonError::into_inner);
    let (at, proxy) = (Broker::shared().bootstrap(), Broker::shared().proxy());
    let mut worker = Worker::start("late-end", api::END_TXN);
    // Of a commit, then of an abort.
    for (round, ends_by_commit) in [(0, true), (1, false)] {
        worker.send("late-end.out", &format!("{round}: first"));
        if ends_by_commit {
            assert_eq!(worker.commit("late-end.in", 2 * round + 1), Commit::Committed);
        } else {
            worker.link.abort().unwrap();
        }
        assert_eq!(proxy.held(), 1);
        let began = Instant::now();
        worker.send("late-end.out", &format!("{round}: second"));
        println!("a new epoch and a record took {:?}", began.elapsed());
        let before = read_committed_so_far(&at, "late-end.out").len();
        let code = deliver_end(proxy);
        assert!(FENCED.contains(&code), "the broker refuses the former epoch: {code}");
        assert_eq!(read_committed_so_far(&at, "late-end.out").len(), before, "nothing of it is visible");
        assert_eq!(worker.commit("late-end.in", 2 * round + 2), Commit::Committed);
        worker.turn();
        Worker::hold(proxy, api::END_TXN, &worker.acknowledged);
    }
    assert_eq!((&*worker.epochs, worker.expulsions), (&[TransactionRequest::End; 2][..], 0));
    let written = read_committed(&at, "late-end.out");
    assert_eq!(values(&written), ["0: first", "0: second", "1: second"]);
    assert_eq!(committed_offsets(&at, "late-end", "late-end.in"), [Some(4)]);
    proxy.heal();
}

/// A late `InitProducerId` ends whatever epoch there is. Nobody else has the worker's name, so it goes on.
#[test]
fn a_late_start_costs_a_transaction_and_not_the_worker() {
    let _network = NETWORK.lock().unwrap_or_else(PoisonError::into_inner);
    let (at, proxy) = (Broker::shared().bootstrap(), Broker::shared().proxy());
    let mut worker = Worker::start("late-start", api::INIT_PRODUCER_ID);
    assert_eq!(proxy.held(), 1);
    worker.send("late-start.out", "aborted by the late start");
    proxy.deliver_held();
    let outcome = worker.commit("late-start.in", 2);
    assert!(!matches!(outcome, Commit::Committed), "{outcome:?}");
    worker.send("late-start.out", "sent again");
    assert_eq!(worker.commit("late-start.in", 2), Commit::Committed);
    assert_eq!(values(&read_committed(&at, "late-start.out")), ["sent again"]);
    assert_eq!(committed_offsets(&at, "late-start", "late-start.in"), [Some(2)]);

    // A second fence has no such explanation: another process has the name, and the group will say whose it is.
    let _other = bare("late-start-late-start-0");
    worker.link.send("late-start.out", None, Some(b"k"), b"never", &[]).unwrap();
    let outcome = worker.commit("late-start.in", 3);
    assert!(matches!(outcome, Commit::Unknown(_)), "{outcome:?}");
    assert_eq!(values(&read_committed(&at, "late-start.out")), ["sent again"]);
    proxy.heal();
}

/// A late `JoinGroup` gives the worker's name to a member that nobody is. The worker's own member is then fenced by it, and
/// joins again: the broken connection tells that no other process need have the name. A connection that the broker closes
/// is no error for librdkafka, so nothing but its log tells of it.
#[test]
fn a_late_request_to_join_fences_a_named_worker_that_joins_again() {
    let _network = NETWORK.lock().unwrap_or_else(PoisonError::into_inner);
    let (at, proxy) = (Broker::shared().bootstrap(), Broker::shared().proxy());
    let mut worker = Worker::start("late-join", api::JOIN_GROUP);
    assert_eq!((proxy.held(), worker.expulsions), (1, 0));
    proxy.deliver_held();
    let until = Instant::now() + LIMIT;
    while !worker.turn() {
        assert!(Instant::now() < until, "it gets its partition once more");
    }
    assert_eq!(worker.expulsions, 1);
    worker.send("late-join.out", "answer");
    assert_eq!(worker.commit("late-join.in", 1), Commit::Committed);
    assert_eq!(values(&read_committed(&at, "late-join.out")), ["answer"]);
    proxy.heal();
}

/// How many requests of a kind pass before one is kept.
const EVERY: usize = 5;
const HOURS: i64 = 60;
const SERIES: i64 = 20;
/// The kinds of which requests are kept.
const KEPT: [i16; 5] =
    [api::PRODUCE, api::ADD_PARTITIONS_TO_TXN, api::ADD_OFFSETS_TO_TXN, api::TXN_OFFSET_COMMIT, api::END_TXN];

/// Keeps requests, and delivers each in the midst of a later transaction.
#[derive(Default)]
struct Kept {
    seen: BTreeMap<i16, usize>,
    /// Transactions that have ended.
    ends: usize,
    /// The kind of each request that is held, and how many transactions had ended by then.
    held: VecDeque<(i16, usize)>,
    /// Requests that have come in the midst of a later transaction, by kind.
    late: BTreeMap<i16, usize>,
}

impl Kept {
    fn judge(&mut self, frame: &Frame<'_>) -> Verdict {
        if frame.towards == Towards::Client {
            self.ends += usize::from(frame.api == api::END_TXN);
            // The broker has records of a transaction, and its producer does not know it yet.
            while frame.api == api::PRODUCE && self.held.front().is_some_and(|(_, ends)| *ends < self.ends) {
                Broker::shared().proxy().deliver_held();
                let (kind, _) = self.held.pop_front().expect("it was looked at");
                *self.late.entry(kind).or_default() += 1;
            }
            return Verdict::Pass;
        }
        if !KEPT.contains(&frame.api) {
            return Verdict::Pass;
        }
        let seen = self.seen.entry(frame.api).or_default();
        *seen += 1;
        if !(*seen).is_multiple_of(EVERY) {
            return Verdict::Pass;
        }
        self.held.push_back((frame.api, self.ends));
        Verdict::HoldAndReset
    }
}

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

    let kept = Arc::new(Mutex::new(Kept::default()));
    let rule = kept.clone();
    proxy.rule(move |frame| rule.lock().unwrap().judge(frame));
    let until = Instant::now() + LIMIT;
    for hour in 0.. {
        let has_all = kept.lock().unwrap().late.iter().filter(|(_, n)| **n >= 2).count() == KEPT.len();
        if hour >= HOURS && has_all {
            break;
        }
        assert!(Instant::now() < until, "late by kind: {:?}\n{}", kept.lock().unwrap().late, daemon.log());
        let reading = |s: i64| {
            let value = format!(
                "{{\"id\":\"meter-{s}\",\"ts\":{},\"kw\":{}}}",
                1_700_000_000 + hour * 3_600,
                5 + (hour + s) % 24
            );
            (format!("meter-{s}"), value, Some((s % 2) as i32))
        };
        produce(&at, "late.in", (0..SERIES).map(reading));
        std::thread::sleep(Duration::from_millis(20));
    }
    proxy.heal();
    while proxy.held() > 0 {
        proxy.deliver_held();
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
        "{} readings, late by kind {:?}, {epochs} new epochs, {lost} lost, {doubled} doubled",
        source.len(),
        kept.lock().unwrap().late
    );
    assert_eq!((lost, doubled, answers.len()), (0, 0, source.len()));
    assert!(epochs >= 1.0, "the producer takes new epochs");
    assert_eq!(daemon.terminate(LIMIT), 0, "{}", daemon.log());
}
