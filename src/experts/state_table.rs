use crate::domain::{Damaged, Rows, Segments, Take, put};
use crate::simd::prefetch_second;
use bytemuck::{Pod, Zeroable};

/// Floats of a cache line.
const LINE: usize = 16;

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

/// The states of an expert. Each target of each series has a row: a fixed struct `H`, floats that begin
/// on a cache line, 16-bit floats, and small counts. A row is written and read back bit for bit.
#[derive(Debug)]
pub(super) struct StateTable<H> {
    targets: usize,
    /// Lines, 16-bit floats and counts of one target.
    each: [usize; 3],
    /// What rows begin as, of all targets of a series.
    blank: Blank<H>,
    /// A row of a segment has all targets of a series.
    states: Segments<H>,
    floats: Segments<Line>,
    halves: Segments<u16>,
    counts: Segments<u8>,
}

#[derive(Debug)]
struct Blank<H> {
    states: Vec<H>,
    floats: Vec<Line>,
    halves: Vec<u16>,
    counts: Vec<u8>,
}

/// The row of one target of one series.
pub(super) struct StateRow<'a, H> {
    pub state: &'a mut H,
    pub floats: &'a mut [f32],
    pub halves: &'a mut [u16],
    pub counts: &'a mut [u8],
}

impl<H: Pod> StateTable<H> {
    /// New rows start as `state` and `floats`, with 16-bit floats and counts at 0.
    pub fn new(targets: usize, state: H, floats: &[f32], halves: usize, counts: usize) -> Self {
        let mut lines = vec![Line([0.0; LINE]); floats.len().div_ceil(LINE)];
        bytemuck::cast_slice_mut::<_, f32>(&mut lines)[..floats.len()].copy_from_slice(floats);
        let blank = Blank {
            states: vec![state; targets],
            floats: lines.repeat(targets),
            halves: vec![0; halves * targets],
            counts: vec![0; counts * targets],
        };
        Self {
            targets,
            each: [lines.len(), halves, counts],
            states: Segments::new(blank.states.len()),
            floats: Segments::new(blank.floats.len()),
            halves: Segments::new(blank.halves.len()),
            counts: Segments::new(blank.counts.len()),
            blank,
        }
    }

    /// New rows have these 16-bit floats instead of zeros.
    pub fn with_halves(mut self, halves: &[u16]) -> Self {
        assert_eq!(halves.len() * self.targets, self.blank.halves.len());
        self.blank.halves = halves.repeat(self.targets);
        self
    }

    pub fn targets(&self) -> usize {
        self.targets
    }

    /// The number of series that there is room for.
    pub fn slots(&self) -> usize {
        self.states.rows()
    }

    pub fn row(&mut self, slot: usize, target: usize) -> StateRow<'_, H> {
        let Self { states, floats, halves, counts, .. } = self;
        let [lines_each, halves_each, counts_each] = self.each;
        StateRow {
            state: &mut states.row_mut(slot)[target],
            floats: bytemuck::cast_slice_mut(of_target_mut(floats.row_mut(slot), target, lines_each)),
            halves: of_target_mut(halves.row_mut(slot), target, halves_each),
            counts: of_target_mut(counts.row_mut(slot), target, counts_each),
        }
    }

    /// The structs of a series, one for each target.
    pub fn states(&mut self, slot: usize) -> impl Iterator<Item = &mut H> {
        self.states.row_mut(slot).iter_mut()
    }

    /// The struct of a series, if there is room for that slot.
    pub fn get(&self, slot: usize, target: usize) -> Option<&H> {
        (slot < self.slots()).then(|| self.state(slot, target))
    }

    pub fn state(&self, slot: usize, target: usize) -> &H {
        &self.states.row(slot)[target]
    }

    /// Loads a row into the cache ahead of its use: its struct, its counts, and the first `floats`
    /// floats, which are read in random order. The CPU prefetches the parts that are read from end to end
    /// by itself.
    pub fn prefetch(&self, slot: usize, target: usize, floats: usize) {
        let [lines_each, _, counts_each] = self.each;
        prefetch_second(&self.states.row(slot)[target..=target]);
        prefetch_second(&of_target(self.floats.row(slot), target, lines_each)[..floats.div_ceil(LINE)]);
        prefetch_second(of_target(self.counts.row(slot), target, counts_each));
    }

    /// Bytes of one series.
    pub fn bytes_each(&self) -> usize {
        size_of_val(&*self.blank.states)
            + size_of_val(&*self.blank.floats)
            + size_of_val(&*self.blank.halves)
            + size_of_val(&*self.blank.counts)
    }
}

/// The part of a row that belongs to one of its targets.
fn of_target<T>(row: &[T], target: usize, each: usize) -> &[T] {
    &row[target * each..][..each]
}

fn of_target_mut<T>(row: &mut [T], target: usize, each: usize) -> &mut [T] {
    &mut row[target * each..][..each]
}

impl<H: Pod> Rows for StateTable<H> {
    fn grow(&mut self, slots: usize) {
        let Self { blank, states, floats, halves, counts, .. } = self;
        states.grow(slots, &blank.states);
        floats.grow(slots, &blank.floats);
        halves.grow(slots, &blank.halves);
        counts.grow(slots, &blank.counts);
    }

    fn reset(&mut self, slot: usize) {
        let Self { blank, states, floats, halves, counts, .. } = self;
        states.row_mut(slot).copy_from_slice(&blank.states);
        floats.row_mut(slot).copy_from_slice(&blank.floats);
        halves.row_mut(slot).copy_from_slice(&blank.halves);
        counts.row_mut(slot).copy_from_slice(&blank.counts);
    }

    fn save(&self, slot: usize, out: &mut Vec<u8>) {
        put(out, self.states.row(slot));
        put(out, self.floats.row(slot));
        put(out, self.halves.row(slot));
        put(out, self.counts.row(slot));
    }

    fn load(&mut self, slot: usize, row: &mut Take<'_>) -> Result<(), Damaged> {
        row.fill(self.states.row_mut(slot))?;
        row.fill(self.floats.row_mut(slot))?;
        row.fill(self.halves.row_mut(slot))?;
        row.fill(self.counts.row_mut(slot))
    }

    fn memory(&self) -> usize {
        self.states.memory() + self.floats.memory() + self.halves.memory() + self.counts.memory()
    }
}

/// Implements [`Rows`] for an expert by its field `table`.
macro_rules! rows_of_state_table {
    ($name:ty) => {
        impl Rows for $name {
            fn grow(&mut self, slots: usize) {
                self.table.grow(slots);
            }

            fn reset(&mut self, slot: usize) {
                self.table.reset(slot);
            }

            fn save(&self, slot: usize, out: &mut Vec<u8>) {
                self.table.save(slot, out);
            }

            fn load(&mut self, slot: usize, row: &mut Take<'_>) -> Result<(), Damaged> {
                self.table.load(slot, row)
            }

            fn memory(&self) -> usize {
                self.table.memory()
            }
        }
    };
}
pub(super) use rows_of_state_table;
