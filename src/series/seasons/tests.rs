use super::*;
use crate::config::from_toml;
use crate::domain::{EventTime, Values};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::f64::consts::TAU;

const HOUR_US: i64 = 3_600_000_000;

fn stream(interval: &str) -> Stream {
    let text = format!(
        "[kafka]\nbrokers = \"x\"\n[streams.s]\ntopics = [\"t\"]\ntargets = [\"v\"]\ninterval = \"{interval}\"\n\
         seasons = \"auto\"\nfields = {{ series = \"/id\", time = \"/ts\" }}\n"
    );
    Stream::clone(&from_toml(&text, &[]).unwrap().streams[0])
}

/// Hourly series, each value by its series and hour; one that is not finite is missing.
fn hourly(series: usize, hours: i64, mut value: impl FnMut(usize, i64) -> f64) -> Option<Vec<usize>> {
    let mut sample = SeasonSample::new(&stream("1h"));
    for hour in 0..hours {
        for s in 0..series {
            let values = Values::from_iter([Some(value(s, hour))]);
            let time =
                EventTime::from_micros(1_700_000_000_000_000 / HOUR_US * HOUR_US + hour * HOUR_US).unwrap();
            sample.add(&Reading { series: &format!("s{s}"), time, later: None, values: &values });
        }
    }
    sample.seasons()
}

fn wave(hour: i64, period: f64) -> f64 {
    (TAU * hour as f64 / period).sin()
}

/// Noise with a memory: `x(t) = a·x(t−1) + b·x(t−2) + e`, for each series.
fn noise(series: usize, [a, b]: [f64; 2], seed: u64) -> impl FnMut(usize) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut past = vec![[0.0; 2]; series];
    move |s| {
        let e: f64 = (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
        let [last, before] = past[s];
        past[s] = [a * last + b * before + e, last];
        past[s][0]
    }
}

#[test]
fn a_day_is_found_in_series_that_begin_it_at_different_hours_under_noise() {
    let mut e = noise(8, [0.0, 0.0], 1);
    assert_eq!(hourly(8, 1_000, |s, h| wave(h + 7 * s as i64, 24.0) + e(s)), Some(vec![24]));
}

#[test]
fn a_day_and_a_week_are_told_apart() {
    let mut e = noise(1, [0.5, 0.0], 2);
    let weekend = |h: i64| if (h / 24) % 7 > 4 { 2.0 } else { 0.0 };
    let found = hourly(1, 2_000, |s, h| wave(h, 24.0) + weekend(h) + 0.4 * e(s));
    assert_eq!(found, Some(vec![24, 168]));
}

#[test]
fn a_machines_own_cycle_is_found_though_its_level_wanders() {
    let (mut e, mut level) = (noise(2, [0.0, 0.0], 3), noise(2, [1.0, 0.0], 4));
    let pulse = |h: i64| if h % 50 < 4 { 6.0 } else { 0.0 };
    assert_eq!(hourly(2, 1_500, |s, h| pulse(h) + e(s) + 0.1 * level(s)), Some(vec![50]));
}

#[test]
fn swings_without_a_period_are_no_season() {
    let swing = 2.0 * 0.97 * (TAU / 30.0).cos();
    for (name, memory) in [
        ("noise", [0.0, 0.0]),
        ("noise with a memory", [0.95, 0.0]),
        ("a walk", [1.0, 0.0]),
        ("a swing", [swing, -0.97 * 0.97]),
    ] {
        for seed in 0..20 {
            let mut e = noise(3, memory, seed);
            assert_eq!(hourly(3, 1_200, |s, _| e(s)), Some(vec![]), "{name}, seed {seed}");
        }
    }
    assert_eq!(hourly(1, 1_000, |_, h| 0.01 * h as f64), Some(vec![]), "a trend");
    assert_eq!(hourly(1, 1_000, |_, _| 3.0), Some(vec![]), "a dead sensor");
    assert_eq!(hourly(1, 1_000, |_, _| f64::NAN), Some(vec![]), "a silent sensor");
}

#[test]
fn gaps_and_spikes_hide_nothing() {
    let (mut e, mut rng) = (noise(1, [0.0, 0.0], 5), ChaCha8Rng::seed_from_u64(6));
    let found = hourly(1, 2_000, |s, h| match rng.random::<f64>() {
        p if p < 0.4 => f64::NAN,
        p if p < 0.402 => 1e30,
        _ => wave(h, 24.0) + 0.3 * e(s),
    });
    assert_eq!(found, Some(vec![24]));
}

#[test]
fn a_week_needs_three_weeks_of_readings() {
    assert_eq!(hourly(4, 3 * 168 - 1, |_, h| wave(h, 24.0)), None);
    assert_eq!(hourly(4, 3 * 168, |_, h| wave(h, 24.0)), Some(vec![24]));
    assert_eq!(hourly(0, 0, |_, _| 0.0), None);
}

/// Two targets and a covariate.
fn add(sample: &mut SeasonSample, series: usize, hour: i64, value: f64) {
    let values = Values::from_iter([Some(value), Some(-value), Some(1e9)]);
    let time = EventTime::from_micros((500_000 + hour) * HOUR_US).unwrap();
    sample.add(&Reading { series: &format!("s{series}"), time, later: None, values: &values });
}

fn sample() -> SeasonSample {
    SeasonSample { targets: 2, ..SeasonSample::new(&stream("1h")) }
}

#[test]
fn a_sample_is_bounded() {
    let mut sample = sample();
    let hours = READINGS_LEAST as i64;
    for hour in 0..hours + 100 {
        assert_eq!(sample.is_full(), hour >= hours - 168);
        (0..SERIES_MAX + 5).for_each(|s| add(&mut sample, s, hour, 1.0));
        if hour > 0 {
            // A clock that is wrong by years takes no memory.
            add(&mut sample, 0, hour + 400_000, 1.0);
            add(&mut sample, 0, hour - 400_000, 1.0);
        }
    }
    assert_eq!(sample.size(), (SERIES_MAX, SERIES_MAX * hours as usize));
}

#[test]
fn late_readings_wrong_clocks_and_large_counts_hide_nothing() {
    let mut sample = sample();
    add(&mut sample, 0, -400_000, 1.0);
    let value = |hour: i64| 3e9 + wave(hour, 24.0);
    for hour in 0..1_000 {
        add(&mut sample, 0, hour, value(hour));
        if hour % 5 == 4 {
            add(&mut sample, 0, hour - 3, value(hour - 3));
        }
    }
    assert_eq!(sample.size(), (1, 1 + 1_000 + 200));
    let cells = &sample.series["s0"];
    assert!(cells.values.iter().all(|v| v.abs() <= 2.0), "{:?}", &cells.values[..20]);
    assert_eq!(sample.seasons(), Some(vec![24]));
}
