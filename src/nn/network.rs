//! Serving: one reading each of many series, one advance of their states.
//!
//! Owns the packed weights and the scratch. Promises that a row of a batch is computed as if it
//! were alone, bit for bit, and that nothing is allocated once a step of full size has been made.
//! Never changes weights.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp1, Layout};

use super::arena::cpu_floats;
use super::error::check_length;
use super::kernel::{
    Aligned, CellPack, CellTile, Isa, LayerNorm, NormRows, Operand, Packed, Product, gate_orders,
};
use super::{Arena, Blueprint, Cell, Error, Weights};

/// Rows that go through all layers together, so that what they need stays in the nearest caches.
const TILE: usize = 96;

/// Weights packed for serving, and scratch. One a thread.
pub struct Network {
    blueprint: Blueprint,
    layers: Vec<Layer>,
    /// `[outputs, hidden + inputs]`
    head: Packed,
    /// `[outputs]`, padded
    head_bias: Aligned,
    scratch: Scratch,
    /// For each slot the last step that it took part in, to find slots that are given twice.
    seen: Vec<u32>,
    step: u32,
}

/// How a layer is computed.
pub(super) enum Layer {
    Plain(CellPack),
    /// Products with `W_ih` and `W_hh` first, `[gates, width]` columns each, then the norms.
    Normed {
        x: Packed,
        h: Packed,
        norm: LayerNorm,
    },
}

/// Rows of one tile; `width` is the hidden size in whole registers.
struct Scratch {
    width: usize,
    /// The states as they were, `[TILE, width]` each.
    h: Aligned,
    c: Aligned,
    /// The new `h` of the layer below and of this one, `[TILE, width]` each.
    below: Aligned,
    out: Aligned,
    /// Products of a layer with norms, `[TILE, gates · width]` each.
    x_sums: Aligned,
    h_sums: Aligned,
    /// `[TILE, outputs]`, padded
    y: Aligned,
}

impl Layer {
    /// `values` is the layer's own flat vector.
    pub(super) fn pack(isa: Isa, blueprint: &Blueprint, l: usize, values: &[f32]) -> Self {
        let layout = blueprint.layer_layout(l);
        let Some(norm) = LayerNorm::new(isa, &layout, values) else {
            return Self::Plain(CellPack::new(isa, &layout, values));
        };
        let (width, hidden) = (isa.padded(layout.hidden), layout.hidden);
        let columns = layout.cell.gates() * width;
        let (x_order, h_order) = gate_orders(layout.cell);
        let pack = |matrix: &[f32], depth: usize, order: [usize; 4]| {
            Packed::new(isa, columns, depth, |column, k| match column % width {
                unit if unit < hidden => matrix[(order[column / width] * hidden + unit) * depth + k],
                _ => 0.0,
            })
        };
        let x = pack(&values[layout.w_ih], layout.inputs, x_order);
        let h = pack(&values[layout.w_hh], hidden, h_order);
        Self::Normed { x, h, norm }
    }
}

impl Network {
    pub fn new(weights: &Weights) -> Self {
        Self::on(Isa::best(), weights)
    }

    pub(super) fn on(isa: Isa, weights: &Weights) -> Self {
        let b = *weights.blueprint();
        let layers =
            (0..b.layers()).map(|l| Layer::pack(isa, &b, l, &weights.values()[b.block(l)])).collect();
        let head = &weights.values()[b.block(b.layers())];
        let depth = b.hidden() + b.inputs();
        let packed = Packed::new(isa, b.outputs(), depth, |column, k| head[column * depth + k]);
        let mut head_bias = Aligned::zeros(packed.columns());
        head_bias[..b.outputs()].copy_from_slice(&head[b.outputs() * depth..]);
        let (width, stack) = (isa.padded(b.hidden()), b.cell().gates() * isa.padded(b.hidden()));
        let state = || Aligned::zeros(TILE * width);
        let scratch = Scratch {
            width,
            h: state(),
            c: state(),
            below: state(),
            out: state(),
            x_sums: Aligned::zeros(TILE * stack),
            h_sums: Aligned::zeros(TILE * stack),
            y: Aligned::zeros(TILE * packed.columns()),
        };
        Self { blueprint: b, layers, head: packed, head_bias, scratch, seen: Vec::new(), step: 0 }
    }

    pub fn blueprint(&self) -> &Blueprint {
        &self.blueprint
    }

    /// Advances the series in `slots` by one reading each: `x` is `[n, inputs]`, `y` becomes
    /// `[n, outputs]`. A value of `x` that is not finite can spoil its own row of `y`, never a state.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Slot`], [`Error::RepeatedSlot`], [`Error::Arena`]; the states
    /// are then as they were.
    pub fn step(&mut self, arena: &mut Arena, slots: &[u32], x: &[f32], y: &mut [f32]) -> Result<(), Error> {
        let b = self.blueprint;
        check_length("features", slots.len() * b.inputs(), x.len())?;
        check_length("outputs", slots.len() * b.outputs(), y.len())?;
        if arena.row_width() != b.row_width() {
            return Err(Error::Arena { arena: arena.row_width(), network: b.row_width() });
        }
        self.check_slots(arena, slots)?;
        let advance = Advance { slots, x, inner: RefCell::new((self, y)) };
        Ok(arena.door().inplace_op1(&advance)?)
    }

    fn check_slots(&mut self, arena: &Arena, slots: &[u32]) -> Result<(), Error> {
        if self.seen.len() < arena.slots() {
            self.seen.resize(arena.slots().next_power_of_two(), 0);
        }
        self.step = self.step.wrapping_add(1);
        if self.step == 0 {
            self.seen.fill(0);
            self.step = 1;
        }
        for slot in slots {
            if *slot as usize >= arena.slots() {
                return Err(Error::Slot { slot: *slot as usize, slots: arena.slots() });
            }
            if std::mem::replace(&mut self.seen[*slot as usize], self.step) == self.step {
                return Err(Error::RepeatedSlot(*slot));
            }
        }
        Ok(())
    }

    /// One tile: gather, every layer, scatter, head.
    fn tile(&mut self, states: &mut [f32], slots: &[u32], x: &[f32], y: &mut [f32]) {
        let (b, s, rows) = (&self.blueprint, &mut self.scratch, slots.len());
        let (hidden, row_width, width) = (b.hidden(), b.row_width(), s.width);
        for (l, layer) in self.layers.iter().enumerate() {
            let offset = l * b.state_width();
            for (r, slot) in slots.iter().enumerate() {
                let row = &states[*slot as usize * row_width + offset..][..b.state_width()];
                s.h[r * width..][..hidden].copy_from_slice(&row[..hidden]);
                if b.cell() == Cell::Lstm {
                    s.c[r * width..][..hidden].copy_from_slice(&row[hidden..]);
                }
            }
            std::mem::swap(&mut s.below, &mut s.out);
            let below = if l == 0 {
                Operand::dense(x, b.inputs())
            } else {
                Operand { values: &s.below, stride: width, width: hidden }
            };
            let h = Operand { values: &s.h, stride: width, width: hidden };
            let held = Operand::dense(&s.h, width);
            match layer {
                Layer::Plain(pack) => {
                    CellTile { pack, rows, x: below, h, held, c: &mut s.c, out: &mut s.out, saved: None }
                        .run()
                }
                Layer::Normed { x: w_ih, h: w_hh, norm } => {
                    let stride = w_ih.columns();
                    for (weights, a, out) in [(w_ih, below, &mut s.x_sums), (w_hh, h, &mut s.h_sums)] {
                        Product { weights, bias: None, a: [a, Operand::EMPTY], rows, out, stride }.run();
                    }
                    let (x, h) = (&mut s.x_sums, &mut s.h_sums);
                    NormRows { norm, rows, x, h, held, c: &mut s.c, out: &mut s.out, saved: None }.run();
                }
            }
            for (r, slot) in slots.iter().enumerate() {
                let row = &mut states[*slot as usize * row_width + offset..][..b.state_width()];
                row[..hidden].copy_from_slice(&s.out[r * width..][..hidden]);
                if b.cell() == Cell::Lstm {
                    row[hidden..].copy_from_slice(&s.c[r * width..][..hidden]);
                }
            }
        }
        let stride = self.head.columns();
        let top = Operand { values: &s.out, stride: width, width: hidden };
        let a = [top, Operand::dense(x, b.inputs())];
        Product { weights: &self.head, bias: Some(&self.head_bias), a, rows, out: &mut s.y, stride }.run();
        for (y, row) in y.chunks_exact_mut(b.outputs()).zip(s.y.chunks_exact(stride)) {
            y.copy_from_slice(&row[..b.outputs()]);
        }
    }
}

/// The door to the device: an in-place operation on the arena's storage. The fused kernel of another
/// device goes in beside `cpu_fwd`.
struct Advance<'a, 'b> {
    slots: &'a [u32],
    /// `[n, inputs]`
    x: &'a [f32],
    /// The scratch and `y`, `[n, outputs]`: an operation gets itself shared and writes both.
    inner: RefCell<(&'b mut Network, &'b mut [f32])>,
}

impl InplaceOp1 for Advance<'_, '_> {
    fn name(&self) -> &'static str {
        "advance"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _: &Layout) -> candle_core::Result<()> {
        let states = cpu_floats(storage)?;
        let (network, y) = &mut *self.inner.borrow_mut();
        let (inputs, outputs) = (network.blueprint.inputs(), network.blueprint.outputs());
        let tiles = self.slots.chunks(TILE).zip(self.x.chunks(TILE * inputs));
        for ((slots, x), y) in tiles.zip(y.chunks_mut(TILE * outputs)) {
            network.tile(states, slots, x, y);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Norm;
    use super::*;

    #[test]
    fn every_instruction_set_serves_the_same() {
        for cell in [Cell::Lstm, Cell::Gru] {
            for norm in [Norm::None, Norm::Layer] {
                for (hidden, outputs) in [(1, 1), (9, 17), (32, 24), (45, 70)] {
                    let b = Blueprint::try_new(cell, norm, 5, hidden, 2, outputs).unwrap();
                    let values = (0..b.parameter_count()).map(|i| 0.5 * (i as f32 * 1.3).sin()).collect();
                    let weights = Weights::try_new(b, values).unwrap();
                    let slots: Vec<u32> = (0..101).rev().collect();
                    let run = |isa: Isa| {
                        let mut network = Network::on(isa, &weights);
                        let mut arena = Arena::new(&b).unwrap();
                        arena.grow(slots.len()).unwrap();
                        let mut y = vec![0.0; slots.len() * outputs];
                        for t in 0..20 {
                            let x: Vec<f32> =
                                (0..slots.len() * 5).map(|i| ((i + 31 * t) as f32 * 0.7).sin()).collect();
                            network.step(&mut arena, &slots, &x, &mut y).unwrap();
                        }
                        y
                    };
                    let y = run(Isa::Portable);
                    for isa in Isa::available() {
                        for (a, o) in y.iter().zip(run(isa)) {
                            assert!((a - o).abs() < 1e-5 * (1.0 + a.abs()), "{isa:?} {b:?}: {a} {o}");
                        }
                    }
                }
            }
        }
    }
}
