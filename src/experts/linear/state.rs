use super::super::recent_range::RecentRange;
use bytemuck::{Pod, Zeroable};

/// The most blocks of a series.
pub(super) const BLOCKS_MAX: usize = 3;
/// A block hands its weights to the young after learning from this many readings.
const MATURE: u64 = 500;

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct LinearState {
    /// Steps so far.
    pub steps: u64,
    /// The first origin that each block learns from.
    pub since: [u64; BLOCKS_MAX],
    pub traces: [f32; BLOCKS_MAX],
    /// Readings learnt from.
    pub readings: u32,
    pub range: RecentRange,
    pub means: [f32; 2],
    /// What blocks divide by.
    pub unit: f32,
}

impl LinearState {
    /// Whether the blocks have learnt from so many readings that the young may start from them.
    pub fn is_mature(&self) -> bool {
        self.unit > 0.0 && self.steps.saturating_sub(self.since[0]) > MATURE
    }
}

/// Scratch, the same for every series.
#[derive(Debug)]
pub(super) struct Scratch {
    pub x: Vec<f32>,
    /// Those of one block.
    pub own: Vec<f32>,
    pub kept: Vec<u16>,
    pub k: Vec<f32>,
    pub new_gains: Vec<u16>,
    /// What each base said of what has arrived, in units and less the reading. `[Baseline::COUNT, leads]`
    pub arrived: Vec<f32>,
    /// What each base forecasts. `[Baseline::COUNT, horizon]`
    pub bases: Vec<f32>,
    pub targets: Vec<f32>,
    pub corrections: Vec<f32>,
}
