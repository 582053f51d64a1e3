//! Who owns which partitions.

use super::*;
use crate::config::{Config, GroupProtocol, Guarantee};

#[test]
fn partitions_move_between_workers_and_back() {
    on_brokers("move", |ground| {
        let source = ground.topic("in", 4);
        ground.feed(&source, 4, 50);
        let mut config = ground.config();
        if ground.embedded.is_some() {
            // It forgets offsets that come in a transaction.
            config.delivery.guarantee = Guarantee::AtLeastOnce;
        }
        let mut first = Worker::start(&config, 0, &source);
        until(&mut [&mut first], |w| w[0].seen.len() == 200);
        let mut second = Worker::start(&config, 1, &source);
        until(&mut [&mut first, &mut second], |w| w.iter().all(|w| w.positions.len() == 2));
        ground.feed(&source, 4, 10);
        let is_done = |w: &Worker| w.positions.len() == 2 && w.positions.values().all(|at| *at == Offset(60));
        until(&mut [&mut first, &mut second], |w| w.iter().all(|w| is_done(w)));
        // The embedded broker may have ended the rebalance before the commit in it has come; then what the
        // first one holds is read again.
        let refused = first.refused;
        assert!(refused == 0 || ground.embedded.is_some());
        if refused == 0 {
            assert_eq!((first.seen.len(), second.seen.len()), (220, 20), "nothing is read twice");
        }
        assert_eq!(first.lost, 0);
        assert_eq!(second.commit(), Commit::Committed);
        second.link.leave().unwrap();
        let generation = first.link.generation();
        until(&mut [&mut first], |w| w[0].positions.len() == 4);
        assert!(first.link.generation() > generation, "{generation:?}");
        assert_eq!((first.refused, first.lost), (refused, 0));
        let moved = first.positions.values().filter(|o| **o == Offset(60)).count();
        assert_eq!(moved, 4, "the leaver's commit counts: {:?}", first.positions);
    });
}

#[test]
fn partitions_move_under_the_new_protocol_too() {
    on_real_broker("move848", |ground| {
        let source = ground.topic("in", 4);
        ground.feed(&source, 4, 50);
        let mut config = ground.config();
        config.kafka.properties.clear();
        config.kafka.group_protocol = GroupProtocol::Consumer;
        let mut first = Worker::start(&config, 0, &source);
        until(&mut [&mut first], |w| w[0].seen.len() == 200);
        let mut second = Worker::start(&config, 1, &source);
        until(&mut [&mut first, &mut second], |w| w.iter().all(|w| w.positions.len() == 2));
        assert_eq!((second.seen.len(), second.commit()), (0, Commit::Committed));
        first.link.leave().unwrap();
        until(&mut [&mut second], |w| w[0].positions.len() == 4);
        assert!(second.positions.values().all(|o| *o == Offset(50)), "{:?}", second.positions);
    });
}

fn goes_without_an_answer(ground: &Ground, config: &Config) {
    let source = ground.topic("in", 2);
    let mut link = WorkerClients::connect(config, 0, &[source]).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let event = loop {
        assert!(Instant::now() < deadline);
        link.poll(10, Duration::from_millis(20), &mut |_| {}).unwrap();
        if let Some(event) = link.event() {
            break event;
        }
    };
    assert!(matches!(event, Event::Assigned(parts) if parts.len() == 2));
    let since = Instant::now();
    drop(link);
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
}

#[test]
fn a_worker_may_go_without_having_answered() {
    on_brokers("unanswered", |ground| goes_without_an_answer(ground, &ground.config()));
}

#[test]
fn a_worker_may_go_without_having_answered_under_the_new_protocol() {
    on_real_broker("unanswered848", |ground| {
        let mut config = ground.config();
        // Not refused by the reader that has no group.
        config.kafka.properties = vec![("max.poll.interval.ms".to_owned(), "4000".to_owned())];
        config.kafka.group_protocol = GroupProtocol::Consumer;
        let (empty, next) = (tp(&ground.topic("empty", 1), 0), Offset(1));
        assert_eq!(TopicReader::offset_before(&config.kafka, &empty, next, Duration::ZERO).unwrap(), next);
        goes_without_an_answer(ground, &config);
    });
}

#[test]
fn a_second_process_of_the_same_name_fences_the_first() {
    // The embedded broker fences nobody.
    on_real_broker("fence", |ground| {
        let (source, target) = (ground.topic("in", 1), ground.topic("out", 1));
        let mut config = ground.config();
        config.kafka.instance = Some("same".to_owned());
        let mut first = Worker::start(&config, 0, &source);
        until(&mut [&mut first], |w| w[0].positions.len() == 1);
        assert!(first.link.generation().is_some());
        first.link.send(&target, None, None, b"first", &[]).unwrap();
        let _second = Worker::start(&config, 0, &source);
        let positions = [(tp(&source, 0), Offset(0))];
        let outcome = first.link.commit(&positions);
        assert!(!matches!(outcome, Ok(Commit::Committed)), "{outcome:?}");
        let until = Instant::now() + Duration::from_secs(60);
        let polled = loop {
            match first.link.poll(1, Duration::from_millis(50), &mut |_| {}) {
                Ok(_) => assert!(Instant::now() < until, "it does not hear that the second has its name"),
                outcome => break outcome,
            }
        };
        assert!(matches!(polled, Err(Error::Fenced(_))), "{polled:?}");
    });
}

/// A member that is let go while a rebalance waits for its answer: by the time that it wakes, the others
/// have gone on with all that it held. The case of confluentinc/librdkafka#5604.
fn is_let_go(name: &str, names: Option<[&str; 2]>) {
    on_real_broker(name, |ground| {
        let (source, target) = (ground.topic("in", 4), ground.topic("out", 1));
        ground.feed(&source, 4, 50);
        let mut config = ground.config();
        config.kafka.instance = names.map(|n| n[0].to_owned());
        let mut first = {
            let slow = [("session.timeout.ms", "1500"), ("max.poll.interval.ms", "2000")];
            config.kafka.properties = slow.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec();
            Worker::start(&config, 0, &source)
        };
        config.kafka.properties = vec![("session.timeout.ms".to_owned(), "6000".to_owned())];
        config.kafka.instance = names.map(|n| n[1].to_owned());
        first.target = Some(target.clone());
        until(&mut [&mut first], |w| w[0].seen.len() == 200);
        assert_eq!(first.commit(), Commit::Committed);
        ground.feed(&source, 4, 10);
        until(&mut [&mut first], |w| w[0].seen.len() == 240);

        // The first is asked to give two partitions away, and says nothing for too long.
        let mut second = Worker::start(&config, 1, &source);
        second.target = Some(target.clone());
        until(&mut [&mut second], |w| w[0].seen.len() == 40);
        assert_eq!(second.commit(), Commit::Committed);
        until(&mut [&mut first, &mut second], |w| w.iter().all(|w| w.positions.len() == 2));
        ground.feed(&source, 4, 1);
        let at_end = |w: &&mut Worker| w.positions.values().all(|o| *o == Offset(61));
        until(&mut [&mut first, &mut second], |w| w.iter().all(at_end));
        while first.commit() != Commit::Committed {
            first.recover();
            until(&mut [&mut first], |w| w.iter().all(at_end));
        }
        assert_eq!(second.commit(), Commit::Committed);

        assert!(first.lost > 0, "it hears that it was let go");
        let mut copies: Vec<_> = read_all(ground, &target).into_iter().map(|r| r.payload.unwrap()).collect();
        assert_eq!(copies.len(), 244, "each record is copied once");
        copies.sort_unstable();
        copies.dedup();
        // The fed payloads repeat themselves: 50, then 10 and 1 of the same.
        assert_eq!(copies.len(), 200);
    });
}

#[test]
fn who_was_let_go_in_a_rebalance_commits_nothing_that_others_have_done() {
    is_let_go("letgo", None);
    is_let_go("letgo-named", Some(["a", "b"]));
}
