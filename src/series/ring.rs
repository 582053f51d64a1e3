use std::ops::Range;

/// The number of readings in the ring of each series, by its slot. The series in `series` share `shared`,
/// the first ones getting the most of it, each within `least..=most`. Others have no ring.
#[derive(Clone, Debug)]
pub struct Capacity {
    pub series: Range<usize>,
    pub shared: usize,
    pub least: usize,
    pub most: usize,
}

impl Capacity {
    pub(super) fn of(&self, slot: usize) -> usize {
        if self.series.contains(&slot) { (self.shared / (slot + 1)).clamp(self.least, self.most) } else { 0 }
    }
}

/// The rows of one series among the rows of all, and how far they are filled.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ring {
    pub start: usize,
    pub room: u32,
    pub len: u32,
    /// The place of the next row.
    pub next: u32,
}

impl Ring {
    /// The row for one more reading, which replaces the oldest when the ring is full. `None` without
    /// room.
    pub fn push(&mut self) -> Option<usize> {
        if self.room == 0 {
            return None;
        }
        let at = self.start + self.next as usize;
        self.len = (self.len + 1).min(self.room);
        self.next = (self.next + 1) % self.room;
        Some(at)
    }

    /// The row of an age; the newest is 0. Ages beyond the oldest give the oldest.
    #[inline]
    pub fn at(&self, age: usize) -> usize {
        debug_assert!(self.len > 0, "an empty ring has no readings");
        let (age, room) = (age.min(self.len as usize - 1), self.room as usize);
        let back = self.next as usize + room - 1 - age;
        self.start + if back >= room { back - room } else { back }
    }

    /// The ring filled with `len` readings from its start on.
    pub fn filled(&self, len: u32) -> Self {
        Self { len, next: if len == self.room { 0 } else { len }, ..*self }
    }

    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// The rows from the oldest to the newest.
    pub fn oldest_first(&self) -> impl DoubleEndedIterator<Item = usize> + use<'_> {
        (0..self.len as usize).rev().map(|age| self.at(age))
    }
}

/// Makes room for `slots` rings. Returns the number of rows of all rings.
pub(super) fn grow(rings: &mut Vec<Ring>, capacity: &Capacity, slots: usize) -> usize {
    let mut end = rings.last().map_or(0, |ring| ring.start + ring.room as usize);
    for slot in rings.len()..slots {
        let room = capacity.of(slot);
        rings.push(Ring { start: end, room: room as u32, ..Ring::default() });
        end += room;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_series_share_what_there_is() {
        let capacity = Capacity { series: 0..100, shared: 1_000, least: 50, most: 400 };
        let rooms: Vec<usize> = [0, 1, 2, 9, 19, 99, 100].map(|slot| capacity.of(slot)).to_vec();
        assert_eq!(rooms, [400, 400, 333, 100, 50, 50, 0]);
        let mut rings = Vec::new();
        assert_eq!(grow(&mut rings, &capacity, 1), 400);
        assert_eq!(grow(&mut rings, &capacity, 3), 1_133);
        assert_eq!((rings[2].start, rings[2].room), (800, 333));
    }

    #[test]
    fn the_newest_takes_the_place_of_the_oldest() {
        let mut ring = Ring { start: 10, room: 3, ..Ring::default() };
        let rows: Vec<usize> = (0..5).map(|_| ring.push().unwrap()).collect();
        assert_eq!(rows, [10, 11, 12, 10, 11]);
        assert_eq!([0, 1, 2, 9].map(|age| ring.at(age)), [11, 10, 12, 12]);
        assert_eq!(ring.oldest_first().collect::<Vec<_>>(), [12, 10, 11]);
        assert_eq!(ring.filled(2).push(), Some(12));
        assert_eq!(Ring::default().push(), None);
    }
}
