//! A shard as bytes and back: an exact cut between two rounds, taken out in chunks while the shard
//! goes on.
//!
//! The head (who is where in time, what is held back) is copied at once; rows follow in chunks, and a
//! row that is about to change before its turn is copied first. Knows no store and no format beyond
//! its own chunks.

use super::accounts::Accounts;
use super::mixture::Mixture;
use super::network::{Model, Stateful};
use super::shard::{Shard, Waiting};
use crate::config::{self, Stream};
use crate::domain::{Damaged, EventTime, ModelVersion, Take, Transform, put, put_bytes};
use crate::nn;
use crate::series::Slot;
use crate::telemetry::Invariant;
use std::collections::VecDeque;
use std::sync::Arc;

/// No chunk is longer by more than a row.
const CHUNK: usize = 4 << 20;

/// A cut that is under way.
pub(super) struct Cut {
    /// Slots that existed at the cut.
    slots: usize,
    /// All rows below are out.
    next: usize,
    /// Rows above `next` that were copied before they changed, and free slots.
    done: Vec<bool>,
    /// Chunks that are full and were not taken yet: the head, and rows that were copied before they
    /// changed.
    ready: VecDeque<Vec<u8>>,
    /// The chunk that rows are copied to now.
    bytes: Vec<u8>,
    /// The states as they were, when another network serves by now.
    old: Option<Stateful>,
    replaced: bool,
}

impl Cut {
    /// Another network begins to serve: the cut goes on from the old one's states.
    pub fn keep_states(&mut self, old: Option<Stateful>) {
        if !self.replaced {
            self.replaced = true;
            self.old = old;
        }
    }
}

/// What does not fit into a shard, or is no cut.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(transparent)]
    Damaged(#[from] Damaged),
    #[error("the network: {0}")]
    Network(#[from] nn::Error),
}

impl Shard {
    /// What a stream's shards must have in common with a cut to take it back: a cut of another shape
    /// can't be used.
    pub fn shape(stream: &Stream) -> serde_json::Value {
        let mut shape = serde_json::json!({
            "targets": stream.targets,
            "covariates": stream.covariates,
            "known_ahead": stream.known_ahead,
            "attributes": stream.attributes,
            "interval": stream.grid.interval().map_or_else(|| "irregular".to_owned(), |i| format!("{} us", i.as_micros())),
            "horizon": stream.horizon,
            "quantiles": stream.levels.iter().map(|l| l.get()).collect::<Vec<_>>(),
            "seasons": stream.seasons,
            "accuracy": format!("{:?}", stream.experts),
            "base": format!("{:?}", stream.model.base),
            "calendar": format!("{:?}", stream.calendar),
            "holidays": !stream.holidays.is_empty(),
            "training": (stream.training.enabled, stream.training.budget.series),
            "limits": stream.alarms.limits.iter().map(|l| (l.target, l.value, l.above)).collect::<Vec<_>>(),
            "drift": stream.alarms.drift_threshold.is_some(),
            "tables": 4,
        });
        // Said only where there is one, so that older cuts go on being of use.
        if stream.transform != Transform::None {
            shape["transform"] = stream.transform.as_str().into();
        }
        if let Some(how) = stream.aggregate {
            shape["aggregate"] = how.as_str().into();
        }
        if stream.model.unrolls() && !stream.known_ahead.is_empty() {
            shape["unrolls"] = true.into();
        }
        if stream.difference {
            shape["difference"] = true.into();
        }
        if let Some(position) = stream.position {
            shape["position"] = serde_json::json!([position.latitude, position.longitude]);
        }
        shape
    }

    /// Begins a cut: the shard as it is now, whatever it steps from here on. [`Self::cut`] gives its
    /// chunks. A cut that was under way is given up. Between rounds only.
    pub fn begin_cut(&mut self) {
        assert!(self.rounds.is_empty(), "a cut lies between two rounds");
        let slots = self.directory.slots();
        let done = (0..slots).map(|slot| !self.directory.is_live(Slot(slot as u32))).collect();
        // Its own length comes first: it may span several chunks.
        let mut head = Vec::new();
        put(&mut head, &[0u64]);
        let version = self.model().map_or(0, |v| v.0);
        put(&mut head, &[self.steps, self.swept, self.published, self.known, version]);
        put(&mut head, &[self.told.as_micros()]);
        put(&mut head, &[self.stream.model.networks.len() as u32]);
        for (network, kind) in self.stream.model.networks.iter().enumerate() {
            put_bytes(&mut head, kind.name.as_bytes());
            put(&mut head, &[u8::from(self.serving.as_ref().is_some_and(|s| s.holds_network(network)))]);
        }
        self.directory.save(&mut head);
        self.order.save(&mut head, |waiting, out| {
            put_bytes(out, waiting.series.as_bytes());
            put(out, &[waiting.offset]);
            if self.cells.is_some() {
                put(out, &[waiting.time.as_micros()]);
                put(out, &waiting.partial);
            } else {
                put(out, &waiting.values);
            }
            put(out, &[u8::from(waiting.key.is_some())]);
            put_bytes(out, waiting.key.as_deref().unwrap_or_default());
        });
        self.mixture.save_pooled(&mut head);
        self.alarms.save_pooled(&mut head);
        let length = head.len() as u64;
        head[..size_of::<u64>()].copy_from_slice(&length.to_le_bytes());
        let ready = head.chunks(CHUNK).map(<[u8]>::to_vec).collect();
        self.cut = Some(Cut { slots, next: 0, done, ready, bytes: Vec::new(), old: None, replaced: false });
    }

    /// The next chunk: one that is ready, or at least `least` bytes of rows (the last one may be
    /// shorter); `None` when the cut is complete, or none is under way. Between rounds only.
    ///
    /// # Errors
    /// When the device does not give its states.
    pub fn cut(&mut self, least: usize) -> Result<Option<Vec<u8>>, nn::Error> {
        let Some(mut cut) = self.cut.take() else { return Ok(None) };
        while cut.ready.is_empty() && cut.next < cut.slots && cut.bytes.len() < least {
            let slot = cut.next;
            cut.next += 1;
            if !cut.done[slot] {
                self.save_row(&mut cut, Slot(slot as u32))?;
            }
        }
        let rest = std::mem::take(&mut cut.bytes);
        let chunk = match cut.ready.pop_front() {
            Some(ready) => {
                cut.bytes = rest;
                Some(ready)
            }
            None => Some(rest).filter(|rest| !rest.is_empty()),
        };
        if chunk.is_some() {
            self.cut = Some(cut);
        }
        Ok(chunk)
    }

    pub fn give_up_cut(&mut self) {
        self.cut = None;
    }

    pub fn is_cutting(&self) -> bool {
        self.cut.is_some()
    }

    /// Bytes of rows that were copied before they changed and wait to be taken.
    pub fn cut_waiting(&self) -> usize {
        self.cut.as_ref().map_or(0, |cut| cut.bytes.len() + cut.ready.iter().map(Vec::len).sum::<usize>())
    }

    /// Copies a row out if a cut still needs it as it is.
    pub(super) fn copy_before_change(&mut self, slot: Slot) -> Result<(), nn::Error> {
        let Some(cut) = &self.cut else { return Ok(()) };
        let at = slot.index();
        if at >= cut.slots || at < cut.next || cut.done[at] {
            return Ok(());
        }
        let mut cut = self.cut.take().expect("it was looked at");
        self.save_row(&mut cut, slot)?;
        cut.done[at] = true;
        self.cut = Some(cut);
        Ok(())
    }

    /// Slot, length, each table's row, the state.
    fn save_row(&self, cut: &mut Cut, slot: Slot) -> Result<(), nn::Error> {
        let states = if cut.replaced { cut.old.as_ref() } else { self.serving.as_ref() };
        let out = &mut cut.bytes;
        put(out, &[slot.0, 0]);
        let from = out.len();
        self.tables().for_each(|table| table.save(slot.index(), out));
        // A network that has not stepped this series yet has no row for it.
        let state = states.filter(|s| s.holds(slot)).map_or(Ok(Vec::new()), |s| s.state(slot))?;
        put(out, &[state.len() as u32]);
        put(out, &state);
        let length = (out.len() - from) as u32;
        out[from - 4..from].copy_from_slice(&length.to_le_bytes());
        if out.len() >= CHUNK {
            let full = std::mem::take(&mut cut.bytes);
            cut.ready.push_back(full);
        }
        Ok(())
    }
}

/// The networks of the stream that a cut was made of, and whether each served.
fn networks(head: &mut Take<'_>) -> Result<Vec<(String, bool)>, Damaged> {
    let count: u32 = head.one()?;
    if count as usize > config::Model::NETWORKS_MAX {
        return Err(Damaged("more networks than a stream may have"));
    }
    let mut networks = Vec::new();
    for _ in 0..count {
        networks.push((text(head)?.to_owned(), head.one::<u8>()? != 0));
    }
    Ok(networks)
}

fn text<'a>(from: &mut Take<'a>) -> Result<&'a str, Damaged> {
    std::str::from_utf8(from.bytes()?).map_err(|_| Damaged("a name is not text"))
}

/// A shard that comes back from a cut, chunk by chunk.
pub struct Restore {
    shard: Shard,
    model: Option<Model>,
    /// What has come of the head, until it is whole.
    head: Vec<u8>,
    has_head: bool,
    /// Series whose row has not come yet. By slot.
    missing: Vec<bool>,
}

impl Restore {
    /// Where `model` is the one that the cut was made with, and has those networks that served then, in the
    /// same order, the states come back too; else a network has to be brought in and warmed. The stream may
    /// have other networks than when the cut was made: all that was learnt beside them goes on.
    pub fn new(stream: &Arc<Stream>, model: Option<&Model>) -> Self {
        let (shard, model) = (Shard::new(stream.clone()), model.cloned());
        Self { shard, model, head: Vec::new(), has_head: false, missing: Vec::new() }
    }

    /// Takes the next chunk back, in the order in which [`Shard::cut`] gave them.
    ///
    /// # Errors
    /// [`RestoreError`].
    pub fn take(&mut self, chunk: &[u8]) -> Result<(), RestoreError> {
        if self.has_head {
            return self.rows(chunk);
        }
        self.head.extend_from_slice(chunk);
        let length: u64 = Take::new(&self.head).one()?;
        match length.cmp(&(self.head.len() as u64)) {
            std::cmp::Ordering::Greater => Ok(()),
            std::cmp::Ordering::Equal => self.begin(),
            std::cmp::Ordering::Less => Err(Damaged("a head that goes on beyond its end").into()),
        }
    }

    fn begin(&mut self) -> Result<(), RestoreError> {
        let bytes = std::mem::take(&mut self.head);
        self.has_head = true;
        let mut head = Take::new(&bytes);
        let shard = &mut self.shard;
        let [_, steps, swept, published, known, version]: [u64; 6] = head.one()?;
        let told: i64 = head.one()?;
        shard.told = EventTime::from_micros(told).map_err(|_| Damaged("a time that is none"))?;
        let networks = networks(&mut head)?;
        let names = || networks.iter().map(|(name, _)| name.as_str());
        if !names().eq(shard.stream.model.names()) {
            let names = names().map(str::to_owned).collect();
            shard.mixture = Mixture::of_networks(&shard.stream, shard.features.extras(), names);
        }
        shard.steps = steps;
        shard.directory.load(&mut head)?;
        shard.swept = swept.min(shard.directory.readings());
        shard.published = published.min(shard.directory.readings());
        shard.known = known;
        let width = shard.stream.row();
        let how = shard.stream.aggregate;
        shard.order.load(&mut head, shard.directory.slots(), |from, time| {
            let series = text(from)?.into();
            let offset = from.one()?;
            let (mut time, mut values, mut partial) = (time, Vec::new(), Vec::new());
            if let Some(how) = how {
                time = EventTime::from_micros(from.one()?).map_err(|_| Damaged("a time that is none"))?;
                partial.resize(width, how.empty());
                from.fill(&mut partial)?;
            } else {
                values.resize(width, 0.0);
                from.fill(&mut values)?;
            }
            let keyed = from.one::<u8>()? != 0;
            let key = Some(from.bytes()?.into()).filter(|_| keyed);
            Ok(Waiting { series, time, offset, values: values.into(), partial: partial.into(), key })
        })?;
        if let Some(cells) = &mut shard.cells {
            cells.restore(&shard.order);
        }
        shard.mixture.load_pooled(&mut head)?;
        shard.alarms.load_pooled(&mut head)?;
        if !head.is_empty() {
            return Err(Damaged("a head that goes on beyond its end").into());
        }
        shard.accounts = Accounts::opened(shard.order.held() as u64);
        let slots = shard.directory.slots();
        let is_it = |m: &Model| {
            let served = networks.iter().filter(|(_, served)| *served).map(|(name, _)| name.as_str());
            let had = shard.stream.model.names().zip(&m.networks).filter(|(_, network)| network.is_some());
            m.version == ModelVersion(version) && served.eq(had.map(|(name, _)| name))
        };
        let model = self.model.take().filter(is_it);
        shard.serving = model.map(|m| Stateful::new(&m, slots)).transpose()?;
        self.missing = (0..slots).map(|slot| shard.directory.is_live(Slot(slot as u32))).collect();
        Ok(())
    }

    fn rows(&mut self, chunk: &[u8]) -> Result<(), RestoreError> {
        let mut chunk = Take::new(chunk);
        let mut state = Vec::new();
        while !chunk.is_empty() {
            let [slot, length]: [u32; 2] = chunk.one()?;
            let mut row = Take::new(chunk.raw(length as usize)?);
            let at = slot as usize;
            if !self.missing.get(at).copied().unwrap_or(false) {
                return Err(Damaged("a row that no series has").into());
            }
            self.missing[at] = false;
            // Room grows with what has really come: a forged head alone can't ask for much.
            self.shard.make_room(at + 1);
            for table in self.shard.tables_mut() {
                table.load(at, &mut row)?;
            }
            let width: u32 = row.one()?;
            if row.len() != width as usize * size_of::<f32>() {
                return Err(Damaged("a row of another length").into());
            }
            state.resize(width as usize, 0.0);
            row.fill(&mut state)?;
            if let Some(serving) = &mut self.shard.serving
                && width > 0
            {
                let fits = serving.width() == state.len();
                self.shard.violations.check(Invariant::StateMatchesModel, fits);
                if !fits {
                    return Err(Damaged("a state of another network").into());
                }
                serving.set_state(Slot(slot), &state)?;
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
        if !self.shard.mixture.networks().eq(self.shard.stream.model.names()) {
            let own = Mixture::new(&self.shard.stream, self.shard.features.extras());
            let other = std::mem::replace(&mut self.shard.mixture, own);
            self.shard.mixture.inherit(other);
        }
        // Free slots have room too: the next new series takes one.
        self.shard.make_room(self.shard.directory.slots());
        // A config that allows fewer series than before.
        while let Some(slot) = self.shard.directory.shrink() {
            self.shard.order.forget(slot);
        }
        Ok(self.shard)
    }
}
