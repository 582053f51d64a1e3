use crate::domain::ModelVersion;
use crate::nn::{Arena, Device, Error, Network, Weights};
use crate::series::{Features, Slot, WindowView};
use std::sync::Arc;

/// Trained networks that serve together, with their version; to be shared by shards.
#[derive(Clone, Debug)]
pub struct Model {
    pub version: ModelVersion,
    /// In the order of the config; `None` for one that has not won a round yet.
    pub networks: Vec<Option<Arc<Weights>>>,
    /// Where it serves.
    pub device: Device,
}

/// Networks and the states that belong to them: paired once, never apart.
pub(super) struct Stateful {
    pub version: ModelVersion,
    members: Vec<Option<Member>>,
}

struct Member {
    network: Network,
    arena: Arena,
    /// Its inputs, where it is shown fewer than others.
    inputs: Vec<f32>,
    /// All outputs of a step, where there is more than a point for each target and lead.
    outputs: Vec<f32>,
}

impl Stateful {
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

    fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().flatten()
    }

    fn members_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.members.iter_mut().flatten()
    }

    pub fn grow(&mut self, slots: usize) -> Result<(), Error> {
        self.members_mut().try_for_each(|member| member.arena.grow(slots))
    }

    pub fn reset(&mut self, slot: Slot) -> Result<(), Error> {
        self.members_mut().try_for_each(|member| member.arena.reset(slot.0))
    }

    /// Which of the stream's networks there are.
    pub fn holds_network(&self, network: usize) -> bool {
        self.members[network].is_some()
    }

    /// Whether there is a state for a slot.
    pub fn holds(&self, slot: Slot) -> bool {
        self.members().all(|member| slot.index() < member.arena.slots())
    }

    /// Floats of one series' states.
    pub fn width(&self) -> usize {
        self.members().map(|member| member.arena.row_width()).sum()
    }

    /// Takes a series' states back.
    pub fn set_state(&mut self, slot: Slot, mut row: &[f32]) -> Result<(), Error> {
        self.members_mut().try_for_each(|member| {
            let (mine, others) = row.split_at(member.arena.row_width());
            row = others;
            member.arena.import_row(slot.0, mine)
        })
    }

    /// Advances the states of `slots`. `x`: `[slots, inputs]`, `y`: `[networks, slots, targets × learnt
    /// leads]`, of which those that are not there leave theirs as it was. Of a network that forecasts
    /// several quantiles the first is its point.
    pub fn step(&mut self, slots: &[u32], x: &[f32], y: &mut [f32]) -> Result<(), Error> {
        if slots.is_empty() {
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

    /// The states of one series, one network's after the other, lossless.
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

    pub fn memory(&self) -> usize {
        self.members().map(|member| member.arena.memory_bytes()).sum()
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

/// Networks that are to serve next. Their states are re-warmed from the windows a few series at a time,
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
        let memories = model.networks.iter().flatten().filter_map(|weights| weights.blueprint().memory());
        let steps = steps.max(memories.max().unwrap_or(0) + 1);
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
        let mut y = vec![0.0; self.stateful.members.len() * batch.len() * outputs];
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
            let said = self.stateful.members.len() * now.len() * outputs;
            self.stateful.step(&now, &x[..now.len() * inputs], &mut y[..said])?;
        }
        self.warm = until;
        Ok(self.warm >= slots)
    }
}
