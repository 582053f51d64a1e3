mod kernels;
mod layout;
mod young;

use super::pooled_mean::PooledMean;
use super::state_table::{StateRow, StateTable};
use crate::domain::{Damaged, Leads, Rows, Take};
use crate::simd::{Isa, padded};
use bytemuck::{Pod, Zeroable};
use kernels::{Combine, Learn, Weigh};
use layout::Layout;
use young::YoungWeights;

/// A largest squared regret to begin with: never 0, so that it can divide.
const LEAST: f32 = 1e-12;

/// A series hands its weights to the young at this mixture.
const MATURE: u32 = 600;

/// What a mixer makes of its experts' forecasts.
pub const MIXTURES: usize = 3;

/// Convex weights per series, target and learnt lead, from matured forecasts: ML-Poly (Gaillard,
/// Stoltz and van Erven 2014) with the regrets of the absolute loss, at two discounts, mixed by a
/// third (RECIPE.md, Mixer).
///
/// A forecast that is not a number sleeps: it has no weight, and its regret rests.
#[derive(Debug)]
pub struct Mixer {
    leads: Leads,
    experts: usize,
    /// Mixtures before this one are the mean, and not learnt from.
    from: u32,
    isa: Isa,
    layout: Layout,
    table: StateTable<MixerState>,
    /// `[experts + MIXTURES, width]`
    matured: Vec<f32>,
    /// Of each copy, then of all: `[3, experts, width]`
    weights: Vec<f32>,
    /// `[2, width]`
    shares: Vec<f32>,
    /// What mature series weigh their experts by, and what young ones begin with.
    /// `[experts, width]` each.
    pooled: PooledMean,
    /// What young ones begin with before there are mature ones.
    young: YoungWeights,
    /// What the first ones begin with. `[experts, width]`
    beginning: Vec<f32>,
    /// The weights at every lead, where not every one is learnt. `[3, experts, stride]`
    spread: Vec<f32>,
    /// `[experts, stride]`
    said: Vec<f32>,
    /// `[stride]`
    mixed: Vec<f32>,
}

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct MixerState {
    mixtures: u32,
}

impl Mixer {
    /// For `experts` forecasts; the first `from` mixtures of a series are their mean.
    pub fn new(targets: usize, experts: usize, leads: Leads, from: usize) -> Self {
        let layout = Layout { width: padded(leads.len()), experts };
        let width = layout.width;
        let mut floats = vec![0.0; layout.floats()];
        for level in 0..3 {
            floats[layout.largest(level)..][..width].fill(LEAST);
        }
        Self {
            table: StateTable::new(targets, MixerState { mixtures: 0 }, &floats, 0, width),
            matured: vec![f32::NAN; (experts + MIXTURES) * width],
            weights: vec![0.0; 3 * experts * width],
            shares: vec![0.0; 2 * width],
            pooled: PooledMean::new(targets, experts * width),
            young: YoungWeights::new(targets, experts, width),
            beginning: vec![1.0 / experts as f32; experts * width],
            spread: vec![0.0; 3 * experts * padded(leads.horizon())],
            said: vec![f32::NAN; experts * padded(leads.horizon())],
            mixed: vec![0.0; padded(leads.horizon())],
            isa: Isa::best(),
            from: from as u32,
            experts,
            leads,
            layout,
        }
    }

    pub fn leads(&self) -> &Leads {
        &self.leads
    }

    /// What the experts weigh while none has been better than the mixture, instead of the same for all:
    /// one that has yet to prove itself begins at 0. `weights`: `[experts]`, not negative, their sum 1.
    pub fn begin_with(mut self, weights: &[f32]) -> Self {
        assert_eq!(weights.len(), self.experts);
        for (row, weight) in self.beginning.chunks_exact_mut(self.layout.width).zip(weights) {
            row.fill(*weight);
        }
        self
    }

    /// Lets young series weigh their experts as mature ones of this shard do by now. Called at moments
    /// that don't depend on batches, it keeps forecasts independent of them.
    pub fn publish(&mut self) {
        self.young.publish(&self.beginning);
        let of_all = 2 * self.experts * self.layout.width;
        for [slot, target] in self.pooled.take_matured() {
            let (slot, target) = (slot as usize, target as usize);
            // Its slot may be another series' by now.
            if self.table.get(slot, target).is_some_and(|state| state.mixtures >= self.mature()) {
                self.fill_weights(slot, target);
                self.pooled.take(target, &self.weights[of_all..]);
            }
        }
    }

    fn mature(&self) -> u32 {
        MATURE.max(self.from)
    }

    /// Appends what is pooled over series, lossless.
    pub fn save_pooled(&self, out: &mut Vec<u8>) {
        self.pooled.save(out);
        self.young.save(out);
    }

    /// Takes back what [`Self::save_pooled`] of a mixer of the same shape has written.
    ///
    /// # Errors
    /// [`Damaged`] for anything else.
    pub fn load_pooled(&mut self, from: &mut Take<'_>) -> Result<(), Damaged> {
        self.pooled.load(from)?;
        self.young.load(from)
    }

    /// Takes over what a mixer of other experts has learnt of the same targets and leads: `from` is where
    /// each expert stood there. One that did not has yet to prove itself; what one that is gone weighed
    /// falls to the others. `[experts]`
    pub fn inherit(&mut self, mut other: Self, from: &[Option<usize>]) {
        let (width, rows) = (self.layout.width, other.layout.rows(from));
        assert!(from.len() == self.experts && width == other.layout.width);
        let (slots, targets) = (other.table.slots(), other.table.targets());
        self.table.grow(slots);
        for (slot, target) in (0..slots).flat_map(|slot| (0..targets).map(move |target| (slot, target))) {
            let (to, was) = (self.table.row(slot, target), other.table.row(slot, target));
            *to.state = *was.state;
            to.counts.copy_from_slice(was.counts);
            for (to, at) in to.floats.chunks_exact_mut(width).zip(&rows) {
                at.iter().for_each(|at| to.copy_from_slice(&was.floats[at * width..][..width]));
            }
        }
        self.pooled.inherit(other.pooled, from, &self.beginning);
        self.young.inherit(other.young, from, &self.beginning);
    }

    /// Asks for a series' memory while another is worked on.
    pub fn prefetch(&self, slot: usize, target: usize) {
        self.table.prefetch(slot, target, self.layout.floats());
    }

    /// Bytes of one series.
    pub fn bytes_each(&self) -> usize {
        self.table.bytes_each()
    }

    /// Learns from the forecasts of `value`, a reading that has arrived: what each expert said at each
    /// learnt lead, and what [`Self::mix`] made of it; not a number where nothing was said.
    /// `said`: `[experts, learnt leads]`; `mixed`: `[MIXTURES, learnt leads]`
    pub fn learn(&mut self, slot: usize, target: usize, value: f32, said: &[f32], mixed: &[f32]) {
        let (n, width) = (self.leads.len(), self.layout.width);
        assert!(said.len() == self.experts * n && mixed.len() == MIXTURES * n);
        if !value.is_finite() {
            return;
        }
        let rows = said.chunks_exact(n).chain(mixed.chunks_exact(n));
        for (from, to) in rows.zip(self.matured.chunks_exact_mut(width)) {
            to[..n].copy_from_slice(from);
        }
        let StateRow { floats, counts, .. } = self.table.row(slot, target);
        self.isa.run_by_eight(Learn { layout: self.layout, floats, counts, matured: &self.matured, value });
    }

    /// As [`Self::learn`], for all young series together: while this one is young. `unit` is its
    /// deviation; `mixed` what was mixed. `[learnt leads]`
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

    /// Mixes the experts' forecasts of every lead; gives the two copies' mixtures, then the mixture.
    /// `forecasts`: `[experts, horizon]`; `mixed`: `[MIXTURES, horizon]`
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
        let (width, stride) = (self.layout.width, padded(horizon));
        for (to, from) in self.said.chunks_exact_mut(stride).zip(forecasts.chunks_exact(horizon)) {
            to[..horizon].copy_from_slice(from);
        }
        let every = self.leads.len() == horizon;
        if !every {
            let all = self.weights.chunks_exact(width).zip(self.spread.chunks_exact_mut(stride));
            for (learnt, spread) in all {
                spread.fill(0.0);
                self.leads.add(learnt, &mut spread[..horizon]);
            }
        }
        let weights = if every { &self.weights } else { &self.spread };
        for (level, mixed) in mixed.chunks_exact_mut(horizon).enumerate() {
            let weights = &weights[level * self.experts * stride..][..self.experts * stride];
            self.isa.run_by_eight(Combine { forecasts: &self.said, weights, mixed: &mut self.mixed });
            mixed.copy_from_slice(&self.mixed[..horizon]);
        }
        if young {
            mixed[..(MIXTURES - 1) * horizon].fill(f32::NAN);
        }
    }

    /// The weight of each expert at each learnt lead. `out`: `[experts, learnt leads]`
    pub fn weights(&mut self, slot: usize, target: usize, out: &mut [f32]) {
        self.fill_weights(slot, target);
        let (n, width) = (self.leads.len(), self.layout.width);
        let all = self.weights[2 * self.experts * width..].chunks_exact(width);
        out.chunks_exact_mut(n).zip(all).for_each(|(to, from)| to.copy_from_slice(&from[..n]));
    }

    fn fill_weights(&mut self, slot: usize, target: usize) {
        let StateRow { floats, .. } = self.table.row(slot, target);
        let mature = || self.pooled.mean(target);
        let prior = self.young.weights(target).or_else(mature).unwrap_or(&self.beginning);
        let (weights, shares) = (&mut self.weights, &mut self.shares);
        let work = Weigh { layout: self.layout, floats, prior, weights, shares };
        self.isa.run_by_eight(work);
    }
}

super::state_table::rows_of_state_table!(Mixer);
