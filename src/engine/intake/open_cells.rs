use super::held::HeldReading;
use crate::config::Stream;
use crate::domain::{Aggregate, EventTime, Grid, Partial, Reading};
use crate::series::{HeldKey, ReorderBuffer};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// The cells that are still open. All readings of one series and cell become one reading here.
///
/// A cell stays open until the watermark passes its end. Where a series lags behind the others of its
/// partition, the first reading of a cell may come after that; the cell then stays open for one more length
/// of a cell, and closes no later than a later cell of its series. Which record closes which cell depends on
/// the records alone.
///
/// With `join` a cell closes as soon as each value has come, and all earlier cells of its series are closed.
#[derive(Debug)]
pub(super) struct OpenCells {
    how: Aggregate,
    /// How the values of each column become one. `[values of a reading]`
    columns: Vec<Aggregate>,
    grid: Grid,
    /// The number of values of a reading: its own, and with those that are known ahead.
    width: usize,
    row: usize,
    /// By series: each open cell, and where the order holds it.
    open: FxHashMap<Box<str>, Vec<(i64, HeldKey)>>,
    /// The earliest cells of series that may close because each value has come.
    whole: VecDeque<HeldKey>,
}

impl OpenCells {
    /// `None` for a stream without `aggregate`.
    pub fn new(stream: &Stream) -> Option<Self> {
        let how = stream.aggregate?;
        Some(Self {
            how,
            columns: (0..stream.values_per_reading())
                .map(|column| stream.aggregate_of(how, column))
                .collect(),
            grid: stream.grid,
            width: stream.width(),
            row: stream.values_per_reading(),
            open: FxHashMap::default(),
            whole: VecDeque::new(),
        })
    }

    /// Adds a reading to its cell, and opens the cell if necessary. Returns whether it was open already.
    pub fn take(
        &mut self,
        stream: &Stream,
        order: &mut ReorderBuffer<HeldReading>,
        reading: &Reading<'_>,
        offset: i64,
        key: Option<&[u8]>,
    ) -> bool {
        let (cell, values) = (self.grid.cell(reading.time), reading.values.as_slice());
        let is_open = self.find(reading.series, cell);
        let at = is_open.unwrap_or_else(|| {
            let partial = self.columns.iter().map(|how| how.empty()).collect();
            let time = self.grid.start_of(cell);
            let held = HeldReading {
                series: reading.series.into(),
                time,
                offset,
                values: [].into(),
                partial,
                key: None,
            };
            let step_us = self.grid.interval().map_or(0, crate::domain::Interval::as_micros);
            let end = time.offset_by(step_us);
            let lagging = order.watermark().filter(|watermark| *watermark >= end);
            let at = order.hold(lagging.map_or(end, |watermark| watermark.offset_by(step_us)), held);
            self.open.entry(reading.series.into()).or_default().push((cell, at));
            at
        });
        let held = order.held_mut(at).expect("an open cell is held");
        held.offset = offset;
        if held.key.as_deref() != key {
            held.key = key.map(Into::into);
        }
        for (column, to) in held.partial.iter_mut().enumerate() {
            let is_target = column < stream.targets.len();
            let value = if is_target { stream.target_of(values, column) } else { values[column] };
            self.columns[column].add(to, reading.time, value);
        }
        self.look_for_whole(order, reading.series);
        is_open.is_some()
    }

    /// Notes the earliest open cell of a series if it may close because each value has come.
    fn look_for_whole(&mut self, order: &mut ReorderBuffer<HeldReading>, series: &str) {
        if self.how != Aggregate::Join {
            return;
        }
        let earliest = self.open.get(series).and_then(|open| open.iter().min_by_key(|(cell, _)| *cell));
        let Some((_, at)) = earliest else { return };
        let gathered = order.held_mut(*at).map(|held| &held.partial[..self.width]);
        if gathered
            .is_some_and(|values| values.iter().all(|partial| Aggregate::Join.value(*partial).is_finite()))
        {
            self.whole.push_back(*at);
        }
    }

    /// Whether a cell may close because each value has come.
    pub fn has_whole(&self) -> bool {
        !self.whole.is_empty()
    }

    /// A cell that closes because each value has come.
    pub fn next_whole(&mut self) -> Option<HeldKey> {
        self.whole.pop_front()
    }

    /// Whether a series' cell is open.
    pub fn is_open(&self, series: &str, time: EventTime) -> bool {
        self.find(series, self.grid.cell(time)).is_some()
    }

    fn find(&self, series: &str, cell: i64) -> Option<HeldKey> {
        let open = self.open.get(series)?;
        open.iter().find(|(of, _)| *of == cell).map(|(_, at)| *at)
    }

    /// Closes the earliest open cell of the series whose cell `due` is, and computes its values from all that
    /// went into it.
    pub fn close(&mut self, order: &mut ReorderBuffer<HeldReading>, due: HeldKey) -> Option<HeldReading> {
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
        self.look_for_whole(order, &closed.series);
        closed.values =
            closed.partial.iter().zip(&self.columns).map(|(partial, how)| how.value(*partial)).collect();
        Some(closed)
    }

    /// Opens the cells that a snapshot brought back.
    pub fn restore(&mut self, order: &ReorderBuffer<HeldReading>) {
        for (at, held) in order.all_held() {
            let cell = self.grid.cell(held.time);
            self.open.entry(held.series.clone()).or_default().push((cell, at));
        }
    }

    /// Bytes held, approximately, with what each open cell has gathered.
    pub fn memory(&self) -> usize {
        let of = |name: &str, open: &Vec<(i64, HeldKey)>| {
            let gathered = open.len() * (self.row * size_of::<Partial>() + name.len());
            name.len() + open.capacity() * size_of::<(i64, HeldKey)>() + gathered
        };
        let cells: usize = self.open.iter().map(|(name, open)| of(name, open)).sum();
        cells + self.open.capacity() * (size_of::<Box<str>>() + size_of::<Vec<(i64, HeldKey)>>())
    }
}
