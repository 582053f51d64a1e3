//! The backward pass through the gates and norms of one step.

use super::LayerNorm;
use super::cell::{Gates, GruGates, LstmGates, RnnGates};
use super::math::{slope, tanh};
use crate::nn::Cell;
use crate::simd::{Aligned, Isa, Kernel, Vector};

/// From the gradient of a step's `h` to the gradient of its sums.
pub(in crate::nn) struct Reverse<'a> {
    pub isa: Isa,
    pub cell: Cell,
    pub rows: usize,
    pub width: usize,
    /// The activations; then the gradient of the sums. `[rows, sums, width]`
    pub gates: &'a mut [f32],
    /// LSTM: the step's new `c`, `[rows, width]`.
    pub c: &'a [f32],
    /// What the units held before: `c` (LSTM) or `h` (GRU), `[rows, width]`.
    pub held: &'a [f32],
    /// The gradient of the new `h`, `[rows, width]`.
    pub dh: &'a [f32],
    /// LSTM: the gradient of the new `c`; then that of the old. GRU: the part of the gradient of
    /// the old `h` that `z` lets through. Unused by a simple RNN. `[rows, width]`
    pub carry: &'a mut [f32],
    /// Gradient of the sums' biases, `[sums, width]`, added to.
    pub bias: &'a mut [f32],
    pub norm: Option<NormReverse<'a>>,
}

/// The norms' part of the backward pass.
pub(in crate::nn) struct NormReverse<'a> {
    pub norm: &'a LayerNorm,
    /// The normalised products; then the gradient of the products. `[rows, gates, width]` each.
    pub x: &'a mut [f32],
    pub h: &'a mut [f32],
    /// LSTM: the normalised `c`, `[rows, width]`.
    pub c: &'a [f32],
    /// `[rows, 3]`, see [`super::NormSaved`].
    pub scales: &'a [f32],
    pub gains: &'a mut GainGradients,
}

/// Gradients of the norms' parameters, in the order of the kernels' rows, added to.
pub(in crate::nn) struct GainGradients {
    /// `[gates, width]` each
    pub x: Aligned,
    pub h: Aligned,
    /// `[width]` each
    pub c: Aligned,
    pub c_bias: Aligned,
}

impl GainGradients {
    /// Zeros, for a cell of `gates` gates of `width` padded units.
    pub fn zeros(gates: usize, width: usize) -> Self {
        let z = Aligned::zeros;
        Self { x: z(gates * width), h: z(gates * width), c: z(width), c_bias: z(width) }
    }
}

impl Reverse<'_> {
    pub fn run(self) {
        let (state, gates) = (self.rows * self.width, self.cell.gates());
        let sums = self.cell.sums();
        assert!(self.width.is_multiple_of(self.isa.lanes()) && self.bias.len() >= sums * self.width);
        assert!(self.gates.len() >= sums * state && self.held.len() >= state);
        assert!(self.dh.len() >= state && self.carry.len() >= state);
        assert!(self.cell != Cell::Lstm || self.c.len() >= state);
        if let Some(n) = &self.norm {
            assert!(n.norm.width == self.width && n.norm.cell == self.cell);
            assert!(n.x.len() >= gates * state && n.h.len() >= gates * state);
            assert!(n.scales.len() >= 3 * self.rows && (self.cell != Cell::Lstm || n.c.len() >= state));
            assert!(n.gains.x.len() >= gates * self.width && n.gains.h.len() >= gates * self.width);
            assert!(n.gains.c.len() >= self.width && n.gains.c_bias.len() >= self.width);
        }
        self.isa.run(self);
    }

    /// `δi = δc g i (1 − i)`, `δf = δc c f (1 − f)`, `δg = δc i (1 − g²)`, `δo = δh tanh(c) o (1 −
    /// o)`, with `δc += δh o (1 − tanh²(c))`.
    #[inline(always)]
    fn lstm_row<V: Vector>(&mut self, row: usize) {
        let (width, one) = (self.width, V::splat(1.0));
        let [i, f, g, o] = gate_rows(self.gates, row, width);
        let c = &self.c[row * width..][..width];
        let held = &self.held[row * width..][..width];
        let dh = &self.dh[row * width..][..width];
        let carry = &mut self.carry[row * width..][..width];
        if let Some(norm) = &mut self.norm {
            norm.c_row::<V>(row, o, dh, carry);
        }
        for unit in (0..width).step_by(V::N) {
            let mut dc = V::load_at(carry, unit);
            if self.norm.is_none() {
                let (dh, o_v) = (V::load_at(dh, unit), V::load_at(o, unit));
                let t = tanh(V::load_at(c, unit));
                dc = dh.mul(o_v).mul_add(t.neg_mul_add(t, one), dc);
                dh.mul(t).mul(o_v.neg_mul_add(o_v, o_v)).store_at(o, unit);
            }
            let (i_v, f_v) = (V::load_at(i, unit), V::load_at(f, unit));
            let g_v = V::load_at(g, unit);
            dc.mul(g_v).mul(i_v.neg_mul_add(i_v, i_v)).store_at(i, unit);
            dc.mul(V::load_at(held, unit)).mul(f_v.neg_mul_add(f_v, f_v)).store_at(f, unit);
            dc.mul(i_v).mul(g_v.neg_mul_add(g_v, one)).store_at(g, unit);
            dc.mul(f_v).store_at(carry, unit);
        }
    }

    #[inline(always)]
    fn gru_row<V: Vector>(&mut self, row: usize) {
        let (width, one) = (self.width, V::splat(1.0));
        let [n, r, z, nh] = gate_rows(self.gates, row, width);
        let held = &self.held[row * width..][..width];
        let dh = &self.dh[row * width..][..width];
        let carry = &mut self.carry[row * width..][..width];
        for unit in (0..width).step_by(V::N) {
            let dh = V::load_at(dh, unit);
            let held = V::load_at(held, unit);
            let (n_v, r_v) = (V::load_at(n, unit), V::load_at(r, unit));
            let (z_v, nh_v) = (V::load_at(z, unit), V::load_at(nh, unit));
            let dn = dh.mul(one.sub(z_v)).mul(n_v.neg_mul_add(n_v, one));
            dn.store_at(n, unit);
            dn.mul(nh_v).mul(r_v.neg_mul_add(r_v, r_v)).store_at(r, unit);
            dh.mul(held.sub(n_v)).mul(z_v.neg_mul_add(z_v, z_v)).store_at(z, unit);
            dn.mul(r_v).store_at(nh, unit);
            dh.mul(z_v).store_at(carry, unit);
        }
    }

    #[inline(always)]
    fn rnn_row<V: Vector, const RELU: bool>(&mut self, row: usize) {
        let (from, len) = (row * self.width, self.width);
        let dh = self.dh[from..][..len].chunks_exact(V::N);
        for (sum, dh) in self.gates[from..][..len].chunks_exact_mut(V::N).zip(dh) {
            let slope = slope(RnnGates::<RELU>::ACTIVATION, V::load(sum));
            V::load(dh).mul(slope).store(sum);
        }
    }

    /// The part that all cells share: gradients of the biases and through the norms, from a row's
    /// gradient of the sums.
    #[inline(always)]
    fn finish_row<V: Vector, C: Gates>(&mut self, row: usize) {
        let len = C::SUMS * self.width;
        let sums = &self.gates[row * len..][..len];
        for (bias, sums) in self.bias[..len].chunks_exact_mut(V::N).zip(sums.chunks_exact(V::N)) {
            V::load(bias).add(V::load(sums)).store(bias);
        }
        let Some(n) = &mut self.norm else { return };
        let stack = C::GATES * self.width;
        let count = C::GATES * n.norm.hidden;
        reverse_norm::<V>(
            &sums[C::X_FIRST * self.width..],
            &mut n.x[row * stack..],
            &n.norm.gain_x,
            &mut n.gains.x,
            n.scales[3 * row],
            stack,
            count,
        );
        reverse_norm::<V>(
            &sums[C::H_FIRST * self.width..],
            &mut n.h[row * stack..],
            &n.norm.gain_h,
            &mut n.gains.h,
            n.scales[3 * row + 1],
            stack,
            count,
        );
    }
}

/// The four activations of row `row`, `[width]` each.
#[inline(always)]
fn gate_rows(gates: &mut [f32], row: usize, width: usize) -> [&mut [f32]; 4] {
    let (first, second) = gates[row * 4 * width..][..4 * width].split_at_mut(2 * width);
    let ((a, b), (c, d)) = (first.split_at_mut(width), second.split_at_mut(width));
    // Slices of one known length: a loop over them checks its index once.
    [&mut a[..width], &mut b[..width], &mut c[..width], &mut d[..width]]
}

impl NormReverse<'_> {
    /// `h = o tanh(γ ĉ + β)`: replaces `o` by the gradient of its sum and adds to the gradient of
    /// `c`.
    #[inline(always)]
    fn c_row<V: Vector>(&mut self, row: usize, o: &mut [f32], dh: &[f32], carry: &mut [f32]) {
        let (width, one) = (self.norm.width, V::splat(1.0));
        let c = &self.c[row * width..][..width];
        let (gain, shift) = (&self.norm.gain_c[..width], &self.norm.bias_c[..width]);
        let (gain_to, bias_to) = (&mut self.gains.c[..width], &mut self.gains.c_bias[..width]);
        let (o, dh, carry) = (&mut o[..width], &dh[..width], &mut carry[..width]);
        let scale = self.scales[3 * row + 2];
        let (mut sum, mut dot) = (V::splat(0.0), V::splat(0.0));
        for unit in (0..width).step_by(V::N) {
            let (c_v, gain) = (V::load_at(c, unit), V::load_at(gain, unit));
            let t = tanh(c_v.mul_add(gain, V::load_at(shift, unit)));
            let (dh, o_v) = (V::load_at(dh, unit), V::load_at(o, unit));
            dh.mul(t).mul(o_v.neg_mul_add(o_v, o_v)).store_at(o, unit);
            let du = dh.mul(o_v).mul(t.neg_mul_add(t, one));
            du.mul_add(c_v, V::load_at(gain_to, unit)).store_at(gain_to, unit);
            du.add(V::load_at(bias_to, unit)).store_at(bias_to, unit);
            let d = du.mul(gain);
            sum = sum.add(d);
            dot = d.mul_add(c_v, dot);
            d.mul_add(V::splat(scale), V::load_at(carry, unit)).store_at(carry, unit);
        }
        let n = self.norm.hidden as f32;
        let (sum, dot) = (V::splat(sum.sum() * scale / n), V::splat(dot.sum() * scale / n));
        for unit in (0..width).step_by(V::N) {
            let d = V::load_at(carry, unit).sub(sum);
            V::load_at(c, unit).neg_mul_add(dot, d).store_at(carry, unit);
        }
    }
}

/// The backward pass of `y = γ x̂`, `x̂ = (x − mean) · scale`: from `dy` to `dx`, which replaces
/// `x̂` in `x`. `dx = scale · (d − mean(d) − x̂ · mean(d x̂))` with `d = γ dy`; `dγ += dy x̂`.
#[inline(always)]
pub(super) fn reverse_norm<V: Vector>(
    dy: &[f32],
    x: &mut [f32],
    gain: &[f32],
    gain_gradient: &mut [f32],
    scale: f32,
    len: usize,
    count: usize,
) {
    let (dy, x) = (&dy[..len], &mut x[..len]);
    let (gain, gain_gradient) = (&gain[..len], &mut gain_gradient[..len]);
    let (mut sum, mut dot) = (V::splat(0.0), V::splat(0.0));
    for at in (0..len).step_by(V::N) {
        let (dy, x) = (V::load_at(dy, at), V::load_at(x, at));
        let d = dy.mul(V::load_at(gain, at));
        sum = sum.add(d);
        dot = d.mul_add(x, dot);
        dy.mul_add(x, V::load_at(gain_gradient, at)).store_at(gain_gradient, at);
    }
    let (sum, dot) = (V::splat(sum.sum() / count as f32), V::splat(dot.sum() / count as f32));
    let scale = V::splat(scale);
    for at in (0..len).step_by(V::N) {
        let d = V::load_at(dy, at).mul(V::load_at(gain, at));
        V::load_at(x, at).neg_mul_add(dot, d.sub(sum)).mul(scale).store_at(x, at);
    }
}

impl Kernel for Reverse<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self) {
        for row in 0..self.rows {
            match self.cell {
                Cell::RnnTanh => {
                    self.rnn_row::<V, false>(row);
                    self.finish_row::<V, RnnGates<false>>(row);
                }
                Cell::RnnRelu => {
                    self.rnn_row::<V, true>(row);
                    self.finish_row::<V, RnnGates<true>>(row);
                }
                Cell::Lstm => {
                    self.lstm_row::<V>(row);
                    self.finish_row::<V, LstmGates>(row);
                }
                Cell::Gru => {
                    self.gru_row::<V>(row);
                    self.finish_row::<V, GruGates>(row);
                }
                Cell::GruBefore => unreachable!("its sums are not made at once"),
            }
        }
    }
}
