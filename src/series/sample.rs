use super::{Scale, WindowCopy};

/// One series as training sees it: copied out of its shard, so that both go their ways.
#[derive(Clone, Debug)]
pub struct SeriesSample {
    pub window: WindowCopy,
    /// `[targets + covariates]`
    pub scales: Vec<Scale>,
    /// The typical error of the network's base. `[targets, horizon]`
    pub lead_scales: Vec<f32>,
}
