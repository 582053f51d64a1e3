//! What is noticed about a shard's readings: how surprising each is, which limits are likely to be crossed, and
//! whether something that the series have in common has drifted.

use crate::config::Stream;
use crate::domain::{AnomalyScore, Crossing, Damaged, Rows, Take, TargetScale};
use crate::engine::target_step::TargetStep;
use crate::scoring::{Anomalies, Drift, DriftFound, Limits, MaturedForecast, NormalScore};
use crate::telemetry::MemoryPart;

/// So many steps of a forecast are compared with a series that has jumped.
const AHEAD: usize = 4;

/// Anomalies, limits and drift of a shard's readings.
pub(super) struct Alarms {
    anomalies: Anomalies,
    limits: Limits,
    drift: Option<Drift>,
    standing: NormalScore,
    horizon: usize,
    /// Where the new value stands in the forecasts of it. `[learnt leads]`
    standings: Vec<f32>,
    /// Where each limit stands in a forecast. `[limits, horizon]`
    places: Vec<f32>,
    /// Scores of the reading's targets so far.
    scores: Vec<AnomalyScore>,
    /// Sums over the reading's targets, and over how many.
    residual: (f32, f32),
    input: (f32, f32),
}

impl Alarms {
    pub fn new(stream: &Stream) -> Self {
        let (targets, mut limits) = (stream.targets.len(), stream.alarms.limits.clone());
        limits.iter_mut().for_each(|limit| limit.value = stream.transform.apply(limit.value));
        let leads = stream.leads();
        Self {
            anomalies: Anomalies::new(targets, &stream.levels),
            standings: vec![f32::NAN; leads.len()],
            places: vec![0.0; limits.len() * stream.horizon],
            limits: Limits::new(limits, targets, leads.learnt()),
            drift: stream.alarms.drift_threshold.map(|t| Drift::new(stream.season().unwrap_or(1), t)),
            standing: NormalScore::new(&stream.levels),
            horizon: stream.horizon,
            scores: Vec::with_capacity(targets),
            residual: (0.0, 0.0),
            input: (0.0, 0.0),
        }
    }

    /// Everything that is kept per series and what it is for, in the order of a snapshot.
    pub fn tables(&self) -> impl Iterator<Item = (MemoryPart, &dyn Rows)> {
        let drift = self.drift.iter().map(|drift| drift as &dyn Rows);
        let all = [&self.anomalies as &dyn Rows, &self.limits].into_iter().chain(drift);
        all.map(|table| (MemoryPart::Alarms, table))
    }

    pub fn tables_mut(&mut self) -> impl Iterator<Item = &mut dyn Rows> {
        let drift = self.drift.iter_mut().map(|drift| drift as &mut dyn Rows);
        [&mut self.anomalies as &mut dyn Rows, &mut self.limits].into_iter().chain(drift)
    }

    /// Appends what is pooled over series.
    pub fn save_pooled(&self, out: &mut Vec<u8>) {
        self.anomalies.save_pooled(out);
        self.drift.iter().for_each(|drift| drift.save_pooled(out));
    }

    /// Reads what [`Self::save_pooled`] has written.
    pub fn load_pooled(&mut self, from: &mut Take<'_>) -> Result<(), Damaged> {
        self.anomalies.load_pooled(from)?;
        self.drift.iter_mut().try_for_each(|drift| drift.load_pooled(from))
    }

    /// A series goes on after a gap too long to fill.
    pub fn interrupt(&mut self, slot: usize) {
        self.anomalies.interrupt(slot);
    }

    /// From now on everything of a target is held higher by this.
    pub fn shift(&mut self, at: TargetStep, by: f32) {
        self.anomalies.shift(at.slot.index(), at.target, by);
    }

    /// Begins a reading.
    pub fn begin(&mut self) {
        self.scores.clear();
        (self.residual, self.input) = ((0.0, 0.0), (0.0, 0.0));
    }

    /// Begins a target that has arrived. Its forecasts follow lead by lead.
    pub fn begin_target(&mut self) {
        self.standings.fill(f32::NAN);
    }

    /// Compares the target that has arrived with its forecast at a learnt lead. `scale` is the mean absolute error
    /// that the bounds were made with.
    pub fn compare(&mut self, at: TargetStep, lead: usize, arrived: MaturedForecast<'_>, scale: f32) {
        let MaturedForecast { value, point, deviation, bounds } = arrived;
        if lead == 0 {
            self.scores.push(self.anomalies.judge(at.slot.index(), at.target, arrived));
            if scale > 0.0 {
                let (sum, n) = self.residual;
                self.residual = (sum + (value - point).abs() / scale, n + 1.0);
            }
        }
        if self.limits.watches(at.target) {
            self.standings[lead] = self.standing.of(value, point, deviation, bounds);
        }
    }

    /// Ends a target, after all its forecasts. `input` is the value in standard units.
    pub fn end_target(&mut self, at: TargetStep, input: f32) {
        self.limits.learn(at.slot.index(), at.target, at.now, &self.standings);
        if input.is_finite() {
            let (sum, n) = self.input;
            self.input = (sum + input, n + 1.0);
        }
    }

    /// A target is missing.
    pub fn miss(&mut self, at: TargetStep) {
        self.anomalies.miss(at.slot.index(), at.target);
        self.standings.fill(f32::NAN);
        self.limits.learn(at.slot.index(), at.target, at.now, &self.standings);
    }

    /// Ends a reading and returns how surprising it is. `series` is the number of the shard's series.
    pub fn end(&mut self, slot: usize, series: usize) -> AnomalyScore {
        if let Some(drift) = &mut self.drift {
            let mean = |(sum, n): (f32, f32)| if n > 0.0 { sum / n } else { f32::NAN };
            drift.observe(slot, series, mean(self.residual), mean(self.input));
        }
        AnomalyScore::of_all(self.scores.iter().copied())
    }

    /// Notes where the limits of a target stand in its forecast at a lead. `point`, `bounds` and the origin of the
    /// forecast are as the target is held in its frame. A limit of a longitude is the meridian next to the origin.
    pub fn forecast(
        &mut self,
        target: usize,
        lead: usize,
        (point, deviation): (f32, f32),
        bounds: &[f32],
        (frame, origin): (TargetScale, f32),
    ) {
        let limits = self.limits.limits().iter().zip(self.places.chunks_exact_mut(self.horizon));
        for (limit, places) in limits.filter(|(limit, _)| limit.target == target) {
            let value = frame.hold_transformed(limit.value, origin) as f32;
            places[lead - 1] = self.standing.of(value, point, deviation, bounds);
        }
    }

    /// Keeps the forecast of a target. `points`: `[horizon]`
    pub fn expect(&mut self, at: TargetStep, points: &[f32]) {
        self.anomalies.expect(at.slot.index(), at.target, &points[..points.len().min(AHEAD)]);
    }

    /// Writes what the forecast says about each limit. `crossings`: `[limits]`
    pub fn crossings(&self, slot: usize, crossings: &mut [Crossing]) {
        let places = self.places.chunks_exact(self.horizon);
        for (limit, (crossing, places)) in crossings.iter_mut().zip(places).enumerate() {
            *crossing = self.limits.crossing(slot, limit, places);
        }
    }

    /// The drift that was found since the last call.
    pub fn take_drift(&mut self) -> Option<DriftFound> {
        self.drift.as_mut().and_then(Drift::take)
    }
}
