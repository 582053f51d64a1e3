//! A network on the CPU: packed weights, and the kernels over tiles of rows.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp1, Layout};

use crate::nn::arena::cpu_floats;
use crate::nn::family::convolved::serve::Convolved;
use crate::nn::family::recurrent::serve::Stack;
use crate::nn::family::rows::{Rows, TILE};
use crate::nn::family::wavenet::serve::Wavenet;
use crate::nn::family::window::serve::Window;
use crate::nn::fold::folded;
use crate::nn::head::decoder::serve::Decoder;
use crate::nn::head::direct::serve::Direct;
use crate::nn::kernel::{Operand, prefetch_rows};
use crate::nn::{Blueprint, Family, Head, Weights};
use crate::simd::Isa;

pub(in crate::nn) struct KernelServing {
    blueprint: Blueprint,
    body: Body,
    head: OutputHead,
}

/// The layers below the head, which advance the states.
enum Body {
    Stack(Stack),
    Convolved(Convolved),
    Window(Window),
    Wavenet(Wavenet),
    /// The family carries nothing.
    Vector,
}

enum OutputHead {
    Direct(Box<Direct>),
    Decoder(Box<Decoder>),
}

impl KernelServing {
    /// Packs a network's weights for an instruction set.
    pub fn new(isa: Isa, weights: &Weights) -> Self {
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
            Head::Direct | Head::Normed => OutputHead::Direct(Box::new(Direct::new(isa, &b, values))),
            Head::Decoder { .. } => OutputHead::Decoder(Box::new(Decoder::new(isa, &b, values))),
        };
        Self { blueprint: b, body, head }
    }

    /// Advances the rows of an arena, by slot. Lengths and slots have been checked.
    pub fn step<'a>(&'a mut self, slots: &'a [u32], x: &'a [f32], y: &'a mut [f32]) -> impl InplaceOp1 {
        Advance { slots, x, inner: RefCell::new((self, y)) }
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
            OutputHead::Direct(head) => head.run(rows, top, all, y, b.outputs()),
            OutputHead::Decoder(decoder) => {
                let start = match &self.body {
                    Body::Stack(stack) => Some(stack.state()),
                    _ => None,
                };
                decoder.unroll(rows, start, all, y);
            }
        }
    }
}

/// An in-place operation on the arena's storage. A kernel for another device would go beside
/// `cpu_fwd`.
struct Advance<'a, 'b> {
    slots: &'a [u32],
    /// `[n, inputs]`
    x: &'a [f32],
    /// The network with its scratch memory, and `y`, `[n, outputs]`. An operation gets `&self`, but
    /// writes to both.
    inner: RefCell<(&'b mut KernelServing, &'b mut [f32])>,
}

impl InplaceOp1 for Advance<'_, '_> {
    fn name(&self) -> &'static str {
        "advance"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let states = cpu_floats(storage, layout)?;
        let (network, y) = &mut *self.inner.borrow_mut();
        let b = network.blueprint;
        let tiles = self.slots.chunks(TILE).zip(self.x.chunks(TILE * b.inputs()));
        let mut next = self.slots.chunks(TILE).skip(1);
        for ((slots, x), y) in tiles.zip(y.chunks_mut(TILE * b.outputs())) {
            prefetch_rows(states, b.row_width(), next.next().unwrap_or_default());
            network.tile(states, slots, x, y);
        }
        Ok(())
    }
}
