//! `tidecast backtest`: the serving code path over a file, under a virtual clock.
//!
//! Prequential: each reading is forecast from before it is learnt from. Training runs at the points
//! where the daemon would start it, and its outcome serves at once; everything is determined by the
//! file, the config and the seed.

mod learner;
mod outlook;
mod output;
mod rows;
mod score;

use super::Failure;
use crate::codec::{Decoder, Record};
use crate::config::{self, Stream};
use crate::domain::{EventTime, Offset, Partition, Reading};
use crate::engine::{Offered, Shard};
use learner::Learner;
use outlook::Outlook;
use output::{ForecastFile, Shown};
use rows::Rows;
use score::Judge;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// A TOML or YAML file.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// A CSV file with a header, in the order of time; may be gzipped. Columns are the record's
    /// fields.
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// The stream of the config; needed when it has several.
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Score the forecasts made at or after this time (RFC 3339); default: all.
    #[arg(long, value_name = "TIME")]
    score_from: Option<String>,
    /// Score every n-th forecast of a series only.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    score_every: u64,
    /// In place of the stream's training.seed.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Leave the network out.
    #[arg(long)]
    no_network: bool,
    /// Write the scores here, for machines.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write every scored forecast here, one row for each series, target, origin and lead.
    #[arg(long, value_name = "FILE")]
    forecasts: Option<PathBuf>,
    /// Write a page with fan charts here.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

pub(super) fn backtest(options: &Options) -> Result<(), Failure> {
    let config = config::load(&options.config)?;
    let stream = Arc::new(pick(options, &config.streams)?);
    let from = options.score_from.as_deref().map(parse_time).transpose()?;
    let total = rows::count(&options.data)?;
    let progress = output::Progress::new(total);
    let started = Instant::now();

    let mut run = Run {
        outlook: Outlook::read(&options.data, &stream)?,
        decoder: Decoder::new(&stream),
        shard: Shard::new(stream.clone()),
        judge: Judge::new(stream.clone(), from, options.score_every),
        learner: Learner::new(&stream),
        file: options.forecasts.as_deref().map(|path| ForecastFile::create(path, &stream)).transpose()?,
        shown: options.report.is_some().then(|| Shown::new(&stream)),
        topic: options.data.display().to_string(),
        key: options.data.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
        readings: 0,
        passed_over: 0,
        bad: None,
        stream,
    };
    let mut rows = Rows::open(&options.data)?;
    let mut offset = 0;
    while let Some(json) = rows.next().map_err(Failure::new)? {
        run.record(json, offset)?;
        offset += 1;
        progress.at(offset as u64, run.learner.counts.rounds);
    }
    progress.done();
    let seconds = started.elapsed().as_secs_f64();
    run.finish(options, seconds)
}

struct Run {
    stream: Arc<Stream>,
    outlook: Outlook,
    decoder: Decoder,
    shard: Shard,
    judge: Judge,
    learner: Learner,
    file: Option<ForecastFile>,
    shown: Option<Shown>,
    topic: String,
    key: String,
    readings: u64,
    passed_over: u64,
    /// How many records were bad, and why the first was.
    bad: Option<(u64, String)>,
}

impl Run {
    /// One row, from bytes to forecasts.
    fn record(&mut self, json: &[u8], offset: i64) -> Result<(), Failure> {
        let record = Record {
            topic: &self.topic,
            partition: Partition(0),
            offset: Offset(offset),
            key: Some(self.key.as_bytes()),
            timestamp: None,
            payload: Some(json),
            headers: &(),
        };
        let (shard, judge, key) = (&mut self.shard, &mut self.judge, self.key.as_bytes());
        let outlook = &mut self.outlook;
        let (mut readings, mut passed_over) = (0, 0);
        let decoded = self.decoder.decode(&record, &mut |reading| {
            judge.reading(reading.series, reading.time, reading.values);
            let reading = Reading { values: outlook.complete(&reading), ..reading };
            match shard.offer(&reading, offset, Some(key)) {
                Offered::Queued | Offered::Held => readings += 1,
                Offered::Discarded(_) => passed_over += 1,
            }
        });
        if let Err(bad) = decoded {
            let (n, _) = self.bad.get_or_insert_with(|| (0, format!("row {}: {bad}", offset + 2)));
            *n += 1;
        }
        self.readings += readings;
        self.passed_over += passed_over;
        self.step()?;
        self.learner.learn(&self.stream, &mut self.shard)
    }

    fn step(&mut self) -> Result<(), Failure> {
        let (judge, file, shown) = (&mut self.judge, &mut self.file, &mut self.shown);
        let mut failed = Ok(());
        while self
            .shard
            .run_round(&mut |emitted| {
                if judge.forecast(&emitted)
                    && let Some(file) = file
                    && failed.is_ok()
                {
                    failed = file.write(&emitted);
                }
                if let Some(shown) = shown {
                    shown.keep(&emitted);
                }
            })
            .map_err(Failure::new)?
            .is_some()
        {}
        failed
    }

    fn finish(mut self, options: &Options, seconds: f64) -> Result<(), Failure> {
        if let Some((n, first)) = &self.bad {
            eprintln!("tidecast: {n} bad row(s) passed over; {first}");
        }
        if self.readings == 0 {
            return Err(Failure::new(
                "no reading was found: do the config's fields name the file's columns?",
            ));
        }
        output::table(&self.stream, &self.judge);
        println!(
            "{} readings of {} series in {seconds:.1} s, {:.0} readings/s; {} discarded; {} training rounds, {} promoted, {} rolled back",
            self.readings,
            self.judge.series(),
            self.readings as f64 / seconds,
            self.passed_over,
            self.learner.counts.rounds,
            self.learner.counts.promoted,
            self.learner.counts.rolled_back,
        );
        if let Some(file) = self.file.take() {
            file.finish()?;
        }
        if let Some(path) = &options.json {
            let json = serde_json::json!({
                "readings": self.readings,
                "series": self.judge.series(),
                "seconds": seconds,
                "scores": self.judge.to_json(),
            });
            std::fs::write(path, format!("{json}\n"))
                .map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
        }
        if let (Some(path), Some(shown)) = (&options.report, &self.shown) {
            output::report(path, &self.stream, &self.judge, shown, &self.key)?;
        }
        Ok(())
    }
}

fn pick(options: &Options, streams: &[Arc<Stream>]) -> Result<Stream, Failure> {
    let names: Vec<&str> = streams.iter().map(|s| s.name.as_str()).collect();
    let found = match &options.stream {
        Some(name) => streams.iter().find(|s| s.name.as_str() == name).ok_or_else(|| {
            Failure::new(format!("the config has no stream \"{name}\"; it has {}", names.join(", ")))
        })?,
        None if streams.len() == 1 => &streams[0],
        None => {
            return Err(Failure::new(format!("say which --stream: the config has {}", names.join(", "))));
        }
    };
    let mut stream = Stream::clone(found);
    if let Some(seed) = options.seed {
        stream.training.seed = seed;
    }
    stream.training.enabled &= !options.no_network;
    Ok(stream)
}

fn parse_time(text: &str) -> Result<EventTime, Failure> {
    let wrong = || Failure::new(format!("--score-from \"{text}\" is no time like 2013-07-02T00:00:00Z"));
    let time: jiff::Timestamp = text.parse().map_err(|_| wrong())?;
    EventTime::from_micros(time.as_microsecond()).map_err(|_| wrong())
}
