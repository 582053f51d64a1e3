//! The hidden states of a shard, one row a series.

use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Storage, Tensor};

use super::error::check_length;
use super::{Blueprint, Device, Error};

/// A tensor `[slots, row_width]` on the device. A row is what its family carries: `[h | c]` (LSTM)
/// or `[h]` of every recurrent layer, the first layer first; past readings; rings with their turn.
/// A row is complete: a copy of it in another arena continues there. Rows are addressed by slot;
/// the caller knows which series owns which slot.
pub struct Arena {
    /// `[capacity, row_width]`
    rows: Tensor,
    /// The first float of `rows`, `[1, 1]`, in the same storage. Operations that work in place get
    /// this tensor and address the storage by slot. The reason is that the library checks the
    /// layout of its operand for overlaps with itself, and that this check allocates unless the
    /// operand has one element.
    in_place: Tensor,
    device: Device,
    slots: usize,
    width: usize,
}

impl Arena {
    /// An arena without slots, on the CPU.
    ///
    /// # Errors
    /// When the memory is refused.
    pub fn new(blueprint: &Blueprint) -> Result<Self, Error> {
        Self::on(&Device::cpu(), blueprint)
    }

    /// An arena without slots, on a device.
    ///
    /// # Errors
    /// When the device refuses the memory.
    pub fn on(device: &Device, blueprint: &Blueprint) -> Result<Self, Error> {
        let width = blueprint.row_width();
        let rows = zeros(1, width, device)?;
        Ok(Self { in_place: in_place(&rows)?, device: device.clone(), rows, slots: 0, width })
    }

    /// Makes room for at least `slots` rows; new ones are zero. Grows by an eighth at least, so that growing
    /// one by one copies each row eight times on average.
    ///
    /// # Errors
    /// When the device refuses the memory.
    pub fn grow(&mut self, slots: usize) -> Result<(), Error> {
        let capacity = self.rows.dim(0)?;
        if slots > capacity {
            let rows = zeros(slots.max(capacity + capacity / 8), self.width, &self.device)?;
            rows.slice_set(&self.rows, 0, 0)?;
            self.in_place = in_place(&rows)?;
            self.rows = rows;
        }
        self.slots = self.slots.max(slots);
        Ok(())
    }

    /// The number of slots.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Floats in a row.
    pub fn row_width(&self) -> usize {
        self.width
    }

    /// Bytes of the slots, and bytes of room for more.
    pub fn memory_bytes(&self) -> [usize; 2] {
        let (slots, all) = (self.slots * self.width, self.rows.elem_count());
        [slots * size_of::<f32>(), (all - slots) * size_of::<f32>()]
    }

    /// Sets a row to the cold state, zero.
    ///
    /// # Errors
    /// [`Error::Slot`].
    pub fn reset(&mut self, slot: u32) -> Result<(), Error> {
        self.write(slot, None)
    }

    /// Copies a row out, bit for bit.
    ///
    /// # Errors
    /// [`Error::Slot`], [`Error::Length`] unless `row` is `row_width` long.
    pub fn export_row(&self, slot: u32, row: &mut [f32]) -> Result<(), Error> {
        let range = self.row(slot)?;
        check_length("a state row", self.width, row.len())?;
        let (storage, layout) = self.rows.storage_and_layout();
        match &*storage {
            Storage::Cpu(CpuStorage::F32(values)) => {
                row.copy_from_slice(&values[layout.start_offset()..][range]);
            }
            _ => {
                drop(storage);
                let values = self.rows.narrow(0, slot as usize, 1)?.flatten_all()?.to_vec1::<f32>()?;
                row.copy_from_slice(&values);
            }
        }
        Ok(())
    }

    /// Copies a row in, bit for bit.
    ///
    /// # Errors
    /// [`Error::Slot`], [`Error::Length`] unless `row` is `row_width` long.
    pub fn import_row(&mut self, slot: u32, row: &[f32]) -> Result<(), Error> {
        check_length("a state row", self.width, row.len())?;
        self.write(slot, Some(row))
    }

    /// Sets a row; zero when there are no values.
    fn write(&mut self, slot: u32, values: Option<&[f32]>) -> Result<(), Error> {
        let range = self.row(slot)?;
        let Some(device) = self.device.library() else {
            return Ok(self.in_place.inplace_op1(&WriteRow { range, values })?);
        };
        let row = match values {
            Some(values) => Tensor::from_slice(values, (1, self.width), device)?,
            None => Tensor::zeros((1, self.width), DType::F32, device)?,
        };
        Ok(self.rows.slice_set(&row, 0, slot as usize)?)
    }

    /// Where the rows lie.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The tensor for the kernels' in-place operations: it shares the storage of all rows.
    pub(super) fn in_place(&mut self) -> &Tensor {
        &self.in_place
    }

    /// All rows, `[capacity, row_width]`, for the library's operations.
    pub(super) fn rows(&mut self) -> &Tensor {
        &self.rows
    }

    fn row(&self, slot: u32) -> Result<std::ops::Range<usize>, Error> {
        let slot = slot as usize;
        if slot >= self.slots {
            return Err(Error::Slot { slot, slots: self.slots });
        }
        Ok(slot * self.width..(slot + 1) * self.width)
    }
}

/// Floats in a cache line.
const LINE: usize = 16;

/// Rows of zeros that begin on a cache line, so that a row of whole cache lines doesn't straddle
/// one more.
fn zeros(slots: usize, width: usize, device: &Device) -> candle_core::Result<Tensor> {
    let all = Tensor::zeros(slots * width + LINE - 1, DType::F32, device.memory())?;
    let skipped = match &*all.storage_and_layout().0 {
        Storage::Cpu(CpuStorage::F32(values)) => values.as_ptr().align_offset(LINE * size_of::<f32>()),
        _ => 0,
    };
    all.narrow(0, skipped.min(LINE - 1), slots * width)?.reshape((slots, width))
}

fn in_place(rows: &Tensor) -> candle_core::Result<Tensor> {
    rows.narrow(0, 0, 1)?.narrow(1, 0, 1)
}

/// Sets floats of a tensor; to zero when there are no values.
struct WriteRow<'a> {
    range: std::ops::Range<usize>,
    values: Option<&'a [f32]>,
}

impl InplaceOp1 for WriteRow<'_> {
    fn name(&self) -> &'static str {
        "write-row"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let row = &mut cpu_floats(storage, layout)?[self.range.clone()];
        match self.values {
            Some(values) => row.copy_from_slice(values),
            None => row.fill(0.0),
        }
        Ok(())
    }
}

/// The floats of an arena's rows on the CPU, from the storage and layout of its in-place operand.
pub(super) fn cpu_floats<'a>(
    storage: &'a mut CpuStorage,
    layout: &Layout,
) -> candle_core::Result<&'a mut [f32]> {
    match storage {
        CpuStorage::F32(values) => Ok(&mut values[layout.start_offset()..]),
        _ => candle_core::bail!("states are f32"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Cell, Norm};
    use super::*;

    #[test]
    fn rows_survive_growth_and_reset_only_themselves() {
        let b = Blueprint::try_new(Cell::Lstm, Norm::None, 1, 3, 2, 1).unwrap();
        let mut arena = Arena::new(&b).unwrap();
        let mut row = vec![0.0; 12];
        assert!(arena.export_row(0, &mut row).is_err());
        for slot in 0..100u32 {
            arena.grow(slot as usize + 1).unwrap();
            let values: Vec<f32> = (0..12).map(|i| (slot * 12 + i) as f32 + 0.1).collect();
            arena.import_row(slot, &values).unwrap();
        }
        arena.reset(40).unwrap();
        for slot in 0..100u32 {
            arena.export_row(slot, &mut row).unwrap();
            let expected = if slot == 40 { 0.0 } else { (slot * 12) as f32 + 0.1 };
            assert_eq!(row[0].to_bits(), expected.to_bits());
        }
        let [slots, spare] = arena.memory_bytes();
        assert!(slots == 100 * 12 * 4 && spare <= slots / 8, "{slots} {spare}");
        let (storage, layout) = arena.rows.storage_and_layout();
        let Storage::Cpu(CpuStorage::F32(values)) = &*storage else { panic!("not on the CPU") };
        assert!(values[layout.start_offset()..].as_ptr().addr().is_multiple_of(64));
        drop(storage);
        assert!(arena.import_row(100, &row).is_err() && arena.import_row(0, &row[1..]).is_err());
    }
}
