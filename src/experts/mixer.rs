use super::pooled::Pooled;
use super::table::{Row, Table};
use super::young::Young;
use crate::domain::{Damaged, Leads, Rows, Take};
use crate::simd::{Isa, KernelByEight, LANES, Vector8, padded, registers, registers_mut};
use bytemuck::{Pod, Zeroable};

/// How much of a regret is left a reading later: of the two copies, and of what chooses among them.
const DISCOUNTS: [f32; 3] = [0.998, 0.999_8, 0.999_5];
/// The slowest rate of a mixture's typical error.
const ERROR_RATE: f32 = 0.005;
/// An error counts as at most this many typical ones.
const ERROR_MAX: f32 = 30.0;
/// A regret lies within this.
const REGRET_MAX: f32 = 20.0;
/// A largest squared regret to begin with: never 0, so that it can divide.
const LEAST: f32 = 1e-12;

/// A series hands its weights to the young at this mixture.
const MATURE: u32 = 600;

/// What a mixer makes of its experts' forecasts.
pub const MIXED: usize = 3;

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
    table: Table<Head>,
    /// `[experts + MIXED, width]`
    matured: Vec<f32>,
    /// Of each copy, then of all: `[3, experts, width]`
    weights: Vec<f32>,
    /// `[2, width]`
    shares: Vec<f32>,
    /// What mature series weigh their experts by, and what young ones begin with.
    /// `[experts, width]` each.
    pooled: Pooled,
    /// What young ones begin with before there are mature ones.
    young: Young,
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
struct Head {
    mixtures: u32,
}

/// Where the parts of a row lie. Every part has whole registers of leads.
#[derive(Clone, Copy, Debug)]
struct Layout {
    width: usize,
    experts: usize,
}

impl Layout {
    /// Regrets, then sums of their squares. `[2, copy members, width]`
    fn regrets(self, level: usize) -> usize {
        level * self.width * (2 * self.experts + 2)
    }

    /// The number of members of a level: the copies have the experts, the third has the copies.
    fn members(self, level: usize) -> usize {
        if level < 2 { self.experts } else { 2 }
    }

    /// The largest squared regret, and the typical error. `[2, width]`
    fn largest(self, level: usize) -> usize {
        self.regrets(level) + 2 * self.members(level) * self.width
    }

    fn floats(self) -> usize {
        self.largest(2) + 2 * self.width
    }

    /// Where each `[width]` of a layout stands in this one, whose experts other ones are of: `from`.
    fn rows(self, from: &[Option<usize>]) -> Vec<Option<usize>> {
        let copy = |level| {
            let (regrets, largest) = (self.regrets(level) / self.width, self.largest(level) / self.width);
            let members = move |first: usize| from.iter().map(move |at| at.map(|at| first + at));
            let rest = (largest..largest + 2).map(Some);
            members(regrets).chain(members(regrets + self.experts)).chain(rest)
        };
        let last = self.regrets(2) / self.width..self.floats() / self.width;
        copy(0).chain(copy(1)).chain(last.map(Some)).collect()
    }
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
            table: Table::new(targets, Head { mixtures: 0 }, &floats, 0, width),
            matured: vec![f32::NAN; (experts + MIXED) * width],
            weights: vec![0.0; 3 * experts * width],
            shares: vec![0.0; 2 * width],
            pooled: Pooled::new(targets, experts * width),
            young: Young::new(targets, experts, width),
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
        for [slot, target] in self.pooled.take_ripe() {
            let (slot, target) = (slot as usize, target as usize);
            // Its slot may be another series' by now.
            if self.table.get(slot, target).is_some_and(|head| head.mixtures >= self.mature()) {
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
            *to.head = *was.head;
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
    /// `said`: `[experts, learnt leads]`; `mixed`: `[MIXED, learnt leads]`
    pub fn learn(&mut self, slot: usize, target: usize, value: f32, said: &[f32], mixed: &[f32]) {
        let (n, width) = (self.leads.len(), self.layout.width);
        assert!(said.len() == self.experts * n && mixed.len() == MIXED * n);
        if !value.is_finite() {
            return;
        }
        let rows = said.chunks_exact(n).chain(mixed.chunks_exact(n));
        for (from, to) in rows.zip(self.matured.chunks_exact_mut(width)) {
            to[..n].copy_from_slice(from);
        }
        let Row { floats, counts, .. } = self.table.row(slot, target);
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
        if self.table.head(slot, target).mixtures < self.from && value.is_finite() {
            self.young.learn(target, value, unit, said, mixed);
        }
    }

    /// Mixes the experts' forecasts of every lead; gives the two copies' mixtures, then the mixture.
    /// `forecasts`: `[experts, horizon]`; `mixed`: `[MIXED, horizon]`
    pub fn mix(&mut self, slot: usize, target: usize, forecasts: &[f32], mixed: &mut [f32]) {
        let horizon = self.leads.horizon();
        assert!(forecasts.len() == self.experts * horizon && mixed.len() == MIXED * horizon);
        let (from, mature) = (self.from, self.mature());
        let head = self.table.row(slot, target).head;
        let young = head.mixtures < from;
        head.mixtures = head.mixtures.saturating_add(1);
        if head.mixtures == mature {
            self.pooled.ripen(slot, target);
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
            mixed[..(MIXED - 1) * horizon].fill(f32::NAN);
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
        let Row { floats, .. } = self.table.row(slot, target);
        let mature = || self.pooled.mean(target);
        let prior = self.young.weights(target).or_else(mature).unwrap_or(&self.beginning);
        let (weights, shares) = (&mut self.weights, &mut self.shares);
        let work = Weigh { layout: self.layout, floats, prior, weights, shares };
        self.isa.run_by_eight(work);
    }
}

struct Learn<'a> {
    layout: Layout,
    floats: &'a mut [f32],
    counts: &'a mut [u8],
    matured: &'a [f32],
    value: f32,
}

impl KernelByEight for Learn<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector8>(self) {
        let Layout { width, experts } = self.layout;
        let n = width / LANES;
        let matured = registers(self.matured);
        let floats = registers_mut(self.floats);
        for at in 0..n {
            let (zero, one, value) = (V::splat(0.0), V::splat(1.0), V::splat(self.value));
            let read = |row: usize| V::load(&matured[row * n + at]);
            let mixtures: [V; MIXED] = std::array::from_fn(|m| read(experts + m));
            // What was mixed while the series was young has no copies: 0 · x is 0 but for those.
            let said = mixtures.iter().fold(zero, |sum, m| m.mul_add(zero, sum));
            let counted = one.if_above(said, one, zero);
            let rates = rates(registers_mut(self.counts), at, counted);
            let rates = V::load(&rates);
            for level in 0..3 {
                let members = self.layout.members(level);
                let (regrets, rest) = floats[self.layout.regrets(level) / LANES..].split_at_mut(members * n);
                let (squares, rest) = rest.split_at_mut(members * n);
                let (largest, typical) = rest.split_at_mut(n);
                let mixture = mixtures[level];
                let error = mixture.sub(value);
                let size = error.max(zero.sub(error));
                let before = V::load(&typical[at]);
                let limited = size.min(before.mul(V::splat(ERROR_MAX)));
                let moved = limited.sub(before).mul_add(rates, before);
                let moved = before.if_above(zero, moved, size);
                let known = counted.if_above(zero, moved, before);
                known.store(&mut typical[at]);
                let sign = error.if_above(zero, one, zero.if_above(error, V::splat(-1.0), zero));
                let direction = known.if_above(V::splat(1e-30), sign.div(known), zero);
                let discount = V::splat(DISCOUNTS[level]);
                let mut most = V::load(&largest[at]);
                for member in 0..members {
                    let said = if level < 2 { read(member) } else { mixtures[member] };
                    let regret = mixture.sub(said).mul(direction);
                    // One that sleeps is not a number, and comes out as the bound.
                    let bounded = regret.max(V::splat(-REGRET_MAX)).min(V::splat(REGRET_MAX));
                    let awake = one.if_above(said.mul_add(zero, zero), counted, zero);
                    let square = bounded.mul(bounded);
                    let (r, v) = (&mut regrets[member * n + at], &mut squares[member * n + at]);
                    let (rest, sum) = (V::load(r), V::load(v));
                    awake.if_above(zero, rest.mul_add(discount, bounded), rest).store(r);
                    awake.if_above(zero, sum.mul_add(discount, square), sum).store(v);
                    most = awake.if_above(zero, square.max(most), most);
                }
                most.store(&mut largest[at]);
            }
        }
    }
}

/// How fast typical errors move at eight leads, after counting those that `counted` is 1 for.
#[inline(always)]
fn rates<V: Vector8>(counts: &mut [[u8; LANES]], at: usize, counted: V) -> [f32; LANES] {
    let mut rates = [0.0; LANES];
    counted.store(&mut rates);
    for (rate, count) in rates.iter_mut().zip(&mut counts[at]) {
        *count = count.saturating_add(*rate as u8);
        *rate = ERROR_RATE.max(1.0 / f32::from((*count).max(1)));
    }
    rates
}

/// `Σ weight · forecast` over the experts that are awake, by their weights; by none where all of
/// them sleep.
struct Combine<'a> {
    /// `[experts, stride]`
    forecasts: &'a [f32],
    /// `[experts, stride]`
    weights: &'a [f32],
    /// `[stride]`
    mixed: &'a mut [f32],
}

impl KernelByEight for Combine<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector8>(self) {
        let mixed = registers_mut(self.mixed);
        let n = mixed.len();
        let (forecasts, weights) = (registers(self.forecasts), registers(self.weights));
        for (at, mixed) in mixed.iter_mut().enumerate() {
            let (zero, one) = (V::splat(0.0), V::splat(1.0));
            let (mut sum, mut whole, mut plain, mut awake) = (zero, zero, zero, zero);
            let rows = forecasts[at..].iter().step_by(n).zip(weights[at..].iter().step_by(n));
            for (forecast, weight) in rows {
                let forecast = V::load(forecast);
                let up = one.if_above(forecast.mul(zero), one, zero);
                let forecast = one.if_above(forecast.mul(zero), forecast, zero);
                let weight = V::load(weight).mul(up);
                sum = forecast.mul_add(weight, sum);
                whole = whole.add(weight);
                plain = plain.add(forecast);
                awake = awake.add(up);
            }
            whole.if_above(zero, sum.div(whole), plain.div(awake)).store(mixed);
        }
    }
}

struct Weigh<'a> {
    layout: Layout,
    floats: &'a [f32],
    /// What the experts weigh while none has been better than the mixture. `[experts, width]`
    prior: &'a [f32],
    weights: &'a mut [f32],
    shares: &'a mut [f32],
}

impl KernelByEight for Weigh<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector8>(self) {
        let Layout { width, experts } = self.layout;
        let n = width / LANES;
        let (floats, prior) = (registers(self.floats), registers(self.prior));
        let (copies, all) = self.weights.split_at_mut(2 * experts * width);
        for level in 0..3 {
            let members = self.layout.members(level);
            let out = if level < 2 { &mut copies[level * experts * width..] } else { &mut *self.shares };
            let out = registers_mut(out);
            let (regrets, rest) = floats[self.layout.regrets(level) / LANES..].split_at(members * n);
            let (squares, rest) = rest.split_at(members * n);
            for at in 0..n {
                let (zero, largest) = (V::splat(0.0), V::load(&rest[at]));
                let mut sum = zero;
                for member in 0..members {
                    let i = member * n + at;
                    let weight = V::load(&regrets[i]).max(zero).div(V::load(&squares[i]).add(largest));
                    weight.store(&mut out[i]);
                    sum = sum.add(weight);
                }
                let share = V::splat(1.0).div(sum);
                for (member, out) in out[at..].iter_mut().step_by(n).take(members).enumerate() {
                    let prior = if level < 2 { V::load(&prior[member * n + at]) } else { V::splat(0.5) };
                    sum.if_above(zero, V::load(out).mul(share), prior).store(out);
                }
            }
        }
        let (quick, slow) = copies.split_at(experts * width);
        let (of_quick, of_slow) = self.shares.split_at(width);
        for ((all, quick), slow) in
            all.chunks_exact_mut(width).zip(quick.chunks_exact(width)).zip(slow.chunks_exact(width))
        {
            for l in 0..width {
                all[l] = of_quick[l] * quick[l] + of_slow[l] * slow[l];
            }
        }
    }
}

super::table::rows_of_table!(Mixer);
