//! What outlives a worker: the log, the group's offsets, what was committed, the store. And the
//! seeded plan of what is written to the log.

use crate::faulty::Faulty;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;
use tidecast::checkpoint::{Bundles, Champion, Store};
use tidecast::config::{Stream, from_toml};
use tidecast::domain::{EventTime, ModelVersion, Partition, TopicPartition};
use tidecast::engine::Model;
use tidecast::nn::{Device, Weights};
use tidecast::training::{Shapes, blueprint};

/// What a stream may be like.
const KINDS: [&str; 12] = [
    "",
    "lateness = \"4h\"",
    "lateness = \"3h\"\nmax_held = 5",
    "max_series = 3",
    "max_series = 4\nidle_ttl = \"30h\"\nlateness = \"2h\"",
    "fill = \"mask\"\nmax_gap = 2",
    "emit_every = 3",
    "emit_every = \"5h\"\nlateness = \"3h\"\nmax_series = 3",
    "aggregate = \"mean\"",
    "aggregate = \"last\"\nlateness = \"3h\"",
    "aggregate = \"mean\"\nlateness = \"90m\"\nmax_held = 4\nmax_series = 5",
    "difference = true\nmax_gap = 2",
];

/// One record of the log.
#[derive(Clone, Debug)]
pub struct Sent {
    pub series: String,
    pub time: EventTime,
    /// The record's own.
    pub record: Option<EventTime>,
    /// `None` for a missing value.
    pub value: Option<f64>,
    /// It can't be decoded.
    pub bad: bool,
}

/// What was committed for a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    Forecast { series: String, origin: EventTime, model: Option<ModelVersion>, values: Vec<f64> },
    DeadLetter,
}

/// A run's plan, all of it from the seed.
pub struct Plan {
    pub stream: Arc<Stream>,
    /// By partition.
    pub log: Vec<Vec<Sent>>,
    /// Where the second model takes over from the first. By partition.
    pub swaps: Vec<i64>,
    pub models: [Model; 2],
    pub workers: usize,
    pub keep: usize,
}

impl Plan {
    pub fn of(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let kind = KINDS.choose(&mut rng).unwrap();
        let text = format!(
            "[kafka]\nbrokers = \"localhost:9092\"\n[streams.sim]\ntopics = [\"in\"]\ninterval = \"1h\"\n\
             targets = [\"kw\"]\nhorizon = 3\nseasons = [6]\nwindow = 24\ncalendar = []\n\
             model = {{ hidden = 3 }}\ntraining = {{ enabled = false }}\n{kind}\n"
        );
        let stream = from_toml(&text, &[]).unwrap_or_else(|e| panic!("{e}")).streams[0].clone();
        let partitions = rng.random_range(1..=3);
        let log: Vec<Vec<Sent>> =
            (0..partitions).map(|_| sent(&mut rng, stream.aggregate.is_some())).collect();
        let swaps = log.iter().map(|records| rng.random_range(0..2 * records.len() as i64)).collect();
        let shape = blueprint(&stream, &stream.model.networks[0]).unwrap();
        // Of any numbers: fresh weights correct nothing, and their states would show nowhere.
        let mut model = |version: u64| {
            let values = (0..shape.parameter_count()).map(|_| rng.random_range(-0.5..0.5)).collect();
            let weights = Arc::new(Weights::try_new(shape, values).unwrap());
            Model { version: ModelVersion(version), networks: vec![Some(weights)], device: Device::cpu() }
        };
        let models = [model(1), model(2)];
        Self { stream, log, swaps, models, workers: rng.random_range(1..=3), keep: rng.random_range(1..=3) }
    }

    pub fn at(partition: usize) -> TopicPartition {
        TopicPartition { topic: "in".into(), partition: Partition(partition as i32) }
    }
}

/// Readings of a few series: disorder, duplicates, gaps, silences, missing values, bad records, and clocks
/// that run ahead.
/// At whole hours, or anywhere in them.
fn sent(rng: &mut ChaCha8Rng, anywhere: bool) -> Vec<Sent> {
    // Few with long histories, or more than the tables have room for at first.
    let series = if rng.random_bool(0.7) { rng.random_range(1..8) } else { rng.random_range(17..40) };
    let mut hour = 472_000;
    let mut records: Vec<Sent> = Vec::new();
    let timed = rng.random_bool(0.7);
    let mut wrong = None;
    for _ in 0..rng.random_range(20..240) {
        if rng.random_bool(0.04)
            && let Some(again) = records.choose(rng).cloned()
        {
            records.push(again);
            continue;
        }
        hour += match rng.random_range(0..40) {
            0 => rng.random_range(2..60),
            1..=12 => 1,
            _ => 0,
        };
        let s = rng.random_range(0..series);
        let at = hour - if rng.random_bool(0.2) { rng.random_range(0..5) } else { 0 };
        let within_us = if anywhere { rng.random_range(0..60) * 60_000_000 } else { 0 };
        // For a reading, or for a while.
        if rng.random_bool(0.03) {
            wrong = Some((s, rng.random_range(1..60)));
        }
        let ahead = wrong.filter(|(of, _)| *of == s).map_or(0, |(_, ahead)| ahead);
        if rng.random_bool(0.7) {
            wrong = wrong.filter(|(of, _)| *of != s);
        }
        let time = |hour: i64| EventTime::from_micros(hour * 3_600_000_000 + within_us).unwrap();
        records.push(Sent {
            series: format!("s{s}"),
            time: time(at + ahead),
            record: timed.then(|| time(hour + if rng.random_bool(0.2) { ahead } else { 0 })),
            value: rng.random_bool(0.95).then(|| 10.0 * f64::from(s) + rng.random_range(-1.0..1.0)),
            bad: rng.random_bool(0.03),
        });
    }
    records
}

/// Everything that is durable, and who may write it.
pub struct World {
    pub plan: Plan,
    pub disk: Arc<Faulty>,
    pub store: Store,
    /// Records that are in the log by now.
    pub available: Vec<usize>,
    pub committed: Vec<i64>,
    /// By partition: the offset and what was committed for it.
    pub outputs: Vec<Vec<(i64, Output)>>,
    /// The group's generation, and in which of them a worker got each partition.
    pub generation: u32,
    pub owners: Vec<Option<usize>>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let plan = Plan::of(seed);
        let disk = Arc::new(Faulty::new(seed));
        let store = Store::over(disk.clone());
        let bundles = Bundles::new(&store, &plan.stream.name);
        for model in &plan.models {
            let networks = Shapes::of(&plan.stream).unwrap().networks(&model.networks);
            let champion = Champion {
                version: model.version,
                networks,
                rounds: model.version.0,
                facts: Default::default(),
            };
            bundles.keep(&champion).unwrap();
        }
        let partitions = plan.log.len();
        Self {
            disk,
            store,
            available: vec![0; partitions],
            committed: vec![0; partitions],
            outputs: vec![Vec::new(); partitions],
            generation: 0,
            owners: vec![None; partitions],
            plan,
        }
    }

    /// Whether all that was written is committed.
    pub fn is_done(&self) -> bool {
        let ends = self.plan.log.iter().map(Vec::len);
        ends.zip(&self.committed).all(|(end, committed)| end as i64 == *committed)
    }
}
