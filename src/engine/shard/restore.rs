//! A shard that is restored from a snapshot, chunk by chunk.

use super::Shard;
use crate::config::Stream;
use crate::domain::{Damaged, Take};
use crate::engine::serving::Model;
use crate::engine::snapshot::SnapshotHead;
use crate::nn;
use crate::series::Slot;
use crate::telemetry::Invariant;
use std::sync::Arc;

/// Why a shard can't be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The bytes are no snapshot, or one of another shape.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// The network does not run, or its device does not take the states.
    #[error("the network: {0}")]
    Network(#[from] nn::Error),
}

/// A shard that is being restored from a snapshot, chunk by chunk.
pub struct Restore {
    shard: Shard,
    model: Option<Model>,
    /// The bytes of the head, until it is whole.
    head: Vec<u8>,
    has_head: bool,
    /// By slot: whether there is a series whose row has not come yet.
    missing: Vec<bool>,
}

impl Restore {
    /// Begins with an empty shard. The networks' states are restored if `model` is the one that the snapshot was
    /// taken with, and has the networks that served then, in the same order. Otherwise a model has to be brought
    /// in and warmed. The stream may have other networks than at the time of the snapshot: all that was learnt
    /// beside them is kept.
    pub fn new(stream: &Arc<Stream>, model: Option<&Model>) -> Self {
        let (shard, model) = (Shard::new(stream.clone()), model.cloned());
        Self { shard, model, head: Vec::new(), has_head: false, missing: Vec::new() }
    }

    /// Takes the next chunk, in the order in which [`Shard::cut`] returned them.
    ///
    /// # Errors
    /// [`RestoreError`].
    pub fn take(&mut self, chunk: &[u8]) -> Result<(), RestoreError> {
        if self.has_head {
            return self.take_rows(chunk);
        }
        self.head.extend_from_slice(chunk);
        let length: u64 = Take::new(&self.head).one()?;
        match length.cmp(&(self.head.len() as u64)) {
            std::cmp::Ordering::Greater => Ok(()),
            std::cmp::Ordering::Equal => self.take_head(),
            std::cmp::Ordering::Less => Err(Damaged("a head that goes on beyond its end").into()),
        }
    }

    fn take_head(&mut self) -> Result<(), RestoreError> {
        let bytes = std::mem::take(&mut self.head);
        self.has_head = true;
        let mut state = self.shard.state_mut();
        SnapshotHead::load(&bytes, &mut state)?.serve(self.model.take(), &mut state)?;
        let directory = state.intake.directory();
        self.missing = (0..directory.slots()).map(|slot| directory.is_live(Slot(slot as u32))).collect();
        Ok(())
    }

    fn take_rows(&mut self, chunk: &[u8]) -> Result<(), RestoreError> {
        let mut chunk = Take::new(chunk);
        let mut states = Vec::new();
        while !chunk.is_empty() {
            let [slot, length]: [u32; 2] = chunk.one()?;
            let mut row = Take::new(chunk.raw(length as usize)?);
            let at = slot as usize;
            if !self.missing.get(at).copied().unwrap_or(false) {
                return Err(Damaged("a row that no series has").into());
            }
            self.missing[at] = false;
            // Room doubles with the rows that have really come, up to the slots of the head: a forged head alone
            // can't take much memory.
            self.shard.make_room((2 * (at + 1)).min(self.missing.len()));
            for table in self.shard.state_mut().into_tables() {
                table.load(at, &mut row)?;
            }
            let width: u32 = row.one()?;
            if row.len() != width as usize * size_of::<f32>() {
                return Err(Damaged("a row of another length").into());
            }
            states.resize(width as usize, 0.0);
            row.fill(&mut states)?;
            if let Some(model) = self.shard.serving.active_mut()
                && width > 0
            {
                let fits = model.width() == states.len();
                self.shard.violations.check(Invariant::StateMatchesModel, fits);
                if !fits {
                    return Err(Damaged("a state of another network").into());
                }
                model.set_state(Slot(slot), &states)?;
            }
        }
        Ok(())
    }

    /// The shard, once all chunks have come.
    ///
    /// # Errors
    /// [`Damaged`] when a row is missing.
    pub fn finish(mut self) -> Result<Shard, Damaged> {
        if !self.has_head || self.missing.contains(&true) {
            return Err(Damaged("a row is missing"));
        }
        let state = self.shard.state_mut();
        state.forecaster.adopt_networks(state.stream, state.history.features().extras());
        // Free slots have room too, because the next new series takes one.
        self.shard.make_room(self.shard.intake.directory().slots());
        // The config may allow fewer series than before.
        self.shard.intake.shrink();
        Ok(self.shard)
    }
}
