//! Dense layers on the last readings, over a whole chunk.

use crate::nn::chunk::Chunk;
use crate::nn::dropout::Masks;
use crate::nn::family::body::{Body, Sequence};
use crate::nn::family::map::Map;
use crate::nn::kernel::{Operand, Packed, Product, Slopes};
use crate::nn::{Activation, Blueprint, Family};
use crate::simd::{Aligned, Isa};

pub(in crate::nn) struct WindowBody {
    isa: Isa,
    blueprint: Blueprint,
    readings: usize,
    hidden: usize,
    activation: Activation,
    maps: Vec<Map>,
    rows: usize,
    /// `[rows, readings · inputs]`
    window: Vec<f32>,
    /// The output of every layer, `[rows, hidden in whole registers]` each.
    outs: Vec<Aligned>,
    lower: Aligned,
}

impl WindowBody {
    /// Empty buffers for networks of this shape; they grow with the first chunk.
    pub fn new(isa: Isa, b: &Blueprint) -> Self {
        let Family::Window { readings, layers, hidden, activation } = b.family() else {
            panic!("{b:?} has no window");
        };
        let depth = |l: usize| if l == 0 { readings * b.inputs() } else { hidden };
        Self {
            isa,
            blueprint: *b,
            readings,
            hidden,
            activation,
            maps: (0..layers).map(|l| Map::new(b, &format!("dense.{l}"), depth(l), 1)).collect(),
            rows: 0,
            window: Vec::new(),
            outs: (0..layers).map(|_| Aligned::zeros(0)).collect(),
            lower: Aligned::zeros(0),
        }
    }

    fn entering(&self, l: usize) -> Operand<'_> {
        match l {
            0 => Operand::dense(&self.window, self.readings * self.blueprint.inputs()),
            _ => Operand {
                values: &self.outs[l - 1],
                stride: self.isa.padded(self.hidden),
                width: self.hidden,
            },
        }
    }
}

/// The last readings of every step after the burn-in, side by side, `[steps · batch, readings ·
/// inputs]`. They come from the chunk, `x` time-major, and before its start from the states, or are
/// zeros.
pub(in crate::nn) fn readings_side_by_side(
    b: &Blueprint,
    chunk: &Chunk,
    x: &[f32],
    masks: &[Masks],
    to: &mut Vec<f32>,
) {
    let Family::Window { readings, .. } = b.family() else { panic!("{b:?} has no window") };
    let (batch, inputs, past) = (chunk.batch, b.inputs(), readings - 1);
    let mask = masks.first().and_then(|m| m.x.as_deref());
    to.clear();
    to.reserve(chunk.steps * batch * readings * inputs);
    for t in chunk.burn_in..chunk.burn_in + chunk.steps {
        for row in 0..batch {
            for then in t..t + readings {
                let from = to.len();
                match (then.checked_sub(past), chunk.state) {
                    (Some(then), _) => to.extend_from_slice(&x[(then * batch + row) * inputs..][..inputs]),
                    (None, Some(state)) => {
                        let state = &state[row * b.row_width()..];
                        to.extend_from_slice(&state[then * inputs..][..inputs]);
                    }
                    (None, None) => to.resize(from + inputs, 0.0),
                }
                if let Some(mask) = mask {
                    let mask = &mask[row * inputs..];
                    to[from..].iter_mut().zip(mask).for_each(|(v, m)| *v *= m);
                }
            }
        }
    }
}

impl Body for WindowBody {
    fn forward(&mut self, values: &[f32], sequence: Sequence) {
        readings_side_by_side(&self.blueprint, sequence.chunk, sequence.x, &sequence.masks, &mut self.window);
        self.rows = sequence.chunk.steps * sequence.chunk.batch;
        let (rows, stride) = (self.rows, self.isa.padded(self.hidden));
        for l in 0..self.maps.len() {
            let mut out = std::mem::replace(&mut self.outs[l], Aligned::zeros(0));
            out.reserve(rows * stride);
            let (below, map) = (self.entering(l), &self.maps[l]);
            let (matrix, depth) = (map.weight(values), below.width);
            let weights = Packed::new(self.isa, self.hidden, depth, |unit, k| matrix[unit * depth + k]);
            let mut bias = Aligned::zeros(stride);
            bias[..self.hidden].copy_from_slice(map.bias(values));
            let (activation, a) = (self.activation, [below, Operand::EMPTY]);
            let (weights, bias) = (&weights, Some(&bias[..]));
            Product { weights, bias, activation, a, rows, out: &mut out, stride }.run();
            self.outs[l] = out;
        }
    }

    fn top(&self) -> Operand<'_> {
        self.entering(self.maps.len())
    }

    fn backward(&mut self, values: &[f32], dtop: &mut Aligned, _: Option<&[f32]>, gradient: &mut [f32]) {
        let (isa, rows, stride) = (self.isa, self.rows, self.isa.padded(self.hidden));
        let len = rows * stride;
        for l in (0..self.maps.len()).rev() {
            let (activation, y) = (self.activation, &self.outs[l][..len]);
            Slopes { isa, activation, y, d: &mut dtop[..len] }.run();
            let below = self.entering(l);
            let d = Operand::dense(dtop, stride);
            self.maps[l].gradient(isa, rows, &[below], d, [0, self.hidden, 0], gradient);
            if l > 0 {
                let (matrix, hidden) = (self.maps[l].weight(values), self.hidden);
                let back = Packed::new(isa, hidden, stride, |unit, k| {
                    if k < hidden { matrix[k * hidden + unit] } else { 0.0 }
                });
                self.lower.reserve(len);
                back.times(d, rows, &mut self.lower, stride);
                std::mem::swap(dtop, &mut self.lower);
            }
        }
    }
}
