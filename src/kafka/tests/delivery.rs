//! What is committed, what is not, and what is found again.

use super::*;
use crate::config::Guarantee;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

fn copies_and_commits(guarantee: Guarantee) {
    on_brokers("copy", |ground| {
        let (source, target) = (ground.topic("in", 2), ground.topic("out", 1));
        ground.feed(&source, 2, 500);
        let mut config = ground.config();
        config.delivery.guarantee = guarantee;
        let mut worker = Worker::start(&config, 0, &source);
        until(&mut [&mut worker], |w| w[0].seen.len() >= 1_000);
        for text in worker.seen.clone() {
            let headers: [(&str, &[u8]); 2] = [("stream", b"s"), ("empty", b"")];
            worker.link.send(&target, None, Some(b"k"), text.as_bytes(), &headers).unwrap();
        }
        assert_eq!(worker.commit(), Commit::Committed);
        let parts = [tp(&source, 0), tp(&source, 1)];
        // The embedded broker forgets offsets that come in a transaction.
        let forgotten = ground.embedded.is_some() && guarantee == Guarantee::ExactlyOnce;
        let expected = if forgotten { None } else { Some(Offset(500)) };
        let committed = worker.link.committed(&parts).unwrap();
        assert_eq!(committed, parts.clone().map(|tp| (tp, expected)));
        assert_eq!(worker.link.lag(&parts[0], Offset(480)), Some(20));
        let ends = worker.link.ends(&parts[1..]).unwrap();
        assert_eq!(ends, [(parts[1].clone(), (Offset(0), Offset(500)))]);
        worker.link.leave().unwrap();

        let records = read_all(ground, &target);
        assert_eq!(records.len(), 1_000);
        let expected = [("stream".to_owned(), b"s".to_vec()), ("empty".to_owned(), vec![])];
        assert_eq!(records[0].headers, expected);
        let mut worker = Worker::start(&config, 0, &source);
        until(&mut [&mut worker], |w| w[0].positions.len() == 2);
        (0..10).for_each(|_| worker.turn());
        assert_eq!(worker.seen.is_empty(), !forgotten, "what is committed is not read again");
    });
}

#[test]
fn copies_exactly_once() {
    copies_and_commits(Guarantee::ExactlyOnce);
}

#[test]
fn copies_at_least_once() {
    copies_and_commits(Guarantee::AtLeastOnce);
}

#[test]
fn nothing_of_an_aborted_transaction_is_seen_and_reading_goes_back() {
    on_brokers("abort", |ground| {
        let (source, target) = (ground.topic("in", 1), ground.topic("out", 1));
        ground.feed(&source, 1, 100);
        let mut worker = Worker::start(&ground.config(), 0, &source);
        until(&mut [&mut worker], |w| w[0].seen.len() == 100);
        worker.link.send(&target, None, None, b"never", &[]).unwrap();
        worker.link.abort().unwrap();
        assert_eq!(worker.link.committed(&[tp(&source, 0)]).unwrap()[0].1, None);

        worker.link.seek(&[(tp(&source, 0), Offset(40))]).unwrap();
        worker.seen.clear();
        until(&mut [&mut worker], |w| w[0].seen.len() >= 60);
        assert_eq!((worker.seen[0].as_str(), worker.seen.len()), ("0/40", 60));
        worker.link.send(&target, None, None, b"once", &[]).unwrap();
        assert_eq!(worker.commit(), Commit::Committed);
        let seen: Vec<_> = read_all(ground, &target).into_iter().map(|r| r.payload.unwrap()).collect();
        assert_eq!(seen, [b"once"]);
    });
}

#[test]
fn an_unknown_outcome_is_settled_before_it_is_told() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("out", 1).unwrap();
    let mut link =
        WorkerClients::connect(&config(&broker.bootstrap_servers(), "unknown"), 0, &["out".to_owned()])
            .unwrap();
    link.producer.commit_timeout = Duration::from_secs(1);
    link.send("out", None, None, b"perhaps", &[]).unwrap();
    let deaf = vec![RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE; 10_000];
    broker.cluster.request_errors(RDKafkaApiKey::EndTxn, &deaf);
    let outcome = link.commit(&[]).unwrap();
    assert!(matches!(outcome, Commit::Unknown(_)), "{outcome:?}");
    broker.cluster.clear_request_errors(RDKafkaApiKey::EndTxn);
    link.send("out", None, None, b"surely", &[]).unwrap();
    assert_eq!(link.commit(&[]).unwrap(), Commit::Committed);
}

/// The broker aborts a transaction that lasts for too long, and refuses its producer from then on.
#[test]
fn whose_transaction_has_expired_goes_on_with_a_new_producer() {
    for named in [false, true] {
        let broker = EmbeddedBroker::start().unwrap();
        broker.create_topic("out", 1).unwrap();
        let mut config = config(&broker.bootstrap_servers(), "expired");
        config.kafka.instance = named.then(|| "a".to_owned());
        let mut link = WorkerClients::connect(&config, 0, &["out".to_owned()]).unwrap();
        for _ in 0..3 {
            link.send("out", None, None, b"perhaps", &[]).unwrap();
            broker
                .cluster
                .request_errors(RDKafkaApiKey::EndTxn, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_PRODUCER_FENCED]);
            let outcome = link.commit(&[]);
            assert!(matches!(outcome, Ok(Commit::Unknown(_))), "{outcome:?}");
            link.send("out", None, None, b"surely", &[]).unwrap();
            assert_eq!(link.commit(&[]).unwrap(), Commit::Committed);
        }
    }
}

#[test]
fn a_broker_that_is_away_for_a_moment_is_waited_for() {
    for guarantee in [Guarantee::ExactlyOnce, Guarantee::AtLeastOnce] {
        let broker = EmbeddedBroker::start().unwrap();
        broker.create_topic("in", 1).unwrap();
        let mut config = config(&broker.bootstrap_servers(), "away");
        config.delivery.guarantee = guarantee;
        let mut link = WorkerClients::connect(&config, 0, &["in".to_owned()]).unwrap();
        broker.cluster.broker_down(-1).unwrap();
        link.send("in", None, None, b"late", &[]).unwrap();
        let back = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(2));
            broker.cluster.broker_up(-1).unwrap();
            broker
        });
        assert_eq!(link.commit(&[]).unwrap(), Commit::Committed);
        let broker = back.join().unwrap();
        link.poll(1, Duration::ZERO, &mut |_| {}).unwrap();
        assert!(matches!(link.event(), Some(Event::Trouble(_))));
        broker.cluster.broker_down(-1).unwrap();
        let since = Instant::now();
        drop(link);
        assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
    }
}

#[test]
fn a_record_that_is_too_large_harms_only_itself() {
    on_brokers("large", |ground| {
        let target = ground.topic("out", 1);
        let mut worker = Worker::start(&ground.config(), 0, &target);
        let refused = worker.link.send(&target, None, None, &vec![b'x'; 2_000_000], &[]);
        assert!(matches!(refused, Err(Error::TooLarge { bytes: 2_000_000, .. })), "{refused:?}");
        worker.link.send(&target, None, None, b"small", &[]).unwrap();
        assert_eq!(worker.link.commit(&[]).unwrap(), Commit::Committed);
        assert_eq!(read_all(ground, &target).len(), 1);
    });
}

#[test]
fn times_are_found_again() {
    on_real_broker("times", |ground| {
        let source = ground.topic("in", 1);
        ground.feed(&source, 1, 100);
        let before = |next: i64, seconds: u64| {
            let (kafka, back) = (&ground.config().kafka, Duration::from_secs(seconds));
            TopicReader::offset_before(kafka, &tp(&source, 0), Offset(next), back).unwrap()
        };
        assert_eq!(before(100, 29), Offset(70));
        assert_eq!(before(50, 10), Offset(39));
        assert_eq!(before(50, 1_000), Offset(0));
        assert_eq!(before(101, 10), Offset(101), "there is no record before it: nothing is known");
    });
}

#[test]
fn many_partitions_are_asked_for_at_once() {
    on_brokers("many", |ground| {
        let names = [ground.topic("a", 40), ground.topic("b", 3)];
        ground.feed(&names[0], 39, 20);
        ground.feed(&names[1], 3, 10);
        let worker = Worker::start(&ground.config(), 0, &names[0]);
        let parts: Vec<_> =
            (0..40).map(|p| tp(&names[0], p)).chain((0..3).map(|p| tp(&names[1], p))).collect();
        let written = |part: &TopicPartition| match part {
            part if *part.topic == *names[1] => 10,
            part if part.partition == Partition(39) => 0,
            _ => 20,
        };
        let expected: Vec<_> =
            parts.iter().map(|tp| (tp.clone(), (Offset(0), Offset(written(tp))))).collect();
        assert_eq!(worker.link.ends(&parts).unwrap(), expected);
        assert_eq!(worker.link.ends(&[]).unwrap(), []);
    });
}

#[test]
fn missing_topics_are_named() {
    on_brokers("missing", |ground| {
        let there = ground.topic("in", 3);
        let admin = Admin::connect(&ground.config().kafka).unwrap();
        assert_eq!(admin.require(std::slice::from_ref(&there)).unwrap()[&there], 3);
        let missing = admin.require(&[there, "not-there".to_owned()]).unwrap_err();
        assert!(missing.to_string().contains("not-there; `tidecast topics create`"), "{missing}");
    });
}
