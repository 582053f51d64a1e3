use crate::domain::{Damaged, Take, put};

/// A series that has just become mature counts at least this much among those before it.
const SERIES_MAX: u32 = 64;
/// Room for so many is there from the start.
const RIPE: usize = 256;

/// The mean of what mature series have learnt, for those that begin.
///
/// Who has become mature is noted as it happens, and taken in at moments that the owner chooses, in the
/// order of slots: so what the young start with depends on readings alone, not on their batches.
#[derive(Clone, Debug)]
pub(super) struct Pooled {
    /// `[targets]`
    means: Vec<Mean>,
    /// Slots and targets that have become mature and were not taken in yet.
    ripe: Vec<[u32; 2]>,
}

#[derive(Clone, Debug)]
struct Mean {
    series: u32,
    floats: Vec<f32>,
}

impl Pooled {
    pub fn new(targets: usize, floats: usize) -> Self {
        let mean = Mean { series: 0, floats: vec![0.0; floats] };
        Self { means: vec![mean; targets], ripe: Vec::with_capacity(RIPE) }
    }

    /// Notes that a series has become mature.
    pub fn ripen(&mut self, slot: usize, target: usize) {
        self.ripe.push([slot as u32, target as u32]);
    }

    /// The slots and targets that have become mature since the last call, in order.
    pub fn take_ripe(&mut self) -> Vec<[u32; 2]> {
        let mut ripe = std::mem::take(&mut self.ripe);
        ripe.sort_unstable();
        ripe.dedup();
        ripe
    }

    /// Takes a mature series in; one that is not finite is passed over.
    pub fn take(&mut self, target: usize, learnt: &[f32]) {
        if !learnt.iter().all(|v| v.is_finite()) {
            return;
        }
        let mean = &mut self.means[target];
        mean.series = mean.series.saturating_add(1);
        let share = 1.0 / mean.series.min(SERIES_MAX) as f32;
        mean.floats.iter_mut().zip(learnt).for_each(|(mean, v)| *mean += share * (v - *mean));
    }

    /// What the young start with, once there is anything. `[floats]`
    pub fn mean(&self, target: usize) -> Option<&[f32]> {
        let mean = &self.means[target];
        (mean.series > 0).then_some(&mean.floats)
    }

    pub fn save(&self, out: &mut Vec<u8>) {
        put(out, &[self.ripe.len() as u32]);
        put(out, &self.ripe);
        for mean in &self.means {
            put(out, &[mean.series]);
            put(out, &mean.floats);
        }
    }

    pub fn load(&mut self, from: &mut Take<'_>) -> Result<(), Damaged> {
        let ripe: u32 = from.one()?;
        self.ripe.clear();
        for _ in 0..ripe {
            let [slot, target]: [u32; 2] = from.one()?;
            if target as usize >= self.means.len() {
                return Err(Damaged("a mature series of a target that is none"));
            }
            self.ripe.push([slot, target]);
        }
        for mean in &mut self.means {
            mean.series = from.one()?;
            from.fill(&mut mean.floats)?;
        }
        Ok(())
    }
}
