//! The pool, its mixture and the intervals around it on one hourly series, strictly causal, as the
//! shard calls them: what has arrived is learnt from, then the reading is stepped on and forecast from.

use std::io::Read;
use std::time::{Duration, Instant};

use tidecast::config::{self, Accuracy};
use tidecast::domain::{Grid, Interval, Leads, Level, Levels, PastReadings, Rows};
use tidecast::experts::{ExpertGroup, LinearExperts, LinearShape, MIXTURES, Mixer, Observation};
use tidecast::scoring::{Actual, ForecastLedger, Intervals};
use tidecast::series::Calendar;

pub const HORIZON: usize = 24;
pub const SEASONS: [usize; 2] = [24, 168];
const LEVELS: [f64; 4] = [0.025, 0.1, 0.9, 0.975];

/// An hourly series without gaps: what was missing holds the value before.
pub struct Hourly {
    /// Hours since 1970 of the first value.
    pub first: i64,
    pub values: Vec<f64>,
}

/// Mean absolute errors over the origins of the second half.
pub struct Judged {
    pub names: Vec<&'static str>,
    /// `[experts + mixture, horizon]`
    pub errors: Vec<Vec<f64>>,
    pub coverage_80: f64,
    pub coverage_95: f64,
    /// Of a reading, everything.
    pub each: Duration,
    /// Of a reading, the pool alone.
    pub pool_each: Duration,
    pub bytes: [usize; 4],
}

impl Judged {
    pub fn mean(&self, expert: usize) -> f64 {
        self.errors[expert].iter().sum::<f64>() / self.errors[expert].len() as f64
    }

    pub fn mixture(&self) -> usize {
        self.errors.len() - 1
    }
}

/// The temperature at JFK of `data/`.
pub fn jfk() -> Hourly {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/data/nyc_airports_hourly.csv.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    let mut rows: Vec<(i64, f64)> = Vec::new();
    for line in text.lines().filter(|l| l.starts_with("JFK,")) {
        let fields: Vec<&str> = line.split(',').collect();
        let part = |i: usize| fields[i].parse::<i8>().unwrap();
        let date = jiff::civil::date(fields[1].parse().unwrap(), part(2), part(3)).at(part(4), 0, 0, 0);
        let hour = date.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_second() / 3_600;
        // The local clock is set back once a year: of two equal hours the first counts.
        if rows.last().is_none_or(|(last, _)| *last < hour) {
            rows.push((hour, fields[5].parse().unwrap_or(f64::NAN)));
        }
    }
    held(&rows)
}

/// The load of the French grid, where the shared data are.
pub fn rte() -> Option<Hourly> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/power/rte_load_hourly.csv");
    let path = std::env::var("TIDECAST_RTE_LOAD").unwrap_or_else(|_| path.into());
    let text = std::fs::read_to_string(path).ok()?;
    let rows: Vec<(i64, f64)> = text
        .lines()
        .skip(1)
        .map(|line| {
            let (time, value) = line.split_once(',').unwrap();
            let time: jiff::civil::DateTime = time.replace(' ', "T").parse().unwrap();
            let hour = time.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_second() / 3_600;
            (hour, value.parse().unwrap())
        })
        .collect();
    Some(held(&rows))
}

fn held(rows: &[(i64, f64)]) -> Hourly {
    let first = rows[0].0;
    let mut values = vec![f64::NAN; (rows[rows.len() - 1].0 - first + 1) as usize];
    rows.iter().for_each(|(hour, value)| values[(hour - first) as usize] = *value);
    for i in 1..values.len() {
        if values[i].is_nan() {
            values[i] = values[i - 1];
        }
    }
    Hourly { first, values }
}

/// The pool of one target, with so many extras, and the leads that are scored.
pub fn shape(accuracy: Accuracy, extras: usize) -> (LinearShape, Leads) {
    let leads = match accuracy {
        Accuracy::Full => Leads::fine(HORIZON, Some(SEASONS[0])),
        Accuracy::Compact => Leads::coarse(HORIZON, Some(SEASONS[0])),
    };
    let seasons = SEASONS.to_vec();
    (
        LinearShape {
            targets: 1,
            horizon: HORIZON,
            seasons,
            extras,
            shown_again: extras,
            accuracy,
            difference: false,
            linear: true,
        },
        leads,
    )
}

pub fn run(series: &Hourly, accuracy: Accuracy) -> Judged {
    let grid = Grid::Fixed(Interval::new(Duration::from_secs(3_600)).unwrap());
    let which = config::Calendar { day: true, week: true, year: false };
    let mut calendar = Calendar::new(which, grid, jiff::tz::TimeZone::UTC);
    let extras = if accuracy == Accuracy::Full { calendar.width() } else { 0 };
    let (shape, leads) = shape(accuracy, extras);
    let mut pool = LinearExperts::try_new(&shape).unwrap();
    let experts = pool.names().len();
    let mut mixer = Mixer::new(1, experts, leads.clone(), pool.mix_from());
    let learnt = leads.len();
    // Compact keeps no bounds: it judges those that it would give now, before it learns.
    let keeps_bounds = accuracy == Accuracy::Full;
    let lanes = experts + MIXTURES + if keeps_bounds { LEVELS.len() } else { 0 };
    let mut waiting = ForecastLedger::new(1, lanes, &leads);
    let levels = Levels::new(LEVELS.map(|l| Level::try_new(l).unwrap()).to_vec());
    let mut intervals = Intervals::new(1, &leads, SEASONS[0], &levels);
    pool.grow(1);
    mixer.grow(1);
    waiting.grow(1);
    intervals.grow(1);

    let mut said = vec![0.0f32; (experts + MIXTURES + LEVELS.len()) * HORIZON];
    let mut matured = vec![0.0f32; lanes * learnt];
    let (mixture, first_bound) = (experts + 2, experts + MIXTURES);
    let n = series.values.len();
    let mut errors = vec![vec![0.0f64; HORIZON]; experts + 1];
    let (mut inside_80, mut inside_95, mut judged) = (0usize, 0usize, 0usize);
    let (mut spent, mut spent_pool) = (Duration::ZERO, Duration::ZERO);
    let (anchor, mut held) = (series.values[0], Vec::new());
    for (t, value) in series.values.iter().enumerate() {
        let now = t as u64;
        let cell = series.first + t as i64;
        let then = calendar.features(cell - HORIZON as i64)[..extras].to_vec();
        let features = &calendar.features(cell)[..extras];
        let began = Instant::now();
        let value = (value - anchor) as f32;
        waiting.matured(0, 0, now, &mut matured);
        let (by_each, by_all) = matured[..(experts + MIXTURES) * learnt].split_at(experts * learnt);
        mixer.learn(0, 0, value, by_each, by_all);
        for i in 0..learnt {
            let lane = |lane: usize| matured[lane * learnt + i];
            let (point, mut bounds) = (lane(mixture), [0.0; LEVELS.len()]);
            let phase = intervals.phase(cell);
            let given = intervals.quantiles(0, 0, phase, i + 1, point, 0.0, &mut bounds);
            if keeps_bounds {
                bounds = std::array::from_fn(|l| lane(first_bound + l));
            }
            intervals.update(0, 0, phase, i + 1, Actual::accepted(value), point, given, &bounds);
        }
        let began_pool = Instant::now();
        let past = PastReadings::new(&held, held.len().saturating_sub(1));
        let reading = Observation { value, observed: true, clock: cell, extras: features, then: &then, past };
        pool.step(0, 0, &reading, &mut said[..experts * HORIZON]);
        held.push(value);
        spent_pool += began_pool.elapsed();
        let (forecasts, rest) = said.split_at_mut(experts * HORIZON);
        let (mixed, bounds) = rest.split_at_mut(MIXTURES * HORIZON);
        mixer.mix(0, 0, forecasts, mixed);
        intervals.surround(0, 0, cell, &mixed[2 * HORIZON..], pool.deviation(0, 0), bounds);
        waiting.issue(0, 0, now, (value, pool.deviation(0, 0), true), &said[..lanes * HORIZON]);
        spent += began.elapsed();
        if t >= n / 2 && t < n - HORIZON {
            judged += 1;
            for i in 0..HORIZON {
                let truth = (series.values[t + i + 1] - anchor) as f32;
                let at = |row: usize| said[row * HORIZON + i];
                for (e, error) in errors.iter_mut().enumerate() {
                    let row = if e == experts { mixture } else { e };
                    error[i] += f64::from((at(row) - truth).abs());
                }
                let within = |low: usize, high: usize| {
                    at(first_bound + low) <= truth && truth <= at(first_bound + high)
                };
                inside_95 += usize::from(within(0, 3));
                inside_80 += usize::from(within(1, 2));
            }
        }
    }
    errors.iter_mut().flatten().for_each(|e| *e /= judged as f64);
    let mut names = pool.names().to_vec();
    names.push("mixture");
    let share = |inside: usize| inside as f64 / (judged * HORIZON) as f64;
    Judged {
        names,
        errors,
        coverage_80: share(inside_80),
        coverage_95: share(inside_95),
        each: spent / n as u32,
        pool_each: spent_pool / n as u32,
        bytes: [pool.bytes_each(), mixer.bytes_each(), waiting.bytes_each(), intervals.memory()],
    }
}
