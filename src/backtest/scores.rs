//! Sums of errors, and the scores that they give.

use crate::engine::EXPERTS;
use crate::experts::NAIVE;
use serde_json::{Value, json};

/// Who is judged on what.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Who is judged; what is emitted is the last.
    pub names: Vec<String>,
    pub targets: Vec<String>,
    /// Of each target's errors, where that is not the target's own.
    pub units: Vec<Option<&'static str>>,
    pub levels: Vec<f64>,
    pub horizon: usize,
    /// The baselines among the names.
    naive: Vec<usize>,
}

/// Errors of one expert, target and lead.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cell {
    pub n: u64,
    absolute: f64,
    squared: f64,
    scaled: (f64, u64),
    /// Where every baseline has a forecast too: the expert's absolute errors, then each baseline's.
    beside: [f64; 1 + NAIVE.len()],
}

/// How the values of a target lay about one quantile of what was emitted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Band {
    pub n: u64,
    pinball: f64,
    below: u64,
    under: u64,
}

/// All sums of a series, or of all of them.
#[derive(Clone, Debug)]
pub(super) struct Scores {
    /// `[experts, targets, horizon]`
    cells: Vec<Cell>,
    /// `[targets, levels, horizon]`
    bands: Vec<Band>,
}

/// What became of one forecast of all experts: where it belongs, and its errors.
pub(super) struct Errors<'a> {
    pub target: usize,
    /// From 1.
    pub lead: usize,
    /// By expert; not a number where nothing was said. `[experts]`
    pub errors: &'a [f64],
    /// The seasonal naive's mean absolute error until then, where it is known.
    pub naive: Option<f64>,
}

impl Frame {
    pub fn new(names: Vec<String>, targets: Vec<String>, levels: Vec<f64>, horizon: usize) -> Self {
        let naive = NAIVE.iter().filter_map(|n| names.iter().position(|name| name == n)).collect();
        let units = vec![None; targets.len()];
        Self { names, targets, units, levels, horizon, naive }
    }

    /// The same with other units of the errors, by target.
    pub fn with_units(mut self, unit: impl Fn(usize) -> Option<&'static str>) -> Self {
        self.units.iter_mut().enumerate().for_each(|(target, to)| *to = unit(target));
        self
    }

    /// A target with the unit of its errors.
    pub fn label(&self, target: usize) -> String {
        match self.units[target] {
            Some(unit) => format!("{} ({unit})", self.targets[target]),
            None => self.targets[target].clone(),
        }
    }

    /// What is emitted, among the names.
    pub fn emitted(&self) -> usize {
        self.names.len() - 1
    }

    /// The networks, among the names: they follow the experts' mixture.
    pub fn networks(&self) -> std::ops::Range<usize> {
        let first = self.names.iter().position(|name| name == EXPERTS).map_or(self.emitted(), |at| at + 1);
        first..self.emitted()
    }

    /// The baselines, among the names.
    pub fn naive(&self) -> &[usize] {
        &self.naive
    }

    fn cell(&self, expert: usize, target: usize) -> usize {
        (expert * self.targets.len() + target) * self.horizon
    }

    fn band(&self, target: usize, level: usize) -> usize {
        (target * self.levels.len() + level) * self.horizon
    }

    /// The central intervals that the levels make, the widest first: nominal share, lower and upper level.
    pub fn intervals(&self) -> Vec<(f64, usize, usize)> {
        let levels = self.levels.iter().enumerate().take_while(|(_, level)| **level < 0.5);
        let opposite = |level: f64| self.levels.iter().position(|l| (l - (1.0 - level)).abs() < 1e-9);
        levels
            .filter_map(|(low, level)| {
                let nominal = ((1.0 - 2.0 * level) * 1e6).round() / 1e6;
                opposite(*level).map(|high| (nominal, low, high))
            })
            .collect()
    }
}

impl Scores {
    pub fn new(frame: &Frame) -> Self {
        let targets = frame.targets.len();
        Self {
            cells: vec![Cell::default(); frame.names.len() * targets * frame.horizon],
            bands: vec![Band::default(); targets * frame.levels.len() * frame.horizon],
        }
    }

    /// Adds the errors of one forecast.
    pub fn add(&mut self, frame: &Frame, made: &Errors<'_>) {
        let mut beside = [0.0; NAIVE.len()];
        for (to, naive) in beside.iter_mut().zip(&frame.naive) {
            *to = made.errors[*naive].abs();
        }
        let is_beside = beside.iter().all(|e| e.is_finite());
        for (expert, error) in made.errors.iter().enumerate().filter(|(_, e)| e.is_finite()) {
            let cell = &mut self.cells[frame.cell(expert, made.target) + made.lead - 1];
            cell.n += 1;
            cell.absolute += error.abs();
            cell.squared += error * error;
            if let Some(naive) = made.naive {
                cell.scaled = (cell.scaled.0 + error.abs() / naive, cell.scaled.1 + 1);
            }
            if is_beside {
                cell.beside[0] += error.abs();
                cell.beside[1..].iter_mut().zip(&beside).for_each(|(sum, e)| *sum += e);
            }
        }
    }

    /// Adds by how much a value lies over an emitted quantile; gives the pinball loss.
    pub fn add_quantile(
        &mut self,
        frame: &Frame,
        (target, level, lead): (usize, usize, usize),
        over: f64,
    ) -> f64 {
        let share = frame.levels[level];
        let loss = (share * over).max((share - 1.0) * over);
        let band = &mut self.bands[frame.band(target, level) + lead - 1];
        band.n += 1;
        band.pinball += loss;
        band.below += u64::from(over <= 0.0);
        band.under += u64::from(over < 0.0);
        loss
    }

    /// Adds another series' sums.
    pub fn merge(&mut self, other: &Self) {
        self.cells.iter_mut().zip(&other.cells).for_each(|(a, b)| *a = a.plus(b));
        self.bands.iter_mut().zip(&other.bands).for_each(|(a, b)| *a = a.plus(b));
    }

    /// The sums of one expert and target at a lead, or over all leads.
    pub fn cell(&self, frame: &Frame, expert: usize, target: usize, lead: Option<usize>) -> Cell {
        let row = &self.cells[frame.cell(expert, target)..][..frame.horizon];
        match lead {
            Some(lead) => row[lead - 1],
            None => row.iter().fold(Cell::default(), |sum, cell| sum.plus(cell)),
        }
    }

    /// As [`Self::cell`], of one of the emitted quantiles.
    pub fn band(&self, frame: &Frame, target: usize, level: usize, lead: Option<usize>) -> Band {
        let row = &self.bands[frame.band(target, level)..][..frame.horizon];
        match lead {
            Some(lead) => row[lead - 1],
            None => row.iter().fold(Band::default(), |sum, band| sum.plus(band)),
        }
    }

    /// The mean pinball loss over all levels; `None` where nothing was judged.
    pub fn pinball(&self, frame: &Frame, target: usize, lead: Option<usize>) -> Option<f64> {
        let losses = (0..frame.levels.len()).map(|l| self.band(frame, target, l, lead).pinball());
        losses.sum::<Option<f64>>().map(|sum| sum / frame.levels.len().max(1) as f64)
    }

    /// The realised share inside each of [`Frame::intervals`], their ends included; empty where nothing was
    /// judged.
    pub fn coverage(&self, frame: &Frame, target: usize, lead: Option<usize>) -> Vec<(f64, f64)> {
        let band = |level| self.band(frame, target, level, lead);
        let all = frame.intervals().into_iter();
        all.filter_map(|(nominal, low, high)| Some((nominal, band(high).share()? - band(low).share_under()?)))
            .collect()
    }

    /// One object per expert, target and lead, and over all leads (`"lead": null`), of those that have a
    /// forecast.
    pub fn to_json(&self, frame: &Frame) -> Value {
        let mut found = Vec::new();
        for expert in 0..frame.names.len() {
            for target in 0..frame.targets.len() {
                for lead in std::iter::once(None).chain((1..=frame.horizon).map(Some)) {
                    found.extend(self.score(frame, expert, target, lead));
                }
            }
        }
        Value::Array(found)
    }

    /// One object per expert and target of a series, over all leads; its errors by lead as a list.
    pub fn series_to_json(&self, frame: &Frame, series: &str) -> Vec<Value> {
        let mut found = Vec::new();
        for expert in 0..frame.names.len() {
            for target in 0..frame.targets.len() {
                let Some(mut score) = self.score(frame, expert, target, None) else { continue };
                let leads = (1..=frame.horizon).map(|lead| self.cell(frame, expert, target, Some(lead)));
                score["series"] = json!(series);
                score["mae_by_lead"] = leads.map(|cell| (cell.n > 0).then(|| cell.mae())).collect();
                found.push(score);
            }
        }
        found
    }

    fn score(&self, frame: &Frame, expert: usize, target: usize, lead: Option<usize>) -> Option<Value> {
        let cell = self.cell(frame, expert, target, lead);
        if cell.n == 0 {
            return None;
        }
        let skill = cell.skill(frame);
        let mut score = json!({
            "expert": frame.names[expert], "target": frame.targets[target], "unit": frame.units[target],
            "lead": lead, "n": cell.n,
            "mae": cell.mae(), "rmse": cell.rmse(), "mase": cell.mase(),
            "skill": skill.map(|(_, skill)| skill), "naive": skill.map(|(name, _)| name),
        });
        if expert == frame.emitted() {
            let pinball = frame.levels.iter().enumerate();
            score["pinball"] = pinball
                .map(|(l, level)| (level.to_string(), json!(self.band(frame, target, l, lead).pinball())))
                .collect();
            let coverage = self.coverage(frame, target, lead).into_iter();
            score["coverage"] =
                coverage.map(|(nominal, share)| (nominal.to_string(), json!(share))).collect();
        }
        Some(score)
    }
}

impl Cell {
    fn plus(&self, other: &Self) -> Self {
        let mut beside = self.beside;
        beside.iter_mut().zip(&other.beside).for_each(|(a, b)| *a += b);
        Self {
            n: self.n + other.n,
            absolute: self.absolute + other.absolute,
            squared: self.squared + other.squared,
            scaled: (self.scaled.0 + other.scaled.0, self.scaled.1 + other.scaled.1),
            beside,
        }
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

    /// The best baseline, and by what share of its mean absolute error this one's is lower: 0 is as good, 1
    /// without any error. Both on the targets that every baseline has forecast too.
    pub fn skill<'f>(&self, frame: &'f Frame) -> Option<(&'f str, f64)> {
        let (own, others) = self.beside.split_first()?;
        let all = frame.naive.iter().zip(others);
        let (best, error) = all.min_by(|a, b| a.1.total_cmp(b.1)).filter(|(_, error)| **error > 0.0)?;
        Some((&frame.names[*best], 1.0 - own / error))
    }
}

impl Band {
    fn plus(&self, other: &Self) -> Self {
        Self {
            n: self.n + other.n,
            pinball: self.pinball + other.pinball,
            below: self.below + other.below,
            under: self.under + other.under,
        }
    }

    /// The mean pinball loss.
    pub fn pinball(&self) -> Option<f64> {
        (self.n > 0).then(|| self.pinball / self.n as f64)
    }

    /// The share of values at or below the quantile.
    pub fn share(&self) -> Option<f64> {
        (self.n > 0).then(|| self.below as f64 / self.n as f64)
    }

    /// The share of values below the quantile.
    pub fn share_under(&self) -> Option<f64> {
        (self.n > 0).then(|| self.under as f64 / self.n as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Frame {
        let names = ["last", "seasonal", "mixture"].map(str::to_owned).to_vec();
        Frame::new(names, vec!["kw".to_owned()], vec![0.1, 0.5, 0.9], 2)
    }

    #[test]
    fn skill_is_measured_where_every_baseline_has_spoken() {
        let frame = frame();
        let mut scores = Scores::new(&frame);
        let mut add = |lead, errors: [f64; 3]| {
            scores.add(&frame, &Errors { target: 0, lead, errors: &errors, naive: Some(2.0) });
        };
        add(1, [4.0, -2.0, 1.0]);
        add(1, [4.0, f64::NAN, 9.0]);
        add(2, [1.0, 8.0, -0.5]);
        let at = |lead| scores.cell(&frame, 2, 0, lead);
        assert_eq!(at(Some(1)).skill(&frame), Some(("seasonal", 0.5)));
        assert_eq!(at(Some(2)).skill(&frame), Some(("last", 0.5)));
        // 1.5 for the 5 of the last value: the best one over all leads is not the best at each.
        assert_eq!(at(None).skill(&frame), Some(("last", 0.7)));
        assert_eq!((at(None).n, at(None).mae()), (3, 3.5));
        assert_eq!(at(None).mase(), Some(1.75));
        assert!((at(Some(1)).rmse() - 41f64.sqrt()).abs() < 1e-12);
        assert_eq!(scores.cell(&frame, 1, 0, Some(1)).n, 1);
    }

    #[test]
    fn series_add_up_and_quantiles_are_counted() {
        let frame = frame();
        let mut all = Scores::new(&frame);
        for value in [0.0, 1.0, 2.0, 3.0] {
            let mut series = Scores::new(&frame);
            for (level, quantile) in [0.5, 1.5, 2.5].into_iter().enumerate() {
                series.add_quantile(&frame, (0, level, 1), value - quantile);
            }
            all.merge(&series);
        }
        assert_eq!(all.coverage(&frame, 0, None), [(0.8, 0.5)]);
        assert_eq!(all.coverage(&frame, 0, Some(2)), []);
        let shares: Vec<_> = (0..3).map(|l| all.band(&frame, 0, l, None).share().unwrap()).collect();
        assert_eq!(shares, [0.25, 0.5, 0.75]);
        // At the median the pinball loss is half of the absolute error: (1.5 + 0.5 + 0.5 + 1.5) / 4 / 2.
        assert_eq!(all.band(&frame, 0, 1, Some(1)).pinball(), Some(0.5));
    }
}
