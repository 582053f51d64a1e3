use super::Slot;
use crate::domain::{Damaged, Rows, Take, put};
use half::f16;
use half::slice::HalfFloatSliceExt;
use half::slice::HalfBitsSliceExt;

/// The largest 16-bit float.
const LARGEST: f32 = 65_504.0;

/// How many readings a series' ring holds, by its slot: the first series share `shared`, each within
/// `least..=most`; those from `series` on have none.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    pub series: usize,
    pub shared: usize,
    pub least: usize,
    pub most: usize,
}

impl Capacity {
    fn of(&self, slot: usize) -> usize {
        if slot < self.series { (self.shared / (slot + 1)).clamp(self.least, self.most) } else { 0 }
    }
}

/// The last readings of a shard's series, and the base that a network was to correct at each: a ring
/// for each series.
///
/// Values are relative to the series' anchors; a value that was missing holds what filled it and is
/// marked as not observed. Bases are kept as 16-bit floats around the reading's value.
#[derive(Debug)]
pub struct Windows {
    capacity: Capacity,
    targets: usize,
    width: usize,
    /// Leads of which the base is kept.
    bases: usize,
    /// Whether readings have times of their own; on a grid they lie side by side.
    timed: bool,
    /// `[readings, width]`
    values: Vec<f32>,
    /// Whether each target was observed. `[readings, targets]`
    observed: Vec<bool>,
    /// `[readings, targets, bases]`
    said: Vec<u16>,
    /// What the bases are in units of. `[readings, targets]`
    units: Vec<f32>,
    /// `[readings]` where they are timed.
    cells: Vec<i64>,
    heads: Vec<Head>,
    /// Of one push. `[targets, bases]`
    scratch: Vec<f32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Head {
    /// Readings ever pushed.
    total: u64,
    /// Where its ring begins, and how many readings it has room for.
    start: usize,
    room: u32,
    /// Readings held.
    len: u32,
    /// Where the next one goes.
    next: u32,
    /// The newest reading's.
    cell: i64,
}

/// A reading as a window keeps it.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    pub cell: i64,
    /// `[width]`
    pub values: &'a [f32],
    /// `[targets]`
    pub observed: &'a [bool],
    /// `[targets, bases]`
    pub bases: &'a [f32],
    /// What the bases lie within some thousands of. `[targets]`
    pub units: &'a [f32],
}

impl Windows {
    /// For readings of `width` values, the first `targets` of which are targets.
    pub fn new(capacity: Capacity, targets: usize, width: usize, bases: usize, timed: bool) -> Self {
        Self {
            capacity,
            targets,
            width,
            bases,
            timed,
            values: Vec::new(),
            observed: Vec::new(),
            said: Vec::new(),
            units: Vec::new(),
            cells: Vec::new(),
            heads: Vec::new(),
            scratch: vec![0.0; targets * bases],
        }
    }

    /// Appends a reading, in place of the oldest when the ring is full.
    pub fn push(&mut self, slot: Slot, kept: &Kept<'_>) {
        let (targets, bases) = (self.targets, self.bases);
        let head = &mut self.heads[slot.index()];
        head.total += 1;
        if head.room == 0 {
            return;
        }
        let at = head.start + head.next as usize;
        self.values[at * self.width..][..self.width].copy_from_slice(kept.values);
        self.observed[at * targets..][..targets].copy_from_slice(kept.observed);
        for target in 0..targets {
            let unit = if kept.units[target] > 1e-30 { kept.units[target] } else { 1.0 };
            self.units[at * targets + target] = unit;
            let (value, range) = (kept.values[target], target * bases..(target + 1) * bases);
            for (to, base) in self.scratch[range.clone()].iter_mut().zip(&kept.bases[range]) {
                *to = ((base - value) / unit).clamp(-LARGEST, LARGEST);
            }
        }
        let said = &mut self.said[at * targets * bases..][..targets * bases];
        said.reinterpret_cast_mut::<f16>().convert_from_f32_slice(&self.scratch);
        if self.timed {
            self.cells[at] = kept.cell;
        }
        head.cell = kept.cell;
        head.len = (head.len + 1).min(head.room);
        head.next = (head.next + 1) % head.room;
    }

    /// Readings that a series ever had.
    pub fn total(&self, slot: Slot) -> u64 {
        self.heads[slot.index()].total
    }

    /// Forgets a series' readings; how many it ever had is kept.
    pub fn clear(&mut self, slot: Slot) {
        self.heads[slot.index()].len = 0;
    }

    pub fn view(&self, slot: Slot) -> WindowView<'_> {
        let head = self.heads[slot.index()];
        let (from, room) = (head.start, head.room as usize);
        WindowView {
            targets: self.targets,
            width: self.width,
            bases: self.bases,
            room,
            values: &self.values[from * self.width..][..room * self.width],
            observed: &self.observed[from * self.targets..][..room * self.targets],
            said: &self.said[from * self.targets * self.bases..][..room * self.targets * self.bases],
            units: &self.units[from * self.targets..][..room * self.targets],
            cells: if self.timed { &self.cells[from..][..room] } else { &[] },
            cell: head.cell,
            len: head.len as usize,
            next: head.next as usize,
        }
    }
}

/// A row is as long as its window is full: the readings, the oldest first.
impl Rows for Windows {
    fn grow(&mut self, slots: usize) {
        let mut end = self.heads.last().map_or(0, |head| head.start + head.room as usize);
        for slot in self.heads.len()..slots {
            let room = self.capacity.of(slot);
            self.heads.push(Head { start: end, room: room as u32, ..Head::default() });
            end += room;
        }
        self.values.resize(end * self.width, 0.0);
        self.observed.resize(end * self.targets, false);
        self.said.resize(end * self.targets * self.bases, 0);
        self.units.resize(end * self.targets, 1.0);
        self.cells.resize(if self.timed { end } else { 0 }, 0);
    }

    fn reset(&mut self, slot: usize) {
        let Head { start, room, .. } = self.heads[slot];
        self.heads[slot] = Head { start, room, ..Head::default() };
    }

    fn save(&self, slot: usize, out: &mut Vec<u8>) {
        let view = self.view(Slot(slot as u32));
        put(out, &[self.heads[slot].total, view.len() as u64]);
        put(out, &[view.cell]);
        let ages = || (0..view.len()).rev().map(|age| view.at(age));
        ages().for_each(|at| put(out, &view.values[at * self.width..][..self.width]));
        ages().for_each(|at| {
            out.extend(view.observed[at * self.targets..][..self.targets].iter().map(|o| u8::from(*o)));
        });
        let bases = self.targets * self.bases;
        ages().for_each(|at| put(out, &view.said[at * bases..][..bases]));
        ages().for_each(|at| put(out, &view.units[at * self.targets..][..self.targets]));
        if self.timed {
            ages().for_each(|at| put(out, &[view.cells[at]]));
        }
    }

    fn load(&mut self, slot: usize, row: &mut Take<'_>) -> Result<(), Damaged> {
        let [total, len]: [u64; 2] = row.one()?;
        let cell: i64 = row.one()?;
        let Head { start, room, .. } = self.heads[slot];
        if len > u64::from(room) || len > total {
            return Err(Damaged("a window that is longer than it may be"));
        }
        let n = len as usize;
        let next = if len == u64::from(room) { 0 } else { len as u32 };
        self.heads[slot] = Head { total, start, room, len: len as u32, next, cell };
        row.fill(&mut self.values[start * self.width..][..n * self.width])?;
        let observed = row.raw(n * self.targets)?;
        for (to, byte) in self.observed[start * self.targets..].iter_mut().zip(observed) {
            *to = *byte != 0;
        }
        let bases = self.targets * self.bases;
        row.fill(&mut self.said[start * bases..][..n * bases])?;
        row.fill(&mut self.units[start * self.targets..][..n * self.targets])?;
        if self.timed {
            row.fill(&mut self.cells[start..][..n])?;
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        (self.values.capacity() + self.units.capacity()) * size_of::<f32>()
            + self.observed.capacity()
            + self.said.capacity() * size_of::<u16>()
            + self.cells.capacity() * size_of::<i64>()
            + self.heads.capacity() * size_of::<Head>()
    }
}

/// One series' window. Ages count back from the newest reading, whose age is 0.
#[derive(Clone, Copy, Debug)]
pub struct WindowView<'a> {
    targets: usize,
    width: usize,
    bases: usize,
    room: usize,
    values: &'a [f32],
    observed: &'a [bool],
    said: &'a [u16],
    units: &'a [f32],
    cells: &'a [i64],
    cell: i64,
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

    /// Leads of which the base is kept.
    pub fn bases(&self) -> usize {
        self.bases
    }

    /// Where in the ring the reading of an age lies; ages beyond the oldest give the oldest.
    fn at(&self, age: usize) -> usize {
        debug_assert!(self.len > 0, "an empty window has no readings");
        let age = age.min(self.len - 1);
        let back = self.next + self.room - 1 - age;
        if back >= self.room { back - self.room } else { back }
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

    /// The base at the reading of an age, at the `k`-th of the leads that are kept.
    pub fn base(&self, age: usize, target: usize, k: usize) -> f32 {
        let at = self.at(age) * self.targets + target;
        let said = f16::from_bits(self.said[at * self.bases + k]).to_f32();
        self.values[self.at(age) * self.width + target] + said * self.units[at]
    }

    pub fn cell(&self, age: usize) -> i64 {
        if self.cells.is_empty() {
            return self.cell - age.min(self.len.saturating_sub(1)) as i64;
        }
        self.cells[self.at(age)]
    }

    pub fn copy(&self) -> WindowCopy {
        let (width, targets, bases) = (self.width, self.targets, self.targets * self.bases);
        let places = || (0..self.len).rev().map(|age| self.at(age));
        WindowCopy {
            targets,
            width,
            bases: self.bases,
            values: places().flat_map(|at| self.values[at * width..][..width].iter().copied()).collect(),
            observed: places()
                .flat_map(|at| self.observed[at * targets..][..targets].iter().copied())
                .collect(),
            said: places().flat_map(|at| self.said[at * bases..][..bases].iter().copied()).collect(),
            units: places().flat_map(|at| self.units[at * targets..][..targets].iter().copied()).collect(),
            cells: if self.cells.is_empty() { Vec::new() } else { places().map(|at| self.cells[at]).collect() },
            cell: self.cell,
            len: self.len,
        }
    }
}

/// A window that has left its shard, for training.
#[derive(Clone, Debug)]
pub struct WindowCopy {
    targets: usize,
    width: usize,
    bases: usize,
    values: Vec<f32>,
    observed: Vec<bool>,
    said: Vec<u16>,
    units: Vec<f32>,
    cells: Vec<i64>,
    cell: i64,
    len: usize,
}

impl WindowCopy {
    pub fn view(&self) -> WindowView<'_> {
        WindowView {
            targets: self.targets,
            width: self.width,
            bases: self.bases,
            room: self.len,
            values: &self.values,
            observed: &self.observed,
            said: &self.said,
            units: &self.units,
            cells: &self.cells,
            cell: self.cell,
            len: self.len,
            next: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(windows: &mut Windows, slot: Slot, cell: i64, value: f32, observed: bool) {
        let (values, bases) = ([value, 10.0 * value], [value + 1.0, value - 0.5]);
        let kept = Kept { cell, values: &values, observed: &[observed], bases: &bases, units: &[0.25] };
        windows.push(slot, &kept);
    }

    #[test]
    fn a_ring_keeps_the_newest_and_a_copy_equals_it() {
        for timed in [false, true] {
            let capacity = Capacity { series: 2, shared: 8, least: 4, most: 4 };
            let mut windows = Windows::new(capacity, 1, 2, 2, timed);
            windows.grow(1);
            windows.grow(3);
            for i in 0..6 {
                push(&mut windows, Slot(1), i, i as f32, i % 2 == 0);
            }
            let view = windows.view(Slot(1));
            let copy = view.copy();
            for view in [view, copy.view()] {
                assert_eq!(view.len(), 4);
                assert_eq!((0..4).map(|a| view.value(a, 1)).collect::<Vec<_>>(), [50.0, 40.0, 30.0, 20.0]);
                assert_eq!((view.cell(0), view.cell(3), view.cell(99)), (5, 2, 2));
                assert!(!view.observed(0, 0) && view.observed(1, 0) && !view.observed(4, 0));
                assert_eq!((view.base(0, 0, 0), view.base(2, 0, 1)), (6.0, 2.5));
            }
            let mut row = Vec::new();
            windows.save(1, &mut row);
            windows.load(0, &mut Take::new(&row)).unwrap();
            for i in 6..9 {
                push(&mut windows, Slot(1), i, i as f32, true);
                push(&mut windows, Slot(0), i, i as f32, true);
            }
            let both = [Slot(0), Slot(1)].map(|s| windows.view(s));
            for age in 0..4 {
                assert_eq!(both[0].values(age), both[1].values(age));
                assert_eq!(both[0].cell(age), both[1].cell(age));
                assert_eq!(both[0].base(age, 0, 0), both[1].base(age, 0, 0));
            }
            windows.reset(0);
            assert!(windows.view(Slot(0)).is_empty());
            push(&mut windows, Slot(2), 0, 0.0, true);
            assert!(windows.view(Slot(2)).is_empty(), "a series beyond those that are kept");
        }
    }

    #[test]
    fn the_first_series_share_what_there_is() {
        let capacity = Capacity { series: 100, shared: 1_000, least: 50, most: 400 };
        let rooms: Vec<usize> = [0, 1, 2, 9, 19, 99, 100].map(|slot| capacity.of(slot)).to_vec();
        assert_eq!(rooms, [400, 400, 333, 100, 50, 50, 0]);
    }
}
