use super::rows::CandidateRows;
use crate::config::Stream;
use crate::domain::{AnomalyScore, Crossing, EventTime, Forecast, TargetForecast, TargetScale, Transform};
use crate::engine::target_step::TargetStep;

/// The forecasts of a tile's series while they are made, kept from tile to tile so that nothing is allocated.
pub(super) struct Tile {
    pub targets: usize,
    horizon: usize,
    /// The point and the bounds of a forecast: 1 + levels.
    expected_len: usize,
    rows: CandidateRows,
    /// The steps of the series. `[tile]`
    steps: Vec<Option<TargetStep>>,
    /// Believed values, which the forecasts are made from. `[tile, targets]`
    origins: Vec<f32>,
    /// How surprising the readings are. `[tile]`
    pub scores: Vec<AnomalyScore>,
    /// What was forecast of the readings one step ahead: point and bounds. `[tile, targets, 1 + levels]`
    expected: Vec<f32>,
    /// Candidate forecasts. `[tile, targets, candidate rows, horizon]`
    candidates: Vec<f32>,
    /// What the networks correct, of one series. `[targets, learnt leads]`
    pub bases: Vec<f32>,
    /// The networks' units, of one series. `[targets, learnt leads]`
    pub lead_scales: Vec<f32>,
    /// How the targets of one series are held. `[targets]`
    frames: Vec<TargetScale>,
    /// The lowest and the highest value that each of its targets may be forecast to have. `[targets]`
    supports: Vec<[f64; 2]>,
    /// The forecast of one series.
    pub forecast: Forecast,
}

/// What belongs to one target of one series of a tile.
pub(super) struct TargetParts<'a> {
    pub horizon: usize,
    pub frame: &'a mut TargetScale,
    pub support: &'a mut [f64; 2],
    pub forecast: &'a mut TargetForecast,
    /// `[targets, learnt leads]`
    pub lead_scales: &'a [f32],
    /// `[1 + levels]`
    pub expected: &'a [f32],
    /// `[candidate rows, horizon]`
    pub candidates: &'a mut [f32],
}

/// The candidate forecasts that an emitted forecast was made from.
pub(crate) struct Candidates<'a> {
    rows: CandidateRows,
    horizon: usize,
    /// `[targets, candidate rows, horizon]`
    values: &'a [f32],
    frames: &'a [TargetScale],
    supports: &'a [[f64; 2]],
}

impl Tile {
    pub fn new(stream: &Stream, rows: CandidateRows, tile: usize) -> Self {
        let (targets, h, levels) = (stream.targets.len(), stream.horizon, stream.levels.len());
        let leads = stream.leads().len();
        let target = TargetForecast {
            last: None,
            expected: Vec::with_capacity(1 + levels),
            yhat: vec![0.0; h],
            quantiles: vec![0.0; levels * h],
            decimals: 0,
        };
        Self {
            targets,
            horizon: h,
            expected_len: 1 + levels,
            rows,
            steps: vec![None; tile],
            origins: vec![0.0; tile * targets],
            scores: vec![AnomalyScore::default(); tile],
            expected: vec![f32::NAN; tile * targets * (1 + levels)],
            candidates: vec![0.0; tile * targets * rows.count() * h],
            bases: vec![0.0; targets * leads],
            lead_scales: vec![0.0; targets * leads],
            frames: vec![TargetScale::new(Transform::None, 0.0); targets],
            supports: vec![[f64::NEG_INFINITY, f64::INFINITY]; targets],
            forecast: Forecast {
                origin: EventTime::MIN,
                degraded: None,
                anomaly: AnomalyScore::default(),
                limits: vec![Crossing::default(); stream.alarms.limits.len()],
                targets: vec![target; targets],
            },
        }
    }

    /// Begins a step of series `i`: nothing is expected of it yet.
    pub fn begin(&mut self, i: usize, at: TargetStep) {
        let each = self.targets * self.expected_len;
        self.expected[i * each..][..each].fill(f32::NAN);
        self.steps[i] = Some(at);
    }

    /// The step of series `i`.
    pub fn step(&self, i: usize) -> TargetStep {
        self.steps[i].expect("its step has begun")
    }

    fn at(&self, i: usize, target: usize) -> usize {
        i * self.targets + target
    }

    pub fn expected_mut(&mut self, i: usize, target: usize) -> &mut [f32] {
        let at = self.at(i, target) * self.expected_len;
        &mut self.expected[at..][..self.expected_len]
    }

    pub fn candidates_mut(&mut self, i: usize, target: usize) -> &mut [f32] {
        let each = self.rows.count() * self.horizon;
        let at = self.at(i, target) * each;
        &mut self.candidates[at..][..each]
    }

    pub fn candidates_and_bases(&mut self, i: usize, target: usize) -> (&[f32], &mut [f32]) {
        let (each, leads) = (self.rows.count() * self.horizon, self.bases.len() / self.targets);
        let at = self.at(i, target) * each;
        (&self.candidates[at..][..each], &mut self.bases[target * leads..][..leads])
    }

    pub fn origin(&self, i: usize, target: usize) -> f32 {
        self.origins[self.at(i, target)]
    }

    pub fn set_origin(&mut self, i: usize, target: usize, value: f32) {
        let at = self.at(i, target);
        self.origins[at] = value;
    }

    /// What belongs to one target of series `i`.
    pub fn target(&mut self, i: usize, target: usize) -> TargetParts<'_> {
        let (each, at) = (self.rows.count() * self.horizon, self.at(i, target));
        TargetParts {
            horizon: self.horizon,
            frame: &mut self.frames[target],
            support: &mut self.supports[target],
            forecast: &mut self.forecast.targets[target],
            lead_scales: &self.lead_scales,
            expected: &self.expected[at * self.expected_len..][..self.expected_len],
            candidates: &mut self.candidates[at * each..][..each],
        }
    }

    /// The forecast, and the candidates of series `i`.
    pub fn emitted(&self, i: usize) -> (&Forecast, Candidates<'_>) {
        let each = self.targets * self.rows.count() * self.horizon;
        let candidates = Candidates {
            rows: self.rows,
            horizon: self.horizon,
            values: &self.candidates[i * each..][..each],
            frames: &self.frames,
            supports: &self.supports,
        };
        (&self.forecast, candidates)
    }
}

impl Candidates<'_> {
    /// How many experts there are, which are the first ones that are judged.
    pub fn experts(&self) -> usize {
        self.rows.experts
    }

    /// The forecast of one of those that are judged, in the target's units; not a number where it has none.
    pub fn at(&self, judged: usize, target: usize, lead: usize) -> f64 {
        let row = self.rows.judged().nth(judged).expect("one of those that are judged");
        let at = (target * self.rows.count() + row) * self.horizon + lead - 1;
        let [lowest, highest] = self.supports[target];
        self.frames[target].to_units(self.values[at]).clamp(lowest, highest)
    }
}
