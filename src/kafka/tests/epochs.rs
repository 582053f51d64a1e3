//! When a producer takes a new epoch.

use super::*;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

/// How often each transaction of a test is committed.
const COMMITS: usize = 30;

#[test]
fn while_every_request_is_answered_the_epoch_stays() {
    on_brokers("quiet-epoch", |ground| {
        let (source, target) = (ground.topic("in", 2), ground.topic("out", 3));
        let mut worker = Worker::start(&ground.config(), 0, &source);
        worker.target = Some(target.clone());
        for round in 1..=COMMITS {
            ground.feed(&source, 2, 20);
            until(&mut [&mut worker], |w| w[0].seen.len() >= round * 40);
            assert_eq!(worker.commit(), Commit::Committed);
            if round % 10 == 0 {
                worker.link.send(&target, None, None, b"never", &[]).unwrap();
                worker.link.abort().unwrap();
            }
        }
        worker.turn();
        assert_eq!(worker.new_epochs, []);
        worker.link.send(&target, None, None, b"last", &[]).unwrap();
        worker.turn();
        assert_eq!(worker.new_epochs, []);
    });
}

/// The connection breaks before the answer comes, and librdkafka repeats the request on the next one.
#[test]
fn after_a_request_without_an_answer_the_next_transaction_has_a_new_epoch() {
    for (key, request) in [
        (RDKafkaApiKey::Produce, TransactionRequest::Produce),
        (RDKafkaApiKey::AddPartitionsToTxn, TransactionRequest::AddPartitions),
        (RDKafkaApiKey::AddOffsetsToTxn, TransactionRequest::AddOffsets),
        (RDKafkaApiKey::TxnOffsetCommit, TransactionRequest::CommitOffsets),
        (RDKafkaApiKey::EndTxn, TransactionRequest::End),
    ] {
        let broker = EmbeddedBroker::start().unwrap();
        let ground = Ground { brokers: broker.bootstrap_servers(), embedded: Some(broker), name: "e".into() };
        let (source, target) = (ground.topic("in", 1), ground.topic("out", 1));
        ground.feed(&source, 1, 10);
        let mut worker = Worker::start(&ground.config(), 0, &source);
        worker.target = Some(target.clone());
        until(&mut [&mut worker], |w| w[0].seen.len() == 10);
        let broker = ground.embedded.as_ref().unwrap();
        assert_eq!(worker.commit(), Commit::Committed);
        let breaks = RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT;
        broker.cluster.request_errors(key, &[breaks]);
        for text in ["first", "second", "third"] {
            worker.link.send(&target, None, None, text.as_bytes(), &[]).unwrap();
            assert_eq!(worker.commit(), Commit::Committed, "{request:?}");
            worker.turn();
            let wanted: &[_] = if text == "first" { &[] } else { &[request] };
            assert_eq!(worker.new_epochs, wanted, "{text}");
        }
        let sent = read_all(&ground, &target).len();
        assert_eq!(sent, 13, "{request:?}");
    }
}

/// An `EndTxn` would leave the epoch valid for the record that may come late.
#[test]
fn an_abort_after_a_request_without_an_answer_is_done_by_a_new_epoch() {
    let broker = EmbeddedBroker::start().unwrap();
    let ground = Ground { brokers: broker.bootstrap_servers(), embedded: Some(broker), name: "a".into() };
    let (source, target) = (ground.topic("in", 1), ground.topic("out", 1));
    let mut worker = Worker::start(&ground.config(), 0, &source);
    let broker = ground.embedded.as_ref().unwrap();
    broker.cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT]);
    worker.link.send(&target, None, None, b"never", &[]).unwrap();
    until(&mut [&mut worker], |w| w[0].link.producer.client.requests().before_abort().is_some());
    worker.link.abort().unwrap();
    worker.turn();
    assert_eq!(worker.new_epochs, [TransactionRequest::Produce]);
    worker.link.send(&target, None, None, b"once", &[]).unwrap();
    assert_eq!(worker.commit(), Commit::Committed);
    worker.turn();
    assert_eq!(worker.new_epochs.len(), 1, "one gap, one epoch");
}
