//! `[streams.NAME]`, checked: one pipeline, from its topics to its forecasts.

mod keys;
mod read;

pub(super) use keys::STREAMS;
pub(super) use read::{check_topics, stream};

use super::alarms::Alarms;
use super::bounds::Bounds;
use super::experts::{Accuracy, Experts};
use super::fields::Fields;
use super::holidays::Holidays;
use super::model::Model;
use super::promotion::Promotion;
use super::seasons::SeasonsFrom;
use super::training::Training;
use crate::domain::{Aggregate, Grid, Leads, Levels, Position, StreamName, Transform, ValueRange};
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

fn gathered_for(grid: Grid, aggregate: Option<Aggregate>) -> Duration {
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
