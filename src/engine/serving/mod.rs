//! The networks that serve: one model with the hidden states of all series, and the model that takes over next.

mod model;
mod warming;

use super::history::History;
use crate::config::Stream;
use crate::domain::{Degraded, ModelVersion};
use crate::nn::Error;
use crate::series::{Features, Slot};
use crate::telemetry::MemoryByPart;
pub(crate) use model::LoadedModel;
pub use model::Model;
use warming::WarmingModel;

/// The networks of a shard, and what they are shown and put out in a tile of series.
pub(crate) struct Serving {
    active: Option<LoadedModel>,
    incoming: Option<WarmingModel>,
    networks: usize,
    targets: usize,
    /// Values that a network is shown of a series.
    inputs: usize,
    /// Targets × learnt leads.
    outputs: usize,
    /// The tile's series.
    slots: Vec<u32>,
    /// `[tile, inputs]`
    x: Vec<f32>,
    /// `[networks, the tile's series, targets, learnt leads]`
    y: Vec<f32>,
    /// The same, of the tile's series that are warm already.
    warm_slots: Vec<u32>,
    warm_x: Vec<f32>,
    warm_y: Vec<f32>,
}

/// What the networks put out for one series of a tile.
pub(crate) struct NetworkOutputs<'a> {
    model: Option<&'a LoadedModel>,
    /// `[networks, the tile's series, targets, learnt leads]`
    y: &'a [f32],
    /// How many series the tile has, and which one it is.
    tile: usize,
    i: usize,
    targets: usize,
    leads: usize,
}

impl NetworkOutputs<'_> {
    /// Whether a model serves.
    pub fn any(&self) -> bool {
        self.model.is_some()
    }

    /// A network's output for a target; `None` if the network does not serve. `[learnt leads]`
    pub fn of(&self, network: usize, target: usize) -> Option<&[f32]> {
        let at = ((network * self.tile + self.i) * self.targets + target) * self.leads;
        self.model.filter(|model| model.holds_network(network)).map(|_| &self.y[at..][..self.leads])
    }
}

impl Serving {
    /// A tile has at most `tile` series.
    pub fn new(stream: &Stream, features: &Features, tile: usize) -> Self {
        let networks = stream.model.networks.len();
        Self {
            active: None,
            incoming: None,
            networks,
            targets: stream.targets.len(),
            inputs: features.inputs(),
            outputs: features.outputs(),
            slots: Vec::with_capacity(tile),
            x: vec![0.0; tile * features.inputs()],
            y: vec![0.0; networks * tile * features.outputs()],
            warm_slots: Vec::with_capacity(tile),
            warm_x: Vec::new(),
            warm_y: Vec::new(),
        }
    }

    /// The model that serves, with its states.
    pub fn active(&self) -> Option<&LoadedModel> {
        self.active.as_ref()
    }

    pub fn active_mut(&mut self) -> Option<&mut LoadedModel> {
        self.active.as_mut()
    }

    /// Whether a model waits to serve.
    pub fn is_warming(&self) -> bool {
        self.incoming.is_some()
    }

    /// The version of the model that serves.
    pub fn version(&self) -> Option<ModelVersion> {
        self.active.as_ref().map(|model| model.version)
    }

    /// Why forecasts are worse than they could be.
    pub fn degraded(&self) -> Option<Degraded> {
        (self.networks > 0 && self.active.is_none()).then_some(Degraded::Warming)
    }

    /// Whether `version` is neither the model that is being brought in nor, without one, the model that serves.
    pub fn wants(&self, version: ModelVersion) -> bool {
        let incoming = self.incoming.as_ref().map(|incoming| incoming.model.version);
        incoming.or(self.version()) != Some(version)
    }

    /// Serves a model at once, whose states are set afterwards.
    pub fn restore(&mut self, model: &Model, slots: usize) -> Result<(), Error> {
        self.active = Some(LoadedModel::new(model, slots)?);
        Ok(())
    }

    /// Begins to bring in another model. One that was being brought in is given up.
    pub fn bring(&mut self, model: &Model, slots: usize, warm_steps: usize) -> Result<(), Error> {
        self.incoming = match self.version() == Some(model.version) {
            true => None,
            false => Some(WarmingModel::new(model, slots, warm_steps)?),
        };
        Ok(())
    }

    /// Warms at most `budget` series of the model that is being brought in. When all are warm it serves, and
    /// what served before is returned.
    pub fn warm(
        &mut self,
        budget: usize,
        slots: usize,
        history: &mut History,
    ) -> Result<Option<Replaced>, Error> {
        let Some(incoming) = &mut self.incoming else { return Ok(None) };
        incoming.model.grow(slots)?;
        if !incoming.warm(budget, slots, history)? {
            return Ok(None);
        }
        let model = self.incoming.take().map(|incoming| incoming.model);
        Ok(Some(Replaced(std::mem::replace(&mut self.active, model))))
    }

    /// Stops serving. Returns what served before.
    pub fn dismiss(&mut self) -> Replaced {
        self.incoming = None;
        Replaced(self.active.take())
    }

    /// Makes room for the states of so many series.
    pub fn grow(&mut self, slots: usize) -> Result<(), Error> {
        self.active.as_mut().map_or(Ok(()), |model| model.grow(slots))?;
        self.incoming.as_mut().map_or(Ok(()), |incoming| incoming.model.grow(slots))
    }

    /// Makes the states of a series as if it had never been seen.
    pub fn reset(&mut self, slot: Slot) -> Result<(), Error> {
        self.active.as_mut().map_or(Ok(()), |model| model.reset(slot))?;
        self.incoming.as_mut().map_or(Ok(()), |incoming| incoming.model.reset(slot))
    }

    /// Begins a tile.
    pub fn begin_tile(&mut self) {
        self.slots.clear();
    }

    /// Adds a series to the tile. Returns where its inputs go, and whether the networks need all of them.
    pub fn add(&mut self, slot: Slot) -> (&mut [f32], bool) {
        let i = self.slots.len();
        self.slots.push(slot.0);
        let is_read = self.active.is_some() || self.incoming.is_some();
        (&mut self.x[i * self.inputs..][..self.inputs], is_read)
    }

    /// Steps the series of the tile, of the model that is being brought in only those that are warm.
    pub fn step(&mut self) -> Result<(), Error> {
        let tile = self.slots.len();
        if let Some(model) = &mut self.active {
            let y = &mut self.y[..self.networks * tile * self.outputs];
            model.step(&self.slots, &self.x[..tile * self.inputs], y)?;
        }
        let Some(incoming) = &mut self.incoming else { return Ok(()) };
        self.warm_slots.clear();
        self.warm_x.clear();
        for (i, slot) in self.slots.iter().enumerate().filter(|(_, slot)| incoming.is_warm(Slot(**slot))) {
            self.warm_slots.push(*slot);
            self.warm_x.extend_from_slice(&self.x[i * self.inputs..][..self.inputs]);
        }
        self.warm_y.resize(self.networks * self.warm_slots.len() * self.outputs, 0.0);
        incoming.model.step(&self.warm_slots, &self.warm_x, &mut self.warm_y)
    }

    /// What the networks put out for the tile's series `i`.
    pub fn outputs(&self, i: usize) -> NetworkOutputs<'_> {
        NetworkOutputs {
            model: self.active.as_ref(),
            y: &self.y,
            tile: self.slots.len(),
            i,
            targets: self.targets,
            leads: self.outputs / self.targets,
        }
    }

    /// Adds the bytes held by the states.
    pub fn add_memory(&self, to: &mut MemoryByPart) {
        self.active.iter().for_each(|model| model.add_memory(to));
        self.incoming.iter().for_each(|incoming| incoming.model.add_memory(to));
    }
}

/// The model that served until now, if any.
#[must_use = "a snapshot under way goes on with its states"]
pub(crate) struct Replaced(pub Option<LoadedModel>);
