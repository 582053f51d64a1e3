use super::*;
use crate::domain::Level;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SEASON: usize = 24;

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    Level::try_new(rng.random_range(1e-12..1.0 - 1e-12)).unwrap().normal_quantile()
}

/// Student's t with 3 degrees of freedom.
fn heavy(rng: &mut ChaCha8Rng) -> f64 {
    let squares: f64 = (0..3).map(|_| normal(rng).powi(2)).sum();
    normal(rng) / (squares / 3.0).sqrt()
}

/// What a fleet's readings are made of, as factors and offsets for each series from a step on.
#[derive(Clone, Copy)]
struct Change {
    from: usize,
    /// How many series it meets.
    series: usize,
    residual: f64,
    level: f64,
    spread: f64,
}

const NONE: Change = Change { from: usize::MAX, series: 0, residual: 1.0, level: 0.0, spread: 1.0 };

/// Steps a fleet; gives what is found, with its step.
fn run(
    drift: &mut Drift,
    series: usize,
    steps: usize,
    seed: u64,
    change: Change,
) -> Vec<(usize, DriftFound)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut found = Vec::new();
    drift.grow(series);
    let mut order: Vec<usize> = (0..series).collect();
    for step in 0..steps {
        // Another order each time: the order within a round does not matter.
        order.rotate_left(step % series);
        for slot in order.iter().copied() {
            let changed = step >= change.from && slot < change.series;
            let phase = (step as f64 / SEASON as f64 + slot as f64).fract();
            let mut residual = heavy(&mut rng).abs() / 1.1;
            let mut input = (phase * std::f64::consts::TAU).sin() + 0.5 * normal(&mut rng);
            if changed {
                residual *= change.residual;
                input = input * change.spread + change.level;
            }
            drift.observe(slot, series, residual as f32, input as f32);
            found.extend(drift.take().map(|f| (step, f)));
        }
    }
    found
}

fn new() -> Drift {
    Drift::new(SEASON, Drift::THRESHOLD)
}

#[test]
fn calm_fleets_raise_no_alarm_in_a_million_readings() {
    for series in [1, 7, 1_000] {
        let found = run(&mut new(), series, 1_000_000 / series, 1, NONE);
        assert!(found.is_empty(), "{series} series: {found:?}");
    }
}

#[test]
fn what_happens_to_all_is_found_soon_and_by_its_kind() {
    let all = Change { from: 2_000, series: usize::MAX, ..NONE };
    for (kind, change, series, within) in [
        (DriftKind::Residual, Change { residual: 2.0, ..all }, 40, 30),
        (DriftKind::Residual, Change { residual: 2.0, ..all }, 1, 250),
        (DriftKind::Residual, Change { residual: 1.5, ..all }, 40, 60),
        (DriftKind::Level, Change { level: 1.0, ..all }, 40, 16 * SEASON),
        (DriftKind::Level, Change { level: -1.0, ..all }, 1, 16 * SEASON),
        (DriftKind::Spread, Change { spread: 2.0, ..all }, 40, 16 * SEASON),
    ] {
        for seed in 0..3 {
            let found = run(&mut new(), series, 3_000, seed, change);
            let (step, first) = found.first().unwrap_or_else(|| panic!("{kind:?} of {series} is not found"));
            assert!((2_000..2_000 + within).contains(step), "{kind:?} of {series}: {found:?}");
            assert_eq!(first.kind, kind, "{found:?}");
            assert_eq!(found.len(), 1, "what it has changed to is the new normal: {found:?}");
        }
    }
}

#[test]
fn one_broken_sensor_is_not_the_fleets_drift() {
    let broken = Change { from: 1_000, series: 1, residual: 1e6, level: 1e9, spread: 50.0 };
    for series in [10, 60] {
        assert!(run(&mut new(), series, 20_000, 4, broken).is_empty(), "{series}");
    }
    assert!(!run(&mut new(), 1, 3_000, 4, broken).is_empty(), "alone it is all there is");
}

#[test]
fn errors_that_shrink_are_no_drift() {
    let better = Change { from: 1_000, series: usize::MAX, residual: 0.3, ..NONE };
    assert!(run(&mut new(), 20, 6_000, 5, better).is_empty());
}

/// The mean of a whole round is the same in any order of its series.
#[test]
fn the_order_within_a_round_does_not_matter() {
    let mut finds = Vec::new();
    for reversed in [false, true] {
        let (mut drift, mut rng) = (new(), ChaCha8Rng::seed_from_u64(8));
        drift.grow(30);
        for step in 0..1_500 {
            let scale = if step < 1_000 { 1.0 } else { 2.0 };
            let mut readings: Vec<(usize, f32)> =
                (0..30).map(|slot| (slot, (scale * heavy(&mut rng).abs()) as f32)).collect();
            if reversed {
                readings.reverse();
            }
            for (slot, residual) in readings {
                drift.observe(slot, 30, residual, f32::NAN);
                finds.extend(drift.take().map(|f| (reversed, step, f.change.to_bits())));
            }
        }
    }
    assert_eq!(finds.len(), 2, "{finds:?}");
    assert_eq!(finds[0].1, finds[1].1);
    assert_eq!(finds[0].2, finds[1].2);
}

#[test]
fn it_comes_back_bit_for_bit_in_the_middle_of_a_block() {
    let (mut whole, mut rng) = (new(), ChaCha8Rng::seed_from_u64(9));
    whole.grow(12);
    let mut reading = |drift: &mut [&mut Drift], i: usize| {
        let (residual, input) = (heavy(&mut rng).abs() as f32, normal(&mut rng) as f32);
        drift.iter_mut().for_each(|d| d.observe(i % 12, 12, residual, input));
    };
    (0..50_003).for_each(|i| reading(&mut [&mut whole], i));
    let mut other = new();
    let mut pooled = Vec::new();
    whole.save_pooled(&mut pooled);
    let mut take = Take::new(&pooled);
    other.load_pooled(&mut take).unwrap();
    assert!(take.is_empty());
    other.grow(12);
    for slot in 0..12 {
        let mut row = Vec::new();
        whole.save(slot, &mut row);
        other.load(slot, &mut Take::new(&row)).unwrap();
    }
    (50_003..60_000).for_each(|i| reading(&mut [&mut whole, &mut other], i));
    let saved = |drift: &Drift| {
        let mut out = Vec::new();
        drift.save_pooled(&mut out);
        (0..12).for_each(|slot| drift.save(slot, &mut out));
        out
    };
    assert_eq!(saved(&whole), saved(&other));
    for cut in [0, 3, 16, pooled.len() - 1] {
        assert!(new().load_pooled(&mut Take::new(&pooled[..cut])).is_err());
    }
}

#[test]
fn no_number_breaks_it() {
    let mut drift = new();
    drift.grow(3);
    let odd = [0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0, 1e38, f32::MIN_POSITIVE];
    for i in 0..20_000usize {
        drift.observe(i % 3, 3, odd[i % 7], odd[i / 7 % 7]);
        if let Some(found) = drift.take() {
            assert!(found.change.is_finite());
        }
    }
    drift.reset(1);
    drift.observe(1, 3, 1.0, 1.0);
}
