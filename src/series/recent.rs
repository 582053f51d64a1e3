use super::Slot;
use super::ring::{Capacity, Ring, grow};
use crate::domain::{Damaged, PastReadings, Rows, Take, lengthen, put};
use std::collections::HashMap;

/// The last readings of a shard's series. Experts and features look back on them, gaps are filled from them,
/// and the dashboard shows them.
///
/// Values are relative to the anchors of their series. Of each target the believed value is kept; the value
/// as it came in is kept beside it where the two differ, which is rare. A missing value holds the value that
/// filled it and is marked as not observed. Of covariates only the newest values are kept.
#[derive(Debug)]
pub struct RecentReadings {
    capacity: Capacity,
    targets: usize,
    covariates: usize,
    /// Whether readings have times of their own. On a grid they are one cell apart.
    timed: bool,
    /// The ring of each target of each series. `[slots, targets, room]`
    believed: Vec<f32>,
    /// [`OBSERVED`] and [`DIFFERS`] of each value, four in a byte. `[readings, targets]`
    marks: Vec<u8>,
    /// Values that are not believed as they came in, by slot, target and number of the reading.
    held: HashMap<(u32, u32, u64), f32>,
    /// The newest values. `[slots, covariates]`
    newest: Vec<f32>,
    /// `[readings]`, where readings have times of their own.
    cells: Vec<i64>,
    by_slot: Vec<SeriesRing>,
}

/// The value was there.
const OBSERVED: u8 = 1;
/// The value is not believed as it came in.
const DIFFERS: u8 = 2;

#[derive(Clone, Copy, Debug, Default)]
struct SeriesRing {
    /// Readings ever pushed.
    total: u64,
    /// The cell of the newest reading.
    cell: i64,
    ring: Ring,
}

impl RecentReadings {
    /// For readings of so many targets and covariates.
    pub fn new(capacity: Capacity, targets: usize, covariates: usize, timed: bool) -> Self {
        Self {
            capacity,
            targets,
            covariates,
            timed,
            believed: Vec::new(),
            marks: Vec::new(),
            held: HashMap::new(),
            newest: Vec::new(),
            cells: Vec::new(),
            by_slot: Vec::new(),
        }
    }

    fn place(&self, ring: Ring, row: usize, target: usize) -> usize {
        ring.start * self.targets + target * ring.room as usize + (row - ring.start)
    }

    fn mark(&self, row: usize, target: usize) -> u8 {
        let at = row * self.targets + target;
        self.marks[at / 4] >> (2 * (at % 4)) & 3
    }

    fn set_mark(&mut self, row: usize, target: usize, mark: u8) {
        let at = row * self.targets + target;
        let (byte, shift) = (&mut self.marks[at / 4], 2 * (at % 4));
        *byte = *byte & !(3 << shift) | mark << shift;
    }

    /// Appends a reading, which replaces the oldest when the ring is full. `values`: as they came in,
    /// `[targets and covariates]`; `believed`, `observed`: `[targets]`
    pub fn push(&mut self, slot: Slot, cell: i64, values: &[f32], believed: &[f32], observed: &[bool]) {
        let series = &mut self.by_slot[slot.index()];
        let number = series.total;
        let was_full = series.ring.len == series.ring.room;
        (series.total, series.cell) = (series.total + 1, cell);
        let row = series.ring.push();
        let ring = series.ring;
        let (values, covariates) = values.split_at(self.targets);
        self.newest[slot.index() * self.covariates..][..self.covariates].copy_from_slice(covariates);
        let Some(row) = row else { return };
        for target in 0..self.targets {
            let key = |number: u64| (slot.0, target as u32, number);
            if was_full && self.mark(row, target) & DIFFERS != 0 {
                self.held.remove(&key(number - u64::from(ring.room)));
            }
            let place = self.place(ring, row, target);
            self.believed[place] = believed[target];
            let differs = observed[target] && values[target].to_bits() != believed[target].to_bits();
            if differs {
                self.held.insert(key(number), values[target]);
            }
            let mark = if observed[target] { OBSERVED } else { 0 } | if differs { DIFFERS } else { 0 };
            self.set_mark(row, target, mark);
        }
        if self.timed {
            self.cells[row] = cell;
        }
    }

    /// Forgets the readings of a series, but not how many it ever had.
    pub fn clear(&mut self, slot: Slot) {
        self.forget_held(slot);
        self.by_slot[slot.index()].ring.clear();
    }

    fn forget_held(&mut self, slot: Slot) {
        let SeriesRing { total, ring, .. } = self.by_slot[slot.index()];
        for (age, target) in (0..ring.len as usize).flat_map(|age| (0..self.targets).map(move |t| (age, t))) {
            if self.mark(ring.at(age), target) & DIFFERS != 0 {
                self.held.remove(&(slot.0, target as u32, total - 1 - age as u64));
            }
        }
    }

    /// The readings that a series ever had.
    pub fn total(&self, slot: Slot) -> u64 {
        self.by_slot[slot.index()].total
    }

    /// The readings of one series.
    pub fn view(&self, slot: Slot) -> RecentView<'_> {
        RecentView { of: self, slot, series: self.by_slot[slot.index()] }
    }
}

/// The last readings of one series. Ages count back from the newest reading, whose age is 0.
#[derive(Clone, Copy, Debug)]
pub struct RecentView<'a> {
    of: &'a RecentReadings,
    slot: Slot,
    series: SeriesRing,
}

impl<'a> RecentView<'a> {
    pub fn len(&self) -> usize {
        self.series.ring.len as usize
    }

    pub fn is_empty(&self) -> bool {
        self.series.ring.len == 0
    }

    /// The believed values of a target, for a step that comes next.
    pub fn past(&self, target: usize) -> PastReadings<'a> {
        let Ring { room, next, .. } = self.series.ring;
        if self.is_empty() {
            return PastReadings::none();
        }
        let from = self.of.place(self.series.ring, self.series.ring.start, target);
        let newest = if next == 0 { room - 1 } else { next - 1 };
        PastReadings::new(&self.of.believed[from..from + room as usize], newest as usize)
    }

    /// The believed value of a target. Beyond the oldest reading it is that of the oldest.
    pub fn believed(&self, age: usize, target: usize) -> f32 {
        let ring = self.series.ring;
        self.of.believed[self.of.place(ring, ring.at(age), target)]
    }

    /// The value of a target as it came in. Beyond the oldest reading it is that of the oldest.
    pub fn value(&self, age: usize, target: usize) -> f32 {
        let age = age.min(self.len().saturating_sub(1));
        let believed = self.believed(age, target);
        if self.of.mark(self.series.ring.at(age), target) & DIFFERS == 0 {
            return believed;
        }
        let key = (self.slot.0, target as u32, self.series.total - 1 - age as u64);
        self.of.held.get(&key).copied().unwrap_or(believed)
    }

    /// Whether a target was observed.
    pub fn observed(&self, age: usize, target: usize) -> bool {
        age < self.len() && self.of.mark(self.series.ring.at(age), target) & OBSERVED != 0
    }

    /// The newest value of a covariate.
    pub fn covariate(&self, covariate: usize) -> f32 {
        self.of.newest[self.slot.index() * self.of.covariates + covariate]
    }

    /// The cell of a reading.
    pub fn cell(&self, age: usize) -> i64 {
        if self.of.timed {
            return self.of.cells[self.series.ring.at(age)];
        }
        self.series.cell - age.min(self.len().saturating_sub(1)) as i64
    }
}

/// The bytes of a row are as many as its readings, the oldest first.
impl Rows for RecentReadings {
    fn grow(&mut self, slots: usize) {
        let mut rings: Vec<Ring> = self.by_slot.iter().map(|series| series.ring).collect();
        let rows = grow(&mut rings, &self.capacity, slots);
        let new = rings
            .into_iter()
            .skip(self.by_slot.len())
            .map(|ring| SeriesRing { ring, ..SeriesRing::default() });
        self.by_slot.reserve_exact(new.len());
        self.by_slot.extend(new);
        lengthen(&mut self.believed, rows * self.targets, 0.0);
        lengthen(&mut self.marks, (rows * self.targets).div_ceil(4), 0);
        lengthen(&mut self.newest, slots * self.covariates, 0.0);
        lengthen(&mut self.cells, if self.timed { rows } else { 0 }, 0);
    }

    fn reset(&mut self, slot: usize) {
        self.forget_held(Slot(slot as u32));
        let ring = self.by_slot[slot].ring.filled(0);
        self.by_slot[slot] = SeriesRing { ring, ..SeriesRing::default() };
    }

    fn save(&self, slot: usize, out: &mut Vec<u8>) {
        let view = self.view(Slot(slot as u32));
        let SeriesRing { total, cell, ring } = view.series;
        put(out, &[total, u64::from(ring.len)]);
        put(out, &[cell]);
        put(out, &self.newest[slot * self.covariates..][..self.covariates]);
        let oldest_first = || (0..view.len()).rev();
        for target in 0..self.targets {
            oldest_first().for_each(|age| put(out, &[view.believed(age, target)]));
            oldest_first().for_each(|age| out.push(self.mark(ring.at(age), target)));
            for age in oldest_first().filter(|age| self.mark(ring.at(*age), target) & DIFFERS != 0) {
                put(out, &[view.value(age, target)]);
            }
        }
        if self.timed {
            oldest_first().for_each(|age| put(out, &[view.cell(age)]));
        }
    }

    fn load(&mut self, slot: usize, row: &mut Take<'_>) -> Result<(), Damaged> {
        let [total, len]: [u64; 2] = row.one()?;
        let cell: i64 = row.one()?;
        self.reset(slot);
        let ring = self.by_slot[slot].ring;
        if len > u64::from(ring.room) || len > total {
            return Err(Damaged("more readings than there may be"));
        }
        let n = len as usize;
        row.fill(&mut self.newest[slot * self.covariates..][..self.covariates])?;
        for target in 0..self.targets {
            let place = self.place(ring, ring.start, target);
            row.fill(&mut self.believed[place..][..n])?;
            let marks = row.raw(n)?;
            for (i, mark) in marks.iter().enumerate() {
                self.set_mark(ring.start + i, target, mark & 3);
                if mark & DIFFERS != 0 {
                    let number = total - len + i as u64;
                    self.held.insert((slot as u32, target as u32, number), row.one()?);
                }
            }
        }
        self.by_slot[slot] = SeriesRing { total, cell, ring: ring.filled(len as u32) };
        if self.timed {
            row.fill(&mut self.cells[ring.start..][..n])?;
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        self.believed.capacity() * size_of::<f32>()
            + self.marks.capacity()
            + self.newest.capacity() * size_of::<f32>()
            + self.held.capacity() * size_of::<((u32, u32, u64), f32)>()
            + self.cells.capacity() * size_of::<i64>()
            + self.by_slot.capacity() * size_of::<SeriesRing>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_come_back_from_bytes() {
        for timed in [false, true] {
            let capacity = Capacity { series: 0..9, shared: 0, least: 5, most: 5 };
            let mut recent = RecentReadings::new(capacity, 2, 1, timed);
            recent.grow(1);
            recent.grow(2);
            let push = |recent: &mut RecentReadings, slot: u32, i: i64| {
                let (value, other) = (i as f32, 10.0 * i as f32);
                // Every third value of the second target is not believed.
                let believed = if i % 3 == 0 { -1.0 } else { other };
                let observed = [i % 2 == 0, true];
                recent.push(Slot(slot), i, &[value, other, 100.0 + value], &[value, believed], &observed);
            };
            for i in 0..17 {
                push(&mut recent, 1, i);
                let view = recent.view(Slot(1));
                let kept = (i as usize + 1).min(5);
                assert_eq!((view.len(), recent.total(Slot(1))), (kept, i as u64 + 1));
                assert_eq!((view.covariate(0), view.cell(0)), (100.0 + i as f32, i));
                for age in 0..kept {
                    let then = i - age as i64;
                    let believed = if then % 3 == 0 { -1.0 } else { 10.0 * then as f32 };
                    assert_eq!(view.value(age, 1), 10.0 * then as f32, "as it came in");
                    assert_eq!(view.believed(age, 1), believed);
                    assert_eq!(view.past(1).value(age + 1), believed);
                    assert_eq!((view.observed(age, 0), view.observed(age, 1)), (then % 2 == 0, true));
                    assert_eq!((view.cell(age), view.value(age, 0)), (then, then as f32));
                }
                assert!(!view.observed(kept, 0));
                assert_eq!(view.cell(99), view.cell(kept - 1));
                assert!(recent.held.len() <= 2, "what is gone is forgotten");
                let mut row = Vec::new();
                recent.save(1, &mut row);
                recent.load(0, &mut Take::new(&row)).unwrap();
                let [a, b] = [Slot(0), Slot(1)].map(|slot| recent.view(slot));
                for age in 0..6 {
                    assert_eq!((a.value(age, 1), a.believed(age, 1)), (b.value(age, 1), b.believed(age, 1)));
                    assert_eq!((a.cell(age), a.observed(age, 0)), (b.cell(age), b.observed(age, 0)));
                }
                recent.reset(0);
                assert!(recent.view(Slot(0)).is_empty() && recent.total(Slot(0)) == 0);
            }
            recent.clear(Slot(1));
            assert!(recent.held.is_empty() && recent.view(Slot(1)).is_empty());
        }
    }
}
