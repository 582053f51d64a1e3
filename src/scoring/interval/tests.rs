use super::*;
use crate::domain::Level;
use rand::{Rng, SeedableRng};

#[test]
fn a_flat_stretch_leaves_the_bounds_as_they_were() {
    let levels = Levels::new([0.05, 0.95].map(|l| Level::try_new(l).unwrap()).to_vec());
    let mut intervals = Intervals::new(1, &Leads::every(1), 1, &levels);
    intervals.grow(1);
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
    let mut widest = 0.0f32;
    for step in 0..12_000i64 {
        let mut bounds = [0.0; 2];
        let scale = intervals.quantiles(0, 0, 0, 1, 0.0, 1.0, &mut bounds);
        let value = if step < 10_000 { 0.0 } else { rng.random_range(-1.0..1.0f32) };
        intervals.update(0, 0, 0, 1, Actual::accepted(value), 0.0, scale, &bounds);
        widest = bounds.iter().fold(widest, |w, b| w.max(b.abs()));
    }
    assert!(widest < 6.0, "{widest}");
}

#[test]
fn realised_coverage_approaches_the_levels_on_skewed_noise() {
    let levels = Levels::new([0.1, 0.5, 0.9, 0.975].map(|l| Level::try_new(l).unwrap()).to_vec());
    let mut intervals = Intervals::new(1, &Leads::every(1), 24, &levels);
    intervals.grow(1);
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    let (mut below, mut n) = ([0.0f64; 4], 0.0);
    for cell in 0..40_000i64 {
        let mut bounds = [0.0; 4];
        let phase = intervals.phase(cell);
        let scale = intervals.quantiles(0, 0, phase, 1, 0.0, 1.0, &mut bounds);
        assert!(bounds.is_sorted(), "{bounds:?}");
        // Exponential noise, louder in one half of the day.
        let loud = if cell.rem_euclid(24) < 12 { 3.0 } else { 1.0 };
        let value = loud * (-rng.random::<f32>().max(1e-9).ln() - 0.7);
        if cell > 5_000 {
            n += 1.0;
            bounds.iter().enumerate().for_each(|(l, b)| below[l] += f64::from(u8::from(value <= *b)));
        }
        intervals.update(0, 0, phase, 1, Actual::accepted(value), 0.0, scale, &bounds);
    }
    for (l, want) in [(0, 0.1), (2, 0.9), (3, 0.975)] {
        let got = below[l] / n;
        assert!((got - want).abs() < 0.02, "level {want}: {got}");
    }
}

/// Between scored leads and beyond the last, over generated errors that grow with the lead: intervals are
/// as wide as the errors there are large.
#[test]
fn leads_between_scored_ones_have_their_own_width() {
    let levels = Levels::new([0.1, 0.9].map(|l| Level::try_new(l).unwrap()).to_vec());
    let leads = Leads::fine(24, Some(24));
    let mut intervals = Intervals::new(1, &leads, 24, &levels);
    intervals.grow(1);
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(11);
    let mut noise = |lead: usize| (lead as f32).sqrt() * rng.random_range(-1.0..1.0f32);
    let (points, mut bounds) = ([5.0; 24], [0.0; 48]);
    let mut inside = [0.0; 24];
    for step in 0..6_000u64 {
        intervals.surround(0, 0, step as i64, &points, 1.0, &mut bounds);
        for lead in 1..=24 {
            assert!(bounds[lead - 1] <= bounds[24 + lead - 1]);
            let value = 5.0 + noise(lead);
            let is_inside = bounds[lead - 1] < value && value <= bounds[24 + lead - 1];
            inside[lead - 1] += f32::from(u8::from(step >= 2_000 && is_inside)) / 4_000.0;
        }
        let phase = intervals.phase(step as i64);
        for (at, lead) in leads.learnt().iter().enumerate().filter(|(at, _)| leads.entry(*at, step).is_some())
        {
            let (value, mut given) = (Actual::accepted(5.0 + noise(*lead)), [0.0; 2]);
            let scale = intervals.quantiles(0, 0, phase, at + 1, 5.0, 1.0, &mut given);
            intervals.update(0, 0, phase, at + 1, value, 5.0, scale, &given);
        }
    }
    assert!(inside[..18].iter().all(|share| (share - 0.8).abs() < 0.05), "{inside:?}");
}

#[test]
fn multipliers_move_by_less_than_their_precision() {
    let mut multiplier = f16::from_f32(1.5).to_bits();
    for count in 0..20_000 {
        multiplier = rounded(f16::from_bits(multiplier).to_f32() + 1e-4, [count, 3, 1]);
    }
    let moved = f16::from_bits(multiplier).to_f32();
    assert!((moved - 3.5).abs() < 0.15, "{moved}");
    assert_eq!(rounded(-1.5, [7, 1, 0]), f16::from_f32(-1.5).to_bits());
}
