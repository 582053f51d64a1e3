//! What an expert bears: dead sensors, spikes, steps, gaps, years; and that it comes back from bytes.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidecast::config::Accuracy;
use tidecast::domain::{Leads, PastReadings, Rows, Take};
use tidecast::experts::{Arma, ExpertGroup, LinearExperts, LinearShape, Lms, Observation, Velocity};

fn shape(accuracy: Accuracy, seasons: &[usize], horizon: usize) -> LinearShape {
    LinearShape {
        targets: 1,
        horizon,
        seasons: seasons.to_vec(),
        extras: 2,
        shown_again: 0,
        accuracy,
        difference: false,
        linear: true,
    }
}

/// Makes an expert of each kind.
struct Maker {
    name: String,
    horizon: usize,
    make: Box<dyn Fn() -> Box<dyn ExpertGroup>>,
}

fn maker<E: ExpertGroup + 'static>(name: String, horizon: usize, make: impl Fn() -> E + 'static) -> Maker {
    Maker { name, horizon, make: Box::new(move || Box::new(make())) }
}

fn pools() -> Vec<Maker> {
    let mut all = Vec::new();
    for accuracy in [Accuracy::Full, Accuracy::Compact] {
        for (seasons, horizon) in
            [(&[][..], 6), (&[2], 5), (&[7], 14), (&[24, 168], 24), (&[96], 8), (&[24, 168], 60)]
        {
            let shape = shape(accuracy, seasons, horizon);
            let name = format!("{shape:?}");
            all.push(maker(name, horizon, move || LinearExperts::try_new(&shape).unwrap()));
        }
    }
    all
}

/// Those that follow a series; constant velocity follows anything, wild readings too.
fn learners() -> Vec<Maker> {
    let mut all = pools();
    for season in [None, Some(2), Some(24)] {
        for horizon in [1, 6, 60] {
            all.push(maker(format!("arma {season:?} {horizon}"), horizon, move || {
                Arma::new(1, horizon, season)
            }));
            let leads = if horizon > 6 { Leads::buckets(horizon) } else { Leads::every(horizon) };
            all.push(maker(format!("lms {season:?} {horizon}"), horizon, move || {
                Lms::new(1, leads.clone(), season)
            }));
        }
    }
    all
}

fn everyone() -> Vec<Maker> {
    let mut all = learners();
    all.push(maker("velocity".into(), 12, || Velocity::new(1, 12)));
    all
}

/// More readings than any expert here looks back on.
const RING: usize = 256;

/// The readings before step `t`.
fn before(ring: &[f32], t: u64) -> PastReadings<'_> {
    PastReadings::new(ring, (t as usize + RING - 1) % RING)
}

/// Steps `n` readings of `series` (`None` is missing); gives each step's forecasts to `judge`.
fn steps(
    experts: &mut dyn ExpertGroup,
    horizon: usize,
    n: u64,
    mut series: impl FnMut(u64) -> Option<f32>,
    mut judge: impl FnMut(u64, &[f32]),
) {
    experts.grow(1);
    let mut out = vec![0.0; experts.names().len() * horizon];
    let (mut last, mut ring) = (0.0, [0.0; RING]);
    for t in 0..n {
        let value = series(t);
        last = value.unwrap_or(last);
        let extras = [(t as f32 * 0.26).sin(), (t as f32 * 0.26).cos()];
        let reading = Observation {
            value: last,
            observed: value.is_some(),
            clock: t as i64 - 1_000,
            extras: &extras,
            then: &[],
            past: before(&ring, t),
        };
        experts.step(0, 0, &reading, &mut out);
        ring[t as usize % RING] = last;
        judge(t, &out);
    }
}

fn daily(t: u64, rng: &mut ChaCha8Rng) -> f32 {
    let day = (t as f32 * std::f32::consts::TAU / 24.0).sin();
    10.0 + 3.0 * day + rng.random_range(-0.5..0.5)
}

#[test]
fn whatever_comes_every_forecast_is_finite_and_in_range() {
    type Fault = fn(u64, f32) -> Option<f32>;
    let faults: [(&str, Fault); 9] = [
        ("dead from the start", |_, _| Some(3.0)),
        ("dead, then alive", |t, v| Some(if t < 700 { 0.0 } else { v })),
        ("alive, then dead", |t, v| Some(if t > 700 { 0.0 } else { v })),
        ("a level of 1e6", |t, v| Some(if t > 900 { v + 1e6 } else { v })),
        ("a thousandth of itself", |t, v| Some(if t > 900 { v * 1e-3 } else { v })),
        ("a million times itself", |t, v| Some(if t > 900 { v * 1e6 } else { v })),
        ("gaps", |t, v| (t % 13 > 4 && t / 100 % 5 != 2).then_some(v)),
        ("never observed", |_, _| None),
        ("tiny", |_, v| Some(v * 1e-12)),
    ];
    for Maker { name: shape, horizon, make } in learners() {
        for (name, fault) in faults {
            let mut expert = make();
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let (mut low, mut high) = (0.0f32, 0.0f32);
            let series = |t| fault(t, daily(t, &mut rng));
            let mut seen = Vec::new();
            steps(&mut *expert, horizon, 2_500, series, |t, out| {
                assert!(out.iter().all(|f| f.is_finite()), "{name} {shape} step {t}");
                if t == 2_499 {
                    seen = out.to_vec();
                }
            });
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            for t in 0..2_500 {
                let v = fault(t, daily(t, &mut rng)).unwrap_or(0.0);
                (low, high) = (low.min(v), high.max(v));
            }
            let span = (high - low).max(1e-20);
            assert!(
                seen.iter().all(|f| *f > low - 3.0 * span && *f < high + 3.0 * span),
                "{name} {shape}: {low}..{high} {seen:?}"
            );
        }
    }
}

/// The mean absolute error at lead 1 of each expert over the steps from `from` on.
fn errors(maker: &Maker, n: u64, from: u64, mut series: impl FnMut(u64) -> Option<f32>) -> Vec<f32> {
    let mut expert = (maker.make)();
    let mut errors = vec![0.0; expert.names().len()];
    let truth: Vec<Option<f32>> = (0..n).map(&mut series).collect();
    steps(
        &mut *expert,
        maker.horizon,
        n,
        |t| truth[t as usize],
        |t, out| {
            if t >= from && t + 1 < n {
                for (error, point) in errors.iter_mut().zip(out.chunks(maker.horizon)) {
                    *error += (point[0] - truth[t as usize + 1].unwrap_or(point[0])).abs();
                }
            }
        },
    );
    errors.iter().map(|e| e / (n - 1 - from) as f32).collect()
}

#[test]
fn a_step_is_followed() {
    for maker in learners() {
        let step =
            |t| Some(daily(t, &mut ChaCha8Rng::seed_from_u64(t)) + if t > 1_000 { 500.0 } else { 0.0 });
        let best = errors(&maker, 1_400, 1_200, step).into_iter().fold(f32::INFINITY, f32::min);
        assert!(best < 1.5, "{}: {best}", maker.name);
    }
}

#[test]
fn ten_million_readings_leave_it_as_good_as_it_was() {
    let shape = LinearShape { extras: 0, ..shape(Accuracy::Compact, &[], 2) };
    let mut pool = LinearExperts::try_new(&shape).unwrap();
    pool.grow(1);
    let names = pool.names().len();
    let (mut out, mut ring) = (vec![0.0; names * 2], [0.0; RING]);
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let (mut level, mut sums, mut n) = (0.0f32, vec![[0.0f64; 2]; names], [0.0; 2]);
    for t in 0..10_000_000u64 {
        let next = 0.9 * level + rng.random_range(-1.0..1.0f32);
        if t > 0 {
            let part = usize::from(t > 5_000_000);
            if (10_000..100_000).contains(&t) || (9_800_000..9_900_000).contains(&t) {
                n[part] += 1.0;
                for (sum, point) in sums.iter_mut().zip(out.chunks(2)) {
                    sum[part] += f64::from((point[0] - next).abs());
                }
            }
        }
        level = next;
        // It sleeps for a while now and then: nothing is excited, covariances would wind up.
        let value = if t / 50_000 % 10 == 9 { 0.0 } else { level };
        let past = before(&ring, t);
        let reading = Observation { value, observed: true, clock: 0, extras: &[], then: &[], past };
        pool.step(0, 0, &reading, &mut out);
        ring[t as usize % RING] = value;
        assert!(out.iter().all(|f| f.is_finite()), "step {t}");
    }
    for (sum, name) in sums.iter().zip(pool.names()).skip(1) {
        let (early, late) = (sum[0] / n[0], sum[1] / n[1]);
        assert!(late < 1.03 * early, "{name}: {early} {late}");
    }
}

#[test]
fn a_saved_row_goes_on_bit_for_bit() {
    for Maker { name, horizon, make } in everyone() {
        let mut expert = make();
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let series: Vec<f32> = (0..900).map(|t| daily(t, &mut rng)).collect();
        steps(&mut *expert, horizon, 600, |t| Some(series[t as usize]), |_, _| ());
        let mut row = Vec::new();
        expert.save(0, &mut row);
        let mut other = make();
        other.grow(3);
        other.load(2, &mut Take::new(&row)).unwrap();
        let mut out = [vec![0.0; expert.names().len() * horizon], vec![]];
        out[1] = out[0].clone();
        for (t, value) in series.iter().enumerate().skip(600) {
            let reading = Observation {
                value: *value,
                observed: t % 7 != 0,
                clock: t as i64 - 1_000,
                extras: &[0.3, 1.0],
                then: &[],
                past: PastReadings::new(&series[..t], t - 1),
            };
            expert.step(0, 0, &reading, &mut out[0]);
            other.step(2, 0, &reading, &mut out[1]);
            assert_eq!(out[0], out[1], "{name}");
        }
        assert!(other.load(1, &mut Take::new(&row[1..])).is_err(), "{name}");
        let bytes = |experts: &dyn ExpertGroup, slot| {
            let mut row = Vec::new();
            experts.save(slot, &mut row);
            row
        };
        assert_eq!(bytes(&*expert, 0), bytes(&*other, 2), "{name}");
        other.reset(2);
        assert_eq!(bytes(&*other, 2), bytes(&*other, 0), "{name}");
    }
}
