use super::alarms::Alarms;
use super::matured::Matured;
use super::rows::CandidateRows;
use crate::engine::history::ValueInFrames;
use crate::engine::target_step::TargetStep;
use crate::scoring::{MaturedForecast, ScoreSummary};

/// Scores the forecasts of one target's new value, lead by lead.
pub(super) struct LeadScores<'a> {
    pub at: TargetStep,
    pub rows: CandidateRows,
    /// The value that has arrived.
    pub value: ValueInFrames<'a>,
    /// How far the target's values typically lie from their slow mean.
    pub deviation: f32,
    /// One over the deviation of the series, in which errors are shown; not a number while it is too young.
    pub per_deviation: f32,
    /// For each learnt lead its bucket in the summary.
    pub buckets: &'a [Option<usize>],
    pub summary: &'a mut ScoreSummary,
    pub alarms: &'a mut Alarms,
    /// Gets the point and the bounds that were forecast one step ahead. `[1 + levels]`
    pub expected: &'a mut [f32],
}

impl LeadScores<'_> {
    /// Scores the forecasts at a learnt lead. `bounds` were given with what was emitted, and `error_scale` is the
    /// one that they were made with.
    pub fn add(&mut self, matured: &Matured<'_>, lead: usize, bounds: &[f32], error_scale: f32) {
        let point = matured.at(self.rows.point(), lead);
        if lead == 0 {
            self.expected[0] = point;
            self.expected[1..].copy_from_slice(bounds);
        }
        // A value after a shift is no surprise, and still crosses limits.
        let then = self.value.steps_ago(matured.steps(lead));
        let value = if lead == 0 { self.value.now() } else { then };
        let arrived = MaturedForecast { value, point, deviation: self.deviation, bounds };
        self.alarms.compare(self.at, lead, arrived, error_scale);
        let Some(bucket) = self.buckets[lead] else { return };
        for (judged, row) in self.rows.judged().enumerate() {
            let error = (matured.at(row, lead) - then).abs();
            self.summary.add_error(judged, bucket, error * self.per_deviation);
        }
        self.summary.add_coverage(bucket, then, bounds);
    }
}
