//! `tidecast generate`: readings of a seeded fleet of sensors, to a file or to Kafka, with the best possible forecast of
//! them.

mod table;
mod topic;

use crate::config::{self, Stream};
use crate::console::Progress;
use crate::console::{Failure, say};
use crate::domain::{EventTime, Grid, Interval};
use crate::synthetic::{Fleet, Reading, Settings, Sink, TARGETS_MAX};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use table::{BestTable, ReadingTable};
use topic::Topic;

/// The columns beside the targets.
const COVARIATES: [&str; 3] = ["temperature", "event", "event_next_day"];

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    output: OutputOptions,
    /// The stream's name; needed when the config has several.
    #[arg(long, value_name = "NAME", conflicts_with = "out")]
    stream: Option<String>,
    /// The most records a second.
    #[arg(long, value_name = "N/s", conflicts_with = "out", value_parser = rate)]
    rate: Option<f64>,
    /// The number of series.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    series: u64,
    /// The number of readings of each series, missing ones included.
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..))]
    readings: u64,
    /// The time between two readings; on Kafka the stream's.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = interval)]
    interval: Interval,
    /// The time of the first reading (RFC 3339). By default 2024-01-01T00:00:00Z in a file; on Kafka, early enough that
    /// the last reading is now.
    #[arg(long, value_name = "TIME", value_parser = time)]
    start: Option<EventTime>,
    /// The time zone in which days and weeks are counted; on Kafka the stream's.
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = zone)]
    time_zone: jiff::tz::TimeZone,
    /// The seed. The same seed gives the same bytes; a larger fleet includes the smaller one.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The number of values of a reading; on Kafka the stream's.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=TARGETS_MAX as u64))]
    targets: u64,
    /// Add a temperature whose effect is not linear, and special days that are known a day ahead; on
    /// Kafka when the stream has covariates.
    #[arg(long)]
    covariates: bool,
    #[command(flatten)]
    trouble: Trouble,
    /// Write the best forecast here, with its deviation: one row for each reading, target and lead.
    #[arg(long, value_name = "FILE.csv[.gz]")]
    best: Option<PathBuf>,
    /// The number of leads of the best forecast; on Kafka the stream's.
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    horizon: u64,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct OutputOptions {
    /// Write a table here, gzipped if its name says so; the config that reads it goes to standard
    /// output.
    #[arg(long, value_name = "FILE.csv[.gz]")]
    out: Option<PathBuf>,
    /// Send records to a stream of this config instead.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What makes the readings hard to forecast.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Trouble")]
struct Trouble {
    /// The size of the noise; 1 is about a tenth of a usual swing.
    #[arg(long, value_name = "TIMES", default_value_t = 1.0, value_parser = size)]
    noise: f64,
    /// Draw the noise from Student's t distribution with 4 degrees of freedom instead of the normal one.
    #[arg(long)]
    heavy_tails: bool,
    /// The share of readings that begin a new level.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0005, value_parser = share)]
    shifts: f64,
    /// How far a season's swing moves in a day, as a deviation of its logarithm.
    #[arg(long, value_name = "SIZE", default_value_t = 0.01, value_parser = share)]
    drift: f64,
    /// The share of readings that are far off.
    #[arg(long, value_name = "SHARE", default_value_t = 0.001, value_parser = share)]
    spikes: f64,
    /// The share of readings that are missing, in runs of 12 on average.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01, value_parser = share)]
    missing: f64,
    /// The share of readings that are sent twice.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    duplicates: f64,
    /// The share of readings that are sent late, out of order.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    disorder: f64,
    /// The most intervals that a reading is late.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    late_max: u64,
    /// The share of an interval over which times scatter.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    jitter: f64,
    /// The reading at which all series change at once: their level, and by 6 hours the shape of their
    /// day.
    #[arg(long, value_name = "N")]
    break_at: Option<u64>,
}

fn interval(text: &str) -> Result<Interval, String> {
    let length = config::parse_duration(text).and_then(Interval::new);
    length.ok_or_else(|| format!("\"{text}\" is not an interval like \"15m\" or \"1h\""))
}

fn time(text: &str) -> Result<EventTime, String> {
    let time: Option<jiff::Timestamp> = text.parse().ok();
    time.and_then(|t| EventTime::from_micros(t.as_microsecond()).ok())
        .ok_or_else(|| format!("\"{text}\" is not a time like 2024-01-01T00:00:00Z"))
}

fn zone(text: &str) -> Result<jiff::tz::TimeZone, String> {
    jiff::tz::TimeZone::get(text).map_err(|_| format!("\"{text}\" is not a time zone like \"Europe/Paris\""))
}

fn number(text: &str, allowed: impl Fn(f64) -> bool, what: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|v: &f64| v.is_finite() && allowed(*v));
    value.ok_or_else(|| format!("\"{text}\" is not a {what}"))
}

fn share(text: &str) -> Result<f64, String> {
    number(text, |v| (0.0..=0.9).contains(&v), "number from 0 to 0.9")
}

fn size(text: &str) -> Result<f64, String> {
    number(text, |v| (0.0..=1_000.0).contains(&v), "number from 0 to 1000")
}

fn rate(text: &str) -> Result<f64, String> {
    number(text.strip_suffix("/s").unwrap_or(text), |v| v > 0.0, "rate like \"5000/s\"")
}

pub(super) fn generate(options: &Options) -> Result<(), Failure> {
    let (mut settings, mut horizon) = (settings(options), options.horizon as usize);
    let (destination, targets) = match (&options.output.out, &options.output.config) {
        (Some(path), _) => {
            settings.start = options.start.unwrap_or(settings.start);
            let table = ReadingTable::create(path, settings.targets, settings.covariates)?;
            (Destination::Table(table), table::target_names(settings.targets))
        }
        (None, Some(path)) => {
            let config = config::load(path)?;
            let stream = pick(&config.streams, options.stream.as_deref())?;
            follow(&mut settings, stream, options)?;
            horizon = stream.horizon;
            let topic = Topic::connect(&config.kafka, stream, options.rate)?;
            (Destination::Topic(topic), stream.targets.clone())
        }
        (None, None) => return Err(Failure::new("say where to: --out FILE.csv or --config FILE")),
    };
    let best =
        options.best.as_deref().map(|path| BestTable::create(path, targets, settings.interval.as_micros()));
    let mut sinks = Sinks {
        destination,
        best: best.transpose()?,
        progress: Progress::new(options.series * options.readings, "readings"),
        sent: 0,
        late: 0,
        newest: vec![EventTime::MIN; settings.series],
    };
    let began = Instant::now();
    let covariates = settings.covariates;
    let mut fleet = Fleet::new(settings, if options.best.is_some() { horizon } else { 0 });
    for step in 1..=options.readings {
        fleet.step(&mut sinks)?;
        sinks.progress.at(step * options.series, "");
    }
    fleet.finish(&mut sinks)?;
    sinks.finish(began)?;
    if options.output.out.is_some() {
        say!("{}", reading_config(options, covariates));
    }
    Ok(())
}

fn settings(options: &Options) -> Settings {
    let trouble = &options.trouble;
    Settings {
        targets: options.targets as usize,
        interval: options.interval,
        time_zone: options.time_zone.clone(),
        covariates: options.covariates,
        heavy_tails: trouble.heavy_tails,
        noise: trouble.noise,
        shifts: trouble.shifts,
        drift: trouble.drift,
        spikes: trouble.spikes,
        missing: trouble.missing,
        duplicates: trouble.duplicates,
        disorder: trouble.disorder,
        late_max: trouble.late_max as usize,
        jitter: trouble.jitter,
        break_at: trouble.break_at,
        ..Settings::calm(options.seed, options.series as usize)
    }
}

fn pick<'a>(streams: &'a [Arc<Stream>], name: Option<&str>) -> Result<&'a Stream, Failure> {
    let names = || streams.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ");
    match name {
        Some(name) => {
            streams.iter().find(|s| s.name.as_str() == name).map(Arc::as_ref).ok_or_else(|| {
                Failure::new(format!("the config has no stream \"{name}\"; it has {}", names()))
            })
        }
        None if streams.len() == 1 => Ok(&streams[0]),
        None => Err(Failure::new(format!("say which --stream: the config has {}", names()))),
    }
}

/// On Kafka a fleet is what the stream expects.
fn follow(settings: &mut Settings, stream: &Stream, options: &Options) -> Result<(), Failure> {
    if stream.targets.len() > TARGETS_MAX {
        return Err(Failure::new(format!("a fleet has at most {TARGETS_MAX} targets")));
    }
    if let Grid::Fixed(interval) = stream.grid {
        settings.interval = interval;
    }
    settings.targets = stream.targets.len();
    settings.covariates = !stream.covariates.is_empty();
    settings.time_zone = stream.time_zone.clone();
    let all = settings.interval.as_micros().saturating_mul(options.readings as i64 - 1);
    let now = EventTime::from_micros(jiff::Timestamp::now().as_microsecond()).map_err(Failure::new)?;
    settings.start = options.start.unwrap_or(now.offset_by(all.saturating_neg()));
    Ok(())
}

/// A config that reads the table.
fn reading_config(options: &Options, covariates: bool) -> String {
    let quoted = |names: &[String]| names.iter().map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(", ");
    let targets = quoted(&table::target_names(options.targets as usize));
    let covariates = match covariates {
        true => format!("covariates = [{}]\n", quoted(&COVARIATES.map(str::to_owned))),
        false => String::new(),
    };
    let zone = options.time_zone.iana_name().unwrap_or("UTC");
    let micros = options.interval.as_micros();
    let units = [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000)];
    let interval = match units.iter().find(|(_, unit)| micros % unit == 0) {
        Some((name, unit)) => format!("{}{name}", micros / unit),
        None => format!("{}ms", micros as f64 / 1e3),
    };
    format!(
        "[kafka]\nbrokers = \"localhost:9092\"\n\n[streams.fleet]\ntopics = [\"fleet\"]\n\
         interval = \"{interval}\"\ntime_zone = \"{zone}\"\nhorizon = {}\ntargets = [{targets}]\n{covariates}\
         fields = {{ series = \"/series\", time = \"/time\" }}\n",
        options.horizon
    )
}

enum Destination {
    Table(ReadingTable),
    Topic(Topic),
}

struct Sinks {
    destination: Destination,
    best: Option<BestTable>,
    progress: Progress,
    sent: u64,
    /// Sent after a newer one of the same series.
    late: u64,
    newest: Vec<EventTime>,
}

impl Sinks {
    fn finish(self, began: Instant) -> Result<(), Failure> {
        match self.destination {
            Destination::Table(table) => table.finish()?,
            Destination::Topic(topic) => topic.finish()?,
        }
        self.best.map_or(Ok(()), BestTable::finish)?;
        self.progress.done();
        let seconds = began.elapsed().as_secs_f64();
        let each = self.sent as f64 / seconds;
        eprintln!("{} readings in {seconds:.1} s, {each:.0}/s; {} out of order", self.sent, self.late);
        Ok(())
    }
}

impl Sink for Sinks {
    type Error = Failure;

    fn reading(&mut self, reading: &Reading<'_>) -> Result<(), Failure> {
        self.sent += 1;
        let newest = &mut self.newest[reading.series];
        self.late += u64::from(reading.time < *newest);
        *newest = reading.time.max(*newest);
        match &mut self.destination {
            Destination::Table(table) => table.add(reading),
            Destination::Topic(topic) => topic.send(reading),
        }
    }

    fn best(&mut self, origin: &Reading<'_>, means: &[f64], deviations: &[f64]) -> Result<(), Failure> {
        self.best.as_mut().map_or(Ok(()), |best| best.add(origin, means, deviations))
    }
}

#[cfg(test)]
mod tests;
