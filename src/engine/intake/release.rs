//! How readings that were held back are let through, in parts where there are very many.

use super::held::HeldReading;
use super::open_cells::OpenCells;
use super::{Due, Intake, Offered, Release};
use crate::series::HeldKey;

impl Intake {
    /// Lets a reading through that the record at `offset` has brought or released. Returns whether it is to be answered.
    pub(super) fn let_one_through(&mut self, offset: i64) -> bool {
        self.let_through += 1;
        let answered = self.answered.filter(|answered| answered.offset.0 == offset);
        offset >= self.emit_from && answered.is_none_or(|answered| self.let_through > answered.readings)
    }

    /// Goes on with the release that was interrupted. Returns what became of the reading whose record releases, if it was
    /// among those released here.
    pub fn go_on(&mut self) -> Offered {
        match self.release.take() {
            Some(release) => self.release(release),
            None => Offered::Held,
        }
    }

    /// Releases the readings that are due, until too many wait for their rounds. Returns what became of the reading whose
    /// record releases.
    pub(super) fn release(&mut self, release: Release) -> Offered {
        let mut outcome = Offered::Held;
        loop {
            if self.waiting() >= self.waiting_most && self.has_due() {
                self.release = Some(release);
                break;
            }
            let Some(at) = self.next_due() else { break };
            let Some(held) = (match &mut self.open {
                Some(open) => open.close(&mut self.order, at),
                None => self.order.release(at),
            }) else {
                break;
            };
            // The answer depends on the record that releases a reading: what a record below the commit released
            // was answered then, and what was still held is answered now.
            let answer = self.let_one_through(release.offset);
            let HeldReading { series, time, offset, values, key, .. } = &held;
            let due = Due { series, time: *time, offset: *offset, answer, values, key: key.as_deref() };
            let admitted = self.admit(&due, None);
            self.account(admitted, &due);
            if Some(at) == release.mine {
                outcome = admitted;
            }
        }
        outcome
    }

    /// Lets everything through that is held back, as if its time had come. None of it is answered.
    pub fn let_all_through(&mut self) {
        while let Some(at) = self.next_due().or_else(|| self.order.all_held().next().map(|(at, _)| at)) {
            let Some(held) = (match &mut self.open {
                Some(open) => open.close(&mut self.order, at),
                None => self.order.release(at),
            }) else {
                break;
            };
            let HeldReading { series, time, offset, values, key, .. } = &held;
            let due =
                Due { series, time: *time, offset: *offset, answer: false, values, key: key.as_deref() };
            let admitted = self.admit(&due, None);
            self.account(admitted, &due);
        }
    }

    /// Whether a held reading is to be let through.
    fn has_due(&self) -> bool {
        self.order.due().is_some() || self.open.as_ref().is_some_and(OpenCells::has_whole)
    }

    /// The next held reading that is to be let through: a cell that is whole, or the earliest one if its time has come.
    fn next_due(&mut self) -> Option<HeldKey> {
        let whole = self.open.as_mut().and_then(OpenCells::next_whole);
        whole.or_else(|| self.order.due())
    }

    /// Accounts for a reading that was let through and discarded.
    pub(super) fn account(&mut self, outcome: Offered, due: &Due<'_>) {
        if let Offered::Discarded(why) = outcome {
            self.accounts.discard(why, due.answer, due.series, due.time, due.offset);
        }
    }
}
