//! A cut and a restore change nothing: a shard that comes back goes on as if it had never gone.

use crate::support::stream::{Sensed, any_model, hour, noise, sensed, stream};
use proptest::prelude::*;
use tidecast::domain::{EventTime, Reading, Values};
use tidecast::engine::{Model, Restore, Shard};
use tidecast::telemetry::Discard;

const PLAIN: &str = "horizon = 4\nseasons = [24]\nwindow = 128\nmodel = { hidden = 4 }\n\
    training = { enabled = false }";

/// Series, offset, origin; then what was emitted, and what the network says by itself.
type Answer = (String, i64, EventTime, Vec<f64>);

fn offer(shard: &mut Shard, sensed: &Sensed, offset: i64) {
    let values = Values::from_iter([sensed.value]);
    let reading = Reading { series: &sensed.series, time: sensed.time, later: None, values: &values };
    shard.offer(&reading, offset, Some(sensed.series.as_bytes()));
}

fn step(shard: &mut Shard, answers: &mut Vec<Answer>) {
    let mut sink = |e: tidecast::engine::Emitted<'_>| {
        let target = &e.forecast.targets[0];
        let network = (1..=target.yhat.len()).map(|lead| e.network(0, 0, lead));
        let network = network.map(|v| if v.is_nan() { -1.0 } else { v });
        let values = target.yhat.iter().chain(&target.quantiles).copied().chain(network).collect();
        answers.push((e.series.to_owned(), e.offset, e.forecast.origin, values));
    };
    while shard.run_round(&mut sink).unwrap().is_some() {}
    shard.take_accounts();
    assert_eq!(shard.take_violations().iter().next(), None);
}

/// Comings and goings, disorder, gaps, duplicates and missing values.
fn lively(seed: u64, readings: usize) -> Vec<Sensed> {
    let at = |i: usize, salt: u64| noise(seed.wrapping_add(salt), i as u64);
    (0..readings)
        .map(|i| {
            let series = ((at(i, 1) + 1.0) * 6.0) as usize;
            let jitter = (at(i, 2) * 3.0) as i64;
            let value = (at(i, 3) < 0.9).then(|| 10.0 * series as f64 + at(i, 4));
            // Now and then the whole partition is silent for long.
            let silence = (i / 150) as i64 * 60;
            Sensed { series: format!("s{series}"), time: hour(i as i64 / 8 + jitter + silence), value }
        })
        .collect()
}

/// Cuts `shard` while it goes on, and gives the one that comes back with the answers that the first
/// one gave meanwhile.
fn cut(
    shard: &mut Shard,
    meanwhile: &[Sensed],
    from: usize,
    chunk: usize,
    swap: Option<&Model>,
    served: Option<&Model>,
) -> (Shard, Vec<Answer>) {
    let stream = shard.stream().clone();
    let mut answers = Vec::new();
    shard.between_rounds().unwrap().begin_cut();
    let mut chunks = Vec::new();
    for (i, reading) in meanwhile.iter().enumerate() {
        offer(shard, reading, (from + i) as i64);
        step(shard, &mut answers);
        if i == meanwhile.len() / 2
            && let Some(model) = swap
        {
            shard.bring(model).unwrap();
            shard.warm(usize::MAX).unwrap();
        }
        chunks.extend(shard.cut(chunk).unwrap());
    }
    while let Some(chunk) = shard.cut(chunk).unwrap() {
        chunks.push(chunk);
    }
    assert!(!shard.is_cutting());
    let mut restore = Restore::new(&stream, served);
    chunks.iter().for_each(|chunk| restore.take(chunk).unwrap());
    let back = restore.finish().unwrap();
    assert_eq!(back.model(), served.map(|m| m.version));
    (back, answers)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Bit for bit, while the cut goes on in chunks of any size, with readings held back, series
    /// evicted, and another network swapped in meanwhile.
    #[test]
    fn a_shard_that_comes_back_answers_as_one_that_stayed(
        seed in 0u64..10_000,
        lines in prop::sample::select(vec![
            "",
            "lateness = \"4h\"\nmax_held = 12",
            "max_series = 5",
            "max_series = 7\nidle_ttl = \"20h\"\nlateness = \"2h\"",
            "fill = \"mask\"\nmax_gap = 2",
        ]),
        before in 1usize..400,
        during in 0usize..60,
        chunk in prop::sample::select(vec![1usize, 3_000, 1 << 20]),
        with_model in any::<bool>(),
        swapped in any::<bool>(),
    ) {
        let stream = stream(&format!("{lines}\n{PLAIN}"));
        let readings = lively(seed, 600);
        let first = any_model(&stream, 1);
        let second = any_model(&stream, 2);
        let served = with_model.then_some(&first);
        let mut shard = Shard::new(stream.clone());
        if let Some(model) = served {
            shard.bring(model).unwrap();
            shard.warm(1).unwrap();
        }
        let mut answers = Vec::new();
        for (i, reading) in readings[..before].iter().enumerate() {
            offer(&mut shard, reading, i as i64);
            step(&mut shard, &mut answers);
        }
        let swap = (swapped && with_model).then_some(&second);
        let (mut back, meanwhile) =
            cut(&mut shard, &readings[before..before + during], before, chunk, swap, served);
        // It replays what came meanwhile, with the swap where it was; then both go on.
        let mut replayed = Vec::new();
        for (i, reading) in readings[before..].iter().enumerate() {
            offer(&mut back, reading, (before + i) as i64);
            step(&mut back, &mut replayed);
            if i < during && i == during / 2 && let Some(model) = swap {
                back.bring(model).unwrap();
                back.warm(usize::MAX).unwrap();
            }
        }
        let mut stayed = meanwhile;
        for (i, reading) in readings[before + during..].iter().enumerate() {
            offer(&mut shard, reading, (before + during + i) as i64);
            step(&mut shard, &mut stayed);
        }
        prop_assert_eq!(shard.series(), back.series());
        prop_assert_eq!(stayed, replayed);
    }

    /// Whatever is in a file, reading it neither panics nor takes memory beyond its series.
    #[test]
    fn bytes_that_are_no_cut_are_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        rows in any::<bool>(),
    ) {
        let stream = stream(&format!("lateness = \"2h\"\n{PLAIN}"));
        let mut shard = Shard::new(stream.clone());
        for (i, reading) in lively(3, 60).iter().enumerate() {
            offer(&mut shard, reading, i as i64);
            step(&mut shard, &mut Vec::new());
        }
        shard.between_rounds().unwrap().begin_cut();
        let [head, chunk] = [(); 2].map(|()| shard.cut(usize::MAX).unwrap().unwrap());
        let _ = Restore::new(&stream, None).take(&bytes);
        let mut restore = Restore::new(&stream, None);
        restore.take(&head).unwrap();
        let _ = restore.take(&bytes);
        let mut chunks = [head, chunk];
        let bent = &mut chunks[usize::from(rows)];
        for (at, byte) in flips {
            let at = at.index(bent.len());
            bent[at] ^= byte;
        }
        let mut restore = Restore::new(&stream, None);
        let taken = chunks.iter().try_for_each(|chunk| restore.take(chunk));
        let restored = taken.ok().and_then(|()| restore.finish().ok());
        // A flip that no length notices is for the checksum to find; the shard survives it all the same.
        if let Some(mut shard) = restored {
            let mut at = shard.agreed_time().map_or(0, |t| (t.seconds_since(hour(0)) / 3600.0) as i64);
            for i in 0..20 {
                at += 1;
                offer(&mut shard, &Sensed { series: "s1".into(), time: hour(at), value: Some(1.0) }, 100 + i);
                while shard.run_round(&mut |_| {}).unwrap().is_some() {}
            }
        }
    }
}

#[test]
fn a_cut_with_a_row_missing_or_doubled_is_refused() {
    let stream = stream(PLAIN);
    let mut shard = Shard::new(stream.clone());
    for (i, reading) in sensed(3, 10, 1).iter().enumerate() {
        offer(&mut shard, reading, i as i64);
        step(&mut shard, &mut Vec::new());
    }
    shard.between_rounds().unwrap().begin_cut();
    let mut chunks = Vec::new();
    while let Some(chunk) = shard.cut(1).unwrap() {
        chunks.push(chunk);
    }
    assert_eq!(chunks.len(), 4, "a head and three rows");
    let restored = |order: &[usize]| {
        let mut restore = Restore::new(&stream, None);
        let taken = order.iter().try_for_each(|i| restore.take(&chunks[*i]));
        taken.is_ok() && restore.finish().is_ok()
    };
    assert!(restored(&[0, 1, 2, 3]) && restored(&[0, 3, 1, 2]));
    assert!(!restored(&[0, 1, 1, 2]) && !restored(&[0, 1, 2]) && !restored(&[0]) && !restored(&[]));
    assert!(!restored(&[1, 2, 3]) && !restored(&[0, 0, 1, 2, 3]));
}

/// However much is in it and however much changes meanwhile: a store takes no chunk of any length.
#[test]
fn chunks_are_short() {
    let stream = stream(PLAIN);
    let mut shard = Shard::new(stream.clone());
    let name = |i: i64| format!("{i:0300}");
    let series = 20_000;
    let turn = |shard: &mut Shard, h: i64| {
        for i in 0..series {
            let reading = Sensed { series: name(i), time: hour(h), value: Some(i as f64) };
            offer(shard, &reading, h * series + i);
        }
        step(shard, &mut Vec::new());
    };
    turn(&mut shard, 0);
    shard.between_rounds().unwrap().begin_cut();
    let mut chunks = vec![shard.cut(1 << 20).unwrap().unwrap()];
    turn(&mut shard, 1);
    assert!(shard.cut_waiting() > 20 << 20, "{}", shard.cut_waiting());
    while let Some(chunk) = shard.cut(1 << 20).unwrap() {
        chunks.push(chunk);
    }
    assert!(chunks.iter().all(|chunk| chunk.len() < 5 << 20), "{:?}", chunks.iter().map(Vec::len).max());
    let mut restore = Restore::new(&stream, None);
    chunks.iter().for_each(|chunk| restore.take(chunk).unwrap());
    assert_eq!(restore.finish().unwrap().series(), series as usize);
}

/// A config that allows fewer series than the cut holds keeps the ones seen last.
#[test]
fn fewer_series_than_the_cut_holds() {
    let large = stream(PLAIN);
    let mut shard = Shard::new(large.clone());
    for i in 0..10 {
        let reading = Sensed { series: format!("s{i}"), time: hour(i), value: Some(1.0) };
        offer(&mut shard, &reading, i);
        step(&mut shard, &mut Vec::new());
    }
    shard.between_rounds().unwrap().begin_cut();
    let chunks = [(); 2].map(|()| shard.cut(usize::MAX).unwrap().unwrap());
    let small = stream(&format!("max_series = 4\n{PLAIN}"));
    let mut restore = Restore::new(&small, None);
    chunks.iter().for_each(|chunk| restore.take(chunk).unwrap());
    let mut shard = restore.finish().unwrap();
    let mut names: Vec<&str> = shard.names().collect();
    names.sort_unstable();
    assert_eq!(names, ["s6", "s7", "s8", "s9"]);
    assert_eq!(Shard::shape(&small), Shard::shape(&large));
    let reading = Sensed { series: "s6".into(), time: hour(9), value: Some(1.0) };
    offer(&mut shard, &reading, 11);
    let late = Sensed { series: "s6".into(), time: hour(2), value: Some(1.0) };
    offer(&mut shard, &late, 12);
    while shard.run_round(&mut |_| {}).unwrap().is_some() {}
    let accounts = shard.take_accounts();
    assert_eq!((accounts.offered, accounts.discarded(Discard::Late)), (2, 1));
}
