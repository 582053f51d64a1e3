//! A counter is nothing but its rate.

use crate::support::stream::{Answer, Bench, Sensed, hour, noise, restored, stream};
use tidecast::telemetry::Doubt;

const QUIET: &str =
    "horizon = 6\nseasons = [24]\nwindow = 256\nmax_gap = 4\ntraining = { enabled = false }\n";
const METER: &str = "counters = { kw = \"interval\" }\n";
/// The meter is replaced here.
const REPLACED: i64 = 130;
/// It is silent from here on, for longer than gaps are filled.
const SILENT: std::ops::Range<i64> = 200..210;

/// The register of a meter, in whole numbers, and by hand its growth an hour. Some readings do not come.
fn meter() -> (Vec<Sensed>, Vec<Sensed>) {
    let (mut counts, mut rates) = (Vec::new(), Vec::new());
    let (mut register, mut last) = (12_508.0, None);
    for h in 0..320 {
        let n = noise(7, h as u64);
        register += (20.0 + 8.0 * (std::f64::consts::TAU * h as f64 / 24.0).sin() + 4.0 * n).round();
        if h == REPLACED {
            register = 3.0;
        }
        if SILENT.contains(&h) || n > 0.95 {
            continue;
        }
        let rate = last
            .filter(|(then, before)| h - then <= 5 && register >= *before)
            .map(|(then, before)| (register - before) / (h - then) as f64);
        last = Some((h, register));
        let of = |value| Sensed { series: "m".into(), time: hour(h), value };
        counts.push(of(Some(register)));
        rates.push(of(rate));
    }
    (counts, rates)
}

fn same(own: &[Answer], by_hand: &[Answer]) {
    assert_eq!(own.len(), by_hand.len());
    for ((.., own), (.., by_hand)) in own.iter().zip(by_hand) {
        assert_eq!(own.targets[0].yhat, by_hand.targets[0].yhat, "at {}", own.origin);
        assert_eq!(own.targets[0].quantiles, by_hand.targets[0].quantiles);
        assert_eq!(own.targets[0].last, by_hand.targets[0].last);
    }
}

#[test]
fn a_counter_is_forecast_as_its_growth() {
    let (counts, rates) = meter();
    let mut own = Bench::after(&stream(&format!("{QUIET}{METER}")), &counts);
    let by_hand = Bench::after(&stream(QUIET), &rates);
    same(&own.answers, &by_hand.answers);
    let resets = own.shard.take_accounts().doubted(Doubt::CounterReset);
    assert_eq!(resets, 1, "the meter was replaced once");
    // Of the last ten days no forecast is near the register, which passes 2,000.
    let newest = own.answers.last().unwrap();
    assert!(newest.2.targets[0].yhat.iter().all(|rate| (5.0..40.0).contains(rate)), "{newest:?}");
}

/// In other units of time, all is larger or smaller by a factor.
#[test]
fn a_rate_is_per_the_time_that_the_config_says() {
    let (counts, _) = meter();
    let lasts = |unit: &str| -> Vec<f64> {
        let lines = format!("{QUIET}counters = {{ kw = \"{unit}\" }}\n");
        let bench = Bench::after(&stream(&lines), &counts);
        bench.answers.iter().filter_map(|(.., forecast)| forecast.targets[0].last).collect()
    };
    let per_hour = lasts("hour");
    assert_eq!(per_hour, lasts("interval"));
    for (unit, seconds) in [("minute", 60.0), ("second", 1.0)] {
        for (one, other) in lasts(unit).iter().zip(&per_hour) {
            assert!((one * 3_600.0 / seconds - other).abs() < 1e-3, "{unit}: {one} and {other}");
        }
    }
}

#[test]
fn a_counter_goes_on_after_a_restart() {
    let (counts, _) = meter();
    let whole = stream(&format!("{QUIET}{METER}"));
    let unbroken = Bench::after(&whole, &counts);
    for cut in [1, 100, 128, 131, 205] {
        let (before, after) = counts.split_at(cut);
        let mut bench = Bench::after(&whole, before);
        bench.shard = restored(&mut bench.shard, None, 1 << 10);
        for (at, reading) in after.iter().enumerate() {
            bench.offer(reading, (cut + at) as i64);
            bench.step();
        }
        same(&bench.answers, &unbroken.answers);
    }
}

/// With `aggregate = "mean"` the count of a cell is its last one: a mean count would lag.
#[test]
fn the_growth_of_a_cell_is_from_end_to_end() {
    let (counts, _) = meter();
    let quarter = |reading: &Sensed, i: i64| Sensed {
        time: reading.time.offset_by(i * 15 * 60_000_000),
        value: reading.value.map(|count| count - (3 - i) as f64),
        ..reading.clone()
    };
    let quarters: Vec<Sensed> = counts.iter().flat_map(|hour| (0..4).map(|i| quarter(hour, i))).collect();
    let lines = format!("{QUIET}{METER}aggregate = \"mean\"\n");
    let own = Bench::after(&stream(&lines), &quarters);
    let by_hand = Bench::after(&stream(&format!("{QUIET}{METER}")), &counts);
    same(&own.answers, &by_hand.answers[..own.answers.len()]);
    assert_eq!(own.answers.len() + 1, by_hand.answers.len(), "the last hour is open");
}
