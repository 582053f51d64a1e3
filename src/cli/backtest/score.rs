//! Judges forecasts by what came: an auditor that shares nothing with the engine's own scores.

use crate::config::Stream;
use crate::domain::{EventTime, Grid, Values};
use crate::engine::{Emitted, Shard};
use rustc_hash::FxHashMap;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;

/// Errors of one expert, target and lead.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub n: u64,
    absolute: f64,
    squared: f64,
    scaled: (f64, u64),
    pinball: Vec<f64>,
    below: Vec<u64>,
}

/// Forecasts that wait for what they speak of, and the sums of those that were judged.
pub(super) struct Judge {
    stream: Arc<Stream>,
    from: EventTime,
    every: u64,
    series: FxHashMap<String, Series>,
    /// Who is judged; what is emitted is the last.
    names: Vec<&'static str>,
    /// `[experts, targets, horizon]`
    cells: Vec<Cell>,
}

#[derive(Default)]
struct Series {
    pending: VecDeque<Pending>,
    /// Readings seen, and those from `from` on.
    seen: i64,
    due: u64,
    /// Past values by cell, for the seasonal naive's in-sample error. `[targets]` each
    past: VecDeque<(i64, Vec<f64>)>,
    /// Sum and number of the seasonal naive's absolute errors so far. `[targets]`
    naive: Vec<(f64, u64)>,
}

struct Pending {
    step: i64,
    /// `[experts, targets, horizon]`
    points: Vec<f64>,
    /// `[targets, levels, horizon]`
    quantiles: Vec<f64>,
}

impl Judge {
    pub fn new(stream: Arc<Stream>, from: Option<EventTime>, every: u64) -> Self {
        let levels = stream.levels.len();
        let names = Shard::judged(&stream);
        let cell = Cell {
            n: 0,
            absolute: 0.0,
            squared: 0.0,
            scaled: (0.0, 0),
            pinball: vec![0.0; levels],
            below: vec![0; levels],
        };
        Self {
            from: from.unwrap_or(EventTime::MIN),
            every: every.max(1),
            series: FxHashMap::default(),
            cells: vec![cell; names.len() * stream.targets.len() * stream.horizon],
            names,
            stream,
        }
    }

    fn step_of(&self, time: EventTime, seen: i64) -> i64 {
        match self.stream.grid {
            Grid::Fixed(_) => self.stream.grid.cell(time),
            Grid::Irregular => seen,
        }
    }

    /// A reading has come: judges what was forecast of it. Before the engine answers it.
    pub fn reading(&mut self, series: &str, time: EventTime, values: &Values) {
        if !self.stream.selects(series) {
            return;
        }
        if !self.series.contains_key(series) {
            let naive = vec![(0.0, 0); self.stream.targets.len()];
            self.series.insert(series.to_owned(), Series { naive, ..Series::default() });
        }
        let mut state = self.series.remove(series).expect("it was just put there");
        let step = self.step_of(time, state.seen + 1);
        let targets = &values.as_slice()[..self.stream.targets.len()];
        if state.past.back().is_none_or(|(newest, _)| step > *newest) {
            self.score(&mut state, step, targets);
            self.learn_naive(&mut state, step, targets);
            state.seen += 1;
            state.due += u64::from(time >= self.from);
        }
        self.series.insert(series.to_owned(), state);
    }

    fn score(&mut self, state: &mut Series, step: i64, targets: &[f64]) {
        let (t, h, emitted) = (targets.len(), self.stream.horizon, self.emitted());
        while state.pending.front().is_some_and(|p| step - p.step > h as i64) {
            state.pending.pop_front();
        }
        for pending in &state.pending {
            let lead = (step - pending.step) as usize;
            if lead == 0 {
                continue;
            }
            for (target, value) in targets.iter().enumerate().filter(|(_, v)| v.is_finite()) {
                let (sum, n) = state.naive[target];
                let naive = if n > 0 { sum / n as f64 } else { f64::NAN };
                for expert in 0..self.names.len() {
                    let at = (expert * t + target) * h + lead - 1;
                    let error = value - pending.points[at];
                    if !error.is_finite() {
                        continue;
                    }
                    let cell = &mut self.cells[at];
                    cell.n += 1;
                    cell.absolute += error.abs();
                    cell.squared += error * error;
                    if naive > 0.0 {
                        cell.scaled = (cell.scaled.0 + error.abs() / naive, cell.scaled.1 + 1);
                    }
                    if expert == emitted {
                        for (l, level) in self.stream.levels.iter().enumerate() {
                            let quantile =
                                pending.quantiles[(target * self.stream.levels.len() + l) * h + lead - 1];
                            let over = value - quantile;
                            cell.pinball[l] += (level.get() * over).max((level.get() - 1.0) * over);
                            cell.below[l] += u64::from(*value <= quantile);
                        }
                    }
                }
            }
        }
    }

    fn learn_naive(&self, state: &mut Series, step: i64, targets: &[f64]) {
        let season = self.stream.season().unwrap_or(1) as i64;
        while state.past.front().is_some_and(|(then, _)| step - then > season) {
            state.past.pop_front();
        }
        if let Some((then, values)) = state.past.front()
            && step - then == season
        {
            for (target, (now, then)) in targets.iter().zip(values).enumerate() {
                let error = (now - then).abs();
                if error.is_finite() {
                    let sum = &mut state.naive[target];
                    *sum = (sum.0 + error, sum.1 + 1);
                }
            }
        }
        state.past.push_back((step, targets.to_vec()));
    }

    /// Keeps a forecast until its targets come, when it is to be judged; says whether it is.
    pub fn forecast(&mut self, emitted: &Emitted<'_>) -> bool {
        let (t, h) = (self.stream.targets.len(), self.stream.horizon);
        let experts = self.emitted();
        let Some(state) = self.series.get_mut(emitted.series) else { return false };
        let origin = emitted.forecast.origin;
        if origin < self.from || !(state.due.max(1) - 1).is_multiple_of(self.every) {
            return false;
        }
        let step = match self.stream.grid {
            Grid::Fixed(_) => self.stream.grid.cell(origin),
            Grid::Irregular => state.seen,
        };
        let mut points = Vec::with_capacity(self.names.len() * t * h);
        for expert in 0..experts {
            for target in 0..t {
                points.extend((1..=h).map(|lead| emitted.said(expert, target, lead)));
            }
        }
        // What is emitted is taken as it went out.
        points.extend(emitted.forecast.targets.iter().flat_map(|target| &target.yhat));
        let quantiles =
            emitted.forecast.targets.iter().flat_map(|target| target.quantiles.iter().copied()).collect();
        state.pending.push_back(Pending { step, points, quantiles });
        true
    }

    pub fn series(&self) -> usize {
        self.series.len()
    }

    /// Who is judged.
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// What is emitted, among them.
    pub fn emitted(&self) -> usize {
        self.names.len() - 1
    }

    /// The sums of one expert and target at a lead, or over all leads.
    pub fn cell(&self, expert: usize, target: usize, lead: Option<usize>) -> Cell {
        let (t, h) = (self.stream.targets.len(), self.stream.horizon);
        let row = &self.cells[(expert * t + target) * h..][..h];
        match lead {
            Some(lead) => row[lead - 1].clone(),
            None => row.iter().skip(1).fold(row[0].clone(), |sum, cell| sum.plus(cell)),
        }
    }

    /// The scores of INTERFACES: one object per expert, target and lead, and over all leads
    /// (`"lead": null`).
    pub fn to_json(&self) -> Value {
        let mut scores = Vec::new();
        for (expert, name) in self.names.iter().enumerate() {
            for (target, target_name) in self.stream.targets.iter().enumerate() {
                for lead in std::iter::once(None).chain((1..=self.stream.horizon).map(Some)) {
                    let cell = self.cell(expert, target, lead);
                    if cell.n == 0 {
                        continue;
                    }
                    let mut score = json!({
                        "expert": name, "target": target_name, "lead": lead, "n": cell.n,
                        "mae": cell.mae(), "rmse": cell.rmse(), "mase": cell.mase(),
                    });
                    if expert == self.emitted() {
                        score["pinball"] = self.pinball(&cell);
                        score["coverage"] = self.coverage(&cell).into_iter().collect();
                    }
                    scores.push(score);
                }
            }
        }
        Value::Array(scores)
    }

    fn pinball(&self, cell: &Cell) -> Value {
        let mean = |sum: &f64| json!(sum / cell.n as f64);
        self.stream.levels.iter().map(|l| l.to_string()).zip(cell.pinball.iter().map(mean)).collect()
    }

    /// The realised coverage of each central interval, by its nominal one.
    pub fn coverage(&self, cell: &Cell) -> Vec<(String, Value)> {
        let levels: Vec<f64> = self.stream.levels.iter().map(crate::domain::Level::get).collect();
        let mut found = Vec::new();
        for (low, level) in levels.iter().enumerate().take_while(|(_, l)| **l < 0.5) {
            if let Some(high) = levels.iter().position(|l| (l - (1.0 - level)).abs() < 1e-9) {
                let inside = cell.below[high] - cell.below[low];
                let nominal = ((1.0 - 2.0 * level) * 1e6).round() / 1e6;
                found.push((nominal.to_string(), json!(inside as f64 / cell.n as f64)));
            }
        }
        found
    }
}

impl Cell {
    fn plus(mut self, other: &Self) -> Self {
        self.n += other.n;
        self.absolute += other.absolute;
        self.squared += other.squared;
        self.scaled = (self.scaled.0 + other.scaled.0, self.scaled.1 + other.scaled.1);
        self.pinball.iter_mut().zip(&other.pinball).for_each(|(a, b)| *a += b);
        self.below.iter_mut().zip(&other.below).for_each(|(a, b)| *a += b);
        self
    }

    pub fn mae(&self) -> f64 {
        self.absolute / self.n as f64
    }

    pub fn rmse(&self) -> f64 {
        (self.squared / self.n as f64).sqrt()
    }

    /// Absolute error over the mean absolute error of the seasonal naive up to then (the last value
    /// where there is no season).
    pub fn mase(&self) -> Option<f64> {
        (self.scaled.1 > 0).then(|| self.scaled.0 / self.scaled.1 as f64)
    }
}
