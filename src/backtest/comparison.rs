//! Two configs over the same rows: whether the forecasts of one are better, by the losses at the same targets.
//!
//! The differences at one origin are averaged over all series before they are tested (the panel test of Timmermann
//! and Zhu, 2019). So what moves many series at once, weather or a holiday, counts once.

use super::auditor::{Auditor, ForecastLoss};
use super::score_table::{decimals_of, number, percent};
use crate::console::right_aligned;
use crate::domain::Leads;
use crate::scoring::{DieboldMariano, diebold_mariano};
use rustc_hash::FxHashMap;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The confidence of the intervals.
pub(super) const CONFIDENCE: f64 = 0.95;
/// The p-value below which a difference is reported.
const SIGNIFICANT: f64 = 1.0 - CONFIDENCE;
/// The most blocks of origins. When there are more, neighbours are merged.
const BLOCKS: usize = 16_384;

/// The losses by which a forecast is judged.
pub(super) const LOSSES: [&str; 3] = ["absolute", "squared", "pinball"];

/// The losses of two configs at the same targets.
pub(super) struct Comparison {
    horizon: usize,
    /// The targets that both have: the name, and the place in each.
    targets: Vec<(String, usize, usize)>,
    /// The targets with the units of their errors.
    labels: Vec<String>,
    units: Vec<Option<&'static str>>,
    /// Whether both have the same levels; pinball losses of other levels can't be compared.
    has_pinball: bool,
    /// The width of a block, in cells or counts of readings.
    width: i64,
    /// Sums of differences, by block. `[targets, losses, horizon]`
    blocks: BTreeMap<i64, Vec<Difference>>,
    /// Sums of the losses of each config. `[targets, losses, horizon]`
    totals: Vec<(f64, f64)>,
    /// Sums of absolute errors of each config, by series. `[targets]`
    series: FxHashMap<String, Vec<(f64, f64)>>,
    /// The second config's losses at the current reading.
    others: FxHashMap<(usize, i64, usize), ForecastLoss>,
}

#[derive(Clone, Copy, Default)]
struct Difference {
    sum: f64,
    n: u32,
}

/// The comparison of one loss of a target, at one lead or over all leads.
pub(super) struct ComparedLoss {
    pub target: String,
    /// The target with the unit of its errors.
    pub label: String,
    unit: Option<&'static str>,
    pub loss: &'static str,
    pub lead: Option<usize>,
    pub n: u64,
    /// Mean losses.
    pub first: f64,
    pub second: f64,
    /// `None` where nothing ever differs, or there are too few losses.
    pub compared: Option<DieboldMariano>,
}

impl Comparison {
    pub fn new(first: &Auditor, second: &Auditor) -> Self {
        let (a, b) = (&first.axes, &second.axes);
        let places = a.targets.iter().enumerate();
        let targets: Vec<_> = places
            .filter_map(|(i, name)| Some((name.clone(), i, b.targets.iter().position(|t| t == name)?)))
            .collect();
        let horizon = a.horizon.min(b.horizon);
        Self {
            labels: targets.iter().map(|(_, at, _)| a.label(*at)).collect(),
            units: targets.iter().map(|(_, at, _)| a.units[*at]).collect(),
            totals: vec![(0.0, 0.0); targets.len() * LOSSES.len() * horizon],
            has_pinball: a.levels == b.levels && !a.levels.is_empty(),
            targets,
            horizon,
            width: 1,
            blocks: BTreeMap::new(),
            series: FxHashMap::default(),
            others: FxHashMap::default(),
        }
    }

    /// Whether there is a target that both forecast.
    pub fn is_possible(&self) -> bool {
        !self.targets.is_empty()
    }

    /// Adds the losses that the last row has matured in both.
    pub fn add(&mut self, first: &Auditor, second: &Auditor) {
        let (Some((series, losses)), Some((same, others))) = (first.matured(), second.matured()) else {
            return;
        };
        if series != same {
            return;
        }
        self.others.clear();
        self.others.extend(others.iter().map(|l| ((l.target, l.origin, l.lead), *l)));
        for (t, (_, mine, theirs)) in self.targets.iter().enumerate() {
            for loss in losses.iter().filter(|l| l.target == *mine && l.lead <= self.horizon) {
                let Some(other) = self.others.get(&(*theirs, loss.origin, loss.lead)) else { continue };
                let row = self.blocks.entry(loss.origin.div_euclid(self.width));
                let row = row.or_insert_with(|| vec![Difference::default(); self.totals.len()]);
                for (l, (a, b)) in losses_of(loss).into_iter().zip(losses_of(other)).enumerate() {
                    let at = (t * LOSSES.len() + l) * self.horizon + loss.lead - 1;
                    row[at].sum += a - b;
                    row[at].n += 1;
                    self.totals[at].0 += a;
                    self.totals[at].1 += b;
                }
                if !self.series.contains_key(series) {
                    self.series.insert(series.to_owned(), vec![(0.0, 0.0); self.targets.len()]);
                }
                let sums = &mut self.series.get_mut(series).expect("it was just put there")[t];
                *sums = (sums.0 + loss.error.abs(), sums.1 + other.error.abs());
            }
        }
        if self.blocks.len() > BLOCKS {
            self.widen();
        }
    }

    /// Merges each two neighbouring blocks.
    fn widen(&mut self) {
        self.width *= 2;
        for (at, row) in std::mem::take(&mut self.blocks) {
            match self.blocks.entry(at.div_euclid(2)) {
                std::collections::btree_map::Entry::Vacant(place) => drop(place.insert(row)),
                std::collections::btree_map::Entry::Occupied(mut place) => {
                    for (to, from) in place.get_mut().iter_mut().zip(row) {
                        to.sum += from.sum;
                        to.n += from.n;
                    }
                }
            }
        }
    }

    /// The comparisons of each target and loss: over all leads, then by lead.
    pub fn lines(&self) -> Vec<ComparedLoss> {
        let losses = LOSSES.len() - usize::from(!self.has_pinball);
        let mut lines = Vec::new();
        for t in 0..self.targets.len() {
            for (l, loss) in LOSSES.into_iter().enumerate().take(losses) {
                let from = (t * LOSSES.len() + l) * self.horizon;
                for lead in std::iter::once(None).chain((1..=self.horizon).map(Some)) {
                    let at = lead.map_or(from..from + self.horizon, |lead| from + lead - 1..from + lead);
                    lines.extend(self.line(t, loss, lead, at));
                }
            }
        }
        lines
    }

    fn line(
        &self,
        target: usize,
        loss: &'static str,
        lead: Option<usize>,
        at: std::ops::Range<usize>,
    ) -> Option<ComparedLoss> {
        let (mut differences, mut n) = (Vec::new(), 0);
        let (mut last, mut spacing) = (None, i64::MAX);
        for (block, row) in &self.blocks {
            let of = row[at.clone()].iter();
            let (sum, count) = of.fold((0.0, 0), |(sum, n), d| (sum + d.sum, n + u64::from(d.n)));
            if count > 0 {
                spacing = last.map_or(spacing, |last| spacing.min(block - last));
                last = Some(*block);
                differences.push(sum);
                n += count;
            }
        }
        if n == 0 {
            return None;
        }
        // Scaled so that their mean is the mean over all targets.
        let each = differences.len() as f64 / n as f64;
        differences.iter_mut().for_each(|d| *d *= each);
        let total =
            self.totals[at].iter().fold((0.0, 0.0), |(a, b), (first, second)| (a + first, b + second));
        let reach = overlap(lead.unwrap_or(self.horizon) as i64, self.width, spacing);
        let compared = diebold_mariano(&differences, &vec![0.0; differences.len()], reach);
        let (first, second) = (total.0 / n as f64, total.1 / n as f64);
        let (name, label) = (self.targets[target].0.clone(), self.labels[target].clone());
        let unit = self.units[target];
        Some(ComparedLoss { target: name, label, unit, loss, lead, n, first, second, compared })
    }

    /// For each target: on how many series the first has the lower absolute error, and on how many the two differ.
    pub fn better_series(&self) -> Vec<(&str, usize, usize)> {
        let count = |t: usize, better: fn(&(f64, f64)) -> bool| {
            self.series.values().filter(|sums| better(&sums[t])).count()
        };
        let targets = self.targets.iter().enumerate();
        targets
            .map(|(t, (name, ..))| (name.as_str(), count(t, |s| s.0 < s.1), count(t, |s| s.0 != s.1)))
            .collect()
    }

    /// For people.
    pub fn text(&self, first: &str, second: &str) -> String {
        let mut out = String::new();
        let shown = Leads::buckets(self.horizon);
        let _ = writeln!(
            out,
            "{first} against {second}: losses at the same targets, negative where the first is better"
        );
        let heads = ["", "loss", "lead", "first", "second", "difference", "", "95 % interval", "p", "n"]
            .map(str::to_owned);
        let (mut rows, mut decimals) = (vec![heads.to_vec()], 4);
        for line in self.lines() {
            if line.lead.is_some_and(|lead| line.loss != LOSSES[0] || !shown.learnt().contains(&lead)) {
                continue;
            }
            // The line over all leads comes first, and sets the decimals of its leads.
            if line.lead.is_none() {
                decimals = decimals_of(line.first.min(line.second));
            }
            let number = |value| number(value, decimals);
            let lead = line.lead.map_or_else(|| "all".to_owned(), |lead| lead.to_string());
            let (interval, p) = match &line.compared {
                Some(compared) => {
                    let (low, high) = compared.interval(CONFIDENCE);
                    (format!("{} to {}", number(low), number(high)), p_value(compared.p_value))
                }
                None => ("–".to_owned(), "–".to_owned()),
            };
            let difference = number(line.first - line.second);
            let (first, second) = (number(line.first), number(line.second));
            let (relative, n) = (percent(Some(line.relative())), line.n.to_string());
            let loss = line.loss.to_owned();
            rows.push(vec![line.label, loss, lead, first, second, difference, relative, interval, p, n]);
        }
        out += &right_aligned(&rows, &[16, 10, 6, 12, 12, 12, 9, 26, 9, 9]);
        for (target, better, of) in self.better_series().into_iter().filter(|(.., of)| *of > 1) {
            let _ = writeln!(
                out,
                "{target:>16}: the first has the lower mean absolute error on {better} of {of} series"
            );
        }
        for verdict in self.verdicts(first, second) {
            let _ = writeln!(out, "{verdict}");
        }
        out
    }

    /// One sentence for each target: which config is better by absolute error over all leads, if the data can
    /// tell.
    pub fn verdicts(&self, first: &str, second: &str) -> Vec<String> {
        let lines = self.lines().into_iter().filter(|l| l.lead.is_none() && l.loss == LOSSES[0]);
        lines
            .map(|line| {
                let (target, by) = (&line.target, percent(Some(line.relative().abs())));
                match &line.compared {
                    None => format!(
                        "{target}: {first} and {second} can't be told apart: too few targets, or no \
                         difference."
                    ),
                    Some(c) if c.p_value >= SIGNIFICANT => format!(
                        "{target}: the data can't tell {first} from {second} (difference {by}, {}).",
                        p_is(c.p_value)
                    ),
                    Some(c) => {
                        let (better, worse) =
                            if c.difference < 0.0 { (first, second) } else { (second, first) };
                        format!(
                            "{target}: {better} is better than {worse} (by {by} of the second's error, {}).",
                            p_is(c.p_value)
                        )
                    }
                }
            })
            .collect()
    }

    /// One object for each of [`Self::lines`].
    pub fn to_json(&self) -> Value {
        let line = |line: ComparedLoss| {
            let interval = line.compared.as_ref().map(|c| c.interval(CONFIDENCE));
            json!({
                "target": line.target, "unit": line.unit, "loss": line.loss, "lead": line.lead, "n": line.n,
                "mean": line.first, "mean_against": line.second, "difference": line.first - line.second,
                "confidence": CONFIDENCE, "low": interval.map(|i| i.0), "high": interval.map(|i| i.1),
                "statistic": line.compared.map(|c| c.statistic), "p_value": line.compared.map(|c| c.p_value),
            })
        };
        self.lines().into_iter().map(line).collect()
    }
}

impl ComparedLoss {
    /// The difference as a share of the second's loss.
    pub fn relative(&self) -> f64 {
        if self.second == 0.0 { 0.0 } else { (self.first - self.second) / self.second }
    }
}

fn losses_of(loss: &ForecastLoss) -> [f64; LOSSES.len()] {
    [loss.error.abs(), loss.error * loss.error, loss.pinball]
}

/// How many blocks overlap, the block itself included: those whose origins are less than `lead` apart.
fn overlap(lead: i64, width: i64, spacing: i64) -> usize {
    let blocks = if width == 1 {
        (lead - 1) / spacing.clamp(1, lead.max(1)) + 1
    } else {
        (lead - 2).div_euclid(width) + 2
    };
    usize::try_from(blocks).unwrap_or(1).max(1)
}

/// `p = 0.0123`
fn p_is(p: f64) -> String {
    let text = p_value(p);
    text.strip_prefix('<').map_or_else(|| format!("p = {text}"), |least| format!("p < {least}"))
}

pub(super) fn p_value(p: f64) -> String {
    if p < 0.000_1 { "<0.0001".to_owned() } else { format!("{p:.4}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_overlap_by_their_leads() {
        // Every origin; every seventh; blocks of four.
        assert_eq!([1, 2, 7].map(|lead| overlap(lead, 1, 1)), [1, 2, 7]);
        assert_eq!([1, 7, 8, 15].map(|lead| overlap(lead, 1, 7)), [1, 1, 2, 3]);
        assert_eq!([1, 2, 5, 6].map(|lead| overlap(lead, 4, 1)), [1, 2, 2, 3]);
        assert_eq!(overlap(3, 1, i64::MAX), 1);
    }
}
