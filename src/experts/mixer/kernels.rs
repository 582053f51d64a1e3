use super::MIXTURES;
use super::layout::Layout;
use crate::simd::{KernelByEight, LANES, Vector8, registers, registers_mut};

/// The discounts β of the two copies, and of the mixer of both.
const DISCOUNTS: [f32; 3] = [0.998, 0.999_8, 0.999_5];
/// The slowest rate at which a mixture's typical error is learnt.
const ERROR_RATE: f32 = 0.005;
/// An error counts as at most this many typical ones.
const ERROR_MAX: f32 = 30.0;
/// Regrets are limited to this.
const REGRET_MAX: f32 = 20.0;

/// Updates the regrets of all three levels with one reading, eight leads at a time.
pub(super) struct Learn<'a> {
    pub layout: Layout,
    /// A row of the mixer.
    pub floats: &'a mut [f32],
    pub counts: &'a mut [u8],
    pub matured: &'a [f32],
    pub value: f32,
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
            let mixtures: [V; MIXTURES] = std::array::from_fn(|m| read(experts + m));
            // Forecasts of a young series have NaN for the copies; 0 · x finds them.
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
                    // A sleeping forecast is NaN; its regret comes out as the bound and is dropped below.
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

/// Counts the readings of eight leads where `counted` is 1. Returns the rates of their typical errors.
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

/// `Σ weight · forecast` over the experts that are awake, divided by the sum of their weights. Their
/// plain mean where all of them weigh 0.
pub(super) struct Combine<'a> {
    /// `[experts, stride]`
    pub forecasts: &'a [f32],
    /// `[experts, stride]`
    pub weights: &'a [f32],
    /// `[stride]`
    pub mixed: &'a mut [f32],
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

/// `p_i ∝ max(R_i, 0) / (V_i + B)` for the two copies and for the mixer of both, and the product of the
/// two.
pub(super) struct Weigh<'a> {
    pub layout: Layout,
    pub floats: &'a [f32],
    /// The weights while no expert has been better than the mixture. `[experts, width]`
    pub prior: &'a [f32],
    pub weights: &'a mut [f32],
    pub shares: &'a mut [f32],
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
