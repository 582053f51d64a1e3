//! Puts readings in order: each series' cells come once and only forward.

use super::Slot;
use crate::domain::{EventTime, Grid};
use crate::telemetry::Discard;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What becomes of a reading whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It closes `cell`; `gap` cells before it had no reading. `cold` when the gap is too long to be
    /// filled, and at first sight.
    Step {
        cell: i64,
        gap: usize,
        cold: bool,
    },
    Discarded(Discard),
}

/// A reading that waits for earlier ones, with what its caller wants to keep of it.
#[derive(Debug)]
pub struct Held<T> {
    time: EventTime,
    arrival: u64,
    pub what: T,
}

impl<T> PartialEq for Held<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.time, self.arrival) == (other.time, other.arrival)
    }
}
impl<T> Eq for Held<T> {}
impl<T> PartialOrd for Held<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Held<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.time, self.arrival).cmp(&(other.time, other.arrival))
    }
}

/// A partition's order: where each series stands, and the readings that are held back for lateness.
#[derive(Debug)]
pub struct Order<T> {
    grid: Grid,
    lateness_us: i64,
    max_gap: usize,
    last: Vec<Option<i64>>,
    newest: Option<EventTime>,
    held: BinaryHeap<Reverse<Held<T>>>,
    arrivals: u64,
}

impl<T> Order<T> {
    pub fn new(grid: Grid, lateness: std::time::Duration, max_gap: usize) -> Self {
        Self {
            grid,
            lateness_us: i64::try_from(lateness.as_micros()).unwrap_or(i64::MAX),
            max_gap,
            last: Vec::new(),
            newest: None,
            held: BinaryHeap::new(),
            arrivals: 0,
        }
    }

    /// Whether readings are held back at all.
    pub fn holds(&self) -> bool {
        self.lateness_us > 0
    }

    /// Holds a reading back until the watermark (newest event time less lateness) reaches it.
    pub fn hold(&mut self, time: EventTime, what: T) {
        self.newest = self.newest.max(Some(time));
        self.arrivals += 1;
        self.held.push(Reverse(Held { time, arrival: self.arrivals, what }));
    }

    /// The earliest held reading at or before the watermark, in the order of event time, and among
    /// equals of arrival.
    pub fn release(&mut self) -> Option<(EventTime, T)> {
        let watermark = self.newest?.offset_by(-self.lateness_us);
        if self.held.peek()?.0.time > watermark {
            return None;
        }
        self.held.pop().map(|Reverse(held)| (held.time, held.what))
    }

    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Moves a series to the cell of `time`, or says why it can't.
    pub fn admit(&mut self, slot: Slot, time: EventTime) -> Admission {
        if self.last.len() <= slot.index() {
            self.last.resize(slot.index() + 1, None);
        }
        let cell = self.grid.cell(time);
        let Some(last) = self.last[slot.index()] else {
            self.last[slot.index()] = Some(cell);
            return Admission::Step { cell, gap: 0, cold: true };
        };
        if cell == last {
            return Admission::Discarded(Discard::Duplicate);
        }
        if cell < last {
            return Admission::Discarded(Discard::Late);
        }
        self.last[slot.index()] = Some(cell);
        match self.grid {
            Grid::Irregular => Admission::Step { cell, gap: 0, cold: false },
            Grid::Fixed(_) => {
                let gap = usize::try_from(cell - last - 1).unwrap_or(usize::MAX);
                if gap > self.max_gap {
                    Admission::Step { cell, gap: 0, cold: true }
                } else {
                    Admission::Step { cell, gap, cold: false }
                }
            }
        }
    }

    /// Bytes held, about.
    pub fn memory(&self) -> usize {
        self.last.capacity() * size_of::<Option<i64>>() + self.held.capacity() * size_of::<Held<T>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Interval;
    use std::time::Duration;

    fn at(minutes: i64) -> EventTime {
        EventTime::from_micros(minutes * 60_000_000).unwrap()
    }

    fn order(lateness_minutes: u64) -> Order<i64> {
        let hour = Interval::new(Duration::from_secs(3600)).unwrap();
        Order::new(Grid::Fixed(hour), Duration::from_secs(60 * lateness_minutes), 3)
    }

    #[test]
    fn a_series_steps_forward_once_a_cell() {
        let mut order = order(0);
        assert_eq!(order.admit(Slot(0), at(60)), Admission::Step { cell: 1, gap: 0, cold: true });
        assert_eq!(order.admit(Slot(0), at(61)), Admission::Discarded(Discard::Duplicate));
        assert_eq!(order.admit(Slot(0), at(125)), Admission::Step { cell: 2, gap: 0, cold: false });
        assert_eq!(order.admit(Slot(0), at(60)), Admission::Discarded(Discard::Late));
        assert_eq!(order.admit(Slot(0), at(6 * 60)), Admission::Step { cell: 6, gap: 3, cold: false });
        assert_eq!(order.admit(Slot(0), at(11 * 60)), Admission::Step { cell: 11, gap: 0, cold: true });
        assert_eq!(order.admit(Slot(1), at(0)), Admission::Step { cell: 0, gap: 0, cold: true });
    }

    #[test]
    fn held_readings_come_out_in_order_once_the_watermark_passes() {
        let mut order = order(120);
        for minutes in [60, 180, 120] {
            order.hold(at(minutes), minutes);
        }
        assert_eq!(order.release(), Some((at(60), 60)));
        assert_eq!(order.release(), None);
        order.hold(at(300), 300);
        assert_eq!(order.release(), Some((at(120), 120)));
        assert_eq!(order.release(), Some((at(180), 180)));
        assert_eq!(order.release(), None);
        assert_eq!(order.held(), 1);
    }
}
