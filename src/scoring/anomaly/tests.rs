use super::*;
use crate::domain::{Leads, Level};
use crate::scoring::{Actual, Intervals};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn levels(levels: &[f64]) -> Levels {
    Levels::new(levels.iter().map(|l| Level::try_new(*l).unwrap()).collect())
}

fn normal(rng: &mut ChaCha8Rng) -> f32 {
    Level::try_new(rng.random_range(1e-12..1.0 - 1e-12)).unwrap().normal_quantile() as f32
}

/// Student's t with 3 degrees of freedom.
fn heavy(rng: &mut ChaCha8Rng) -> f32 {
    let squares: f32 = (0..3).map(|_| normal(rng).powi(2)).sum();
    normal(rng) / (squares / 3.0).sqrt()
}

/// An exponential.
fn skewed(rng: &mut ChaCha8Rng) -> f32 {
    -rng.random::<f32>().max(1e-9).ln() - 0.69
}

/// Anomalies as a shard drives them: tracked intervals around a point, judged before they learn.
struct Bench {
    levels: usize,
    intervals: Intervals,
    anomalies: Anomalies,
    step: i64,
    bounds: Vec<f32>,
}

impl Bench {
    fn new(series: usize, targets: usize, of: &[f64]) -> Self {
        let levels = levels(of);
        let mut intervals = Intervals::new(targets, &Leads::every(1), 1, &levels);
        let mut anomalies = Anomalies::new(targets, &levels);
        intervals.grow(series);
        anomalies.grow(series);
        Self { levels: of.len(), intervals, anomalies, step: 0, bounds: vec![0.0; of.len()] }
    }

    fn judge(&mut self, slot: usize, target: usize, value: f32, point: f32, next: &[f32]) -> AnomalyScore {
        self.step += 1;
        let bounds = &mut self.bounds[..self.levels];
        let phase = self.intervals.phase(self.step);
        let scale = self.intervals.quantiles(slot, target, phase, 1, point, 1.0, bounds);
        let arrived = MaturedForecast { value, point, deviation: 1.2533 * scale, bounds };
        let score = self.anomalies.judge(slot, target, arrived);
        self.anomalies.expect(slot, target, next);
        self.intervals.update(slot, target, phase, 1, Actual::accepted(value), point, scale, bounds);
        score
    }
}

type Noise = dyn Fn(&mut ChaCha8Rng, usize) -> f32;

/// The shares of scores above 0.9, 0.99 and 0.999.
fn shares(series: usize, of: &[f64], noise: &Noise) -> [f64; 3] {
    let (mut bench, mut rng) = (Bench::new(series, 1, of), ChaCha8Rng::seed_from_u64(5));
    let (steps, warm) = (300_000 / series, 4_000);
    let mut above = [0.0; 3];
    for step in 0..steps {
        for slot in 0..series {
            let value = noise(&mut rng, slot);
            let score = bench.judge(slot, 0, value, 0.0, &[0.0; 4]).score;
            for (above, threshold) in above.iter_mut().zip([0.9, 0.99, 0.999]) {
                *above += f64::from(u8::from(step >= warm && score > threshold));
            }
        }
    }
    above.map(|n| n / ((steps - warm) * series) as f64)
}

#[test]
fn one_calm_reading_in_a_hundred_scores_above_099_whatever_its_tails() {
    let noises: [&Noise; 4] =
        [&|rng, _| normal(rng), &|rng, _| heavy(rng), &|rng, _| skewed(rng), &|rng, slot| {
            if slot.is_multiple_of(2) { heavy(rng) } else { normal(rng) }
        }];
    for (kind, noise) in noises.into_iter().enumerate() {
        for of in [&[0.05, 0.5, 0.95][..], &[0.5], &[0.025, 0.1, 0.5, 0.9, 0.975]] {
            for series in [1, 20] {
                let [tenth, hundredth, thousandth] = shares(series, of, noise);
                let case = format!("noise {kind}, {of:?}, {series} series");
                assert!((tenth - 0.1).abs() < 0.01, "{case}: {tenth}");
                assert!((0.007..0.013).contains(&hundredth), "{case}: {hundredth}");
                assert!((0.0003..0.003).contains(&thousandth), "{case}: {thousandth}");
            }
        }
    }
}

/// What is said of the readings around an event: a daily wave with noise, `odd` readings of it moved,
/// forecast by its own clock or by the last value.
fn around(odd: std::ops::Range<usize>, by: f32, follows: bool, seed: u64) -> Vec<AnomalyScore> {
    const AT: usize = 3_000;
    let (mut bench, mut rng) = (Bench::new(1, 1, &[0.05, 0.5, 0.95]), ChaCha8Rng::seed_from_u64(seed));
    let wave = |t: usize| 5.0 * (t as f32 / 24.0 * std::f32::consts::TAU).sin();
    // The forecast of `t` when the newest value lies this far off its wave.
    let said = |t: usize, off: f32| wave(t) + if follows { off } else { 0.0 };
    let (mut scores, mut off) = (Vec::new(), 0.0);
    for t in 0..AT + 40 {
        let moved = t >= AT && odd.contains(&(t - AT));
        let value = wave(t) + normal(&mut rng) + if moved { by } else { 0.0 };
        let point = said(t, off);
        off = value - wave(t);
        let next: Vec<f32> = (1..=6).map(|lead| said(t + lead, off)).collect();
        scores.push(bench.judge(0, 0, value, point, &next));
    }
    scores.split_off(AT)
}

#[test]
fn a_spike_is_one_anomaly_also_to_a_forecast_that_ran_after_it() {
    for follows in [false, true] {
        for seed in 0..10 {
            let scores = around(0..1, 12.0, follows, seed);
            assert!(scores[0].score > 0.999, "{follows} {seed}: {scores:?}");
            assert_eq!(scores[0].kind, Some(AnomalyKind::Spike));
            let later = scores[1..12].iter().filter(|s| s.is_above(0.999)).count();
            assert_eq!(later, 0, "{follows} {seed}: {scores:?}");
        }
    }
}

#[test]
fn a_shift_begins_as_a_spike_and_is_recognised_at_its_fourth_reading() {
    for follows in [false, true] {
        for seed in 0..10 {
            let scores = around(0..40, -12.0, follows, seed);
            assert_eq!(scores[0].kind, Some(AnomalyKind::Spike));
            let shift = scores.iter().position(|s| s.kind == Some(AnomalyKind::Shift));
            assert_eq!(shift, Some(PATH - 1), "{follows} {seed}: {scores:?}");
            assert!(scores[PATH - 1].is_above(0.999) && scores[PATH - 1].began > 0.999);
            if follows {
                let later = scores[PATH..].iter().filter(|s| s.is_above(0.9999)).count();
                assert_eq!(later, 0, "what has shifted is normal again: {scores:?}");
            }
        }
    }
}

#[test]
fn a_sensor_that_goes_wild_is_a_streak_and_no_shift() {
    let (mut bench, mut rng) = (Bench::new(1, 1, &[0.05, 0.5, 0.95]), ChaCha8Rng::seed_from_u64(4));
    let mut kinds = Vec::new();
    for t in 0..3_020 {
        let value = if t < 3_000 { normal(&mut rng) } else { [20.0, -25.0][t % 2] };
        let scored = bench.judge(0, 0, value, 0.0, &[0.0; 4]);
        kinds.extend((t >= 3_000).then_some(scored.kind));
    }
    assert_eq!(kinds[0], Some(AnomalyKind::Spike));
    assert_eq!(kinds[2], Some(AnomalyKind::Streak), "{kinds:?}");
    // Its interval is as wide by then, so it is no longer surprising.
    assert!(kinds[10..].iter().all(Option::is_none), "{kinds:?}");
}

/// The level before a gap says nothing of the one after it, and what was missing is no return.
#[test]
fn gaps_end_an_event_or_are_counted_as_steps() {
    let bench = || {
        let (mut bench, mut rng) = (Bench::new(1, 1, &[0.5]), ChaCha8Rng::seed_from_u64(4));
        for _ in 0..1_000 {
            bench.judge(0, 0, normal(&mut rng), 0.0, &[0.0; 4]);
        }
        assert_eq!(bench.judge(0, 0, 30.0, 0.0, &[30.0; 4]).kind, Some(AnomalyKind::Spike));
        bench
    };
    let mut held = bench();
    held.anomalies.miss(0, 0);
    held.anomalies.expect(0, 0, &[30.0; 4]);
    assert_eq!(held.judge(0, 0, 30.0, 30.0, &[30.0; 4]).kind, None);
    assert_eq!(held.judge(0, 0, 30.0, 30.0, &[30.0; 4]).kind, Some(AnomalyKind::Shift));
    let mut cut = bench();
    cut.anomalies.interrupt(0);
    for _ in 0..5 {
        assert_eq!(cut.judge(0, 0, 30.0, 30.0, &[30.0; 4]).kind, None);
    }
}

#[test]
fn several_targets_are_not_several_chances() {
    let (mut bench, mut rng) = (Bench::new(1, 3, &[0.05, 0.5, 0.95]), ChaCha8Rng::seed_from_u64(6));
    let (mut above, mut n) = (0.0, 0.0);
    for step in 0..60_000 {
        let scores: Vec<AnomalyScore> = (0..3)
            .map(|target| {
                let value = normal(&mut rng);
                bench.judge(0, target, value, 0.0, &[0.0; 4])
            })
            .collect();
        if step > 5_000 {
            n += 1.0;
            above += f64::from(u8::from(AnomalyScore::of_all(scores).score > 0.99));
        }
    }
    assert!((above / n - 0.01).abs() < 0.003, "{}", above / n);
    assert_eq!(AnomalyScore::of_all([]).score, 0.0);
}

#[test]
fn it_comes_back_bit_for_bit() {
    let (mut whole, mut rng) = (Bench::new(3, 2, &[0.05, 0.5, 0.95]), ChaCha8Rng::seed_from_u64(9));
    for i in 0..5_001 {
        whole.judge(i % 3, i / 3 % 2, heavy(&mut rng), 0.0, &[0.0; 2]);
    }
    let mut other = Bench::new(3, 2, &[0.05, 0.5, 0.95]);
    let copy = |from: &Bench, to: &mut Bench| {
        let mut pooled = Vec::new();
        from.anomalies.save_pooled(&mut pooled);
        to.anomalies.load_pooled(&mut Take::new(&pooled)).unwrap();
        for slot in 0..3 {
            let mut row = Vec::new();
            from.anomalies.save(slot, &mut row);
            from.intervals.save(slot, &mut row);
            let mut take = Take::new(&row);
            to.anomalies.load(slot, &mut take).unwrap();
            to.intervals.load(slot, &mut take).unwrap();
            assert!(take.is_empty());
        }
        to.step = from.step;
    };
    copy(&whole, &mut other);
    for i in 0..5_000 {
        let value = 3.0 * heavy(&mut rng);
        let [a, b] = [&mut whole, &mut other].map(|b| b.judge(i % 3, i / 3 % 2, value, 0.0, &[0.0; 2]));
        assert_eq!(a.score.to_bits(), b.score.to_bits());
        assert_eq!(a, b);
    }
}

#[test]
fn no_number_breaks_it() {
    let mut bench = Bench::new(1, 1, &[0.05, 0.5, 0.95]);
    let odd = [0.0, 1e30, -1e30, f32::MIN_POSITIVE, 1.0, 3e38];
    for i in 0..20_000usize {
        let (value, point) = (odd[i % 6], odd[i / 6 % 6]);
        let score = bench.judge(0, 0, value, point, &[point, f32::NAN]);
        assert!((0.0..=1.0).contains(&score.score), "{score:?}");
    }
    let score = bench.judge(0, 0, f32::NAN, 0.0, &[]);
    assert!((0.0..=1.0).contains(&score.score));
    // A series that was always constant, and then changes.
    let mut bench = Bench::new(1, 1, &[0.05, 0.5, 0.95]);
    for _ in 0..2_000 {
        assert_eq!(bench.judge(0, 0, 7.0, 7.0, &[7.0; 4]).kind, None);
    }
    assert!(bench.judge(0, 0, 7.5, 7.0, &[7.0; 4]).score > 0.999);
}
