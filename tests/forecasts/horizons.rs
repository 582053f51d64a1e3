//! Horizons of one and a half to four seasons: what is interpolated between scored leads is as good there as
//! what has weights of its own.

use crate::support::stream::{Bench, Sensed, hour, noise, stream};

const SERIES: usize = 6;
const HOURS: usize = 1_000;
/// From here on forecasts are judged.
const FROM: usize = 500;
const DAY: usize = 24;

/// Hourly series with a sharp day, a week in which weekends differ, and noise that lasts the longer the higher the
/// number of the series. `[series, hours]`
fn fleet(seed: u64) -> Vec<Vec<f64>> {
    let series = |s: usize| {
        let lasting = 0.5 + 0.49 * s as f64 / SERIES as f64;
        let mut drift = 0.0;
        (0..HOURS)
            .map(|h| {
                let (of_day, day) = (((h + 3 * s) % DAY) as f64, h / DAY % 7);
                drift = lasting * drift + noise(seed + s as u64, h as u64);
                let peak = 8.0 * (-((of_day - 8.0) / 3.0).powi(2)).exp()
                    + 5.0 * (-((of_day - 19.0) / 2.0).powi(2)).exp();
                let weekend = if day >= 5 { 0.6 } else { 1.0 };
                20.0 + peak * weekend + 0.5 * drift
            })
            .collect()
    };
    (0..SERIES).map(series).collect()
}

/// The mean absolute error at each lead of what is emitted. `[horizon]`
fn errors(fleet: &[Vec<f64>], horizon: usize, accuracy: &str) -> Vec<f64> {
    let lines = format!(
        "horizon = {horizon}\nseasons = [{DAY}, 168]\naccuracy = \"{accuracy}\"\ntraining = {{ enabled = false }}\n"
    );
    let mut bench = Bench::new(&stream(&lines));
    for h in 0..HOURS {
        for (s, values) in fleet.iter().enumerate() {
            let sensed = Sensed { series: format!("s{s}"), time: hour(h as i64), value: Some(values[h]) };
            bench.offer(&sensed, (h * SERIES + s) as i64);
        }
        bench.step();
    }
    let (mut sums, mut n) = (vec![0.0; horizon], 0.0);
    for (_, offset, forecast) in &bench.answers {
        let (s, h) = (*offset as usize % SERIES, *offset as usize / SERIES);
        if (FROM..HOURS - horizon).contains(&h) {
            n += 1.0;
            let truths = &fleet[s][h + 1..];
            let points = forecast.targets[0].yhat.iter().zip(truths);
            sums.iter_mut().zip(points).for_each(|(sum, (point, truth))| *sum += (point - truth).abs());
        }
    }
    sums.iter().map(|sum| sum / n).collect()
}

/// The same of the last value, and of the value a season ago. `[naive, horizon]`
fn naive(fleet: &[Vec<f64>], horizon: usize) -> [Vec<f64>; 2] {
    let error = |age: fn(usize) -> usize| {
        let of_lead = |lead: usize| {
            let errors = fleet.iter().flat_map(|values| {
                let origins = FROM..HOURS - horizon;
                origins.map(move |h| (values[h + lead] - values[h - age(lead)]).abs())
            });
            errors.sum::<f64>() / (SERIES * (HOURS - horizon - FROM)) as f64
        };
        (1..=horizon).map(of_lead).collect()
    };
    [error(|_| 0), error(|lead| lead.div_ceil(DAY) * DAY - lead)]
}

/// A fault of old: leads near a multiple of the season gave much weight to the last value, which is as good as the
/// value a season ago there, and their neighbours inherited it.
#[test]
fn no_lead_is_worse_than_the_naive_and_compact_is_near_full() {
    for (horizon, seed) in [(DAY * 3 / 2, 1), (2 * DAY, 2), (3 * DAY, 3), (4 * DAY, 4)] {
        let fleet = fleet(100 * seed);
        let [full, compact] = ["full", "compact"].map(|accuracy| errors(&fleet, horizon, accuracy));
        let all = naive(&fleet, horizon);
        let (mut of_naive, mut of_full) = (0.0f64, 0.0f64);
        for lead in 0..horizon {
            for naive in &all {
                of_naive = of_naive.max(compact[lead] / naive[lead]);
                assert!(full[lead] < 1.02 * naive[lead], "full, lead {} of {horizon}", lead + 1);
                assert!(compact[lead] < 1.02 * naive[lead], "compact, lead {} of {horizon}", lead + 1);
            }
            of_full = of_full.max(compact[lead] / full[lead]);
            assert!(
                compact[lead] < 1.25 * full[lead],
                "lead {} of {horizon}: {} {}",
                lead + 1,
                compact[lead],
                full[lead]
            );
        }
        let mean = |all: &[f64]| all.iter().sum::<f64>() / horizon as f64;
        let on_average = mean(&compact) / mean(&full);
        println!(
            "horizon {horizon}: compact is at most {of_naive:.3} of a naive one and {of_full:.3} of full, {on_average:.3} on average"
        );
        assert!(on_average < 1.05, "horizon {horizon}: {on_average}");
    }
}
