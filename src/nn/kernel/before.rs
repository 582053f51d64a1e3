//! The GRU whose reset gate comes before the product: `r` must be whole before the candidate's product
//! can be made, so a step is two stages with a product in between, and so is the way back.

use super::cell::sum_biases;
use super::lanes::Lanes;
use super::math::{sigmoid, tanh};
use super::reverse::reverse_norm;
use super::{Aligned, GainGradients, Isa, Kernel, LayerNorm, Operand};
use crate::nn::blueprint::LayerLayout;

/// A layer's biases and norms. Rows of sums and activations are `r, z, n`.
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

    pub fn normed(&self) -> bool {
        self.norm.is_some()
    }

    /// The sum of gate `g` at `unit`, from the rows of both products.
    ///
    /// # Safety
    /// The rows can be read.
    #[inline(always)]
    unsafe fn sum<V: Lanes>(&self, g: usize, unit: usize, x: *const f32, h: *const f32) -> V {
        unsafe {
            let at = g * self.width + unit;
            let (x, h) = (V::load(x.add(at)), V::load(h.add(at)));
            let bias = V::load(self.bias.as_ptr().add(at));
            match &self.norm {
                None => x.add(h).add(bias),
                Some(norm) => {
                    let (gain_x, gain_h) = (norm.gain_x.as_ptr().add(at), norm.gain_h.as_ptr().add(at));
                    x.mul_add(V::load(gain_x), h.mul_add(V::load(gain_h), bias))
                }
            }
        }
    }
}

/// The first stage: `r`, `z`, and `r ⊙ h`.
pub(in crate::nn) struct ResetRows<'a> {
    pub pack: &'a BeforePack,
    pub rows: usize,
    /// `W_ih x`, `[rows, 3, width]`; normalised in place where there are norms.
    pub x: &'a mut [f32],
    /// `W_hh h` of `r` and `z`, and room for `n`'s, `[rows, 3, width]`; normalised likewise.
    pub h: &'a mut [f32],
    /// What the gates multiply, `[rows, hidden in whole registers]`.
    pub used: Operand<'a>,
    /// `r` and `z` go here, `[rows, 3, width]`.
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
    unsafe fn run<V: Lanes>(self) {
        let width = self.pack.width;
        for row in 0..self.rows {
            // SAFETY: `ResetRows::run` has checked every length.
            unsafe {
                let x = self.x.as_mut_ptr().add(row * 3 * width);
                let h = self.h.as_mut_ptr().add(row * 3 * width);
                if let Some(norm) = &self.pack.norm {
                    self.scales[3 * row] = norm.normalise::<V>(x, 3);
                    self.scales[3 * row + 1] = norm.normalise::<V>(h, 2);
                }
                let gates = self.gates.as_mut_ptr().add(row * 3 * width);
                let used = self.used.values.as_ptr().add(row * self.used.stride);
                for unit in (0..width).step_by(V::N) {
                    let r: V = sigmoid(self.pack.sum(0, unit, x, h));
                    let z: V = sigmoid(self.pack.sum(1, unit, x, h));
                    r.store(gates.add(unit));
                    z.store(gates.add(width + unit));
                    let reset = self.reset.as_mut_ptr().add(row * width + unit);
                    r.mul(V::load(used.add(unit))).store(reset);
                }
            }
        }
    }
}

/// The second stage: `n`, and `h' = n + z (h − n)`.
pub(in crate::nn) struct CandidateRows<'a> {
    pub pack: &'a BeforePack,
    pub rows: usize,
    /// As the first stage left it.
    pub x: &'a [f32],
    /// `W_hn (r ⊙ h)` has come in.
    pub h: &'a mut [f32],
    /// What `z` keeps, `[rows, width]`.
    pub held: Operand<'a>,
    /// `n` goes here too.
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
    unsafe fn run<V: Lanes>(self) {
        let width = self.pack.width;
        for row in 0..self.rows {
            // SAFETY: `CandidateRows::run` has checked every length.
            unsafe {
                let x = self.x.as_ptr().add(row * 3 * width);
                let h = self.h.as_mut_ptr().add(row * 3 * width);
                if let Some(norm) = &self.pack.norm {
                    self.scales[3 * row + 2] = norm.normalise::<V>(h.add(2 * width), 1);
                }
                let gates = self.gates.as_mut_ptr().add(row * 3 * width);
                let held = self.held.values.as_ptr().add(row * self.held.stride);
                for unit in (0..width).step_by(V::N) {
                    let n: V = tanh(self.pack.sum(2, unit, x, h));
                    n.store(gates.add(2 * width + unit));
                    let z = V::load(gates.add(width + unit));
                    let kept = V::load(held.add(unit)).sub(n);
                    z.mul_add(kept, n).store(self.out.as_mut_ptr().add(row * width + unit));
                }
            }
        }
    }
}

/// Back through the second stage.
pub(in crate::nn) struct CandidateReverse<'a> {
    pub pack: &'a BeforePack,
    pub rows: usize,
    /// `z` and `n` become the gradients of their sums, `[rows, 3, width]`.
    pub gates: &'a mut [f32],
    /// With norms: the normalised product of `n` becomes the gradient of the product.
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
    unsafe fn run<V: Lanes>(self) {
        let width = self.pack.width;
        for row in 0..self.rows {
            // SAFETY: `CandidateReverse::run` has checked every length.
            unsafe {
                let one = V::splat(1.0);
                let gates = self.gates.as_mut_ptr().add(row * 3 * width);
                let (z, n) = (gates.add(width), gates.add(2 * width));
                for unit in (0..width).step_by(V::N) {
                    let at = row * width + unit;
                    let (dh, held) = (V::load(self.dh.as_ptr().add(at)), V::load(self.held.as_ptr().add(at)));
                    let (z_v, n_v) = (V::load(z.add(unit)), V::load(n.add(unit)));
                    dh.mul(one.sub(z_v)).mul(n_v.neg_mul_add(n_v, one)).store(n.add(unit));
                    dh.mul(held.sub(n_v)).mul(z_v.neg_mul_add(z_v, z_v)).store(z.add(unit));
                    dh.mul(z_v).store(self.carry.as_mut_ptr().add(at));
                }
                if let Some(norm) = &self.pack.norm {
                    reverse_norm::<V>(
                        n,
                        self.h.as_mut_ptr().add(row * 3 * width + 2 * width),
                        norm.gain_h.as_ptr().add(2 * width),
                        self.gains.h.as_mut_ptr().add(2 * width),
                        self.scales[3 * row + 2],
                        width,
                        norm.hidden,
                    );
                }
            }
        }
    }
}

/// Back through the first stage.
pub(in crate::nn) struct ResetReverse<'a> {
    pub pack: &'a BeforePack,
    pub rows: usize,
    /// `r` becomes the gradient of its sum.
    pub gates: &'a mut [f32],
    /// With norms: the normalised products become the gradients of the products.
    pub x: &'a mut [f32],
    pub h: &'a mut [f32],
    /// What the gates multiplied, `[rows, width]`.
    pub used: &'a [f32],
    /// The gradient of `r ⊙ h`; then what of it goes to `h`. `[rows, width]`
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
    unsafe fn run<V: Lanes>(self) {
        let width = self.pack.width;
        for row in 0..self.rows {
            // SAFETY: `ResetReverse::run` has checked every length.
            unsafe {
                let gates = self.gates.as_mut_ptr().add(row * 3 * width);
                for unit in (0..width).step_by(V::N) {
                    let dreset = self.dreset.as_mut_ptr().add(row * width + unit);
                    let (d, r) = (V::load(dreset), V::load(gates.add(unit)));
                    let used = V::load(self.used.as_ptr().add(row * width + unit));
                    d.mul(used).mul(r.neg_mul_add(r, r)).store(gates.add(unit));
                    d.mul(r).store(dreset);
                }
                for at in (0..3 * width).step_by(V::N) {
                    let bias = self.bias.as_mut_ptr().add(at);
                    V::load(bias).add(V::load(gates.add(at))).store(bias);
                }
                let Some(norm) = &self.pack.norm else { continue };
                for (products, gain, gradient, which, stacks) in [
                    (self.x.as_mut_ptr(), norm.gain_x.as_ptr(), self.gains.x.as_mut_ptr(), 0, 3),
                    (self.h.as_mut_ptr(), norm.gain_h.as_ptr(), self.gains.h.as_mut_ptr(), 1, 2),
                ] {
                    let products = products.add(row * 3 * width);
                    let (scale, count) = (self.scales[3 * row + which], stacks * norm.hidden);
                    reverse_norm::<V>(gates, products, gain, gradient, scale, stacks * width, count);
                }
            }
        }
    }
}
