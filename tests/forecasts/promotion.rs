//! Who may serve: what was learnt from nothing never does, a real improvement soon does, and a champion that
//! is worse than what served before it gives way.

use crate::support::stream::{Bench, Sensed, hour, noise, stream};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;
use tidecast::config::Stream;
use tidecast::domain::{RoundScores, Rows};
use tidecast::nn::{Networks, Trained, Weights};
use tidecast::series::{Capacity, SaidBases, Scaler, Slot, WindowCopy, Windows};
use tidecast::training::{Former, Outcome, Start, TrainingRound, blueprint};

const HORIZON: usize = 6;
const HOLDOUT: usize = 96;

/// The shipped rules of promotion; a network that is trained in a moment.
fn rules(more: &str) -> Arc<Stream> {
    stream(&format!(
        "horizon = {HORIZON}\nseasons = [24]\nwindow = 512\ncalendar = []\n\
         model = {{ hidden = 8, base = \"last\" }}\n\
         training = {{ first_steps = 120, steps = 40, batch = 8, truncation = 32, holdout = {HOLDOUT} }}\n{more}"
    ))
}

/// Waves of one period and many phases, far from their last value an hour later, and noise of this size.
fn readings(series: usize, hours: i64, noise_size: f64, seed: u64) -> Vec<Sensed> {
    let value = |h: i64, s: usize| {
        let wave = (std::f64::consts::TAU * (h as f64 / 9.0 + s as f64 * 0.13)).sin();
        10.0 + 2.0 * wave + noise_size * noise(seed + s as u64, h as u64)
    };
    (0..hours)
        .flat_map(|h| (0..series).map(move |s| (h, s)))
        .map(|(h, s)| Sensed { series: format!("s{s}"), time: hour(h), value: Some(value(h, s)) })
        .collect()
}

/// The windows of a shard that has seen these readings.
fn samples(stream: &Arc<Stream>, readings: &[Sensed]) -> Vec<WindowCopy> {
    let mut bench = Bench::new(stream);
    for (offset, sensed) in readings.iter().enumerate() {
        bench.offer(sensed, offset as i64);
        bench.step();
    }
    bench.shard.samples(64)
}

/// The same windows with their labels shuffled, among the readings for whose age `may` says so and whose
/// labels have all come.
fn poisoned(
    stream: &Stream,
    samples: &[WindowCopy],
    seed: u64,
    may: impl Fn(usize) -> bool,
) -> Vec<WindowCopy> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let leads = stream.leads().learnt().to_vec();
    let shape = blueprint(stream, &stream.model.networks[0]).unwrap();
    let poisoned = |sample: &WindowCopy| {
        let view = sample.view();
        let len = view.len();
        let mut own = vec![0.0; shape.inputs()];
        let mut labels: Vec<Vec<f32>> = (0..len)
            .map(|age| {
                let mut row = vec![0.0; leads.len()];
                view.errors(age, &mut row);
                row
            })
            .collect();
        let ages: Vec<usize> =
            (0..len).filter(|age| may(*age) && labels[*age].iter().all(|l| l.is_finite())).collect();
        let mut from = ages.clone();
        from.shuffle(&mut rng);
        let taken: Vec<Vec<f32>> = from.iter().map(|age| labels[*age].clone()).collect();
        ages.iter().zip(taken).for_each(|(age, row)| labels[*age] = row);
        let capacity = Capacity { series: 0..1, shared: len, least: len, most: len };
        let mut windows = Windows::new(capacity, own.len(), 1, &leads, false);
        windows.grow(1);
        let (mut scaler, bases) = (Scaler::new(1, |_| true), vec![0.0; leads.len()]);
        scaler.grow(1);
        for t in 0..len {
            let age = len - 1 - t;
            let come: Vec<f32> = (0..leads.len())
                .map(|k| t.checked_sub(leads[k]).map_or(f32::NAN, |origin| labels[len - 1 - origin][k]))
                .collect();
            // In these units a base of 0 is wrong about 1 by each label.
            let units: Vec<f32> = come.iter().map(|label| 1.0 / label).collect();
            windows.arrive(Slot(0), 0, 1.0, &units);
            view.inputs(age, &mut own);
            let said = SaidBases { bases: &bases, values: &[0.0], scales: scaler.scales(Slot(0)) };
            windows.push(Slot(0), view.cell(age), &own, Some(said));
        }
        windows.view(Slot(0)).copy()
    };
    samples.iter().map(poisoned).collect()
}

fn run(stream: &Stream, samples: &[WindowCopy], champion: Option<&Networks>, number: u64) -> Outcome {
    let start = if champion.is_some() { Start::Refresh } else { Start::Afresh };
    let former = Former::Unwatched;
    TrainingRound { stream, samples, champion, former, shadow: None, start, number }
        .run(&mut || true)
        .unwrap()
}

/// The first champion of rounds over these samples, and after how many rounds it was promoted.
fn first_champion(
    stream: &Stream,
    samples: &[WindowCopy],
    most: u64,
) -> Option<(u64, Networks, RoundScores)> {
    (1..=most).find_map(|number| match run(stream, samples, None, number) {
        Outcome::Better { networks, scores } => Some((number, networks, scores)),
        _ => None,
    })
}

/// What was learnt from shuffled labels and is better on right ones is better, by whatever luck: that is no
/// poison. So labels are shuffled in all of the windows, or a champion is there that has learnt.
#[test]
fn a_poisoned_round_is_never_promoted() {
    let (default, strict) = (rules(""), rules("promotion = { gain = 0, confidence = 0.95 }"));
    let mut rounds = 0;
    for (series, noise_size) in [(1, 0.5), (12, 0.5), (12, 2.0)] {
        for seed in 1..=10 {
            let samples = samples(&default, &readings(series, 500, noise_size, 100 * seed));
            let learnt = poisoned(&default, &samples, seed, |age| age >= HOLDOUT);
            let all = poisoned(&default, &samples, seed, |_| true);
            let (_, champion, _) = first_champion(&default, &samples, 3).expect("one in three is better");
            for (what, windows, champion) in [
                ("all", &all, None),
                ("all, a champion", &all, Some(&champion)),
                ("learnt, a champion", &learnt, Some(&champion)),
            ] {
                for (rules, stream) in [("default", &default), ("strict", &strict)] {
                    let outcome = run(stream, windows, champion, seed);
                    let rejected = matches!(outcome, Outcome::Rejected(_));
                    assert!(
                        rejected,
                        "{series} series, noise {noise_size}, seed {seed}, {what}, {rules}: {outcome:?}"
                    );
                    rounds += 1;
                }
            }
        }
    }
    assert_eq!(rounds, 180);
}

#[test]
fn a_real_improvement_is_promoted_within_three_rounds() {
    let mut rounds = 0;
    for (series, noise_size) in [(1, 0.2), (12, 0.5)] {
        let stream = rules("");
        for seed in 1..=5 {
            let samples = samples(&stream, &readings(series, 500, noise_size, 10 * seed));
            let found = first_champion(&stream, &samples, 3);
            let (number, networks, scores) =
                found.unwrap_or_else(|| panic!("{series} series, seed {seed}: none in three rounds"));
            assert!(scores.challenger.unwrap() < scores.base && scores.champion.is_none(), "{scores:?}");
            assert!(scores.p_value < 1.0 - stream.promotion.confidence, "{scores:?}");
            assert!(networks.alone().unwrap().optimiser.is_some() && scores.series == series, "{scores:?}");
            rounds += number;
        }
    }
    assert!(rounds <= 15, "{rounds} rounds for ten first champions");
}

#[test]
fn a_challenger_has_to_beat_the_champion_and_the_base() {
    let stream = rules("promotion = { watch = 0 }");
    let samples = samples(&stream, &readings(12, 500, 0.5, 3));
    let (_, good, of_good) = first_champion(&stream, &samples, 3).unwrap();
    // To be better than a bad champion is not enough, and nothing learns in one step to undo that much.
    let bad = spoilt(&stream, &good, 5);
    let mut short = Stream::clone(&stream);
    short.training.budget.steps = 1;
    let Outcome::Rejected(scores) = run(&short, &samples, Some(&bad), 9) else { panic!("it was promoted") };
    assert!(scores.challenger.unwrap() < scores.champion.unwrap(), "{scores:?}");
    assert!(scores.challenger.unwrap() > scores.base && scores.base == of_good.base, "{scores:?}");
    // And to be better than the base is not enough where the champion is better still.
    let mut coarse = Stream::clone(&stream);
    coarse.training.budget.first_steps = 40;
    let challenger = TrainingRound {
        stream: &coarse,
        samples: &samples,
        champion: Some(&good),
        former: Former::Unwatched,
        shadow: None,
        start: Start::Afresh,
        number: 9,
    };
    let outcome = challenger.run(&mut || true).unwrap();
    let Outcome::Rejected(scores) = outcome else { panic!("it was promoted: {outcome:?}") };
    assert!(scores.challenger.unwrap() > scores.champion.unwrap(), "{scores:?}");
}

/// A network that is far off.
fn spoilt(stream: &Stream, good: &Networks, seed: u64) -> Networks {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let values =
        good.alone().unwrap().weights.values().iter().map(|w| w + rng.random_range(-1.5..1.5)).collect();
    let weights =
        Arc::new(Weights::try_new(blueprint(stream, &stream.model.networks[0]).unwrap(), values).unwrap());
    Trained { weights, optimiser: None }.into()
}

#[test]
fn a_champion_that_is_worse_than_the_one_before_gives_way_and_a_better_one_does_not() {
    let stream = rules("");
    for series in [1, 12] {
        let samples = samples(&stream, &readings(series, 500, 0.3, 4));
        let (_, good, _) = first_champion(&stream, &samples, 3).unwrap();
        let bad = spoilt(&stream, &good, 6);
        let round = |champion, former| {
            let (start, shadow) = (Start::Refresh, None);
            TrainingRound {
                stream: &stream,
                samples: &samples,
                champion: Some(champion),
                former,
                shadow,
                start,
                number: 5,
            }
            .run(&mut || true)
            .unwrap()
        };
        for former in [Former::Networks(&good), Former::Base] {
            let Outcome::Worse(scores) = round(&bad, former) else {
                panic!("{series}: {former:?} stays away")
            };
            assert!(scores.former.unwrap() < scores.champion.unwrap() && scores.challenger.is_none());
        }
        assert!(!matches!(round(&bad, Former::Unwatched), Outcome::Worse(_)), "it is not watched");
        for former in [Former::Networks(&bad), Former::Base, Former::Networks(&good)] {
            assert!(!matches!(round(&good, former), Outcome::Worse(_)), "{series}: {former:?}");
        }
    }
}

#[test]
fn a_shadow_has_to_win_twice() {
    let stream = rules("promotion = { shadow = true }");
    let (early, late) = {
        let all = readings(12, 600, 0.5, 8);
        (samples(&stream, &all[..12 * 480]), samples(&stream, &all))
    };
    let shadow = (1..=3).find_map(|number| match run(&stream, &early, None, number) {
        Outcome::Shadowed { networks, .. } => Some(networks),
        other => {
            assert!(!matches!(other, Outcome::Better { .. }), "it was promoted at once");
            None
        }
    });
    let shadow = shadow.expect("none was better in three rounds");
    let mut steps = 0;
    let mut trial = |shadow: &Networks| {
        let (former, start) = (Former::Unwatched, Start::Afresh);
        let round = TrainingRound {
            stream: &stream,
            samples: &late,
            champion: None,
            former,
            shadow: Some(shadow),
            start,
            number: 4,
        };
        round
            .run(&mut || {
                steps += 1;
                true
            })
            .unwrap()
    };
    let Outcome::Better { networks, scores } = trial(&shadow) else { panic!("it was rejected") };
    assert_eq!(networks, shadow);
    assert!(scores.challenger.unwrap() < scores.base);
    assert!(matches!(trial(&spoilt(&stream, &shadow, 1)), Outcome::Rejected(_)));
    assert_eq!(steps, 0, "a trial trains nothing");
}
