//! What a shard notices, from end to end: surprising readings, limits, drift.

use crate::support::stream::{Bench, Sensed, hour, noise, stream};
use tidecast::domain::AnomalyKind;

const LINES: &str = "horizon = 6\nseasons = [24]\nlimits = [{ target = \"kw\", above = 14 }]\n\
    training = { enabled = false }";
const HOURS: i64 = 900;

/// A day's wave around 10 with noise, which `change` may replace hour by hour.
fn readings(series: usize, change: impl Fn(usize, i64, f64) -> f64) -> Vec<Sensed> {
    let value = |s: usize, h: i64| {
        let wave = 3.0 * (std::f64::consts::TAU * h as f64 / 24.0).sin();
        change(s, h, 10.0 + wave + 0.3 * noise(7 + s as u64, h as u64))
    };
    let all = (0..HOURS).flat_map(|h| (0..series).map(move |s| (s, h)));
    all.map(|(s, h)| Sensed { series: format!("s{s}"), time: hour(h), value: Some(value(s, h)) }).collect()
}

fn run(readings: &[Sensed], lines: &str) -> Bench {
    let mut bench = Bench::new(&stream(lines));
    for (offset, reading) in readings.iter().enumerate() {
        bench.offer(reading, offset as i64);
        bench.step();
    }
    bench
}

#[test]
fn a_spike_is_told_from_a_shift_and_calm_readings_from_both() {
    let bench = run(
        &readings(1, |_, h, v| match h {
            500 => v + 8.0,
            700.. => v + 6.0,
            _ => v,
        }),
        LINES,
    );
    let said = |h: usize| bench.answers[h].2.anomaly;
    assert_eq!(said(500).kind, Some(AnomalyKind::Spike));
    assert!(said(500).score > 0.999 && (501..600).all(|h| said(h).score < 0.999));
    let expected = &bench.answers[500].2.targets[0].expected;
    assert_eq!(expected.len(), 4);
    assert!((expected[0] - bench.answers[499].2.targets[0].yhat[0]).abs() < 0.05);
    assert!((700..706).any(|h| said(h).kind == Some(AnomalyKind::Shift)), "it stays where it jumped to");
    assert_eq!(said(501).kind, None, "what follows a spike is calm");
    let calm = (100..500).filter(|h| said(*h).score > 0.99).count();
    assert!(calm <= 16, "{calm} of 400");
}

#[test]
fn a_limit_that_will_be_crossed_is_said_before_it_is() {
    let rising = readings(1, |_, h, v| if h >= 600 { v + 0.05 * (h - 600) as f64 } else { v });
    let bench = run(&rising, LINES);
    let crossing = |h: usize| bench.answers[h].2.limits[0];
    assert!((240..590).all(|h| crossing(h).probability < 0.1), "far below the limit");
    let first = (600..HOURS as usize).find(|h| rising[*h].value > Some(14.0)).unwrap();
    assert!(crossing(first - 1).probability > 0.3, "{:?}", crossing(first - 1));
    let high = (600..HOURS as usize).find(|h| rising[*h].value > Some(16.0)).unwrap();
    assert!(crossing(high).probability > 0.95 && crossing(high).first_lead == Some(1));
}

#[test]
fn what_all_series_share_drifts_and_one_broken_sensor_does_not() {
    let fleet = "horizon = 6\nseasons = [24]\ntraining = { enabled = false }";
    let found = |readings: &[Sensed]| run(readings, fleet).shard.take_drift().is_some();
    assert!(!found(&readings(12, |_, _, v| v)), "nothing has changed");
    assert!(!found(&readings(12, |s, h, v| if s == 3 && h > 600 { 40.0 * noise(1, h as u64) } else { v })));
    assert!(found(&readings(12, |s, h, v| if h > 600 { v + 2.0 * noise(s as u64, h as u64) } else { v })));
}

/// The reading that begins it is a spike, and the third after it says that it was a shift: nothing else.
#[test]
fn a_step_after_a_long_calm_is_told_once() {
    let steps = readings(1, |_, h, _| if h < 300 { 5.0 } else { 25.0 });
    let bench = run(&steps, "horizon = 5\nseasons = []\ncalendar = []\ntraining = { enabled = false }");
    let alarms: Vec<_> = (0..HOURS as usize)
        .filter(|h| bench.answers[*h].2.anomaly.is_above(0.99))
        .map(|h| (h, bench.answers[h].2.anomaly.kind))
        .collect();
    assert_eq!(alarms, [(300, Some(AnomalyKind::Spike)), (303, Some(AnomalyKind::Shift))]);
    assert!((302..HOURS as usize).all(|h| (bench.answers[h].2.targets[0].yhat[0] - 25.0).abs() < 0.1));
}
