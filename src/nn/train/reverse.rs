//! The way back through one layer's sequence.

use super::tape::Tape;
use crate::nn::Cell;
use crate::nn::kernel::{
    Aligned, GainGradients, NormReverse, Operand, OuterSum, Packed, Product, Reverse, gate_orders,
};
use crate::nn::network::Layer;

/// Rows of `[T · B]` that go into the gradients of the weights together, so that they stay in the
/// nearest caches while every weight is visited.
const SUM_ROWS: usize = 64;

impl Tape {
    /// From the gradient of every step's `h`, `[T · B, W]`, to that of the layer's flat vector and,
    /// where wanted, of `x`, `[T · B, inputs in whole registers]`. Uses the forward pass up: it goes
    /// back once.
    pub fn backward(&mut self, values: &[f32], dout: &[f32], gradient: &mut [f32], dx: Option<&mut Aligned>) {
        let layer = self.weights.take().expect("a sequence goes back once, after it went forward");
        let (width, batch, cell) = (self.width, self.batch, self.layout.cell);
        let gates = cell.gates();
        let (rows, stack, h_first) = (batch * width, gates * width, (4 - gates) * width);
        let (x_order, h_order) = gate_orders(cell);
        let back = self.turned(&values[self.layout.w_hh.clone()], self.layout.hidden, h_order);
        let norm = match &layer {
            Layer::Plain(_) => None,
            Layer::Normed { norm, .. } => Some(norm),
        };
        let mut gains = GainGradients::zeros(gates, width);
        let mut bias = Aligned::zeros(4 * width);
        let (mut dh, mut carry) = (Aligned::zeros(rows), Aligned::zeros(rows));
        let held = match cell {
            Cell::Lstm => &self.c,
            Cell::Gru if self.masks.h.is_some() => &self.raw,
            Cell::Gru => &self.h,
        };
        for t in (0..self.steps).rev() {
            dh.iter_mut().zip(&dout[t * rows..]).for_each(|(dh, d)| *dh += d);
            let at = t * batch * stack..(t + 1) * batch * stack;
            let sums = &mut self.gates[t * 4 * rows..(t + 1) * 4 * rows];
            Reverse {
                isa: self.isa,
                cell,
                rows: batch,
                width,
                gates: sums,
                c: if cell == Cell::Lstm { &self.c[(t + 1) * rows..(t + 2) * rows] } else { &[] },
                held: &held[t * rows..(t + 1) * rows],
                dh: &dh,
                carry: &mut carry,
                bias: &mut bias,
                norm: norm.map(|norm| NormReverse {
                    norm,
                    x: &mut self.x_normed[at.clone()],
                    h: &mut self.h_normed[at.clone()],
                    c: &self.c_normed[t * rows..],
                    scales: &self.scales[t * batch * 3..(t + 1) * batch * 3],
                    gains: &mut gains,
                }),
            }
            .run();
            let from = match norm {
                Some(_) => Operand::dense(&self.h_normed[at], stack),
                None => Operand { values: &sums[h_first..], stride: 4 * width, width: stack },
            };
            let a = [from, Operand::EMPTY];
            Product { weights: &back, bias: None, a, rows: batch, out: &mut dh, stride: width }.run();
            if let Some(mask) = &self.masks.h {
                for (dh, mask) in dh.chunks_exact_mut(width).zip(mask.chunks_exact(self.layout.hidden)) {
                    dh.iter_mut().zip(mask).for_each(|(d, m)| *d *= m);
                }
            }
            if cell == Cell::Gru {
                dh.iter_mut().zip(carry.iter()).for_each(|(d, c)| *d += c);
            }
        }
        self.weight_gradients(norm.is_some(), gradient);
        self.vector_gradients(&bias, &gains, gradient);
        if let Some(dx) = dx {
            let inputs = self.layout.inputs;
            let weights = self.turned(&values[self.layout.w_ih.clone()], inputs, x_order);
            let (stride, rows) = (weights.columns(), self.steps * batch);
            dx.reserve(rows * stride);
            let a = [self.sums(norm.is_some(), true), Operand::EMPTY];
            Product { weights: &weights, bias: None, a, rows, out: dx, stride }.run();
            if let Some(mask) = &self.masks.x {
                let mut masks = mask.chunks_exact(inputs).cycle();
                for (dx, mask) in dx[..rows * stride].chunks_exact_mut(stride).zip(&mut masks) {
                    dx.iter_mut().zip(mask).for_each(|(d, m)| *d *= m);
                }
            }
        }
    }

    /// A stacked weight matrix `[gates · hidden, depth]`, ready to turn gradients of its sums into
    /// gradients of what it multiplied.
    fn turned(&self, matrix: &[f32], depth: usize, order: [usize; 4]) -> Packed {
        let (hidden, width) = (self.layout.hidden, self.width);
        Packed::new(self.isa, depth, self.layout.cell.gates() * width, |column, k| match k % width {
            unit if unit < hidden => matrix[(order[k / width] * hidden + unit) * depth + column],
            _ => 0.0,
        })
    }

    /// Gradient of the sums that `W_ih` (or `W_hh`) makes, `[T · B]` rows of `[G, W]`.
    fn sums(&self, normed: bool, x: bool) -> Operand<'_> {
        let (gates, width) = (self.layout.cell.gates(), self.width);
        let first = if x { 0 } else { (4 - gates) * width };
        match (normed, x) {
            (true, true) => Operand::dense(&self.x_normed, gates * width),
            (true, false) => Operand::dense(&self.h_normed, gates * width),
            (false, _) => Operand { values: &self.gates[first..], stride: 4 * width, width: gates * width },
        }
    }

    /// The gradients of `W_ih` and `W_hh`.
    fn weight_gradients(&self, normed: bool, gradient: &mut [f32]) {
        let (layout, width) = (&self.layout, self.width);
        let (hidden, stack) = (layout.hidden, layout.cell.gates() * width);
        let (x_order, h_order) = gate_orders(layout.cell);
        let x = Operand::dense(&self.x, layout.inputs);
        let h = Operand { values: &self.h, stride: width, width: hidden };
        for (a, b, to, order) in [
            (x, self.sums(normed, true), &layout.w_ih, x_order),
            (h, self.sums(normed, false), &layout.w_hh, h_order),
        ] {
            let mut sum = Aligned::zeros(a.width * stack);
            outer_sum(self.isa, self.steps * self.batch, a, b, &mut sum);
            for (place, gate) in order[..layout.cell.gates()].iter().enumerate() {
                for unit in 0..hidden {
                    let row = &mut gradient[to.start + (gate * hidden + unit) * a.width..][..a.width];
                    for (k, out) in row.iter_mut().enumerate() {
                        *out = sum[k * stack + place * width + unit];
                    }
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
            put(layout.b_hh.start, h_order[place], &bias[(4 - gates + place) * width..]);
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

/// [`OuterSum`] over any number of rows.
pub(super) fn outer_sum(isa: crate::nn::kernel::Isa, rows: usize, a: Operand, b: Operand, out: &mut [f32]) {
    for first in (0..rows).step_by(SUM_ROWS) {
        let from = |o: Operand<'_>| first * o.stride;
        let a = Operand { values: &a.values[from(a)..], ..a };
        let b = Operand { values: &b.values[from(b)..], ..b };
        OuterSum { isa, rows: SUM_ROWS.min(rows - first), a, b, out }.run();
    }
}
