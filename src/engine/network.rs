use crate::domain::ModelVersion;
use crate::nn::{Arena, Device, Error, Network, Weights};
use crate::series::{Features, Slot, WindowView};
use std::sync::Arc;

/// A trained network with its version, to be shared by shards.
#[derive(Clone, Debug)]
pub struct Model {
    pub version: ModelVersion,
    pub weights: Arc<Weights>,
    /// Where it serves.
    pub device: Device,
}

/// A network and the states that belong to it: paired once, never apart.
pub(super) struct Stateful {
    pub version: ModelVersion,
    network: Network,
    arena: Arena,
    /// All outputs of a step, where there is more than a point for each target and lead.
    outputs: Vec<f32>,
}

impl Stateful {
    pub fn new(model: &Model, slots: usize) -> Result<Self, Error> {
        let mut arena = Arena::on(&model.device, model.weights.blueprint())?;
        arena.grow(slots)?;
        let network = Network::on(&model.device, &model.weights)?;
        Ok(Self { version: model.version, network, arena, outputs: Vec::new() })
    }

    pub fn grow(&mut self, slots: usize) -> Result<(), Error> {
        self.arena.grow(slots)
    }

    pub fn reset(&mut self, slot: Slot) -> Result<(), Error> {
        self.arena.reset(slot.0)
    }

    /// Whether there is a state for a slot.
    pub fn holds(&self, slot: Slot) -> bool {
        slot.index() < self.arena.slots()
    }

    /// Floats of one state.
    pub fn width(&self) -> usize {
        self.arena.row_width()
    }

    /// Takes a state back.
    pub fn set_state(&mut self, slot: Slot, row: &[f32]) -> Result<(), Error> {
        self.arena.import_row(slot.0, row)
    }

    /// Advances the states of `slots`. `x`: `[slots, inputs]`, `y`: `[slots, targets × horizon]`. Of a
    /// network that forecasts several quantiles the first is its point.
    pub fn step(&mut self, slots: &[u32], x: &[f32], y: &mut [f32]) -> Result<(), Error> {
        let outputs = self.network.blueprint().outputs();
        if y.len() == slots.len() * outputs {
            return self.network.step(&mut self.arena, slots, x, y);
        }
        self.outputs.resize(slots.len() * outputs, 0.0);
        self.network.step(&mut self.arena, slots, x, &mut self.outputs)?;
        let points = y.len() / slots.len().max(1);
        for (y, all) in y.chunks_exact_mut(points.max(1)).zip(self.outputs.chunks_exact(outputs)) {
            y.copy_from_slice(&all[..points]);
        }
        Ok(())
    }

    /// The state of one series, lossless.
    pub fn state(&self, slot: Slot) -> Result<Vec<f32>, Error> {
        let mut row = vec![0.0; self.arena.row_width()];
        self.arena.export_row(slot.0, &mut row)?;
        Ok(row)
    }

    pub fn memory(&self) -> usize {
        self.arena.memory_bytes()
    }
}

/// A network that is to serve next. Its states are re-warmed from the windows a few series at a time,
/// between rounds; those that are warm step along with every reading, so that at the end none is
/// stale.
pub(super) struct Incoming {
    pub stateful: Stateful,
    warm: usize,
    steps: usize,
}

impl Incoming {
    /// `steps`: how many readings of a window a state is warmed over, at least.
    pub fn new(model: &Model, slots: usize, steps: usize) -> Result<Self, Error> {
        let memory = model.weights.blueprint().memory().unwrap_or(0);
        let steps = steps.max(memory + 1);
        Ok(Self { stateful: Stateful::new(model, slots)?, warm: 0, steps })
    }

    /// Whether the state of a series steps along already.
    pub fn is_warm(&self, slot: Slot) -> bool {
        slot.index() < self.warm
    }

    /// Warms at most `budget` further series; true when all `slots` are.
    pub fn warm<'w>(
        &mut self,
        budget: usize,
        slots: usize,
        window: impl Fn(Slot) -> WindowView<'w>,
        features: &mut Features,
    ) -> Result<bool, Error> {
        let until = slots.min(self.warm + budget);
        let batch: Vec<u32> = (self.warm as u32..until as u32).collect();
        let (inputs, outputs) = (features.inputs(), features.outputs());
        let mut x = vec![0.0; batch.len() * inputs];
        let mut y = vec![0.0; batch.len() * outputs];
        let mut now = Vec::with_capacity(batch.len());
        for age in (0..self.steps).rev() {
            now.clear();
            for slot in &batch {
                let window = window(Slot(*slot));
                if age < window.len() {
                    let row = &mut x[now.len() * inputs..][..inputs];
                    window.inputs(age, &mut row[..features.own()]);
                    features.complete(window.cell(age), row);
                    now.push(*slot);
                }
            }
            self.stateful.step(&now, &x[..now.len() * inputs], &mut y[..now.len() * outputs])?;
        }
        self.warm = until;
        Ok(self.warm >= slots)
    }
}
