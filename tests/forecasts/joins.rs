//! Values that come one at a time, and are joined into one reading.

use crate::support::stream::{hour, noise, restored_as};
use proptest::prelude::*;
use std::sync::Arc;
use tidecast::config::{Stream, from_toml};
use tidecast::domain::{Forecast, Reading, Values};
use tidecast::engine::{Emitted, Shard};

const TARGETS: usize = 3;

fn stream(lines: &str) -> Arc<Stream> {
    let text = format!(
        "[kafka]\nbrokers = \"localhost:9092\"\n[streams.test]\ntopics = [\"in\"]\ninterval = \"1h\"\nhorizon = 4\n\
         seasons = []\nwindow = 64\ntraining = {{ enabled = false }}\ntargets = [\"a\", \"b\", \"c\"]\n{lines}\n"
    );
    from_toml(&text, &[]).unwrap_or_else(|e| panic!("{e}")).streams[0].clone()
}

fn value(series: usize, h: i64, target: usize) -> f64 {
    10.0 * target as f64 + noise(series as u64 + 10 * target as u64, h as u64)
}

/// Offers one reading, and returns the forecasts that it brings.
fn offer(shard: &mut Shard, at: &mut i64, series: usize, h: i64, values: &Values) -> Vec<(String, Forecast)> {
    let name = format!("s{series}");
    shard.offer(&Reading { series: &name, time: hour(h), later: None, values }, *at, None);
    *at += 1;
    let mut forecasts = Vec::new();
    let mut sink = |e: Emitted<'_>| forecasts.push((e.series.to_owned(), e.forecast.clone()));
    while shard.run_round(&mut sink).unwrap().is_some() {}
    assert_eq!(shard.take_violations().iter().next(), None);
    forecasts
}

fn one(target: usize, value: f64) -> Values {
    (0..TARGETS).map(|t| (t == target).then_some(value)).collect()
}

/// Whatever the order of the values, a reading that is whole is answered at its last value, exactly as one that comes at
/// once; and a restart anywhere changes nothing.
fn joined_is_whole(order: &[Vec<usize>], restarts: &[bool]) {
    let (joining, plain) = (stream("aggregate = \"join\""), stream(""));
    let (mut own, mut by_hand) = (Shard::new(joining.clone()), Shard::new(plain));
    let (mut at, mut by_hand_at) = (0, 0);
    for (h, (order, restarts)) in (0..).zip(order.iter().zip(restarts)) {
        let mut answers = Vec::new();
        for (i, target) in order.iter().enumerate() {
            for series in 0..2 {
                let values = one(*target, value(series, h, *target));
                let came = offer(&mut own, &mut at, series, h, &values);
                assert_eq!(came.len(), usize::from(i + 1 == TARGETS), "at the last value, and not before");
                answers.extend(came);
            }
            if *restarts && i == 1 {
                own = restored_as(&joining, &mut own, None, 1 << 12);
            }
        }
        let whole = (0..2).flat_map(|series| {
            let values: Values = (0..TARGETS).map(|target| Some(value(series, h, target))).collect();
            offer(&mut by_hand, &mut by_hand_at, series, h, &values)
        });
        assert_eq!(answers, whole.collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn values_are_joined_in_any_order(
        order in prop::collection::vec(Just(vec![0, 1, 2]).prop_shuffle(), 30),
        restarts in prop::collection::vec(prop::bool::weighted(0.1), 30),
    ) {
        joined_is_whole(&order, &restarts);
    }
}

/// The answers to all of these, `size` offered at a time.
fn in_batches(lines: &str, came: &[(usize, i64, usize)], size: usize) -> Vec<(String, i64, Forecast)> {
    let mut shard = Shard::new(stream(lines));
    let (mut offset, mut answers) = (0, Vec::new());
    for batch in came.chunks(size) {
        for (series, h, target) in batch {
            let values = one(*target, value(*series, *h, *target));
            let name = format!("s{series}");
            shard.offer(
                &Reading { series: &name, time: hour(*h), later: None, values: &values },
                offset,
                None,
            );
            offset += 1;
        }
        let mut sink = |e: Emitted<'_>| answers.push((e.series.to_owned(), e.offset, e.forecast.clone()));
        while shard.run_round(&mut sink).unwrap().is_some() {}
    }
    answers.sort_by(|(a, _, one), (b, _, other)| (a, one.origin).cmp(&(b, other.origin)));
    answers
}

/// Some values never come, others late.
#[test]
fn batches_of_values_do_not_matter() {
    let mut came: Vec<(usize, i64, usize)> = Vec::new();
    for i in 0..3 * 2 * 60 {
        let (h, series, target) = (i / 6, i as usize % 2, i as usize / 2 % TARGETS);
        let n = noise(5, i as u64);
        match n {
            n if n < -0.85 => {}
            n if n > 0.8 => came.insert(came.len().saturating_sub(8), (series, h, target)),
            _ => came.push((series, h, target)),
        }
    }
    for lines in ["aggregate = \"join\"", "aggregate = \"join\"\nlateness = \"2h\""] {
        let one_by_one = in_batches(lines, &came, 1);
        assert!(one_by_one.len() > 100, "{}", one_by_one.len());
        for size in [2, 7, 100, came.len()] {
            let mut batched = in_batches(lines, &came, size);
            for ((.., one), (.., other)) in one_by_one.iter().zip(&mut batched) {
                // How surprising a reading is depends on which others came in the same round, by a little.
                assert!((one.anomaly.score - other.anomaly.score).abs() < 0.05);
                other.anomaly = one.anomaly;
            }
            assert_eq!(one_by_one, batched, "{lines}, {size} at a time");
        }
    }
}

#[test]
fn what_does_not_come_is_missing() {
    let (mut shard, mut at) = (Shard::new(stream("aggregate = \"join\"")), 0);
    for h in 0..20 {
        let values = |target| one(target, value(0, h, target));
        assert!(offer(&mut shard, &mut at, 0, h, &values(0)).is_empty());
        let late = offer(&mut shard, &mut at, 0, h, &values(1));
        assert!(late.is_empty());
        // The next hour closes the one before, which never got its third value.
        let closed = offer(&mut shard, &mut at, 0, h + 1, &one(0, value(0, h + 1, 0)));
        assert_eq!(closed.len(), 1);
        assert_eq!(closed[0].1.origin, hour(h));
        let last = closed[0].1.targets[1].last.unwrap();
        assert!((last - value(0, h, 1)).abs() < 1e-4, "{last}");
        assert_eq!(closed[0].1.targets[2].last, None);
    }
}

/// With `lateness` a later reading that is whole waits for an earlier one that is not.
#[test]
fn readings_keep_their_order() {
    let (mut shard, mut at) = (Shard::new(stream("aggregate = \"join\"\nlateness = \"3h\"")), 0);
    let mut offer_one = |h: i64, target: usize| {
        let came = offer(&mut shard, &mut at, 0, h, &one(target, value(0, h, target)));
        came.into_iter().map(|(_, forecast)| forecast.origin).collect::<Vec<_>>()
    };
    assert_eq!([offer_one(0, 0), offer_one(0, 1)], [vec![], vec![]]);
    assert_eq!([offer_one(1, 0), offer_one(1, 1), offer_one(1, 2)], [vec![], vec![], vec![]]);
    assert_eq!(offer_one(0, 2), [hour(0), hour(1)]);
}
