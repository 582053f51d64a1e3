//! The forward pass of one layer over a sequence. It keeps what the backward pass
//! ([`super::reverse`]) needs, in buffers that live as long as the trainer.

use super::{Layer, Step, Work};
use crate::nn::Cell;
use crate::nn::dropout::Masks;
use crate::nn::kernel::Operand;
use crate::nn::shape::LayerLayout;
use crate::simd::{Aligned, Isa};

/// The buffers of one layer. `T` steps, `B` rows, `W` hidden units in whole registers, `G` gates, `S`
/// sums.
pub(in crate::nn) struct Tape {
    pub(in crate::nn) isa: Isa,
    pub(in crate::nn) layout: LayerLayout,
    pub(in crate::nn) width: usize,
    pub(in crate::nn) steps: usize,
    pub(in crate::nn) batch: usize,
    pub(in crate::nn) weights: Option<Layer>,
    /// The input of `W_ih`, `[T, B, inputs]`.
    pub(in crate::nn) x: Aligned,
    /// The input of `W_hh` at every step, and at the step after the last, `[T + 1, B, W]`.
    pub(in crate::nn) h: Aligned,
    /// `h` before dropout, `[T + 1, B, W]`; unused without a mask.
    pub(in crate::nn) raw: Aligned,
    /// LSTM: `[T + 1, B, W]`
    pub(in crate::nn) c: Aligned,
    /// The activations, then the gradient of the sums, `[T, B, S, W]`.
    pub(in crate::nn) gates: Aligned,
    /// The products, `[T, B, G, W]` each; only with norms, or with the reset gate before the
    /// product. Norms replace them by the normalised products, and the backward pass by their
    /// gradients.
    pub(in crate::nn) x_sums: Aligned,
    pub(in crate::nn) h_sums: Aligned,
    /// `r ⊙ h`, `[T, B, W]`; only with the reset gate before the product.
    pub(in crate::nn) reset: Aligned,
    /// The normalised `c`, `[T, B, W]`; only with an LSTM's norms.
    pub(in crate::nn) c_normed: Aligned,
    /// The norms' reciprocal deviations, `[T, B, 3]`.
    pub(in crate::nn) scales: Aligned,
    pub(in crate::nn) masks: Masks,
}

impl Tape {
    /// Empty buffers for a layer; they grow with the first sequence.
    pub fn new(isa: Isa, layout: LayerLayout) -> Self {
        let empty = || Aligned::zeros(0);
        Self {
            isa,
            width: isa.padded(layout.hidden),
            layout,
            steps: 0,
            batch: 0,
            weights: None,
            x: empty(),
            h: empty(),
            raw: empty(),
            c: empty(),
            gates: empty(),
            x_sums: empty(),
            h_sums: empty(),
            reset: empty(),
            c_normed: empty(),
            scales: empty(),
            masks: Masks::default(),
        }
    }

    /// Sets the dropout from the next sequence on.
    pub fn set_masks(&mut self, masks: Masks) {
        self.masks = masks;
    }

    /// Takes the layer through all steps. `values` is the layer's flat vector, `x` has `[T · B]`
    /// rows, `state` is `[B, state_width]`.
    pub fn forward(&mut self, values: &[f32], x: Operand, state: &[f32], size: [usize; 2]) {
        let (stride, width) = (self.layout.state_width(), self.layout.hidden);
        let c = if stride > width { &state[width..] } else { &[] };
        let [h, c] = [state, c].map(|values| Operand { values, stride, width });
        self.begin(values, [h, c], size);
        for t in 0..self.steps {
            self.feed(t, Operand { values: &x.values[t * self.batch * x.stride..], ..x });
            self.advance(t);
        }
    }

    /// Begins a sequence of `T` steps of `B` rows, from a state `h` and, for an LSTM, `c`, `B` rows
    /// each.
    pub fn begin(&mut self, values: &[f32], state: [Operand; 2], [steps, batch]: [usize; 2]) {
        (self.steps, self.batch) = (steps, batch);
        self.reserve();
        let (hidden, width) = (self.layout.hidden, self.width);
        let put = |to: &mut [f32], from: Operand| {
            for (b, to) in to.chunks_exact_mut(width).take(batch).enumerate() {
                to[..hidden].copy_from_slice(&from.values[b * from.stride..][..hidden]);
                to[hidden..].fill(0.0);
            }
        };
        if let Some(mask) = &self.masks.h {
            put(&mut self.raw, state[0]);
            masked(&self.raw[..batch * width], mask, hidden, &mut self.h, width);
        } else {
            put(&mut self.h, state[0]);
        }
        if self.layout.cell == Cell::Lstm {
            put(&mut self.c, state[1]);
        }
        self.weights = Some(Layer::pack(self.isa, &self.layout, values));
    }

    /// Sets the input of step `t`, `B` rows.
    pub fn feed(&mut self, t: usize, x: Operand) {
        let (inputs, batch) = (self.layout.inputs, self.batch);
        let rows = self.x[t * batch * inputs..][..batch * inputs].chunks_exact_mut(inputs);
        for (b, to) in rows.enumerate() {
            to.copy_from_slice(&x.values[b * x.stride..][..inputs]);
            if let Some(mask) = &self.masks.x {
                to.iter_mut().zip(&mask[b * inputs..]).for_each(|(x, m)| *x *= m);
            }
        }
    }

    /// Computes step `t`.
    pub fn advance(&mut self, t: usize) {
        let (inputs, hidden, width, batch) = (self.layout.inputs, self.layout.hidden, self.width, self.batch);
        let (rows, cell) = (batch * width, self.layout.cell);
        let (stack, sums) = (cell.gates() * rows, cell.sums() * rows);
        let (before, after) = self.h.split_at_mut((t + 1) * rows);
        let before = &before[t * rows..];
        let (held, out) = match &self.masks.h {
            None => (before, &mut after[..rows]),
            Some(_) => {
                let (old, new) = self.raw.split_at_mut((t + 1) * rows);
                (&old[t * rows..], &mut new[..rows])
            }
        };
        let c: &mut [f32] = if cell == Cell::Lstm {
            self.c.copy_within(t * rows..(t + 1) * rows, (t + 1) * rows);
            &mut self.c[(t + 1) * rows..(t + 2) * rows]
        } else {
            &mut []
        };
        let layer = self.weights.as_ref().expect("a step follows a beginning");
        layer.step(Step {
            rows: batch,
            x: Operand::dense(&self.x[t * batch * inputs..][..batch * inputs], inputs),
            h: Operand { values: before, stride: width, width: hidden },
            held,
            c,
            out,
            work: Work {
                gates: &mut self.gates[t * sums..][..sums],
                x_sums: part(&mut self.x_sums, t, stack),
                h_sums: part(&mut self.h_sums, t, stack),
                reset: part(&mut self.reset, t, rows),
                c_normed: part(&mut self.c_normed, t, rows),
                scales: part(&mut self.scales, t, batch * 3),
                keep: true,
            },
        });
        if let Some(mask) = &self.masks.h {
            let raw = &self.raw[(t + 1) * rows..(t + 2) * rows];
            masked(raw, mask, hidden, &mut self.h[(t + 1) * rows..(t + 2) * rows], width);
        }
    }

    /// `h` of every step, `[T · B]` rows.
    pub fn out(&self) -> Operand<'_> {
        let rows = self.batch * self.width;
        let h = &self.unmasked()[rows..(self.steps + 1) * rows];
        Operand { values: h, stride: self.width, width: self.layout.hidden }
    }

    /// `c` of every step of an LSTM, `[T · B, W]`.
    pub fn carried(&self) -> &[f32] {
        let rows = self.batch * self.width;
        if self.layout.cell == Cell::Lstm { &self.c[rows..(self.steps + 1) * rows] } else { &[] }
    }

    /// `h` before dropout, `[T + 1, B, W]`.
    pub(in crate::nn) fn unmasked(&self) -> &[f32] {
        if self.masks.h.is_some() { &self.raw } else { &self.h }
    }

    /// The state of row `b` after `t` steps, `[state_width]`.
    pub fn state_after(&self, t: usize, b: usize) -> impl Iterator<Item = f32> {
        let (hidden, at) = (self.layout.hidden, (t * self.batch + b) * self.width);
        let c = if self.layout.cell == Cell::Lstm { &self.c[at..at + hidden] } else { &[] };
        self.unmasked()[at..at + hidden].iter().chain(c).copied()
    }

    /// The state after the last step, `[B, state_width]`.
    pub fn last_state(&self) -> Vec<f32> {
        (0..self.batch).flat_map(|b| self.state_after(self.steps, b)).collect()
    }

    /// Makes room for the sequence. Padding that a kernel multiplies by zero must be finite, so it
    /// is zero.
    fn reserve(&mut self) {
        let (t, b, w, cell) = (self.steps, self.batch, self.width, self.layout.cell);
        let (normed, before) = (self.layout.gains.is_some(), cell == Cell::GruBefore);
        self.x.reserve(t * b * self.layout.inputs);
        self.h.reserve((t + 1) * b * w);
        self.gates.reserve(t * b * cell.sums() * w);
        if self.masks.h.is_some() {
            self.raw.reserve((t + 1) * b * w);
        }
        if cell == Cell::Lstm {
            self.c.reserve((t + 1) * b * w);
        }
        if normed || before {
            self.x_sums.reserve(t * b * cell.gates() * w);
            self.h_sums.reserve(t * b * cell.gates() * w);
            self.scales.reserve(t * b * 3);
        }
        if normed && cell == Cell::Lstm {
            self.c_normed.reserve(t * b * w);
        }
        if before {
            self.reset.reserve(t * b * w);
        }
    }
}

/// Part `t` of a buffer of parts of `len`; empty if the buffer is unused.
pub(in crate::nn) fn part(buffer: &mut [f32], t: usize, len: usize) -> &mut [f32] {
    if buffer.is_empty() { buffer } else { &mut buffer[t * len..(t + 1) * len] }
}

/// `to = from · mask`, rows of `width` values; `from` and `to` have rows `stride` apart.
fn masked(from: &[f32], mask: &[f32], width: usize, to: &mut [f32], stride: usize) {
    let rows = from.chunks_exact(stride).zip(mask.chunks_exact(width));
    for ((from, mask), to) in rows.zip(to.chunks_exact_mut(stride)) {
        for ((to, from), mask) in to.iter_mut().zip(from).zip(mask) {
            *to = from * mask;
        }
    }
}
