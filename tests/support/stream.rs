//! Streams and readings for tests of the engine.

use std::sync::Arc;
use tidecast::config::{Stream, from_toml};
use tidecast::domain::{EventTime, Forecast, Reading, Values};
use tidecast::engine::{Emitted, Model, Offered, Restore, Shard};
use tidecast::nn::Device;
use tidecast::nn::Networks;
use tidecast::training::{Former, Outcome, RoundSchedule, Shapes, Start, StreamProgress, TrainingRound};

/// A stream of one hourly target, with these lines on top.
pub fn stream(lines: &str) -> Arc<Stream> {
    let text = format!(
        "[kafka]\nbrokers = \"localhost:9092\"\n[streams.test]\ntopics = [\"in\"]\ninterval = \"1h\"\n\
         targets = [\"kw\"]\n{lines}\n"
    );
    from_toml(&text, &[]).unwrap_or_else(|e| panic!("{e}")).streams[0].clone()
}

/// A small network that is trained in a moment, and serves as soon as it is better than its base at all.
pub const SMALL: &str = "horizon = 6\nseasons = [24]\nwindow = 512\nmodel = { hidden = 8, base = \"seasonal\" }\n\
    training = { first_after = 200, every = 100, first_steps = 120, steps = 20, batch = 8, truncation = 32, holdout = 48 }\n\
    promotion = { confidence = 0, gain = 0 }";

/// One reading of a test.
#[derive(Clone, Debug)]
pub struct Sensed {
    pub series: String,
    pub time: EventTime,
    pub value: Option<f64>,
}

pub fn hour(h: i64) -> EventTime {
    EventTime::from_micros(1_700_000_000_000_000 / 3_600_000_000 * 3_600_000_000 + h * 3_600_000_000).unwrap()
}

/// A deterministic noise in [-1, 1].
pub fn noise(seed: u64, i: u64) -> f64 {
    let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ i.wrapping_mul(0xD1B5_4A32_D192_ED03);
    for shift in [30, 27, 31] {
        x = (x ^ (x >> shift)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    }
    (x >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

/// Hourly readings of some series with a daily season, noise, and a few gaps and missing values.
pub fn sensed(series: usize, hours: i64, seed: u64) -> Vec<Sensed> {
    let mut all = Vec::new();
    for h in 0..hours {
        for s in 0..series {
            let n = noise(seed + s as u64, h as u64);
            if n > 0.97 {
                continue;
            }
            let season = (std::f64::consts::TAU * (h as f64 / 24.0 + s as f64 * 0.1)).sin();
            let value = 10.0 * (s + 1) as f64 + 3.0 * season + 0.5 * n;
            all.push(Sensed { series: format!("s{s}"), time: hour(h), value: (n > -0.97).then_some(value) });
        }
    }
    all
}

/// Networks of any numbers. Fresh weights correct nothing, so that their states would show nowhere.
pub fn any_model(stream: &Stream, version: u64) -> Model {
    let any = |kind| {
        let shape = tidecast::training::blueprint(stream, kind).unwrap();
        let values = (0..shape.parameter_count() as u64).map(|i| 0.5 * noise(version, i) as f32).collect();
        Some(Arc::new(tidecast::nn::Weights::try_new(shape, values).unwrap()))
    };
    let networks = stream.model.networks.iter().map(any).collect();
    Model { version: tidecast::domain::ModelVersion(version), networks, device: Device::cpu() }
}

/// What serves, as its bundle has it.
pub fn networks(stream: &Stream, model: &Model) -> Networks {
    Shapes::of(stream).unwrap().networks(&model.networks)
}

/// These networks, to serve.
pub fn model(stream: &Stream, version: u64, networks: &Networks) -> Model {
    let networks = Shapes::of(stream).unwrap().weights(networks);
    Model { version: tidecast::domain::ModelVersion(version), networks, device: Device::cpu() }
}

/// A shard in which networks of any numbers serve.
pub fn networked(stream: &Arc<Stream>) -> Shard {
    let mut shard = Shard::new(stream.clone());
    shard.bring(&any_model(stream, 1)).unwrap();
    shard.warm(usize::MAX).unwrap();
    shard
}

/// What comes back of a shard from its cut, where `model` is to be had.
pub fn restored(shard: &mut Shard, model: Option<&Model>, chunk: usize) -> Shard {
    restored_as(&shard.stream().clone(), shard, model, chunk)
}

/// The same under a config that has changed.
pub fn restored_as(stream: &Arc<Stream>, shard: &mut Shard, model: Option<&Model>, chunk: usize) -> Shard {
    assert_eq!(Shard::shape(stream), Shard::shape(shard.stream()));
    shard.between_rounds().unwrap().begin_cut();
    let mut restore = Restore::new(stream, model);
    while let Some(chunk) = shard.cut(chunk).unwrap() {
        restore.take(&chunk).unwrap();
    }
    restore.finish().unwrap()
}

/// Trains the first network of a shard on all that it has seen; where the round finds it better than none,
/// it serves at once.
pub fn first_network(shard: &mut Shard) -> bool {
    let (stream, samples) = (shard.stream().clone(), shard.samples(usize::MAX));
    let round = TrainingRound {
        stream: &stream,
        samples: &samples,
        champion: None,
        former: Former::Unwatched,
        shadow: None,
        start: Start::Afresh,
        number: 1,
    };
    let Outcome::Better { networks, .. } = round.run(&mut || true).unwrap() else { return false };
    shard.bring(&model(&stream, 1, &networks)).unwrap();
    shard.warm(usize::MAX).unwrap();
    true
}

/// What a shard answered: series, offset, forecast.
pub type Answer = (String, i64, Forecast);

/// A shard with the training of a backtest: rounds when they are due, in place.
pub struct Bench {
    pub stream: Arc<Stream>,
    pub shard: Shard,
    pub answers: Vec<Answer>,
    due: RoundSchedule,
    champion: Option<Networks>,
    pub versions: u64,
}

impl Bench {
    pub fn new(stream: &Arc<Stream>) -> Self {
        Self {
            stream: stream.clone(),
            shard: Shard::new(stream.clone()),
            answers: Vec::new(),
            due: RoundSchedule::new(stream, false),
            champion: None,
            versions: 0,
        }
    }

    /// A bench that has taken in all of these, each by itself, and trained when a round was due.
    pub fn after(stream: &Arc<Stream>, readings: &[Sensed]) -> Self {
        let mut bench = Self::new(stream);
        for (offset, reading) in readings.iter().enumerate() {
            bench.offer(reading, offset as i64);
            bench.step();
            bench.train();
        }
        bench
    }

    /// Offers readings under these offsets without stepping them.
    pub fn offer(&mut self, sensed: &Sensed, offset: i64) -> Offered {
        let values = Values::from_iter([sensed.value]);
        let reading = Reading { series: &sensed.series, time: sensed.time, later: None, values: &values };
        self.shard.offer(&reading, offset, Some(sensed.series.as_bytes()))
    }

    /// Steps all that was offered.
    pub fn step(&mut self) {
        let answers = &mut self.answers;
        let mut sink = |e: Emitted<'_>| {
            if !e.is_thinned {
                answers.push((e.series.to_owned(), e.offset, e.forecast.clone()));
            }
        };
        while self.shard.run_round(&mut sink).unwrap().is_some() {}
    }

    /// Trains when the schedule says so; the outcome serves at once.
    pub fn train(&mut self) {
        if self.due.is_due(self.clock()).is_some() {
            self.train_without_warming();
            self.shard.warm(usize::MAX).unwrap();
        }
    }

    fn clock(&self) -> StreamProgress {
        StreamProgress { readings: self.shard.age(), newest: self.shard.agreed_time() }
    }

    /// Trains now, and brings a better network in without warming it.
    pub fn train_without_warming(&mut self) {
        self.due.begun(self.clock());
        let samples = self.shard.samples(16);
        let round = TrainingRound {
            stream: &self.stream,
            samples: &samples,
            champion: self.champion.as_ref(),
            former: Former::Unwatched,
            shadow: None,
            start: if self.champion.is_some() { Start::Refresh } else { Start::Afresh },
            number: self.shard.age(),
        };
        if let Outcome::Better { networks, .. } = round.run(&mut || true).unwrap() {
            self.versions += 1;
            self.shard.bring(&model(&self.stream, self.versions, &networks)).unwrap();
            self.champion = Some(networks);
        }
    }
}
