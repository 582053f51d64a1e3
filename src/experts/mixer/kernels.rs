use super::MIXTURES;
use super::layout::Layout;
use crate::domain::Leads;
use crate::simd::{KernelByEight, LANES, Vector8, padded, registers, registers_mut};

/// The discounts β of the two copies, and of the mixer of both.
const DISCOUNTS: [f32; 3] = [0.998, 0.999_8, 0.999_5];
/// The slowest rate at which a mixture's typical error is learnt.
const ERROR_RATE: f32 = 0.005;
/// An error counts as at most this many typical ones.
const ERROR_MAX: f32 = 30.0;
/// Regrets are limited to this.
const REGRET_MAX: f32 = 20.0;

/// How fast each lead learns. A lead of which every S-th origin is scored takes steps S times as large, and
/// forgets at each as much as the others in S.
#[derive(Clone, Debug)]
pub(super) struct Rates {
    /// The slowest rate of a typical error. `[width]`
    errors: Vec<f32>,
    /// Of each level. `[3, width]`
    discounts: Vec<f32>,
}

impl Rates {
    pub fn of(leads: &Leads) -> Self {
        let width = padded(leads.len());
        let mut rates = Self { errors: vec![ERROR_RATE; width], discounts: vec![0.0; 3 * width] };
        for at in 0..leads.len() {
            let every = leads.every_origin(at) as f32;
            rates.errors[at] = (ERROR_RATE * every).min(1.0);
            for (level, discount) in DISCOUNTS.iter().enumerate() {
                rates.discounts[level * width + at] = discount.powf(every);
            }
        }
        rates
    }
}

/// Updates the regrets of all three levels with one reading, eight leads at a time.
pub(super) struct Learn<'a> {
    pub layout: Layout,
    pub rates: &'a Rates,
    /// A row of the mixer.
    pub floats: &'a mut [f32],
    pub counts: &'a mut [u8],
    /// NaN beyond the last lead. `[experts + MIXTURES, width]`
    pub matured: &'a [f32],
    pub value: f32,
}

impl KernelByEight for Learn<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector8>(self) {
        let Layout { leads, experts } = self.layout;
        let n = self.layout.width() / LANES;
        let matured = registers(self.matured);
        let (errors, discounts) = (registers(&self.rates.errors), registers(&self.rates.discounts));
        let floats = self.floats;
        for at in 0..n {
            let (zero, one, value) = (V::splat(0.0), V::splat(1.0), V::splat(self.value));
            let read = |row: usize| V::load(&matured[row * n + at]);
            let mixtures: [V; MIXTURES] = std::array::from_fn(|m| read(experts + m));
            // Forecasts of a young series have NaN for the copies; 0 · x finds them. What is read of the next
            // part beyond the last lead is NaN here too, so it is written back as it was.
            let said = mixtures.iter().fold(zero, |sum, m| m.mul_add(zero, sum));
            let counted = one.if_above(said, one, zero);
            let end = leads.min((at + 1) * LANES);
            let rates = V::load(&rates(&mut self.counts[at * LANES..end], counted, &errors[at]));
            for level in 0..3 {
                let members = self.layout.members(level);
                let regrets = self.layout.regrets(level) + at * LANES;
                let squares = regrets + members * leads;
                let largest = self.layout.largest(level) + at * LANES;
                let typical = largest + leads;
                let mixture = mixtures[level];
                let error = mixture.sub(value);
                let size = error.max(zero.sub(error));
                let before = V::load_at(floats, typical);
                let limited = size.min(before.mul(V::splat(ERROR_MAX)));
                let moved = limited.sub(before).mul_add(rates, before);
                let moved = before.if_above(zero, moved, size);
                let known = counted.if_above(zero, moved, before);
                known.store_at(floats, typical);
                let sign = error.if_above(zero, one, zero.if_above(error, V::splat(-1.0), zero));
                let direction = known.if_above(V::splat(1e-30), sign.div(known), zero);
                let discount = V::load(&discounts[level * n + at]);
                let of = |member: usize| if level < 2 { read(member) } else { mixtures[member] };
                let mut most = V::load_at(floats, largest);
                for member in 0..members {
                    let said = of(member);
                    let regret = mixture.sub(said).mul(direction);
                    // A sleeping forecast is NaN; its regret comes out as the bound and is dropped below.
                    let bounded = regret.max(V::splat(-REGRET_MAX)).min(V::splat(REGRET_MAX));
                    let awake = one.if_above(said.mul_add(zero, zero), counted, zero);
                    let square = bounded.mul(bounded);
                    let (r, v) = (regrets + member * leads, squares + member * leads);
                    let rest = V::load_at(floats, r);
                    awake.if_above(zero, rest.mul_add(discount, bounded), rest).store_at(floats, r);
                    let sum = V::load_at(floats, v);
                    awake.if_above(zero, sum.mul_add(discount, square), sum).store_at(floats, v);
                    most = awake.if_above(zero, square.max(most), most);
                }
                most.store_at(floats, largest);
            }
        }
    }
}

/// Counts the readings of up to eight leads where `counted` is 1. Returns the rates of their typical errors.
#[inline(always)]
fn rates<V: Vector8>(counts: &mut [u8], counted: V, least: &[f32; LANES]) -> [f32; LANES] {
    let mut rates = [0.0; LANES];
    counted.store(&mut rates);
    for ((rate, count), least) in rates.iter_mut().zip(counts).zip(least) {
        *count = count.saturating_add(*rate as u8);
        *rate = least.max(1.0 / f32::from((*count).max(1)));
    }
    rates
}

/// How the values of learnt leads are interpolated at eight leads of a forecast at a time: the learnt leads
/// that take part, and their shares.
#[derive(Clone, Debug)]
pub(super) struct Blocks {
    /// For each block the first learnt lead that takes part, and where its shares are.
    blocks: Vec<(usize, std::ops::Range<usize>)>,
    shares: Vec<[f32; LANES]>,
}

impl Blocks {
    pub fn of(leads: &Leads) -> Self {
        let (horizon, n) = (leads.horizon(), leads.len());
        let (mut blocks, mut shares) = (Vec::new(), Vec::new());
        for first_lead in (1..=horizon).step_by(LANES) {
            // The lanes beyond the horizon repeat the last lead.
            let places: [_; LANES] =
                std::array::from_fn(|lane| leads.place((first_lead + lane).min(horizon)));
            let (first, last) = (places[0].0, places[LANES - 1].0 + usize::from(places[LANES - 1].1 > 0.0));
            let start = shares.len();
            for at in first..=last.min(n - 1) {
                shares.push(places.map(|(from, share)| match at {
                    at if at == from => 1.0 - share,
                    at if at == from + 1 => share,
                    _ => 0.0,
                }));
            }
            blocks.push((first, start..shares.len()));
        }
        Self { blocks, shares }
    }
}

/// The two copies' mixtures `Σ weight · forecast` over the experts that are awake, divided by the sum of
/// their weights, and the same of both copies' weights, mixed by their shares. The experts' plain mean where
/// all of them weigh 0. Weights and shares are interpolated between learnt leads.
pub(super) struct Combine<'a> {
    pub blocks: &'a Blocks,
    /// `[experts, stride]`
    pub forecasts: &'a [f32],
    /// Of the two copies. `[2, experts, width]`
    pub weights: &'a [f32],
    /// `[2, width]`
    pub shares: &'a [f32],
    pub width: usize,
    /// `[MIXTURES, stride]`
    pub mixed: &'a mut [f32],
}

impl KernelByEight for Combine<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector8>(self) {
        let mixed = registers_mut(self.mixed);
        let (n, width) = (mixed.len() / MIXTURES, self.width);
        let forecasts = registers(self.forecasts);
        let (quick, slow) = self.weights.split_at(self.weights.len() / 2);
        for (at, (first, range)) in self.blocks.blocks.iter().enumerate() {
            let taken = &self.blocks.shares[range.clone()];
            let (zero, one) = (V::splat(0.0), V::splat(1.0));
            let at_leads = |known: &[f32]| {
                let known = known[*first..].iter().zip(taken);
                known.fold(zero, |sum, (known, share)| V::load(share).mul_add(V::splat(*known), sum))
            };
            let (mut plain, mut awake) = (zero, zero);
            let mut sums = [zero; 2];
            let mut wholes = [zero; 2];
            let weights = quick.chunks_exact(width).zip(slow.chunks_exact(width));
            for (forecast, (quick, slow)) in forecasts[at..].iter().step_by(n).zip(weights) {
                let forecast = V::load(forecast);
                let up = one.if_above(forecast.mul(zero), one, zero);
                let forecast = one.if_above(forecast.mul(zero), forecast, zero);
                for (copy, known) in [quick, slow].into_iter().enumerate() {
                    let weight = at_leads(known).mul(up);
                    sums[copy] = forecast.mul_add(weight, sums[copy]);
                    wholes[copy] = wholes[copy].add(weight);
                }
                plain = plain.add(forecast);
                awake = awake.add(up);
            }
            let mean = plain.div(awake);
            for copy in 0..2 {
                let of_copy = sums[copy].div(wholes[copy]);
                wholes[copy].if_above(zero, of_copy, mean).store(&mut mixed[copy * n + at]);
            }
            let shares = [at_leads(&self.shares[..width]), at_leads(&self.shares[width..])];
            let sum = shares[0].mul_add(sums[0], shares[1].mul(sums[1]));
            let whole = shares[0].mul_add(wholes[0], shares[1].mul(wholes[1]));
            whole.if_above(zero, sum.div(whole), mean).store(&mut mixed[2 * n + at]);
        }
    }
}

/// `p_i ∝ max(R_i, 0) / (V_i + B)` for the two copies and for the mixer of both.
pub(super) struct Weigh<'a> {
    pub layout: Layout,
    pub floats: &'a [f32],
    /// The weights while no expert has been better than the mixture. `[experts, width]`
    pub prior: &'a [f32],
    /// 1 for each learnt lead, 0 beyond. `[width]`
    pub within: &'a [f32],
    /// `[2, experts, width]`
    pub weights: &'a mut [f32],
    /// `[2, width]`
    pub shares: &'a mut [f32],
}

impl KernelByEight for Weigh<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector8>(self) {
        let Layout { leads, experts } = self.layout;
        let width = self.layout.width();
        let n = width / LANES;
        let (floats, prior) = (self.floats, registers(self.prior));
        for level in 0..3 {
            let members = self.layout.members(level);
            let out =
                if level < 2 { &mut self.weights[level * experts * width..] } else { &mut *self.shares };
            let out = registers_mut(out);
            for at in 0..n {
                let regrets = self.layout.regrets(level) + at * LANES;
                let squares = regrets + members * leads;
                let largest = V::load_at(floats, self.layout.largest(level) + at * LANES);
                let (zero, within) = (V::splat(0.0), V::load_at(self.within, at * LANES));
                let mut sum = zero;
                for member in 0..members {
                    let regret = V::load_at(floats, regrets + member * leads).max(zero);
                    let square = V::load_at(floats, squares + member * leads);
                    let weight = regret.div(square.add(largest));
                    weight.store(&mut out[member * n + at]);
                    sum = sum.add(weight);
                }
                let sum = within.if_above(zero, sum, zero);
                let share = V::splat(1.0).div(sum);
                for (member, out) in out[at..].iter_mut().step_by(n).take(members).enumerate() {
                    let prior = if level < 2 { V::load(&prior[member * n + at]) } else { V::splat(0.5) };
                    sum.if_above(zero, V::load(out).mul(share), prior).store(out);
                }
            }
        }
    }
}
