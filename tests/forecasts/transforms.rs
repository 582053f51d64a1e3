//! A transform is nothing but readings that were bent by hand and forecasts that are bent back.

use crate::support::stream::{Answer, Bench, SMALL, Sensed, hour, noise, stream};
use tidecast::domain::Transform;

const TRANSFORMS: [Transform; 2] = [Transform::Log1p, Transform::Asinh];

/// A day's wave and noise, as factors: small hours and large ones.
fn readings(series: usize, hours: i64) -> Vec<Sensed> {
    let value = |s: usize, h: i64| {
        let wave = 1.5 * (std::f64::consts::TAU * h as f64 / 24.0).sin();
        (2.0 + wave + 0.4 * noise(s as u64, h as u64)).exp()
    };
    let all = (0..hours).flat_map(|h| (0..series).map(move |s| (s, h)));
    all.map(|(s, h)| Sensed { series: format!("s{s}"), time: hour(h), value: Some(value(s, h)) }).collect()
}

fn answers(readings: &[Sensed], lines: &str) -> Vec<Answer> {
    let bench = Bench::after(&stream(lines), readings);
    assert!(bench.versions > 0 || !bench.stream.training.enabled, "a network serves");
    bench.answers
}

#[test]
fn a_transform_bends_what_is_learnt_and_nothing_else() {
    let readings = readings(3, 420);
    for transform in TRANSFORMS {
        let limit = |value: f64| format!("limits = [{{ target = \"kw\", above = {value:?} }}]");
        // Bounds are in the target's own unit.
        let range = "range = { kw = { min = \"none\", max = 1e300 } }";
        let own = format!("{SMALL}\n{range}\ntransform = \"{}\"\n{}", transform.as_str(), limit(30.0));
        let by_hand = format!("{SMALL}\n{range}\n{}", limit(transform.apply(30.0)));
        let bent: Vec<Sensed> = readings
            .iter()
            .map(|reading| Sensed { value: reading.value.map(|v| transform.apply(v)), ..reading.clone() })
            .collect();
        let (own, by_hand) = (answers(&readings, &own), answers(&bent, &by_hand));
        assert_eq!(own.len(), by_hand.len());
        for ((_, offset, own), (_, _, by_hand)) in own.iter().zip(&by_hand) {
            assert_eq!((own.anomaly, &own.limits), (by_hand.anomaly, &by_hand.limits), "{transform:?}");
            let (own, by_hand) = (&own.targets[0], &by_hand.targets[0]);
            let back = |values: &[f64]| values.iter().map(|v| transform.undo(*v)).collect::<Vec<_>>();
            assert_eq!(own.yhat, back(&by_hand.yhat), "{transform:?} at {offset}");
            assert_eq!(own.quantiles, back(&by_hand.quantiles));
            assert_eq!(own.expected, back(&by_hand.expected));
            let (last, value) = (own.last.unwrap(), readings[*offset as usize].value.unwrap());
            assert!((last - value).abs() < 1e-5 * value, "{last} and {value}");
        }
    }
}

/// A level that wanders by factors: its steps are as large as it is.
#[test]
fn what_wanders_by_factors_is_better_known_by_its_logarithm() {
    let mut level = [0.0; 2];
    let mut readings = readings(2, 1_200);
    for (i, reading) in readings.iter_mut().enumerate() {
        level[i % 2] = 0.98 * level[i % 2] + 0.4 * noise(9, i as u64);
        reading.value = Some(f64::exp(3.0 + level[i % 2]));
    }
    let lines = "horizon = 6\nseasons = [24]\ntraining = { enabled = false }\ncalendar = []";
    let pinball = |lines: &str| {
        let (mut loss, mut n) = (0.0, 0.0);
        for (_, offset, forecast) in answers(&readings, lines).iter().filter(|(_, offset, _)| *offset >= 600)
        {
            let quantiles = &forecast.targets[0].quantiles;
            for (at, said) in quantiles.iter().enumerate() {
                // Two series take turns: a lead is two readings further.
                let (level, lead) = ([0.05, 0.5, 0.95][at / 6], at % 6 + 1);
                let Some(truth) = readings.get(*offset as usize + 2 * lead) else { continue };
                let off = truth.value.unwrap() - said;
                loss += f64::max(level * off, (level - 1.0) * off);
                n += 1.0;
            }
        }
        loss / n
    };
    let (plain, logarithm) = (pinball(lines), pinball(&format!("{lines}\ntransform = \"log1p\"")));
    assert!(logarithm < 0.95 * plain, "{logarithm} instead of {plain}");
}
