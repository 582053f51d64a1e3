use crate::domain::{Damaged, Take, put};

/// A series that becomes mature counts at least as one in this many.
const SERIES_MAX: u32 = 64;
/// The initial capacity of the list of mature series.
const MATURE_CAPACITY: usize = 256;

/// The mean of what the mature series have learnt, for new series.
///
/// Series that become mature are noted at once and averaged when the owner asks for it, in the order of
/// slots. So the mean depends on readings only, not on their batches.
#[derive(Clone, Debug)]
pub(super) struct PooledMean {
    /// `[targets]`
    means: Vec<Mean>,
    /// Slots and targets that have become mature and are not averaged yet.
    matured_since: Vec<[u32; 2]>,
}

/// The weights of experts that are in part those of another mixer. `from`: the index of each expert
/// there. At each lead the kept weights are scaled to a sum of 1; where nothing is kept, `beginning`
/// holds. `[experts, width]` each
pub(super) fn inherited_weights(weights: &[f32], from: &[Option<usize>], beginning: &[f32]) -> Vec<f32> {
    let width = beginning.len() / from.len();
    let mut all = vec![0.0; beginning.len()];
    for (to, at) in all.chunks_exact_mut(width).zip(from) {
        at.iter().for_each(|at| to.copy_from_slice(&weights[at * width..][..width]));
    }
    for lead in 0..width {
        let of_lead = (lead..all.len()).step_by(width);
        let whole: f32 = of_lead.clone().map(|i| all[i]).sum();
        of_lead.for_each(|i| all[i] = if whole > 0.0 { all[i] / whole } else { beginning[i] });
    }
    all
}

#[derive(Clone, Debug)]
struct Mean {
    series: u32,
    floats: Vec<f32>,
}

impl PooledMean {
    pub fn new(targets: usize, floats: usize) -> Self {
        let mean = Mean { series: 0, floats: vec![0.0; floats] };
        Self { means: vec![mean; targets], matured_since: Vec::with_capacity(MATURE_CAPACITY) }
    }

    /// Notes that a series has become mature.
    pub fn note_mature(&mut self, slot: usize, target: usize) {
        self.matured_since.push([slot as u32, target as u32]);
    }

    /// The slots and targets that have become mature since the last call, in order.
    pub fn take_matured(&mut self) -> Vec<[u32; 2]> {
        let mut matured_since = std::mem::take(&mut self.matured_since);
        matured_since.sort_unstable();
        matured_since.dedup();
        matured_since
    }

    /// Averages a mature series in. A series that is not finite is skipped.
    pub fn take(&mut self, target: usize, learnt: &[f32]) {
        if !learnt.iter().all(|v| v.is_finite()) {
            return;
        }
        let mean = &mut self.means[target];
        mean.series = mean.series.saturating_add(1);
        let share = 1.0 / mean.series.min(SERIES_MAX) as f32;
        mean.floats.iter_mut().zip(learnt).for_each(|(mean, v)| *mean += share * (v - *mean));
    }

    /// The mean, once there is a mature series. `[floats]`
    pub fn mean(&self, target: usize) -> Option<&[f32]> {
        let mean = &self.means[target];
        (mean.series > 0).then_some(&mean.floats)
    }

    /// Takes over the pooled weights of other experts. `from`: the index of each expert there;
    /// `beginning`: the weights where nothing is known.
    pub fn inherit(&mut self, other: Self, from: &[Option<usize>], beginning: &[f32]) {
        self.matured_since = other.matured_since;
        for (mean, was) in self.means.iter_mut().zip(other.means) {
            mean.series = was.series;
            mean.floats = inherited_weights(&was.floats, from, beginning);
        }
    }

    pub fn save(&self, out: &mut Vec<u8>) {
        put(out, &[self.matured_since.len() as u32]);
        put(out, &self.matured_since);
        for mean in &self.means {
            put(out, &[mean.series]);
            put(out, &mean.floats);
        }
    }

    pub fn load(&mut self, from: &mut Take<'_>) -> Result<(), Damaged> {
        let matured_since: u32 = from.one()?;
        self.matured_since.clear();
        for _ in 0..matured_since {
            let [slot, target]: [u32; 2] = from.one()?;
            if target as usize >= self.means.len() {
                return Err(Damaged("a mature series of an unknown target"));
            }
            self.matured_since.push([slot, target]);
        }
        for mean in &mut self.means {
            mean.series = from.one()?;
            from.fill(&mut mean.floats)?;
        }
        Ok(())
    }
}
