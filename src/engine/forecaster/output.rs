use super::alarms::Alarms;
use crate::domain::{TargetForecast, TargetScale};
use crate::telemetry::{Invariant, Violations};

/// Where the forecast of one target goes, lead by lead: from values as they are held to the target's units.
pub(super) struct TargetOutput<'a> {
    pub target: usize,
    pub frame: TargetScale,
    /// The lowest and the highest value that may be forecast.
    pub support: [f64; 2],
    /// The value that the forecast is made from, as it is held.
    pub origin: f32,
    /// How far the target's values typically lie from their slow mean.
    pub deviation: f32,
    pub horizon: usize,
    pub forecast: &'a mut TargetForecast,
    pub alarms: &'a mut Alarms,
    pub violations: &'a mut Violations,
}

impl TargetOutput<'_> {
    /// Sets the point and the bounds at a lead.
    pub fn set(&mut self, lead: usize, point: f32, bounds: &[f32]) {
        let ([lowest, highest], frame) = (self.support, self.frame);
        self.alarms.forecast(self.target, lead, (point, self.deviation), bounds, (frame, self.origin));
        let ascends = bounds.is_sorted() && bounds.iter().all(|bound| bound.is_finite());
        self.violations.check(Invariant::QuantilesAscend, ascends);
        self.forecast.yhat[lead - 1] = frame.to_units(point).clamp(lowest, highest);
        for (level, bound) in bounds.iter().enumerate() {
            let bound = frame.to_units_around(*bound, point).clamp(lowest, highest);
            self.forecast.quantiles[level * self.horizon + lead - 1] = bound;
        }
    }

    /// Sets what was forecast of the new value one step ahead, as it was held in `then`: point and bounds.
    pub fn set_expected(&mut self, then: TargetScale, expected: &[f32]) {
        let [lowest, highest] = self.support;
        let bounds = expected[1..].iter().map(|bound| then.to_units_around(*bound, expected[0]));
        let all = &mut self.forecast.expected;
        all.push(then.to_units(expected[0]));
        all.extend(bounds);
        all.iter_mut().for_each(|value| *value = value.clamp(lowest, highest));
    }
}
