use super::shard::Waiting;
use crate::domain::{Aggregate, EventTime, Grid, Reading};
use crate::series::{HeldAt, Order};
use rustc_hash::FxHashMap;

/// The cells that are still open, where readings of one series and cell become one.
///
/// A cell stays open until the watermark has passed its end. One whose first reading comes later than that,
/// for its series lags behind the others of the partition, stays open for as long as a cell from then on.
/// Which cell closes upon which record depends on the records alone.
#[derive(Debug)]
pub(super) struct Cells {
    how: Aggregate,
    grid: Grid,
    /// Where each lies in the order's hold, by series; of each the oldest first.
    open: FxHashMap<Box<str>, Vec<(i64, HeldAt)>>,
}

impl Cells {
    pub fn new(how: Aggregate, grid: Grid) -> Self {
        Self { how, grid, open: FxHashMap::default() }
    }

    /// Takes a reading into its cell, which may be opened by it; says whether it was open already.
    pub fn take(
        &mut self,
        order: &mut Order<Waiting>,
        reading: &Reading<'_>,
        offset: i64,
        key: Option<&[u8]>,
    ) -> bool {
        let cell = self.grid.cell(reading.time);
        let is_open = self.find(reading.series, cell);
        let at = is_open.unwrap_or_else(|| {
            let partial = vec![self.how.empty(); reading.values.as_slice().len()].into();
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
        order.note(reading.time);
        let waiting = order.held_mut(at).expect("an open cell is held");
        waiting.offset = offset;
        waiting.key = key.map(Into::into);
        for (to, value) in waiting.partial.iter_mut().zip(reading.values.as_slice()) {
            self.how.add(to, reading.time, *value);
        }
        is_open.is_some()
    }

    /// Whether a series' cell is open.
    pub fn is_open(&self, series: &str, time: EventTime) -> bool {
        self.find(series, self.grid.cell(time)).is_some()
    }

    fn find(&self, series: &str, cell: i64) -> Option<HeldAt> {
        let open = self.open.get(series)?;
        open.iter().find(|(of, _)| *of == cell).map(|(_, at)| *at)
    }

    /// A cell closes: its values are made of all that came.
    pub fn close(&mut self, waiting: &mut Waiting) {
        let cell = self.grid.cell(waiting.time);
        if let Some(open) = self.open.get_mut(&waiting.series) {
            open.retain(|(of, _)| *of != cell);
            if open.is_empty() {
                self.open.remove(&waiting.series);
            }
        }
        waiting.values = waiting.partial.iter().map(|partial| self.how.value(*partial)).collect();
    }

    /// Opens again what comes back.
    pub fn restore(&mut self, order: &Order<Waiting>) {
        for (at, waiting) in order.all_held() {
            let cell = self.grid.cell(waiting.time);
            self.open.entry(waiting.series.clone()).or_default().push((cell, at));
        }
    }

    /// Bytes held, about.
    pub fn memory(&self) -> usize {
        let cells: usize = self.open.values().map(|open| open.capacity() * size_of::<(i64, HeldAt)>()).sum();
        cells + self.open.capacity() * (size_of::<Box<str>>() + size_of::<Vec<(i64, HeldAt)>>())
    }
}
