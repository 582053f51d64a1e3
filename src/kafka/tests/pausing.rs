//! Partitions that are paused while their shard is restored.

use super::*;

/// Polls until so many have come and then for a while, and gives all.
fn listen(worker: &mut Worker, count: usize, millis: u64) -> Vec<String> {
    worker.seen.clear();
    until(&mut [worker], |w| w[0].seen.len() >= count);
    let until = Instant::now() + Duration::from_millis(millis);
    while Instant::now() < until {
        worker.turn();
    }
    std::mem::take(&mut worker.seen)
}

/// The payloads of a partition from an index on.
fn rest(partition: i32, from: usize, end: usize) -> Vec<String> {
    (from..end).map(|i| format!("{partition}/{i}")).collect()
}

fn pausing(ground: &Ground, worker: usize, source: &str) -> Worker {
    let mut config = ground.config();
    if ground.embedded.is_some() {
        // It forgets offsets that come in a transaction.
        config.delivery.guarantee = crate::config::Guarantee::AtLeastOnce;
    }
    let mut worker = Worker::start(&config, worker, source);
    worker.pausing = true;
    worker
}

#[test]
fn a_partition_is_read_from_where_it_is_sought_after_a_pause() {
    on_brokers("pause", |ground| {
        let source = ground.topic("in", 2);
        ground.feed(&source, 2, 50);
        let mut worker = pausing(ground, 0, &source);
        until(&mut [&mut worker], |w| w[0].positions.len() == 2);
        assert_eq!(listen(&mut worker, 0, 500), [""; 0], "a paused partition is silent");

        // Before what was committed: a snapshot's place.
        worker.link.seek(&[(tp(&source, 0), Offset(10))]).unwrap();
        assert_eq!(listen(&mut worker, 0, 300), [""; 0], "and stays so where it is sought");
        worker.link.resume(&[tp(&source, 0)]).unwrap();
        assert_eq!(listen(&mut worker, 40, 300), rest(0, 10, 50), "the other one is paused");
        worker.link.seek(&[(tp(&source, 1), Offset(0))]).unwrap();
        worker.link.resume(&[tp(&source, 1)]).unwrap();
        assert_eq!(listen(&mut worker, 50, 300), rest(1, 0, 50));
        ground.feed(&source, 2, 1);
        let mut more = listen(&mut worker, 2, 300);
        more.sort_unstable();
        assert_eq!(more, ["0/0", "1/0"], "and both go on");
    });
}

#[test]
fn a_pause_that_begins_among_fetched_records_loses_and_repeats_none() {
    on_brokers("midpause", |ground| {
        let source = ground.topic("in", 1);
        ground.feed(&source, 1, 5_000);
        let mut worker = pausing(ground, 0, &source);
        worker.pausing = false;
        until(&mut [&mut worker], |w| !w[0].seen.is_empty());
        let seen = worker.seen.len();
        assert!(seen < 5_000, "some are fetched and not taken");
        worker.link.pause(&[tp(&source, 0)]).unwrap();
        assert_eq!(listen(&mut worker, 0, 300), [""; 0]);
        worker.link.seek(&[(tp(&source, 0), Offset(seen as i64))]).unwrap();
        worker.link.resume(&[tp(&source, 0)]).unwrap();
        assert_eq!(listen(&mut worker, 5_000 - seen, 300), rest(0, seen, 5_000));
    });
}

#[test]
fn a_pause_outlives_a_rebalance_of_others_and_ends_with_its_own() {
    on_brokers("pausemove", |ground| {
        let source = ground.topic("in", 4);
        ground.feed(&source, 4, 50);
        let mut first = pausing(ground, 0, &source);
        until(&mut [&mut first], |w| w[0].positions.len() == 4);
        let mut second = pausing(ground, 1, &source);
        until(&mut [&mut first, &mut second], |w| w.iter().all(|w| w.positions.len() == 2));
        assert_eq!(listen(&mut first, 0, 300), [""; 0], "what it has kept is still paused");
        let kept: Vec<_> = first.positions.keys().cloned().collect();
        let places: Vec<_> = kept.iter().map(|tp| (tp.clone(), Offset(20))).collect();
        first.link.seek(&places).unwrap();
        first.link.resume(&kept).unwrap();
        let mut seen = listen(&mut first, 60, 300);
        seen.sort_unstable();
        let mut expected: Vec<_> = kept.iter().flat_map(|tp| rest(tp.partition.0, 20, 50)).collect();
        expected.sort_unstable();
        assert_eq!(seen, expected);

        // What it gave away while it was paused comes back, and is not paused.
        first.pausing = false;
        second.link.leave().unwrap();
        until(&mut [&mut first], |w| w[0].positions.len() == 4);
        until(&mut [&mut first], |w| w[0].positions.values().all(|o| *o == Offset(50)));
    });
}
