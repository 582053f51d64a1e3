//! Judges forecasts by the readings that follow. The auditor shares nothing with the engine's own scores.

use super::scores::{Errors, ScoreAxes, Scores};
use crate::config::Stream;
use crate::domain::{Aggregate, EventTime, Grid, Level, Partial, Position, Values};
use crate::engine::{Emitted, Shard};
use crate::series::{Counts, Slot};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::sync::Arc;

/// Forecasts that wait for their targets, and the sums of those that were judged.
pub(super) struct Auditor {
    pub axes: ScoreAxes,
    stream: Arc<Stream>,
    position: Option<Position>,
    from: EventTime,
    every: u64,
    /// In the order in which they came.
    series: Vec<Series>,
    places: FxHashMap<String, usize>,
    /// `[experts]`
    errors: Vec<f64>,
    /// The losses of the emitted forecasts that the last row has matured, and their series.
    losses: Vec<ForecastLoss>,
    last: usize,
}

/// The losses of one emitted forecast at one target and lead.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ForecastLoss {
    pub target: usize,
    pub lead: usize,
    /// The cell, or the count of readings, at which it was made.
    pub origin: i64,
    /// In the unit of the target's errors.
    pub error: f64,
    /// The mean pinball loss over the levels.
    pub pinball: f64,
}

struct Series {
    name: String,
    scores: Scores,
    pending: VecDeque<PendingForecast>,
    /// Readings seen, and forecasts that were due to be judged.
    seen: i64,
    due: u64,
    /// With `aggregate`: the cell that is gathered, and its readings so far. `[targets]`
    open: Option<(i64, Vec<Partial>)>,
    counts: Counts,
    /// Past values by cell, for the seasonal naive's in-sample error. `[targets]` each
    past: VecDeque<(i64, Vec<f64>)>,
    /// Sum and number of the seasonal naive's absolute errors so far. `[targets]`
    naive: Vec<(f64, u64)>,
}

/// The unit of a target's errors, if it is not the target's own. Errors of a position are in metres, because the
/// length of a degree of longitude depends on the latitude.
fn unit(position: Option<Position>, target: usize) -> Option<&'static str> {
    position.and_then(|p| p.coordinate(target)).map(|_| "m")
}

/// The length of a target's unit in the unit of its errors, at the values of a reading.
fn worth(position: Option<Position>, targets: &[f64], target: usize) -> f64 {
    let of = |p: Position| Some(p.coordinate(target)?.metres_per_degree(targets[p.latitude]));
    position.and_then(of).unwrap_or(1.0)
}

struct PendingForecast {
    step: i64,
    /// `[targets, horizon, experts]`
    points: Vec<f64>,
    /// `[targets, levels, horizon]`
    quantiles: Vec<f64>,
}

impl Auditor {
    /// Errors of the targets that are a `position` are taken in metres.
    pub fn new(stream: Arc<Stream>, position: Option<Position>, from: Option<EventTime>, every: u64) -> Self {
        let names = Shard::judged(&stream);
        let levels = stream.levels.iter().map(Level::get).collect();
        Self {
            errors: vec![f64::NAN; names.len()],
            axes: ScoreAxes::new(names, stream.targets.clone(), levels, stream.horizon)
                .with_units(|target| unit(position, target)),
            position,
            from: from.unwrap_or(EventTime::MIN),
            every: every.max(1),
            series: Vec::new(),
            places: FxHashMap::default(),
            losses: Vec::new(),
            last: 0,
            stream,
        }
    }

    fn step_of(&self, time: EventTime, seen: i64) -> i64 {
        match self.stream.grid {
            Grid::Fixed(_) => self.stream.grid.cell(time),
            Grid::Irregular => seen,
        }
    }

    fn place(&mut self, series: &str) -> usize {
        if let Some(at) = self.places.get(series) {
            return *at;
        }
        let at = self.series.len();
        self.places.insert(series.to_owned(), at);
        self.series.push(Series {
            name: series.to_owned(),
            scores: Scores::new(&self.axes),
            pending: VecDeque::new(),
            seen: 0,
            due: 0,
            open: None,
            counts: Counts::of_one(&self.stream.counters),
            past: VecDeque::new(),
            naive: vec![(0.0, 0); self.stream.targets.len()],
        });
        at
    }

    /// Begins a row: forgets the losses of the last one.
    pub fn begin_row(&mut self) {
        self.losses.clear();
    }

    /// Judges the forecasts of a reading, before the engine answers it.
    pub fn reading(&mut self, series: &str, time: EventTime, values: &Values) {
        if !self.stream.reads_series(series) {
            return;
        }
        let at = self.place(series);
        self.last = at;
        let mut step = self.step_of(time, self.series[at].seen + 1);
        let stream = self.stream.clone();
        let mut targets: Vec<f64> =
            (0..stream.targets.len()).map(|target| stream.target_of(values.as_slice(), target)).collect();
        if let Some(how) = stream.aggregate {
            let how: Vec<Aggregate> =
                (0..targets.len()).map(|target| stream.aggregate_of(how, target)).collect();
            let Some((cell, whole)) = self.series[at].gather(&how, step, time, &targets) else { return };
            (step, targets) = (cell, whole);
        }
        if self.series[at].past.back().is_none_or(|(newest, _)| step > *newest) {
            let at_us =
                if stream.grid.interval().is_some() { stream.grid.start_of(step) } else { time }.as_micros();
            self.series[at].counts.take(Slot(0), at_us, &mut targets, |_, _, _| {});
            self.score(at, step, &targets);
            let season = stream.season().unwrap_or(1) as i64;
            let state = &mut self.series[at];
            state.learn_naive(&stream, self.position, season, step, targets);
            state.seen += 1;
        }
    }

    fn score(&mut self, at: usize, step: i64, targets: &[f64]) {
        let Self { axes, stream, position, series, errors, losses, .. } = self;
        let Series { scores, pending, naive, .. } = &mut series[at];
        let (h, experts, levels) = (axes.horizon, axes.names.len(), axes.levels.len());
        while pending.front().is_some_and(|p| step - p.step > h as i64) {
            pending.pop_front();
        }
        for pending in pending.iter() {
            let lead = (step - pending.step) as usize;
            if lead == 0 {
                continue;
            }
            for (target, value) in targets.iter().enumerate().filter(|(_, v)| v.is_finite()) {
                let worth = worth(*position, targets, target);
                let points = &pending.points[(target * h + lead - 1) * experts..][..experts];
                for (error, point) in errors.iter_mut().zip(points) {
                    *error = worth * (stream.around(target, *value, *point) - point);
                }
                let (sum, n) = naive[target];
                let naive = (n > 0 && sum > 0.0).then(|| sum / n as f64);
                scores.add(axes, &Errors { target, lead, errors, naive });
                let error = errors[axes.emitted()];
                if !error.is_finite() {
                    continue;
                }
                // On a circular target quantiles lie around the point.
                let value = stream.around(target, *value, points[axes.emitted()]);
                let mut pinball = 0.0;
                for level in 0..levels {
                    let quantile = pending.quantiles[(target * levels + level) * h + lead - 1];
                    pinball += scores.add_quantile(axes, (target, level, lead), worth * (value - quantile));
                }
                let pinball = pinball / levels.max(1) as f64;
                losses.push(ForecastLoss { target, lead, origin: pending.step, error, pinball });
            }
        }
    }

    /// Keeps a forecast until its targets come, if it is to be judged. Returns whether it is.
    pub fn forecast(&mut self, emitted: &Emitted<'_>) -> bool {
        let (t, h) = (self.stream.targets.len(), self.stream.horizon);
        let experts = self.axes.emitted();
        let Some(at) = self.places.get(emitted.series) else { return false };
        let state = &mut self.series[*at];
        let origin = emitted.forecast.origin;
        if origin < self.from {
            return false;
        }
        state.due += 1;
        if !(state.due - 1).is_multiple_of(self.every) {
            return false;
        }
        let step = match self.stream.grid {
            Grid::Fixed(_) => self.stream.grid.cell(origin),
            Grid::Irregular => state.seen,
        };
        let mut points = Vec::with_capacity((experts + 1) * t * h);
        for (target, forecast) in emitted.forecast.targets.iter().enumerate() {
            for lead in 1..=h {
                points.extend((0..experts).map(|expert| emitted.said(expert, target, lead)));
                // Emitted values are judged as they were emitted: rounded.
                points.push(forecast.yhat[lead - 1]);
            }
        }
        let quantiles =
            emitted.forecast.targets.iter().flat_map(|target| target.quantiles.iter().copied()).collect();
        state.pending.push_back(PendingForecast { step, points, quantiles });
        true
    }

    /// The series of the last row, and the losses of the emitted forecasts that it has matured.
    pub fn matured(&self) -> Option<(&str, &[ForecastLoss])> {
        self.series.get(self.last).map(|series| (series.name.as_str(), self.losses.as_slice()))
    }

    /// The names and sums of the series, in the order in which they came.
    pub fn series(&self) -> impl ExactSizeIterator<Item = (&str, &Scores)> {
        self.series.iter().map(|series| (series.name.as_str(), &series.scores))
    }

    /// How many emitted forecasts were scored, each target and lead counted by itself.
    pub fn scored(&self) -> u64 {
        let all = self.scores();
        let emitted = self.axes.emitted();
        (0..self.axes.targets.len()).map(|t| all.error_sums(&self.axes, emitted, t, None).n).sum()
    }

    /// The sums over all series.
    pub fn scores(&self) -> Scores {
        let mut all = Scores::new(&self.axes);
        self.series.iter().for_each(|series| all.merge(&series.scores));
        all
    }
}

impl Series {
    /// Gathers a reading. Returns the cell before it with its values, when that cell is over.
    fn gather(
        &mut self,
        how: &[Aggregate],
        cell: i64,
        time: EventTime,
        targets: &[f64],
    ) -> Option<(i64, Vec<f64>)> {
        let is_next = self.open.as_ref().is_none_or(|(open, _)| cell > *open);
        let begun = || (cell, how.iter().map(|how| how.empty()).collect());
        let over = is_next.then(|| self.open.replace(begun())).flatten();
        // A reading for a cell that is over is too late, for the engine too.
        if let Some((_, partial)) = self.open.as_mut().filter(|(open, _)| *open == cell) {
            let values = partial.iter_mut().zip(targets).zip(how);
            values.for_each(|((to, value), how)| how.add(to, time, *value));
        }
        over.map(|(cell, partial)| {
            (cell, partial.into_iter().zip(how).map(|(p, how)| how.value(p)).collect())
        })
    }

    fn learn_naive(
        &mut self,
        stream: &Stream,
        position: Option<Position>,
        season: i64,
        step: i64,
        targets: Vec<f64>,
    ) {
        while self.past.front().is_some_and(|(then, _)| step - then > season) {
            self.past.pop_front();
        }
        if let Some((then, values)) = self.past.front()
            && step - then == season
        {
            for (target, ((now, then), sum)) in targets.iter().zip(values).zip(&mut self.naive).enumerate() {
                let error =
                    worth(position, &targets, target) * (stream.around(target, *now, *then) - then).abs();
                if error.is_finite() {
                    *sum = (sum.0 + error, sum.1 + 1);
                }
            }
        }
        self.past.push_back((step, targets));
    }
}
