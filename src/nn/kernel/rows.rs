//! Elementwise work on rows: gated activations, and slopes in the backward pass.

use super::math::{sigmoid, slope, tanh};
use crate::nn::Activation;
use crate::simd::{Isa, Kernel, Vector};

/// `out = tanh(a) ⊙ σ(b)` for rows of `[a | b]`, which the activations replace.
pub(in crate::nn) struct GateRows<'a> {
    pub isa: Isa,
    pub rows: usize,
    /// Whole registers.
    pub width: usize,
    /// `[rows, 2, width]`
    pub sums: &'a mut [f32],
    /// `[rows, width]`
    pub out: &'a mut [f32],
}

impl GateRows<'_> {
    pub fn run(self) {
        assert!(self.width.is_multiple_of(self.isa.lanes()));
        assert!(self.sums.len() >= 2 * self.rows * self.width && self.out.len() >= self.rows * self.width);
        self.isa.run(self);
    }
}

impl Kernel for GateRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        for row in 0..self.rows {
            let (a, b) = self.sums[2 * row * self.width..][..2 * self.width].split_at_mut(self.width);
            let out = &mut self.out[row * self.width..][..self.width];
            for unit in (0..self.width).step_by(V::N) {
                let (t, s): (V, V) = (tanh(V::load_at(a, unit)), sigmoid(V::load_at(b, unit)));
                t.store_at(a, unit);
                s.store_at(b, unit);
                t.mul(s).store_at(out, unit);
            }
        }
    }
}

/// The backward pass of [`GateRows`].
pub(in crate::nn) struct GateReverse<'a> {
    pub isa: Isa,
    pub rows: usize,
    pub width: usize,
    /// The activations; then the gradient of the sums. `[rows, 2, width]`
    pub gates: &'a mut [f32],
    /// `[rows, width]`
    pub dout: &'a [f32],
}

impl GateReverse<'_> {
    pub fn run(self) {
        assert!(self.width.is_multiple_of(self.isa.lanes()));
        assert!(self.gates.len() >= 2 * self.rows * self.width && self.dout.len() >= self.rows * self.width);
        self.isa.run(self);
    }
}

impl Kernel for GateReverse<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        for row in 0..self.rows {
            let (a, b) = self.gates[2 * row * self.width..][..2 * self.width].split_at_mut(self.width);
            let dout = &self.dout[row * self.width..][..self.width];
            for unit in (0..self.width).step_by(V::N) {
                let (t, s) = (V::load_at(a, unit), V::load_at(b, unit));
                let d = V::load_at(dout, unit);
                d.mul(s).mul(slope(Activation::Tanh, t)).store_at(a, unit);
                d.mul(t).mul(slope(Activation::Sigmoid, s)).store_at(b, unit);
            }
        }
    }
}

/// `d ← d · slope`, where `y` is the result of the activation.
pub(in crate::nn) struct Slopes<'a> {
    pub isa: Isa,
    pub activation: Activation,
    pub y: &'a [f32],
    /// As long as `y`, which is whole registers.
    pub d: &'a mut [f32],
}

impl Slopes<'_> {
    pub fn run(self) {
        assert!(self.y.len().is_multiple_of(self.isa.lanes()) && self.d.len() == self.y.len());
        self.isa.run(self);
    }
}

impl Kernel for Slopes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        for at in (0..self.y.len()).step_by(V::N) {
            let slope = slope(self.activation, V::load_at(self.y, at));
            V::load_at(self.d, at).mul(slope).store_at(self.d, at);
        }
    }
}
