//! `tidecast backtest`: the serving code path over a file, under a virtual clock.
//!
//! Prequential: each reading is forecast from before it is learnt from. Training runs at the points
//! where the daemon would start it, and its outcome serves at once; everything is determined by the
//! file, the config and the seed.

#![forbid(unsafe_code)]

mod champions;
mod comparison;
mod discards;
mod forecasts;
mod judge;
mod learner;
mod machine;
mod outlook;
mod plan;
mod report;
mod rows;
mod run;
mod scores;
mod seasons;
mod table;

use crate::codec::Decoder;
use crate::config::{self, Config};
use crate::console::{Failure, Progress, say};
use crate::domain::EventTime;
use crate::engine;
use comparison::Comparison;
use forecasts::ForecastFile;
use judge::Judge;
use outlook::Outlook;
use plan::{Plan, PositionNames};
use report::Shown;
use rows::{Form, Row, Rows, Sorted, Table, Wanted};
use run::{Place, Run, record};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// A TOML or YAML file.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// A CSV file, plain or gzipped (.gz), or a Parquet file (.parquet), in the order of time. Columns are the
    /// record's fields.
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// The stream of the config; needed when it has several.
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Run this config over the same rows too, and test whether what the first emits is better
    /// (Diebold-Mariano).
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Put the rows in the order of time first: for a file that holds one series after the other. Takes
    /// memory for all of them.
    #[arg(long)]
    sort: bool,
    /// Score the forecasts made at or after this time (RFC 3339); default: all. With seasons = "auto" they are
    /// found in what comes before it.
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
    /// Write a page here: fan charts, errors by lead, weights, calibration and all scores.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// A series whose fan charts the page shows; may be given again. Default: the first few.
    #[arg(long, value_name = "SERIES", requires = "report")]
    show: Vec<String>,
    #[command(flatten)]
    form: Form,
}

/// A page shows weights at so many moments.
const MOMENTS: u64 = 240;

pub fn backtest(options: &Options) -> Result<(), Failure> {
    let name = options.data.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let configs = [Some(&options.config), options.against.as_ref()].into_iter().flatten();
    let plans = configs.map(|path| Plan::read(options, path)).collect::<Result<Vec<_>, Failure>>()?;
    let table = Table::look(&options.data, &options.form, &Wanted::new(plans.iter().map(Plan::stream)))?;
    let position = plans.iter().find_map(Plan::position);
    let begun = plans.into_iter().map(|plan| begin(options, plan, &table, &name, position.as_ref()));
    let mut runs = begun.collect::<Result<Vec<_>, Failure>>()?;
    let total = table.count()?;
    let mut comparison = match &runs[..] {
        [first, second] => Some(compare(&first.judge, &second.judge)?),
        _ => None,
    };
    let first = &mut runs[0];
    first.file = options.forecasts.as_deref().map(|p| ForecastFile::create(p, &first.stream)).transpose()?;
    first.shown = options.report.is_some().then(|| Shown::new(&first.stream, &options.show));

    let mut source = Source::open(options, &table, &runs)?;
    let mut progress = Progress::new(total, "rows");
    let started = Instant::now();
    let mut row_count = 0;
    while let Some(row) = source.next()? {
        for run in &mut runs {
            run.record(&row)?;
        }
        if let (Some(comparison), [first, second]) = (&mut comparison, &runs[..]) {
            comparison.add(&first.judge, &second.judge);
        }
        row_count += 1;
        if row_count % (total / MOMENTS).max(1) == 0 {
            runs[0].note_weights();
        }
        progress.at(row_count, format_args!(", {} training rounds", runs[0].learner.counts.rounds));
    }
    progress.done();
    source.notes().iter().for_each(|note| eprintln!("tidecast: {note}"));
    runs.iter_mut().for_each(Run::close);
    let seconds = started.elapsed().as_secs_f64();
    finish(options, &name, &mut runs, comparison.as_ref(), seconds)
}

/// `position` are the targets whose errors are taken in metres: of one config, or of that which it is compared with.
fn begin(
    options: &Options,
    plan: Plan,
    table: &Table,
    name: &str,
    position: Option<&PositionNames>,
) -> Result<Run, Failure> {
    let from = options.score_from.as_deref().map(parse_time).transpose()?;
    let stream = Arc::new(plan.settle(options, table, name, from)?);
    let position = position.and_then(|names| names.among(&stream.targets));
    let judge = Judge::new(stream.clone(), position, from, options.score_every);
    let outlook = Outlook::read(table, name.as_bytes(), &stream)?;
    let place = Place { topic: options.data.display().to_string(), key: name.to_owned(), row: table.row() };
    Ok(Run::new(stream, judge, outlook, place))
}

fn compare(first: &Judge, second: &Judge) -> Result<Comparison, Failure> {
    let comparison = Comparison::new(first, second);
    if !comparison.is_possible() {
        return Err(Failure::new("the two configs have no target in common, so there is nothing to compare"));
    }
    Ok(comparison)
}

/// The rows, in the order in which they are told.
enum Source {
    AsTheyStand(Rows),
    Sorted(Sorted),
}

impl Source {
    fn open(options: &Options, table: &Table, runs: &[Run]) -> Result<Self, Failure> {
        let mut rows = table.rows(&Wanted::new(runs.iter().map(|run| &*run.stream)))?;
        if !options.sort {
            return Ok(Self::AsTheyStand(rows));
        }
        let mut decoder = Decoder::new(&runs[0].stream);
        let time = |json: &[u8]| {
            let mut time = None;
            // A bad row is told when it is taken in.
            let _ = decoder.decode(&record("", b"key", 0, json), &mut |reading| time = Some(reading.time));
            time
        };
        Ok(Self::Sorted(Sorted::new(&mut rows, time)?))
    }

    fn next(&mut self) -> Result<Option<Row<'_>>, Failure> {
        match self {
            Self::AsTheyStand(rows) => rows.next(),
            Self::Sorted(rows) => Ok(rows.next()),
        }
    }

    fn notes(&self) -> Vec<String> {
        match self {
            Self::AsTheyStand(rows) => rows.notes(),
            Self::Sorted(rows) => rows.notes(),
        }
    }
}

fn finish(
    options: &Options,
    name: &str,
    runs: &mut [Run],
    comparison: Option<&Comparison>,
    seconds: f64,
) -> Result<(), Failure> {
    warn(&mut runs[0], options);
    let labels = labels(options);
    for (run, label) in runs.iter().zip(&labels) {
        run.check().map_err(|empty| Failure::new(format!("{label}: {empty}")))?;
    }
    for (run, label) in runs.iter().zip(&labels) {
        if runs.len() > 1 {
            say!("{label}");
        }
        let judge = &run.judge;
        say!("{}", table::table(run.stream.name.as_str(), &judge.frame, &judge.scores(), judge.series()));
        say!("\n{}", told(run));
    }
    if let Some(comparison) = comparison {
        say!("\n{}", comparison.text(&labels[0], &labels[1]));
    }
    eprintln!("{seconds:.1} s, {:.0} readings/s", runs[0].tally.readings as f64 / seconds);
    if let Some(file) = runs[0].file.take() {
        file.finish()?;
    }
    if let Some(path) = &options.json {
        write(path, &machine::json(runs, comparison, &labels, seconds))?;
    }
    if let (Some(path), Some(shown)) = (&options.report, &runs[0].shown) {
        let second = runs.get(1);
        write(path, &report::page(&runs[0], shown, name, second, comparison, &labels))?;
    }
    Ok(())
}

/// The config of a file, of whose streams shards can be made.
pub fn load(path: &Path) -> Result<Config, Failure> {
    let config = config::load(path)?;
    for stream in &config.streams {
        let named = |cause| Failure::new(format!("{}: streams.{}: {cause}", path.display(), stream.name));
        engine::check(stream).map_err(named)?;
    }
    Ok(config)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|e| Failure::new(format!("{}: {e}", path.display())))
}

/// What the configs are called.
fn labels(options: &Options) -> Vec<String> {
    [Some(&options.config), options.against.as_ref()]
        .into_iter()
        .flatten()
        .map(|p| p.display().to_string())
        .collect()
}

fn told(run: &Run) -> String {
    let (tally, counts) = (&run.tally, &run.learner.counts);
    format!(
        "seasons of {:?} steps, from the {}\n{} readings of {} series; {} discarded; {} training rounds, {} promoted, {} rolled back{}",
        run.stream.seasons,
        run.stream.seasons_from.as_str(),
        tally.readings,
        run.judge.series().len(),
        tally.discards.total(),
        counts.rounds,
        counts.promoted,
        counts.rolled_back,
        match tally.discards.text() {
            none if none.is_empty() => none,
            text => format!("\ndiscarded, by reason:{text}"),
        }
    )
}

fn warn(run: &mut Run, options: &Options) {
    if let Some(missing) = run.take_missing() {
        eprintln!("tidecast: values that are missing though something stands in their column: {missing}");
    }
    if let Some((n, first)) = run.tally.back
        && !options.sort
    {
        eprintln!(
            "tidecast: {n} row(s) go back in time, the first is {} {first}: if the file holds one series after \
             the other, say --sort",
            run.place.row
        );
    }
}

fn parse_time(text: &str) -> Result<EventTime, Failure> {
    let wrong = || Failure::new(format!("--score-from \"{text}\" is no time like 2013-07-02T00:00:00Z"));
    let time: jiff::Timestamp = text.parse().map_err(|_| wrong())?;
    EventTime::from_micros(time.as_microsecond()).map_err(|_| wrong())
}
