use super::shard::Waiting;
use crate::config::Stream;
use crate::domain::{Aggregate, EventTime, Grid, Partial, Reading};
use crate::series::{HeldKey, ReorderBuffer};
use rustc_hash::FxHashMap;

/// The cells that are still open, where readings of one series and cell become one.
///
/// A cell stays open until the watermark has passed its end. One whose first reading comes later than that,
/// for its series lags behind the others of the partition, stays open for as long as a cell from then on,
/// but no longer than a later one of its series. Which cell closes upon which record depends on the records
/// alone.
#[derive(Debug)]
pub(super) struct Cells {
    how: Aggregate,
    grid: Grid,
    /// Values of a reading.
    row: usize,
    /// Where each lies in the order's hold, by series.
    open: FxHashMap<Box<str>, Vec<(i64, HeldKey)>>,
}

impl Cells {
    /// `None` where nothing is gathered.
    pub fn new(stream: &Stream) -> Option<Self> {
        let how = stream.aggregate?;
        Some(Self { how, grid: stream.grid, row: stream.row(), open: FxHashMap::default() })
    }

    /// Takes a reading into its cell, which may be opened by it; says whether it was open already.
    pub fn take(
        &mut self,
        stream: &Stream,
        order: &mut ReorderBuffer<Waiting>,
        reading: &Reading<'_>,
        offset: i64,
        key: Option<&[u8]>,
    ) -> bool {
        let (cell, values) = (self.grid.cell(reading.time), reading.values.as_slice());
        let is_open = self.find(reading.series, cell);
        let at = is_open.unwrap_or_else(|| {
            let partial = vec![self.how.empty(); values.len()].into();
            let time = self.grid.start_of(cell);
            let waiting = Waiting {
                series: reading.series.into(),
                time,
                offset,
                values: [].into(),
                partial,
                key: None,
            };
            let step_us = self.grid.interval().map_or(0, |interval| interval.as_micros());
            let end = time.offset_by(step_us);
            let lagging = order.watermark().filter(|watermark| *watermark >= end);
            let at = order.hold(lagging.map_or(end, |watermark| watermark.offset_by(step_us)), waiting);
            self.open.entry(reading.series.into()).or_default().push((cell, at));
            at
        });
        let waiting = order.held_mut(at).expect("an open cell is held");
        waiting.offset = offset;
        if waiting.key.as_deref() != key {
            waiting.key = key.map(Into::into);
        }
        for (column, to) in waiting.partial.iter_mut().enumerate() {
            let is_target = column < stream.targets.len();
            let value = if is_target { stream.target_of(values, column) } else { values[column] };
            self.how.add(to, reading.time, value);
        }
        is_open.is_some()
    }

    /// Whether a series' cell is open.
    pub fn is_open(&self, series: &str, time: EventTime) -> bool {
        self.find(series, self.grid.cell(time)).is_some()
    }

    fn find(&self, series: &str, cell: i64) -> Option<HeldKey> {
        let open = self.open.get(series)?;
        open.iter().find(|(of, _)| *of == cell).map(|(_, at)| *at)
    }

    /// Closes a cell that is due or, before it, the earliest that its series has open: its values are made
    /// of all that came.
    pub fn close(&mut self, order: &mut ReorderBuffer<Waiting>, due: HeldKey) -> Option<Waiting> {
        let series = &order.held_mut(due)?.series;
        let mut at = due;
        if let Some(open) = self.open.get_mut(series) {
            let (first, (_, earliest)) =
                open.iter().copied().enumerate().min_by_key(|(_, (cell, _))| *cell)?;
            at = earliest;
            open.swap_remove(first);
            if open.is_empty() {
                self.open.remove(series);
            }
        }
        let mut closed = order.release(at)?;
        closed.values = closed.partial.iter().map(|partial| self.how.value(*partial)).collect();
        Some(closed)
    }

    /// Opens again what comes back.
    pub fn restore(&mut self, order: &ReorderBuffer<Waiting>) {
        for (at, waiting) in order.all_held() {
            let cell = self.grid.cell(waiting.time);
            self.open.entry(waiting.series.clone()).or_default().push((cell, at));
        }
    }

    /// Bytes held, about; what each open cell gathers included.
    pub fn memory(&self) -> usize {
        let of = |name: &str, open: &Vec<(i64, HeldKey)>| {
            let gathered = open.len() * (self.row * size_of::<Partial>() + name.len());
            name.len() + open.capacity() * size_of::<(i64, HeldKey)>() + gathered
        };
        let cells: usize = self.open.iter().map(|(name, open)| of(name, open)).sum();
        cells + self.open.capacity() * (size_of::<Box<str>>() + size_of::<Vec<(i64, HeldKey)>>())
    }
}
