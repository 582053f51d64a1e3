mod kernels;
mod layout;
mod young;

use super::pooled_mean::PooledMean;
use super::state_table::{StateRow, StateTable};
use crate::domain::{Damaged, Leads, Rows, Take};
use crate::simd::{Isa, padded};
use bytemuck::{Pod, Zeroable};
use kernels::{Blocks, Combine, Learn, Rates, Weigh};
use layout::Layout;
use young::YoungWeights;

/// The initial largest squared regret: above 0, so that it can divide.
const LEAST: f32 = 1e-12;

/// The weights of a series are pooled for new series after this many mixtures.
const MATURE: u32 = 600;

/// The mixtures of a mixer: those of the two copies, then the final one.
pub const MIXTURES: usize = 3;

/// Convex weights of the experts for each series, target and learnt lead, learnt from matured forecasts:
/// ML-Poly (Gaillard, Stoltz and van Erven 2014, "A second-order bound with excess losses"), with the
/// regrets of the absolute loss.
///
/// ```text
/// ŷ  = Σ_i p_i·f_i                     f_i the forecasts of a lead
/// r_i = sign(ŷ − y)·(ŷ − f_i) / a      a the typical error |ŷ − y|, lately
/// R_i ← β·R_i + r_i     V_i ← β·V_i + r_i²     B = max r²
/// p_i ∝ max(R_i, 0) / (V_i + B)
/// ```
///
/// Two copies run with different discounts β: a quick and a slow one. A third mixer of the same kind
/// weighs the two. While no expert has been better than the mixture, the weights are those pooled over
/// series ([`Self::publish`]).
///
/// A forecast that is NaN sleeps: it has no weight, and its regret does not change. So does a lead of which
/// no forecast matures. A reading costs O(experts · leads).
#[derive(Debug)]
pub struct Mixer {
    leads: Leads,
    experts: usize,
    /// The first mixtures of a series are plain means and not learnt from; this is their number.
    from: u32,
    isa: Isa,
    layout: Layout,
    rates: Rates,
    blocks: Blocks,
    table: StateTable<MixerState>,
    /// The matured forecasts of one reading. `[experts + MIXTURES, width]`
    matured: Vec<f32>,
    /// 1 for each learnt lead, 0 beyond. `[width]`
    within: Vec<f32>,
    /// The weights of each copy. `[2, experts, width]`
    weights: Vec<f32>,
    /// The weights of the two copies. `[2, width]`
    shares: Vec<f32>,
    /// The mean weights of mature series. `[experts, width]`
    pooled: PooledMean,
    /// The weights of the young series, learnt as if they were one.
    young: YoungWeights,
    /// The weights of the first series of a stream. `[experts, width]`
    beginning: Vec<f32>,
    /// The forecasts being mixed. `[experts, stride]`
    said: Vec<f32>,
    /// The mixtures being made. `[MIXTURES, stride]`
    mixed: Vec<f32>,
}

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct MixerState {
    mixtures: u32,
}

impl Mixer {
    /// For `experts` forecasts. The first `from` mixtures of a series are plain means.
    pub fn new(targets: usize, experts: usize, leads: Leads, from: usize) -> Self {
        let layout = Layout { leads: leads.len(), experts };
        let (n, width, stride) = (leads.len(), layout.width(), padded(leads.horizon()));
        let mut floats = vec![0.0; layout.floats()];
        for level in 0..3 {
            floats[layout.largest(level)..][..n].fill(LEAST);
        }
        Self {
            table: StateTable::new(targets, MixerState { mixtures: 0 }, &floats, 0, n),
            matured: vec![f32::NAN; (experts + MIXTURES) * width],
            within: (0..width).map(|at| if at < n { 1.0 } else { 0.0 }).collect(),
            weights: vec![0.0; 2 * experts * width],
            shares: vec![0.0; 2 * width],
            pooled: PooledMean::new(targets, experts * width),
            young: YoungWeights::new(targets, experts, width),
            beginning: vec![1.0 / experts as f32; experts * width],
            said: vec![f32::NAN; experts * stride],
            mixed: vec![0.0; MIXTURES * stride],
            rates: Rates::of(&leads),
            blocks: Blocks::of(&leads),
            isa: Isa::best(),
            from: from as u32,
            experts,
            leads,
            layout,
        }
    }

    /// The leads that are learnt.
    pub fn leads(&self) -> &Leads {
        &self.leads
    }

    /// Sets the weights while no expert has been better than the mixture; the default is the same weight
    /// for all. An expert that has yet to prove itself begins at 0. `weights`: `[experts]`, not negative,
    /// with a sum of 1
    pub fn begin_with(mut self, weights: &[f32]) -> Self {
        assert_eq!(weights.len(), self.experts);
        for (row, weight) in self.beginning.chunks_exact_mut(self.layout.width()).zip(weights) {
            row.fill(*weight);
        }
        self
    }

    /// Updates the weights that young series start from. Call it at moments that do not depend on
    /// batches; then forecasts do not depend on them either.
    pub fn publish(&mut self) {
        self.young.publish(&self.beginning);
        for [slot, target] in self.pooled.take_matured() {
            let (slot, target) = (slot as usize, target as usize);
            // The slot may belong to another series by now.
            if self.table.get(slot, target).is_some_and(|state| state.mixtures >= self.mature()) {
                self.fill_weights(slot, target);
                let joint = self.joint();
                self.pooled.take(target, &joint);
            }
        }
    }

    /// The number of mixtures after which a series is mature.
    fn mature(&self) -> u32 {
        MATURE.max(self.from)
    }

    /// Appends the state that is pooled over series, without loss.
    pub fn save_pooled(&self, out: &mut Vec<u8>) {
        self.pooled.save(out);
        self.young.save(out);
    }

    /// Reads the state that [`Self::save_pooled`] wrote for a mixer of the same shape.
    ///
    /// # Errors
    /// [`Damaged`] for any other bytes.
    pub fn load_pooled(&mut self, from: &mut Take<'_>) -> Result<(), Damaged> {
        self.pooled.load(from)?;
        self.young.load(from)
    }

    /// Takes over what a mixer of other experts has learnt of the same targets and leads. `from`: the
    /// index of each expert there. An expert that is new there has yet to prove itself. The weight of an
    /// expert that is gone falls to the others. `[experts]`
    pub fn inherit(&mut self, other: &mut Self, from: &[Option<usize>]) {
        let (n, rows) = (self.layout.leads, other.layout.rows(from));
        assert!(from.len() == self.experts && n == other.layout.leads);
        let (slots, targets) = (other.table.slots(), other.table.targets());
        self.table.grow(slots);
        for (slot, target) in (0..slots).flat_map(|slot| (0..targets).map(move |target| (slot, target))) {
            let (to, was) = (self.table.row(slot, target), other.table.row(slot, target));
            *to.state = *was.state;
            to.counts.copy_from_slice(was.counts);
            for (to, at) in to.floats.chunks_exact_mut(n).zip(&rows) {
                at.iter().for_each(|at| to.copy_from_slice(&was.floats[at * n..][..n]));
            }
        }
        self.pooled.inherit(other.pooled.clone(), from, &self.beginning);
        self.young.inherit(other.young.clone(), from, &self.beginning);
    }

    /// Loads the state of a series into the cache while another series is worked on.
    pub fn prefetch(&self, slot: usize, target: usize) {
        self.table.prefetch(slot, target, self.layout.floats());
    }

    /// Bytes of one series.
    pub fn bytes_each(&self) -> usize {
        self.table.bytes_each()
    }

    /// Learns from the forecasts of a reading that has arrived. `value`: the reading. `said`: the
    /// forecast of each expert at each learnt lead, NaN where none was made: `[experts, learnt leads]`.
    /// `mixed`: the mixtures that [`Self::mix`] made of them: `[MIXTURES, learnt leads]`
    pub fn learn(&mut self, slot: usize, target: usize, value: f32, said: &[f32], mixed: &[f32]) {
        let (n, width) = (self.leads.len(), self.layout.width());
        assert!(said.len() == self.experts * n && mixed.len() == MIXTURES * n);
        // Where nothing matures the last mixture is NaN, and so is everything else.
        if !value.is_finite() || mixed[(MIXTURES - 1) * n..].iter().all(|mixture| mixture.is_nan()) {
            return;
        }
        let rows = said.chunks_exact(n).chain(mixed.chunks_exact(n));
        for (from, to) in rows.zip(self.matured.chunks_exact_mut(width)) {
            to[..n].copy_from_slice(from);
        }
        let StateRow { floats, counts, .. } = self.table.row(slot, target);
        let Self { layout, rates, matured, .. } = self;
        let learn = Learn { layout: *layout, rates, floats, counts, matured, value };
        self.isa.run_by_eight(learn);
    }

    /// Learns from the forecasts of a young series, for all young series together. Does nothing for
    /// others. `unit`: the deviation of the series. `mixed`: its mixture. `[learnt leads]`
    pub fn learn_young(
        &mut self,
        slot: usize,
        target: usize,
        value: f32,
        unit: f32,
        said: &[f32],
        mixed: &[f32],
    ) {
        if self.table.state(slot, target).mixtures < self.from && value.is_finite() {
            self.young.learn(target, value, unit, said, mixed);
        }
    }

    /// Mixes the forecasts of every lead. Writes the mixtures of the two copies, then the final one; NaN
    /// for the copies of a young series. `forecasts`: `[experts, horizon]`; `mixed`: `[MIXTURES,
    /// horizon]`
    pub fn mix(&mut self, slot: usize, target: usize, forecasts: &[f32], mixed: &mut [f32]) {
        let horizon = self.leads.horizon();
        assert!(forecasts.len() == self.experts * horizon && mixed.len() == MIXTURES * horizon);
        let (from, mature) = (self.from, self.mature());
        let state = self.table.row(slot, target).state;
        let young = state.mixtures < from;
        state.mixtures = state.mixtures.saturating_add(1);
        if state.mixtures == mature {
            self.pooled.note_mature(slot, target);
        }
        self.fill_weights(slot, target);
        let (width, stride) = (self.layout.width(), padded(horizon));
        for (to, from) in self.said.chunks_exact_mut(stride).zip(forecasts.chunks_exact(horizon)) {
            to[..horizon].copy_from_slice(from);
        }
        let Self { blocks, said: forecasts, weights, shares, mixed: made, .. } = self;
        self.isa.run_by_eight(Combine { blocks, forecasts, weights, shares, width, mixed: made });
        for (mixed, made) in mixed.chunks_exact_mut(horizon).zip(self.mixed.chunks_exact(stride)) {
            mixed.copy_from_slice(&made[..horizon]);
        }
        if young {
            mixed[..(MIXTURES - 1) * horizon].fill(f32::NAN);
        }
    }

    /// The weight of each expert at each learnt lead. `out`: `[experts, learnt leads]`
    pub fn weights(&mut self, slot: usize, target: usize, out: &mut [f32]) {
        self.fill_weights(slot, target);
        let (n, joint) = (self.leads.len(), self.joint());
        let all = joint.chunks_exact(self.layout.width());
        out.chunks_exact_mut(n).zip(all).for_each(|(to, from)| to.copy_from_slice(&from[..n]));
    }

    /// The weights in the final mixture, from those of both copies. `[experts, width]`
    fn joint(&self) -> Vec<f32> {
        let width = self.layout.width();
        let (quick, slow) = self.weights.split_at(self.experts * width);
        let mixed = |(at, (quick, slow)): (usize, (&f32, &f32))| {
            self.shares[at % width] * quick + self.shares[width + at % width] * slow
        };
        quick.iter().zip(slow).enumerate().map(mixed).collect()
    }

    /// Computes the weights of a series from its regrets.
    fn fill_weights(&mut self, slot: usize, target: usize) {
        let StateRow { floats, .. } = self.table.row(slot, target);
        let mature = || self.pooled.mean(target);
        let prior = self.young.weights(target).or_else(mature).unwrap_or(&self.beginning);
        let (within, weights, shares) = (&self.within, &mut self.weights, &mut self.shares);
        let work = Weigh { layout: self.layout, floats, prior, within, weights, shares };
        self.isa.run_by_eight(work);
    }
}

super::state_table::rows_of_state_table!(Mixer);
