use super::lanes::{Isa, Kernel, LANES, Lanes, padded};
use super::leads::Leads;
use super::table::{Row, Table};
use crate::domain::{Damaged, Rows, Take};
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

    /// Bytes of one series.
    pub fn bytes_each(&self) -> usize {
        self.table.bytes_each()
    }

    /// Learns from the forecasts of `value`, a reading that has arrived: what each expert said at each
    /// learnt lead, then what [`Self::mix`] made of it; not a number where nothing was said.
    /// `matured`: `[experts + MIXED, learnt leads]`
    pub fn learn(&mut self, slot: usize, target: usize, value: f32, matured: &[f32]) {
        let (n, width) = (self.leads.len(), self.layout.width);
        assert_eq!(matured.len(), (self.experts + MIXED) * n);
        if !value.is_finite() {
            return;
        }
        for (from, to) in matured.chunks_exact(n).zip(self.matured.chunks_exact_mut(width)) {
            to[..n].copy_from_slice(from);
        }
        let Row { floats, counts, .. } = self.table.row(slot, target);
        self.isa.run(Learn { layout: self.layout, floats, counts, matured: &self.matured, value });
    }

    /// Mixes the experts' forecasts of every lead; gives the two copies' mixtures, then the mixture.
    /// `forecasts`: `[experts, horizon]`; `mixed`: `[MIXED, horizon]`
    pub fn mix(&mut self, slot: usize, target: usize, forecasts: &[f32], mixed: &mut [f32]) {
        let horizon = self.leads.horizon();
        assert!(forecasts.len() == self.experts * horizon && mixed.len() == MIXED * horizon);
        let row = self.table.row(slot, target);
        let young = row.head.mixtures < self.from;
        row.head.mixtures = row.head.mixtures.saturating_add(1);
        self.fill_weights(slot, target);
        let width = self.layout.width;
        let learnt = self.leads.learnt();
        let mut upper = 0;
        for lead in 1..=horizon {
            upper += usize::from(learnt[upper] < lead);
            let lower = if learnt[upper] == lead { upper } else { upper - 1 };
            let share = match learnt[upper] - learnt[lower] {
                0 => 1.0,
                apart => (lead - learnt[lower]) as f32 / apart as f32,
            };
            for level in 0..MIXED {
                let weights = &self.weights[level * self.experts * width..];
                let (mut sum, mut whole, mut plain, mut awake) = (0.0, 0.0, 0.0, 0.0);
                for e in 0..self.experts {
                    let forecast = forecasts[e * horizon + lead - 1];
                    if forecast.is_nan() {
                        continue;
                    }
                    let weight = &weights[e * width..];
                    let weight = (1.0 - share) * weight[lower] + share * weight[upper];
                    sum += weight * forecast;
                    whole += weight;
                    plain += forecast;
                    awake += 1.0;
                }
                let point = if whole > 0.0 { sum / whole } else { plain / awake };
                mixed[level * horizon + lead - 1] = if young && level < 2 { f32::NAN } else { point };
            }
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
        let work =
            Weigh { layout: self.layout, floats, weights: &mut self.weights, shares: &mut self.shares };
        self.isa.run(work);
    }
}

struct Learn<'a> {
    layout: Layout,
    floats: &'a mut [f32],
    counts: &'a mut [u8],
    matured: &'a [f32],
    value: f32,
}

impl Kernel for Learn<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Layout { width, experts } = self.layout;
        for at in (0..width).step_by(LANES) {
            let read =
                |row: usize| -> [f32; LANES] { std::array::from_fn(|l| self.matured[row * width + at + l]) };
            let mixtures: [[f32; LANES]; MIXED] = std::array::from_fn(|m| read(experts + m));
            // What was mixed while the series was young has no copies.
            let counts_at: [bool; LANES] =
                std::array::from_fn(|l| (0..MIXED).all(|m| mixtures[m][l].is_finite()));
            if counts_at.iter().all(|counted| !counted) {
                continue;
            }
            let counts = &mut self.counts[at..][..LANES];
            let rates: [f32; LANES] = std::array::from_fn(|l| {
                counts[l] = counts[l].saturating_add(u8::from(counts_at[l]));
                ERROR_RATE.max(1.0 / f32::from(counts[l].max(1)))
            });
            for level in 0..3 {
                let members = self.layout.members(level);
                let (regrets, rest) = self.floats[self.layout.regrets(level)..].split_at_mut(members * width);
                let (squares, rest) = rest.split_at_mut(members * width);
                let (largest, typical) = rest.split_at_mut(width);
                let mut direction = [0.0; LANES];
                for l in 0..LANES {
                    let error = mixtures[level][l] - self.value;
                    let size = if counts_at[l] { error.abs() } else { 0.0 };
                    let before = typical[at + l];
                    let limited = if size < ERROR_MAX * before { size } else { ERROR_MAX * before };
                    let moved = before + rates[l] * (limited - before);
                    let moved = if before == 0.0 { size } else { moved };
                    let known = if counts_at[l] { moved } else { before };
                    typical[at + l] = known;
                    let sign = if error > 0.0 { 1.0 } else { -1.0 };
                    let divided = if known > 1e-30 { sign / known } else { 0.0 };
                    direction[l] = if counts_at[l] && error != 0.0 { divided } else { 0.0 };
                }
                let mut most = [0.0; LANES];
                for member in 0..members {
                    let said = if level < 2 { read(member) } else { mixtures[member] };
                    for l in 0..LANES {
                        let regret = direction[l] * (mixtures[level][l] - said[l]);
                        let regret = if regret < REGRET_MAX { regret } else { REGRET_MAX };
                        let regret = if regret > -REGRET_MAX { regret } else { -REGRET_MAX };
                        let awake = counts_at[l] && said[l].is_finite();
                        let i = member * width + at + l;
                        let (r, v) = (DISCOUNTS[level] * regrets[i], DISCOUNTS[level] * squares[i]);
                        regrets[i] = if awake { r + regret } else { regrets[i] };
                        squares[i] = if awake { v + regret * regret } else { squares[i] };
                        let square = if awake { regret * regret } else { 0.0 };
                        most[l] = if square > most[l] { square } else { most[l] };
                    }
                }
                for l in 0..LANES {
                    largest[at + l] = largest[at + l].max(most[l]);
                }
            }
        }
    }
}

struct Weigh<'a> {
    layout: Layout,
    floats: &'a [f32],
    weights: &'a mut [f32],
    shares: &'a mut [f32],
}

impl Kernel for Weigh<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Layout { width, experts } = self.layout;
        let (copies, all) = self.weights.split_at_mut(2 * experts * width);
        for level in 0..3 {
            let members = self.layout.members(level);
            let out = if level < 2 { &mut copies[level * experts * width..] } else { &mut *self.shares };
            let (regrets, rest) = self.floats[self.layout.regrets(level)..].split_at(members * width);
            let (squares, rest) = rest.split_at(members * width);
            let largest = &rest[..width];
            for at in (0..width).step_by(LANES) {
                let mut sum = [0.0; LANES];
                for member in 0..members {
                    let i = member * width + at;
                    let (r, v) = (&regrets[i..][..LANES], &squares[i..][..LANES]);
                    let out = &mut out[i..][..LANES];
                    for l in 0..LANES {
                        let positive = if r[l] > 0.0 { r[l] } else { 0.0 };
                        out[l] = positive / (v[l] + largest[at + l]);
                        sum[l] += out[l];
                    }
                }
                let uniform = 1.0 / members as f32;
                for member in 0..members {
                    let out = &mut out[member * width + at..][..LANES];
                    for l in 0..LANES {
                        out[l] = if sum[l] > 0.0 { out[l] / sum[l] } else { uniform };
                    }
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

impl Rows for Mixer {
    fn grow(&mut self, slots: usize) {
        self.table.grow(slots);
    }

    fn reset(&mut self, slot: usize) {
        self.table.reset(slot);
    }

    fn save(&self, slot: usize, out: &mut Vec<u8>) {
        self.table.save(slot, out);
    }

    fn load(&mut self, slot: usize, row: &mut Take<'_>) -> Result<(), Damaged> {
        self.table.load(slot, row)
    }

    fn memory(&self) -> usize {
        self.table.memory()
    }
}
