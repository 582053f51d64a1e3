//! Recurrent layers over a tile of rows.

use crate::nn::Blueprint;
use crate::nn::family::rows::{Rows, TILE};
use crate::nn::kernel::{Gather, Operand, RowParts, Scatter};
use crate::nn::layer::{Layer, Scratch, Step};
use crate::simd::{Aligned, Isa};

/// Layers packed for serving. Their states lie in a series' row from `offset` on, `[h | c]` or `[h]`
/// of every layer, the first layer first.
pub(in crate::nn) struct Stack {
    isa: Isa,
    layers: Vec<Layer>,
    scratch: Scratch,
    offset: usize,
    hidden: usize,
    state_width: usize,
    /// Hidden units in whole registers.
    width: usize,
    /// Layers `1..residual` add their input to their output.
    residual: usize,
    /// The old states, then the new `c`, `[TILE, width]` each.
    h: Aligned,
    c: Aligned,
    /// The layer's input and its new `h`, `[TILE, width]` each.
    below: Aligned,
    out: Aligned,
}

impl Stack {
    /// `values` is the flat vector of all parameters.
    pub fn new(isa: Isa, b: &Blueprint, values: &[f32], offset: usize) -> Self {
        let stack = b.stack().expect("the family has layers");
        let layouts: Vec<_> = (0..stack.layers).map(|l| b.layer_layout(l)).collect();
        let width = isa.padded(stack.hidden);
        let state = || Aligned::zeros(TILE * width);
        Self {
            isa,
            layers: layouts
                .iter()
                .enumerate()
                .map(|(l, layout)| Layer::pack(isa, layout, &values[b.block(l)]))
                .collect(),
            scratch: Scratch::new(isa, &layouts[0], TILE),
            offset,
            hidden: stack.hidden,
            state_width: stack.state_width(),
            width,
            residual: b.residual_layers(),
            h: state(),
            c: state(),
            below: state(),
            out: state(),
        }
    }

    /// One reading of every row: gather, step and scatter, layer after layer.
    pub fn advance(&mut self, states: &mut Rows, slots: &[u32], x: Operand) {
        let (hidden, width, rows) = (self.hidden, self.width, slots.len());
        for (l, layer) in self.layers.iter().enumerate() {
            let at = self.offset + l * self.state_width;
            let place =
                |at| RowParts { isa: self.isa, slots, width: states.width, at, len: hidden, stride: width };
            let (of_h, of_c) = (place(at), place(at + hidden));
            let carries_c = self.state_width > hidden;
            Gather { places: of_h, rows: states.values, tile: &mut self.h }.run();
            if carries_c {
                Gather { places: of_c, rows: states.values, tile: &mut self.c }.run();
            }
            std::mem::swap(&mut self.below, &mut self.out);
            let below = Operand { values: &self.below, stride: width, width: hidden };
            layer.step(Step {
                rows,
                x: if l == 0 { x } else { below },
                h: Operand { values: &self.h, stride: width, width: hidden },
                held: &self.h,
                c: &mut self.c,
                out: &mut self.out,
                work: self.scratch.work(),
            });
            Scatter { places: of_h, rows: states.values, tile: &self.out }.run();
            if carries_c {
                Scatter { places: of_c, rows: states.values, tile: &self.c }.run();
            }
            if (1..self.residual).contains(&l) {
                let below = self.below[..rows * width].iter();
                self.out.iter_mut().zip(below).for_each(|(out, below)| *out += below);
            }
        }
    }

    /// The input of a direct head after the last advance, `[rows, hidden]`.
    pub fn top(&self) -> Operand<'_> {
        Operand { values: &self.out, stride: self.width, width: self.hidden }
    }

    /// The top layer's `h` and `c` after the last advance, `[rows, width]` each.
    pub fn state(&self) -> [&[f32]; 2] {
        [&self.out, &self.c]
    }

    /// The input of a direct head for a state that did not advance: `h` of the top layer, or with
    /// residuals the sum of all layers' `h`.
    pub fn read(&self, row: &[f32], top: &mut [f32]) {
        let mut layers = row[self.offset..].chunks_exact(self.state_width).rev();
        top.copy_from_slice(&layers.next().expect("there is a layer")[..self.hidden]);
        if self.residual > 1 {
            for h in layers {
                top.iter_mut().zip(h).for_each(|(top, h)| *top += h);
            }
        }
    }
}
