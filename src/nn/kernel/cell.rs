//! A cell without norms: the products with `W_ih` and `W_hh` and the gates in one pass, so that
//! pre-activations never leave the registers.

use super::lanes::Lanes;
use super::math::{activate, sigmoid, tanh};
use super::packed::{Walk, accumulate, in_row_groups};
use super::{Aligned, Isa, Kernel, Operand};
use crate::nn::blueprint::LayerLayout;
use crate::nn::{Activation, Cell};

/// What distinguishes the cells whose sums can be made at once. An LSTM's sums per unit are
/// `i, f, g, o`; a GRU's are `n_x, r, z, n_h`, where the candidate's two halves stay apart because
/// `r` comes between them; a simple RNN has one.
pub(super) trait Gates {
    const GATES: usize;
    const SUMS: usize;
    /// Which stacked gate of `W_ih` enters the sums `X_FIRST..X_FIRST + GATES`, in their order.
    const X_ORDER: [usize; 4];
    /// The same for `W_hh`.
    const H_ORDER: [usize; 4];
    const X_FIRST: usize;
    const H_FIRST: usize;

    /// From the sums and what the unit held (`c` or `h`): the activations that training keeps, and
    /// the new `c` (or `h`).
    unsafe fn advance<V: Lanes>(sums: [V; 4], held: V) -> ([V; 4], V);
}

pub(super) struct LstmGates;
pub(super) struct GruGates;
pub(super) struct RnnGates<const RELU: bool>;

impl<const RELU: bool> RnnGates<RELU> {
    pub const ACTIVATION: Activation = if RELU { Activation::Relu } else { Activation::Tanh };
}

impl<const RELU: bool> Gates for RnnGates<RELU> {
    const GATES: usize = 1;
    const SUMS: usize = 1;
    const X_ORDER: [usize; 4] = [0; 4];
    const H_ORDER: [usize; 4] = [0; 4];
    const X_FIRST: usize = 0;
    const H_FIRST: usize = 0;

    #[inline(always)]
    unsafe fn advance<V: Lanes>([sum, rest @ ..]: [V; 4], _: V) -> ([V; 4], V) {
        unsafe {
            let h = activate(Self::ACTIVATION, sum);
            ([h, rest[0], rest[1], rest[2]], h)
        }
    }
}

impl Gates for LstmGates {
    const GATES: usize = 4;
    const SUMS: usize = 4;
    const X_ORDER: [usize; 4] = [0, 1, 2, 3];
    const H_ORDER: [usize; 4] = [0, 1, 2, 3];
    const X_FIRST: usize = 0;
    const H_FIRST: usize = 0;

    #[inline(always)]
    unsafe fn advance<V: Lanes>([i, f, g, o]: [V; 4], c: V) -> ([V; 4], V) {
        unsafe {
            let (i, f, g, o) = (sigmoid(i), sigmoid(f), tanh(g), sigmoid(o));
            ([i, f, g, o], f.mul_add(c, i.mul(g)))
        }
    }
}

impl Gates for GruGates {
    const GATES: usize = 3;
    const SUMS: usize = 4;
    const X_ORDER: [usize; 4] = [2, 0, 1, 0];
    const H_ORDER: [usize; 4] = [0, 1, 2, 0];
    const X_FIRST: usize = 0;
    const H_FIRST: usize = 1;

    #[inline(always)]
    unsafe fn advance<V: Lanes>([nx, r, z, nh]: [V; 4], h: V) -> ([V; 4], V) {
        unsafe {
            let (r, z) = (sigmoid(r), sigmoid(z));
            let n = tanh(r.mul_add(nh, nx));
            ([n, r, z, nh], z.mul_add(h.sub(n), n))
        }
    }
}

/// The order in which the gates of `W_ih` and of `W_hh` stand in the kernels' rows.
pub(in crate::nn) fn gate_orders(cell: Cell) -> ([usize; 4], [usize; 4]) {
    match cell {
        Cell::RnnTanh | Cell::RnnRelu => ([0; 4], [0; 4]),
        Cell::Lstm => (LstmGates::X_ORDER, LstmGates::H_ORDER),
        Cell::Gru => (GruGates::X_ORDER, GruGates::H_ORDER),
        Cell::GruBefore => ([0, 1, 2, 0], [0, 1, 2, 0]),
    }
}

/// The bias of each of a unit's sums, `[sums, width]`.
pub(in crate::nn) fn sum_biases(layout: &LayerLayout, values: &[f32], width: usize) -> Aligned {
    let mut bias = Aligned::zeros(layout.cell.sums() * width);
    let (hidden, gates) = (layout.hidden, layout.cell.gates());
    let (x_order, h_order) = gate_orders(layout.cell);
    let h_first = layout.cell.h_first();
    for place in 0..gates {
        for unit in 0..hidden {
            bias[place * width + unit] += values[layout.b_ih.start + x_order[place] * hidden + unit];
            bias[(h_first + place) * width + unit] +=
                values[layout.b_hh.start + h_order[place] * hidden + unit];
        }
    }
    bias
}

/// An LSTM's or GRU's weights as [`CellTile`] reads them.
pub(in crate::nn) struct CellPack {
    isa: Isa,
    cell: Cell,
    inputs: usize,
    hidden: usize,
    /// Hidden units, padded to whole registers.
    width: usize,
    /// `[width / lanes][inputs][gates][lanes]`
    x: Aligned,
    /// `[width / lanes][hidden][gates][lanes]`
    h: Aligned,
    /// `[4, width]`
    bias: Aligned,
}

impl CellPack {
    /// `values` is the layer's own flat vector.
    pub fn new(isa: Isa, layout: &LayerLayout, values: &[f32]) -> Self {
        let (width, lanes, gates) = (isa.padded(layout.hidden), isa.lanes(), layout.cell.gates());
        let pack = |matrix: &[f32], depth: usize, order: [usize; 4]| {
            let mut out = Aligned::zeros(width * depth * gates);
            for unit in 0..layout.hidden {
                let start = (unit / lanes) * depth * gates * lanes + unit % lanes;
                for (place, gate) in order[..gates].iter().enumerate() {
                    let row = &matrix[(gate * layout.hidden + unit) * depth..][..depth];
                    for (k, w) in row.iter().enumerate() {
                        out[start + (k * gates + place) * lanes] = *w;
                    }
                }
            }
            out
        };
        let (x_order, h_order) = gate_orders(layout.cell);
        Self {
            isa,
            cell: layout.cell,
            inputs: layout.inputs,
            hidden: layout.hidden,
            width,
            x: pack(&values[layout.w_ih.clone()], layout.inputs, x_order),
            h: pack(&values[layout.w_hh.clone()], layout.hidden, h_order),
            bias: sum_biases(layout, values, width),
        }
    }
}

/// One step of one layer for `rows` series. Padded units of every row come out as 0.
pub(in crate::nn) struct CellTile<'a> {
    pub pack: &'a CellPack,
    pub rows: usize,
    /// `[rows, inputs]`
    pub x: Operand<'a>,
    /// What `W_hh` multiplies, `[rows, hidden]`.
    pub h: Operand<'a>,
    /// GRU: what `z` keeps, `[rows, width]`; the same as `h` unless dropout masks that.
    pub held: Operand<'a>,
    /// LSTM: `[rows, width]`, in place.
    pub c: &'a mut [f32],
    /// The new `h`, `[rows, width]`.
    pub out: &'a mut [f32],
    /// For training: the four activations, `[rows, 4, width]`.
    pub saved: Option<&'a mut [f32]>,
}

impl CellTile<'_> {
    pub fn run(self) {
        let Self { pack, rows, .. } = &self;
        let (rows, width) = (*rows, pack.width);
        assert!(self.x.width == pack.inputs && self.h.width == pack.hidden);
        self.x.check(rows);
        self.h.check(rows);
        if pack.cell == Cell::Lstm {
            assert!(self.c.len() >= rows * width);
        } else {
            assert!(pack.cell == Cell::Gru && self.held.width == width);
            self.held.check(rows);
        }
        assert!(self.out.len() >= rows * width);
        assert!(self.saved.as_ref().is_none_or(|s| s.len() >= rows * 4 * width));
        pack.isa.run(self);
    }

    /// # Safety
    /// `run` has checked the lengths; rows `at..at + R` exist.
    #[inline(always)]
    unsafe fn block<V: Lanes, C: Gates, const R: usize, const G: usize>(&mut self, at: usize, unit: usize) {
        unsafe {
            let pack = self.pack;
            let mut acc = [[V::splat(0.0); 4]; R];
            for acc in &mut acc {
                for (s, acc) in acc.iter_mut().enumerate() {
                    *acc = V::load(pack.bias.as_ptr().add(s * pack.width + unit));
                }
            }
            let x = walk::<V>(self.x, at, &pack.x, unit, G);
            acc = accumulate::<V, R, G>(acc, C::X_FIRST, x);
            let h = walk::<V>(self.h, at, &pack.h, unit, G);
            acc = accumulate::<V, R, G>(acc, C::H_FIRST, h);
            for (r, sums) in acc.iter().enumerate() {
                let row = (at + r) * pack.width + unit;
                let out = self.out.as_mut_ptr().add(row);
                let activations = if pack.cell == Cell::Lstm {
                    let c = self.c.as_mut_ptr().add(row);
                    let (activations, next) = C::advance(*sums, V::load(c));
                    next.store(c);
                    activations[3].mul(tanh(next)).store(out);
                    activations
                } else {
                    let held = self.held.values.as_ptr().add((at + r) * self.held.stride + unit);
                    let (activations, next) = C::advance(*sums, V::load(held));
                    next.store(out);
                    activations
                };
                if let Some(saved) = &mut self.saved {
                    let saved = saved.as_mut_ptr().add((at + r) * 4 * pack.width + unit);
                    for (s, v) in activations.iter().enumerate() {
                        v.store(saved.add(s * pack.width));
                    }
                }
            }
        }
    }
}

/// From row `at` of `a` through the panel of the units from `unit` on.
#[inline(always)]
unsafe fn walk<V: Lanes>(a: Operand, at: usize, panels: &Aligned, unit: usize, gates: usize) -> Walk {
    unsafe {
        Walk {
            a: a.values.as_ptr().add(at * a.stride),
            row: a.stride,
            next: 1,
            b: panels.as_ptr().add(unit * a.width * gates),
            b_next: gates * V::N,
            depth: a.width,
        }
    }
}

impl Kernel for CellTile<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(mut self) {
        let rows = self.rows;
        // SAFETY: `CellTile::run` has checked every length.
        unsafe {
            for unit in (0..self.pack.width).step_by(V::N) {
                if self.pack.cell == Cell::Lstm {
                    in_row_groups!(V, rows, |at, R| self.block::<V, LstmGates, R, 4>(at, unit));
                } else {
                    in_row_groups!(V, rows, |at, R| self.block::<V, GruGates, R, 3>(at, unit));
                }
            }
        }
    }
}
