use rustc_hash::FxHashMap;

/// A series' row in every table of its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

impl Slot {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Which series has which slot. Slots are given in the order of first sight, without holes.
#[derive(Debug)]
pub struct Directory {
    slots: FxHashMap<Box<str>, Slot>,
    names: Vec<Box<str>>,
    most: usize,
}

impl Directory {
    /// Holds at most `most` series.
    pub fn new(most: usize) -> Self {
        Self { slots: FxHashMap::default(), names: Vec::new(), most }
    }

    /// The slot of a series, a new one at first sight; `None` when the table is full.
    pub fn slot(&mut self, series: &str) -> Option<Slot> {
        if let Some(slot) = self.slots.get(series) {
            return Some(*slot);
        }
        if self.names.len() >= self.most {
            return None;
        }
        let slot = Slot(u32::try_from(self.names.len()).ok()?);
        self.names.push(series.into());
        self.slots.insert(series.into(), slot);
        Some(slot)
    }

    pub fn name(&self, slot: Slot) -> &str {
        &self.names[slot.index()]
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Bytes held, about.
    pub fn memory(&self) -> usize {
        let entry = size_of::<(Box<str>, Slot)>() + size_of::<Box<str>>() + 1;
        self.names.iter().map(|n| 2 * n.len() + entry).sum()
    }
}
