//! `tidecast backtest`: options in, scores out.

use super::load;
use crate::backtest::{Backtest, CsvOptions, Settings};
use crate::console::{Failure, Progress, say};
use crate::domain::EventTime;
use std::path::{Path, PathBuf};
use std::time::Instant;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// A TOML or YAML file.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// A CSV file, plain or gzipped (.gz), or a Parquet file (.parquet), in the order of time. Its columns are the
    /// fields of a record.
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// The stream of the config; needed when it has several.
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Run this config over the same rows too, and test whether the first one's forecasts are better
    /// (Diebold-Mariano).
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Sort the rows by time first: for a file that holds one series after the other. Takes memory for all
    /// of them.
    #[arg(long)]
    sort: bool,
    /// Score the forecasts made at or after this time (RFC 3339); default: all. With seasons = "auto" the seasons
    /// are found in the readings before it.
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
    csv: CsvOptions,
}

pub(super) fn backtest(options: &Options) -> Result<(), Failure> {
    let paths = [Some(&options.config), options.against.as_ref()].into_iter().flatten();
    let configs = paths.map(|path| Ok((path.display().to_string(), load(path)?)));
    let configs = configs.collect::<Result<Vec<_>, Failure>>()?;
    let mut backtest = Backtest::begin(&settings(options)?, configs)?;
    let mut progress = Progress::new(backtest.total(), "rows");
    let started = Instant::now();
    while backtest.step()? {
        progress.at(backtest.row_count(), format_args!(", {} training rounds", backtest.training_rounds()));
    }
    progress.done();
    let mut finished = backtest.finish();
    let seconds = started.elapsed().as_secs_f64();
    finished.warnings().iter().for_each(|warning| eprintln!("tidecast: {warning}"));
    finished.check()?;
    say!("{}", finished.text());
    eprintln!("{seconds:.1} s, {:.0} readings/s", finished.readings() as f64 / seconds);
    finished.flush_forecasts()?;
    if let Some(path) = &options.json {
        write(path, &finished.json(seconds))?;
    }
    if let (Some(path), Some(page)) = (&options.report, finished.page()) {
        write(path, &page)?;
    }
    Ok(())
}

fn settings(options: &Options) -> Result<Settings, Failure> {
    Ok(Settings {
        data: options.data.clone(),
        csv: options.csv.clone(),
        stream: options.stream.clone(),
        is_sorted: options.sort,
        score_from: options.score_from.as_deref().map(parse_time).transpose()?,
        score_every: options.score_every,
        seed: options.seed,
        has_networks: !options.no_network,
        forecasts: options.forecasts.clone(),
        charts: options.report.is_some().then(|| options.show.clone()),
    })
}

fn parse_time(text: &str) -> Result<EventTime, Failure> {
    let wrong = || Failure::new(format!("--score-from \"{text}\" is no time like 2013-07-02T00:00:00Z"));
    let time: jiff::Timestamp = text.parse().map_err(|_| wrong())?;
    EventTime::from_micros(time.as_microsecond()).map_err(|_| wrong())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|e| Failure::new(format!("{}: {e}", path.display())))
}
