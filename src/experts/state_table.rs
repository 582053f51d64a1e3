use crate::domain::{Damaged, Rows, Take, lengthen, lengthen_by_rows, put};
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
    blank: H,
    blank_floats: Vec<Line>,
    blank_halves: Vec<u16>,
    halves_each: usize,
    counts_each: usize,
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
        let mut blank_floats = vec![Line([0.0; LINE]); floats.len().div_ceil(LINE)];
        bytemuck::cast_slice_mut::<_, f32>(&mut blank_floats)[..floats.len()].copy_from_slice(floats);
        Self {
            targets,
            blank: state,
            blank_floats,
            blank_halves: vec![0; halves],
            halves_each: halves,
            counts_each: counts,
            states: Vec::new(),
            floats: Vec::new(),
            halves: Vec::new(),
            counts: Vec::new(),
        }
    }

    /// New rows have these 16-bit floats instead of zeros.
    pub fn with_halves(mut self, halves: Vec<u16>) -> Self {
        assert_eq!(halves.len(), self.halves_each);
        self.blank_halves = halves;
        self
    }

    pub fn targets(&self) -> usize {
        self.targets
    }

    /// The number of series that there is room for.
    pub fn slots(&self) -> usize {
        self.states.len() / self.targets
    }

    pub fn row(&mut self, slot: usize, target: usize) -> StateRow<'_, H> {
        assert!(target < self.targets);
        let at = slot * self.targets + target;
        let lines = self.blank_floats.len();
        StateRow {
            state: &mut self.states[at],
            floats: bytemuck::cast_slice_mut(&mut self.floats[at * lines..][..lines]),
            halves: &mut self.halves[at * self.halves_each..][..self.halves_each],
            counts: &mut self.counts[at * self.counts_each..][..self.counts_each],
        }
    }

    /// The structs of a series, one for each target.
    pub fn states(&mut self, slot: usize) -> impl Iterator<Item = &mut H> {
        self.states[slot * self.targets..][..self.targets].iter_mut()
    }

    /// The struct of a series, if there is room for that slot.
    pub fn get(&self, slot: usize, target: usize) -> Option<&H> {
        self.states.get(slot * self.targets + target)
    }

    pub fn state(&self, slot: usize, target: usize) -> &H {
        assert!(target < self.targets);
        &self.states[slot * self.targets + target]
    }

    /// Loads a row into the cache ahead of its use: its struct, its counts, and the first `floats`
    /// floats, which are read in random order. The CPU prefetches the parts that are read from end to end
    /// by itself.
    pub fn prefetch(&self, slot: usize, target: usize, floats: usize) {
        let at = slot * self.targets + target;
        let lines = self.blank_floats.len();
        prefetch_second(&self.states[at..=at]);
        prefetch_second(&self.floats[at * lines..][..floats.div_ceil(LINE)]);
        prefetch_second(&self.counts[at * self.counts_each..][..self.counts_each]);
    }

    /// Bytes of one series.
    pub fn bytes_each(&self) -> usize {
        let row = size_of::<H>()
            + self.blank_floats.len() * size_of::<Line>()
            + self.halves_each * size_of::<u16>()
            + self.counts_each;
        row * self.targets
    }
}

impl<H: Pod> Rows for StateTable<H> {
    fn grow(&mut self, slots: usize) {
        let rows = slots * self.targets;
        lengthen(&mut self.states, rows, self.blank);
        lengthen_by_rows(&mut self.floats, rows, &self.blank_floats);
        lengthen_by_rows(&mut self.halves, rows, &self.blank_halves);
        lengthen(&mut self.counts, rows * self.counts_each, 0);
    }

    fn reset(&mut self, slot: usize) {
        for target in 0..self.targets {
            self.states[slot * self.targets + target] = self.blank;
            let lines = self.blank_floats.len();
            let at = (slot * self.targets + target) * lines;
            self.floats[at..][..lines].copy_from_slice(&self.blank_floats);
            let row = self.halves[(slot * self.targets + target) * self.halves_each..].iter_mut();
            row.zip(&self.blank_halves).for_each(|(half, blank)| *half = *blank);
            self.row(slot, target).counts.fill(0);
        }
    }

    fn save(&self, slot: usize, out: &mut Vec<u8>) {
        let n = self.targets;
        let lines = n * self.blank_floats.len();
        put(out, &self.states[slot * n..][..n]);
        put(out, &self.floats[slot * lines..][..lines]);
        put(out, &self.halves[slot * n * self.halves_each..][..n * self.halves_each]);
        put(out, &self.counts[slot * n * self.counts_each..][..n * self.counts_each]);
    }

    fn load(&mut self, slot: usize, row: &mut Take<'_>) -> Result<(), Damaged> {
        let n = self.targets;
        let lines = n * self.blank_floats.len();
        row.fill(&mut self.states[slot * n..][..n])?;
        row.fill(&mut self.floats[slot * lines..][..lines])?;
        row.fill(&mut self.halves[slot * n * self.halves_each..][..n * self.halves_each])?;
        row.fill(&mut self.counts[slot * n * self.counts_each..][..n * self.counts_each])
    }

    fn memory(&self) -> usize {
        self.states.capacity() * size_of::<H>()
            + self.floats.capacity() * size_of::<Line>()
            + self.halves.capacity() * size_of::<u16>()
            + self.counts.capacity()
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
