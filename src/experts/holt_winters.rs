use super::profile::{depth, phase};

/// The rates of level (α), season (γ) and long season (δ), and the part of an error that is left a step
/// later (φ).
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    pub level: f32,
    pub season: f32,
    pub long: f32,
    pub carry: f32,
}

/// The quick variant: one season.
pub(super) const QUICK: Rates = Rates { level: 0.1, season: 0.1, long: 0.0, carry: 0.9 };
/// The slow variant: both seasons.
pub(super) const SLOW: Rates = Rates { level: 0.005, season: 0.05, long: 0.1, carry: 0.95 };

/// Additive Holt-Winters smoothing without a trend: a level `l`, up to two seasons `s` and `S`, and an
/// autoregressive error `e` (Taylor 2003, "Short-term electricity demand forecasting using double
/// seasonal exponential smoothing").
///
/// ```text
/// ε  = y_t − l − s_t − S_t
/// l ← l + max(α, 1/n)·ε
/// s_t ← s_t + max(γ, 1/n_t)·ε     S_t ← S_t + δ·ε
/// e  = y_t − l − s_t − S_t
/// ŷ_{t+h|t} = l + s_{t+h} + S_{t+h} + φ^h·e
/// ```
///
/// Level and seasons are only known up to a constant that may move between them; only their sum is used.
/// A phase of a season changes only when a reading falls on it. So the forecast of any lead can be found
/// from the levels and errors of the last origins and from the values that a phase had before its latest
/// readings.
#[derive(Clone, Debug)]
pub(super) struct HoltWinters {
    rates: Rates,
    season: Option<usize>,
    long: Option<usize>,
    horizon: usize,
    season_depth: usize,
    long_depth: usize,
}

/// The position of a reading in its series.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeIndex {
    /// Steps before this reading.
    pub steps: u64,
    /// The cell that seasons are counted by.
    pub clock: i64,
    /// Readings learnt from before this one.
    pub readings: u32,
}

impl HoltWinters {
    /// With `remembers`, past forecasts can be looked up ([`Self::past_forecast`]).
    pub fn new(rates: Rates, seasons: &[usize], horizon: usize, remembers: bool) -> Self {
        let season = seasons.first().copied();
        let long = seasons.get(1).copied().filter(|_| rates.long > 0.0);
        let depth_of = |season: Option<usize>| match season {
            Some(season) if remembers => depth(season, horizon),
            _ => 1,
        };
        Self {
            rates,
            season,
            long,
            horizon: if remembers { horizon } else { 1 },
            season_depth: depth_of(season),
            long_depth: depth_of(long),
        }
    }

    fn season_floats(&self) -> usize {
        self.season.unwrap_or(0) * self.season_depth
    }

    /// The floats of a row: levels of the last origins, their errors, the seasons.
    pub fn floats(&self) -> usize {
        2 * self.horizon + self.season_floats() + self.long.unwrap_or(0) * self.long_depth
    }

    /// The counts of a row, one for each phase of the season.
    pub fn counts(&self) -> usize {
        self.season.unwrap_or(0)
    }

    fn origin(&self, step: u64) -> usize {
        (step % self.horizon as u64) as usize
    }

    /// The sum of the seasons at `clock`.
    fn seasonal(&self, row: &[f32], clock: i64) -> f32 {
        let seasons = &row[2 * self.horizon..];
        let at = |values: &[f32], season: Option<usize>| season.map_or(0.0, |m| values[phase(clock, m)]);
        at(seasons, self.season) + at(&seasons[self.season_floats()..], self.long)
    }

    /// Learns from a reading. Without one (`None`) the level stays and the error fades.
    pub fn update(&self, row: &mut [f32], counts: &mut [u8], time: TimeIndex, value: Option<f32>) {
        let (now, before) = (self.origin(time.steps), self.origin(time.steps.wrapping_sub(1)));
        let n = self.horizon;
        let mut level = row[before];
        let Some(value) = value else {
            row[now] = level;
            row[n + now] = self.rates.carry * row[n + before];
            return;
        };
        if time.readings == 0 {
            level = value;
        }
        let error = value - level - self.seasonal(row, time.clock);
        level += self.rates.level.max(1.0 / (time.readings as f32 + 1.0)) * error;
        let seasons = &mut row[2 * n..];
        if let Some(season) = self.season {
            let phase = phase(time.clock, season);
            push_down(seasons, season, self.season_depth, phase);
            counts[phase] = counts[phase].saturating_add(1);
            seasons[phase] += self.rates.season.max(1.0 / f32::from(counts[phase])) * error;
        }
        if let Some(long) = self.long {
            let seasons = &mut seasons[self.season_floats()..];
            let phase = phase(time.clock, long);
            push_down(seasons, long, self.long_depth, phase);
            seasons[phase] += self.rates.long * error;
        }
        row[now] = level;
        row[n + now] = value - level - self.seasonal(row, time.clock);
    }

    /// Makes the step after `newest` the first one: the level stays, its past is forgotten.
    pub fn restart_after(&self, row: &mut [f32], newest: u64) {
        let level = row[self.origin(newest)];
        row[..self.horizon].fill(level);
        row[self.horizon..2 * self.horizon].fill(0.0);
    }

    /// The forecast from the newest reading. `carry`: the part of an error that is left at `lead`
    /// (φ^lead).
    pub fn forecast(&self, row: &[f32], time: TimeIndex, lead: usize, carry: f32) -> f32 {
        let now = self.origin(time.steps);
        row[now] + self.seasonal(row, time.clock + lead as i64) + carry * row[self.horizon + now]
    }

    /// The forecasts of [`Self::forecast`] for leads 1, 2, … `carries`, `points`: `[horizon]`
    pub fn fill(&self, row: &[f32], time: TimeIndex, carries: &[f32], points: &mut [f32]) {
        let now = self.origin(time.steps);
        let (level, error) = (row[now], row[self.horizon + now]);
        points.iter_mut().zip(carries).for_each(|(point, carry)| *point = level + carry * error);
        let seasons = &row[2 * self.horizon..];
        let parts = [(self.season, seasons), (self.long, &seasons[self.season_floats()..])];
        for (season, values) in parts {
            let Some(season) = season else { continue };
            let mut phase = phase(time.clock, season);
            for point in points.iter_mut() {
                phase = if phase + 1 == season { 0 } else { phase + 1 };
                *point += values[phase];
            }
        }
    }

    /// The forecast that was made of the reading at `time`, as a function of the lead and of φ^lead. Call
    /// it before that reading is learnt from. The lead is at most the horizon and the steps so far.
    pub fn past_forecast<'a>(&'a self, row: &'a [f32], time: TimeIndex) -> impl Fn(usize, f32) -> f32 + 'a {
        let now = self.origin(time.steps);
        let seasons = &row[2 * self.horizon..];
        let long = &seasons[self.season_floats()..];
        let phases = [self.season, self.long].map(|m| m.map_or(0, |m| phase(time.clock, m)));
        let at = |values: &[f32], season: Option<usize>, depth: usize, phase: usize, lead: usize| match season
        {
            None => 0.0,
            Some(m) if lead <= m => values[phase],
            Some(m) => values[((lead - 1) / m).min(depth - 1) * m + phase],
        };
        move |lead, carry| {
            let origin = if lead <= now { now - lead } else { now + self.horizon - lead };
            let season = at(seasons, self.season, self.season_depth, phases[0], lead);
            let long = at(long, self.long, self.long_depth, phases[1], lead);
            row[origin] + season + long + carry * row[self.horizon + origin]
        }
    }

    /// The part of an error that is left at each lead, φ^h. `[horizon]`
    pub fn carries(&self, horizon: usize) -> Vec<f32> {
        (1..=horizon).map(|lead| self.rates.carry.powi(lead as i32)).collect()
    }
}

/// Moves the values of a phase one layer down, so that the newest can change.
fn push_down(values: &mut [f32], season: usize, depth: usize, phase: usize) {
    for layer in (1..depth).rev() {
        values[layer * season + phase] = values[(layer - 1) * season + phase];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_past_forecast_is_the_one_that_was_made() {
        let horizon = 11;
        for seasons in [&[][..], &[4], &[3, 7]] {
            let holt = HoltWinters::new(SLOW, seasons, horizon, true);
            let (mut row, mut counts) = (vec![0.0; holt.floats()], vec![0; holt.counts()]);
            let carries = holt.carries(horizon);
            let mut issued: Vec<Vec<f32>> = Vec::new();
            for t in 0..80u64 {
                let time = TimeIndex { steps: t, clock: t as i64 + 5, readings: t as u32 };
                for lead in 1..=horizon.min(t as usize) {
                    let past_forecast = holt.past_forecast(&row, time)(lead, carries[lead - 1]);
                    let then = issued[t as usize - lead][lead - 1];
                    assert!(
                        (past_forecast - then).abs() < 1e-5,
                        "step {t} lead {lead}: {past_forecast} {then}"
                    );
                }
                let value = (t as f32 * 0.9).sin() + 0.02 * t as f32;
                holt.update(&mut row, &mut counts, time, Some(value));
                let mut points = vec![0.0; horizon];
                holt.fill(&row, time, &carries, &mut points);
                let third = holt.forecast(&row, time, 3, carries[2]);
                assert!((points[2] - third).abs() < 1e-5);
                issued.push(points);
            }
        }
    }

    #[test]
    fn a_seasonal_series_is_learnt() {
        let holt = HoltWinters::new(QUICK, &[6], 6, false);
        let (mut row, mut counts) = (vec![0.0; holt.floats()], vec![0; holt.counts()]);
        let mut time = TimeIndex { steps: 0, clock: 0, readings: 0 };
        for t in 0..600u64 {
            time = TimeIndex { steps: t, clock: t as i64, readings: t as u32 };
            holt.update(&mut row, &mut counts, time, Some([3.0, 1.0, 4.0, 1.0, 5.0, 9.0][t as usize % 6]));
        }
        let mut next = vec![0.0; 6];
        holt.fill(&row, time, &holt.carries(6), &mut next);
        let want = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0];
        assert!(next.iter().zip(want).all(|(f, w)| (f - w).abs() < 0.05), "{next:?}");
    }
}
