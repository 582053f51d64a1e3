//! The leak test: changing any value after t changes no forecast made at or before t. Over the whole
//! engine: experts, choice, intervals, scaling, training, swap.

mod support;

use support::stream::{Answer, Bench, SMALL, Sensed, hour, noise, sensed, stream};

const SERIES: usize = 3;
const HOURS: i64 = 420;

fn run(readings: &[Sensed]) -> (Vec<Answer>, u64) {
    let mut bench = Bench::new(&stream(SMALL));
    for (offset, reading) in readings.iter().enumerate() {
        bench.offer(reading, offset as i64);
        bench.step();
        bench.train();
    }
    (bench.answers, bench.versions)
}

#[test]
fn no_forecast_knows_what_comes_after_it() {
    let readings = sensed(SERIES, HOURS, 1);
    let (quiet, versions) = run(&readings);
    assert!(versions > 0, "a network has to serve, or the test sees only half of the engine");
    for (case, t) in [30, 199, 230, 305, 399].into_iter().enumerate() {
        let mut changed = readings.clone();
        for (i, reading) in changed.iter_mut().enumerate().filter(|(_, r)| r.time > hour(t)) {
            reading.value = match i % 7 {
                0 => None,
                1 => Some(1e12),
                _ => reading.value.map(|v| v * 3.0 + 100.0 * noise(99 + case as u64, i as u64)),
            };
        }
        let (other, _) = run(&changed);
        let before = |answers: &[Answer]| -> Vec<Answer> {
            answers
                .iter()
                .filter(|(_, offset, _)| readings[*offset as usize].time <= hour(t))
                .cloned()
                .collect()
        };
        assert_eq!(
            before(&quiet),
            before(&other),
            "a forecast made at or before hour {t} knew of a later value"
        );
        assert_ne!(quiet, other, "the change has to show somewhere");
    }
}

/// The same readings give the same forecasts, bit for bit, when they come in the same batches.
#[test]
fn two_runs_are_equal() {
    let readings = sensed(SERIES, HOURS, 2);
    assert_eq!(run(&readings).0, run(&readings).0);
}
