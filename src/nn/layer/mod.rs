//! One recurrent layer: its packed weights and one step of it, which serving and training share.
//! Beside it stand its training over a sequence (`tape`, `reverse`, `batch_norm`) and its device
//! path (`device`).

pub(super) mod batch_norm;
pub(super) mod device;
mod reverse;
pub(super) mod tape;

use crate::nn::kernel::{
    BeforePack, CandidateRows, CellPack, CellTile, LayerNorm, NormRows, NormSaved, Operand, Packed, Product,
    ResetRows, gate_orders, sum_biases,
};
use crate::nn::shape::LayerLayout;
use crate::nn::{Activation, Cell};
use crate::simd::{Aligned, Isa};

/// How a layer is computed.
pub(super) enum Layer {
    /// A simple RNN: one product over `[x | h]`, activated.
    Simple { weights: Packed, bias: Aligned, activation: Activation },
    /// An LSTM or GRU: products and gates in one pass.
    Plain(CellPack),
    /// Products with `W_ih` and `W_hh` first, `[gates, width]` columns each, then the norms.
    Normed { x: Packed, h: Packed, norm: LayerNorm },
    /// A GRU with the reset gate before the product: `W_ih`, `[3, width]` columns, `W_hh` for `r`
    /// and `z`, `[2, width]`, and for `n`, `[width]`.
    Before { x: Packed, h: Packed, n: Packed, pack: BeforePack },
}

/// One step of `rows` rows; `width` is the hidden size in whole registers.
pub(super) struct Step<'a> {
    pub rows: usize,
    /// `[rows, inputs]`
    pub x: Operand<'a>,
    /// The input of `W_hh`, `[rows, hidden]`, `width` apart.
    pub h: Operand<'a>,
    /// The `h` that a GRU's `z` keeps, `[rows, width]`: the same as `h` without dropout.
    pub held: &'a [f32],
    /// LSTM: `[rows, width]`, in place.
    pub c: &'a mut [f32],
    /// The new `h`, `[rows, width]`.
    pub out: &'a mut [f32],
    pub work: Work<'a>,
}

/// The buffers that a step writes beside the state: scratch memory in serving, the tape in
/// training. Buffers that a layer doesn't need may be empty.
pub(super) struct Work<'a> {
    /// The activations, `[rows, sums, width]`.
    pub gates: &'a mut [f32],
    /// Products before their norm or gate, `[rows, gates, width]` each.
    pub x_sums: &'a mut [f32],
    pub h_sums: &'a mut [f32],
    /// `r ⊙ h`, `[rows, width]`
    pub reset: &'a mut [f32],
    /// The normalised `c`, `[rows, width]`.
    pub c_normed: &'a mut [f32],
    /// Reciprocal deviations, `[rows, 3]`.
    pub scales: &'a mut [f32],
    /// Whether to keep the activations.
    pub keep: bool,
}

impl Layer {
    /// `values` is the layer's own flat vector.
    pub fn pack(isa: Isa, layout: &LayerLayout, values: &[f32]) -> Self {
        let (width, hidden, inputs) = (isa.padded(layout.hidden), layout.hidden, layout.inputs);
        let (w_ih, w_hh) = (&values[layout.w_ih.clone()], &values[layout.w_hh.clone()]);
        let (x_order, h_order) = gate_orders(layout.cell);
        let gates = layout.cell.gates();
        let pack = |matrix: &[f32], depth: usize, order: &[usize]| {
            Packed::new(isa, order.len() * width, depth, |column, k| match column % width {
                unit if unit < hidden => matrix[(order[column / width] * hidden + unit) * depth + k],
                _ => 0.0,
            })
        };
        if layout.cell == Cell::GruBefore {
            return Self::Before {
                x: pack(w_ih, inputs, &x_order[..3]),
                h: pack(w_hh, hidden, &[0, 1]),
                n: pack(w_hh, hidden, &[2]),
                pack: BeforePack::new(isa, layout, values),
            };
        }
        if let Some(norm) = LayerNorm::new(isa, layout, values) {
            let (x, h) = (pack(w_ih, inputs, &x_order[..gates]), pack(w_hh, hidden, &h_order[..gates]));
            return Self::Normed { x, h, norm };
        }
        let activation = match layout.cell {
            Cell::RnnTanh => Activation::Tanh,
            Cell::RnnRelu => Activation::Relu,
            _ => return Self::Plain(CellPack::new(isa, layout, values)),
        };
        let weights = Packed::new(isa, hidden, inputs + hidden, |unit, k| {
            if k < inputs { w_ih[unit * inputs + k] } else { w_hh[unit * hidden + k - inputs] }
        });
        Self::Simple { weights, bias: sum_biases(layout, values, width), activation }
    }

    /// Computes one step of `step.rows` rows.
    pub fn step(&self, step: Step) {
        let Step { rows, x, h, held, c, out, work } = step;
        let width = h.stride;
        let held = Operand::dense(held, width);
        match self {
            Self::Simple { weights, bias, activation } => {
                let (bias, activation, stride) = (Some(&bias[..]), *activation, width);
                Product { weights, bias, activation, a: [x, h], rows, out, stride }.run();
                if work.keep {
                    work.gates[..rows * width].copy_from_slice(&out[..rows * width]);
                }
            }
            Self::Plain(pack) => {
                let saved = work.keep.then_some(work.gates);
                CellTile { pack, rows, x, h, held, c, out, saved }.run();
            }
            Self::Normed { x: w_ih, h: w_hh, norm } => {
                w_ih.times(x, rows, work.x_sums, w_ih.columns());
                w_hh.times(h, rows, work.h_sums, w_hh.columns());
                let saved = NormSaved { gates: work.gates, c: work.c_normed, scales: work.scales };
                let saved = work.keep.then_some(saved);
                NormRows { norm, rows, x: work.x_sums, h: work.h_sums, held, c, out, saved }.run();
            }
            Self::Before { x: w_ih, h: w_hh, n: w_hn, pack } => {
                let used = Operand::dense(h.values, width);
                let Work { gates, x_sums, h_sums, reset, scales, .. } = work;
                w_ih.times(x, rows, x_sums, 3 * width);
                w_hh.times(h, rows, h_sums, 3 * width);
                let (x, h) = (&mut *x_sums, &mut *h_sums);
                ResetRows { pack, rows, x, h, used, gates, reset, scales }.run();
                let reset = Operand { values: reset, stride: width, width: w_hn.depth() };
                w_hn.times(reset, rows, &mut h_sums[2 * width..], 3 * width);
                CandidateRows { pack, rows, x: x_sums, h: h_sums, held, gates, out, scales }.run();
            }
        }
    }
}

/// The scratch memory of a layer in serving.
pub(super) struct Scratch {
    gates: Aligned,
    x_sums: Aligned,
    h_sums: Aligned,
    reset: Aligned,
    scales: Aligned,
}

impl Scratch {
    /// For `rows` rows of layers like this one.
    pub fn new(isa: Isa, layout: &LayerLayout, rows: usize) -> Self {
        let state = rows * isa.padded(layout.hidden);
        let before = layout.cell == Cell::GruBefore;
        let products = if before || layout.gains.is_some() { layout.cell.gates() * state } else { 0 };
        Self {
            gates: Aligned::zeros(if before { 3 * state } else { 0 }),
            x_sums: Aligned::zeros(products),
            h_sums: Aligned::zeros(products),
            reset: Aligned::zeros(if before { state } else { 0 }),
            scales: Aligned::zeros(3 * rows),
        }
    }

    /// Buffers for a step that keeps nothing.
    pub fn work(&mut self) -> Work<'_> {
        let Self { gates, x_sums, h_sums, reset, scales } = self;
        Work { gates, x_sums, h_sums, reset, c_normed: &mut [], scales, keep: false }
    }
}
