//! The leak test: changing any value after t changes no forecast made at or before t. Over the whole
//! engine: experts, choice, intervals, scaling, training, swap.

use crate::support::stream::{Answer, Bench, SMALL, Sensed, any_model, hour, noise, sensed, stream};

const SERIES: usize = 3;
const HOURS: i64 = 420;

/// A network corrects the mixture of all experts, of which each is there.
const ALL: &str = "horizon = 6\nseasons = [24]\nmodel = { hidden = 8 }\ntraining = { enabled = false }\n\
    experts = [\"linear\", \"arma\", \"lms\", \"velocity\"]";

fn run(readings: &[Sensed]) -> (Vec<Answer>, u64) {
    let mut bench = Bench::new(&stream(SMALL));
    for (offset, reading) in readings.iter().enumerate() {
        bench.offer(reading, offset as i64);
        bench.step();
        bench.train();
    }
    (bench.answers, bench.versions)
}

/// Without training, but with a network of any numbers from the start.
fn run_all(readings: &[Sensed], lines: &str) -> Vec<Answer> {
    let stream = stream(&format!("{ALL}\n{lines}"));
    let mut bench = Bench::new(&stream);
    bench.shard.bring(&any_model(&stream, 1)).unwrap();
    bench.shard.warm(usize::MAX).unwrap();
    for (offset, reading) in readings.iter().enumerate() {
        bench.offer(reading, offset as i64);
        bench.step();
    }
    bench.answers
}

#[test]
fn no_forecast_knows_what_comes_after_it() {
    let readings = sensed(SERIES, HOURS, 1);
    assert!(run(&readings).1 > 0, "a network has to serve, or the test sees only half of the engine");
    nothing_leaks(&readings, |readings| run(readings).0);
    for accuracy in ["full", "compact"] {
        let lines = format!("accuracy = \"{accuracy}\"");
        nothing_leaks(&readings, |readings| run_all(readings, &lines));
    }
}

/// A count is told from those before it alone, also where it begins again and the next one says why.
#[test]
fn no_rate_knows_of_a_later_count() {
    let mut registers = [0.0; SERIES];
    let mut counts = sensed(SERIES, HOURS, 3);
    for (i, reading) in counts.iter_mut().enumerate() {
        let register = &mut registers[reading.series[1..].parse::<usize>().unwrap()];
        *register += reading.value.unwrap_or(0.0);
        match i % 211 {
            // A meter is replaced; a count is a glitch.
            100 => *register = 0.0,
            180 => reading.value = Some(0.0),
            _ => reading.value = reading.value.map(|_| *register),
        }
    }
    let lines = "counters = { kw = \"interval\" }\nmax_gap = 3";
    nothing_leaks(&counts, |counts| run_all(counts, lines));
}

fn nothing_leaks(readings: &[Sensed], run: impl Fn(&[Sensed]) -> Vec<Answer>) {
    let quiet = run(readings);
    for (case, t) in [30, 199, 230, 305, 399].into_iter().enumerate() {
        let mut changed = readings.to_vec();
        for (i, reading) in changed.iter_mut().enumerate().filter(|(_, r)| r.time > hour(t)) {
            reading.value = match i % 7 {
                0 => None,
                1 => Some(1e12),
                _ => reading.value.map(|v| v * 3.0 + 100.0 * noise(99 + case as u64, i as u64)),
            };
        }
        let other = run(&changed);
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
