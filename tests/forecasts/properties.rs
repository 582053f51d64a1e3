//! Properties of a shard: what it does not depend on, and what it survives.

use crate::support::stream::{Answer, Bench, SMALL, Sensed, hour, noise, sensed, stream};
use proptest::prelude::*;
use std::collections::BTreeSet;
use tidecast::domain::EventTime;
use tidecast::engine::Offered;
use tidecast::telemetry::Discard;

/// Offers readings in batches of the given sizes, in turn; trains at fixed readings.
fn run(readings: &[Sensed], sizes: &[usize], lines: &str) -> Vec<Answer> {
    let mut bench = Bench::new(&stream(lines));
    let mut from = 0;
    for size in sizes.iter().cycle() {
        if from >= readings.len() {
            break;
        }
        let until = (from + size).min(readings.len());
        for (i, reading) in readings[from..until].iter().enumerate() {
            bench.offer(reading, (from + i) as i64);
        }
        bench.step();
        from = until;
    }
    let mut answers = bench.answers;
    answers.sort_by_key(|(_, offset, _)| *offset);
    answers
}

fn close(a: f64, b: f64, scale: f64) -> bool {
    a == b || (a - b).abs() <= 1e-5 * scale.max(a.abs())
}

fn assert_close(one: &[Answer], other: &[Answer]) {
    assert_eq!(one.len(), other.len());
    for ((series, offset, a), (_, _, b)) in one.iter().zip(other) {
        for (a, b) in a.targets.iter().zip(&b.targets) {
            let values = a.yhat.iter().zip(&b.yhat).chain(a.quantiles.iter().zip(&b.quantiles));
            for (a, b) in values {
                assert!(close(*a, *b, 1.0), "{series} at {offset}: {a} and {b}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn batches_do_not_matter(sizes in prop::collection::vec(1usize..200, 1..8), seed in 0u64..1000) {
        let readings = sensed(5, 120, seed);
        assert_close(&run(&readings, &[1], SMALL), &run(&readings, &sizes, SMALL));
        let counters = format!("{SMALL}\ncounters = {{ kw = \"second\" }}");
        assert_close(&run(&readings, &[1], &counters), &run(&readings, &sizes, &counters));
    }

    /// What is thinned out is learnt from all the same: the first reading of each stretch of time has the very
    /// answer that it has when all are answered.
    #[test]
    fn thinned_forecasts_are_some_of_all(every in 2i64..30, seed in 0u64..1000) {
        let mut readings = sensed(5, 120, seed);
        readings.retain(|sensed| noise(seed, sensed.time.as_micros() as u64) < 0.5);
        let all = run(&readings, &[50], SMALL);
        let thinned = run(&readings, &[50], &format!("{SMALL}\nemit_every = {every}"));
        let mut answered = BTreeSet::new();
        let stretch = |time: EventTime| time.as_micros().div_euclid(every * 3_600_000_000);
        let first: Vec<Answer> =
            all.iter().filter(|(s, _, f)| answered.insert((s, stretch(f.origin)))).cloned().collect();
        prop_assert!(thinned.len() < all.len());
        prop_assert_eq!(thinned, first);
    }

    /// Whatever a sensor sends, forecasts are finite and quantiles ascend.
    #[test]
    fn forecasts_are_finite_and_ordered(
        values in prop::collection::vec(prop_oneof![
            3 => (-1e3..1e3f64).prop_map(Some),
            1 => Just(None),
            1 => prop::sample::select(vec![1e30, -1e30, 1e300, 0.0, 5e-324]).prop_map(Some),
        ], 50..200),
        step in 1i64..40,
    ) {
        let mut at = 0;
        let readings: Vec<Sensed> = values.into_iter().enumerate().map(|(i, value)| {
            at += if i % 10 == 9 { step } else { 1 };
            Sensed { series: "s".into(), time: hour(at), value }
        }).collect();
        for (_, offset, forecast) in run(&readings, &[7], SMALL) {
            for target in &forecast.targets {
                prop_assert!(target.yhat.iter().chain(&target.quantiles).all(|v| v.is_finite()), "at {offset}");
                for lead in 0..6 {
                    let quantiles: Vec<f64> = target.quantiles.iter().skip(lead).step_by(6).copied().collect();
                    prop_assert!(quantiles.is_sorted(), "at {offset}: {quantiles:?}");
                }
            }
        }
    }

    /// With lateness, disorder within it does not matter.
    #[test]
    fn disorder_within_lateness_does_not_matter(swaps in prop::collection::vec(0usize..500, 0..60)) {
        let lines = format!("lateness = \"3h\"\n{SMALL}");
        let ordered = sensed(2, 200, 3);
        let mut mixed = ordered.clone();
        for at in swaps {
            // Neighbours of one hour or the next: never further apart than the lateness.
            if at + 1 < mixed.len() {
                mixed.swap(at, at + 1);
            }
        }
        let by_reading = |answers: Vec<Answer>, readings: &[Sensed]| {
            let mut keyed: Vec<_> = answers
                .into_iter()
                .map(|(series, offset, forecast)| (series, readings[offset as usize].time, forecast))
                .collect();
            keyed.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
            keyed
        };
        let one = by_reading(run(&ordered, &[50], &lines), &ordered);
        let mut other = by_reading(run(&mixed, &[50], &lines), &mixed);
        // How surprising a reading is depends on those of others before it, by a little: also on which of two
        // that have one time came first.
        for ((_, at, a), (_, _, b)) in one.iter().zip(&mut other) {
            let apart = (a.anomaly.score - b.anomaly.score).abs();
            prop_assert!(apart < 0.05, "{at}: {} and {}", a.anomaly.score, b.anomaly.score);
            b.anomaly = a.anomaly;
        }
        prop_assert_eq!(one, other);
    }
}

#[test]
fn every_reading_is_answered_once_or_discarded_for_a_reason() {
    let mut bench = Bench::new(&stream(SMALL));
    let mut readings = sensed(2, 100, 4);
    let twice = readings[10].clone();
    readings.insert(12, twice);
    let late = readings[3].clone();
    readings.push(late);
    let mut outcomes = Vec::new();
    for (offset, reading) in readings.iter().enumerate() {
        outcomes.push(bench.offer(reading, offset as i64));
        bench.step();
    }
    let answered: Vec<i64> = bench.answers.iter().map(|(_, offset, _)| *offset).collect();
    let queued: Vec<i64> =
        (0..).zip(&outcomes).filter(|(_, o)| **o == Offered::Queued).map(|(i, _)| i).collect();
    assert_eq!(answered, queued);
    assert_eq!(outcomes[12], Offered::Discarded(Discard::Duplicate));
    assert_eq!(*outcomes.last().unwrap(), Offered::Discarded(Discard::Late));
    assert_eq!(outcomes.iter().filter(|o| matches!(o, Offered::Discarded(_))).count(), 2);
}

#[test]
fn a_network_that_is_brought_in_piece_by_piece_serves_as_one_brought_in_at_once() {
    let stream = stream(SMALL);
    let readings = sensed(40, 260, 5);
    let run = |budget: usize| {
        let mut bench = Bench::new(&stream);
        for (offset, reading) in readings.iter().enumerate() {
            bench.offer(reading, offset as i64);
            if offset % 40 == 39 {
                bench.step();
                if offset == 8_039 {
                    bench.train_without_warming();
                }
                bench.shard.warm(budget).unwrap();
            }
        }
        bench.step();
        bench
    };
    let (at_once, by_pieces) = (run(usize::MAX), run(3));
    assert!(at_once.shard.model().is_some() && by_pieces.shard.model().is_some());
    // Once both serve, the states are those of the same readings; a piece that was warmed earlier has
    // seen an older scale of its window, so that they agree closely and not exactly.
    let last = |bench: &Bench| bench.answers.last().unwrap().2.targets[0].yhat.clone();
    for (a, b) in last(&at_once).iter().zip(last(&by_pieces)) {
        assert!((a - b).abs() < 0.05, "{a} and {b}");
    }
}

#[test]
fn readings_below_the_committed_offset_are_learnt_from_and_not_answered() {
    let readings = sensed(2, 150, 6);
    let all = run(&readings, &[20], SMALL);
    let mut bench = Bench::new(&stream(SMALL));
    bench.shard.emit_from(100);
    for (offset, reading) in readings.iter().enumerate() {
        bench.offer(reading, offset as i64);
    }
    bench.step();
    let rest: Vec<Answer> = all.into_iter().filter(|(_, offset, _)| *offset >= 100).collect();
    bench.answers.sort_by_key(|(_, offset, _)| *offset);
    assert_close(&rest, &bench.answers);
}

/// With lateness, the committed offset passes readings that are still held back. Whoever replays must
/// answer exactly those, and what comes after.
#[test]
fn readings_that_were_held_at_a_commit_are_answered_after_a_replay() {
    let stream = stream(&format!("lateness = \"3h\"\n{SMALL}"));
    let readings = sensed(3, 60, 8);
    let committed = 90;
    let run = |emit_from: i64, until: usize| {
        let mut bench = Bench::new(&stream);
        bench.shard.emit_from(emit_from);
        for (offset, reading) in readings.iter().enumerate().take(until) {
            bench.offer(reading, offset as i64);
            bench.step();
        }
        bench.answers.into_iter().map(|(_, offset, _)| offset).collect::<Vec<_>>()
    };
    let before = run(i64::MIN, committed);
    let after = run(committed as i64, readings.len());
    assert!(before.len() < committed, "some are held at the commit");
    let mut both: Vec<i64> = before.into_iter().chain(after).collect();
    both.sort_unstable();
    let mut all = run(i64::MIN, readings.len());
    all.sort_unstable();
    assert_eq!(both, all, "each once, by one of the two");
}
