//! `[streams.NAME]`, checked: one pipeline, from its topics to its forecasts.

mod keys;
mod read;

pub(super) use keys::STREAMS;
pub(super) use read::{check_topics, stream};

use super::alarms::Alarms;
use super::bounds::Bounds;
use super::experts::{Accuracy, Experts};
use super::fields::Fields;
use super::format::Format;
use super::holidays::Holidays;
use super::learn_every::LearnEvery;
use super::model::Model;
use super::output::Output;
use super::promotion::Promotion;
use super::seasons::SeasonsFrom;
use super::training::Training;
use crate::domain::{Aggregate, Counter, Grid, Leads, Levels, Position, StreamName, Transform, ValueRange};
use std::time::Duration;

/// A stream, checked.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Its name in the config.
    pub name: StreamName,
    /// The topics that are read.
    pub topics: Vec<String>,
    /// The topic that forecasts are written to.
    pub forecast_topic: String,
    /// The topic that records are written to when they can't be decoded.
    pub dead_letter_topic: String,
    /// The format of the records.
    pub format: Format,
    /// Where the parts of a reading lie in a record.
    pub fields: Fields,
    /// The values that are forecast.
    pub targets: Vec<String>,
    /// The scale on which targets are learnt.
    pub transform: Transform,
    /// Whether only the differences of targets are learnt, and not their levels.
    pub difference: bool,
    /// The two targets that are a position, if two are.
    pub position: Option<Position>,
    /// The bounds of each target.
    pub ranges: Vec<ValueRange>,
    /// The targets that come as growing counts.
    pub counters: Vec<Counter>,
    /// The values that are known and not forecast.
    pub covariates: Vec<String>,
    /// Indices of the covariates whose values at the leads come with each reading.
    pub known_ahead: Vec<usize>,
    /// Indices of the covariates that tell series apart and never change.
    pub attributes: Vec<usize>,
    /// When readings come.
    pub grid: Grid,
    /// The time zone of the calendar.
    pub time_zone: jiff::tz::TimeZone,
    /// How several readings in one cell become one; `None` where only the first counts.
    pub aggregate: Option<Aggregate>,
    /// How long readings are held back to put them in order.
    pub lateness: Duration,
    /// The longest gap, in cells, that is filled; a longer one resets the state.
    pub max_gap: usize,
    /// What stands in the cells of a gap.
    pub fill: Fill,
    /// The most readings that are kept of a series to learn from.
    pub window: usize,
    /// How much memory it may take.
    pub bounds: Bounds,
    /// The series that are read, ascending; `None` for all.
    pub only: Option<Vec<String>>,
    /// Season lengths in steps, ascending.
    pub seasons: Vec<usize>,
    /// Where the seasons are known from.
    pub seasons_from: SeasonsFrom,
    /// Its calendar features.
    pub calendar: Calendar,
    /// Days off, in the stream's time zone.
    pub holidays: Holidays,
    /// The number of leads of a forecast.
    pub horizon: usize,
    /// One of this many cells of a series is answered: the first with a reading in each such stretch of time.
    pub emit_every: i64,
    /// The quantile levels of a forecast.
    pub levels: Levels,
    /// How forecasts are written, and what of each is.
    pub output: Output,
    /// The experts beside the networks.
    pub experts: Experts,
    /// At which origins the linear experts of a mature series learn.
    pub learn_every: LearnEvery,
    /// When it raises an alarm.
    pub alarms: Alarms,
    /// The event time of a partition's past that is replayed without output when a shard starts.
    pub cold_replay: Duration,
    /// Its networks.
    pub model: Model,
    /// How they are trained.
    pub training: Training,
    /// Which of them serves.
    pub promotion: Promotion,
}

/// Up to this many values known ahead, every lead is shown; otherwise only leads 1, 2, 4, 8, …
const OUTLOOK_MAX: usize = 32;

/// What stands in the cells of a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// The series' own forecast of lead 1.
    Forecast,
    /// The last value is held.
    Hold,
    /// The last value is held and a feature says that it is missing.
    Mask,
}

/// Which calendar features a stream has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calendar {
    /// The time of day.
    pub day: bool,
    /// The day of the week.
    pub week: bool,
    /// The day of the year.
    pub year: bool,
}

fn cell_wait(grid: Grid, aggregate: Option<Aggregate>) -> Duration {
    let cell = grid.interval().filter(|_| aggregate.is_some());
    cell.map_or(Duration::ZERO, |interval| Duration::from_micros(interval.as_micros() as u64))
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

    /// The number of values of a reading: targets and covariates.
    pub fn width(&self) -> usize {
        self.targets.len() + self.covariates.len()
    }

    /// The number of values that come with a reading: its own, and those that are known ahead.
    pub fn values_per_reading(&self) -> usize {
        self.width() + self.known_ahead.len() * self.horizon
    }

    /// How long a cell waits for readings.
    pub fn cell_wait(&self) -> Duration {
        cell_wait(self.grid, self.aggregate)
    }

    /// How the values of a target or covariate in one cell become one, where the config says `how`. A count is never
    /// averaged: its last value is that at the cell's end.
    pub fn aggregate_of(&self, how: Aggregate, column: usize) -> Aggregate {
        let is_count = self.counters.iter().any(|counter| counter.target == column);
        if is_count && how == Aggregate::Mean { Aggregate::Last } else { how }
    }

    /// A target of a reading; NaN where it is missing, or the transform has no value for it.
    pub fn target_of(&self, values: &[f64], target: usize) -> f64 {
        let value = self.position.map_or(values[target], |position| position.of(values, target));
        if self.transform.apply(value).is_nan() { f64::NAN } else { value }
    }

    /// A target's value, comparable with another: a longitude is moved by whole turns until it is next to that.
    pub fn around(&self, target: usize, value: f64, other: f64) -> f64 {
        self.position.map_or(value, |position| position.around(target, value, other))
    }

    /// The topics that are written to.
    pub fn output_topics(&self) -> impl Iterator<Item = &String> {
        [&self.forecast_topic, &self.dead_letter_topic].into_iter().chain(&self.alarms.anomaly_topic)
    }

    /// Whether a series is read.
    pub fn reads_series(&self, series: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.binary_search_by(|name| name.as_str().cmp(series)).is_ok())
    }

    /// Whether a reading in `cell` is answered with a forecast; `before` is the cell of the series' reading before it.
    pub fn is_answered(&self, before: Option<i64>, cell: i64) -> bool {
        let stretch = |cell: i64| cell.div_euclid(self.emit_every);
        before.is_none_or(|before| stretch(before) != stretch(cell))
    }

    /// The leads whose forecasts are scored, mixed and corrected by weights of their own; those of the others are
    /// interpolated. Where networks are shown what is known ahead of each lead they correct each lead: what is
    /// known of one says nothing of the next.
    pub fn leads(&self) -> Leads {
        let is_told = !self.known_ahead.is_empty() && !self.model.networks.is_empty();
        match self.experts.accuracy {
            Accuracy::Full if is_told && self.shows_each_lead() => Leads::dense(self.horizon, self.season()),
            Accuracy::Full => Leads::fine(self.horizon, self.season()),
            Accuracy::Compact => Leads::coarse(self.horizon, self.season()),
        }
    }

    /// Whether what is known ahead is shown of each lead, and not only of leads 1, 2, 4, 8, …
    pub fn shows_each_lead(&self) -> bool {
        self.experts.accuracy == Accuracy::Full && self.known_ahead.len() * self.horizon <= OUTLOOK_MAX
    }

    /// The season that the seasonal naive repeats: the shortest.
    pub fn season(&self) -> Option<usize> {
        self.seasons.first().copied()
    }
}
