use super::super::recent_range::RecentRange;
use bytemuck::{Pod, Zeroable};

/// The most blocks of a stream.
pub(super) const BLOCKS_MAX: usize = 3;
/// A block is mature, and its weights are pooled for new series, after this many readings.
const MATURE: u64 = 500;

/// The state of one target of one series, beside its floats.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct LinearState {
    /// Steps so far.
    pub steps: u64,
    /// The first origin that each block learns from.
    pub since: [u64; BLOCKS_MAX],
    /// The traces of the covariances.
    pub traces: [f32; BLOCKS_MAX],
    /// Readings learnt from.
    pub readings: u32,
    pub range: RecentRange,
    /// The quick and the slow exponentially weighted mean.
    pub means: [f32; 2],
    /// The unit `u` of the blocks: the deviation of the series when they began. 0 before that.
    pub unit: f32,
}

impl LinearState {
    /// Whether the blocks have learnt enough for new series to start from their weights.
    pub fn is_mature(&self) -> bool {
        self.unit > 0.0 && self.steps.saturating_sub(self.since[0]) > MATURE
    }
}

/// Working memory, shared by all series.
#[derive(Debug)]
pub(super) struct Scratch {
    /// The regressors of the newest reading. `[stride]`
    pub x: Vec<f32>,
    /// The regressors of one block, padded with zeros. `[stride]`
    pub own: Vec<f32>,
    /// The regressors as 16-bit floats. `[stride]`
    pub kept: Vec<u16>,
    /// The gain of one block. `[stride]`
    pub k: Vec<f32>,
    /// The gains of all blocks, as 16-bit floats. `[blocks, padded]`
    pub new_gains: Vec<u16>,
    /// The newest reading less what each baseline forecast of it. `[Baseline::COUNT, leads]`
    pub arrived: Vec<f32>,
    /// The forecasts of each baseline. `[Baseline::COUNT, horizon]`
    pub bases: Vec<f32>,
    /// The regression targets of one block, in its unit. `[baselines, leads]`
    pub targets: Vec<f32>,
    /// The corrections of one block. `[baselines, leads]`
    pub corrections: Vec<f32>,
}
