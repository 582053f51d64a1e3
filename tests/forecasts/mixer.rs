//! The mixture against the best of its experts, on losses made by chance and by an adversary.

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidecast::domain::{Leads, Rows, Take};
use tidecast::experts::{MIXTURES, Mixer};

/// Who chooses the experts' forecasts and the truth, knowing what the mixer has said.
#[derive(Clone, Copy, Debug)]
enum World {
    /// Everything by chance; one expert is better by `edge`.
    Chance { edge: f32 },
    /// The truth is as far from the mixture as it can be.
    Adversary,
    /// The best expert changes every `every` readings.
    Turns { every: usize },
    /// Experts that agree, and one that is off by ten thousand.
    Outlier,
}

/// How much each expert has been better than the mixture, in the mixture's typical errors, at the
/// worst moment and discounted by `discount`; and the number of readings that counts for.
fn worst_regret(world: World, experts: usize, seed: u64, discount: f64, mixed_row: usize) -> (f64, f64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut mixer = Mixer::new(1, experts, Leads::every(1), 0);
    mixer.grow(1);
    let mut regrets = vec![0.0f64; experts];
    let (mut worst, mut weight) = (0.0f64, 0.0f64);
    for t in 0..4_000usize {
        let mut said: Vec<f32> = (0..experts).map(|_| rng.random_range(0.0..1.0)).collect();
        if matches!(world, World::Adversary) {
            (said[0], said[1]) = (0.0, 1.0);
        }
        let mut mixed = [0.0; MIXTURES];
        let mut truth = rng.random_range(0.0..1.0f32);
        match world {
            World::Chance { edge } => said[0] = truth + (said[0] - truth) * (1.0 - edge),
            World::Turns { every } => said[t / every % experts] = truth,
            World::Outlier => said[experts - 1] = 10_000.0,
            World::Adversary => {}
        }
        mixer.mix(0, 0, &said, &mut mixed);
        if matches!(world, World::Adversary) {
            truth = if mixed[mixed_row] > 0.5 { 0.0 } else { 1.0 };
        }
        mixer.learn(0, 0, truth, &said, &mixed);
        // Losses lie within 0..1 but for the outlier's, so that a typical error is of size 1.
        for (regret, said) in regrets.iter_mut().zip(&said) {
            let mine = f64::from((mixed[mixed_row] - truth).abs());
            *regret = discount * *regret + mine - f64::from((said - truth).abs());
        }
        weight = discount * weight + 1.0;
        worst = worst.max(regrets.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    }
    (worst, weight)
}

fn worlds() -> impl Strategy<Value = World> {
    prop_oneof![
        (0.0..1.0f32).prop_map(|edge| World::Chance { edge }),
        Just(World::Adversary),
        (1..2_000usize).prop_map(|every| World::Turns { every }),
        Just(World::Outlier),
    ]
}

/// Experts that change their places weigh what they did, one that is new weighs nothing, and what one that
/// went did falls to the others.
#[test]
fn a_mixer_of_other_experts_inherits_what_was_learnt() {
    let leads = Leads::every(3);
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let mut mixer = Mixer::new(2, 3, leads.clone(), 0);
    mixer.grow(2);
    for _ in 0..900 {
        for (slot, target) in [(0, 0), (0, 1), (1, 1)] {
            let said: Vec<f32> =
                (0..9).map(|i| rng.random_range(-1.0..1.0) * (1 + i / 3 + target) as f32).collect();
            let mut mixed = [0.0; 3 * MIXTURES];
            mixer.mix(slot, target, &said, &mut mixed);
            mixer.learn(slot, target, 0.0, &said, &mixed);
        }
    }
    mixer.publish();
    let are_alike = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    let weights = |mixer: &mut Mixer, experts: usize, slot: usize, target: usize| {
        let mut all = vec![0.0; experts * 3];
        mixer.weights(slot, target, &mut all);
        all
    };
    let copy = |from: &mut Mixer, experts: &[Option<usize>]| {
        let mut was = Mixer::new(2, 3, leads.clone(), 0);
        was.grow(2);
        let mut bytes = Vec::new();
        (0..2).for_each(|slot| from.save(slot, &mut bytes));
        from.save_pooled(&mut bytes);
        let mut bytes = Take::new(&bytes);
        (0..2).for_each(|slot| was.load(slot, &mut bytes).unwrap());
        was.load_pooled(&mut bytes).unwrap();
        let beginning: Vec<f32> = experts.iter().map(|at| f32::from(u8::from(*at == Some(0)))).collect();
        let mut new = Mixer::new(2, experts.len(), leads.clone(), 0).begin_with(&beginning);
        new.inherit(&mut was, experts);
        new.grow(3);
        new
    };
    let mut moved = copy(&mut mixer, &[Some(2), Some(0), None, Some(1)]);
    let mut fewer = copy(&mut mixer, &[Some(0), Some(2)]);
    for (slot, target) in [(0, 0), (0, 1), (1, 1)] {
        let was = weights(&mut mixer, 3, slot, target);
        let is = weights(&mut moved, 4, slot, target);
        assert!(are_alike(&is, &[&was[6..], &was[..3], &[0.0; 3], &was[3..6]].concat()));
        let is = weights(&mut fewer, 2, slot, target);
        for lead in 0..3 {
            let left = was[lead] + was[6 + lead];
            assert!(was[lead] > 0.4 && (is[lead] - was[lead] / left).abs() < 0.02, "{was:?} {is:?}");
            assert!((is[lead] + is[3 + lead] - 1.0).abs() < 1e-5);
        }
    }
    // Of target 1 two mature series were pooled, and who begins has their weights.
    mixer.grow(3);
    let (was, is) = (weights(&mut mixer, 3, 2, 1), weights(&mut moved, 4, 2, 1));
    assert!(was[0] > 0.4);
    assert!(are_alike(&is, &[&was[6..], &was[..3], &[0.0; 3], &was[3..6]].concat()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Gaillard, Stoltz and van Erven, Corollary 3: the regret to any expert grows as the root of
    /// experts × readings; with a discount, of the readings that it remembers.
    #[test]
    fn regret_is_bounded(world in worlds(), experts in 2..9usize, seed in any::<u64>()) {
        // Before an outlier is known, the mean of all is said.
        let first = if matches!(world, World::Outlier) { 4e4 } else { 0.0 };
        for (row, discount) in [(0, 0.998), (1, 0.999_8)] {
            let (worst, readings) = worst_regret(world, experts, seed, discount, row);
            let root = (experts as f64 * readings * (1.0 + (1.0 + readings).ln())).sqrt();
            prop_assert!(worst < root + first, "{world:?}: {worst} of {root}");
        }
        // The mixture of both pays for the choice among two on top of it.
        let (worst, readings) = worst_regret(world, experts, seed, 0.999_5, 2);
        let root = ((experts as f64).sqrt() + 2f64.sqrt()) * (readings * (1.0 + (1.0 + readings).ln())).sqrt();
        prop_assert!(worst < root + first, "{world:?}: {worst} of {root}");
    }

    #[test]
    fn the_mixture_lies_among_its_experts(
        said in proptest::collection::vec(-1e6f32..1e6, 3 * 5),
        asleep in 0..4usize,
        seed in any::<u64>(),
    ) {
        let mut mixer = Mixer::new(1, 3, Leads::buckets(5), 0);
        mixer.grow(1);
        let learnt = mixer.leads().len();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut said = said;
        if asleep < 3 {
            said[asleep * 5..][..5].fill(f32::NAN);
        }
        let mut mixed = [0.0; MIXTURES * 5];
        for _ in 0..50 {
            mixer.mix(0, 0, &said, &mut mixed);
            let matured: Vec<f32> = (0..(3 + MIXTURES) * learnt).map(|_| rng.random_range(-1e6..1e6)).collect();
            let (by_each, by_all) = matured.split_at(3 * learnt);
            mixer.learn(0, 0, rng.random_range(-1e6..1e6), by_each, by_all);
        }
        mixer.mix(0, 0, &said, &mut mixed);
        for lead in 0..5 {
            let awake: Vec<f32> = said.iter().skip(lead).step_by(5).copied().filter(|f| !f.is_nan()).collect();
            let low = awake.iter().copied().fold(f32::INFINITY, f32::min);
            let high = awake.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let point = mixed[2 * 5 + lead];
            prop_assert!(point >= low - 1.0 && point <= high + 1.0, "{point} {awake:?}");
        }
    }
}

#[test]
fn a_good_expert_among_bad_ones_gets_the_weight() {
    let leads = Leads::every(3);
    let mut mixer = Mixer::new(2, 4, leads, 5);
    mixer.grow(2);
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut mixed = vec![0.0; MIXTURES * 3];
    for t in 0..500 {
        let truth: f32 = rng.random_range(-1.0..1.0);
        let said: Vec<f32> = (0..12)
            .map(|i| truth + if i / 3 == 2 { 0.01 } else { 1.0 } * rng.random_range(-1.0..1.0f32))
            .collect();
        mixer.mix(1, 1, &said, &mut mixed);
        assert_eq!(mixed[..6].iter().all(|v| v.is_nan()), t < 5, "young mixtures have no copies");
        mixer.learn(1, 1, truth, &said, &mixed);
    }
    let mut weights = [0.0; 12];
    mixer.weights(1, 1, &mut weights);
    assert!(weights[6..9].iter().all(|w| *w > 0.9), "{weights:?}");
    let mut row = Vec::new();
    mixer.save(1, &mut row);
    let mut other = Mixer::new(2, 4, Leads::every(3), 5);
    other.grow(1);
    other.load(0, &mut Take::new(&row)).unwrap();
    let mut again = [0.0; 12];
    other.weights(0, 1, &mut again);
    assert_eq!(weights, again);
}

#[test]
fn a_newcomer_has_to_prove_itself() {
    let mut mixer = Mixer::new(1, 2, Leads::every(1), 0).begin_with(&[1.0, 0.0]);
    mixer.grow(1);
    let mut mixed = [0.0; MIXTURES];
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let (mut bad, mut good) = (0.0, 0.0);
    for t in 0..1_200 {
        let truth: f32 = rng.random_range(-1.0..1.0);
        // It sleeps at first, is bad for a while, and then better than the other.
        let newcomer = match t {
            0..300 => f32::NAN,
            300..600 => truth + 3.0,
            _ => truth + 0.01,
        };
        let other = truth + rng.random_range(-1.0..1.0f32);
        mixer.mix(0, 0, &[other, newcomer], &mut mixed);
        assert!(t > 300 || (mixed[2] - other).abs() < 1e-6, "step {t}");
        bad += if (300..600).contains(&t) { (mixed[2] - truth).abs() / 300.0 } else { 0.0 };
        mixer.learn(0, 0, truth, &[other, newcomer], &mixed);
        good += if t >= 1_100 { (mixed[2] - truth).abs() / 100.0 } else { 0.0 };
    }
    // The other's error is 0.5, the newcomer's 3 and then 0.01.
    assert!(bad < 1.0 && good < 0.1, "{bad} {good}");
}

#[test]
fn one_wild_reading_does_not_stop_the_learning() {
    let mut mixer = Mixer::new(1, 2, Leads::every(1), 0);
    mixer.grow(1);
    let mut mixed = [0.0; MIXTURES];
    let mut good = 0;
    for t in 0..3_000 {
        let truth = (t as f32 * 0.3).sin();
        // Who is good changes after the wild reading.
        let said = if t < 1_000 { [truth, truth + 1.0] } else { [truth + 1.0, truth] };
        mixer.mix(0, 0, &said, &mut mixed);
        let value = if t == 1_000 { 1e30 } else { truth };
        mixer.learn(0, 0, value, &said, &mixed);
        good += usize::from(t > 2_000 && (mixed[2] - truth).abs() < 0.1);
    }
    assert!(good > 950, "{good}");
}
