use super::frame::{Frame, Rounding, wide};
use super::profile::{phase, widen_after};
use bytemuck::{Pod, Zeroable};

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
/// s_t ← s_t + max(γ, 1/n_s)·ε     S_t ← S_t + δ·ε     n_s the seasons seen so far
/// e  = y_t − l − s_t − S_t
/// ŷ_{t+h|t} = l + s_{t+h} + S_{t+h} + φ^h·e
/// ```
///
/// Level and seasons are only known up to a constant that may move between them; only their sum is used.
/// The seasons are held as 16-bit floats in the unit of the series' [`Frame`].
#[derive(Clone, Copy, Debug)]
pub(super) struct HoltWinters {
    rates: Rates,
    season: usize,
    long: usize,
}

/// Level and error of a series.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Level {
    pub level: f32,
    pub error: f32,
}

impl HoltWinters {
    pub fn new(rates: Rates, seasons: &[usize]) -> Self {
        let long = seasons.get(1).copied().filter(|_| rates.long > 0.0);
        Self { rates, season: seasons.first().copied().unwrap_or(0), long: long.unwrap_or(0) }
    }

    /// The lengths of its seasons, 0 for one that it does not have.
    pub fn seasons(&self) -> [usize; 2] {
        [self.season, self.long]
    }

    /// The held numbers: those of the season, then those of the long one.
    pub fn halves(&self) -> usize {
        self.season + self.long
    }

    /// The held values of both seasons at a clock; 0 for a season that it does not have.
    pub fn held(&self, seasons: &[u16], clock: i64) -> [u16; 2] {
        let (short, long) = seasons.split_at(self.season);
        [short, long].map(|season| match season.len() {
            0 => 0,
            m => season[phase(clock, m)],
        })
    }

    /// The sum of the seasons at a clock.
    fn seasonal(&self, seasons: &[u16], clock: i64, frame: Frame) -> f32 {
        self.held(seasons, clock).into_iter().map(|held| frame.difference(held)).sum()
    }

    /// Learns from a reading. Without one (`None`) the level stays and the error fades. `readings` counts
    /// those of the series before it.
    pub fn update(
        &self,
        state: &mut Level,
        seasons: &mut [u16],
        clock: i64,
        (value, readings): (Option<f32>, u32),
        frame: Frame,
        rounding: &mut Rounding,
    ) {
        let Some(value) = value else {
            state.error *= self.rates.carry;
            return;
        };
        if readings == 0 {
            state.level = value;
        }
        let error = value - state.level - self.seasonal(seasons, clock, frame);
        state.level += self.rates.level.max(1.0 / (readings as f32 + 1.0)) * error;
        let in_units = frame.in_units(error);
        let (short, long) = seasons.split_at_mut(self.season);
        let mut learn = |season: &mut [u16], rate: f32| {
            let at = &mut season[phase(clock, season.len())];
            *at = rounding.narrow(wide(*at) + rate * in_units);
        };
        if let Some(seen) = (readings as usize).checked_div(self.season) {
            learn(short, self.rates.season.max(1.0 / (seen + 1) as f32));
        }
        if self.long > 0 {
            learn(long, self.rates.long);
        }
        state.error = value - state.level - self.seasonal(seasons, clock, frame);
    }

    /// The forecast of the value `lead` steps after a clock. `carry`: the part of an error that is left
    /// then (φ^lead).
    pub fn forecast(
        &self,
        state: Level,
        seasons: &[u16],
        (clock, lead): (i64, usize),
        carry: f32,
        frame: Frame,
    ) -> f32 {
        state.level + self.seasonal(seasons, clock + lead as i64, frame) + carry * state.error
    }

    /// The forecasts of [`Self::forecast`] for leads 1, 2, … `carries`, `points`, `scratch`: `[horizon]`
    pub fn fill(
        &self,
        state: Level,
        seasons: &[u16],
        (clock, frame): (i64, Frame),
        carries: &[f32],
        points: &mut [f32],
        scratch: &mut [f32],
    ) {
        points.iter_mut().zip(carries).for_each(|(point, carry)| *point = state.level + carry * state.error);
        let (short, long) = seasons.split_at(self.season);
        for season in [short, long].into_iter().filter(|season| !season.is_empty()) {
            widen_after(season, clock, scratch);
            points.iter_mut().zip(&*scratch).for_each(|(point, held)| *point += frame.unit * held);
        }
    }

    /// The part of an error that is left at each lead, φ^h. `[horizon]`
    pub fn carries(&self, horizon: usize) -> Vec<f32> {
        (1..=horizon).map(|lead| self.rates.carry.powi(lead as i32)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seasonal_series_is_learnt() {
        let frame = Frame { centre: 0.0, unit: 3.0 };
        for (rates, seasons) in [(QUICK, &[6][..]), (SLOW, &[3, 6])] {
            let holt = HoltWinters::new(rates, seasons);
            let (mut state, mut held) = (Level::default(), vec![0; holt.halves()]);
            for t in 0..900u64 {
                let value = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0][t as usize % 6];
                let mut rounding = Rounding::of(t);
                let reading = (Some(value), t as u32);
                holt.update(&mut state, &mut held, t as i64, reading, frame, &mut rounding);
            }
            let (mut next, mut scratch) = ([0.0; 8], [0.0; 8]);
            holt.fill(state, &held, (899, frame), &holt.carries(8), &mut next, &mut scratch);
            let want = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 3.0, 1.0];
            assert!(next.iter().zip(want).all(|(f, w)| (f - w).abs() < 0.05), "{rates:?}: {next:?}");
            let third = holt.forecast(state, &held, (899, 3), holt.carries(3)[2], frame);
            assert!((next[2] - third).abs() < 1e-5);
        }
    }
}
