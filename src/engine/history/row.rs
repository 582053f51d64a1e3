use crate::config::Stream;
use crate::series::Features;

/// The row of the step that is being taken, kept from step to step so that nothing is allocated.
pub(super) struct StepInputs {
    /// Scaled values. `[targets and covariates]`
    pub values: Vec<f32>,
    /// Whether each target is there. `[targets]`
    pub observed: Vec<bool>,
    /// What is believed of each target. `[targets]`
    pub believed: Vec<f32>,
    /// What experts are shown beside a target.
    pub extras: Vec<f32>,
    /// What of it follows from the time, a horizon ago.
    pub then: Vec<f32>,
    /// What earlier readings said ahead of this step. `[known ahead]`
    pub foretold: Vec<f32>,
    /// What is known of the leads, scaled. `[known ahead, horizon]`
    pub ahead: Vec<f32>,
}

impl StepInputs {
    pub fn new(stream: &Stream, features: &Features) -> Self {
        let (targets, known) = (stream.targets.len(), stream.known_ahead.len());
        Self {
            values: vec![0.0; stream.width()],
            observed: vec![false; targets],
            believed: vec![0.0; targets],
            extras: vec![0.0; features.extras().count],
            then: vec![0.0; features.extras().timed],
            foretold: vec![f32::NAN; known],
            ahead: vec![0.0; known * stream.horizon],
        }
    }
}
