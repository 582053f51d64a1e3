//! The seasons of a stream, found in a sample of its readings.
//!
//! A season is a lag at which readings are closer to each other than at the lags around it. This is a dip
//! of the average magnitude difference function, which resembles autocorrelation and is robust to a
//! wandering level and to outliers (Ross et al., 1974, "Average magnitude difference function pitch
//! extractor"; de Cheveigné and Kawahara, 2002, "YIN", for comparing a dip with its neighbourhood).
//!
//! ```text
//! D(l) = mean |x_t − x_{t−l}|        depth(l) = 1 − D(l) / mean of D over l/2 … 3l/2
//! ```
//!
//! Swings without a fixed period lose their phase within three periods. Such a dip is no season.

mod difference;

use super::{Counts, Slot};
use crate::config::Stream;
use crate::domain::{Grid, Position, Reading, Transform};
use difference::Difference;
use std::collections::HashMap;
use std::time::Duration;

/// The number of series in a sample: the first ones.
const SERIES_MAX: usize = 16;
/// The longest season that is searched for: a week, or a number of steps where these are longer. The
/// calendar covers what returns every year.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);
const STEPS_LEAST: usize = 60;
const STEPS_MAX: usize = 10_080;
/// A season must have occurred this often in a series.
const TURNS: usize = 3;
/// Of a series this many of the longest seasons are kept, and at least [`READINGS_LEAST`] readings. More
/// would not help.
const KEPT: usize = 4;
const READINGS_LEAST: usize = 4_096;
/// The most seasons of a stream, such as a day and a week.
const SEASONS_MAX: usize = 2;
/// The least dip, as a share of its neighbourhood and in standard errors of noise.
const DIP_LEAST: f32 = 0.06;
const ERRORS_LEAST: f32 = 3.0;
/// A shorter season wins over the deepest dip if its own depth is at least this share of it.
const SHORTER: f32 = 0.35;
/// The share of its depth that a dip has to keep three periods later.
const COHERENCE: f32 = 0.6;
/// Common periods, in seconds. A lag beside one is taken for it.
const ROUND: [u64; 3] = [3_600, 86_400, 7 * 86_400];
/// The least depth at a common period, as a share of the dip's.
const ROUND_LEAST: f32 = 0.9;

/// The targets of some series, cell by cell, in which seasons are searched for.
pub struct SeasonSample {
    grid: Grid,
    targets: usize,
    transform: Transform,
    position: Option<Position>,
    counts: Counts,
    longest: usize,
    /// The longest season that the stream is assumed to have until more is known. Only a sample that
    /// covers it can rule it out.
    presumed: usize,
    series: HashMap<Box<str>, Cells>,
    readings: usize,
}

/// A series from its first cell on, relative to its first values; NaN where a reading is missing. `[cell,
/// target]`
struct Cells {
    first: i64,
    anchors: Vec<f64>,
    counts: Counts,
    values: Vec<f32>,
}

impl SeasonSample {
    /// An empty sample.
    pub fn new(stream: &Stream) -> Self {
        let week = |interval: i64| LONGEST.as_micros() as usize / interval.max(1) as usize;
        let longest = stream.grid.interval().map_or(STEPS_LEAST, |i| week(i.as_micros()));
        Self {
            grid: stream.grid,
            targets: stream.targets.len(),
            transform: stream.transform,
            position: stream.position,
            counts: Counts::of_one(&stream.counters),
            longest: longest.clamp(STEPS_LEAST, STEPS_MAX),
            presumed: stream.seasons.last().copied().unwrap_or(STEPS_LEAST),
            series: HashMap::new(),
            readings: 0,
        }
    }

    /// Adds a reading of one of the first series. A reading that goes back in time replaces the earlier
    /// one of its cell.
    pub fn add(&mut self, reading: &Reading<'_>) {
        let (cell, room, targets) = (self.grid.cell(reading.time), self.room(), self.targets);
        let anchors = || vec![f64::NAN; targets];
        let begun =
            || Cells { first: cell, anchors: anchors(), counts: self.counts.clone(), values: Vec::new() };
        if !self.series.contains_key(reading.series) {
            if self.series.len() == SERIES_MAX {
                return;
            }
            self.series.insert(reading.series.into(), begun());
        }
        let Some(cells) = self.series.get_mut(reading.series) else { return };
        let place = |cells: &Cells| match self.grid {
            Grid::Fixed(_) => usize::try_from(cell - cells.first).ok().filter(|at| *at < room),
            Grid::Irregular => Some(cells.values.len() / targets).filter(|at| *at < room),
        };
        // A first reading with a wrong clock must not shut out the later ones.
        if place(cells).is_none() && cells.values.len() <= targets {
            *cells = begun();
        }
        let Some(at) = place(cells) else { return };
        if cells.values.len() < (at + 1) * targets {
            cells.values.resize((at + 1) * targets, f32::NAN);
        }
        let mut rates = Vec::new();
        let mut values = reading.values.as_slice();
        if cells.counts.any() {
            rates.extend_from_slice(values);
            cells.counts.take(Slot(0), self.grid.start_of(cell).as_micros(), &mut rates, |_, _, _| {});
            values = &rates;
        }
        let (before, now) = cells.values.split_at_mut(at * targets);
        for (target, (kept, anchor)) in now.iter_mut().zip(&mut cells.anchors).enumerate() {
            let value = self.position.map_or(values[target], |position| position.of(values, target));
            let mut value = self.transform.apply(value);
            if !anchor.is_finite() {
                *anchor = value;
            }
            if let Some(position) = self.position {
                // A step over the antimeridian is small.
                let newest = before.rchunks_exact(targets).take(STEPS_LEAST);
                let previous = newest.map(|row| row[target]).find(|value| value.is_finite());
                value = position.around(target, value, *anchor + f64::from(previous.unwrap_or(0.0)));
            }
            *kept = (value - *anchor) as f32;
        }
        self.readings += 1;
    }

    fn room(&self) -> usize {
        (KEPT * self.longest).max(READINGS_LEAST)
    }

    /// Whether more readings would hardly change the result.
    pub fn is_full(&self) -> bool {
        let held: usize = self.series.values().map(|cells| cells.values.len()).sum();
        held >= SERIES_MAX * (self.room() - self.longest) * self.targets
    }

    /// The number of series and of readings.
    pub fn size(&self) -> (usize, usize) {
        (self.series.len(), self.readings)
    }

    /// The seasons, the shortest first; `None` when no series is long enough.
    pub fn seasons(&self) -> Option<Vec<usize>> {
        let mut series: Vec<Vec<f32>> = Vec::new();
        let mut names: Vec<_> = self.series.iter().collect();
        names.sort_by_key(|(name, _)| *name);
        for (_, cells) in names {
            for target in 0..self.targets {
                series.push(cells.values.iter().skip(target).step_by(self.targets).copied().collect());
            }
        }
        let turns = series.iter().map(|s| s.len() / TURNS).max().unwrap_or(0);
        let longest = turns.min(self.longest);
        (longest >= self.presumed).then(|| self.find(series, longest))
    }

    fn find(&self, mut series: Vec<Vec<f32>>, longest: usize) -> Vec<usize> {
        series.iter_mut().for_each(|s| bound(s));
        let mut found = Vec::new();
        while found.len() < SEASONS_MAX {
            let Some(steps) = self.strongest(&series, longest) else { break };
            found.push(steps);
            // The difference over a season removes it; the rest may show another.
            for s in &mut series {
                *s = (steps..s.len()).map(|t| s[t] - s[t - steps]).collect();
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The season with the deepest dip, or a shorter one that is not much less deep.
    fn strongest(&self, series: &[Vec<f32>], longest: usize) -> Option<usize> {
        let all = Difference::of(series, 1..=longest + longest.div_ceil(2));
        let depths: Vec<f32> = (0..=longest).map(|lag| all.depth(lag).unwrap_or(0.0)).collect();
        let deepest = (0..depths.len()).max_by(|a, b| depths[*a].total_cmp(&depths[*b]))?;
        let least = DIP_LEAST.max(ERRORS_LEAST / (all.pairs(deepest) as f32).sqrt());
        if depths[deepest] < least {
            return None;
        }
        let least = least.max(SHORTER * depths[deepest]);
        let first = depths.iter().position(|d| *d >= least)?;
        let around = first..=(first + first.div_ceil(3)).min(longest);
        let steps = around.max_by(|a, b| depths[*a].total_cmp(&depths[*b]))?;
        let steps = self.rounded(steps, &depths);
        keeps_phase(series, steps).then_some(steps)
    }

    /// The nearest hour, day or week, if its dip is as good.
    fn rounded(&self, steps: usize, depths: &[f32]) -> usize {
        let near = |round: &usize| {
            round.abs_diff(steps) <= (steps / 100).max(1)
                && depths.get(*round).is_some_and(|d| *d >= ROUND_LEAST * depths[steps])
        };
        ROUND.iter().filter_map(|seconds| self.steps_of(*seconds)).find(near).unwrap_or(steps)
    }

    /// The number of whole steps in a time.
    fn steps_of(&self, seconds: u64) -> Option<usize> {
        let interval = self.grid.interval()?.as_micros() as u64;
        let micros = seconds * 1_000_000;
        (micros.is_multiple_of(interval) && micros >= 2 * interval).then_some((micros / interval) as usize)
    }
}

/// Limits outliers to ten times the spread of the middle 80 %.
fn bound(series: &mut [f32]) {
    let mut sorted: Vec<f32> = series.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return };
    let [low, middle, high] = [0.1, 0.5, 0.9].map(|q| sorted[(q * last as f64) as usize]);
    let reach = 10.0 * (high - low);
    if reach > 0.0 && reach.is_finite() {
        series.iter_mut().for_each(|v| *v = v.clamp(middle - reach, middle + reach));
    }
}

/// Whether the dip is still there three periods later, once the level is removed.
fn keeps_phase(series: &[Vec<f32>], steps: usize) -> bool {
    let level: Vec<Vec<f32>> = series.iter().map(|s| without_level(s, steps)).collect();
    let period = |n: usize| {
        let half = (steps / 2).max(1);
        Difference::of(&level, n * steps - half..=n * steps + half).dip(n * steps)
    };
    // A short series has only two periods.
    let last = period(TURNS).or_else(|| period(TURNS - 1));
    period(1).zip(last).is_some_and(|(first, last)| last >= COHERENCE * first)
}

/// Less the mean of the `width` values around each.
fn without_level(series: &[f32], width: usize) -> Vec<f32> {
    let mut sums = vec![(0.0f64, 0u32)];
    for v in series {
        let (sum, count) = sums[sums.len() - 1];
        sums.push(if v.is_finite() { (sum + f64::from(*v), count + 1) } else { (sum, count) });
    }
    let around = |t: usize| {
        let (from, to) = (t.saturating_sub(width / 2), (t + width.div_ceil(2)).min(series.len()));
        (sums[to].0 - sums[from].0) / f64::from((sums[to].1 - sums[from].1).max(1))
    };
    series.iter().enumerate().map(|(t, v)| v - around(t) as f32).collect()
}

#[cfg(test)]
mod tests;
