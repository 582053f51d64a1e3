use crate::domain::ModelVersion;
use crate::nn::{Arena, Device, Error, Network, Weights};
use crate::series::Slot;
use crate::telemetry::{MemoryByPart, MemoryPart};
use std::sync::Arc;

/// Trained networks that serve together, with their version. Shards share it.
#[derive(Clone, Debug)]
pub struct Model {
    /// The version of the model.
    pub version: ModelVersion,
    /// In the order of the config; `None` for a network that has not won a training round yet.
    pub networks: Vec<Option<Arc<Weights>>>,
    /// The device that it serves on.
    pub device: Device,
}

/// The networks of a model with the hidden states of all series. The two are paired once and never separated.
pub(crate) struct LoadedModel {
    pub version: ModelVersion,
    members: Vec<Option<Member>>,
}

struct Member {
    network: Network,
    arena: Arena,
    /// Its inputs, if it is shown fewer than other networks.
    inputs: Vec<f32>,
    /// All outputs of a step, if there are more than a point for each target and lead.
    outputs: Vec<f32>,
}

impl LoadedModel {
    pub fn new(model: &Model, slots: usize) -> Result<Self, Error> {
        let member = |weights: &Arc<Weights>| {
            let mut arena = Arena::on(&model.device, weights.blueprint())?;
            arena.grow(slots)?;
            let network = Network::on(&model.device, weights)?;
            Ok(Member { network, arena, inputs: Vec::new(), outputs: Vec::new() })
        };
        let members = model.networks.iter().map(|weights| weights.as_ref().map(member).transpose());
        Ok(Self { version: model.version, members: members.collect::<Result<_, Error>>()? })
    }

    /// How many networks the stream has, in the model or not.
    pub fn networks(&self) -> usize {
        self.members.len()
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().flatten()
    }

    fn members_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.members.iter_mut().flatten()
    }

    /// Makes room for the states of so many slots.
    pub fn grow(&mut self, slots: usize) -> Result<(), Error> {
        self.members_mut().try_for_each(|member| member.arena.grow(slots))
    }

    /// Makes a series' states as if it had never been seen.
    pub fn reset(&mut self, slot: Slot) -> Result<(), Error> {
        self.members_mut().try_for_each(|member| member.arena.reset(slot.0))
    }

    /// Whether one of the stream's networks is in the model.
    pub fn holds_network(&self, network: usize) -> bool {
        self.members[network].is_some()
    }

    /// Whether there are states for a slot.
    pub fn holds(&self, slot: Slot) -> bool {
        self.members().all(|member| slot.index() < member.arena.slots())
    }

    /// The number of floats of one series' states.
    pub fn width(&self) -> usize {
        self.members().map(|member| member.arena.row_width()).sum()
    }

    /// Sets a series' states to what [`Self::state`] returned.
    pub fn set_state(&mut self, slot: Slot, mut row: &[f32]) -> Result<(), Error> {
        self.members_mut().try_for_each(|member| {
            let (mine, others) = row.split_at(member.arena.row_width());
            row = others;
            member.arena.import_row(slot.0, mine)
        })
    }

    /// Advances the states of `slots`. `x`: `[slots, inputs]`, `y`: `[networks, slots, targets × learnt leads]`.
    /// A network that is not in the model leaves its part of `y` unchanged. If a network forecasts several
    /// quantiles, the first one is its point.
    pub fn step(&mut self, slots: &[u32], x: &[f32], y: &mut [f32]) -> Result<(), Error> {
        if slots.is_empty() || self.members.is_empty() {
            return Ok(());
        }
        let each = y.len() / self.members.len();
        for (member, y) in self.members.iter_mut().zip(y.chunks_exact_mut(each)) {
            if let Some(member) = member {
                member.step(slots, x, y)?;
            }
        }
        Ok(())
    }

    /// The states of one series, network by network, lossless.
    pub fn state(&self, slot: Slot) -> Result<Vec<f32>, Error> {
        let mut row = vec![0.0; self.width()];
        let mut rest = row.as_mut_slice();
        for member in self.members() {
            let (mine, others) = rest.split_at_mut(member.arena.row_width());
            member.arena.export_row(slot.0, mine)?;
            rest = others;
        }
        Ok(row)
    }

    /// Adds the bytes held by the states.
    pub fn add_memory(&self, to: &mut MemoryByPart) {
        for [states, spare] in self.members().map(|member| member.arena.memory_bytes()) {
            to.add(MemoryPart::Networks, states);
            to.add(MemoryPart::Spare, spare);
        }
    }
}

impl Member {
    fn step(&mut self, slots: &[u32], x: &[f32], y: &mut [f32]) -> Result<(), Error> {
        let Self { network, arena, inputs, outputs } = self;
        let (shown, said) = (network.blueprint().inputs(), network.blueprint().outputs());
        let (all, points) = (x.len() / slots.len(), y.len() / slots.len());
        let x = if shown == all {
            x
        } else {
            inputs.clear();
            x.chunks_exact(all).for_each(|row| inputs.extend_from_slice(&row[..shown]));
            &*inputs
        };
        if points == said {
            return network.step(arena, slots, x, y);
        }
        outputs.resize(slots.len() * said, 0.0);
        network.step(arena, slots, x, outputs)?;
        for (y, all) in y.chunks_exact_mut(points).zip(outputs.chunks_exact(said)) {
            y.copy_from_slice(&all[..points]);
        }
        Ok(())
    }
}
