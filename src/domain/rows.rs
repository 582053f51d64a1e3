//! Tables with one row a series, and rows as bytes: what a snapshot is made of.

use bytemuck::Pod;

#[cfg(target_endian = "big")]
compile_error!("rows are written as they lie in memory, which has to be little-endian");

/// A table with one row per series. All state per series is in such tables, so a shard can grow all of them
/// together, copy one series out before it changes, and be restored from the copies.
pub trait Rows {
    /// Grows to `slots` rows; new rows are as after [`Self::reset`].
    fn grow(&mut self, slots: usize);

    /// Resets a row to the state of a series that was never seen.
    fn reset(&mut self, slot: usize);

    /// Appends a row to `out`, lossless.
    fn save(&self, slot: usize, out: &mut Vec<u8>);

    /// Restores a row that [`Self::save`] of a table of the same shape has written.
    ///
    /// # Errors
    /// [`Damaged`] for anything else; the row is then undefined but safe to use.
    fn load(&mut self, slot: usize, row: &mut Take<'_>) -> Result<(), Damaged>;

    /// Bytes held, room for growth included.
    fn memory(&self) -> usize;
}

/// Lengthens a column of a table to `len` values, with room for no more: how much is kept for series to come is
/// decided once, for all tables of a shard. A column never becomes shorter.
pub fn lengthen<T: Clone>(column: &mut Vec<T>, len: usize, blank: T) {
    let more = len.saturating_sub(column.len());
    column.reserve_exact(more);
    column.extend(std::iter::repeat_n(blank, more));
}

/// As [`lengthen`], by copies of whole rows. `blank`: `[row]`
pub fn lengthen_by_rows<T: Clone>(column: &mut Vec<T>, rows: usize, blank: &[T]) {
    let len = rows * blank.len();
    column.reserve_exact(len.saturating_sub(column.len()));
    while column.len() < len {
        column.extend_from_slice(blank);
    }
}

/// Bytes with unexpected content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("damaged: {0}")]
pub struct Damaged(pub &'static str);

/// Appends the bytes of values as they are in memory.
pub fn put<T: Pod>(out: &mut Vec<u8>, values: &[T]) {
    out.extend_from_slice(bytemuck::cast_slice(values));
}

/// Appends a length and that many bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, &[bytes.len() as u32]);
    out.extend_from_slice(bytes);
}

/// Reads the output of [`put`] and [`put_bytes`], and never beyond its end.
#[derive(Clone, Copy, Debug)]
pub struct Take<'a>(&'a [u8]);

impl<'a> Take<'a> {
    /// Reads from the first of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// [`Damaged`] if there are fewer.
    pub fn raw(&mut self, n: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(Damaged("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// Fills `values`.
    ///
    /// # Errors
    /// As [`Self::raw`].
    pub fn fill<T: Pod>(&mut self, values: &mut [T]) -> Result<(), Damaged> {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(values);
        bytes.copy_from_slice(self.raw(bytes.len())?);
        Ok(())
    }

    /// One value.
    ///
    /// # Errors
    /// As [`Self::raw`].
    pub fn one<T: Pod>(&mut self) -> Result<T, Damaged> {
        Ok(bytemuck::pod_read_unaligned(self.raw(size_of::<T>())?))
    }

    /// The bytes of one [`put_bytes`].
    ///
    /// # Errors
    /// As [`Self::raw`].
    pub fn bytes(&mut self) -> Result<&'a [u8], Damaged> {
        let n: u32 = self.one()?;
        self.raw(n as usize)
    }

    /// The text of one [`put_bytes`].
    ///
    /// # Errors
    /// As [`Self::raw`], and where it is not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, Damaged> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Damaged("a name is not text"))
    }

    /// The number of bytes left.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether all bytes have been read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_has_no_more_room_than_it_was_given() {
        let mut column = vec![1.0f32; 10];
        for len in [11, 12, 13, 40, 45] {
            lengthen(&mut column, len, 2.0);
            assert_eq!((column.len(), column.capacity()), (len, len));
        }
        lengthen(&mut column, 5, 3.0);
        assert_eq!((column.len(), column[9], column[10], column[44]), (45, 1.0, 2.0, 2.0));
        let mut rows = Vec::new();
        for n in [1, 2, 3, 10] {
            lengthen_by_rows(&mut rows, n, &[7u16, 8]);
            assert_eq!((rows.len(), rows.capacity()), (2 * n, 2 * n));
        }
        assert!(rows.chunks_exact(2).all(|row| row == [7, 8]));
        lengthen_by_rows(&mut rows, 4, &[]);
        assert_eq!(rows.len(), 20);
    }

    #[test]
    fn what_was_put_comes_back_and_nothing_beyond() {
        let mut out = Vec::new();
        put_bytes(&mut out, b"meter");
        put(&mut out, &[1.5f32, f32::NAN]);
        put(&mut out, &[-7i64]);
        let mut take = Take::new(&out);
        let mut floats = [0.0f32; 2];
        assert_eq!(take.bytes(), Ok(b"meter".as_slice()));
        take.fill(&mut floats).unwrap();
        assert!(floats[0] == 1.5 && floats[1].is_nan());
        assert_eq!(take.one::<i64>(), Ok(-7));
        assert!(take.is_empty() && take.one::<u8>().is_err());
        assert!(Take::new(&[255, 255, 255, 255, 0]).bytes().is_err(), "a length beyond the end");
    }
}
