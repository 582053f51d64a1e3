//! The GRU with the reset gate before the product. `r` must be complete before the candidate's
//! product, so a step has two stages with a product in between, and so has the backward pass. `r =
//! σ(·)`, `z = σ(·)`, `n = tanh(W_in x + b + W_hn (r ⊙ h))`, `h' = n + z (h − n)`.

use super::cell::sum_biases;
use super::math::{sigmoid, tanh};
use super::reverse::reverse_norm;
use super::{GainGradients, LayerNorm, Operand};
use crate::nn::shape::LayerLayout;
use crate::simd::{Aligned, Isa, Kernel, Vector};

/// A layer's biases and norms. The order of sums and activations is `r, z, n`.
pub(in crate::nn) struct BeforePack {
    isa: Isa,
    width: usize,
    /// `[3, width]`
    bias: Aligned,
    norm: Option<LayerNorm>,
}

impl BeforePack {
    /// `values` is the layer's own flat vector.
    pub fn new(isa: Isa, layout: &LayerLayout, values: &[f32]) -> Self {
        let width = isa.padded(layout.hidden);
        let norm = LayerNorm::new(isa, layout, values);
        Self { isa, width, bias: sum_biases(layout, values, width), norm }
    }

    /// Whether the layer has norms.
    pub fn normed(&self) -> bool {
        self.norm.is_some()
    }

    /// The sum of gate `g` at `unit`, from the rows of both products.
    #[inline(always)]
    fn sum<V: Vector>(&self, g: usize, unit: usize, x: &[f32], h: &[f32]) -> V {
        let at = g * self.width + unit;
        let (x, h) = (V::load_at(x, at), V::load_at(h, at));
        let bias = V::load_at(&self.bias, at);
        match &self.norm {
            None => x.add(h).add(bias),
            Some(norm) => {
                let (gain_x, gain_h) = (V::load_at(&norm.gain_x, at), V::load_at(&norm.gain_h, at));
                x.mul_add(gain_x, h.mul_add(gain_h, bias))
            }
        }
    }
}

/// The first stage, which computes `r`, `z`, and `r ⊙ h`.
pub(in crate::nn) struct ResetRows<'a> {
    pub pack: &'a BeforePack,
    pub rows: usize,
    /// `W_ih x`, `[rows, 3, width]`; normalised in place where there are norms.
    pub x: &'a mut [f32],
    /// `W_hh h` of `r` and `z`, with room for `n`'s, `[rows, 3, width]`; normalised in place too.
    pub h: &'a mut [f32],
    /// The `h` in `r ⊙ h`, `[rows, hidden in whole registers]`.
    pub used: Operand<'a>,
    /// The output of `r` and `z`, `[rows, 3, width]`.
    pub gates: &'a mut [f32],
    /// `r ⊙ h`, `[rows, width]`
    pub reset: &'a mut [f32],
    /// The reciprocal deviations of `W_ih x` and of both parts of `W_hh h`, `[rows, 3]`.
    pub scales: &'a mut [f32],
}

impl ResetRows<'_> {
    pub fn run(self) {
        let state = self.rows * self.pack.width;
        assert!(self.x.len() >= 3 * state && self.h.len() >= 3 * state && self.gates.len() >= 3 * state);
        assert!(self.reset.len() >= state && self.scales.len() >= 3 * self.rows);
        assert!(self.used.width == self.pack.width);
        self.used.check(self.rows);
        self.pack.isa.run(self);
    }
}

impl Kernel for ResetRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let width = self.pack.width;
        for row in 0..self.rows {
            let x = &mut self.x[row * 3 * width..][..3 * width];
            let h = &mut self.h[row * 3 * width..][..3 * width];
            if let Some(norm) = &self.pack.norm {
                self.scales[3 * row] = norm.normalise::<V, 3>(x);
                self.scales[3 * row + 1] = norm.normalise::<V, 2>(h);
            }
            let gates = &mut self.gates[row * 3 * width..][..3 * width];
            let used = &self.used.values[row * self.used.stride..][..width];
            let reset = &mut self.reset[row * width..][..width];
            for unit in (0..width).step_by(V::N) {
                let r: V = sigmoid(self.pack.sum(0, unit, x, h));
                let z: V = sigmoid(self.pack.sum(1, unit, x, h));
                r.store_at(gates, unit);
                z.store_at(gates, width + unit);
                r.mul(V::load_at(used, unit)).store_at(reset, unit);
            }
        }
    }
}

/// The second stage, which computes `n`, and `h' = n + z (h − n)`.
pub(in crate::nn) struct CandidateRows<'a> {
    pub pack: &'a BeforePack,
    pub rows: usize,
    /// As the first stage left it.
    pub x: &'a [f32],
    /// With `W_hn (r ⊙ h)` in place of `n`.
    pub h: &'a mut [f32],
    /// The `h` that `z` keeps, `[rows, width]`.
    pub held: Operand<'a>,
    /// The output of `n` too.
    pub gates: &'a mut [f32],
    /// The new `h`, `[rows, width]`.
    pub out: &'a mut [f32],
    pub scales: &'a mut [f32],
}

impl CandidateRows<'_> {
    pub fn run(self) {
        let state = self.rows * self.pack.width;
        assert!(self.x.len() >= 3 * state && self.h.len() >= 3 * state && self.gates.len() >= 3 * state);
        assert!(self.out.len() >= state && self.scales.len() >= 3 * self.rows);
        assert!(self.held.width == self.pack.width);
        self.held.check(self.rows);
        self.pack.isa.run(self);
    }
}

impl Kernel for CandidateRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let width = self.pack.width;
        for row in 0..self.rows {
            let x = &self.x[row * 3 * width..][..3 * width];
            let h = &mut self.h[row * 3 * width..][..3 * width];
            if let Some(norm) = &self.pack.norm {
                self.scales[3 * row + 2] = norm.normalise::<V, 1>(&mut h[2 * width..]);
            }
            let gates = &mut self.gates[row * 3 * width..][..3 * width];
            let held = &self.held.values[row * self.held.stride..][..width];
            let out = &mut self.out[row * width..][..width];
            for unit in (0..width).step_by(V::N) {
                let n: V = tanh(self.pack.sum(2, unit, x, h));
                n.store_at(gates, 2 * width + unit);
                let z = V::load_at(gates, width + unit);
                let kept = V::load_at(held, unit).sub(n);
                z.mul_add(kept, n).store_at(out, unit);
            }
        }
    }
}

/// The backward pass of the second stage.
pub(in crate::nn) struct CandidateReverse<'a> {
    pub pack: &'a BeforePack,
    pub rows: usize,
    /// The gradients of their sums replace `z` and `n`, `[rows, 3, width]`.
    pub gates: &'a mut [f32],
    /// With norms, the gradient of the product replaces the normalised product of `n`.
    pub h: &'a mut [f32],
    /// `[rows, width]` each
    pub held: &'a [f32],
    pub dh: &'a [f32],
    /// The part of the gradient of the old `h` that `z` lets through, `[rows, width]`.
    pub carry: &'a mut [f32],
    pub scales: &'a [f32],
    pub gains: &'a mut GainGradients,
}

impl CandidateReverse<'_> {
    pub fn run(self) {
        let (state, normed) = (self.rows * self.pack.width, self.pack.normed());
        assert!(self.gates.len() >= 3 * state && self.held.len() >= state);
        assert!(self.dh.len() >= state && self.carry.len() >= state);
        assert!(!normed || (self.h.len() >= 3 * state && self.scales.len() >= 3 * self.rows));
        assert!(self.gains.h.len() >= 3 * self.pack.width);
        self.pack.isa.run(self);
    }
}

impl Kernel for CandidateReverse<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let width = self.pack.width;
        for row in 0..self.rows {
            let one = V::splat(1.0);
            let gates = &mut self.gates[row * 3 * width..][..3 * width];
            let (z, n) = gates[width..].split_at_mut(width);
            for unit in (0..width).step_by(V::N) {
                let at = row * width + unit;
                let (dh, held) = (V::load_at(self.dh, at), V::load_at(self.held, at));
                let (z_v, n_v) = (V::load_at(z, unit), V::load_at(n, unit));
                dh.mul(one.sub(z_v)).mul(n_v.neg_mul_add(n_v, one)).store_at(n, unit);
                dh.mul(held.sub(n_v)).mul(z_v.neg_mul_add(z_v, z_v)).store_at(z, unit);
                dh.mul(z_v).store_at(self.carry, at);
            }
            if let Some(norm) = &self.pack.norm {
                reverse_norm::<V>(
                    n,
                    &mut self.h[row * 3 * width + 2 * width..],
                    &norm.gain_h[2 * width..],
                    &mut self.gains.h[2 * width..],
                    self.scales[3 * row + 2],
                    width,
                    norm.hidden,
                );
            }
        }
    }
}

/// The backward pass of the first stage.
pub(in crate::nn) struct ResetReverse<'a> {
    pub pack: &'a BeforePack,
    pub rows: usize,
    /// The gradient of its sum replaces `r`.
    pub gates: &'a mut [f32],
    /// With norms, the gradients of the products replace the normalised products.
    pub x: &'a mut [f32],
    pub h: &'a mut [f32],
    /// The `h` in `r ⊙ h`, `[rows, width]`.
    pub used: &'a [f32],
    /// The gradient of `r ⊙ h`; then its part that reaches `h`. `[rows, width]`
    pub dreset: &'a mut [f32],
    /// Gradient of the sums' biases, `[3, width]`, added to.
    pub bias: &'a mut [f32],
    pub scales: &'a [f32],
    pub gains: &'a mut GainGradients,
}

impl ResetReverse<'_> {
    pub fn run(self) {
        let (state, normed) = (self.rows * self.pack.width, self.pack.normed());
        assert!(self.gates.len() >= 3 * state && self.used.len() >= state && self.dreset.len() >= state);
        assert!(!normed || (self.x.len() >= 3 * state && self.h.len() >= 3 * state));
        assert!(!normed || self.scales.len() >= 3 * self.rows);
        assert!(self.bias.len() >= 3 * self.pack.width && self.gains.x.len() >= 3 * self.pack.width);
        assert!(self.gains.h.len() >= 3 * self.pack.width);
        self.pack.isa.run(self);
    }
}

impl Kernel for ResetReverse<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let width = self.pack.width;
        for row in 0..self.rows {
            let gates = &mut self.gates[row * 3 * width..][..3 * width];
            let dreset = &mut self.dreset[row * width..][..width];
            let used = &self.used[row * width..][..width];
            for unit in (0..width).step_by(V::N) {
                let (d, r) = (V::load_at(dreset, unit), V::load_at(gates, unit));
                d.mul(V::load_at(used, unit)).mul(r.neg_mul_add(r, r)).store_at(gates, unit);
                d.mul(r).store_at(dreset, unit);
            }
            for at in (0..3 * width).step_by(V::N) {
                V::load_at(self.bias, at).add(V::load_at(gates, at)).store_at(self.bias, at);
            }
            let Some(norm) = &self.pack.norm else { continue };
            for (products, gain, gradient, which, stacks) in [
                (&mut *self.x, &norm.gain_x, &mut self.gains.x, 0, 3),
                (&mut *self.h, &norm.gain_h, &mut self.gains.h, 1, 2),
            ] {
                let products = &mut products[row * 3 * width..];
                let (scale, count) = (self.scales[3 * row + which], stacks * norm.hidden);
                reverse_norm::<V>(gates, products, gain, gradient, scale, stacks * width, count);
            }
        }
    }
}
