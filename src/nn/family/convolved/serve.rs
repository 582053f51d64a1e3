//! A strided causal convolution in front of recurrent layers. A series' row is `[readings since the
//! last stride | readings before the newest, the oldest first | states]`.

use crate::nn::family::recurrent::serve::Stack;
use crate::nn::family::rows::{Rows, TILE, kept};
use crate::nn::kernel::{Operand, Packed, Product, stacked};
use crate::nn::{Activation, Blueprint, Family};
use crate::simd::{Aligned, Isa};

pub(in crate::nn) struct Convolved {
    inputs: usize,
    kernel: usize,
    stride: usize,
    hidden: usize,
    conv: (Packed, Aligned),
    stack: Stack,
    /// The slots whose stride is full.
    due: Vec<u32>,
    /// `[TILE, kernel · inputs]`
    window: Aligned,
    /// `[TILE, hidden]`, padded
    entering: Aligned,
    /// `[TILE, hidden]`
    top: Aligned,
}

impl Convolved {
    /// `values` is the flat vector of all parameters.
    pub fn new(isa: Isa, b: &Blueprint, values: &[f32]) -> Self {
        let Family::Convolved { kernel, stride, stack } = b.family() else {
            panic!("{b:?} has no convolution");
        };
        let part = (&values[b.range("conv.weight")], &values[b.range("conv.bias")]);
        let conv = stacked(isa, [stack.hidden, b.inputs(), kernel], &[Some(part)]);
        Self {
            inputs: b.inputs(),
            kernel,
            stride,
            hidden: stack.hidden,
            entering: Aligned::zeros(TILE * conv.0.columns()),
            conv,
            stack: Stack::new(isa, b, values, 1 + (kernel - 1) * b.inputs()),
            due: Vec::with_capacity(TILE),
            window: Aligned::zeros(TILE * kernel * b.inputs()),
            top: Aligned::zeros(TILE * stack.hidden),
        }
    }

    /// Takes one reading of every row; returns the input of the head.
    pub fn advance(&mut self, states: &mut Rows, slots: &[u32], x: &[f32]) -> Operand<'_> {
        let (inputs, all) = (self.inputs, self.kernel * self.inputs);
        let past = all - inputs;
        self.due.clear();
        for (slot, x) in slots.iter().zip(x.chunks(inputs)) {
            let row = states.row(*slot);
            let window = &mut self.window[self.due.len() * all..][..all];
            window[..past].copy_from_slice(&row[1..1 + past]);
            window[past..].iter_mut().zip(x).for_each(|(w, x)| *w = kept(*x));
            row[1..1 + past].copy_from_slice(&window[inputs..]);
            row[0] += 1.0;
            if row[0] as usize >= self.stride {
                row[0] = 0.0;
                self.due.push(*slot);
            }
        }
        if !self.due.is_empty() {
            let (weights, bias) = &self.conv;
            let (stride, a) = (weights.columns(), [Operand::dense(&self.window, all), Operand::EMPTY]);
            let (rows, out) = (self.due.len(), &mut self.entering[..]);
            let (bias, activation) = (Some(&bias[..]), Activation::Relu);
            Product { weights, bias, activation, a, rows, out, stride }.run();
            let entering = Operand { values: &self.entering, stride, width: self.hidden };
            self.stack.advance(states, &self.due, entering);
        }
        for (slot, top) in slots.iter().zip(self.top.chunks_exact_mut(self.hidden)) {
            self.stack.read(states.row(*slot), top);
        }
        Operand::dense(&self.top, self.hidden)
    }
}
