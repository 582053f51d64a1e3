//! What all formats take of a stream and of a forecast.

use crate::codec::decimal::Decimals;
use crate::codec::thinning::Thinning;
use crate::config::{Columns, Limit, Stream};
use crate::domain::{Forecast, Grid, Interval, Level, TargetForecast};

/// A stream's part of its forecasts, and which parts are sent.
pub struct Parts {
    pub stream: String,
    pub targets: Vec<String>,
    pub grid: Grid,
    /// The levels that are sent.
    pub levels: Vec<Level>,
    /// The limits that are sent.
    pub limits: Vec<Limit>,
    pub columns: Columns,
    pub thinning: Thinning,
    /// How many levels the stream has.
    all_levels: usize,
}

impl Parts {
    pub fn new(stream: &Stream) -> Self {
        let columns = stream.output.columns.clone();
        let levels: Vec<Level> = stream.levels.iter().collect();
        Self {
            stream: stream.name.as_str().to_owned(),
            targets: stream.targets.clone(),
            grid: stream.grid,
            all_levels: levels.len(),
            levels: columns.levels.iter().map(|at| levels[*at]).collect(),
            limits: if columns.limits { stream.alarms.limits.clone() } else { Vec::new() },
            columns,
            thinning: Thinning::new(stream),
        }
    }

    /// The interval in seconds, where it is sent and the stream has one.
    pub fn interval_s(&self) -> Option<f64> {
        self.grid.interval().map(Interval::as_seconds).filter(|_| self.columns.interval)
    }

    /// The leads that are sent of a forecast, of at most `most`, and how many of the chosen ones are not.
    ///
    /// # Panics
    /// When the forecast is not one of the stream.
    pub fn leads(&self, forecast: &Forecast, most: usize) -> (usize, usize) {
        assert_eq!(forecast.targets.len(), self.targets.len(), "targets of a forecast and of its stream");
        let horizon = forecast.targets.first().map_or(0, |target| target.yhat.len());
        for target in &forecast.targets {
            assert_eq!(target.quantiles.len(), self.all_levels * horizon, "quantiles of a forecast");
        }
        assert!(self.limits.is_empty() || self.limits.len() == forecast.limits.len(), "limits of a forecast");
        let all = self.thinning.count(horizon);
        let sent = all.min(most);
        (sent, all - sent)
    }

    /// Of a target the quantiles of one of the levels that are sent, for all leads.
    pub fn quantiles<'a>(&self, target: &'a TargetForecast, at: usize) -> &'a [f64] {
        let horizon = target.yhat.len();
        &target.quantiles[self.columns.levels[at] * horizon..][..horizon]
    }

    /// The reading at the origin, where it is sent and there is one, rounded.
    pub fn last(&self, target: &TargetForecast) -> Option<f64> {
        let last = target.last.filter(|_| self.columns.last).map(|x| Decimals::new(target.decimals).round(x));
        last.filter(|last| last.is_finite())
    }
}
