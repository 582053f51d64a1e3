//! A shard as bytes: an exact state between two rounds, taken out in chunks while the shard goes on.
//!
//! The head (where each series is in time, what is held back, what is pooled) is copied at once. The rows follow in
//! chunks, and a row that is about to change before its turn is copied first. Knows no store, and no format beyond
//! its own chunks.

mod head;
mod shape;
mod state;

use super::serving::{LoadedModel, Replaced};
use crate::domain::put;
use crate::nn;
use crate::series::Slot;
pub(crate) use head::SnapshotHead;
pub(crate) use shape::shape;
pub(crate) use state::{State, StateMut};
use std::collections::VecDeque;

/// No chunk is longer than this by more than a row.
const CHUNK: usize = 4 << 20;

/// The snapshot that is being taken of a shard, if any.
#[derive(Default)]
pub(crate) struct Snapshot {
    writer: Option<SnapshotWriter>,
}

/// A snapshot that is being taken.
struct SnapshotWriter {
    /// Slots that existed when it began.
    slots: usize,
    /// All rows below this slot are out.
    next: usize,
    /// Rows from `next` on that were copied before they changed, and free slots.
    done: Vec<bool>,
    /// Full chunks that were not taken yet: the head, and rows that were copied before they changed.
    ready: VecDeque<Vec<u8>>,
    /// The chunk that rows are copied to now.
    bytes: Vec<u8>,
    /// Set when another model, or none, has begun to serve since: the states as they were.
    replaced: Option<Replaced>,
}

impl Snapshot {
    /// Begins a snapshot of the state as it is now. One that was being taken is given up.
    pub fn begin(&mut self, state: &State<'_>) {
        let directory = state.intake.directory();
        let slots = directory.slots();
        let done = (0..slots).map(|slot| !directory.is_live(Slot(slot as u32))).collect();
        let ready = head::save(state).chunks(CHUNK).map(<[u8]>::to_vec).collect();
        self.writer = Some(SnapshotWriter { slots, next: 0, done, ready, bytes: Vec::new(), replaced: None });
    }

    /// The next chunk: one that is ready, or at least `least` bytes of rows (the last chunk may be shorter). `None`
    /// when the snapshot is complete, or none is being taken.
    pub fn next_chunk(&mut self, least: usize, state: &State<'_>) -> Result<Option<Vec<u8>>, nn::Error> {
        let Some(mut writer) = self.writer.take() else { return Ok(None) };
        while writer.ready.is_empty() && writer.next < writer.slots && writer.bytes.len() < least {
            let slot = writer.next;
            writer.next += 1;
            if !writer.done[slot] {
                writer.save_row(Slot(slot as u32), state)?;
            }
        }
        let rest = std::mem::take(&mut writer.bytes);
        let chunk = match writer.ready.pop_front() {
            Some(ready) => {
                writer.bytes = rest;
                Some(ready)
            }
            None => Some(rest).filter(|rest| !rest.is_empty()),
        };
        if chunk.is_some() {
            self.writer = Some(writer);
        }
        Ok(chunk)
    }

    /// Gives up the snapshot that is being taken.
    pub fn give_up(&mut self) {
        self.writer = None;
    }

    /// Whether a snapshot is being taken.
    pub fn is_under_way(&self) -> bool {
        self.writer.is_some()
    }

    /// Bytes that are ready to be taken, among them rows that were copied before they changed.
    pub fn waiting(&self) -> usize {
        let bytes = |w: &SnapshotWriter| w.bytes.len() + w.ready.iter().map(Vec::len).sum::<usize>();
        self.writer.as_ref().map_or(0, bytes)
    }

    /// Another model begins to serve: the snapshot goes on with the states of the one before.
    pub fn keep_states(&mut self, replaced: Replaced) {
        if let Some(writer) = &mut self.writer {
            writer.replaced.get_or_insert(replaced);
        }
    }

    /// Copies a row that is about to change, if a snapshot still needs it.
    pub fn copy_before_change(&mut self, slot: Slot, state: &State<'_>) -> Result<(), nn::Error> {
        let Some(writer) = &self.writer else { return Ok(()) };
        let at = slot.index();
        if at >= writer.slots || at < writer.next || writer.done[at] {
            return Ok(());
        }
        // A snapshot without one of its rows is of no use: after an error none is being taken.
        let mut writer = self.writer.take().expect("it was looked at");
        writer.save_row(slot, state)?;
        writer.done[at] = true;
        self.writer = Some(writer);
        Ok(())
    }
}

impl SnapshotWriter {
    /// Writes slot, length, each table's row, and the states of the networks.
    fn save_row(&mut self, slot: Slot, state: &State<'_>) -> Result<(), nn::Error> {
        let model: Option<&LoadedModel> = match &self.replaced {
            Some(Replaced(model)) => model.as_ref(),
            None => state.serving.active(),
        };
        let out = &mut self.bytes;
        put(out, &[slot.0, 0]);
        let from = out.len();
        state.tables().for_each(|table| table.save(slot.index(), out));
        // A model that has not stepped this series yet has no states for it.
        let states = model.filter(|m| m.holds(slot)).map_or(Ok(Vec::new()), |m| m.state(slot))?;
        put(out, &[states.len() as u32]);
        put(out, &states);
        let length = (out.len() - from) as u32;
        out[from - 4..from].copy_from_slice(&length.to_le_bytes());
        if out.len() >= CHUNK {
            let full = std::mem::take(out);
            self.ready.push_back(full);
        }
        Ok(())
    }
}
