//! The last readings, and dense layers on them. A series' row holds the readings before the newest,
//! the oldest first.

use crate::nn::family::rows::{Rows, TILE, kept};
use crate::nn::kernel::{Operand, Packed, Product};
use crate::nn::{Activation, Blueprint, Family};
use crate::simd::{Aligned, Isa};

pub(in crate::nn) struct Window {
    layers: Vec<(Packed, Aligned)>,
    activation: Activation,
    inputs: usize,
    readings: usize,
    /// `[TILE, readings · inputs]`
    window: Aligned,
    /// `[TILE, hidden]`, padded
    below: Aligned,
    out: Aligned,
    hidden: usize,
}

impl Window {
    /// `values` is the flat vector of all parameters.
    pub fn new(isa: Isa, b: &Blueprint, values: &[f32]) -> Self {
        let Family::Window { readings, layers, hidden, activation } = b.family() else {
            panic!("{b:?} has no window");
        };
        let layers: Vec<_> = (0..layers)
            .map(|l| {
                let depth = if l == 0 { readings * b.inputs() } else { hidden };
                let matrix = &values[b.range(&format!("dense.{l}.weight"))];
                let weights = Packed::new(isa, hidden, depth, |column, k| matrix[column * depth + k]);
                let mut bias = Aligned::zeros(weights.columns());
                bias[..hidden].copy_from_slice(&values[b.range(&format!("dense.{l}.bias"))]);
                (weights, bias)
            })
            .collect();
        let state = || Aligned::zeros(if layers.is_empty() { 0 } else { TILE * isa.padded(hidden) });
        Self {
            activation,
            inputs: b.inputs(),
            readings,
            window: Aligned::zeros(TILE * readings * b.inputs()),
            below: state(),
            out: state(),
            hidden,
            layers,
        }
    }

    /// Takes one reading of every row; returns the input of the head.
    pub fn advance(&mut self, states: &mut Rows, slots: &[u32], x: &[f32]) -> Operand<'_> {
        let (inputs, rows) = (self.inputs, slots.len());
        let (past, all) = ((self.readings - 1) * inputs, self.readings * inputs);
        for ((slot, x), window) in slots.iter().zip(x.chunks(inputs)).zip(self.window.chunks_mut(all)) {
            let row = &mut states.row(*slot)[..past];
            window[..past].copy_from_slice(row);
            window[past..].iter_mut().zip(x).for_each(|(w, x)| *w = kept(*x));
            row.copy_from_slice(&window[inputs..]);
        }
        for (l, (weights, bias)) in self.layers.iter().enumerate() {
            std::mem::swap(&mut self.below, &mut self.out);
            let stride = weights.columns();
            let below = match l {
                0 => Operand::dense(&self.window, all),
                _ => Operand { values: &self.below, stride, width: self.hidden },
            };
            let (activation, a, out) = (self.activation, [below, Operand::EMPTY], &mut self.out[..]);
            Product { weights, bias: Some(bias), activation, a, rows, out, stride }.run();
        }
        match self.layers.first() {
            None => Operand::dense(&self.window, all),
            Some((first, _)) => Operand { values: &self.out, stride: first.columns(), width: self.hidden },
        }
    }
}
