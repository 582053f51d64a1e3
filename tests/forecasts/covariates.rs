//! Covariates that are known ahead, from the config to the forecast.

use crate::support::stream::{first_network, hour, noise, stream};
use std::sync::Arc;
use tidecast::config::Stream;
use tidecast::domain::{Reading, Values};
use tidecast::engine::Shard;

const HORIZON: usize = 6;
const HOURS: i64 = 700;

/// Whether the hour is special, which nothing before it tells.
fn special(h: i64) -> f64 {
    if noise(5, h as u64) > 0.4 { 1.0 } else { 0.0 }
}

fn value(h: i64) -> f64 {
    10.0 + 5.0 * special(h) + 0.3 * noise(9, h as u64)
}

/// The mean absolute error of each lead over the second half; hours for which `told` is false have no record.
fn errors(stream: &Arc<Stream>, train: bool, told: impl Fn(i64) -> bool) -> Vec<f64> {
    let mut shard = Shard::new(stream.clone());
    let mut sums = vec![(0.0, 0.0); HORIZON];
    for h in (0..HOURS).filter(|h| told(*h)) {
        let mut values = Values::from_iter([Some(value(h)), Some(special(h))]);
        let leads = 1..=(HORIZON * stream.known_ahead.len()) as i64;
        leads.for_each(|lead| values.push(Some(special(h + lead))));
        shard.offer(&Reading { series: "s", time: hour(h), later: None, values: &values }, h, None);
        let mut take = |yhat: &[f64]| {
            for (lead, (sum, yhat)) in sums.iter_mut().zip(yhat).enumerate() {
                if h > HOURS / 2 {
                    *sum = (sum.0 + (yhat - value(h + 1 + lead as i64)).abs(), sum.1 + 1.0);
                }
            }
        };
        while shard.run_round(&mut |e| take(&e.forecast.targets[0].yhat)).unwrap().is_some() {}
        if train && h == HOURS / 3 {
            assert!(first_network(&mut shard), "a network that is told the answer is better than none");
        }
    }
    sums.into_iter().map(|(sum, n)| sum / n).collect()
}

const PLAIN: &str = "horizon = 6\ncovariates = [\"special\"]";

#[test]
fn what_is_known_ahead_is_used_at_each_lead() {
    let blind = errors(&stream(PLAIN), false, |_| true);
    assert!(blind.iter().all(|e| *e > 1.2), "{blind:?}");
    for accuracy in ["full", "compact"] {
        let lines = format!("{PLAIN}\nknown_ahead = [\"special\"]\naccuracy = \"{accuracy}\"");
        let told = errors(&stream(&lines), false, |_| true);
        // Compact experts are shown leads 1, 2, 4 and 6.
        let shown = |lead: usize| accuracy == "full" || [1, 2, 4, 6].contains(&lead);
        for (lead, error) in (1..).zip(told).filter(|(lead, _)| shown(*lead)) {
            assert!(
                error < 0.4 * blind[lead - 1],
                "{accuracy}, lead {lead}: {error} where {} is without",
                blind[lead - 1]
            );
        }
    }
}

#[test]
fn what_was_told_of_an_hour_holds_where_its_record_is_missing() {
    let lines = format!("{PLAIN}\nknown_ahead = [\"special\"]");
    let gaps = errors(&stream(&lines), false, |h| h % 7 != 3);
    assert!(gaps.iter().all(|e| *e < 1.0), "{gaps:?}");
}

#[test]
fn networks_are_told_too() {
    for model in [r#"family = "gru""#, r#"family = "gru", head = "encoder_decoder""#] {
        let lines = format!(
            "{PLAIN}\nknown_ahead = [\"special\"]\nexperts = []\nwindow = 512\n\
             model = {{ {model}, hidden = 16, base = \"last\" }}\n\
             training = {{ first_steps = 300, batch = 8, truncation = 32, holdout = 48 }}"
        );
        let told = errors(&stream(&lines), true, |_| true);
        assert!(told.iter().all(|e| *e < 1.0), "{model}: {told:?}");
    }
}

/// A series of one of two kinds: one is up in a quarter of the day, the other twelve hours later. In the
/// other half of the day nothing else tells them apart.
fn of_kind(kind: usize, series: usize, h: i64) -> f64 {
    let is_up = (h + 12 * kind as i64).rem_euclid(24) < 6;
    10.0 + if is_up { 3.0 } else { 0.0 } + 0.1 * noise(series as u64, h as u64)
}

#[test]
fn a_series_without_a_past_is_forecast_by_its_attributes() {
    let stream = stream(
        "horizon = 6\nseasons = []\ncovariates = [\"kind\"]\nattributes = [\"kind\"]\nexperts = []\n\
         model = { family = \"gru\", hidden = 16, head = \"vector_to_sequence\", base = \"last\" }\n\
         training = { first_steps = 600, batch = 16, truncation = 32, holdout = 48 }",
    );
    let mut shard = Shard::new(stream.clone());
    let step = |series: usize, h: i64, shard: &mut Shard| {
        let kind = series % 2;
        let values = Values::from_iter([Some(of_kind(kind, series, h)), Some(kind as f64)]);
        let name = format!("s{series}");
        shard.offer(&Reading { series: &name, time: hour(h), later: None, values: &values }, h, None);
        let mut network = 0.0;
        while shard.run_round(&mut |e| network = e.network(0, 0, 6)).unwrap().is_some() {}
        network
    };
    for h in 0..320 {
        for series in 0..16 {
            step(series, h, &mut shard);
        }
    }
    assert!(first_network(&mut shard), "a network that knows the kind is better than none");
    // Of new series the first reading alone is known, and it is low: what is said six hours ahead of those
    // that will be up then and of those that will not.
    let is_up = |kind: usize, h: i64| of_kind(kind, 0, h) > 11.5;
    let mut said = [Vec::new(), Vec::new()];
    for (i, h) in (320..368).enumerate() {
        if !is_up(i % 2, h) {
            said[usize::from(is_up(i % 2, h + 6))].push(step(100 + i, h, &mut shard));
        }
    }
    let [down, up] = said.map(|said| said.iter().sum::<f64>() / said.len() as f64);
    assert!(up - down > 1.5, "{up} and {down}");
}
