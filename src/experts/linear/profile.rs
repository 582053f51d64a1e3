use super::frame::{Frame, Rounding, wide, widen};
use half::f16;

/// An exponentially weighted mean for each phase of a season:
///
/// ```text
/// p_k ← p_k + max(ρ, 1/n)·(y_t − p_k)      k the phase of t, n the seasons seen so far
/// ŷ_{t+h|t} = p_k                           k the phase of t + h
/// ```
///
/// The first reading of a phase is its mean. The means are held as 16-bit floats in the [`Frame`] of the
/// series, not a number where no reading has fallen on the phase.
#[derive(Clone, Copy, Debug)]
pub(super) struct Profile {
    pub season: usize,
    rate: f32,
}

/// The mean of a phase without readings.
pub(super) const UNSEEN: u16 = f16::NAN.to_bits();

impl Profile {
    pub fn new(season: usize, rate: f32) -> Self {
        Self { season, rate }
    }

    /// The held mean of the phase of a clock; [`UNSEEN`] without readings.
    pub fn held(&self, means: &[u16], clock: i64) -> u16 {
        means[phase(clock, self.season)]
    }

    /// The forecast of the value at a clock; `otherwise` while no reading has fallen on that phase.
    pub fn forecast(&self, means: &[u16], clock: i64, otherwise: f32, frame: Frame) -> f32 {
        let mean = frame.value(self.held(means, clock));
        if mean.is_nan() { otherwise } else { mean }
    }

    /// The forecasts of [`Self::forecast`] for the clocks after this one. `points`: `[horizon]`
    pub fn fill(&self, means: &[u16], clock: i64, otherwise: f32, frame: Frame, points: &mut [f32]) {
        widen_after(means, clock, points);
        for point in points {
            let mean = *point * frame.unit + frame.centre;
            *point = if mean.is_nan() { otherwise } else { mean };
        }
    }

    /// Learns from the reading at a clock. `readings` counts those of the series before it.
    pub fn update(
        &self,
        means: &mut [u16],
        clock: i64,
        (value, readings): (f32, u32),
        frame: Frame,
        rounding: &mut Rounding,
    ) {
        let mean = &mut means[phase(clock, self.season)];
        let (before, value) = (wide(*mean), frame.value_in_units(value));
        let seasons = readings as usize / self.season + 1;
        let rate = self.rate.max(1.0 / seasons as f32);
        *mean = rounding.narrow(if before.is_nan() { value } else { before + rate * (value - before) });
    }
}

/// The phase of a cell in a season.
pub(super) fn phase(clock: i64, season: usize) -> usize {
    clock.rem_euclid(season as i64) as usize
}

/// The held numbers of the phases after that of a clock, once more from the first where the season ends.
/// `held`: `[season]`
pub(super) fn widen_after(held: &[u16], clock: i64, to: &mut [f32]) {
    let mut from = phase(clock + 1, held.len());
    let mut rest = to;
    while !rest.is_empty() {
        let n = rest.len().min(held.len() - from);
        let (run, after) = rest.split_at_mut(n);
        widen(&held[from..from + n], run);
        (rest, from) = (after, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_is_the_mean_of_its_readings() {
        let (profile, frame) = (Profile::new(5, 0.1), Frame { centre: 7.0, unit: 2.0 });
        let mut means = [UNSEEN; 5];
        let mut rounding = Rounding::of(3);
        for t in 0..23i64 {
            assert_eq!(profile.forecast(&means, t, -1.0, frame), if t < 5 { -1.0 } else { (t % 5) as f32 });
            profile.update(&mut means, t, ((t % 5) as f32, t as u32), frame, &mut rounding);
        }
        let mut points = [0.0; 12];
        profile.fill(&means, 22, -1.0, frame, &mut points);
        assert_eq!(points, [3., 4., 0., 1., 2., 3., 4., 0., 1., 2., 3., 4.]);
    }
}
