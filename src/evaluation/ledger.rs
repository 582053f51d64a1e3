use crate::domain::{Damaged, Rows, Take, put};

/// Forecasts that wait for their target, keyed by the time that they speak of.
///
/// A ring over target steps for each series and target. All that one target matures lies side by
/// side, so that scoring reads one run of memory.
#[derive(Debug)]
pub struct Ledger {
    targets: usize,
    horizon: usize,
    bounds: usize,
    /// `[slots, targets, target step mod horizon, lead, 3 + bounds]`
    entries: Vec<f32>,
    /// The step from which each series was last forecast: what speaks of it or of steps before has
    /// matured, and nobody asks for it again.
    newest: Vec<u64>,
}

/// One forecast of one target at one lead; NaN where there was none.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The emitted point.
    pub point: f32,
    /// The network's own forecast.
    pub network: f32,
    /// The error scale that the bounds were made with.
    pub scale: f32,
    /// The emitted quantiles. `[levels]`
    pub bounds: &'a [f32],
}

const FIXED: usize = 3;

impl Ledger {
    pub fn new(targets: usize, horizon: usize, bounds: usize) -> Self {
        Self { targets, horizon, bounds, entries: Vec::new(), newest: Vec::new() }
    }

    fn per_slot(&self) -> usize {
        self.targets * self.horizon * self.horizon * (FIXED + self.bounds)
    }

    fn at(&self, slot: usize, target: usize, target_step: u64, lead: usize) -> usize {
        let ring = (target_step % self.horizon as u64) as usize;
        (((slot * self.targets + target) * self.horizon + ring) * self.horizon + lead - 1)
            * (FIXED + self.bounds)
    }

    /// Notes what was forecast at step `origin` for `lead` steps later.
    pub fn issue(&mut self, slot: usize, target: usize, origin: u64, lead: usize, entry: Entry<'_>) {
        self.newest[slot] = origin;
        let at = self.at(slot, target, origin + lead as u64, lead);
        let row = &mut self.entries[at..][..FIXED + self.bounds];
        row[0] = entry.point;
        row[1] = entry.network;
        row[2] = entry.scale;
        row[FIXED..].copy_from_slice(entry.bounds);
    }

    /// What was forecast for step `now` at `lead` steps before; its point is NaN when nothing was.
    /// Each step must mature before it issues, since an issue overwrites what matures now.
    pub fn matured(&self, slot: usize, target: usize, now: u64, lead: usize) -> Entry<'_> {
        let row = &self.entries[self.at(slot, target, now, lead)..][..FIXED + self.bounds];
        Entry { point: row[0], network: row[1], scale: row[2], bounds: &row[FIXED..] }
    }

    /// Each target with each number of steps ahead.
    fn waiting(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (targets, horizon) = (self.targets, self.horizon);
        (0..targets).flat_map(move |target| (1..=horizon).map(move |ahead| (target, ahead)))
    }

    /// Forgets all that waits of a series.
    pub fn clear(&mut self, slot: usize) {
        let n = self.per_slot();
        self.entries[slot * n..][..n].fill(f32::NAN);
    }
}

/// A row holds what waits: at each later step, the leads that have been forecast for it by now.
impl Rows for Ledger {
    fn grow(&mut self, slots: usize) {
        self.entries.resize(slots * self.per_slot(), f32::NAN);
        self.newest.resize(slots, 0);
    }

    fn reset(&mut self, slot: usize) {
        self.clear(slot);
    }

    fn save(&self, slot: usize, out: &mut Vec<u8>) {
        let newest = self.newest[slot];
        put(out, &[newest]);
        for (target, ahead) in self.waiting() {
            let from = self.at(slot, target, newest + ahead as u64, ahead);
            put(out, &self.entries[from..][..(self.horizon - ahead + 1) * (FIXED + self.bounds)]);
        }
    }

    fn load(&mut self, slot: usize, row: &mut Take<'_>) -> Result<(), Damaged> {
        self.clear(slot);
        let newest = row.one::<u64>()?;
        self.newest[slot] = newest;
        for (target, ahead) in self.waiting() {
            let from = self.at(slot, target, newest.wrapping_add(ahead as u64), ahead);
            row.fill(&mut self.entries[from..][..(self.horizon - ahead + 1) * (FIXED + self.bounds)])?;
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        self.entries.capacity() * size_of::<f32>() + self.newest.capacity() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forecast_matures_at_its_target_and_nowhere_else() {
        let mut ledger = Ledger::new(1, 3, 1);
        ledger.grow(2);
        for origin in 0..20u64 {
            for lead in 1..=3 {
                let due = ledger.matured(1, 0, origin, lead);
                if origin >= lead as u64 {
                    assert_eq!(due.point, ((origin - lead as u64) * 10 + lead as u64) as f32);
                    assert_eq!(due.bounds, [lead as f32]);
                } else {
                    assert!(due.point.is_nan());
                }
            }
            for lead in 1..=3 {
                let point = (origin * 10 + lead as u64) as f32;
                let bounds = [lead as f32];
                ledger.issue(1, 0, origin, lead, Entry { point, network: 0.0, scale: 1.0, bounds: &bounds });
            }
        }
        assert!(ledger.matured(0, 0, 5, 1).point.is_nan());
        ledger.clear(1);
        assert!(ledger.matured(1, 0, 20, 1).point.is_nan());
    }
}
