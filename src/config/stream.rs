//! `[streams.NAME]`: one pipeline, from its topics to its forecasts.

use super::alarms::{Alarms, alarms};
use super::bounds::{Bounds, bounds};
use super::experts::{Accuracy, Experts, experts};
use super::fields::{Fields, fields, zone};
use super::holidays::{Holidays, holidays};
use super::model::{Base, Model, model};
use super::position::{check_limits, position};
use super::promotion::{Promotion, promotion};
use super::range::ranges;
use super::seasons::{SeasonsFrom, seasons};
use super::section::{Section, parse_duration};
use super::training::{Training, training};
use crate::domain::{
    Aggregate, Grid, Interval, Leads, Level, Levels, Position, StreamName, Transform, ValueRange,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A stream, checked.
#[derive(Clone, Debug)]
pub struct Stream {
    pub name: StreamName,
    pub topics: Vec<String>,
    pub forecast_topic: String,
    pub dead_letter_topic: String,
    pub fields: Fields,
    pub targets: Vec<String>,
    pub transform: Transform,
    /// Whether targets are known by their steps alone, and not by where they stand.
    pub difference: bool,
    /// Which targets are a position, if any are.
    pub position: Option<Position>,
    /// Between which values each target lies.
    pub ranges: Vec<ValueRange>,
    pub covariates: Vec<String>,
    /// The covariates whose values at the leads come with each reading, by their place among the
    /// covariates.
    pub known_ahead: Vec<usize>,
    /// The covariates that tell series apart and never change, by their place among the covariates.
    pub attributes: Vec<usize>,
    pub grid: Grid,
    pub time_zone: jiff::tz::TimeZone,
    /// What becomes of several readings in one cell; `None` where only the first counts.
    pub aggregate: Option<Aggregate>,
    /// How long readings are held back to put them in order.
    pub lateness: Duration,
    /// The longest gap, in cells, that is filled; a longer one resets the state.
    pub max_gap: usize,
    pub fill: Fill,
    /// The most readings that are kept of a series to learn from.
    pub window: usize,
    pub bounds: Bounds,
    /// The series that are read, ascending; `None` for all.
    pub only: Option<Vec<String>>,
    /// Season lengths in steps, ascending.
    pub seasons: Vec<usize>,
    pub seasons_from: SeasonsFrom,
    pub calendar: Calendar,
    /// Days off, in the stream's time zone.
    pub holidays: Holidays,
    pub horizon: usize,
    /// Of so many cells of a series one is answered: the first that comes of each such stretch of time.
    pub emit_every: i64,
    pub levels: Levels,
    pub experts: Experts,
    pub alarms: Alarms,
    /// How much of a partition's past is replayed silently when a shard starts, in event time.
    pub cold_replay: Duration,
    pub model: Model,
    pub training: Training,
    pub promotion: Promotion,
}

/// What stands in the cells of a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// The series steps on its own lead-1 forecast.
    Forecast,
    /// The last value is held.
    Hold,
    /// The last value is held and a feature says that it is missing.
    Mask,
}

/// Which calendar features a stream has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calendar {
    pub day: bool,
    pub week: bool,
    pub year: bool,
}

const DAY: Duration = Duration::from_secs(86_400);
/// The most values known ahead that a series keeps.
const KNOWN_MAX: usize = 4_096;
const YEARS_100: Duration = Duration::from_secs(100 * 365 * 86_400);

pub(super) fn stream(raw_name: &str, tables: &mut Section<'_>) -> Option<Stream> {
    let name = StreamName::new(raw_name);
    if name.is_none() {
        tables
            .fault(raw_name, "is not a stream's name: letters, digits, \"-\", \"_\" and \".\", at most 100");
    }
    let mut s = tables.section(raw_name);
    let topics = s.texts("topics").unwrap_or_default();
    if topics.is_empty() || topics.iter().any(String::is_empty) {
        s.fault("topics", "must name at least one topic: say for example topics = [\"meters\"]");
    }
    let forecast_topic = s.text("forecast_topic", &format!("{raw_name}.forecasts"));
    let dead_letter_topic = s.text("dead_letter_topic", &format!("{raw_name}.dead-letters"));
    s.choice("format", &[("json", ())]);
    let targets = s.texts("targets").unwrap_or_default();
    if targets.is_empty() {
        s.fault("targets", "must name at least one value to forecast: say for example targets = [\"kw\"]");
    }
    let transforms = [Transform::None, Transform::Log1p, Transform::Asinh].map(|t| (t.as_str(), t));
    let transform = s.choice("transform", &transforms);
    let difference = s.flag("difference", false);
    let (position, nowhere) = position(&mut s, &targets, transform);
    let ranges = ranges(&mut s, &targets, position, difference);
    let covariates = s.texts("covariates").unwrap_or_default();
    let known_ahead = of_covariates(&mut s, "known_ahead", &covariates);
    let attributes = of_covariates(&mut s, "attributes", &covariates);
    let time_zone = zone(&mut s, jiff::tz::TimeZone::UTC);
    let mut fields = fields(&mut s, &targets, &covariates, &known_ahead, &time_zone);
    fields.missing.positions = nowhere;
    let grid = grid(&mut s);
    let aggregate = aggregate(&mut s, grid);
    if aggregate == Some(Aggregate::Mean) && position.is_some() {
        s.fault("aggregate", "is \"mean\", which two positions do not have everywhere: say \"last\"");
    }
    let lateness = s.duration("lateness", Duration::ZERO, Duration::ZERO..=30 * DAY);
    let max_gap = s.count("max_gap", 24, 0..=100_000);
    let fill = s.choice("fill", &[("forecast", Fill::Forecast), ("hold", Fill::Hold), ("mask", Fill::Mask)]);
    let horizon = s.count("horizon", 24, 1..=1_000);
    if known_ahead.len() * horizon > KNOWN_MAX {
        s.fault(
            "known_ahead",
            format!(
                "times the horizon is {}; at most {KNOWN_MAX} values are kept",
                known_ahead.len() * horizon
            ),
        );
    }
    let emit_every = emit_every(&mut s, grid);
    let (seasons, seasons_from) = seasons(&mut s, grid);
    let calendar = calendar(&mut s, grid);
    let holidays = holidays(&mut s);
    let levels = levels(&mut s);
    let experts = experts(&mut s);
    let alarms = alarms(&mut s, &targets);
    check_limits(&s, position, &alarms.limits);
    if alarms.limits.iter().any(|limit| !transform.apply(limit.value).is_finite()) {
        s.fault(
            "limits",
            format!("has a value that {} does not have: it must be above -1", transform.as_str()),
        );
    }
    let model = model(&mut s, experts.accuracy, !seasons.is_empty(), experts.linear);
    if difference && model.base == Base::None {
        s.fault(
            "model.base",
            "is the mean of where a series stood, which difference = true leaves out: say \"last\"",
        );
    }
    let training = training(s.section("training"), &model, horizon);
    let promotion = promotion(s.section("promotion"));
    let longest = seasons.last().copied().unwrap_or(1);
    let least = least_window(&training, &model, horizon, longest);
    let window = s.count("window", least.next_power_of_two().max(4_096), 2..=1_000_000);
    if window < least {
        s.fault(
            "window",
            format!(
                "is {window}; with these seasons, horizon, training and networks it must be at least {least}"
            ),
        );
    }
    if training.enabled && training.holdout.min(window / 4) <= horizon {
        s.fault(
            "training.holdout",
            format!(
                "must be longer than the horizon of {horizon}, and the window four times as long as both"
            ),
        );
    }
    let bounds = bounds(&mut s);
    let only = s.texts("only").map(|mut names| {
        names.sort_unstable();
        names
    });
    let four_seasons = grid.interval().map_or(DAY, |i| {
        Duration::from_micros(i.as_micros() as u64)
            .saturating_mul((4 * longest.max(horizon)).max(model.memory()) as u32)
    });
    let held = lateness + gathered_for(grid, aggregate);
    let cold_replay = s.duration("cold_replay", held + four_seasons, held..=YEARS_100);
    s.finish();
    Some(Stream {
        name: name?,
        topics,
        forecast_topic,
        dead_letter_topic,
        fields,
        targets,
        transform,
        difference,
        position,
        ranges,
        covariates,
        known_ahead,
        attributes,
        grid,
        time_zone,
        aggregate,
        lateness,
        max_gap,
        fill,
        window,
        bounds,
        only,
        seasons,
        seasons_from,
        calendar,
        holidays,
        horizon,
        emit_every,
        levels,
        experts,
        alarms,
        cold_replay,
        model,
        training,
        promotion,
    })
}

/// A topic must not feed on itself, and two streams may not write to one topic. The models' topic is
/// nobody's else.
pub(super) fn check_topics(streams: &[Arc<Stream>], models_topic: &str, root: &Section<'_>) {
    let mut writers = BTreeMap::from([(models_topic.to_owned(), "kafka.models_topic".to_owned())]);
    for stream in streams {
        let anomalies = stream.alarms.anomaly_topic.as_ref().map(|topic| ("anomaly.topic", topic));
        let always =
            [("forecast_topic", &stream.forecast_topic), ("dead_letter_topic", &stream.dead_letter_topic)];
        for (key, topic) in always.into_iter().chain(anomalies) {
            let here = format!("streams.{}.{key}", stream.name);
            if let Some(other) = writers.insert(topic.clone(), here.clone()) {
                root.fault(&here, format!("is \"{topic}\", which {other} writes to already"));
            }
        }
    }
    for stream in streams {
        for topic in &stream.topics {
            if let Some(writer) = writers.get(topic) {
                let here = format!("streams.{}.topics", stream.name);
                root.fault(&here, format!("reads \"{topic}\", which {writer} writes to"));
            }
        }
    }
}

/// Some of the covariates, by their place among them.
fn of_covariates(s: &mut Section<'_>, key: &str, covariates: &[String]) -> Vec<usize> {
    let mut known = Vec::new();
    for name in s.texts(key).unwrap_or_default() {
        match covariates.iter().position(|covariate| *covariate == name) {
            Some(at) if !known.contains(&at) => known.push(at),
            Some(_) => {}
            None => s.fault(key, format!("names \"{name}\", which is not among the covariates")),
        }
    }
    known
}

fn grid(s: &mut Section<'_>) -> Grid {
    let Some(text) = s.text_or("interval") else {
        s.fault("interval", "is missing: say for example interval = \"1h\", or \"irregular\"");
        return Grid::Irregular;
    };
    if text == "irregular" {
        return Grid::Irregular;
    }
    match parse_duration(&text).and_then(Interval::new) {
        Some(interval) => Grid::Fixed(interval),
        None => {
            s.fault(
                "interval",
                format!("is \"{text}\"; allowed are \"irregular\" and durations from 1ms to 400d"),
            );
            Grid::Irregular
        }
    }
}

/// What becomes of several readings in one cell; `None` where only the first counts.
fn aggregate(s: &mut Section<'_>, grid: Grid) -> Option<Aggregate> {
    let of = |how: Aggregate| (how.as_str(), Some(how));
    let how = s.choice("aggregate", &[("none", None), of(Aggregate::Last), of(Aggregate::Mean)]);
    if how.is_some() && grid == Grid::Irregular {
        s.fault("aggregate", "needs a fixed interval: an irregular stream has no cells");
    }
    how
}

fn gathered_for(grid: Grid, aggregate: Option<Aggregate>) -> Duration {
    let cell = grid.interval().filter(|_| aggregate.is_some());
    cell.map_or(Duration::ZERO, |interval| Duration::from_micros(interval.as_micros() as u64))
}

/// A count of readings, or a duration that is a whole multiple of the interval, in cells.
fn emit_every(s: &mut Section<'_>, grid: Grid) -> i64 {
    if let Some(Value::String(text)) = s.value("emit_every") {
        let cell_us = grid.interval().map_or(1, |i| i.as_micros());
        let micros = parse_duration(text).and_then(|d| i64::try_from(d.as_micros()).ok());
        let cells = micros.filter(|us| *us > 0 && us % cell_us == 0).map(|us| us / cell_us);
        let problem = format!("is \"{text}\"; it must be a whole multiple of the interval, like \"1h\"");
        return cells.unwrap_or_else(|| {
            s.fault("emit_every", problem);
            1
        });
    }
    let readings = s.count("emit_every", 1, 1..=1_000_000) as i64;
    if readings > 1 && grid == Grid::Irregular {
        s.fault("emit_every", "must be a duration on an irregular stream, like \"10s\"");
    }
    readings
}

fn calendar(s: &mut Section<'_>, grid: Grid) -> Calendar {
    let Some(names) = s.texts("calendar") else {
        let seconds = grid.interval().map_or(0.0, Interval::as_seconds);
        return Calendar { day: (60.0..=43_200.0).contains(&seconds), week: seconds >= 60.0, year: false };
    };
    let mut calendar = Calendar::default();
    for name in names {
        match name.as_str() {
            "day" => calendar.day = true,
            "week" => calendar.week = true,
            "year" => calendar.year = true,
            other => {
                s.fault("calendar", format!("has \"{other}\"; allowed are \"day\", \"week\" and \"year\""))
            }
        }
    }
    calendar
}

fn levels(s: &mut Section<'_>) -> Levels {
    let given = s.reals("quantiles").unwrap_or_else(|| vec![0.05, 0.5, 0.95]);
    if given.is_empty() {
        s.fault("quantiles", "must name at least one level: say for example quantiles = [0.05, 0.5, 0.95]");
    }
    let mut levels = Vec::new();
    for level in given {
        match Level::try_new(level) {
            Ok(level) => levels.push(level),
            Err(e) => s.fault("quantiles", e.to_string()),
        }
    }
    Levels::new(levels)
}

fn least_window(training: &Training, model: &Model, horizon: usize, longest: usize) -> usize {
    let trained = if training.enabled {
        training.burn_in.max(model.memory()) + training.truncation + horizon + training.holdout
    } else {
        0
    };
    (longest + horizon + 1).max(trained).max(4 * (horizon + 1))
}

impl Stream {
    /// The fewest readings of a series that training can learn from and judge on.
    pub fn least_window(&self) -> usize {
        let longest = self.seasons.last().copied().unwrap_or(1);
        least_window(&self.training, &self.model, self.horizon, longest)
    }

    /// Values of a reading: targets and covariates.
    pub fn width(&self) -> usize {
        self.targets.len() + self.covariates.len()
    }

    /// Values that come with a reading: those of now, and those that are known ahead.
    pub fn row(&self) -> usize {
        self.width() + self.known_ahead.len() * self.horizon
    }

    /// How long a cell gathers readings.
    pub fn gathered_for(&self) -> Duration {
        gathered_for(self.grid, self.aggregate)
    }

    /// A target of a reading; NaN where it is missing, or the transform has no value for it.
    pub fn target_of(&self, values: &[f64], target: usize) -> f64 {
        let value = self.position.map_or(values[target], |position| position.of(values, target));
        if self.transform.apply(value).is_nan() { f64::NAN } else { value }
    }

    /// A target's value as it compares with another: a longitude counts the shorter way around.
    pub fn around(&self, target: usize, value: f64, other: f64) -> f64 {
        self.position.map_or(value, |position| position.around(target, value, other))
    }

    /// The topics that are written to.
    pub fn written(&self) -> impl Iterator<Item = &String> {
        [&self.forecast_topic, &self.dead_letter_topic].into_iter().chain(&self.alarms.anomaly_topic)
    }

    /// Whether a series is to be read.
    pub fn selects(&self, series: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.binary_search_by(|name| name.as_str().cmp(series)).is_ok())
    }

    /// Whether a reading of this cell is answered, when the series' reading before it had that one.
    pub fn answers(&self, before: Option<i64>, cell: i64) -> bool {
        let stretch = |cell: i64| cell.div_euclid(self.emit_every);
        before.is_none_or(|before| stretch(before) != stretch(cell))
    }

    /// The leads that are learnt each by itself; what lies between takes its place on a straight line.
    pub fn leads(&self) -> Leads {
        match self.experts.accuracy {
            Accuracy::Full => Leads::every(self.horizon),
            Accuracy::Compact => Leads::buckets(self.horizon),
        }
    }

    /// The season that the seasonal naive repeats: the shortest.
    pub fn season(&self) -> Option<usize> {
        self.seasons.first().copied()
    }
}
