//! The way back through the gates and norms of one step, for training.

use super::cell::{Gates, GruGates, LstmGates, RnnGates};
use super::lanes::Lanes;
use super::math::{slope, tanh};
use super::{Aligned, Isa, Kernel, LayerNorm};
use crate::nn::Cell;

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
    /// The whole gradient of the new `h`, `[rows, width]`.
    pub dh: &'a [f32],
    /// LSTM: the gradient of `c`, after this step's, then before it. GRU: the part of the gradient
    /// of the old `h` that `z` lets through. A simple RNN has none. `[rows, width]`
    pub carry: &'a mut [f32],
    /// Gradient of the sums' biases, `[sums, width]`, added to.
    pub bias: &'a mut [f32],
    pub norm: Option<NormReverse<'a>>,
}

/// The same through the norms.
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

    /// `u` is what `tanh` was taken of for `h`: `c`, or the normalised and scaled `c`.
    ///
    /// # Safety
    /// `run` has checked the lengths.
    #[inline(always)]
    unsafe fn lstm_row<V: Lanes>(&mut self, row: usize) {
        unsafe {
            let (width, one) = (self.width, V::splat(1.0));
            let [i, f, g, o] = self.gate_rows(row);
            let c = self.c.as_ptr().add(row * width);
            let held = self.held.as_ptr().add(row * width);
            let dh = self.dh.as_ptr().add(row * width);
            let carry = self.carry.as_mut_ptr().add(row * width);
            if let Some(norm) = &mut self.norm {
                norm.c_row::<V>(row, o, dh, carry);
            }
            for unit in (0..width).step_by(V::N) {
                let mut dc = V::load(carry.add(unit));
                if self.norm.is_none() {
                    let (dh, o_v) = (V::load(dh.add(unit)), V::load(o.add(unit)));
                    let t = tanh(V::load(c.add(unit)));
                    dc = dh.mul(o_v).mul_add(t.neg_mul_add(t, one), dc);
                    dh.mul(t).mul(o_v.neg_mul_add(o_v, o_v)).store(o.add(unit));
                }
                let (i_v, f_v) = (V::load(i.add(unit)), V::load(f.add(unit)));
                let g_v = V::load(g.add(unit));
                dc.mul(g_v).mul(i_v.neg_mul_add(i_v, i_v)).store(i.add(unit));
                dc.mul(V::load(held.add(unit))).mul(f_v.neg_mul_add(f_v, f_v)).store(f.add(unit));
                dc.mul(i_v).mul(g_v.neg_mul_add(g_v, one)).store(g.add(unit));
                dc.mul(f_v).store(carry.add(unit));
            }
        }
    }

    /// # Safety
    /// `run` has checked the lengths.
    #[inline(always)]
    unsafe fn gru_row<V: Lanes>(&mut self, row: usize) {
        unsafe {
            let (width, one) = (self.width, V::splat(1.0));
            let [n, r, z, nh] = self.gate_rows(row);
            for unit in (0..width).step_by(V::N) {
                let dh = V::load(self.dh.as_ptr().add(row * width + unit));
                let held = V::load(self.held.as_ptr().add(row * width + unit));
                let (n_v, r_v) = (V::load(n.add(unit)), V::load(r.add(unit)));
                let (z_v, nh_v) = (V::load(z.add(unit)), V::load(nh.add(unit)));
                let dn = dh.mul(one.sub(z_v)).mul(n_v.neg_mul_add(n_v, one));
                dn.store(n.add(unit));
                dn.mul(nh_v).mul(r_v.neg_mul_add(r_v, r_v)).store(r.add(unit));
                dh.mul(held.sub(n_v)).mul(z_v.neg_mul_add(z_v, z_v)).store(z.add(unit));
                dn.mul(r_v).store(nh.add(unit));
                dh.mul(z_v).store(self.carry.as_mut_ptr().add(row * width + unit));
            }
        }
    }

    /// # Safety
    /// `run` has checked the lengths.
    #[inline(always)]
    unsafe fn rnn_row<V: Lanes, const RELU: bool>(&mut self, row: usize) {
        unsafe {
            for at in (row * self.width..(row + 1) * self.width).step_by(V::N) {
                let sum = self.gates.as_mut_ptr().add(at);
                let slope = slope(RnnGates::<RELU>::ACTIVATION, V::load(sum));
                V::load(self.dh.as_ptr().add(at)).mul(slope).store(sum);
            }
        }
    }

    /// # Safety
    /// `run` has checked the lengths.
    #[inline(always)]
    unsafe fn gate_rows(&mut self, row: usize) -> [*mut f32; 4] {
        unsafe {
            let p = self.gates.as_mut_ptr().add(row * 4 * self.width);
            [p, p.add(self.width), p.add(2 * self.width), p.add(3 * self.width)]
        }
    }

    /// What every cell does with a row's gradient of the sums.
    ///
    /// # Safety
    /// `run` has checked the lengths.
    #[inline(always)]
    unsafe fn finish_row<V: Lanes, C: Gates>(&mut self, row: usize) {
        unsafe {
            let sums = self.gates.as_ptr().add(row * C::SUMS * self.width);
            let bias = self.bias.as_mut_ptr();
            for at in (0..C::SUMS * self.width).step_by(V::N) {
                V::load(bias.add(at)).add(V::load(sums.add(at))).store(bias.add(at));
            }
            let Some(n) = &mut self.norm else { return };
            let stack = C::GATES * self.width;
            let count = C::GATES * n.norm.hidden;
            reverse_norm::<V>(
                sums.add(C::X_FIRST * self.width),
                n.x.as_mut_ptr().add(row * stack),
                n.norm.gain_x.as_ptr(),
                n.gains.x.as_mut_ptr(),
                n.scales[3 * row],
                stack,
                count,
            );
            reverse_norm::<V>(
                sums.add(C::H_FIRST * self.width),
                n.h.as_mut_ptr().add(row * stack),
                n.norm.gain_h.as_ptr(),
                n.gains.h.as_mut_ptr(),
                n.scales[3 * row + 1],
                stack,
                count,
            );
        }
    }
}

impl NormReverse<'_> {
    /// `h = o tanh(γ ĉ + β)`: turns `o` into the gradient of its sum and adds to the gradient of `c`.
    ///
    /// # Safety
    /// `Reverse::run` has checked the lengths.
    #[inline(always)]
    unsafe fn c_row<V: Lanes>(&mut self, row: usize, o: *mut f32, dh: *const f32, carry: *mut f32) {
        unsafe {
            let (width, one) = (self.norm.width, V::splat(1.0));
            let c = self.c.as_ptr().add(row * width);
            let scale = self.scales[3 * row + 2];
            let (mut sum, mut dot) = (V::splat(0.0), V::splat(0.0));
            for unit in (0..width).step_by(V::N) {
                let (c_v, gain) = (V::load(c.add(unit)), V::load(self.norm.gain_c.as_ptr().add(unit)));
                let t = tanh(c_v.mul_add(gain, V::load(self.norm.bias_c.as_ptr().add(unit))));
                let (dh, o_v) = (V::load(dh.add(unit)), V::load(o.add(unit)));
                dh.mul(t).mul(o_v.neg_mul_add(o_v, o_v)).store(o.add(unit));
                let du = dh.mul(o_v).mul(t.neg_mul_add(t, one));
                let (gain_to, bias_to) =
                    (self.gains.c.as_mut_ptr().add(unit), self.gains.c_bias.as_mut_ptr().add(unit));
                du.mul_add(c_v, V::load(gain_to)).store(gain_to);
                du.add(V::load(bias_to)).store(bias_to);
                let d = du.mul(gain);
                sum = sum.add(d);
                dot = d.mul_add(c_v, dot);
                d.mul_add(V::splat(scale), V::load(carry.add(unit))).store(carry.add(unit));
            }
            let n = self.norm.hidden as f32;
            let (sum, dot) = (V::splat(sum.sum() * scale / n), V::splat(dot.sum() * scale / n));
            for unit in (0..width).step_by(V::N) {
                let d = V::load(carry.add(unit)).sub(sum);
                V::load(c.add(unit)).neg_mul_add(dot, d).store(carry.add(unit));
            }
        }
    }
}

/// Back through `y = γ x̂`, `x̂ = (x − mean) · scale`: from `dy` to `dx`, which replaces `x̂`.
/// `dx = scale · (d − mean(d) − x̂ · mean(d x̂))` with `d = γ dy`; `dγ += dy x̂`.
#[inline(always)]
pub(super) unsafe fn reverse_norm<V: Lanes>(
    dy: *const f32,
    x: *mut f32,
    gain: *const f32,
    gain_gradient: *mut f32,
    scale: f32,
    len: usize,
    count: usize,
) {
    unsafe {
        let (mut sum, mut dot) = (V::splat(0.0), V::splat(0.0));
        for at in (0..len).step_by(V::N) {
            let (dy, x) = (V::load(dy.add(at)), V::load(x.add(at)));
            let d = dy.mul(V::load(gain.add(at)));
            sum = sum.add(d);
            dot = d.mul_add(x, dot);
            let to = gain_gradient.add(at);
            dy.mul_add(x, V::load(to)).store(to);
        }
        let (sum, dot) = (V::splat(sum.sum() / count as f32), V::splat(dot.sum() / count as f32));
        let scale = V::splat(scale);
        for at in (0..len).step_by(V::N) {
            let d = V::load(dy.add(at)).mul(V::load(gain.add(at)));
            V::load(x.add(at)).neg_mul_add(dot, d.sub(sum)).mul(scale).store(x.add(at));
        }
    }
}

impl Kernel for Reverse<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(mut self) {
        // SAFETY: `Reverse::run` has checked every length.
        unsafe {
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
}
