//! What of a reading is believed: no series is ever stuck, a lone wild reading harms nothing, and a second
//! one that agrees with it is a new level. Over generated histories, through the whole engine.

use crate::support::stream::{Bench, Sensed, hour, noise, restored, stream};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidecast::domain::Transform;
use tidecast::telemetry::Doubt;

const SEASON: usize = 24;
/// What every stream of these tests has, with 90 % intervals.
const LINES: &str = "horizon = 6\nquantiles = [0.05, 0.5, 0.95]\n";
const DAYS: &str = "seasons = [24]\n";
const ALONE: &str = "training = { enabled = false }\n";
/// Networks that are trained and brought in whatever they are worth.
const NETWORKS: &str = "window = 512\nmodels = [{ family = \"lstm\", hidden = 8 }, { family = \"dense\", hidden = 8 }]\n\
    training = { first_after = 100, every = 100, first_steps = 40, steps = 20, batch = 8, truncation = 32, holdout = 24 }\n\
    promotion = { confidence = 0, gain = 0 }\n";

/// Options of a stream under which the same has to hold.
#[derive(Clone, Copy, Debug)]
struct Setup {
    lines: &'static str,
    transform: Transform,
    /// Readings in an hour.
    each: usize,
    histories: usize,
}

const PLAIN: Setup = Setup { lines: ALONE, transform: Transform::None, each: 1, histories: 1_500 };
const SETUPS: [Setup; 9] = [
    PLAIN,
    Setup { lines: "accuracy = \"compact\"\ntraining = { enabled = false }\n", histories: 600, ..PLAIN },
    Setup { lines: "difference = true\ntraining = { enabled = false }\n", histories: 600, ..PLAIN },
    Setup {
        lines: "transform = \"log1p\"\ntraining = { enabled = false }\n",
        transform: Transform::Log1p,
        histories: 600,
        ..PLAIN
    },
    Setup {
        lines: "transform = \"asinh\"\ntraining = { enabled = false }\n",
        transform: Transform::Asinh,
        histories: 600,
        ..PLAIN
    },
    Setup {
        lines: "aggregate = \"mean\"\ntraining = { enabled = false }\n",
        each: 3,
        histories: 300,
        ..PLAIN
    },
    Setup { lines: "seasons = []\ncalendar = []\ntraining = { enabled = false }\n", histories: 300, ..PLAIN },
    Setup {
        lines: "experts = [\"linear\", \"arma\", \"lms\", \"velocity\"]\ntraining = { enabled = false }\n",
        histories: 300,
        ..PLAIN
    },
    Setup { lines: NETWORKS, histories: 24, ..PLAIN },
];

/// How a series moves while nothing happens to it, in units of its scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Constant,
    Noise,
    Season,
    SeasonAndNoise,
    Walk,
    Counter,
}

const KINDS: [Kind; 6] =
    [Kind::Constant, Kind::Noise, Kind::Season, Kind::SeasonAndNoise, Kind::Walk, Kind::Counter];

/// A made-up history of one series, in units of its scale.
#[derive(Clone, Debug)]
struct History {
    before: Kind,
    after: Kind,
    scale: f64,
    level: f64,
    /// The reading at which the level moves, by how much, and for how many readings.
    at: usize,
    by: f64,
    lasts: usize,
    readings: usize,
    /// Whether readings are missing, and hours are without one.
    gaps: bool,
    seed: u64,
}

impl History {
    fn draw(setup: &Setup, rng: &mut ChaCha8Rng, lasts: usize, first: usize) -> Self {
        let before = KINDS[rng.random_range(0..KINDS.len())];
        let is_bent = setup.transform != Transform::None;
        // As logarithms, factors of up to e¹².
        let most = if is_bent { 2.0 } else { 6.0 };
        let size = 10f64.powf(rng.random_range(0.5..most));
        let level = rng.random_range(-100.0..100.0) * f64::from(u8::from(rng.random_bool(0.5)));
        Self {
            before,
            after: before,
            scale: if is_bent { 0.03 } else { 10f64.powi(rng.random_range(-12..=12)) },
            level: if is_bent { 150.0 } else { level },
            at: rng.random_range(first..400),
            by: if rng.random_bool(0.5) || (setup.transform == Transform::Log1p && size > 100.0) {
                size
            } else {
                -size
            },
            lasts,
            readings: 0,
            gaps: rng.random_bool(0.3),
            seed: rng.random(),
        }
    }

    /// The values as they are held, and as they are sent.
    fn values(&self, setup: &Setup) -> (Vec<f64>, Vec<f64>) {
        let mut walk = 0.0;
        let held = (0..self.readings).map(|i| {
            let n = noise(self.seed, i as u64);
            walk += n;
            let moved = if i >= self.at && i - self.at < self.lasts { self.by } else { 0.0 };
            let season = (std::f64::consts::TAU * i as f64 / SEASON as f64).sin();
            let shape = match if i >= self.at { self.after } else { self.before } {
                Kind::Constant => 0.0,
                Kind::Noise => n,
                Kind::Season => 3.0 * season,
                Kind::SeasonAndNoise => 3.0 * season + 0.5 * n,
                Kind::Walk => walk,
                Kind::Counter => 2.0 * i as f64 + n,
            };
            self.scale * (self.level + shape + moved)
        });
        let held: Vec<f64> = held.collect();
        let sent = held.iter().map(|value| setup.transform.undo(*value)).collect();
        (held, sent)
    }

    /// Whether a reading is there, with its value, without it, or not at all.
    fn lacks(&self, i: usize) -> (bool, bool) {
        let drawn = noise(self.seed ^ 1, i as u64);
        let may = self.gaps && i > 8 && i + 20 < self.at;
        (may && drawn > 0.9, may && drawn < -0.9)
    }
}

/// What was said after each reading, as it is held: points, and lower and upper bounds of lead 1.
struct Said {
    yhat: Vec<f64>,
    bounds: Vec<[f64; 2]>,
}

impl Said {
    fn width(&self, at: usize) -> f64 {
        self.bounds[at][1] - self.bounds[at][0]
    }

    /// The share of these readings that lie in the interval that was given for them a reading before.
    fn coverage(&self, values: &[f64], of: std::ops::Range<usize>) -> f64 {
        let n = of.len() as f64;
        let covered = of.filter(|i| {
            let [low, high] = self.bounds[i - 1];
            // Numbers are told with so many decimals of their deviation.
            let slack = 1e-4 * (high - low) + 1e-9 * values[*i].abs();
            (low - slack..=high + slack).contains(&values[*i])
        });
        covered.count() as f64 / n
    }
}

/// Runs a history through a shard.
fn run(history: &History, setup: &Setup, sent: &[f64]) -> Said {
    let mut readings = Vec::new();
    for (i, value) in sent.iter().enumerate() {
        let (without_value, not_at_all) = history.lacks(i);
        for part in 0..if not_at_all { 0 } else { setup.each } {
            let time = hour(i as i64).offset_by(part as i64 * 1_000_000);
            readings.push(Sensed { series: "s".into(), time, value: (!without_value).then_some(*value) });
        }
    }
    if setup.each > 1 {
        // The last cell closes with the first reading after it.
        readings.push(Sensed { series: "s".into(), time: hour(sent.len() as i64), value: None });
    }
    let days = if setup.lines.contains("seasons") { "" } else { DAYS };
    let bench = Bench::after(&stream(&format!("{LINES}{days}{}", setup.lines)), &readings);
    let mut said = Said { yhat: vec![f64::NAN; sent.len()], bounds: vec![[f64::NAN; 2]; sent.len()] };
    for (_, _, forecast) in &bench.answers {
        let at = (forecast.origin.as_micros() - hour(0).as_micros()) / 3_600_000_000;
        let target = &forecast.targets[0];
        let held = |value: f64| setup.transform.apply(value);
        said.yhat[at as usize] = held(target.yhat[0]);
        said.bounds[at as usize] = [held(target.quantiles[0]), held(target.quantiles[12])];
    }
    said
}

/// What a property found over all histories of one kind.
#[derive(Default)]
struct Found {
    histories: f64,
    wrong: usize,
    worst: f64,
    first: f64,
    later: f64,
    example: String,
}

type Table = std::collections::BTreeMap<String, Found>;

/// Three readings after a level has moved for good, the forecast of the next one is there: off by no more than
/// a quarter of the way (half of one that is no larger than what the series does by itself) and one and a half
/// times the width of its interval. Of the next 48 readings the intervals of all histories
/// of a kind cover 75 %, and 85 % of the season after.
#[test]
fn a_lasting_change_is_a_new_level_after_three_readings() {
    for (seed, setup) in (1..).zip(&SETUPS) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut table, mut all) = (Table::new(), Found::default());
        for _ in 0..setup.histories {
            let mut history = History::draw(setup, &mut rng, usize::MAX, 8);
            if rng.random_bool(0.3) {
                history.after = KINDS[rng.random_range(0..4)];
            }
            history.readings = history.at + 4 * SEASON;
            let (held, sent) = history.values(setup);
            let said = run(&history, setup, &sent);
            let known = history.at + 2;
            let off = (said.yhat[known] - held[known + 1]).abs() / history.scale;
            let width = said.width(known) / history.scale;
            let found = table.entry(format!("{:?} to {:?}", history.before, history.after)).or_default();
            found.histories += 1.0;
            let by = history.by.abs();
            if off > (0.25 * by).max((0.5 * by).min(5.0)) + 1.5 * width {
                found.wrong += 1;
                found.example =
                    format!("off by {off:.3}, moved by {:.3}, width {width:.3}: {history:?}", history.by);
            }
            // An interval that was blown up covers, too.
            let wide = said.width(history.readings - 2) / history.scale;
            let moves = |kind: Kind| matches!(kind, Kind::Walk | Kind::Counter);
            if wide > 15.0 && !moves(history.before) && !moves(history.after) {
                found.wrong += 1;
                found.example = format!("{wide:.3} wide after the season: {history:?}");
            }
            for found in [found, &mut all] {
                found.first += said.coverage(&held, known + 1..history.at + 2 * SEASON);
                found.later += said.coverage(&held, history.at + 2 * SEASON..history.readings);
            }
        }
        all.histories = setup.histories as f64;
        table.insert("all".into(), all);
        show(setup, &table);
        for (kind, found) in &table {
            let many = found.histories >= 20.0;
            assert!(
                found.wrong == 0,
                "{setup:?}, {kind}: {} of {} histories: {}",
                found.wrong,
                found.histories,
                found.example
            );
            assert!(
                !many || found.first / found.histories > 0.75,
                "{setup:?}, {kind}: {}",
                found.first / found.histories
            );
            assert!(
                !many || found.later / found.histories > 0.85,
                "{setup:?}, {kind}: {}",
                found.later / found.histories
            );
        }
    }
}

/// A spike of one reading moves the next forecast by no more than the width of an interval, and half as much more
/// where the series walks at random or is known by its steps; after one of two
/// or three readings twice that holds from the second reading on that is back.
#[test]
fn a_spike_harms_nothing() {
    for (seed, setup) in (101..).zip(&SETUPS) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut table = Table::new();
        for _ in 0..setup.histories {
            let lasts = rng.random_range(1..=3);
            let mut history = History::draw(setup, &mut rng, lasts, 24);
            if lasts > 1 {
                // Where the series has been, two that agree are what it does.
                let least = if history.before == Kind::Counter { 2_000.0 } else { 60.0 };
                history.by = history.by.signum() * history.by.abs().max(least);
            }
            history.readings = history.at + SEASON;
            let (_, sent) = history.values(setup);
            let spiked = run(&history, setup, &sent);
            let (_, sent) = History { by: 0.0, ..history.clone() }.values(setup);
            let calm = run(&history, setup, &sent);
            let at = if lasts == 1 { history.at } else { history.at + lasts + 1 };
            let apart = (spiked.yhat[at] - calm.yhat[at]).abs() / history.scale;
            let least = 1e-5 * (1.0 + history.level.abs());
            // That in which it was expected, and that of the next.
            let width = calm.width(at).max(calm.width(history.at - 1));
            let width = (width / history.scale).max(least);
            let found = table.entry(format!("{:?} for {lasts}", history.before)).or_default();
            found.histories += 1.0;
            found.worst = found.worst.max(apart / width);
            let most = match (lasts, history.before) {
                (1, Kind::Walk) => 1.5 * width,
                (1, _) if setup.lines.contains("difference") => 1.25 * width,
                (1, _) => width,
                _ => 2.0 * width,
            };
            if apart > most {
                found.wrong += 1;
                found.example = format!("apart {apart:.3}, width {width:.3}: {history:?}");
            }
        }
        show(setup, &table);
        for (kind, found) in &table {
            assert!(
                found.wrong == 0,
                "{setup:?}, {kind}: {} of {} histories: {}",
                found.wrong,
                found.histories,
                found.example
            );
        }
    }
}

fn show(setup: &Setup, table: &Table) {
    println!("{:?}", setup.lines);
    for (kind, found) in table {
        println!(
            "{kind:<34} {:5} histories, {:3} wrong, worst {:8.3}, coverage {:.3} {:.3} {}",
            found.histories,
            found.wrong,
            found.worst,
            found.first / found.histories,
            found.later / found.histories,
            found.example
        );
    }
}

/// The widths of a constant series' intervals are nothing beside what it does next, and not there for ever.
#[test]
fn a_constant_series_has_a_tight_interval_and_no_frozen_one() {
    let (mut rng, mut sum) = (ChaCha8Rng::seed_from_u64(201), 0.0);
    for _ in 0..200 {
        let before = KINDS[rng.random_range(0..3)];
        let (noisy, calm) = (rng.random_range(24..200), rng.random_range(100..1_500));
        let (scale, seed) = (10f64.powi(rng.random_range(-9..=9)), rng.random());
        let shape = |i: usize| match before {
            Kind::Constant => 0.0,
            Kind::Noise => noise(seed, i as u64),
            _ => 3.0 * (std::f64::consts::TAU * i as f64 / SEASON as f64).sin(),
        };
        let value = |i: usize| match i {
            i if i < noisy => shape(i),
            i if i < noisy + calm => 0.0,
            i => noise(seed, i as u64),
        };
        let values: Vec<f64> = (0..noisy + calm + 72).map(|i| scale * (50.0 + value(i))).collect();
        let history = History {
            before,
            after: Kind::Noise,
            scale,
            level: 50.0,
            at: 0,
            by: 0.0,
            lasts: 0,
            readings: values.len(),
            gaps: false,
            seed,
        };
        let said = run(&history, &PLAIN, &values);
        let last = noisy + calm - 1;
        let width = said.width(last) / scale;
        let most = if before == Kind::Season { 3.0 } else { 1.0 };
        assert!(width < most, "{width} after {calm} readings of a calm: {history:?}");
        let covered = said.coverage(&values, last + 4..last + 52);
        assert!(covered > 0.3, "{covered} after {calm} readings of a calm: {history:?}");
        sum += covered;
    }
    assert!(sum / 200.0 > 0.75, "{}", sum / 200.0);
}

/// What a series that has stood still does next, told by the forecast of lead 1: ramps, and levels of another
/// sign.
#[test]
fn what_stood_still_is_followed_when_it_moves() {
    let mut rng = ChaCha8Rng::seed_from_u64(202);
    for _ in 0..300 {
        let (still, scale) = (rng.random_range(8..200), 10f64.powi(rng.random_range(-9..=9)));
        let level = *[0.0, 7.0, -3.0].get(rng.random_range(0..3)).unwrap();
        let is_ramp = rng.random_bool(0.5);
        let value = |i: usize| match i {
            i if i < still => level,
            i if is_ramp => level + (i - still + 1) as f64,
            _ => -level - 20.0,
        };
        let values: Vec<f64> = (0..still + 40).map(|i| scale * value(i)).collect();
        let readings: Vec<Sensed> = (0..values.len())
            .map(|i| Sensed { series: "s".into(), time: hour(i as i64), value: Some(values[i]) })
            .collect();
        let bench = Bench::after(&stream(&format!("{LINES}{DAYS}{ALONE}")), &readings);
        // A ramp has gone on by a step, or by a few while it is young.
        let off = |i: usize| (bench.answers[i].2.targets[0].yhat[0] - values[i + 1]).abs() / scale;
        let near = |i: usize| off(i) <= if is_ramp { 2.0 + 0.6 * (i - still + 1) as f64 } else { 0.01 };
        let after = still + 3..values.len() - 1;
        let (n, followed) = (after.len(), after.filter(|i| near(*i)).count());
        // A young series is forecast by the mean of its experts, of which some look a season back.
        let wanted = match (is_ramp, still < 100) {
            (false, _) => n,
            (true, true) => n / 2,
            (true, false) => n * 3 / 4,
        };
        assert!(followed >= wanted, "{followed} of {n} after {still} readings at {level}, ramp {is_ramp}");
    }
}

/// A shard that comes back in the middle of a doubt goes on as if it had never gone.
#[test]
fn what_is_doubted_survives_a_snapshot() {
    let stream = stream(&format!("{LINES}{DAYS}{ALONE}"));
    let value = |i: i64| match i {
        100 | 160.. => 1e6 + noise(3, i as u64),
        _ => noise(3, i as u64),
    };
    let reading = |i: i64| Sensed { series: "s".into(), time: hour(i), value: Some(value(i)) };
    let mut whole = Bench::new(&stream);
    for i in 0..220 {
        whole.offer(&reading(i), i);
        whole.step();
    }
    for cut in [101, 102, 160, 161, 162, 165] {
        let mut first = Bench::new(&stream);
        (0..cut).for_each(|i| {
            first.offer(&reading(i), i);
            first.step();
        });
        let mut second = Bench::new(&stream);
        second.shard = restored(&mut first.shard, None, 4_096);
        (cut..220).for_each(|i| {
            second.offer(&reading(i), i);
            second.step();
        });
        assert_eq!(whole.answers[cut as usize..], second.answers, "cut at {cut}");
    }
    let accounts = whole.shard.take_accounts();
    // Both wild readings, and one of the noise that was far from its forecast.
    assert_eq!((accounts.doubted(Doubt::Outlier), accounts.doubted(Doubt::LevelShift)), (3, 1));
    // What is shown are the readings as they came, whatever the level.
    let slot = whole.shard.find("s").unwrap();
    let shown = whole.shard.recent(slot, 0, 100);
    for (i, (_, shown)) in (120..).zip(&shown) {
        assert!((shown.unwrap() - value(i)).abs() < 0.1, "{i}: {shown:?}");
    }
}
