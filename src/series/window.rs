use super::ring::{Capacity, Ring, grow};
use super::{Scale, Slot};
use crate::domain::{Damaged, Rows, Take, lengthen, put};
use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};

/// The error of a base is limited to this many of its units.
const ERROR_MAX: f32 = 8.0;

/// The inputs that a network was shown of the last readings of a shard's series, and the error of its
/// base at each scored lead once it was known. Each series has a ring of 16-bit floats. Network states are
/// warmed from it and training learns from it.
///
/// Every origin gets an error at every scored lead, also where the forecast itself is not scored. Until the
/// target arrives, what the base said stands in the place of its error, relative to the value at the origin.
/// The error is NaN where the target was not observed.
#[derive(Debug)]
pub struct Windows {
    capacity: Capacity,
    inputs: usize,
    /// Scored leads; empty where nothing is trained from the windows.
    leads: Vec<usize>,
    targets: usize,
    timed: bool,
    /// `[readings, inputs]`
    shown: Vec<u16>,
    /// What the base said where the target has not arrived, else its error. `[readings, targets, leads]`
    errors: Vec<u16>,
    /// What the bases of the last origins are relative to. `[series, last lead, targets]`
    references: Vec<Reference>,
    /// `[readings]`, where readings have times of their own.
    cells: Vec<i64>,
    /// As far as there are series with a ring.
    by_slot: Vec<SeriesRing>,
}

#[derive(Clone, Copy, Debug, Default)]
struct SeriesRing {
    /// The cell of the newest reading.
    cell: i64,
    /// The place of the next reference.
    turn: u32,
    ring: Ring,
}

/// What a base is relative to, and in which unit.
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Reference {
    value: f32,
    unit: f32,
}

/// What the bases of one reading said, which networks correct.
#[derive(Clone, Copy, Debug)]
pub struct SaidBases<'a> {
    /// `[targets, leads]`
    pub bases: &'a [f32],
    /// The targets' values at the reading. `[targets]`
    pub values: &'a [f32],
    /// The targets' scales, which come first.
    pub scales: &'a [Scale],
}

impl Windows {
    pub fn new(capacity: Capacity, inputs: usize, targets: usize, leads: &[usize], timed: bool) -> Self {
        Self {
            capacity,
            inputs,
            leads: leads.to_vec(),
            targets,
            timed,
            shown: Vec::new(),
            errors: Vec::new(),
            references: Vec::new(),
            cells: Vec::new(),
            by_slot: Vec::new(),
        }
    }

    fn last_lead(&self) -> usize {
        self.leads.last().copied().unwrap_or(0)
    }

    /// Where the references of a series begin.
    fn references_at(&self, slot: usize) -> usize {
        slot.saturating_sub(self.capacity.series.start) * self.last_lead() * self.targets
    }

    fn outputs(&self) -> usize {
        self.targets * self.leads.len()
    }

    /// Bytes of so many readings in the rings of so many slots.
    fn bytes(&self, readings: usize, slots: usize) -> usize {
        let each = (self.inputs + self.outputs()) * size_of::<u16>();
        let references = self.references_at(slots);
        readings * (each + if self.timed { size_of::<i64>() } else { 0 })
            + references * size_of::<Reference>()
            + slots * size_of::<SeriesRing>()
    }

    /// Bytes of all rings once there are so many slots.
    pub fn memory_of(&self, slots: usize) -> usize {
        let slots = slots.min(self.capacity.series.end);
        let readings = grow(&mut Vec::new(), &self.capacity, slots);
        self.bytes(readings, slots)
    }

    /// Appends the inputs of a reading, which 16-bit floats hold exactly, and what the bases said; `None` where
    /// their forecasts are not to be learnt from. `inputs`: `[inputs]`
    pub fn push(&mut self, slot: Slot, cell: i64, inputs: &[f32], said: Option<SaidBases<'_>>) {
        let (outputs, last) = (self.outputs(), self.last_lead());
        let from = self.references_at(slot.index());
        let Some(series) = self.by_slot.get_mut(slot.index()) else { return };
        series.cell = cell;
        let Some(at) = series.ring.push() else { return };
        let to = &mut self.shown[at * self.inputs..][..self.inputs];
        to.reinterpret_cast_mut::<f16>().convert_from_f32_slice(inputs);
        if self.timed {
            self.cells[at] = cell;
        }
        if last == 0 {
            return;
        }
        let turn = series.turn as usize;
        series.turn = if turn + 1 == last { 0 } else { series.turn + 1 };
        let errors = &mut self.errors[at * outputs..][..outputs];
        let Some(SaidBases { bases, values, scales }) = said else {
            errors.fill(f16::NAN.to_bits());
            return;
        };
        let n = self.leads.len();
        let references = &mut self.references[from + turn * self.targets..][..self.targets];
        let targets = errors.chunks_exact_mut(n).zip(bases.chunks_exact(n)).zip(values).zip(scales);
        for (reference, (((errors, bases), value), scale)) in references.iter_mut().zip(targets) {
            let deviation = scale.deviation();
            let unit = if deviation > 1e-30 && deviation.is_finite() { deviation } else { 1.0 };
            *reference = Reference { value: *value, unit };
            for (to, base) in errors.iter_mut().zip(bases) {
                *to = f16::from_f32((base - value) / unit).to_bits();
            }
        }
    }

    /// Takes in the target of the reading that comes next: the errors of all bases that spoke of it take their
    /// places, each in the unit of its lead. NaN for a target that was not observed. Call it before that reading
    /// is pushed. `units`: `[leads]`
    pub fn arrive(&mut self, slot: Slot, target: usize, value: f32, units: &[f32]) {
        let SeriesRing { ring, turn, .. } = self.ring(slot.index());
        let (n, last, from) = (self.leads.len(), self.last_lead(), self.references_at(slot.index()));
        for (k, (lead, unit)) in self.leads.iter().zip(units).enumerate() {
            if *lead <= ring.len as usize {
                let error = &mut self.errors[(ring.at(lead - 1) * self.targets + target) * n + k];
                let origin = (turn as usize + last - lead) % last;
                let reference = self.references[from + origin * self.targets + target];
                let base = f16::from_bits(*error).to_f32() * reference.unit + reference.value;
                *error = f16::from_f32(((value - base) / unit).clamp(-ERROR_MAX, ERROR_MAX)).to_bits();
            }
        }
    }

    /// The same where the target is missing: no error of it will be known.
    pub fn miss(&mut self, slot: Slot, target: usize) {
        let ring = self.ring(slot.index()).ring;
        let n = self.leads.len();
        for (k, lead) in self.leads.iter().enumerate().filter(|(_, lead)| **lead <= ring.len as usize) {
            self.errors[(ring.at(lead - 1) * self.targets + target) * n + k] = f16::NAN.to_bits();
        }
    }

    /// The ring of a series; one without room where it has none.
    fn ring(&self, slot: usize) -> SeriesRing {
        self.by_slot.get(slot).copied().unwrap_or_default()
    }

    /// Whether a series has a ring here.
    pub fn holds(&self, slot: Slot) -> bool {
        self.ring(slot.index()).ring.room > 0
    }

    /// Forgets a series' readings.
    pub fn clear(&mut self, slot: Slot) {
        self.by_slot.get_mut(slot.index()).into_iter().for_each(|series| series.ring.clear());
    }

    pub fn view(&self, slot: Slot) -> WindowView<'_> {
        let SeriesRing { cell, ring, .. } = self.ring(slot.index());
        WindowView {
            inputs: self.inputs,
            leads: &self.leads,
            outputs: self.outputs(),
            shown: &self.shown,
            errors: &self.errors,
            cells: &self.cells,
            cell,
            ring,
        }
    }
}

/// The bytes of a row are as many as its readings, the oldest first.
impl Rows for Windows {
    fn grow(&mut self, slots: usize) {
        let slots = slots.min(self.capacity.series.end);
        let mut rings: Vec<Ring> = self.by_slot.iter().map(|series| series.ring).collect();
        let rows = grow(&mut rings, &self.capacity, slots);
        let new = rings
            .into_iter()
            .skip(self.by_slot.len())
            .map(|ring| SeriesRing { ring, ..SeriesRing::default() });
        self.by_slot.reserve_exact(new.len());
        self.by_slot.extend(new);
        let (outputs, kept) = (self.outputs(), self.references_at(slots));
        lengthen(&mut self.shown, rows * self.inputs, 0);
        lengthen(&mut self.errors, rows * outputs, f16::NAN.to_bits());
        lengthen(&mut self.references, kept, Reference::default());
        lengthen(&mut self.cells, if self.timed { rows } else { 0 }, 0);
    }

    fn reset(&mut self, slot: usize) {
        let series = self.by_slot.get_mut(slot).into_iter();
        series
            .for_each(|series| *series = SeriesRing { ring: series.ring.filled(0), ..SeriesRing::default() });
    }

    fn save(&self, slot: usize, out: &mut Vec<u8>) {
        let (SeriesRing { cell, turn, ring }, outputs) = (self.ring(slot), self.outputs());
        put(out, &[u64::from(ring.len), u64::from(turn)]);
        put(out, &[cell]);
        ring.oldest_first().for_each(|at| put(out, &self.shown[at * self.inputs..][..self.inputs]));
        ring.oldest_first().for_each(|at| put(out, &self.errors[at * outputs..][..outputs]));
        if self.timed {
            ring.oldest_first().for_each(|at| put(out, &[self.cells[at]]));
        }
        if ring.len > 0 {
            put(out, &self.references[self.references_at(slot)..][..self.last_lead() * self.targets]);
        }
    }

    fn load(&mut self, slot: usize, row: &mut Take<'_>) -> Result<(), Damaged> {
        let [len, turn]: [u64; 2] = row.one()?;
        let cell: i64 = row.one()?;
        let (ring, outputs) = (self.ring(slot).ring, self.outputs());
        // A longer window is from networks that looked further back; its newest readings are taken.
        let n = len.min(u64::from(ring.room));
        let gone = usize::try_from(len - n).map_err(|_| Damaged("a window that is too long"))?;
        let (start, n) = (ring.start, n as usize);
        if turn != 0 && turn >= self.last_lead() as u64 {
            return Err(Damaged("a window that goes on at no place"));
        }
        if let Some(series) = self.by_slot.get_mut(slot) {
            *series = SeriesRing { cell, turn: turn as u32, ring: ring.filled(n as u32) };
        }
        row.raw(gone.saturating_mul(self.inputs * size_of::<u16>()))?;
        row.fill(&mut self.shown[start * self.inputs..][..n * self.inputs])?;
        row.raw(gone.saturating_mul(outputs * size_of::<u16>()))?;
        row.fill(&mut self.errors[start * outputs..][..n * outputs])?;
        if self.timed {
            row.raw(gone.saturating_mul(size_of::<i64>()))?;
            row.fill(&mut self.cells[start..][..n])?;
        }
        let (from, each) = (self.references_at(slot), self.last_lead() * self.targets);
        match n {
            0 => row.raw(if len > 0 { each * size_of::<Reference>() } else { 0 }).map(drop),
            _ => row.fill(&mut self.references[from..][..each]),
        }
    }

    fn memory(&self) -> usize {
        // All columns have room for as many readings, those that are empty too.
        self.bytes(self.shown.capacity() / self.inputs, self.by_slot.capacity())
    }
}

/// The window of one series. Ages count back from the newest reading, whose age is 0.
#[derive(Clone, Copy, Debug)]
pub struct WindowView<'a> {
    inputs: usize,
    leads: &'a [usize],
    outputs: usize,
    shown: &'a [u16],
    errors: &'a [u16],
    cells: &'a [i64],
    cell: i64,
    ring: Ring,
}

impl WindowView<'_> {
    pub fn len(&self) -> usize {
        self.ring.len as usize
    }

    pub fn is_empty(&self) -> bool {
        self.ring.len == 0
    }

    /// Writes the inputs of the reading of an age. `to`: `[inputs]`
    pub fn inputs(&self, age: usize, to: &mut [f32]) {
        let from = &self.shown[self.ring.at(age) * self.inputs..][..self.inputs];
        from.reinterpret_cast::<f16>().convert_to_f32_slice(to);
    }

    /// Writes the errors of the base at the origin of an age; NaN where the target is not known. `to`: `[targets,
    /// leads]`
    pub fn errors(&self, age: usize, to: &mut [f32]) {
        let from = &self.errors[self.ring.at(age) * self.outputs..][..self.outputs];
        from.reinterpret_cast::<f16>().convert_to_f32_slice(to);
        // The target of a lead comes so many readings later.
        let come = self.leads.partition_point(|lead| *lead <= age);
        to.chunks_exact_mut(self.leads.len().max(1)).for_each(|errors| errors[come..].fill(f32::NAN));
    }

    pub fn cell(&self, age: usize) -> i64 {
        if self.cells.is_empty() {
            return self.cell - age.min(self.len().saturating_sub(1)) as i64;
        }
        self.cells[self.ring.at(age)]
    }

    pub fn copy(&self) -> WindowCopy {
        let rows = |from: &[u16], width: usize| -> Vec<u16> {
            self.ring.oldest_first().flat_map(|at| from[at * width..][..width].iter().copied()).collect()
        };
        let timed = !self.cells.is_empty();
        WindowCopy {
            inputs: self.inputs,
            leads: self.leads.to_vec(),
            outputs: self.outputs,
            shown: rows(self.shown, self.inputs),
            errors: rows(self.errors, self.outputs),
            cells: if timed {
                self.ring.oldest_first().map(|at| self.cells[at]).collect()
            } else {
                Vec::new()
            },
            cell: self.cell,
            len: self.ring.len,
        }
    }
}

/// A copy of a window for training, independent of its shard.
#[derive(Clone, Debug)]
pub struct WindowCopy {
    inputs: usize,
    leads: Vec<usize>,
    outputs: usize,
    shown: Vec<u16>,
    errors: Vec<u16>,
    cells: Vec<i64>,
    cell: i64,
    len: u32,
}

impl WindowCopy {
    pub fn view(&self) -> WindowView<'_> {
        WindowView {
            inputs: self.inputs,
            leads: &self.leads,
            outputs: self.outputs,
            shown: &self.shown,
            errors: &self.errors,
            cells: &self.cells,
            cell: self.cell,
            ring: Ring { room: self.len, ..Ring::default() }.filled(self.len),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(view: &WindowView<'_>, age: usize) -> Vec<f32> {
        let mut to = [0.0; 4];
        view.errors(age, &mut to);
        to.to_vec()
    }

    /// One of a deviation of 1.
    fn scale() -> Scale {
        let mut scaler = crate::series::Scaler::new(1, |_| true);
        scaler.grow(1);
        scaler.scales(Slot(0))[0]
    }

    #[test]
    fn errors_stand_beside_what_was_shown_when_they_were_made() {
        for timed in [false, true] {
            let capacity = Capacity { series: 0..2, shared: 16, least: 8, most: 8 };
            let mut windows = Windows::new(capacity, 3, 2, &[1, 3], timed);
            windows.grow(3);
            let held = windows.memory();
            assert_eq!(windows.memory_of(3), held);
            windows.grow(2);
            assert_eq!(windows.memory(), held);
            assert!(windows.holds(Slot(1)) && !windows.holds(Slot(2)) && !windows.holds(Slot(9)));
            let scales = [scale(), scale()];
            for t in 0..20i64 {
                windows.miss(Slot(1), 0);
                // The base says 1,000 + t at lead 1 and 1,000 + 2t at lead 3.
                windows.arrive(Slot(1), 1, 1_000.0 + t as f32, &[0.5, 4.0]);
                let t = t as f32;
                let bases = [1.0, 2.0, 1_000.0 + t, 1_000.0 + 2.0 * t];
                let said = SaidBases { bases: &bases, values: &[0.0, 1_000.0], scales: &scales };
                windows.push(Slot(1), t as i64, &[t, -1.0, 0.25], Some(said).filter(|_| t != 15.0));
                windows.push(Slot(2), t as i64, &[0.0; 3], None);
            }
            assert!(windows.view(Slot(2)).is_empty(), "a series beyond those that are kept");
            let copy = windows.view(Slot(1)).copy();
            let mut row = Vec::new();
            windows.save(1, &mut row);
            windows.load(0, &mut Take::new(&row)).unwrap();
            for view in [windows.view(Slot(1)), copy.view(), windows.view(Slot(0))] {
                assert_eq!(view.len(), 8);
                for age in 0..8 {
                    let t = 19 - age as i64;
                    let mut inputs = [0.0; 3];
                    view.inputs(age, &mut inputs);
                    assert_eq!((inputs, view.cell(age)), ([t as f32, -1.0, 0.25], t));
                    let found = errors(&view, age);
                    assert!(found[0].is_nan() && found[1].is_nan(), "the first target never came");
                    let came = |lead: i64| t + lead <= 19 && t != 15;
                    assert_eq!(found[2].is_nan(), !came(1));
                    assert_eq!(found[3].is_nan(), !came(3));
                    assert!(!came(1) || found[2] == 2.0, "{age}: {found:?}");
                    let want = ((3 - t) as f32 / 4.0).clamp(-8.0, 8.0);
                    assert!(!came(3) || (found[3] - want).abs() < 0.01, "{age}: {found:?}");
                }
            }
            // What came back goes on.
            for slot in [Slot(0), Slot(1)] {
                windows.arrive(slot, 1, 1_020.0, &[0.5, 4.0]);
            }
            let [back, own] = [windows.view(Slot(0)), windows.view(Slot(1))].map(|view| view.copy().errors);
            assert_eq!(back, own);
            windows.reset(1);
            assert!(windows.view(Slot(1)).is_empty());

            // Where there is less room the newest come back.
            let less = Capacity { series: 0..1, shared: 5, least: 5, most: 5 };
            let mut shorter = Windows::new(less, 3, 2, &[1, 3], timed);
            shorter.grow(1);
            let mut row = Take::new(&row);
            shorter.load(0, &mut row).unwrap();
            let (short, long) = (shorter.view(Slot(0)), copy.view());
            assert!(row.is_empty() && short.len() == 5);
            for age in 0..5 {
                let [mut a, mut b] = [[0.0; 3]; 2];
                short.inputs(age, &mut a);
                long.inputs(age, &mut b);
                assert_eq!((a, short.cell(age)), (b, long.cell(age)));
                let [a, b] = [short, long].map(|view| errors(&view, age));
                assert!(a.iter().zip(&b).all(|(a, b)| a.to_bits() == b.to_bits()), "{a:?} {b:?}");
            }
        }
    }
}
