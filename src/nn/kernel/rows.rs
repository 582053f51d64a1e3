//! Units that stand side by side in rows: gated activations, and slopes on the way back.

use super::lanes::Lanes;
use super::math::{sigmoid, slope, tanh};
use super::{Isa, Kernel};
use crate::nn::Activation;

/// `out = tanh(a) ⊙ σ(b)` for rows of `[a | b]`, which become the activations.
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
    unsafe fn run<V: Lanes>(self) {
        for row in 0..self.rows {
            for unit in (0..self.width).step_by(V::N) {
                // SAFETY: `GateRows::run` has checked every length.
                unsafe {
                    let a = self.sums.as_mut_ptr().add(2 * row * self.width + unit);
                    let b = a.add(self.width);
                    let (t, s): (V, V) = (tanh(V::load(a)), sigmoid(V::load(b)));
                    t.store(a);
                    s.store(b);
                    t.mul(s).store(self.out.as_mut_ptr().add(row * self.width + unit));
                }
            }
        }
    }
}

/// Back through [`GateRows`].
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
    unsafe fn run<V: Lanes>(self) {
        for row in 0..self.rows {
            for unit in (0..self.width).step_by(V::N) {
                // SAFETY: `GateReverse::run` has checked every length.
                unsafe {
                    let a = self.gates.as_mut_ptr().add(2 * row * self.width + unit);
                    let b = a.add(self.width);
                    let (t, s) = (V::load(a), V::load(b));
                    let d = V::load(self.dout.as_ptr().add(row * self.width + unit));
                    d.mul(s).mul(slope(Activation::Tanh, t)).store(a);
                    d.mul(t).mul(slope(Activation::Sigmoid, s)).store(b);
                }
            }
        }
    }
}

/// `d ← d · slope`, where `y` is what the activation gave.
pub(in crate::nn) struct Slopes<'a> {
    pub isa: Isa,
    pub activation: Activation,
    pub y: &'a [f32],
    /// As long as `y`, whole registers.
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
    unsafe fn run<V: Lanes>(self) {
        for at in (0..self.y.len()).step_by(V::N) {
            // SAFETY: `Slopes::run` has checked every length.
            unsafe {
                let d = self.d.as_mut_ptr().add(at);
                let slope = slope(self.activation, V::load(self.y.as_ptr().add(at)));
                V::load(d).mul(slope).store(d);
            }
        }
    }
}
