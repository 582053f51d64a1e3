//! A cell without norms: the products with `W_ih` and `W_hh` and the gates in one pass, so that the
//! sums never leave the nearest cache.

use super::Operand;
use super::math::{SIGMOID, TANH, activate, gated, power, sigmoid_of, tanh_of};
use crate::nn::shape::LayerLayout;
use crate::nn::{Activation, Cell};
use crate::simd::{
    Aligned, Isa, Kernel, Registers, Vector, Walk, accumulate, accumulate_across, in_row_groups,
};

/// The most rows, or registers, whose sums are made before their gates.
const BLOCK: usize = 48;

/// The differences between the cells whose sums can be made in one pass. An LSTM's sums per unit
/// are `i, f, g, o`; a GRU's are `n_x, r, z, n_h`, where the candidate's two halves stay apart
/// because `r` comes between them; a simple RNN has one.
pub(super) trait Gates {
    const GATES: usize;
    const SUMS: usize;
    /// The stacked gates of `W_ih` that enter the sums `X_FIRST..X_FIRST + GATES`, in their order.
    const X_ORDER: [usize; 4];
    /// The same for `W_hh`.
    const H_ORDER: [usize; 4];
    const X_FIRST: usize;
    const H_FIRST: usize;
    /// The factors of the sums: a change of the exponentials' base, which weights and biases take
    /// in.
    const SCALES: [f32; 4];

    /// The raised sum that [`Self::second`] takes.
    const GATE: usize;

    /// Replaces scaled sums by their powers, where [`Self::first`] takes powers.
    fn raise<V: Vector>(sums: &mut [V; 4]);

    /// The first half of a step, from the raised sums and the old state of the unit (`c` or `h`).
    /// Returns the parts of [`Self::activations`], a sum of which the caller takes the power, and
    /// the new state.
    fn first<V: Vector>(sums: [V; 4], held: V) -> ([V; 4], V, V);

    /// The second half: the new `h`, from a raised sum, the power of the sum that the first half
    /// returned, and the old state.
    fn second<V: Vector>(gate: V, late: V, held: V) -> V;

    /// The activations, which training keeps, from the parts and that power.
    fn activations<V: Vector>(parts: [V; 4], late: V) -> [V; 4];
}

pub(super) struct LstmGates;
pub(super) struct GruGates;
pub(super) struct RnnGates<const RELU: bool>;

impl<const RELU: bool> RnnGates<RELU> {
    /// The cell's activation.
    pub const ACTIVATION: Activation = if RELU { Activation::Relu } else { Activation::Tanh };
}

impl<const RELU: bool> Gates for RnnGates<RELU> {
    const GATES: usize = 1;
    const SUMS: usize = 1;
    const X_ORDER: [usize; 4] = [0; 4];
    const H_ORDER: [usize; 4] = [0; 4];
    const X_FIRST: usize = 0;
    const H_FIRST: usize = 0;
    const SCALES: [f32; 4] = [1.0; 4];
    const GATE: usize = 0;

    #[inline(always)]
    fn raise<V: Vector>(_: &mut [V; 4]) {}

    #[inline(always)]
    fn first<V: Vector>([sum, ..]: [V; 4], held: V) -> ([V; 4], V, V) {
        let h = activate(Self::ACTIVATION, sum);
        ([h; 4], h, held)
    }

    /// There is no second half: the first result is `h`.
    #[inline(always)]
    fn second<V: Vector>(h: V, _: V, _: V) -> V {
        h
    }

    #[inline(always)]
    fn activations<V: Vector>(parts: [V; 4], _: V) -> [V; 4] {
        parts
    }
}

impl Gates for LstmGates {
    const GATES: usize = 4;
    const SUMS: usize = 4;
    const X_ORDER: [usize; 4] = [0, 1, 2, 3];
    const H_ORDER: [usize; 4] = [0, 1, 2, 3];
    const X_FIRST: usize = 0;
    const H_FIRST: usize = 0;
    const SCALES: [f32; 4] = [SIGMOID, SIGMOID, TANH, SIGMOID];
    const GATE: usize = 3;

    #[inline(always)]
    fn raise<V: Vector>(sums: &mut [V; 4]) {
        for sum in sums {
            *sum = power(*sum);
        }
    }

    /// `c' = c / F + (1 − e⁻²ᵍ) / A` with `F = 1 + e⁻ᶠ`, `A = (1 + e⁻ⁱ)(1 + e⁻²ᵍ)`, as one
    /// fraction, because divisions take the longest of a gate's operations.
    #[inline(always)]
    fn first<V: Vector>([i, f, g, o]: [V; 4], c: V) -> ([V; 4], V, V) {
        let one = V::splat(1.0);
        let (a, forgets) = (i.add(one).mul(g.add(one)), f.add(one));
        let next = c.mul_add(a, one.sub(g).mul(forgets)).div(a.mul(forgets));
        ([i, f, g, o], next.mul(V::splat(TANH)), next)
    }

    #[inline(always)]
    fn second<V: Vector>(o: V, c: V, _: V) -> V {
        gated(o, c)
    }

    #[inline(always)]
    fn activations<V: Vector>([i, f, g, o]: [V; 4], _: V) -> [V; 4] {
        [sigmoid_of(i), sigmoid_of(f), tanh_of(g), sigmoid_of(o)]
    }
}

impl Gates for GruGates {
    const GATES: usize = 3;
    const SUMS: usize = 4;
    const X_ORDER: [usize; 4] = [2, 0, 1, 0];
    const H_ORDER: [usize; 4] = [0, 1, 2, 0];
    const X_FIRST: usize = 0;
    const H_FIRST: usize = 1;
    const SCALES: [f32; 4] = [TANH, SIGMOID, SIGMOID, TANH];
    const GATE: usize = 2;

    #[inline(always)]
    fn raise<V: Vector>([_, r, z, _]: &mut [V; 4]) {
        (*r, *z) = (power(*r), power(*z));
    }

    #[inline(always)]
    fn first<V: Vector>([nx, r, z, nh]: [V; 4], h: V) -> ([V; 4], V, V) {
        let r = sigmoid_of(r);
        ([nx, r, z, nh], r.mul_add(nh, nx), h)
    }

    /// `h' = ((1 − e⁻²ⁿ) e⁻ᶻ + h N) / (N Z)` with `N = 1 + e⁻²ⁿ`, `Z = 1 + e⁻ᶻ`.
    #[inline(always)]
    fn second<V: Vector>(z: V, n: V, h: V) -> V {
        let one = V::splat(1.0);
        let whole = n.add(one);
        h.mul_add(whole, one.sub(n).mul(z)).div(whole.mul(z.add(one)))
    }

    #[inline(always)]
    fn activations<V: Vector>([_, r, z, nh]: [V; 4], n: V) -> [V; 4] {
        [tanh_of(n), r, sigmoid_of(z), nh.mul(V::splat(1.0 / TANH))]
    }
}

/// The order of the gates of `W_ih` and of `W_hh` in the kernels' rows.
pub(in crate::nn) fn gate_orders(cell: Cell) -> ([usize; 4], [usize; 4]) {
    match cell {
        Cell::RnnTanh | Cell::RnnRelu => ([0; 4], [0; 4]),
        Cell::Lstm => (LstmGates::X_ORDER, LstmGates::H_ORDER),
        Cell::Gru => (GruGates::X_ORDER, GruGates::H_ORDER),
        Cell::GruBefore => ([0, 1, 2, 0], [0, 1, 2, 0]),
    }
}

/// The factors of a unit's sums, see [`Gates::SCALES`].
fn scales(cell: Cell) -> [f32; 4] {
    match cell {
        Cell::Lstm => LstmGates::SCALES,
        Cell::Gru => GruGates::SCALES,
        Cell::RnnTanh | Cell::RnnRelu | Cell::GruBefore => [1.0; 4],
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

/// An LSTM's or GRU's weights, packed for [`CellTile`].
pub(in crate::nn) struct CellPack {
    isa: Isa,
    cell: Cell,
    inputs: usize,
    hidden: usize,
    /// Hidden units, padded to whole registers.
    width: usize,
    /// `[width / lanes][inputs][gates][lanes]`, scaled as the sums.
    x: Aligned,
    /// `[width / lanes][hidden][gates][lanes]`, scaled as the sums.
    h: Aligned,
    /// `[width / lanes][4][lanes]`, scaled as the sums.
    bias: Aligned,
}

impl CellPack {
    /// `values` is the layer's own flat vector.
    pub fn new(isa: Isa, layout: &LayerLayout, values: &[f32]) -> Self {
        let (width, lanes, gates) = (isa.padded(layout.hidden), isa.lanes(), layout.cell.gates());
        let scales = scales(layout.cell);
        let pack = |matrix: &[f32], depth: usize, order: [usize; 4], first: usize| {
            let mut out = Aligned::zeros(width * depth * gates);
            for unit in 0..layout.hidden {
                let start = (unit / lanes) * depth * gates * lanes + unit % lanes;
                for (place, gate) in order[..gates].iter().enumerate() {
                    let row = &matrix[(gate * layout.hidden + unit) * depth..][..depth];
                    for (k, w) in row.iter().enumerate() {
                        out[start + (k * gates + place) * lanes] = *w * scales[first + place];
                    }
                }
            }
            out
        };
        let (x_order, h_order) = gate_orders(layout.cell);
        let mut bias = Aligned::zeros(4 * width);
        for (sum, (from, scale)) in
            sum_biases(layout, values, width).chunks_exact(width).zip(scales).enumerate()
        {
            for (unit, v) in from.iter().enumerate() {
                bias[(unit / lanes * 4 + sum) * lanes + unit % lanes] = v * scale;
            }
        }
        Self {
            isa,
            cell: layout.cell,
            inputs: layout.inputs,
            hidden: layout.hidden,
            width,
            x: pack(&values[layout.w_ih.clone()], layout.inputs, x_order, 0),
            h: pack(&values[layout.w_hh.clone()], layout.hidden, h_order, layout.cell.h_first()),
            bias,
        }
    }
}

/// One step of one layer for `rows` series. Padded units of every row come out as 0.
pub(in crate::nn) struct CellTile<'a> {
    pub pack: &'a CellPack,
    pub rows: usize,
    /// `[rows, inputs]`
    pub x: Operand<'a>,
    /// The input of `W_hh`, `[rows, hidden]`.
    pub h: Operand<'a>,
    /// GRU: the `h` that `z` keeps, `[rows, width]`; the same as `h` without dropout.
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

    /// Adds the sums of one register of units of `R` rows to `all`; with `ACROSS`, of `R` registers of one
    /// row. Each sum stays in one register from its bias on to its end, because no array is passed by value.
    #[inline(always)]
    fn sums<V: Vector, C: Gates, const R: usize, const G: usize, const ACROSS: bool>(
        &self,
        at: usize,
        unit: usize,
        all: &mut Registers<[V; 4], BLOCK>,
    ) {
        let pack = self.pack;
        let mut acc = [[V::splat(0.0); 4]; R];
        for (r, acc) in acc.iter_mut().enumerate() {
            let unit = if ACROSS { unit + r * V::N } else { unit };
            for (s, acc) in acc.iter_mut().enumerate() {
                *acc = V::load_at(&pack.bias, 4 * unit + s * V::N);
            }
        }
        let x = walk::<V>(self.x, at, &pack.x, unit, G);
        let h = walk::<V>(self.h, at, &pack.h, unit, G);
        if ACROSS {
            accumulate_across::<V, R, G, 4>(&mut acc, C::X_FIRST, x, x.depth * G * V::N);
            accumulate_across::<V, R, G, 4>(&mut acc, C::H_FIRST, h, h.depth * G * V::N);
        } else {
            accumulate::<V, R, G, 4>(&mut acc, C::X_FIRST, x);
            accumulate::<V, R, G, 4>(&mut acc, C::H_FIRST, h);
        }
        all.extend(&acc);
    }

    /// Computes one register of units of `count` rows, at most [`BLOCK`]; with `ACROSS`, `count`
    /// registers of one row.
    #[inline(always)]
    fn units<V: Vector, C: Gates, const G: usize, const ACROSS: bool>(
        &mut self,
        at: usize,
        unit: usize,
        count: usize,
    ) {
        let (width, lstm, keep) = (self.pack.width, self.pack.cell == Cell::Lstm, self.saved.is_some());
        let place = |i: usize| if ACROSS { (at, unit + i * V::N) } else { (at + i, unit) };
        let mut all = Registers::<[V; 4], BLOCK>::new();
        let mut late = Registers::<V, BLOCK>::new();
        in_row_groups!(V, 4, count, |from, R| {
            let (at, unit) = place(from);
            self.sums::<V, C, R, G, ACROSS>(at, unit, &mut all);
        });
        // The path from sums to `h` is a long chain in which every operation waits for the one
        // before. So it is cut into short loops, which let the CPU work on many units at once.
        for sums in &mut *all {
            C::raise(sums);
        }
        for (i, sums) in all.iter_mut().enumerate() {
            let (row, unit) = place(i);
            let held = row * width + unit;
            let (parts, sum, new) = C::first(*sums, if lstm { V::load_at(self.c, held) } else { sums[0] });
            late.push(sum);
            if lstm {
                new.store_at(self.c, held);
            }
            if keep {
                *sums = parts;
            }
        }
        for late in &mut *late {
            *late = power(*late);
        }
        for (i, (parts, late)) in all.iter().zip(&*late).enumerate() {
            let (row, unit) = place(i);
            let held = match lstm {
                true => *late,
                false => V::load_at(self.held.values, row * self.held.stride + unit),
            };
            C::second(parts[C::GATE], *late, held).store_at(self.out, row * width + unit);
        }
        if let Some(saved) = &mut self.saved {
            for (i, (parts, late)) in all.iter().zip(&*late).enumerate() {
                let (row, unit) = place(i);
                for (s, v) in C::activations(*parts, *late).iter().enumerate() {
                    v.store_at(saved, row * 4 * width + s * width + unit);
                }
            }
        }
    }

    #[inline(always)]
    fn all<V: Vector, C: Gates, const G: usize>(&mut self) {
        let alone = self.rows % V::ROWS == 1;
        let rows = self.rows - usize::from(alone);
        for unit in (0..self.pack.width).step_by(V::N) {
            for at in (0..rows).step_by(BLOCK) {
                self.units::<V, C, G, false>(at, unit, usize::min(BLOCK, rows - at));
            }
        }
        // A single row that is left over goes through several registers at once.
        for unit in (0..self.pack.width).step_by(BLOCK * V::N).take_while(|_| alone) {
            let registers = (self.pack.width - unit) / V::N;
            self.units::<V, C, G, true>(rows, unit, usize::min(BLOCK, registers));
        }
    }
}

/// The walk from row `at` of `a` through the panel of the units from `unit` on.
#[inline(always)]
fn walk<'a, V: Vector>(
    a: Operand<'a>,
    at: usize,
    panels: &'a Aligned,
    unit: usize,
    gates: usize,
) -> Walk<'a> {
    let (b, b_next) = (&panels[unit * a.width * gates..], gates * V::N);
    Walk { a: a.from(at, 0), row: a.stride, next: 1, b, b_next, depth: a.width }
}

impl Kernel for CellTile<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self) {
        match self.pack.cell {
            Cell::Lstm => self.all::<V, LstmGates, 4>(),
            _ => self.all::<V, GruGates, 3>(),
        }
    }
}
