//! Sums of errors, and the scores that they give.

use crate::engine::EXPERTS;
use crate::experts::NAIVE;
use serde_json::{Value, json};

/// What scores are counted for.
#[derive(Clone, Debug)]
pub(super) struct ScoreAxes {
    /// The experts that are judged, then the emitted forecasts.
    pub names: Vec<String>,
    pub targets: Vec<String>,
    /// The unit of each target's errors, if it is not the target's own.
    pub units: Vec<Option<&'static str>>,
    pub levels: Vec<f64>,
    pub horizon: usize,
    /// The places of the baselines among the names.
    naive: Vec<usize>,
}

/// Sums of the errors of one expert, target and lead.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ErrorSums {
    pub n: u64,
    absolute: f64,
    squared: f64,
    scaled: (f64, u64),
    /// Over the targets that every baseline has forecast: the sum of the expert's absolute errors, then each
    /// baseline's.
    beside: [f64; 1 + NAIVE.len()],
}

/// Sums over the values of a target against one emitted quantile.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct QuantileSums {
    pub n: u64,
    pinball: f64,
    below: u64,
    under: u64,
}

/// All sums of one series, or of all series.
#[derive(Clone, Debug)]
pub(super) struct Scores {
    /// `[experts, targets, horizon]`
    errors: Vec<ErrorSums>,
    /// `[targets, levels, horizon]`
    quantiles: Vec<QuantileSums>,
}

/// The errors of all experts' forecasts of one target and lead.
pub(super) struct Errors<'a> {
    pub target: usize,
    /// Counted from 1.
    pub lead: usize,
    /// Not a number where an expert had no forecast. `[experts]`
    pub errors: &'a [f64],
    /// The seasonal naive's mean absolute error so far; `None` when it is unknown.
    pub naive: Option<f64>,
}

impl ScoreAxes {
    pub fn new(names: Vec<String>, targets: Vec<String>, levels: Vec<f64>, horizon: usize) -> Self {
        let naive = NAIVE.iter().filter_map(|n| names.iter().position(|name| name == n)).collect();
        let units = vec![None; targets.len()];
        Self { names, targets, units, levels, horizon, naive }
    }

    /// Sets the units of the errors, by target.
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

    /// The place of the emitted forecasts among the names.
    pub fn emitted(&self) -> usize {
        self.names.len() - 1
    }

    /// The places of the networks among the names: they follow the experts' mixture.
    pub fn networks(&self) -> std::ops::Range<usize> {
        let first = self.names.iter().position(|name| name == EXPERTS).map_or(self.emitted(), |at| at + 1);
        first..self.emitted()
    }

    /// The places of the baselines among the names.
    pub fn naive(&self) -> &[usize] {
        &self.naive
    }

    fn errors_at(&self, expert: usize, target: usize) -> usize {
        (expert * self.targets.len() + target) * self.horizon
    }

    fn quantiles_at(&self, target: usize, level: usize) -> usize {
        (target * self.levels.len() + level) * self.horizon
    }

    /// The central intervals between levels, the widest first: nominal share, lower and upper level.
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
    pub fn new(axes: &ScoreAxes) -> Self {
        let targets = axes.targets.len();
        Self {
            errors: vec![ErrorSums::default(); axes.names.len() * targets * axes.horizon],
            quantiles: vec![QuantileSums::default(); targets * axes.levels.len() * axes.horizon],
        }
    }

    /// Adds the errors of one forecast.
    pub fn add(&mut self, axes: &ScoreAxes, made: &Errors<'_>) {
        let mut beside = [0.0; NAIVE.len()];
        for (to, naive) in beside.iter_mut().zip(&axes.naive) {
            *to = made.errors[*naive].abs();
        }
        let is_beside = beside.iter().all(|e| e.is_finite());
        for (expert, error) in made.errors.iter().enumerate().filter(|(_, e)| e.is_finite()) {
            let sums = &mut self.errors[axes.errors_at(expert, made.target) + made.lead - 1];
            sums.n += 1;
            sums.absolute += error.abs();
            sums.squared += error * error;
            if let Some(naive) = made.naive {
                sums.scaled = (sums.scaled.0 + error.abs() / naive, sums.scaled.1 + 1);
            }
            if is_beside {
                sums.beside[0] += error.abs();
                sums.beside[1..].iter_mut().zip(&beside).for_each(|(sum, e)| *sum += e);
            }
        }
    }

    /// Adds the distance `over` of a value above an emitted quantile. Returns the pinball loss.
    pub fn add_quantile(
        &mut self,
        axes: &ScoreAxes,
        (target, level, lead): (usize, usize, usize),
        over: f64,
    ) -> f64 {
        let share = axes.levels[level];
        let loss = (share * over).max((share - 1.0) * over);
        let sums = &mut self.quantiles[axes.quantiles_at(target, level) + lead - 1];
        sums.n += 1;
        sums.pinball += loss;
        sums.below += u64::from(over <= 0.0);
        sums.under += u64::from(over < 0.0);
        loss
    }

    /// Adds another series' sums.
    pub fn merge(&mut self, other: &Self) {
        self.errors.iter_mut().zip(&other.errors).for_each(|(a, b)| *a = a.plus(b));
        self.quantiles.iter_mut().zip(&other.quantiles).for_each(|(a, b)| *a = a.plus(b));
    }

    /// The sums of one expert and target at a lead, or over all leads.
    pub fn error_sums(
        &self,
        axes: &ScoreAxes,
        expert: usize,
        target: usize,
        lead: Option<usize>,
    ) -> ErrorSums {
        let row = &self.errors[axes.errors_at(expert, target)..][..axes.horizon];
        match lead {
            Some(lead) => row[lead - 1],
            None => row.iter().fold(ErrorSums::default(), |sum, sums| sum.plus(sums)),
        }
    }

    /// As [`Self::error_sums`], of one of the emitted quantiles.
    pub fn quantile_sums(
        &self,
        axes: &ScoreAxes,
        target: usize,
        level: usize,
        lead: Option<usize>,
    ) -> QuantileSums {
        let row = &self.quantiles[axes.quantiles_at(target, level)..][..axes.horizon];
        match lead {
            Some(lead) => row[lead - 1],
            None => row.iter().fold(QuantileSums::default(), |sum, sums| sum.plus(sums)),
        }
    }

    /// The mean pinball loss over all levels; `None` where nothing was judged.
    pub fn pinball(&self, axes: &ScoreAxes, target: usize, lead: Option<usize>) -> Option<f64> {
        let losses = (0..axes.levels.len()).map(|l| self.quantile_sums(axes, target, l, lead).pinball());
        losses.sum::<Option<f64>>().map(|sum| sum / axes.levels.len().max(1) as f64)
    }

    /// The realised share inside each of [`ScoreAxes::intervals`], their ends included; empty where nothing was
    /// judged.
    pub fn coverage(&self, axes: &ScoreAxes, target: usize, lead: Option<usize>) -> Vec<(f64, f64)> {
        let sums = |level| self.quantile_sums(axes, target, level, lead);
        let all = axes.intervals().into_iter();
        all.filter_map(|(nominal, low, high)| Some((nominal, sums(high).share()? - sums(low).share_under()?)))
            .collect()
    }

    /// One object per expert, target and lead, and over all leads (`"lead": null`), of those that have a
    /// forecast.
    pub fn to_json(&self, axes: &ScoreAxes) -> Value {
        let mut found = Vec::new();
        for expert in 0..axes.names.len() {
            for target in 0..axes.targets.len() {
                for lead in std::iter::once(None).chain((1..=axes.horizon).map(Some)) {
                    found.extend(self.score(axes, expert, target, lead));
                }
            }
        }
        Value::Array(found)
    }

    /// One object per expert and target of a series, over all leads; its errors by lead as a list.
    pub fn series_to_json(&self, axes: &ScoreAxes, series: &str) -> Vec<Value> {
        let mut found = Vec::new();
        for expert in 0..axes.names.len() {
            for target in 0..axes.targets.len() {
                let Some(mut score) = self.score(axes, expert, target, None) else { continue };
                let leads = (1..=axes.horizon).map(|lead| self.error_sums(axes, expert, target, Some(lead)));
                score["series"] = json!(series);
                score["mae_by_lead"] = leads.map(|sums| (sums.n > 0).then(|| sums.mae())).collect();
                found.push(score);
            }
        }
        found
    }

    fn score(&self, axes: &ScoreAxes, expert: usize, target: usize, lead: Option<usize>) -> Option<Value> {
        let sums = self.error_sums(axes, expert, target, lead);
        if sums.n == 0 {
            return None;
        }
        let skill = sums.skill(axes);
        let mut score = json!({
            "expert": axes.names[expert], "target": axes.targets[target], "unit": axes.units[target],
            "lead": lead, "n": sums.n,
            "mae": sums.mae(), "rmse": sums.rmse(), "mase": sums.mase(),
            "skill": skill.map(|(_, skill)| skill), "naive": skill.map(|(name, _)| name),
        });
        if expert == axes.emitted() {
            let pinball = axes.levels.iter().enumerate();
            score["pinball"] = pinball
                .map(|(l, level)| {
                    (level.to_string(), json!(self.quantile_sums(axes, target, l, lead).pinball()))
                })
                .collect();
            let coverage = self.coverage(axes, target, lead).into_iter();
            score["coverage"] =
                coverage.map(|(nominal, share)| (nominal.to_string(), json!(share))).collect();
        }
        Some(score)
    }
}

impl ErrorSums {
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

    /// The best baseline, and the share of its mean absolute error that this expert saves: 0 is as good, 1 is
    /// without error. Both are taken over the targets that every baseline has forecast.
    pub fn skill<'f>(&self, axes: &'f ScoreAxes) -> Option<(&'f str, f64)> {
        let (own, others) = self.beside.split_first()?;
        let all = axes.naive.iter().zip(others);
        let (best, error) = all.min_by(|a, b| a.1.total_cmp(b.1)).filter(|(_, error)| **error > 0.0)?;
        Some((&axes.names[*best], 1.0 - own / error))
    }
}

impl QuantileSums {
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

    fn axes() -> ScoreAxes {
        let names = ["last", "seasonal", "mixture"].map(str::to_owned).to_vec();
        ScoreAxes::new(names, vec!["kw".to_owned()], vec![0.1, 0.5, 0.9], 2)
    }

    #[test]
    fn skill_is_measured_where_every_baseline_has_spoken() {
        let axes = axes();
        let mut scores = Scores::new(&axes);
        let mut add = |lead, errors: [f64; 3]| {
            scores.add(&axes, &Errors { target: 0, lead, errors: &errors, naive: Some(2.0) });
        };
        add(1, [4.0, -2.0, 1.0]);
        add(1, [4.0, f64::NAN, 9.0]);
        add(2, [1.0, 8.0, -0.5]);
        let at = |lead| scores.error_sums(&axes, 2, 0, lead);
        assert_eq!(at(Some(1)).skill(&axes), Some(("seasonal", 0.5)));
        assert_eq!(at(Some(2)).skill(&axes), Some(("last", 0.5)));
        // 1.5 for the 5 of the last value: the best one over all leads is not the best at each.
        assert_eq!(at(None).skill(&axes), Some(("last", 0.7)));
        assert_eq!((at(None).n, at(None).mae()), (3, 3.5));
        assert_eq!(at(None).mase(), Some(1.75));
        assert!((at(Some(1)).rmse() - 41f64.sqrt()).abs() < 1e-12);
        assert_eq!(scores.error_sums(&axes, 1, 0, Some(1)).n, 1);
    }

    #[test]
    fn series_add_up_and_quantiles_are_counted() {
        let axes = axes();
        let mut all = Scores::new(&axes);
        for value in [0.0, 1.0, 2.0, 3.0] {
            let mut series = Scores::new(&axes);
            for (level, quantile) in [0.5, 1.5, 2.5].into_iter().enumerate() {
                series.add_quantile(&axes, (0, level, 1), value - quantile);
            }
            all.merge(&series);
        }
        assert_eq!(all.coverage(&axes, 0, None), [(0.8, 0.5)]);
        assert_eq!(all.coverage(&axes, 0, Some(2)), []);
        let shares: Vec<_> = (0..3).map(|l| all.quantile_sums(&axes, 0, l, None).share().unwrap()).collect();
        assert_eq!(shares, [0.25, 0.5, 0.75]);
        // At the median the pinball loss is half of the absolute error: (1.5 + 0.5 + 0.5 + 1.5) / 4 / 2.
        assert_eq!(all.quantile_sums(&axes, 0, 1, Some(1)).pinball(), Some(0.5));
    }
}
