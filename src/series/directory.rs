use crate::domain::{Damaged, Take, put, put_bytes};
use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;
use std::collections::{BTreeSet, VecDeque};
use std::hash::BuildHasher;

/// The index of a series' row in every table of its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

impl Slot {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// How a series got its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// The series had the slot before.
    Known(Slot),
    /// A slot that no series had before.
    New(Slot),
    /// The slot of a series that is gone, whose rows have to be reset. `evicted`: whether that series was
    /// dropped to make room.
    Reused { slot: Slot, evicted: bool },
}

impl Placement {
    pub fn slot(self) -> Slot {
        match self {
            Self::Known(slot) | Self::New(slot) | Self::Reused { slot, .. } => slot,
        }
    }
}

/// One in this many series, those seen the longest ago, are collected as candidates for eviction at once.
const SHARE: usize = 64;

/// Marks a free slot in a snapshot. No name has this length.
const FREE: u32 = u32::MAX;

/// Maps series to slots, and knows which series was seen the longest ago.
#[derive(Debug)]
pub struct Directory {
    /// The slots of all series, by the hashes of their names.
    slots: HashTable<Slot>,
    /// By slot; `None` where the slot is free.
    names: Vec<Option<Box<str>>>,
    /// Bytes of the names.
    name_bytes: usize,
    free: BTreeSet<u32>,
    /// When each series was last seen, counted in readings of the shard.
    seen: Vec<u64>,
    readings: u64,
    most: usize,
    /// Candidates for eviction, the oldest first, as they were when they were collected. A candidate that
    /// has been seen since is skipped.
    oldest: VecDeque<(u64, Slot)>,
}

impl Directory {
    /// Holds at most `most` series.
    pub fn new(most: usize) -> Self {
        Self {
            slots: HashTable::new(),
            names: Vec::new(),
            name_bytes: 0,
            free: BTreeSet::new(),
            seen: Vec::new(),
            readings: 0,
            most,
            oldest: VecDeque::new(),
        }
    }

    /// The slot of a series that has a reading now. A new series takes a free slot, a new one, or that of
    /// the series that was seen the longest ago.
    pub fn place(&mut self, series: &str) -> Placement {
        self.readings += 1;
        if let Some(slot) = self.find(series) {
            self.seen[slot.index()] = self.readings;
            return Placement::Known(slot);
        }
        let place = if self.slots.len() >= self.most {
            let slot = self.least_recent();
            self.drop(slot);
            self.free.remove(&slot.0);
            Placement::Reused { slot, evicted: true }
        } else if let Some(slot) = self.free.pop_first() {
            Placement::Reused { slot: Slot(slot), evicted: false }
        } else {
            self.names.push(None);
            self.seen.push(0);
            Placement::New(Slot(self.names.len() as u32 - 1))
        };
        let slot = place.slot();
        self.name_slot(slot, series);
        self.seen[slot.index()] = self.readings;
        place
    }

    /// Gives a free slot to a series that has none.
    fn name_slot(&mut self, slot: Slot, series: &str) {
        self.names[slot.index()] = Some(series.into());
        self.name_bytes += series.len();
        let names = &self.names;
        let hash = |slot: &Slot| hash(names[slot.index()].as_deref().unwrap_or_default());
        self.slots.insert_unique(hash(&slot), slot, hash);
    }

    fn least_recent(&mut self) -> Slot {
        loop {
            while let Some((seen, slot)) = self.oldest.pop_front() {
                if self.seen[slot.index()] == seen && self.names[slot.index()].is_some() {
                    return slot;
                }
            }
            let mut all: Vec<(u64, Slot)> = self.live().map(|slot| (self.seen[slot.index()], slot)).collect();
            let few = (all.len() / SHARE).max(16).min(all.len());
            if few < all.len() {
                all.select_nth_unstable(few);
                all.truncate(few);
            }
            all.sort_unstable();
            self.oldest = all.into();
        }
    }

    /// Forgets a series and frees its slot.
    pub fn drop(&mut self, slot: Slot) {
        if let Some(name) = self.names[slot.index()].take() {
            if let Ok(entry) = self.slots.find_entry(hash(&name), |found| *found == slot) {
                entry.remove();
            }
            self.name_bytes -= name.len();
            self.free.insert(slot.0);
        }
    }

    /// Forgets the series that was seen the longest ago when the directory holds more than it may.
    /// Returns its slot.
    pub fn shrink(&mut self) -> Option<Slot> {
        (self.slots.len() > self.most).then(|| {
            let slot = self.least_recent();
            self.drop(slot);
            slot
        })
    }

    /// The slot of a series, if it has one.
    pub fn find(&self, series: &str) -> Option<Slot> {
        let is_named = |slot: &Slot| self.names[slot.index()].as_deref() == Some(series);
        self.slots.find(hash(series), is_named).copied()
    }

    /// The name of the series in a slot; empty for a free slot.
    pub fn name(&self, slot: Slot) -> &str {
        self.names[slot.index()].as_deref().unwrap_or_default()
    }

    /// The slots of all series, ascending.
    pub fn live(&self) -> impl Iterator<Item = Slot> + '_ {
        self.names.iter().enumerate().filter(|(_, n)| n.is_some()).map(|(i, _)| Slot(i as u32))
    }

    /// Whether a series has the slot.
    pub fn is_live(&self, slot: Slot) -> bool {
        self.names[slot.index()].is_some()
    }

    /// The number of series.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The number of slots ever given, which is the number of rows that the tables need.
    pub fn slots(&self) -> usize {
        self.names.len()
    }

    /// The readings ever placed.
    pub fn readings(&self) -> u64 {
        self.readings
    }

    /// Appends all of it.
    pub fn save(&self, out: &mut Vec<u8>) {
        put(out, &[self.readings]);
        put(out, &[self.names.len() as u32]);
        for (name, seen) in self.names.iter().zip(&self.seen) {
            match name {
                Some(name) => put_bytes(out, name.as_bytes()),
                None => put(out, &[FREE]),
            }
            put(out, &[*seen]);
        }
    }

    /// Reads what [`Self::save`] wrote.
    ///
    /// # Errors
    /// [`Damaged`] for any other bytes.
    pub fn load(&mut self, from: &mut Take<'_>) -> Result<(), Damaged> {
        let mut loaded = Self::new(self.most);
        loaded.readings = from.one()?;
        let slots: u32 = from.one()?;
        for slot in 0..slots {
            let mut ahead = *from;
            loaded.names.push(None);
            if ahead.one::<u32>()? == FREE {
                *from = ahead;
                loaded.free.insert(slot);
            } else {
                let name = from.text()?;
                if loaded.find(name).is_some() {
                    return Err(Damaged("a name occurs twice"));
                }
                loaded.name_slot(Slot(slot), name);
            }
            loaded.seen.push(from.one()?);
        }
        *self = loaded;
        Ok(())
    }

    /// Bytes held, about.
    pub fn memory(&self) -> usize {
        self.name_bytes
            + self.slots.allocation_size()
            + self.names.capacity() * size_of::<Option<Box<str>>>()
            + self.seen.capacity() * size_of::<u64>()
            + self.oldest.capacity() * size_of::<(u64, Slot)>()
    }
}

fn hash(series: &str) -> u64 {
    FxBuildHasher.hash_one(series)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};

    /// The same by the plainest means: names in the order in which they were seen.
    #[test]
    fn the_one_that_was_seen_the_longest_ago_makes_room() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let mut directory = Directory::new(40);
        let mut order: Vec<String> = Vec::new();
        for step in 0..20_000 {
            let name = format!("m{}", rng.random_range(0..60));
            let known = order.iter().position(|n| *n == name);
            let evicted = (known.is_none() && order.len() == 40).then(|| order.remove(0));
            if let Some(at) = known {
                order.remove(at);
            }
            order.push(name.clone());
            let before = directory.find(&name);
            let place = directory.place(&name);
            assert_eq!(matches!(place, Placement::Known(_)), known.is_some());
            assert_eq!(before.is_some(), known.is_some());
            assert_eq!(matches!(place, Placement::Reused { evicted: true, .. }), evicted.is_some());
            assert!(evicted.is_none_or(|name| directory.find(&name).is_none()));
            if step % 1_000 == 0 {
                let gone = directory.live().nth(rng.random_range(0..directory.len())).unwrap();
                order.retain(|n| n != directory.name(gone));
                directory.drop(gone);
                let mut bytes = Vec::new();
                directory.save(&mut bytes);
                directory.load(&mut Take::new(&bytes)).unwrap();
            }
            assert_eq!(directory.len(), order.len());
            assert_eq!(directory.name_bytes, order.iter().map(String::len).sum::<usize>());
        }
    }

    #[test]
    fn a_directory_with_one_name_twice_is_damaged() {
        let mut directory = Directory::new(4);
        directory.place("a");
        directory.place("b");
        let mut bytes = Vec::new();
        directory.save(&mut bytes);
        let at = bytes.iter().position(|b| *b == b'b').unwrap();
        bytes[at] = b'a';
        assert!(directory.load(&mut Take::new(&bytes)).is_err());
    }
}
