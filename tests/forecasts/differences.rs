//! What is differenced is known by how it moves: where it stands says nothing.

use crate::support::stream::{any_model, hour, networked, noise, restored};
use std::sync::Arc;
use tidecast::config::{Stream, from_toml};
use tidecast::domain::{Forecast, Reading, Values};
use tidecast::engine::{Emitted, Shard};

const HORIZON: usize = 6;
/// A break begins here; the network's inputs and the experts' weights are grown up by then.
const BREAK: i64 = 160;
const PAUSE: i64 = 50;

fn stream(lines: &str) -> Arc<Stream> {
    let base = if lines.contains("lms") { "linear" } else { "mixture" };
    let text = format!(
        "[kafka]\nbrokers = \"localhost:9092\"\n[streams.test]\ntopics = [\"in\"]\ninterval = \"1h\"\n\
         horizon = {HORIZON}\ntraining = {{ enabled = false }}\nmodel = {{ hidden = 8, base = \"{base}\" }}\nwindow = 128\n\
         calendar = []\ntargets = [\"x\", \"y\"]\n{lines}\n"
    );
    from_toml(&text, &[]).unwrap_or_else(|e| panic!("{e}")).streams[0].clone()
}

/// Walks of two series; whole numbers of eighths, so that a shift by one loses nothing.
fn walk(hours: i64) -> Vec<(i64, [[f64; 2]; 2])> {
    let mut at = [[0.0; 2]; 2];
    let mut velocity = [[0.5, -0.25], [0.0, 0.75]];
    let step = |t: i64| {
        for (s, (at, velocity)) in at.iter_mut().zip(&mut velocity).enumerate() {
            for (k, (at, velocity)) in at.iter_mut().zip(velocity).enumerate() {
                *velocity = 0.9 * *velocity + 0.2 * noise((2 * s + k) as u64, t as u64);
                *at += (8.0 * *velocity).round() / 8.0;
            }
        }
        (if t < BREAK { t } else { t + PAUSE }, at)
    };
    (0..hours).map(step).collect()
}

fn offer(shard: &mut Shard, (t, places): &(i64, [[f64; 2]; 2]), answers: &mut Vec<Forecast>) {
    for (s, place) in places.iter().enumerate() {
        let values: Values = place.iter().map(|v| Some(*v)).collect();
        shard.offer(
            &Reading { series: &format!("s{s}"), time: hour(*t), later: None, values: &values },
            *t,
            None,
        );
    }
    while shard.run_round(&mut |e: Emitted<'_>| answers.push(e.forecast.clone())).unwrap().is_some() {}
    assert_eq!(shard.take_violations().iter().next(), None);
}

fn answers(stream: &Arc<Stream>, readings: &[(i64, [[f64; 2]; 2])]) -> Vec<Forecast> {
    let (mut shard, mut answers) = (networked(stream), Vec::new());
    readings.iter().for_each(|reading| offer(&mut shard, reading, &mut answers));
    answers
}

/// Displacements from the last reading: points and quantiles.
fn displacements(forecast: &Forecast) -> Vec<f64> {
    let of = |t: &tidecast::domain::TargetForecast| -> Vec<f64> {
        t.yhat.iter().chain(&t.quantiles).map(|v| v - t.last.unwrap()).collect()
    };
    forecast.targets.iter().flat_map(of).collect()
}

const CASES: [&str; 4] = [
    "difference = true\nseasons = []",
    "difference = true\nseasons = [12]",
    "difference = true\nseasons = [12]\naccuracy = \"compact\"\nexperts = [\"linear\", \"arma\", \"velocity\"]",
    "difference = true\nseasons = []\nexperts = [\"linear\", \"lms\"]\nfill = \"mask\"",
];

#[test]
fn where_a_series_stands_changes_no_displacement() {
    let plain = walk(300);
    for lines in CASES {
        let stream = stream(lines);
        let want = answers(&stream, &plain);
        for (from, shift) in [(0, 1_024.0), (BREAK, 512.0), (BREAK, -4_096.0)] {
            let shifted: Vec<_> = plain
                .iter()
                .enumerate()
                .map(|(i, (t, all))| {
                    let shift = if (i as i64) < from { 0.0 } else { shift };
                    (*t, all.map(|place| place.map(|v| v + shift)))
                })
                .collect();
            let got = answers(&stream, &shifted);
            assert_eq!(got.len(), want.len());
            for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                assert_eq!(got.anomaly, want.anomaly, "{lines}: shifted by {shift} from {from} on, at {i}");
                for (got, want) in displacements(got).into_iter().zip(displacements(want)) {
                    let off = (got - want).abs();
                    assert!(off < 1e-6, "{lines}: {off} at {i}, shifted by {shift} from {from} on");
                }
            }
        }
    }
}

/// The break's first reading lacks its values: until they come the series stands where it stood.
#[test]
fn a_series_stays_where_it_stood_until_it_is_seen_again() {
    let stream = stream(CASES[0]);
    let (mut shard, mut answers) = (networked(&stream), Vec::new());
    let walk = walk(240);
    let (before, after) = walk.split_at(BREAK as usize);
    before.iter().for_each(|reading| offer(&mut shard, reading, &mut answers));
    let last = before[before.len() - 1].1;
    let nothing = Values::from_iter([None, None]);
    let time = hour(BREAK + PAUSE - 1);
    shard.offer(&Reading { series: "s0", time, later: None, values: &nothing }, BREAK + PAUSE - 1, None);
    answers.clear();
    while shard.run_round(&mut |e: Emitted<'_>| answers.push(e.forecast.clone())).unwrap().is_some() {}
    for (target, last) in answers[0].targets.iter().zip(last[0]) {
        assert!(target.yhat.iter().all(|v| (v - last).abs() < 10.0), "{target:?} after {last}");
    }
    answers.clear();
    for (t, all) in after {
        offer(&mut shard, &(*t, all.map(|place| place.map(|v| v + 1e6))), &mut answers);
        for (forecast, place) in answers[answers.len() - 2..].iter().zip(all) {
            for (target, value) in forecast.targets.iter().zip(place) {
                assert!(target.yhat.iter().all(|v| (v - value - 1e6).abs() < 20.0), "{target:?}");
            }
        }
    }
}

#[test]
fn a_shard_comes_back_in_a_break() {
    let stream = stream(CASES[1]);
    let walk = walk(240);
    for at in [BREAK as usize, BREAK as usize + 1, 200] {
        let (mut gone, mut answers) = (networked(&stream), Vec::new());
        walk[..at].iter().for_each(|reading| offer(&mut gone, reading, &mut answers));
        let mut back = restored(&mut gone, Some(&any_model(&stream, 1)), 1 << 16);
        let (mut want, mut got) = (Vec::new(), Vec::new());
        for reading in &walk[at..] {
            offer(&mut gone, reading, &mut want);
            offer(&mut back, reading, &mut got);
        }
        assert_eq!(want, got);
    }
    assert_ne!(Shard::shape(&stream), Shard::shape(&self::stream("seasons = [12]")));
}
