use super::Slot;
use crate::domain::{Damaged, Rows, Take, put, seasonal_age};

/// The last readings of a shard's series: a ring for each.
///
/// Values are relative to the series' anchors; a value that was missing holds what filled it and is
/// marked as not observed.
#[derive(Debug)]
pub struct Windows {
    capacity: usize,
    targets: usize,
    width: usize,
    /// `[slots, capacity, width]`
    values: Vec<f32>,
    /// Whether each target was observed. `[slots, capacity, targets]`
    observed: Vec<bool>,
    /// `[slots, capacity]`
    cells: Vec<i64>,
    heads: Vec<Head>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Head {
    /// Readings ever pushed.
    total: u64,
    /// Readings held.
    len: u32,
    /// Where the next one goes.
    next: u32,
}

impl Windows {
    pub fn new(capacity: usize, targets: usize, width: usize) -> Self {
        Self {
            capacity,
            targets,
            width,
            values: Vec::new(),
            observed: Vec::new(),
            cells: Vec::new(),
            heads: Vec::new(),
        }
    }

    /// Appends a reading, in place of the oldest when the ring is full.
    pub fn push(&mut self, slot: Slot, cell: i64, values: &[f32], observed: &[bool]) {
        let head = &mut self.heads[slot.index()];
        let at = slot.index() * self.capacity + head.next as usize;
        self.values[at * self.width..][..self.width].copy_from_slice(values);
        self.observed[at * self.targets..][..self.targets].copy_from_slice(observed);
        self.cells[at] = cell;
        head.total += 1;
        head.len = (head.len + 1).min(self.capacity as u32);
        head.next = (head.next + 1) % self.capacity as u32;
    }

    /// Forgets a series' readings; how many it ever had is kept.
    pub fn clear(&mut self, slot: Slot) {
        self.heads[slot.index()].len = 0;
    }

    /// Readings that a series ever had.
    pub fn total(&self, slot: Slot) -> u64 {
        self.heads[slot.index()].total
    }

    pub fn view(&self, slot: Slot) -> WindowView<'_> {
        let head = self.heads[slot.index()];
        let from = slot.index() * self.capacity;
        WindowView {
            targets: self.targets,
            width: self.width,
            values: &self.values[from * self.width..][..self.capacity * self.width],
            observed: &self.observed[from * self.targets..][..self.capacity * self.targets],
            cells: &self.cells[from..][..self.capacity],
            len: head.len as usize,
            next: head.next as usize,
        }
    }
}

/// A row is as long as its window is full: the readings, the oldest first.
impl Rows for Windows {
    fn grow(&mut self, slots: usize) {
        self.values.resize(slots * self.capacity * self.width, 0.0);
        self.observed.resize(slots * self.capacity * self.targets, false);
        self.cells.resize(slots * self.capacity, 0);
        self.heads.resize(slots, Head::default());
    }

    fn reset(&mut self, slot: usize) {
        self.heads[slot] = Head::default();
    }

    fn save(&self, slot: usize, out: &mut Vec<u8>) {
        let view = self.view(Slot(slot as u32));
        put(out, &[self.heads[slot].total, view.len() as u64]);
        for age in (0..view.len()).rev() {
            put(out, view.values(age));
        }
        for age in (0..view.len()).rev() {
            out.extend((0..self.targets).map(|target| u8::from(view.observed(age, target))));
        }
        for age in (0..view.len()).rev() {
            put(out, &[view.cell(age)]);
        }
    }

    fn load(&mut self, slot: usize, row: &mut Take<'_>) -> Result<(), Damaged> {
        let [total, len]: [u64; 2] = row.one()?;
        if len > self.capacity as u64 || len > total {
            return Err(Damaged("a window that is longer than it may be"));
        }
        let (from, len) = (slot * self.capacity, len as usize);
        let next = if len == self.capacity { 0 } else { len as u32 };
        self.heads[slot] = Head { total, len: len as u32, next };
        row.fill(&mut self.values[from * self.width..][..len * self.width])?;
        let observed = row.raw(len * self.targets)?;
        for (to, byte) in self.observed[from * self.targets..].iter_mut().zip(observed) {
            *to = *byte != 0;
        }
        row.fill(&mut self.cells[from..][..len])
    }

    fn memory(&self) -> usize {
        self.values.capacity() * size_of::<f32>()
            + self.observed.capacity()
            + self.cells.capacity() * size_of::<i64>()
            + self.heads.capacity() * size_of::<Head>()
    }
}

/// One series' window. Ages count back from the newest reading, whose age is 0.
#[derive(Clone, Copy, Debug)]
pub struct WindowView<'a> {
    targets: usize,
    width: usize,
    values: &'a [f32],
    observed: &'a [bool],
    cells: &'a [i64],
    len: usize,
    next: usize,
}

impl<'a> WindowView<'a> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn targets(&self) -> usize {
        self.targets
    }

    /// Where in the ring the reading of an age lies; ages beyond the oldest give the oldest.
    fn at(&self, age: usize) -> usize {
        debug_assert!(self.len > 0, "an empty window has no readings");
        let age = age.min(self.len - 1);
        let capacity = self.cells.len();
        let back = self.next + capacity - 1 - age;
        if back >= capacity { back - capacity } else { back }
    }

    pub fn value(&self, age: usize, column: usize) -> f32 {
        self.values[self.at(age) * self.width + column]
    }

    /// All values of one reading. `[width]`
    pub fn values(&self, age: usize) -> &'a [f32] {
        &self.values[self.at(age) * self.width..][..self.width]
    }

    pub fn observed(&self, age: usize, target: usize) -> bool {
        age < self.len && self.observed[self.at(age) * self.targets + target]
    }

    pub fn cell(&self, age: usize) -> i64 {
        self.cells[self.at(age)]
    }

    /// What the seasonal naive says at `age` of the value `lead` steps later: the newest value known
    /// then at the same phase of a season of `season` steps; the value at `age` while there is none.
    pub fn seasonal(&self, age: usize, lead: usize, season: usize, column: usize) -> f32 {
        let back = seasonal_age(season, lead);
        if age + back < self.len { self.value(age + back, column) } else { self.value(age, column) }
    }

    pub fn copy(&self) -> WindowCopy {
        let ages = || (0..self.len).rev();
        WindowCopy {
            targets: self.targets,
            width: self.width,
            values: ages().flat_map(|age| self.values(age).iter().copied()).collect(),
            observed: ages().flat_map(|a| (0..self.targets).map(move |t| self.observed(a, t))).collect(),
            cells: ages().map(|age| self.cell(age)).collect(),
        }
    }
}

/// A window that has left its shard, for training.
#[derive(Clone, Debug)]
pub struct WindowCopy {
    targets: usize,
    width: usize,
    values: Vec<f32>,
    observed: Vec<bool>,
    cells: Vec<i64>,
}

impl WindowCopy {
    pub fn view(&self) -> WindowView<'_> {
        WindowView {
            targets: self.targets,
            width: self.width,
            values: &self.values,
            observed: &self.observed,
            cells: &self.cells,
            len: self.cells.len(),
            next: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_keeps_the_newest_and_a_copy_equals_it() {
        let mut windows = Windows::new(4, 1, 2);
        windows.grow(2);
        for i in 0..6 {
            windows.push(Slot(1), i, &[i as f32, 10.0 * i as f32], &[i % 2 == 0]);
        }
        let view = windows.view(Slot(1));
        let copy = view.copy();
        for view in [view, copy.view()] {
            assert_eq!(view.len(), 4);
            assert_eq!((0..4).map(|a| view.value(a, 1)).collect::<Vec<_>>(), [50.0, 40.0, 30.0, 20.0]);
            assert_eq!((view.cell(0), view.cell(3), view.cell(99)), (5, 2, 2));
            assert!(!view.observed(0, 0) && view.observed(1, 0) && !view.observed(4, 0));
        }
        assert_eq!(windows.total(Slot(1)), 6);
        let mut row = Vec::new();
        windows.save(1, &mut row);
        windows.load(0, &mut Take::new(&row)).unwrap();
        for i in 6..9 {
            windows.push(Slot(1), i, &[0.0, i as f32], &[true]);
            windows.push(Slot(0), i, &[0.0, i as f32], &[true]);
        }
        let both = [Slot(0), Slot(1)].map(|s| windows.view(s));
        assert!((0..4).all(|age| both[0].values(age) == both[1].values(age)));
        windows.reset(0);
        assert!(windows.view(Slot(0)).is_empty());
    }

    #[test]
    fn the_seasonal_naive_repeats_the_last_season() {
        let mut windows = Windows::new(8, 1, 1);
        windows.grow(1);
        for i in 0..7 {
            windows.push(Slot(0), i, &[i as f32], &[true]);
        }
        let view = windows.view(Slot(0));
        let leads: Vec<f32> = (1..=7).map(|lead| view.seasonal(0, lead, 3, 0)).collect();
        assert_eq!(leads, [4.0, 5.0, 6.0, 4.0, 5.0, 6.0, 4.0]);
        assert_eq!(view.seasonal(6, 1, 3, 0), 0.0, "no season known yet: the value itself");
    }
}
