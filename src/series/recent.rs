use super::Slot;
use super::ring::{Capacity, Ring, grow};
use crate::domain::{Damaged, Rows, Take, lengthen, put};

/// The last readings of a shard's series. Features look back on them, gaps are filled from them, and the
/// dashboard shows them.
///
/// Values are relative to the anchors of their series. A missing value holds the value that filled it and
/// is marked as not observed.
#[derive(Debug)]
pub struct RecentReadings {
    capacity: Capacity,
    targets: usize,
    width: usize,
    /// Whether readings have times of their own. On a grid they are one cell apart.
    timed: bool,
    /// `[readings, width]`
    values: Vec<f32>,
    /// Whether each target was observed. `[readings, targets]`
    observed: Vec<bool>,
    /// `[readings]`, where readings have times of their own.
    cells: Vec<i64>,
    by_slot: Vec<SeriesRing>,
}

#[derive(Clone, Copy, Debug, Default)]
struct SeriesRing {
    /// Readings ever pushed.
    total: u64,
    /// The cell of the newest reading.
    cell: i64,
    ring: Ring,
}

impl RecentReadings {
    /// For readings of `width` values, of which the first `targets` are targets.
    pub fn new(capacity: Capacity, targets: usize, width: usize, timed: bool) -> Self {
        Self {
            capacity,
            targets,
            width,
            timed,
            values: Vec::new(),
            observed: Vec::new(),
            cells: Vec::new(),
            by_slot: Vec::new(),
        }
    }

    /// Appends a reading, which replaces the oldest when the ring is full.
    pub fn push(&mut self, slot: Slot, cell: i64, values: &[f32], observed: &[bool]) {
        let series = &mut self.by_slot[slot.index()];
        (series.total, series.cell) = (series.total + 1, cell);
        let Some(at) = series.ring.push() else { return };
        self.values[at * self.width..][..self.width].copy_from_slice(values);
        self.observed[at * self.targets..][..self.targets].copy_from_slice(observed);
        if self.timed {
            self.cells[at] = cell;
        }
    }

    /// Forgets the readings of a series, but not how many it ever had.
    pub fn clear(&mut self, slot: Slot) {
        self.by_slot[slot.index()].ring.clear();
    }

    /// The readings that a series ever had.
    pub fn total(&self, slot: Slot) -> u64 {
        self.by_slot[slot.index()].total
    }

    /// The readings of one series.
    pub fn view(&self, slot: Slot) -> RecentView<'_> {
        RecentView { of: self, series: self.by_slot[slot.index()] }
    }
}

/// The last readings of one series. Ages count back from the newest reading, whose age is 0.
#[derive(Clone, Copy, Debug)]
pub struct RecentView<'a> {
    of: &'a RecentReadings,
    series: SeriesRing,
}

impl RecentView<'_> {
    pub fn len(&self) -> usize {
        self.series.ring.len as usize
    }

    pub fn is_empty(&self) -> bool {
        self.series.ring.len == 0
    }

    /// The value of a column. Beyond the oldest reading it is that of the oldest.
    pub fn value(&self, age: usize, column: usize) -> f32 {
        self.of.values[self.series.ring.at(age) * self.of.width + column]
    }

    /// Whether a target was observed.
    pub fn observed(&self, age: usize, target: usize) -> bool {
        age < self.len() && self.of.observed[self.series.ring.at(age) * self.of.targets + target]
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
        lengthen(&mut self.values, rows * self.width, 0.0);
        lengthen(&mut self.observed, rows * self.targets, false);
        lengthen(&mut self.cells, if self.timed { rows } else { 0 }, 0);
    }

    fn reset(&mut self, slot: usize) {
        let ring = self.by_slot[slot].ring.filled(0);
        self.by_slot[slot] = SeriesRing { ring, ..SeriesRing::default() };
    }

    fn save(&self, slot: usize, out: &mut Vec<u8>) {
        let SeriesRing { total, cell, ring } = self.by_slot[slot];
        put(out, &[total, u64::from(ring.len)]);
        put(out, &[cell]);
        ring.oldest_first().for_each(|at| put(out, &self.values[at * self.width..][..self.width]));
        ring.oldest_first().for_each(|at| {
            out.extend(self.observed[at * self.targets..][..self.targets].iter().map(|o| u8::from(*o)));
        });
        if self.timed {
            ring.oldest_first().for_each(|at| put(out, &[self.cells[at]]));
        }
    }

    fn load(&mut self, slot: usize, row: &mut Take<'_>) -> Result<(), Damaged> {
        let [total, len]: [u64; 2] = row.one()?;
        let cell: i64 = row.one()?;
        let ring = self.by_slot[slot].ring;
        if len > u64::from(ring.room) || len > total {
            return Err(Damaged("more readings than there may be"));
        }
        let (start, n) = (ring.start, len as usize);
        self.by_slot[slot] = SeriesRing { total, cell, ring: ring.filled(len as u32) };
        row.fill(&mut self.values[start * self.width..][..n * self.width])?;
        let observed = row.raw(n * self.targets)?;
        for (to, byte) in self.observed[start * self.targets..].iter_mut().zip(observed) {
            *to = *byte != 0;
        }
        if self.timed {
            row.fill(&mut self.cells[start..][..n])?;
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        self.values.capacity() * size_of::<f32>()
            + self.observed.capacity()
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
            let capacity = Capacity { series: 0..9, shared: 0, least: 4, most: 4 };
            let mut recent = RecentReadings::new(capacity, 1, 2, timed);
            recent.grow(1);
            recent.grow(2);
            for i in 0..6 {
                recent.push(Slot(1), i, &[i as f32, 10.0 * i as f32], &[i % 2 == 0]);
            }
            let view = recent.view(Slot(1));
            assert_eq!(view.len(), 4);
            assert_eq!((0..4).map(|a| view.value(a, 1)).collect::<Vec<_>>(), [50.0, 40.0, 30.0, 20.0]);
            assert_eq!((view.cell(0), view.cell(3), view.cell(99)), (5, 2, 2));
            assert!(!view.observed(0, 0) && view.observed(1, 0) && !view.observed(4, 0));
            assert_eq!(recent.total(Slot(1)), 6);
            let mut row = Vec::new();
            recent.save(1, &mut row);
            recent.load(0, &mut Take::new(&row)).unwrap();
            for i in 6..9 {
                recent.push(Slot(1), i, &[0.0, i as f32], &[true]);
                recent.push(Slot(0), i, &[0.0, i as f32], &[true]);
            }
            let both = [Slot(0), Slot(1)].map(|s| recent.view(s));
            for age in 0..4 {
                assert_eq!(both[0].value(age, 1), both[1].value(age, 1));
                assert_eq!(both[0].cell(age), both[1].cell(age));
            }
            recent.reset(0);
            assert!(recent.view(Slot(0)).is_empty() && recent.total(Slot(0)) == 0);
        }
    }
}
