use super::super::recent_range::RecentRange;
use super::frame::Frame;
use super::holt_winters::Level;
use super::layout::LinearLayout;
use bytemuck::{Pod, Zeroable};

/// The most blocks of a stream.
pub(super) const BLOCKS_MAX: usize = 3;
/// A block is mature, and its weights are pooled for new series, after this many readings.
const MATURE: u64 = 500;
/// The first origin of a block that has not begun.
pub(super) const NEVER: u64 = u64::MAX;

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
    /// The quick and the slow Holt-Winters.
    pub levels: [Level; 2],
    /// How 16-bit floats are held. Its unit is the unit `u` of the blocks too.
    pub frame: Frame,
    /// Keeps a row free of padding.
    pub reserved: f32,
}

impl LinearState {
    pub fn new(layout: &LinearLayout) -> Self {
        let mut state = Self { since: [NEVER; BLOCKS_MAX], ..Self::zeroed() };
        for (trace, block) in state.traces.iter_mut().zip(&layout.blocks) {
            *trace = block.features as f32;
        }
        state
    }

    /// Whether the blocks have learnt enough for new series to start from their weights.
    pub fn is_mature(&self) -> bool {
        self.since[0] != NEVER && self.steps.saturating_sub(self.since[0]) > MATURE
    }
}

/// Working memory, shared by all series.
#[derive(Debug)]
pub(super) struct Scratch {
    /// The regressors of the newest reading, and of the origin that is learnt from. `[stride]`
    pub x: Vec<f32>,
    pub then: Vec<f32>,
    /// The regressors of one block, padded with zeros. `[stride]`
    pub own_x: Vec<f32>,
    pub own_then: Vec<f32>,
    /// The gain of one block. `[stride]`
    pub k: Vec<f32>,
    /// What is kept of an origin. `[kept]`
    pub kept: Vec<f32>,
    /// What the seasonal states were before each of the last steps. `[BEFORE, horizon]`
    pub before: Vec<f32>,
    /// The readings after the origin that is learnt from; not a number where none was observed. `[horizon]`
    pub readings: Vec<f32>,
    /// These less what each baseline forecast of them at the origin, in units. `[Baseline::COUNT, leads]`
    pub arrived: Vec<f32>,
    /// The forecasts of each baseline. `[Baseline::COUNT, horizon]`
    pub bases: Vec<f32>,
    /// `[horizon]`
    pub seasons: Vec<f32>,
    /// The regression targets of one block, in its unit. `[baselines × leads, padded]`
    pub targets: Vec<f32>,
    /// The corrections of one block. `[baselines × leads, padded]`
    pub corrections: Vec<f32>,
}

impl Scratch {
    pub fn new(layout: &LinearLayout) -> Self {
        use super::layout::{BEFORE, Baseline};
        let (stride, horizon, leads) = (layout.stride(), layout.horizon, layout.leads.len());
        let rows = layout.blocks.iter().map(|block| block.errors.len()).max().unwrap_or(0);
        Self {
            x: vec![0.0; stride],
            then: vec![0.0; stride],
            own_x: vec![0.0; stride],
            own_then: vec![0.0; stride],
            k: vec![0.0; stride],
            kept: vec![0.0; layout.kept()],
            before: vec![0.0; BEFORE * horizon],
            readings: vec![0.0; horizon],
            arrived: vec![0.0; Baseline::COUNT * leads],
            bases: vec![0.0; Baseline::COUNT * horizon],
            seasons: vec![0.0; horizon],
            targets: vec![0.0; rows],
            corrections: vec![0.0; rows],
        }
    }
}
