use super::model::{LoadedModel, Model};
use crate::engine::history::History;
use crate::nn::Error;
use crate::series::Slot;

/// A model that is to serve next. Its states are warmed from the windows, a few series at a time. The series that
/// are warm step along with every reading, so that no state is stale at the end.
pub(super) struct WarmingModel {
    pub model: LoadedModel,
    /// Slots below this one are warm.
    warm: usize,
    /// Over how many readings a state is warmed, at least.
    steps: usize,
}

impl WarmingModel {
    /// `steps`: over how many readings a state is warmed, at least.
    pub fn new(model: &Model, slots: usize, steps: usize) -> Result<Self, Error> {
        let memories = model.networks.iter().flatten().filter_map(|weights| weights.blueprint().memory());
        let steps = steps.max(memories.max().unwrap_or(0) + 1);
        Ok(Self { model: LoadedModel::new(model, slots)?, warm: 0, steps })
    }

    /// Whether the state of a series steps along already.
    pub fn is_warm(&self, slot: Slot) -> bool {
        slot.index() < self.warm
    }

    /// Warms at most `budget` more series. Returns whether all `slots` are warm.
    pub fn warm(&mut self, budget: usize, slots: usize, history: &mut History) -> Result<bool, Error> {
        let until = slots.min(self.warm + budget);
        let batch: Vec<u32> = (self.warm as u32..until as u32).collect();
        let (inputs, outputs) = (history.features().inputs(), history.features().outputs());
        let mut x = vec![0.0; batch.len() * inputs];
        let mut y = vec![0.0; self.model.networks() * batch.len() * outputs];
        let mut now = Vec::with_capacity(batch.len());
        for age in (0..self.steps).rev() {
            now.clear();
            for slot in &batch {
                if history.past_inputs(Slot(*slot), age, &mut x[now.len() * inputs..][..inputs]) {
                    now.push(*slot);
                }
            }
            let written = self.model.networks() * now.len() * outputs;
            self.model.step(&now, &x[..now.len() * inputs], &mut y[..written])?;
        }
        self.warm = until;
        Ok(self.warm >= slots)
    }
}
