//! The decoder: a cell that starts from the state after a reading and steps once for each lead.

use crate::nn::family::rows::TILE;
use crate::nn::kernel::{Operand, Packed, Product};
use crate::nn::layer::{Layer, Scratch, Step};
use crate::nn::{Activation, Blueprint, Head};
use crate::simd::{Aligned, Isa};

pub(in crate::nn) struct Decoder {
    cell: Layer,
    scratch: Scratch,
    /// `[outputs / leads, hidden]`
    head: Packed,
    /// `[outputs / leads]`, padded
    bias: Aligned,
    leads: usize,
    known: usize,
    /// Features that every lead sees.
    features: usize,
    /// Outputs of a lead.
    each: usize,
    hidden: usize,
    width: usize,
    /// The cell's input, rows of `[features | last output | known]`, `[TILE, inputs]`.
    x: Aligned,
    /// `[TILE, width]` each
    h: Aligned,
    c: Aligned,
    out: Aligned,
    /// A lead's outputs, `[TILE, each]`, padded.
    y: Aligned,
}

impl Decoder {
    /// `values` is the flat vector of all parameters.
    pub fn new(isa: Isa, b: &Blueprint, values: &[f32]) -> Self {
        let (Some(layout), Some(block), Head::Decoder { leads, known }) =
            (b.decoder_layout(), b.decoder_block(), b.head())
        else {
            panic!("{b:?} has no decoder");
        };
        let (each, hidden, width) = (b.outputs() / leads, layout.hidden, isa.padded(layout.hidden));
        let last = &values[b.head_block()];
        let head = Packed::new(isa, each, hidden, |column, k| last[column * hidden + k]);
        let mut bias = Aligned::zeros(head.columns());
        bias[..each].copy_from_slice(&last[each * hidden..]);
        let state = || Aligned::zeros(TILE * width);
        Self {
            cell: Layer::pack(isa, &layout, &values[block]),
            scratch: Scratch::new(isa, &layout, TILE),
            leads,
            known,
            features: b.features(),
            each,
            hidden,
            width,
            x: Aligned::zeros(TILE * layout.inputs),
            h: state(),
            c: state(),
            out: state(),
            y: Aligned::zeros(TILE * head.columns()),
            head,
            bias,
        }
    }

    /// Forecasts every lead. `start` is `h` and `c`, `[rows, width]` each, or nothing for a cold
    /// start; `x` has all features of the readings; `y` becomes `[rows, outputs]`.
    pub fn unroll(&mut self, rows: usize, start: Option<[&[f32]; 2]>, x: Operand, y: &mut [f32]) {
        let (each, features, known) = (self.each, self.features, self.known);
        let (width, outputs, inputs) = (self.width, each * self.leads, features + each + known);
        for (to, from) in [&mut self.h, &mut self.c].into_iter().zip([0, 1]) {
            match start {
                Some(state) => to[..rows * width].copy_from_slice(&state[from][..rows * width]),
                None => to.fill(0.0),
            }
        }
        for r in 0..rows {
            let to = &mut self.x[r * inputs..][..features + each];
            to[..features].copy_from_slice(&x.values[r * x.stride..][..features]);
            to[features..].fill(0.0);
        }
        for lead in 0..self.leads {
            for r in 0..rows {
                let of_lead = &x.values[r * x.stride + features + lead * known..][..known];
                self.x[r * inputs + features + each..][..known].copy_from_slice(of_lead);
            }
            self.cell.step(Step {
                rows,
                x: Operand::dense(&self.x, inputs),
                h: Operand { values: &self.h, stride: width, width: self.hidden },
                held: &self.h,
                c: &mut self.c,
                out: &mut self.out,
                work: self.scratch.work(),
            });
            let a = [Operand { values: &self.out, stride: width, width: self.hidden }, Operand::EMPTY];
            let (bias, stride) = (Some(&self.bias[..]), self.head.columns());
            let (activation, out) = (Activation::None, &mut self.y[..]);
            Product { weights: &self.head, bias, activation, a, rows, out, stride }.run();
            for r in 0..rows {
                let now = &self.y[r * stride..][..each];
                self.x[r * inputs + features..][..each].copy_from_slice(now);
                for (i, v) in now.iter().enumerate() {
                    y[r * outputs + i * self.leads + lead] = *v;
                }
            }
            std::mem::swap(&mut self.h, &mut self.out);
        }
    }
}
