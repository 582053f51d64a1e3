use super::*;
use crate::domain::Level;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    Level::try_new(rng.random_range(1e-12..1.0 - 1e-12)).unwrap().normal_quantile()
}

/// Student's t with 3 degrees of freedom.
fn heavy(rng: &mut ChaCha8Rng) -> f64 {
    let squares: f64 = (0..3).map(|_| normal(rng).powi(2)).sum();
    normal(rng) / (squares / 3.0).sqrt()
}

/// ```python
/// import numpy as np
/// from scipy.stats import t  # 1.17.1
///
/// def dm(a, b, h):
///     """forecast::dm.test of R, two-sided."""
///     d = np.asarray(a) - np.asarray(b)
///     n = len(d)
///     c = [np.sum((d - d.mean())[k:] * (d - d.mean())[: n - k]) / n for k in range(h)]
///     v = (c[0] + 2 * sum(c[1:])) / n
///     if v <= 0:
///         v = (c[0] + 2 * sum((1 - k / h) * c[k] for k in range(1, h))) / n
///     s = d.mean() / np.sqrt(v) * np.sqrt((n + 1 - 2 * h + h * (h - 1) / n) / n)
///     return d.mean(), s, 2 * t.sf(abs(s), n - 1)
///
/// i = np.arange(40)
/// a = 1 + 0.5 * np.sin(1.3 * i) + 0.01 * (i * 7 % 11)
/// b = 1 + 0.5 * np.cos(0.9 * i) + 0.005 * (i * 5 % 13)
/// for h in (1, 3, 8):
///     print(h, [float(v) for v in dm(a, b, h)])
/// w = (-1.0) ** i + 0.3  # alternates: the plain variance at h = 2 is negative
/// print(2, [float(v) for v in dm(w, 0 * w, 2)])
/// ```
#[test]
fn diebold_mariano_is_that_of_r() {
    let at = |i: usize| i as f64;
    let a: Vec<f64> = (0..40).map(|i| 1.0 + 0.5 * (1.3 * at(i)).sin() + 0.01 * at(i * 7 % 11)).collect();
    let b: Vec<f64> = (0..40).map(|i| 1.0 + 0.5 * (0.9 * at(i)).cos() + 0.005 * at(i * 5 % 13)).collect();
    let w: Vec<f64> = (0..40).map(|i| if i % 2 == 0 { 1.3 } else { -0.7 }).collect();
    let zero = vec![0.0; 40];
    for (first, second, lead, want) in [
        (&a, &b, 1, [0.03042741622091858, 0.40461720989263866, 0.687969568194402]),
        (&a, &b, 3, [0.03042741622091858, 0.44238488523136454, 0.660654498744706]),
        (&a, &b, 8, [0.03042741622091858, 0.8122729302237381, 0.4215656266109674]),
        (&w, &zero, 2, [0.3, 11.54902593295209, 3.719985699655095e-14]),
    ] {
        let got = diebold_mariano(first, second, lead).unwrap();
        for (got, want) in [got.difference, got.statistic, got.p_value].into_iter().zip(want) {
            assert!((got / want - 1.0).abs() < 1e-8, "lead {lead}: {got} for {want}");
        }
        let (low, high) = got.interval(1.0 - got.p_value);
        let edge = if got.difference > 0.0 { low } else { high };
        // The interval at the p value's confidence ends at no difference.
        assert!(edge.abs() < 1e-3 * got.difference.abs() && low < high, "lead {lead}: {low} to {high}");
        let other = diebold_mariano(second, first, lead).unwrap();
        assert!((other.statistic + got.statistic).abs() < 1e-9 && other.n == 40);
    }
}

#[test]
fn losses_that_cannot_be_compared_give_none() {
    assert_eq!(diebold_mariano(&[1.0, 2.0], &[2.0, 2.0], 1), None);
    assert_eq!(diebold_mariano(&[1.0; 9], &[1.0; 9], 1), None, "they never differ");
    assert_eq!(diebold_mariano(&[1.0, 2.0, 4.0], &[2.0; 3], 3), None, "as many leads as targets");
    let gaps = [1.0, f64::NAN, 3.0, 2.0, f64::INFINITY, 7.0];
    assert_eq!(diebold_mariano(&gaps, &[2.0; 6], 1).unwrap().n, 4);
}

/// How often two equal forecasts are told apart at 5 %, with the overlapping errors of a lead.
#[test]
fn equal_forecasts_are_seldom_told_apart_and_a_better_one_often() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for lead in [1, 4, 12] {
        let [mut equal, mut better] = [0.0; 2];
        for _ in 0..1_000 {
            let noise: Vec<f64> = (0..240 + lead).map(|_| normal(&mut rng)).collect();
            let moving = noise.windows(lead).map(|w| w.iter().sum::<f64>() / (lead as f64).sqrt());
            let first: Vec<f64> = moving.collect();
            let told = |by: f64| {
                let second = vec![by; first.len()];
                f64::from(u8::from(diebold_mariano(&first, &second, lead).unwrap().p_value < 0.05))
            };
            equal += told(0.0) / 1_000.0;
            better += told((lead as f64).sqrt() * 0.3) / 1_000.0;
        }
        assert!(equal < 0.13, "lead {lead}: {equal}");
        assert!(better > 0.9, "lead {lead}: {better}");
    }
}

/// The share of challengers that are promoted at 95 %: the champion's loss is 1 + `gain`, the
/// challenger's is 1 less 0.3 times what `differ` says of a series and a block.
fn promoted(
    (series, blocks): (usize, usize),
    gain: f64,
    mut differ: impl FnMut(&mut ChaCha8Rng, f64, f64) -> f64,
) -> f64 {
    let (mut rng, runs) = (ChaCha8Rng::seed_from_u64(2), 800);
    let mut better = 0.0;
    for _ in 0..runs {
        let mut promotion = PromotionTest::new(series, blocks);
        let own: Vec<f64> = (0..series).map(|_| normal(&mut rng)).collect();
        for block in 0..blocks {
            let shock = normal(&mut rng);
            for (of_series, own) in own.iter().enumerate() {
                let challenger = 1.0 - 0.3 * differ(&mut rng, *own, shock);
                promotion.add(of_series, block, 1.0 + gain, challenger);
            }
        }
        better += f64::from(u8::from(promotion.verdict().is_better(0.95))) / f64::from(runs);
    }
    better
}

/// At most 5 %, but for the chance of so many runs.
const FALSE_MOST: f64 = 0.05 + 0.02;

#[test]
fn a_challenger_that_is_no_better_is_seldom_promoted() {
    for size in [(1, 7), (1, 14), (30, 7), (200, 10)] {
        let calm = promoted(size, 0.0, |rng, _, _| normal(rng));
        let tails = promoted(size, 0.0, |rng, _, _| heavy(rng));
        let shared = promoted(size, 0.0, |rng, _, shock| 0.7 * normal(rng) + 0.7 * shock);
        assert!(calm.max(tails).max(shared) < FALSE_MOST, "{size:?}: {calm} {tails} {shared}");
    }
    // Series that differ permanently; and frequent small gains with rare large losses.
    let own = promoted((200, 10), 0.0, |rng, own, shock| 0.5 * normal(rng) + 0.5 * own + 0.5 * shock);
    let rare = promoted((200, 10), 0.0, |rng, _, _| if rng.random_bool(0.05) { -1.9 } else { 0.1 });
    assert!(own.max(rare) < FALSE_MOST, "{own} {rare}");
}

#[test]
fn a_real_gain_is_promoted() {
    for (size, gain, least) in [((1, 28), 0.2, 0.85), ((30, 7), 0.1, 0.9), ((200, 10), 0.05, 0.95)] {
        let calm = promoted(size, gain, |rng, _, _| normal(rng));
        assert!(calm > least, "{size:?}: {calm}");
    }
    let tails = promoted((200, 10), 0.05, |rng, _, _| heavy(rng));
    assert!(tails > 0.9, "{tails}");
    let shared = promoted((200, 28), 0.15, |rng, _, shock| 0.7 * normal(rng) + 0.5 * shock);
    assert!(shared > 0.9, "{shared}");
}

#[test]
fn a_challenger_that_explodes_on_one_series_is_worse() {
    let mut promotion = PromotionTest::new(50, 8);
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for series in 0..50 {
        for block in 0..8 {
            let challenger = if series == 7 { 1e3 } else { 0.8 + 0.01 * normal(&mut rng) };
            promotion.add(series, block, 1.0, challenger);
        }
    }
    let verdict = promotion.verdict();
    assert!(verdict.gain < 0.0 && !verdict.is_better(0.5), "{verdict:?}");
}

#[test]
fn little_or_nothing_proves_nothing() {
    let verdict = PromotionTest::new(3, 5).verdict();
    assert_eq!((verdict.p_value, verdict.series, verdict.blocks), (1.0, 0, 0));
    let mut one = PromotionTest::new(1, 5);
    one.add(0, 2, 1.0, 0.5);
    one.add(0, 2, f64::NAN, 0.5);
    let verdict = one.verdict();
    assert_eq!((verdict.p_value, verdict.gain), (1.0, 0.5));
    assert!(!verdict.is_better(0.5));
    // Always by the same amount.
    let mut sure = PromotionTest::new(2, 5);
    (0..10).for_each(|i| sure.add(i % 2, i / 2, 1.0, 0.9));
    assert!(sure.verdict().is_better(0.999) && !PromotionTest::new(2, 5).verdict().is_better(0.0));
    // The same losses twice are no more evidence.
    let mut same = PromotionTest::new(2, 5);
    (0..10).for_each(|i| same.add(i % 2, i / 2, 1.0, 1.0));
    assert!(!same.verdict().is_better(0.5));
}
