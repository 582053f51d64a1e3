/// Older values of a phase are kept for horizons of up to this many seasons.
const DEPTH_MAX: usize = 16;

/// An exponentially weighted mean for each phase of a season:
///
/// ```text
/// n_k ← n_k + 1
/// p_k ← p_k + max(ρ, 1/n_k)·(y_t − p_k)    k the phase of t
/// ŷ_{t+h|t} = p_k                           k the phase of t + h
/// ```
///
/// A phase changes only when a reading falls on it. So a forecast of some leads ago need not be stored:
/// it is the value that the phase had before its latest readings.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    pub season: usize,
    rate: f32,
    /// The number of values kept of a phase, the newest first.
    depth: usize,
}

impl Profile {
    pub fn new(season: usize, rate: f32, horizon: usize) -> Self {
        Self { season, rate, depth: depth(season, horizon) }
    }

    /// The floats of a row: `[depth, season]`.
    pub fn floats(&self) -> usize {
        self.depth * self.season
    }

    /// The counts of a row: `[season]`.
    pub fn counts(&self) -> usize {
        self.season
    }

    /// The forecast `lead` steps after `clock`; `otherwise` while no reading has fallen on that phase.
    pub fn forecast(&self, values: &[f32], counts: &[u8], clock: i64, lead: usize, otherwise: f32) -> f32 {
        let phase = phase(clock + lead as i64, self.season);
        if counts[phase] == 0 { otherwise } else { values[phase] }
    }

    /// The forecasts of [`Self::forecast`] for leads 1, 2, … `points`: `[horizon]`
    pub fn fill(&self, values: &[f32], counts: &[u8], clock: i64, otherwise: f32, points: &mut [f32]) {
        let mut phase = phase(clock, self.season);
        for point in points {
            phase = if phase + 1 == self.season { 0 } else { phase + 1 };
            *point = if counts[phase] == 0 { otherwise } else { values[phase] };
        }
    }

    /// The forecast that was made `lead` steps before `clock` of the reading at `clock`, as a function of
    /// the lead. Call it before that reading is learnt from. `None` while no reading had fallen on the
    /// phase.
    pub fn past_forecast<'a>(
        &'a self,
        values: &'a [f32],
        counts: &[u8],
        clock: i64,
    ) -> impl Fn(usize) -> Option<f32> + 'a {
        let phase = phase(clock, self.season);
        let seen = usize::from(counts[phase]);
        move |lead| {
            let since = if lead <= self.season { 0 } else { (lead - 1) / self.season };
            (seen > since).then(|| values[since.min(self.depth - 1) * self.season + phase])
        }
    }

    /// Learns from the reading at `clock`.
    pub fn update(&self, values: &mut [f32], counts: &mut [u8], clock: i64, value: f32) {
        let phase = phase(clock, self.season);
        for layer in (1..self.depth).rev() {
            values[layer * self.season + phase] = values[(layer - 1) * self.season + phase];
        }
        counts[phase] = counts[phase].saturating_add(1);
        let rate = self.rate.max(1.0 / f32::from(counts[phase]));
        values[phase] += rate * (value - values[phase]);
    }
}

/// The number of values of a phase that are enough to find the forecast of every lead.
pub(super) fn depth(season: usize, horizon: usize) -> usize {
    ((horizon - 1) / season + 1).min(DEPTH_MAX)
}

/// The phase of a cell in a season.
pub(super) fn phase(clock: i64, season: usize) -> usize {
    clock.rem_euclid(season as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_past_forecast_is_the_one_that_was_made() {
        let (season, horizon) = (5, 13);
        let profile = Profile::new(season, 0.3, horizon);
        let (mut values, mut counts) = (vec![0.0; profile.floats()], vec![0; profile.counts()]);
        let series = |t: i64| (t as f32 * 1.3).sin() + t as f32 * 0.01;
        let mut issued: Vec<Vec<f32>> = Vec::new();
        for t in 0..60i64 {
            for lead in 1..=horizon.min(t as usize) {
                let origin = t as usize - lead;
                let past_forecast =
                    profile.past_forecast(&values, &counts, t)(lead).unwrap_or(series(origin as i64));
                assert_eq!(past_forecast, issued[origin][lead - 1], "step {t} lead {lead}");
            }
            profile.update(&mut values, &mut counts, t, series(t));
            let mut points = vec![0.0; horizon];
            profile.fill(&values, &counts, t, series(t), &mut points);
            for (i, point) in points.iter().enumerate() {
                assert_eq!(*point, profile.forecast(&values, &counts, t, i + 1, series(t)));
            }
            issued.push(points);
        }
    }
}
