//! A network on the CPU: packed weights, and the kernels over tiles of rows.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp1, Layout};

use super::convolved::Convolved;
use super::decoder::Decoder;
use super::stack::Stack;
use super::wavenet::Wavenet;
use super::window::Window;
use super::{Rows, TILE};
use crate::nn::arena::cpu_floats;
use crate::nn::blueprint::{Family, Head};
use crate::nn::fold::{folded, folded_head};
use crate::nn::kernel::{Operand, Packed, Product, Standardise, fetch};
use crate::nn::{Activation, Blueprint, Weights};
use crate::simd::{Aligned, Isa};

pub(super) struct Fused {
    blueprint: Blueprint,
    body: Body,
    head: HeadPack,
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

impl Fused {
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
            Head::Direct | Head::Normed => HeadPack::Direct(Box::new(Direct::new(isa, &b, values))),
            Head::Decoder { .. } => HeadPack::Decoder(Box::new(Decoder::new(isa, &b, values))),
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

/// An in-place operation on the arena's storage. The fused kernel of another device goes in beside
/// `cpu_fwd`.
struct Advance<'a, 'b> {
    slots: &'a [u32],
    /// `[n, inputs]`
    x: &'a [f32],
    /// The scratch and `y`, `[n, outputs]`: an operation gets itself shared and writes both.
    inner: RefCell<(&'b mut Fused, &'b mut [f32])>,
}

impl InplaceOp1 for Advance<'_, '_> {
    fn name(&self) -> &'static str {
        "advance"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let states = cpu_floats(storage, layout)?;
        let (fused, y) = &mut *self.inner.borrow_mut();
        let b = fused.blueprint;
        let tiles = self.slots.chunks(TILE).zip(self.x.chunks(TILE * b.inputs()));
        let mut next = self.slots.chunks(TILE).skip(1);
        for ((slots, x), y) in tiles.zip(y.chunks_mut(TILE * b.outputs())) {
            fetch(states, b.row_width(), next.next().unwrap_or_default());
            fused.tile(states, slots, x, y);
        }
        Ok(())
    }
}
