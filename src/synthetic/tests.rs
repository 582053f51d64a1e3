use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

/// All that a fleet says.
#[derive(Default)]
struct Heard {
    /// Series, cell and values in the order of sending.
    sent: Vec<(usize, i64, Vec<u64>)>,
    labels: Vec<Label>,
    /// By series and cell: means, deviations.
    best: BTreeMap<(usize, i64), (Vec<f64>, Vec<f64>)>,
}

impl Sink for Heard {
    type Error = Infallible;

    fn reading(&mut self, reading: &Reading<'_>) -> Result<(), Infallible> {
        let mut values: Vec<u64> = reading.values.iter().map(|v| v.to_bits()).collect();
        values.extend(reading.covariates.map(|c| c.temperature.to_bits()));
        self.sent.push((reading.series, reading.cell.as_micros(), values));
        self.labels.push(reading.label);
        Ok(())
    }

    fn best(&mut self, origin: &Reading<'_>, means: &[f64], deviations: &[f64]) -> Result<(), Infallible> {
        let key = (origin.series, origin.cell.as_micros());
        self.best.insert(key, (means.to_vec(), deviations.to_vec()));
        Ok(())
    }
}

fn hear(settings: Settings, steps: usize, horizon: usize) -> Heard {
    let (mut fleet, mut heard) = (Fleet::new(settings, horizon), Heard::default());
    for _ in 0..steps {
        fleet.step(&mut heard).unwrap();
    }
    fleet.finish(&mut heard).unwrap();
    heard
}

fn troubled(seed: u64, series: usize) -> Settings {
    Settings {
        covariates: true,
        shifts: 0.001,
        drift: 0.02,
        spikes: 0.002,
        missing: 0.05,
        duplicates: 0.03,
        disorder: 0.04,
        jitter: 0.5,
        targets: 2,
        ..Settings::calm(seed, series)
    }
}

#[test]
fn a_seed_is_a_fleet_and_a_larger_one_has_the_smaller_in_it() {
    let (one, again) = (hear(troubled(1, 5), 300, 0), hear(troubled(1, 5), 300, 6));
    assert_eq!(one.sent, again.sent, "asking for the best forecast changes nothing");
    assert_ne!(one.sent, hear(troubled(2, 5), 300, 0).sent);
    let mut larger = hear(troubled(1, 9), 300, 0).sent;
    larger.retain(|(series, ..)| *series < 5);
    assert_eq!(one.sent, larger);
}

#[test]
fn trouble_changes_when_and_whether_a_reading_is_sent_never_its_values() {
    let calm = Settings { missing: 0.0, duplicates: 0.0, disorder: 0.0, jitter: 0.0, ..troubled(3, 4) };
    let whole: BTreeMap<(usize, i64), Vec<u64>> =
        hear(calm, 500, 0).sent.into_iter().map(|(series, cell, values)| ((series, cell), values)).collect();
    assert_eq!(whole.len(), 4 * 500);
    let heard = hear(troubled(3, 4), 500, 0);
    assert!(heard.sent.iter().all(|(series, cell, values)| whole[&(*series, *cell)] == *values));
}

#[test]
fn gaps_duplicates_and_disorder_are_as_asked_for() {
    let (series, steps) = (40, 4_000);
    let settings = troubled(5, series);
    let (late_max, interval) = (settings.late_max as i64, settings.interval.as_micros());
    let heard = hear(settings, steps, 0);
    let all = (series * steps) as f64;
    let distinct: BTreeSet<(usize, i64)> = heard.sent.iter().map(|(s, cell, _)| (*s, *cell)).collect();
    let near = |got: f64, want: f64| assert!((got / want - 1.0).abs() < 0.1, "{got} for {want}");
    near(1.0 - distinct.len() as f64 / all, 0.05);
    near(heard.sent.len() as f64 / distinct.len() as f64 - 1.0, 0.03);
    let spells = (0..series).map(|s| {
        let cells: Vec<i64> = distinct.range((s, i64::MIN)..(s + 1, i64::MIN)).map(|(_, c)| *c).collect();
        cells.windows(2).filter(|w| w[1] - w[0] > interval).count()
    });
    near(0.05 * all / spells.sum::<usize>() as f64, SPELL);
    let (mut newest, mut late, mut latest) = (vec![i64::MIN; series], 0, 0);
    for (series, cell, _) in &heard.sent {
        late += usize::from(*cell < newest[*series]);
        latest = latest.max(newest[*series].saturating_sub(*cell).min(i64::MAX - 1));
        newest[*series] = newest[*series].max(*cell);
    }
    near(late as f64 / heard.sent.len() as f64, 0.04);
    assert_eq!(latest, late_max * interval);
    let share = |label| heard.labels.iter().filter(|l| **l == label).count() as f64 / heard.sent.len() as f64;
    // A reading has two targets.
    near(share(Label::Spike) + share(Label::Shift), 2.0 * 0.003);
}

/// What was said at some leads against what came: for each lead the standardised errors, and the mean
/// absolute errors of the best forecast, of the last value and of the seasonal naive.
struct Judged {
    standardised: Vec<f64>,
    errors: [f64; 3],
}

fn judge(settings: Settings, steps: usize, lead: usize) -> Judged {
    let (interval, season) = (settings.interval.as_micros(), 24);
    let heard = hear(settings, steps, 24);
    let values: BTreeMap<(usize, i64), f64> =
        heard.sent.iter().map(|(series, cell, v)| ((*series, *cell), f64::from_bits(v[0]))).collect();
    let mut judged = Judged { standardised: Vec::new(), errors: [0.0; 3] };
    for ((series, origin), (means, deviations)) in &heard.best {
        let at = |steps: i64| values.get(&(*series, origin + steps * interval));
        let target = lead as i64;
        let (Some(value), Some(last), Some(before)) = (at(target), at(0), at(target - season)) else {
            continue;
        };
        let (mean, deviation) = (means[lead - 1], deviations[lead - 1]);
        judged.standardised.push((value - mean) / deviation);
        // In units of the best forecast's deviation, so that all series count alike.
        for (error, forecast) in judged.errors.iter_mut().zip([mean, *last, *before]) {
            *error += (value - forecast).abs() / deviation;
        }
    }
    judged
}

#[test]
fn the_best_forecast_is_calibrated_and_nobody_simple_is_better() {
    let calm = || Settings::calm(7, 30);
    for (what, settings) in [
        ("calm", calm()),
        ("weather", Settings { covariates: true, ..calm() }),
        ("drift", Settings { drift: 0.05, ..calm() }),
        (
            "daily",
            Settings { interval: Interval::new(std::time::Duration::from_secs(86_400)).unwrap(), ..calm() },
        ),
    ] {
        for lead in [1, 3, 24] {
            let Judged { standardised, errors } = judge(settings.clone(), 1_200, lead);
            let n = standardised.len() as f64;
            let mean = standardised.iter().sum::<f64>() / n;
            let variance = standardised.iter().map(|z| z * z).sum::<f64>() / n;
            let inside = standardised.iter().filter(|z| z.abs() < 1.645).count() as f64 / n;
            assert!(n > 30_000.0, "{what}: {n}");
            assert!(mean.abs() < 0.05, "{what} lead {lead}: {mean}");
            assert!((variance - 1.0).abs() < 0.06, "{what} lead {lead}: {variance}");
            assert!((inside - 0.9).abs() < 0.01, "{what} lead {lead}: {inside}");
            let [best, last, seasonal] = errors;
            assert!(best < last.min(seasonal), "{what} lead {lead}: {errors:?}");
        }
    }
}

#[test]
fn heavy_tails_have_the_deviation_and_not_the_shape_of_the_normal() {
    let settings = Settings { heavy_tails: true, ..Settings::calm(9, 30) };
    let Judged { standardised, .. } = judge(settings, 1_200, 1);
    let n = standardised.len() as f64;
    let variance = standardised.iter().map(|z| z * z).sum::<f64>() / n;
    let beyond = |z: f64| standardised.iter().filter(|s| s.abs() > z).count() as f64 / n;
    assert!((variance - 1.0).abs() < 0.1, "{variance}");
    // t4: 4.60 / √2 = 3.26 is passed by 1 %; of a normal it would be 0.11 %.
    assert!((beyond(3.256) - 0.01).abs() < 0.002, "{}", beyond(3.256));
}

#[test]
fn nobody_expects_the_break_and_everybody_knows_it_after() {
    let settings = Settings { break_at: Some(600), ..Settings::calm(11, 20) };
    let (interval, first) = (settings.interval.as_micros(), settings.start.as_micros());
    let heard = hear(settings, 700, 24);
    let values: BTreeMap<(usize, i64), f64> =
        heard.sent.iter().map(|(series, cell, v)| ((*series, *cell), f64::from_bits(v[0]))).collect();
    let miss = |origin: i64, lead: i64| {
        let cell = first + origin * interval;
        let errors = (0..20).map(|series| {
            let (means, deviations) = &heard.best[&(series, cell)];
            let value = values[&(series, cell + lead * interval)];
            ((value - means[lead as usize - 1]) / deviations[lead as usize - 1]).abs()
        });
        errors.sum::<f64>() / 20.0
    };
    assert!(miss(598, 1) < 1.3 && miss(600, 1) < 1.3 && miss(600, 24) < 1.3);
    assert!(miss(599, 1) > 3.0 && miss(590, 12) > 2.0, "{} {}", miss(599, 1), miss(590, 12));
}

/// A day's shape follows the clock on the wall.
#[test]
fn hours_are_local() {
    let paris = jiff::tz::TimeZone::get("Europe/Paris").unwrap();
    let interval = Interval::new(std::time::Duration::from_secs(3_600)).unwrap();
    let sky = |utc: &str| {
        let time: jiff::Timestamp = utc.parse().unwrap();
        let time = EventTime::from_micros(time.as_microsecond()).unwrap();
        Sky::at(time, interval, &paris, Draws::new(1, 1), false)
    };
    assert_eq!(sky("2024-03-30T11:00:00Z").day, sky("2024-03-31T10:00:00Z").day);
    assert_ne!(sky("2024-03-30T11:00:00Z").day, sky("2024-03-31T11:00:00Z").day);
}
