//! The seeded plan of a run: what is written to the log, which models there are, and what may go wrong.

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;
use tidecast::config::{Config, Stream, from_toml};
use tidecast::domain::{EventTime, ModelVersion, Partition, TopicPartition, Values};
use tidecast::engine::Model;
use tidecast::nn::{Device, Weights};
use tidecast::training::blueprint;

pub const TOPIC: &str = "in";
pub const FORECASTS: &str = "out";
pub const DEAD_LETTERS: &str = "dead";
/// What no forecast or dead letter of this series fits into.
pub const TOO_LARGE: &str = "s1";
const HOUR_US: i64 = 3_600_000_000;

/// What a stream may be like.
const KINDS: [&str; 14] = [
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
    "counters = { kw = \"interval\" }\nmax_gap = 2\nlateness = \"2h\"",
    "aggregate = \"join\"\nlateness = \"2h\"\ncovariates = [\"t\"]\nfields.name = \"/name\"\nfields.values = { kw = \"/kw\", t = \"/kw\" }",
];

/// What happens to the log or the group's offsets, so that a run that never failed is no measure for all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    None,
    /// Old records are deleted, read or not.
    Retention,
    /// The topic is deleted and created again.
    Recreation,
    /// The log loses its end.
    Truncation,
    /// Another program moves the group's offsets.
    MovedOffsets,
}

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
    /// No record lies at this offset: it is a transaction's marker.
    pub gap: bool,
    /// Counts the logs that were written under these offsets.
    pub log: i64,
}

impl Sent {
    /// Which value it is, for a stream that reads one at a time.
    fn name(&self) -> &'static str {
        if self.time.as_micros() / 60_000_000 % 2 == 0 { "kw" } else { "t" }
    }

    /// What a stream reads of it.
    pub fn values(&self, stream: &Stream) -> Values {
        match stream.fields.name {
            Some(_) => {
                ["kw", "t"].into_iter().map(|name| self.value.filter(|_| name == self.name())).collect()
            }
            None => Values::from_iter([self.value]),
        }
    }

    pub fn payload(&self) -> Vec<u8> {
        let value = self.value.map_or("null".to_owned(), |value| format!("{value:?}"));
        let text = match self.bad {
            true => format!("bad {}", self.log),
            false => {
                let (at, name) = (self.time.as_micros(), self.name());
                format!("{{\"at\":{at},\"name\":\"{name}\",\"kw\":{value}}}")
            }
        };
        text.into_bytes()
    }
}

/// The log that an event time belongs to.
pub fn log_of(time: EventTime) -> i64 {
    (time.as_micros().div_euclid(HOUR_US) - FIRST_HOUR + 1_000) / HOURS_PER_LOG
}

const FIRST_HOUR: i64 = 472_000;
const HOURS_PER_LOG: i64 = 4_000;

/// A run's plan, all of it from the seed.
pub struct Plan {
    pub config: Arc<Config>,
    /// By partition.
    pub log: Vec<Vec<Sent>>,
    /// By stream and version. The first serves from the beginning; where models change, the others are announced
    /// later.
    pub models: Vec<Vec<Model>>,
    pub models_change: bool,
    pub damage: Damage,
    /// Outputs of one series are too large.
    pub too_large: bool,
    pub workers: usize,
}

impl Plan {
    pub fn of(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let damages = [Damage::Retention, Damage::Recreation, Damage::Truncation, Damage::MovedOffsets];
        let damage = if rng.random_bool(0.35) { *damages.choose(&mut rng).unwrap() } else { Damage::None };
        let models_change = damage == Damage::None && rng.random_bool(0.4);
        // Of a damaged log only what needs no state is judged: records that are bad are dead letters.
        let kind = if damage == Damage::None { *KINDS.choose(&mut rng).unwrap() } else { "" };
        let config = Arc::new(config(&mut rng, kind, models_change));
        let partitions = rng.random_range(1..=3);
        let bad = if damage == Damage::None { 0.03 } else { 0.3 };
        let anywhere = config.streams[0].aggregate.is_some();
        let log = (0..partitions).map(|_| sent(&mut rng, anywhere, bad, 0)).collect();
        let versions = if models_change { 3 } else { 1 };
        let models = config.streams.iter().map(|stream| models(&mut rng, stream, versions)).collect();
        let too_large = damage == Damage::None && rng.random_bool(0.1);
        let workers = rng.random_range(1..=3);
        Self { config, log, models, models_change, damage, too_large, workers }
    }

    pub fn at(partition: usize) -> TopicPartition {
        TopicPartition { topic: TOPIC.into(), partition: Partition(partition as i32) }
    }

    /// How many versions there are of each stream's model.
    pub fn versions(&self) -> usize {
        self.models[0].len()
    }

    pub fn streams(&self) -> &[Arc<Stream>] {
        &self.config.streams
    }
}

/// Models of random weights: fresh ones correct nothing, and their states would show nowhere.
fn models(rng: &mut ChaCha8Rng, stream: &Stream, versions: u64) -> Vec<Model> {
    let shape = blueprint(stream, &stream.model.networks[0]).unwrap();
    let mut model = |version: u64| {
        let values = (0..shape.parameter_count()).map(|_| rng.random_range(-0.5..0.5)).collect();
        let weights = Arc::new(Weights::try_new(shape, values).unwrap());
        Model { version: ModelVersion(version), networks: vec![Some(weights)], device: Device::cpu() }
    };
    (1..=versions).map(&mut model).collect()
}

fn config(rng: &mut ChaCha8Rng, kind: &str, trains: bool) -> Config {
    let two = rng.random_bool(0.3);
    let pick = |rng: &mut ChaCha8Rng, all: &[&str]| (*all.choose(rng).unwrap()).to_owned();
    let commit_readings = pick(rng, &["3", "20", "1000"]);
    let commit_interval = pick(rng, &["20ms", "250ms", "2s"]);
    let every = pick(rng, &["1s", "1s", "5s"]);
    let restore_timeout = pick(rng, &["1s", "60s"]);
    let stop_timeout = "10s";
    let keep = rng.random_range(1..=3);
    // A fixed number: with "auto" a replay may learn at other origins than the run before it.
    let learn_every = if keep == 2 { 5 } else { 1 };
    let stream = |name: &str, kind: &str| {
        format!(
            "[streams.{name}]\ntopics = [\"{TOPIC}\"]\nforecast_topic = \"{FORECASTS}-{name}\"\n\
             dead_letter_topic = \"{DEAD_LETTERS}-{name}\"\ninterval = \"1h\"\ntargets = [\"kw\"]\nhorizon = 3\n\
             seasons = [6]\nwindow = 24\ncalendar = []\ncold_replay = \"36500d\"\nlearn_every = {learn_every}\nmodel = {{ hidden = 3 }}\n\
             training = {{ enabled = {trains}, first_after = 8, every = 4, holdout = 4, burn_in = 1, truncation = 4 }}\n\
             fields.time = \"/at\"\nfields.time_format = \"us\"\n{kind}\n"
        )
    };
    let mut text = format!(
        "[kafka]\nbrokers = \"localhost:9092\"\n[daemon]\nstop_timeout = \"{stop_timeout}\"\n[delivery]\n\
         commit_readings = {commit_readings}\ncommit_interval = \"{commit_interval}\"\n[snapshots]\n\
         every = \"{every}\"\nkeep = {keep}\nrestore_timeout = \"{restore_timeout}\"\n"
    );
    text += &stream("sim", kind);
    if two {
        text += &stream("other", "");
    }
    from_toml(&text, &[]).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// Readings of a few series: disorder, duplicates, gaps, silences, missing values, bad records, and clocks that
/// run ahead, by less than the day after which a record is bad. At whole hours, or anywhere in them.
pub fn sent(rng: &mut ChaCha8Rng, anywhere: bool, bad: f64, log: i64) -> Vec<Sent> {
    // Few with long histories, or more than the tables have room for at first.
    let series = if rng.random_bool(0.7) { rng.random_range(1..8) } else { rng.random_range(17..40) };
    let mut hour = FIRST_HOUR + log * HOURS_PER_LOG;
    let mut records: Vec<Sent> = Vec::new();
    let timed = rng.random_bool(0.7);
    let marked = rng.random_bool(0.5);
    let mut wrong = None;
    for _ in 0..rng.random_range(20..240) {
        if marked && !records.is_empty() && rng.random_bool(0.05) {
            let last = records[records.len() - 1].clone();
            records.push(Sent { gap: true, ..last });
            continue;
        }
        if rng.random_bool(0.04)
            && let Some(again) = records.choose(rng).cloned()
            && !again.gap
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
            wrong = Some((s, rng.random_range(1..20)));
        }
        let ahead = wrong.filter(|(of, _)| *of == s).map_or(0, |(_, ahead)| ahead);
        if rng.random_bool(0.7) {
            wrong = wrong.filter(|(of, _)| *of != s);
        }
        let time = |hour: i64| EventTime::from_micros(hour * HOUR_US + within_us).unwrap();
        records.push(Sent {
            series: format!("s{s}"),
            time: time(at + ahead),
            record: timed.then(|| time(hour + if rng.random_bool(0.2) { ahead } else { 0 })),
            value: rng.random_bool(0.95).then(|| 10.0 * f64::from(s) + rng.random_range(-1.0..1.0)),
            bad: rng.random_bool(bad),
            gap: false,
            log,
        });
    }
    records.retain({
        // The last offset has a record, so that a group that has read all stands at the end.
        let last = records.iter().rposition(|sent| !sent.gap).unwrap_or(0);
        let mut at = 0;
        move |_| {
            at += 1;
            at <= last + 1
        }
    });
    records
}
