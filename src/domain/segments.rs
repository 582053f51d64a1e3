/// Rows of a segment; a power of two.
const ROWS: usize = 256;

/// A table of equal rows that grows in segments. What is there never moves: a table of gigabytes grows without a
/// copy and without a pause, and has no more room than one segment beyond its rows.
#[derive(Clone, Debug)]
pub struct Segments<T> {
    /// The values of a row.
    each: usize,
    rows: usize,
    segments: Vec<Vec<T>>,
}

impl<T: Copy> Segments<T> {
    /// Without rows. `each`: the values of a row.
    pub fn new(each: usize) -> Self {
        Self { each, rows: 0, segments: Vec::new() }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The values of a row.
    pub fn each(&self) -> usize {
        self.each
    }

    /// # Panics
    /// When there is no such row.
    #[inline]
    pub fn row(&self, at: usize) -> &[T] {
        &self.segments[at / ROWS][at % ROWS * self.each..][..self.each]
    }

    /// # Panics
    /// When there is no such row.
    #[inline]
    pub fn row_mut(&mut self, at: usize) -> &mut [T] {
        &mut self.segments[at / ROWS][at % ROWS * self.each..][..self.each]
    }

    /// Makes it so many rows long, if it is shorter. New rows are copies of `blank`. `blank`: `[each]`
    pub fn grow(&mut self, rows: usize, blank: &[T]) {
        assert_eq!(blank.len(), self.each);
        while self.rows < rows {
            if self.rows.is_multiple_of(ROWS) {
                self.segments.push(Vec::new());
            }
            let (at, from) = (self.rows / ROWS, self.rows % ROWS);
            let to = (rows - at * ROWS).min(ROWS);
            let segment = &mut self.segments[at];
            if to * self.each > segment.capacity() {
                // An eighth more than before, so that rows that come one by one are seldom moved.
                let room = to.max(from + from / 8).min(ROWS);
                segment.reserve_exact(room * self.each - segment.len());
            }
            (from..to).for_each(|_| segment.extend_from_slice(blank));
            self.rows = at * ROWS + to;
        }
    }

    /// The bytes that it holds.
    pub fn memory(&self) -> usize {
        let values: usize = self.segments.iter().map(Vec::capacity).sum();
        values * size_of::<T>() + self.segments.capacity() * size_of::<Vec<T>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stay_as_they_were_while_it_grows() {
        let mut table = Segments::new(3);
        let mut filled = 0;
        for rows in [0, 1, 2, 200, 255, 256, 257, 900, 5, 1_024] {
            table.grow(rows, &[7, 8, 9]);
            for at in filled..table.rows() {
                assert_eq!(table.row(at), [7, 8, 9]);
                table.row_mut(at)[1] = at;
            }
            filled = table.rows();
            assert!((0..filled).all(|at| table.row(at) == [7, at, 9]));
            let values = table.memory() / size_of::<usize>();
            let room = (filled + filled % ROWS / 8).max(filled.next_multiple_of(ROWS));
            assert!(values <= 3 * room + 3 * 8, "{rows}: {values}");
        }
        assert_eq!(filled, 1_024);
    }
}
