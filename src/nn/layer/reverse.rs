//! The backward pass of one layer over a sequence.

use std::ops::Range;

use super::Layer;
use super::tape::{Tape, part};
use crate::nn::Cell;
use crate::nn::kernel::{
    CandidateReverse, GainGradients, NormReverse, Operand, Packed, ResetReverse, Reverse, gate_orders,
    outer_sum,
};
use crate::simd::Aligned;

/// The state of a backward pass between steps.
pub(in crate::nn) struct ReverseState {
    layer: Layer,
    /// `W_hh` transposed: all of it, or only `r` and `z`.
    w_hh: Packed,
    /// `W_hn` transposed; only with the reset gate before the product.
    w_hn: Option<Packed>,
    gains: GainGradients,
    /// `[S, W]`
    bias: Aligned,
    /// The gradient of `h` before the step that was last in this pass, `[B, W]`.
    pub dh: Aligned,
    /// LSTM: the gradient of `c`, `[B, W]`.
    pub carry: Aligned,
    dreset: Aligned,
}

impl Tape {
    /// From the gradient of every step's `h`, `[T · B, W]`, and, if given, of an LSTM's every `c`,
    /// to the gradient of the layer's flat vector and, if `dx` is given, of `x`, `[T · B, inputs in
    /// whole registers]`. Overwrites what the forward pass kept, so it can be called once.
    pub fn backward(
        &mut self,
        values: &[f32],
        dout: &[f32],
        dc: Option<&[f32]>,
        gradient: &mut [f32],
        dx: Option<&mut Aligned>,
    ) {
        let mut back = self.begin_reverse(values);
        let rows = self.batch * self.width;
        for t in (0..self.steps).rev() {
            let dc = dc.map(|dc| &dc[t * rows..(t + 1) * rows]);
            self.reverse_step(&mut back, t, &dout[t * rows..(t + 1) * rows], dc);
        }
        self.finish_reverse(&back, gradient);
        if let Some(dx) = dx {
            let weights = self.input_turned(values);
            dx.reserve(self.steps * self.batch * weights.columns());
            self.entering(&weights, 0..self.steps, dx);
        }
    }

    /// Starts a backward pass.
    pub fn begin_reverse(&mut self, values: &[f32]) -> ReverseState {
        let layer = self.weights.take().expect("a sequence goes back once, after it went forward");
        let (width, cell, rows) = (self.width, self.layout.cell, self.batch * self.width);
        let (_, h_order) = gate_orders(cell);
        let matrix = &values[self.layout.w_hh.clone()];
        let (all, hidden) = (&h_order[..cell.gates()], self.layout.hidden);
        let (together, apart) = all.split_at(if cell == Cell::GruBefore { 2 } else { all.len() });
        let zeros = Aligned::zeros;
        ReverseState {
            layer,
            w_hh: self.turned(matrix, hidden, together),
            w_hn: (!apart.is_empty()).then(|| self.turned(matrix, hidden, apart)),
            gains: GainGradients::zeros(cell.gates(), width),
            bias: zeros(cell.sums() * width),
            dh: zeros(rows),
            carry: zeros(rows),
            dreset: zeros(if apart.is_empty() { 0 } else { rows }),
        }
    }

    /// Goes back through step `t`. `dout` and `dc` are the gradients from above, `[B, W]`.
    pub fn reverse_step(&mut self, back: &mut ReverseState, t: usize, dout: &[f32], dc: Option<&[f32]>) {
        let (width, batch, cell) = (self.width, self.batch, self.layout.cell);
        let rows = batch * width;
        let ReverseState { layer, w_hh, w_hn, gains, bias, dh, carry, dreset } = back;
        dh.iter_mut().zip(dout).for_each(|(dh, d)| *dh += d);
        if let Some(dc) = dc {
            carry.iter_mut().zip(dc).for_each(|(carry, d)| *carry += d);
        }
        let now = t * rows..(t + 1) * rows;
        let (stack, sums) = (cell.gates() * width, cell.sums() * width);
        let held = match cell {
            Cell::Lstm => &self.c,
            _ if self.masks.h.is_some() => &self.raw,
            _ => &self.h,
        };
        let held = &held[now.clone()];
        let gates = &mut self.gates[t * batch * sums..(t + 1) * batch * sums];
        let x = part(&mut self.x_sums, t, batch * stack);
        let h = part(&mut self.h_sums, t, batch * stack);
        let scales = &*part(&mut self.scales, t, batch * 3);
        if let (Layer::Before { pack, .. }, Some(w_hn)) = (&*layer, w_hn) {
            let rows = batch;
            let (dh_now, used) = (&dh[..], &self.h[now]);
            let (from_gates, from_h) = (&mut *gates, &mut *h);
            CandidateReverse {
                pack,
                rows,
                gates: from_gates,
                h: from_h,
                held,
                dh: dh_now,
                carry,
                scales,
                gains,
            }
            .run();
            let from = if pack.normed() { &h[2 * width..] } else { &gates[2 * width..] };
            w_hn.times(Operand::new(from, sums, width), rows, dreset, width);
            let (from_gates, from_h) = (&mut *gates, &mut *h);
            ResetReverse { pack, rows, gates: from_gates, x, h: from_h, used, dreset, bias, scales, gains }
                .run();
            let from = if pack.normed() { &*h } else { &*gates };
            w_hh.times(Operand::new(from, sums, 2 * width), rows, dh, width);
            dh.iter_mut().zip(dreset.iter()).for_each(|(d, more)| *d += more);
        } else {
            let norm = match &*layer {
                Layer::Normed { norm, .. } => Some(norm),
                _ => None,
            };
            let normed = norm.is_some();
            Reverse {
                isa: self.isa,
                cell,
                rows: batch,
                width,
                gates: &mut *gates,
                c: if cell == Cell::Lstm { &self.c[(t + 1) * rows..(t + 2) * rows] } else { &[] },
                held,
                dh,
                carry,
                bias,
                norm: norm.map(|norm| NormReverse {
                    norm,
                    x,
                    h: &mut *h,
                    c: part(&mut self.c_normed, t, rows),
                    scales,
                    gains,
                }),
            }
            .run();
            let from = if normed {
                Operand::dense(h, stack)
            } else {
                Operand::new(&gates[cell.h_first() * width..], sums, stack)
            };
            w_hh.times(from, batch, dh, width);
        }
        if let Some(mask) = &self.masks.h {
            for (dh, mask) in dh.chunks_exact_mut(width).zip(mask.chunks_exact(self.layout.hidden)) {
                dh.iter_mut().zip(mask).for_each(|(d, m)| *d *= m);
            }
        }
        if matches!(cell, Cell::Gru | Cell::GruBefore) {
            dh.iter_mut().zip(carry.iter()).for_each(|(d, c)| *d += c);
        }
    }

    /// Writes the gradient of the layer's flat vector, after the pass has gone through every step.
    pub fn finish_reverse(&self, back: &ReverseState, gradient: &mut [f32]) {
        self.weight_gradients(gradient);
        self.vector_gradients(&back.bias, &back.gains, gradient);
    }

    /// `W_ih` transposed, for the product from the gradient of its sums to that of the input.
    pub fn input_turned(&self, values: &[f32]) -> Packed {
        let (x_order, _) = gate_orders(self.layout.cell);
        let order = &x_order[..self.layout.cell.gates()];
        self.turned(&values[self.layout.w_ih.clone()], self.layout.inputs, order)
    }

    /// The gradient of the input of some steps that the pass has gone through, `[steps · B]` rows
    /// of as many values as `weights` has columns.
    pub fn entering(&self, weights: &Packed, steps: Range<usize>, dx: &mut [f32]) {
        let (from, stride) = (self.sums(true), weights.columns());
        let from = Operand { values: &from.values[steps.start * self.batch * from.stride..], ..from };
        let rows = steps.len() * self.batch;
        weights.times(from, rows, dx, stride);
        if let Some(mask) = &self.masks.x {
            let mut masks = mask.chunks_exact(self.layout.inputs).cycle();
            for (dx, mask) in dx[..rows * stride].chunks_exact_mut(stride).zip(&mut masks) {
                dx.iter_mut().zip(mask).for_each(|(d, m)| *d *= m);
            }
        }
    }

    /// A stacked weight matrix `[gates · hidden, depth]` transposed, for the product from the
    /// gradient of its sums to that of its input.
    fn turned(&self, matrix: &[f32], depth: usize, order: &[usize]) -> Packed {
        let (hidden, width) = (self.layout.hidden, self.width);
        Packed::new(self.isa, depth, order.len() * width, |column, k| match k % width {
            unit if unit < hidden => matrix[(order[k / width] * hidden + unit) * depth + column],
            _ => 0.0,
        })
    }

    /// The gradient of the sums of `W_ih` (or `W_hh`), `[T · B]` rows of `[G, W]`.
    fn sums(&self, x: bool) -> Operand<'_> {
        let (cell, width) = (self.layout.cell, self.width);
        let gates = cell.gates() * width;
        let first = if x { 0 } else { cell.h_first() * width };
        match (self.layout.gains.is_some(), x) {
            (true, true) => Operand::dense(&self.x_sums, gates),
            (true, false) => Operand::dense(&self.h_sums, gates),
            (false, _) => Operand { values: &self.gates[first..], stride: cell.sums() * width, width: gates },
        }
    }

    /// The gradients of `W_ih` and `W_hh`.
    fn weight_gradients(&self, gradient: &mut [f32]) {
        let (layout, width) = (&self.layout, self.width);
        let (x_order, h_order) = gate_orders(layout.cell);
        let gates = layout.cell.gates();
        let x = Operand::dense(&self.x, layout.inputs);
        let wide = |values| Operand { values, stride: width, width: layout.hidden };
        let (x_sums, h_sums) = (self.sums(true), self.sums(false));
        if layout.cell == Cell::GruBefore {
            let [first, last] = [(0, 2), (2, 1)].map(|(from, count)| Operand {
                values: &h_sums.values[from * width..],
                stride: h_sums.stride,
                width: count * width,
            });
            self.matrix_gradient(x, x_sums, layout.w_ih.start, &x_order[..3], gradient);
            self.matrix_gradient(wide(&self.h), first, layout.w_hh.start, &[0, 1], gradient);
            self.matrix_gradient(wide(&self.reset), last, layout.w_hh.start, &[2], gradient);
        } else {
            self.matrix_gradient(x, x_sums, layout.w_ih.start, &x_order[..gates], gradient);
            self.matrix_gradient(wide(&self.h), h_sums, layout.w_hh.start, &h_order[..gates], gradient);
        }
    }

    /// The gradient of some gates of a stacked matrix at `to`, from its input and the gradient of
    /// its output.
    fn matrix_gradient(&self, a: Operand, b: Operand, to: usize, order: &[usize], gradient: &mut [f32]) {
        let (hidden, stack) = (self.layout.hidden, order.len() * self.width);
        let mut sum = Aligned::zeros(a.width * stack);
        outer_sum(self.isa, self.steps * self.batch, a, b, &mut sum);
        for (place, gate) in order.iter().enumerate() {
            for unit in 0..hidden {
                let row = &mut gradient[to + (gate * hidden + unit) * a.width..][..a.width];
                for (k, out) in row.iter_mut().enumerate() {
                    *out = sum[k * stack + place * self.width + unit];
                }
            }
        }
    }

    /// The gradients of biases and gains.
    fn vector_gradients(&self, bias: &[f32], gains: &GainGradients, gradient: &mut [f32]) {
        let (layout, width) = (&self.layout, self.width);
        let (hidden, gates) = (layout.hidden, layout.cell.gates());
        let (x_order, h_order) = gate_orders(layout.cell);
        let mut put = |to: usize, gate: usize, from: &[f32]| {
            gradient[to + gate * hidden..][..hidden].copy_from_slice(&from[..hidden]);
        };
        for place in 0..gates {
            put(layout.b_ih.start, x_order[place], &bias[place * width..]);
            put(layout.b_hh.start, h_order[place], &bias[(layout.cell.h_first() + place) * width..]);
            if let Some((x, h)) = &layout.gains {
                put(x.start, x_order[place], &gains.x[place * width..]);
                put(h.start, h_order[place], &gains.h[place * width..]);
            }
        }
        if let Some((gain, bias)) = &layout.c_norm {
            put(gain.start, 0, &gains.c);
            put(bias.start, 0, &gains.c_bias);
        }
    }
}
