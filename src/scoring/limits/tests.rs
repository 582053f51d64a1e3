use super::*;
use crate::domain::{Leads, Level, Levels, normal_upper};
use crate::scoring::{Actual, Intervals, NormalScore};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    Level::try_new(rng.random_range(1e-12..1.0 - 1e-12)).unwrap().normal_quantile()
}

fn levels() -> Levels {
    Levels::new([0.05, 0.5, 0.95].map(|l| Level::try_new(l).unwrap()).to_vec())
}

/// Mean squared errors of probabilities against what came.
#[derive(Debug, Default)]
struct Brier {
    ours: f64,
    independent: f64,
    largest: f64,
    climatology: f64,
    /// By tenth of our probability: their sum, how often it came, how many.
    tenths: [[f64; 3]; 10],
    /// Forecasts that named a lead, and how many had crossed by it; those that named none and crossed.
    named: [f64; 2],
    unnamed: [f64; 2],
}

/// How a series goes on from where it stands: its own best forecast and deviations.
#[derive(Clone, Copy)]
struct Process {
    phi: f64,
    season: f64,
    heavy: bool,
}

impl Process {
    fn wave(self, t: usize) -> f64 {
        self.season * (t as f64 / 24.0 * std::f64::consts::TAU).sin()
    }

    fn innovation(self, rng: &mut ChaCha8Rng) -> f64 {
        let z = normal(rng);
        if !self.heavy {
            return z;
        }
        let squares: f64 = (0..4).map(|_| normal(rng).powi(2)).sum();
        z / (squares / 4.0).sqrt() / 2f64.sqrt()
    }
}

/// Judges the crossing of `value` by a process that is forecast by its own parameters, with intervals
/// that are tracked as the engine does.
fn judge(process: Process, value: f64, above: bool, leads: &[usize], steps: usize, seed: u64) -> Brier {
    let horizon = *leads.last().unwrap();
    let (levels, mut rng) = (levels(), ChaCha8Rng::seed_from_u64(seed));
    let standing = NormalScore::new(&levels);
    let mut intervals = Intervals::new(1, &Leads::every(leads.len()), 1, &levels);
    let mut limits = Limits::new(vec![Limit { target: 0, value, above }], 1, leads);
    intervals.grow(1);
    limits.grow(1);
    let at_lead = |lead: usize| leads.partition_point(|l| *l < lead) + 1;
    // The forecasts of each origin: points, scales and bounds by learnt lead.
    let mut said: VecDeque<Vec<(f32, f32, [f32; 3])>> = VecDeque::new();
    // Probabilities that wait: ours, independent, largest, climatology; first lead; crossings so far.
    let mut open: VecDeque<([f64; 4], Option<u16>, Vec<bool>)> = VecDeque::new();
    let (mut brier, mut rate, mut n, mut scored) = (Brier::default(), 0.0, 0.0, 0.0);
    let mut noise = 0.0;
    for t in 0..steps {
        noise = process.phi * noise + process.innovation(&mut rng);
        let reading = (process.wave(t) + noise) as f32;
        let mut standings = vec![f32::NAN; leads.len()];
        for (i, lead) in leads.iter().enumerate() {
            if let Some(origin) = said.len().checked_sub(*lead) {
                let (point, scale, bounds) = said[origin][i];
                standings[i] = standing.of(reading, point, 1.2533 * scale, &bounds);
                let phase = intervals.phase(t as i64);
                intervals.update(0, 0, phase, i + 1, Actual::accepted(reading), point, scale, &bounds);
            }
        }
        limits.learn(0, 0, t as u64, &standings);
        let crosses = if above { f64::from(reading) >= value } else { f64::from(reading) <= value };
        open.iter_mut().for_each(|(.., crossed)| crossed.push(crosses));
        while open.front().is_some_and(|(.., crossed)| crossed.len() == horizon) {
            let (p, first, crossed) = open.pop_front().unwrap();
            let came = f64::from(u8::from(crossed.contains(&true)));
            n += 1.0;
            rate += (came - rate) / n;
            if t > 4_000 {
                scored += 1.0;
                for (sum, p) in
                    [&mut brier.ours, &mut brier.independent, &mut brier.largest, &mut brier.climatology]
                        .into_iter()
                        .zip(p)
                {
                    *sum += (p - came).powi(2);
                }
                let tenth = &mut brier.tenths[((10.0 * p[0]) as usize).min(9)];
                *tenth = [tenth[0] + p[0], tenth[1] + came, tenth[2] + 1.0];
                match first {
                    Some(lead) => {
                        brier.named[0] += 1.0;
                        brier.named[1] += f64::from(u8::from(crossed[..usize::from(lead)].contains(&true)));
                    }
                    None => brier.unnamed = [brier.unnamed[0] + 1.0, brier.unnamed[1] + came],
                }
            }
        }
        let points: Vec<f32> = (1..=horizon)
            .map(|lead| (process.wave(t + lead) + process.phi.powi(lead as i32) * noise) as f32)
            .collect();
        let mut places = vec![0.0f32; horizon];
        let mut entries = Vec::new();
        for (i, point) in points.iter().enumerate() {
            let mut bounds = [0.0; 3];
            let lead = at_lead(i + 1);
            let scale = intervals.quantiles(
                0,
                0,
                intervals.phase((t + i + 1) as i64),
                lead,
                *point,
                1.0,
                &mut bounds,
            );
            places[i] = standing.of(value as f32, *point, 1.2533 * scale, &bounds);
            if leads.contains(&(i + 1)) {
                entries.push((*point, scale, bounds));
            }
        }
        said.push_back(entries);
        if said.len() > horizon {
            said.pop_front();
        }
        let crossing = limits.crossing(0, 0, &places);
        let sign = if above { 1.0 } else { -1.0 };
        let beyond = places.iter().map(|z| normal_upper(f64::from(sign * z)));
        let independent = 1.0 - beyond.clone().map(|p| 1.0 - p).product::<f64>();
        let largest = beyond.fold(0.0, f64::max);
        open.push_back((
            [f64::from(crossing.probability), independent, largest, rate],
            crossing.first_lead,
            vec![],
        ));
    }
    for sum in [&mut brier.ours, &mut brier.independent, &mut brier.largest, &mut brier.climatology] {
        *sum /= scored;
    }
    brier
}

const HOURS: [usize; 24] = {
    let mut leads = [0; 24];
    let mut i = 0;
    while i < 24 {
        leads[i] = i + 1;
        i += 1;
    }
    leads
};
const BUCKETS: [usize; 6] = [1, 2, 4, 8, 16, 24];

#[test]
fn probabilities_come_true_and_beat_climatology_and_both_bounds() {
    let calm = Process { phi: 0.9, season: 0.0, heavy: false };
    for (what, process, value, above, leads, at_most) in [
        ("a level", calm, 3.0, true, &HOURS[..], 0.9),
        ("a level from above", calm, -3.0, false, &HOURS, 0.9),
        ("a level, in buckets", calm, 3.0, true, &BUCKETS, 0.9),
        ("a wave", Process { season: 3.0, ..calm }, 6.0, true, &HOURS, 0.9),
        ("nearly a walk", Process { phi: 0.99, ..calm }, 12.0, true, &HOURS, 0.9),
        // Only the frequency of a crossing is known; the noise of the intervals costs a little.
        ("quick noise", Process { phi: 0.3, ..calm }, 2.0, true, &HOURS, 1.05),
        ("heavy tails", Process { heavy: true, ..calm }, 3.0, true, &HOURS, 0.9),
    ] {
        let brier = judge(process, value, above, leads, 60_000, 1);
        assert!(brier.ours < at_most * brier.climatology, "{what}: {brier:?}");
        assert!(brier.ours < brier.independent && brier.ours < brier.largest, "{what}: {brier:?}");
        for [said, came, n] in brier.tenths {
            // Forecasts of one day are correlated: about one in twenty counts.
            let scatter = 3.0 * (0.25 / (n / 20.0).max(1.0)).sqrt();
            assert!((said - came).abs() / n.max(1.0) < 0.06 + scatter, "{what}: {brier:?}");
        }
        let share = |of: [f64; 2]| of[1] / of[0].max(1.0);
        // At the first lead given, crossing is more likely than not; where none is given, less likely.
        let chosen = if at_most < 1.0 { 0.5 } else { 0.4 };
        assert!(share(brier.named) > chosen, "{what}: {brier:?}");
        assert!(share(brier.unnamed) < 0.5, "{what}: {brier:?}");
    }
}

/// Against a million paths of a random walk and of AR(1) with known correlations.
#[test]
fn it_is_within_a_twentieth_of_the_truth() {
    let horizon = 24;
    for (phi, value) in [(1.0f64, 4.9), (1.0, 9.8), (0.9, 2.3), (0.9, 4.4), (0.5, 1.2), (0.5, 2.3)] {
        let variances: Vec<f64> = (0..horizon)
            .scan(0.0, |v, _| {
                *v = phi * phi * *v + 1.0;
                Some(*v)
            })
            .collect();
        let places: Vec<f32> = variances.iter().map(|v| (value / v.sqrt()) as f32).collect();
        let mut limits = Limits::new(vec![Limit { target: 0, value, above: true }], 1, &HOURS);
        limits.grow(1);
        for (i, pair) in limits.pairs.iter_mut().enumerate() {
            *pair = LeadPair {
                both: (phi * (variances[i] / variances[i + 1]).sqrt()) as f32,
                near: 1.0,
                far: 1.0,
                seen: 1.0,
            };
        }
        let said = limits.crossing(0, 0, &places);
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let (paths, mut first) = (100_000, vec![0.0f64; horizon]);
        for _ in 0..paths {
            let mut x = 0.0;
            for count in &mut first {
                x = phi * x + normal(&mut rng);
                if x >= value {
                    *count += 1.0 / f64::from(paths);
                    break;
                }
            }
        }
        let by_lead: Vec<f64> = first
            .iter()
            .scan(0.0, |sum, p| {
                *sum += p;
                Some(*sum)
            })
            .collect();
        let truth = by_lead[horizon - 1];
        assert!((f64::from(said.probability) - truth).abs() < 0.05, "{phi} {value}: {said:?} for {truth}");
        let half = by_lead.iter().position(|p| *p > 0.5).map(|i| i as i32 + 1);
        match (said.first_lead, half) {
            (Some(said), Some(half)) => {
                assert!((i32::from(said) - half).abs() <= 2, "{phi} {value}: {said} for {half}");
            }
            (said, half) => assert_eq!(said.is_some(), half.is_some(), "{phi} {value}"),
        }
    }
}

#[test]
fn correlations_are_found_for_neighbours_and_for_buckets() {
    for (leads, phi) in [(&HOURS[..], 0.9f64), (&BUCKETS, 0.9), (&[1, 2, 3], 0.0)] {
        let mut limits = Limits::new(vec![Limit { target: 1, value: 0.0, above: true }], 2, leads);
        limits.grow(2);
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        // Forecasts by the process itself: the error at a lead is a sum of what came since.
        let mut past: VecDeque<f64> = VecDeque::new();
        for t in 0..20_000u64 {
            past.push_front(normal(&mut rng));
            past.truncate(24);
            let places: Vec<f32> = leads
                .iter()
                .map(|lead| {
                    let error: f64 =
                        past.iter().take(*lead).enumerate().map(|(k, e)| phi.powi(k as i32) * e).sum();
                    let variance: f64 = (0..*lead).map(|k| phi.powi(2 * k as i32)).sum();
                    (error / variance.sqrt()) as f32
                })
                .collect();
            limits.learn(1, 1, t, &places);
            limits.learn(1, 0, t, &places);
        }
        let variance = |lead: usize| (0..lead).map(|k| phi.powi(2 * k as i32)).sum::<f64>();
        let pairs = &limits.pairs[leads.len() - 1..];
        for (pair, ends) in pairs.iter().zip(leads.windows(2)) {
            let gap = ends[1] - ends[0];
            let want = phi.powi(gap as i32) * (variance(ends[0]) / variance(ends[1])).sqrt();
            let got = f64::from(pair.per_step(gap)).powi(gap as i32);
            assert!((got - want).abs() < 0.08, "{ends:?} of {leads:?}: {got} for {want}");
        }
    }
}

#[test]
fn it_comes_back_bit_for_bit_and_no_number_breaks_it() {
    let limit = |target, above| Limit { target, value: 1.0, above };
    let new = || {
        let mut limits = Limits::new(vec![limit(0, true), limit(2, false), limit(2, true)], 3, &BUCKETS);
        limits.grow(2);
        limits
    };
    assert_eq!([0, 1, 2].map(|target| new().watches(target)), [true, false, true]);
    let (mut one, mut rng) = (new(), ChaCha8Rng::seed_from_u64(4));
    let odd = [f32::NAN, 40.0, -40.0, 0.0];
    let mut step = |limits: &mut [&mut Limits], t: u64| {
        let places: Vec<f32> =
            (0..6).map(|i| if rng.random_bool(0.2) { odd[i % 4] } else { normal(&mut rng) as f32 }).collect();
        limits.iter_mut().for_each(|l| (0..3).for_each(|target| l.learn(1, target, t, &places)));
    };
    (0..333).for_each(|t| step(&mut [&mut one], t));
    let (mut other, mut row) = (new(), Vec::new());
    one.save(1, &mut row);
    let mut take = Take::new(&row);
    other.load(1, &mut take).unwrap();
    assert!(take.is_empty());
    (333..700).for_each(|t| step(&mut [&mut one, &mut other], t));
    let mut again = [Vec::new(), Vec::new()];
    one.save(1, &mut again[0]);
    other.save(1, &mut again[1]);
    assert_eq!(again[0], again[1]);
    for (limit, places) in [(0, [40.0; 24]), (0, [-40.0; 24]), (1, [40.0; 24]), (2, [0.0; 24])] {
        let said = one.crossing(1, limit, &places);
        assert!((0.0..=1.0).contains(&said.probability), "{said:?}");
    }
    assert_eq!(one.crossing(1, 0, &[-40.0; 24]), Crossing { probability: 1.0, first_lead: Some(1) });
    assert_eq!(one.crossing(1, 1, &[-40.0; 24]), Crossing::default());
    one.reset(1);
    let (mut fresh, mut reset) = (Vec::new(), Vec::new());
    new().save(0, &mut fresh);
    one.save(1, &mut reset);
    assert_eq!(fresh, reset);
    // A horizon of one lead has no neighbours.
    let mut single = Limits::new(vec![limit(0, true)], 1, &[1]);
    single.grow(1);
    single.learn(0, 0, 0, &[0.5]);
    assert!((single.crossing(0, 0, &[0.0]).probability - 0.5).abs() < 1e-6);
}
