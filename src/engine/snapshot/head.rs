use super::state::{State, StateMut};
use crate::codec::Births;
use crate::config;
use crate::domain::{Damaged, EventTime, ModelVersion, Take, put, put_bytes};
use crate::engine::intake::Progress;
use crate::engine::serving::Model;
use crate::nn;

/// Writes the head of a snapshot: everything except for the rows of the series.
pub fn save(state: &State<'_>) -> Vec<u8> {
    // Its own length comes first, because it may span several chunks.
    let mut head = Vec::new();
    put(&mut head, &[0u64]);
    let version = state.serving.version().map_or(0, |v| v.0);
    let Progress { swept, published, placed } = state.intake.progress();
    put(&mut head, &[state.history.steps(), swept, published, state.forecaster.known(), version]);
    put(&mut head, &[placed.as_micros()]);
    put(&mut head, &[state.stream.model.networks.len() as u32]);
    for (network, kind) in state.stream.model.networks.iter().enumerate() {
        put_bytes(&mut head, kind.name.as_bytes());
        put(&mut head, &[u8::from(state.serving.active().is_some_and(|m| m.holds_network(network)))]);
    }
    state.intake.save(&mut head);
    state.forecaster.save_pooled(&mut head);
    // Only if there are any, so that the snapshots of most streams are those of releases without them.
    if !state.births.is_empty() {
        state.births.save(&mut head);
    }
    let length = head.len() as u64;
    head[..size_of::<u64>()].copy_from_slice(&length.to_le_bytes());
    head
}

/// The networks that a snapshot was taken beside.
pub(crate) struct SnapshotHead {
    version: ModelVersion,
    /// The names of the stream's networks, and whether each served.
    networks: Vec<(String, bool)>,
}

impl SnapshotHead {
    /// Restores the parts of a shard from a whole head. The networks are left to [`Self::serve`].
    ///
    /// # Errors
    /// [`Damaged`] for anything but what [`save`] has written.
    pub fn load(bytes: &[u8], state: &mut StateMut<'_>) -> Result<Self, Damaged> {
        let mut head = Take::new(bytes);
        let [_, steps, swept, published, known, version]: [u64; 6] = head.one()?;
        let placed = EventTime::from_micros(head.one()?).map_err(|_| Damaged("a time out of range"))?;
        let networks = networks(&mut head)?;
        let names = || networks.iter().map(|(name, _)| name.as_str());
        if !names().eq(state.stream.model.names()) {
            let names = names().map(str::to_owned).collect();
            state.forecaster.with_networks(state.stream, state.history.features().extras(), names);
        }
        state.history.set_steps(steps);
        state.intake.load(&mut head, Progress { swept, published, placed })?;
        state.forecaster.set_known(known);
        state.forecaster.load_pooled(&mut head)?;
        if !head.is_empty() {
            *state.births = Births::load(&mut head)?;
        }
        if !head.is_empty() {
            return Err(Damaged("a head that goes on beyond its end"));
        }
        Ok(Self { version: ModelVersion(version), networks })
    }

    /// Serves `model` if it is the one that the snapshot was taken with: of the same version, with the networks
    /// that served then, in the same order.
    pub fn serve(&self, model: Option<Model>, state: &mut StateMut<'_>) -> Result<(), nn::Error> {
        let is_same = |model: &Model| {
            let served = self.networks.iter().filter(|(_, served)| *served).map(|(name, _)| name.as_str());
            let has = state.stream.model.names().zip(&model.networks).filter(|(_, n)| n.is_some());
            model.version == self.version && served.eq(has.map(|(name, _)| name))
        };
        let slots = state.intake.directory().slots();
        match model.filter(is_same) {
            Some(model) => state.serving.restore(&model, slots),
            None => Ok(()),
        }
    }
}

/// The networks of the stream that a snapshot was taken of, and whether each served.
fn networks(head: &mut Take<'_>) -> Result<Vec<(String, bool)>, Damaged> {
    let count: u32 = head.one()?;
    if count as usize > config::Model::NETWORKS_MAX {
        return Err(Damaged("more networks than a stream may have"));
    }
    let mut networks = Vec::new();
    for _ in 0..count {
        networks.push((head.text()?.to_owned(), head.one::<u8>()? != 0));
    }
    Ok(networks)
}
