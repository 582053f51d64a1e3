//! One layer over a whole sequence. What the way back ([`super::reverse`]) needs is kept in buffers
//! that live as long as the trainer.

use crate::nn::blueprint::LayerLayout;
use crate::nn::kernel::{Aligned, CellTile, Isa, NormRows, NormSaved, Operand, Product};
use crate::nn::network::Layer;
use crate::nn::{Blueprint, Cell};

/// The buffers of one layer. `T` steps, `B` rows, `W` hidden units in whole registers, `G` gates.
pub(super) struct Tape {
    pub(super) isa: Isa,
    pub(super) blueprint: Blueprint,
    pub(super) layer: usize,
    pub(super) layout: LayerLayout,
    pub(super) width: usize,
    pub(super) steps: usize,
    pub(super) batch: usize,
    pub(super) weights: Option<Layer>,
    /// What `W_ih` multiplied, `[T, B, inputs]`.
    pub(super) x: Aligned,
    /// What `W_hh` multiplied and, last, what it would have, `[T + 1, B, W]`.
    pub(super) h: Aligned,
    /// The same before dropout, `[T + 1, B, W]`; unused without a mask.
    pub(super) raw: Aligned,
    /// LSTM: `[T + 1, B, W]`
    pub(super) c: Aligned,
    /// The four activations, then the gradient of the four sums, `[T, B, 4, W]`.
    pub(super) gates: Aligned,
    /// With norms: the normalised products, then the gradients of the products, `[T, B, G, W]` each.
    pub(super) x_normed: Aligned,
    pub(super) h_normed: Aligned,
    /// With norms, LSTM: the normalised `c`, `[T, B, W]`.
    pub(super) c_normed: Aligned,
    /// With norms: `[T, B, 3]`
    pub(super) scales: Aligned,
    pub(super) masks: Masks,
}

/// Dropout of one layer over one sequence: 0 or `1 / (1 − p)`, the same at every step.
#[derive(Clone, Default)]
pub(super) struct Masks {
    /// `[B, inputs]`
    pub x: Option<Vec<f32>>,
    /// `[B, hidden]`
    pub h: Option<Vec<f32>>,
}

impl Tape {
    pub fn new(isa: Isa, blueprint: &Blueprint, layer: usize) -> Self {
        let layout = blueprint.layer_layout(layer);
        let empty = || Aligned::zeros(0);
        Self {
            isa,
            blueprint: *blueprint,
            layer,
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
            x_normed: empty(),
            h_normed: empty(),
            c_normed: empty(),
            scales: empty(),
            masks: Masks::default(),
        }
    }

    pub fn set_masks(&mut self, masks: Masks) {
        self.masks = masks;
    }

    /// Takes the layer through `steps`. `values` is the layer's flat vector, `x` has `[T · B]` rows,
    /// `state` is `[B, state_width]`.
    pub fn forward(&mut self, values: &[f32], x: Operand, state: &[f32], [steps, batch]: [usize; 2]) {
        let (inputs, hidden, width) = (self.layout.inputs, self.layout.hidden, self.width);
        (self.steps, self.batch) = (steps, batch);
        self.reserve();
        self.start(x, state);
        let layer = Layer::pack(self.isa, &self.blueprint, self.layer, values);
        let (rows, stack) = (batch * width, self.layout.cell.gates() * width);
        for t in 0..steps {
            let x = Operand::dense(&self.x[t * batch * inputs..][..batch * inputs], inputs);
            let (before, after) = self.h.split_at_mut((t + 1) * rows);
            let before = &before[t * rows..];
            let h = Operand { values: before, stride: width, width: hidden };
            let (held, out) = match &self.masks.h {
                None => (before, &mut after[..rows]),
                Some(_) => {
                    let (old, new) = self.raw.split_at_mut((t + 1) * rows);
                    (&old[t * rows..], &mut new[..rows])
                }
            };
            let held = Operand::dense(held, width);
            let c: &mut [f32] = if self.layout.cell == Cell::Lstm {
                self.c.copy_within(t * rows..(t + 1) * rows, (t + 1) * rows);
                &mut self.c[(t + 1) * rows..(t + 2) * rows]
            } else {
                &mut []
            };
            let gates = &mut self.gates[t * 4 * rows..(t + 1) * 4 * rows];
            match &layer {
                Layer::Plain(pack) => {
                    CellTile { pack, rows: batch, x, h, held, c, out, saved: Some(gates) }.run();
                }
                Layer::Normed { x: w_ih, h: w_hh, norm } => {
                    let x_sums = &mut self.x_normed[t * batch * stack..(t + 1) * batch * stack];
                    let h_sums = &mut self.h_normed[t * batch * stack..(t + 1) * batch * stack];
                    for (weights, a, out) in [(w_ih, x, &mut *x_sums), (w_hh, h, &mut *h_sums)] {
                        let a = [a, Operand::EMPTY];
                        Product { weights, bias: None, a, rows: batch, out, stride: stack }.run();
                    }
                    let saved = Some(NormSaved {
                        gates,
                        c: &mut self.c_normed[t * rows..],
                        scales: &mut self.scales[t * batch * 3..],
                    });
                    NormRows { norm, rows: batch, x: x_sums, h: h_sums, held, c, out, saved }.run();
                }
            }
            if let Some(mask) = &self.masks.h {
                let raw = &self.raw[(t + 1) * rows..(t + 2) * rows];
                masked(raw, mask, hidden, &mut self.h[(t + 1) * rows..(t + 2) * rows], width);
            }
        }
        self.weights = Some(layer);
    }

    /// `h` of every step, `[T · B]` rows.
    pub fn out(&self) -> Operand<'_> {
        let rows = self.batch * self.width;
        let h = &self.unmasked()[rows..(self.steps + 1) * rows];
        Operand { values: h, stride: self.width, width: self.layout.hidden }
    }

    /// `h` before dropout, `[T + 1, B, W]`.
    pub(super) fn unmasked(&self) -> &[f32] {
        if self.masks.h.is_some() { &self.raw } else { &self.h }
    }

    /// The state after the last step, `[B, state_width]`.
    pub fn last_state(&self) -> Vec<f32> {
        let (hidden, width, rows) = (self.layout.hidden, self.width, self.batch * self.width);
        let raw = self.unmasked();
        let mut out = Vec::with_capacity(self.batch * self.blueprint.state_width());
        for b in 0..self.batch {
            let at = self.steps * rows + b * width;
            out.extend_from_slice(&raw[at..at + hidden]);
            if self.layout.cell == Cell::Lstm {
                out.extend_from_slice(&self.c[at..at + hidden]);
            }
        }
        out
    }

    /// Room for the sequence. Padding that a kernel multiplies by zero must be finite: it is zero.
    fn reserve(&mut self) {
        let (t, b, w, g) = (self.steps, self.batch, self.width, self.layout.cell.gates());
        self.x.reserve(t * b * self.layout.inputs);
        self.h.reserve((t + 1) * b * w);
        self.gates.reserve(t * b * 4 * w);
        if self.masks.h.is_some() {
            self.raw.reserve((t + 1) * b * w);
        }
        if self.layout.cell == Cell::Lstm {
            self.c.reserve((t + 1) * b * w);
        }
        if self.layout.gains.is_some() {
            self.x_normed.reserve(t * b * g * w);
            self.h_normed.reserve(t * b * g * w);
            self.c_normed.reserve(t * b * w);
            self.scales.reserve(t * b * 3);
        }
    }

    /// Puts the inputs and the starting state in place.
    fn start(&mut self, x: Operand, state: &[f32]) {
        let (inputs, hidden, width) = (self.layout.inputs, self.layout.hidden, self.width);
        for (to, from) in self.x.chunks_exact_mut(inputs).zip(x.values.chunks(x.stride)) {
            to.copy_from_slice(&from[..inputs]);
        }
        if let Some(mask) = &self.masks.x {
            for to in self.x[..self.steps * self.batch * inputs].chunks_exact_mut(mask.len()) {
                to.iter_mut().zip(mask).for_each(|(x, m)| *x *= m);
            }
        }
        let state_width = self.blueprint.state_width();
        for (b, state) in state.chunks_exact(state_width).enumerate() {
            let row = b * width..b * width + hidden;
            let first = if self.masks.h.is_some() { &mut self.raw } else { &mut self.h };
            first[b * width..(b + 1) * width].fill(0.0);
            first[row.clone()].copy_from_slice(&state[..hidden]);
            if self.layout.cell == Cell::Lstm {
                self.c[b * width..(b + 1) * width].fill(0.0);
                self.c[row].copy_from_slice(&state[hidden..]);
            }
        }
        if let Some(mask) = &self.masks.h {
            let rows = self.batch * width;
            masked(&self.raw[..rows], mask, hidden, &mut self.h[..rows], width);
        }
    }
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
