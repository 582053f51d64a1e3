//! Serving: one reading each of many series, one advance of their states.
//!
//! Owns the packed weights and the scratch. Promises that a row of a batch is computed as if it
//! were alone, bit for bit, and that nothing is allocated once a step of full size has been made.
//! Never changes weights.

mod convolved;
mod decoder;
mod stack;
mod wavenet;
mod window;

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp1, Layout};

use super::arena::cpu_floats;
use super::blueprint::{Family, Head};
use super::error::check_length;
use super::fold::{folded, folded_head};
use super::kernel::{Aligned, Isa, Operand, Packed, Product, Standardise};
use super::{Activation, Arena, Blueprint, Error, Weights};
use convolved::Convolved;
use decoder::Decoder;
use stack::Stack;
use wavenet::Wavenet;
pub(super) use wavenet::stacked;
use window::Window;

/// Rows that go through all layers together, so that what they need stays in the nearest caches.
const TILE: usize = 96;

/// Weights packed for serving, and scratch. One a thread.
pub struct Network {
    blueprint: Blueprint,
    body: Body,
    head: HeadPack,
    /// For each slot the last step that it took part in, to find slots that are given twice.
    seen: Vec<u32>,
    step: u32,
}

/// What is below the head: it advances the states.
enum Body {
    Stack(Stack),
    Convolved(Convolved),
    Window(Window),
    Wavenet(Wavenet),
    /// Nothing is carried.
    Vector,
}

enum HeadPack {
    Direct(Box<Direct>),
    Decoder(Box<Decoder>),
}

/// `y = W [top | x] + b`, or of the normed top: gain and bias of the norm are folded into `W` and `b`.
struct Direct {
    norm: Option<(Standardise, Aligned)>,
    /// `[outputs, top + x]`
    weights: Packed,
    /// `[outputs]`, padded
    bias: Aligned,
    /// Features that it sees: all or none.
    features: usize,
    /// `[TILE, outputs]`, padded
    y: Aligned,
}

/// States in the arena, rows of `width` floats by slot.
struct Rows<'a> {
    values: &'a mut [f32],
    width: usize,
}

impl Rows<'_> {
    fn row(&mut self, slot: u32) -> &mut [f32] {
        &mut self.values[slot as usize * self.width..][..self.width]
    }
}

/// What may be kept of a feature: a state is always finite.
fn kept(v: f32) -> f32 {
    if v.is_finite() { v.clamp(-KEPT_MAX, KEPT_MAX) } else { 0.0 }
}

/// The largest feature that is kept.
const KEPT_MAX: f32 = 1e6;

impl Direct {
    /// `all` is the flat vector of all parameters.
    fn new(isa: Isa, b: &Blueprint, all: &[f32]) -> Self {
        let [top, features] = b.head_inputs();
        let depth = top + features;
        let values = folded_head(b, all);
        let weights = Packed::new(isa, b.outputs(), depth, |column, k| values[column * depth + k]);
        let mut bias = Aligned::zeros(weights.columns());
        bias[..b.outputs()].copy_from_slice(&values[b.outputs() * depth..]);
        let y = Aligned::zeros(TILE * weights.columns());
        let norm = b.head_norm().map(|_| {
            let norm = Standardise::new(isa, top);
            let normed = Aligned::zeros(TILE * norm.width());
            (norm, normed)
        });
        Self { norm, weights, bias, features, y }
    }

    fn run(&mut self, rows: usize, top: Operand, x: Operand, y: &mut [f32], outputs: usize) {
        let stride = self.weights.columns();
        let top = match &mut self.norm {
            None => top,
            Some((norm, normed)) => {
                norm.forward(top, rows, normed, None);
                Operand { values: normed, stride: norm.width(), width: top.width }
            }
        };
        let a = [top, if self.features > 0 { x } else { Operand::EMPTY }];
        let (weights, bias, activation) = (&self.weights, Some(&self.bias[..]), Activation::None);
        Product { weights, bias, activation, a, rows, out: &mut self.y, stride }.run();
        for (y, row) in y.chunks_exact_mut(outputs).zip(self.y.chunks_exact(stride)) {
            y.copy_from_slice(&row[..outputs]);
        }
    }
}

impl Network {
    pub fn new(weights: &Weights) -> Self {
        Self::on(Isa::best(), weights)
    }

    pub(super) fn on(isa: Isa, weights: &Weights) -> Self {
        let b = *weights.blueprint();
        let values = &folded(&b, weights.values())[..];
        let body = match b.family() {
            Family::Recurrent(_) => Body::Stack(Stack::new(isa, &b, values, 0)),
            Family::Convolved { .. } => Body::Convolved(Convolved::new(isa, &b, values)),
            Family::Window { .. } => Body::Window(Window::new(isa, &b, values)),
            Family::Wavenet { .. } => Body::Wavenet(Wavenet::new(isa, &b, values)),
            Family::Vector(_) => Body::Vector,
        };
        let head = match b.head() {
            Head::Direct | Head::Normed => HeadPack::Direct(Box::new(Direct::new(isa, &b, values))),
            Head::Decoder { .. } => HeadPack::Decoder(Box::new(Decoder::new(isa, &b, values))),
        };
        Self { blueprint: b, body, head, seen: Vec::new(), step: 0 }
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

    /// One tile: the states advance, then the head reads them.
    fn tile(&mut self, states: &mut [f32], slots: &[u32], x: &[f32], y: &mut [f32]) {
        let (b, rows) = (&self.blueprint, slots.len());
        let states = &mut Rows { values: states, width: b.row_width() };
        let (inputs, features) = (b.inputs(), b.features());
        let all = Operand::dense(x, inputs);
        let seen = Operand { width: features, ..all };
        let top = match &mut self.body {
            Body::Stack(stack) => {
                stack.advance(states, slots, seen);
                stack.top()
            }
            Body::Convolved(convolved) => convolved.advance(states, slots, x),
            Body::Window(window) => window.advance(states, slots, x),
            Body::Wavenet(wavenet) => wavenet.advance(states, slots, x),
            Body::Vector => Operand::EMPTY,
        };
        match &mut self.head {
            HeadPack::Direct(head) => head.run(rows, top, all, y, b.outputs()),
            HeadPack::Decoder(decoder) => {
                let start = match &self.body {
                    Body::Stack(stack) => Some(stack.state()),
                    _ => None,
                };
                decoder.unroll(rows, start, all, y);
            }
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
    use super::super::blueprint::samples;
    use super::super::weights::waves;
    use super::*;

    #[test]
    fn every_instruction_set_serves_the_same() {
        for (hidden, outputs) in [(1, 1), (9, 17), (32, 24), (45, 70)] {
            for b in samples(5, hidden, outputs) {
                let weights = waves(&b);
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
                // A norm over one unit divides a rounding error by almost nothing.
                let y = run(Isa::Portable);
                for isa in Isa::available() {
                    for (a, o) in y.iter().zip(run(isa)) {
                        assert!((a - o).abs() < 1e-4 * (1.0 + a.abs()), "{isa:?} {b:?}: {a} {o}");
                    }
                }
            }
        }
    }
}
