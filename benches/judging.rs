//! What judging a reading costs: drift, anomaly score, limits, calendar. Nanoseconds of one thread and
//! bytes a series; one target, 24 leads, three levels.

use std::hint::black_box;
use std::time::{Duration, Instant};
use tidecast::config;
use tidecast::config::Limit;
use tidecast::domain::{Grid, Interval, Level, Levels, Rows};
use tidecast::scoring::{Anomalies, Drift, Limits, MaturedForecast};
use tidecast::series::Calendar;

const CALLS: usize = 200_000;
const ROUNDS: usize = 9;
const FLEETS: [usize; 2] = [1, 10_000];
const LEADS: usize = 24;

/// The best round's nanoseconds a call.
fn measure(mut call: impl FnMut(usize)) -> f64 {
    let round = |call: &mut dyn FnMut(usize)| {
        let began = Instant::now();
        (0..CALLS).for_each(call);
        began.elapsed().as_nanos() as f64 / CALLS as f64
    };
    (0..ROUNDS).map(|_| round(&mut call)).fold(f64::INFINITY, f64::min)
}

/// Noise of about a normal's size, without the cost of one.
fn noise(i: usize) -> f32 {
    let bits = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    (bits as f32 / 2f32.powi(31) - 1.0) * 1.7
}

fn main() {
    let mut figures = serde_json::Map::new();
    println!("{:<44}{:>10}{:>14}", "", "ns", "bytes/series");
    let mut show = |name: String, ns: f64, bytes: Option<usize>| {
        let bytes_text = bytes.map_or_else(String::new, |b| b.to_string());
        println!("{name:<44}{ns:>10.1}{bytes_text:>14}");
        figures.insert(name, serde_json::json!({ "ns": ns, "bytes": bytes }));
    };
    let levels = Levels::new([0.05, 0.5, 0.95].map(|l| Level::try_new(l).expect("a level")).to_vec());
    for series in FLEETS {
        let mut drift = Drift::new(24, Drift::THRESHOLD);
        drift.grow(series);
        let ns = measure(|i| {
            drift.observe(i % series, series, noise(i).abs(), noise(i + 7));
            black_box(drift.take());
        });
        show(format!("drift, {series} series"), ns, Some(drift.memory() / series));

        let mut anomalies = Anomalies::new(1, &levels);
        anomalies.grow(series);
        let ns = measure(|i| {
            let (slot, bounds) = (i % series, [-1.645, 0.0, 1.645]);
            let arrived = MaturedForecast { value: noise(i), point: 0.0, deviation: 1.0, bounds: &bounds };
            black_box(anomalies.judge(slot, 0, arrived));
            anomalies.expect(slot, 0, &[0.0; 4]);
        });
        show(format!("anomaly score, {series} series"), ns, Some(anomalies.memory() / series));

        let leads: Vec<usize> = (1..=LEADS).collect();
        let limit = Limit { target: 0, value: 1.0, above: true };
        let mut limits = Limits::new(vec![limit], 1, &leads);
        limits.grow(series);
        let ns = measure(|i| {
            let places: [f32; LEADS] = std::array::from_fn(|lead| noise(i + lead));
            limits.learn(i % series, 0, (i / series) as u64, &places);
        });
        show(format!("limits, learning, {series} series"), ns, Some(limits.memory() / series));
        for (where_, place) in [("near", 2.0), ("far off", 6.0)] {
            let ns = measure(|i| {
                black_box(limits.crossing(i % series, 0, &[place; LEADS]));
            });
            show(format!("limits, a limit that is {where_}, {series} series"), ns, None);
        }
    }
    let hour = Grid::Fixed(Interval::new(Duration::from_secs(3_600)).expect("an hour"));
    let which = config::Calendar { day: true, week: true, year: true };
    let zone = jiff::tz::TimeZone::get("Europe/Paris").expect("a zone");
    let mut calendar = Calendar::new(which, hour, zone);
    let cell = 473_000;
    show(
        "calendar, a cell that is known".to_owned(),
        measure(|i| {
            black_box(calendar.features(cell + (i % 24) as i64));
        }),
        None,
    );
    let mut next = cell;
    show(
        "calendar, a new cell".to_owned(),
        measure(|_| {
            next += 1;
            black_box(calendar.features(next));
        }),
        None,
    );
    println!("{}", serde_json::Value::Object(figures));
}
