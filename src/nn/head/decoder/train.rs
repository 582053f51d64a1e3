//! The decoder over a whole chunk: it unrolls all leads from every step after the burn-in.

use crate::nn::kernel::{Operand, Packed, Product, outer_sum};
use crate::nn::layer::tape::Tape;
use crate::nn::{Activation, Blueprint, Head};
use crate::simd::{Aligned, Isa};

/// The buffers of a decoder; `rows` is `steps · batch`.
pub(in crate::nn) struct DecoderTape {
    isa: Isa,
    blueprint: Blueprint,
    tape: Tape,
    leads: usize,
    known: usize,
    features: usize,
    /// The number of a lead's outputs, and the same in whole registers.
    each: usize,
    stride: usize,
    rows: usize,
    /// A lead's outputs, then their gradient, `[leads, rows, stride]`.
    pub y: Aligned,
    /// Teacher forcing: the target that replaced the last lead's output; not a number where nothing
    /// did. `[leads, rows, each]`; empty without forcing.
    forced: Vec<f32>,
    /// The input of a lead, `[rows, inputs]`.
    entering: Vec<f32>,
    dout: Aligned,
    dx: Aligned,
}

impl DecoderTape {
    /// Empty buffers for networks of this shape; they grow with the first chunk.
    pub fn new(isa: Isa, b: &Blueprint) -> Self {
        let (Some(layout), Head::Decoder { leads, known }) = (b.decoder_layout(), b.head()) else {
            panic!("{b:?} has no decoder");
        };
        let (each, empty) = (b.outputs() / leads, || Aligned::zeros(0));
        Self {
            isa,
            blueprint: *b,
            tape: Tape::new(isa, layout),
            leads,
            known,
            features: b.features(),
            each,
            stride: isa.padded(each),
            rows: 0,
            y: empty(),
            forced: Vec::new(),
            entering: Vec::new(),
            dout: empty(),
            dx: empty(),
        }
    }

    /// The index of output `o` of a row in [`Self::y`].
    pub fn place(&self, row: usize, o: usize) -> usize {
        ((o % self.leads) * self.rows + row) * self.stride + o / self.leads
    }

    /// `start` is `h` and `c`, `[rows, width]` each, or nothing for a cold start; `x` has all
    /// features. `forced(row, o)` is the target that replaces output `o` of the lead before, if one
    /// does.
    pub fn forward(
        &mut self,
        values: &[f32],
        start: Option<[&[f32]; 2]>,
        x: Operand,
        rows: usize,
        forced: Option<&dyn Fn(usize, usize) -> Option<f32>>,
    ) {
        let block = self.blueprint.decoder_block().expect("there is a decoder");
        let (features, each, leads, stride) = (self.features, self.each, self.leads, self.stride);
        let (width, hidden) = (self.tape.width, self.tape.layout.hidden);
        self.rows = rows;
        let cold = vec![0.0; if start.is_none() { rows * width } else { 0 }];
        let state = start.unwrap_or([&cold, &cold]);
        let state = state.map(|values| Operand { values, stride: width, width: hidden });
        self.tape.begin(&values[block], state, [leads, rows]);
        let (head, bias) = self.head(values);
        self.y.reserve(leads * rows * stride);
        self.forced.clear();
        if let Some(forced) = forced {
            for lead in 0..leads {
                let at = |row: usize, i: usize| forced(row, i * leads + lead).unwrap_or(f32::NAN);
                self.forced.extend((0..rows).flat_map(|row| (0..each).map(move |i| at(row, i))));
            }
        }
        let inputs = self.tape.layout.inputs;
        self.entering.resize(rows * inputs, 0.0);
        for (r, to) in self.entering.chunks_exact_mut(inputs).enumerate() {
            to[..features].copy_from_slice(&x.values[r * x.stride..][..features]);
            to[features..features + each].fill(0.0);
        }
        for lead in 0..leads {
            for (r, to) in self.entering.chunks_exact_mut(inputs).enumerate() {
                let known = &x.values[r * x.stride + features + lead * self.known..][..self.known];
                to[features + each..].copy_from_slice(known);
                let Some(last) = lead.checked_sub(1) else { continue };
                for (i, to) in to[features..features + each].iter_mut().enumerate() {
                    *to = self.y[(last * rows + r) * stride + i];
                    match self.forced.get((last * rows + r) * each + i) {
                        Some(forced) if forced.is_finite() => *to = *forced,
                        _ => {}
                    }
                }
            }
            self.tape.feed(lead, Operand::dense(&self.entering, inputs));
            self.tape.advance(lead);
            let h = self.tape.out();
            let h = Operand { values: &h.values[lead * rows * width..], ..h };
            let out = &mut self.y[lead * rows * stride..][..rows * stride];
            let (weights, bias, a) = (&head, Some(&bias[..]), [h, Operand::EMPTY]);
            Product { weights, bias, activation: Activation::None, a, rows, out, stride }.run();
        }
    }

    /// The backward pass: from the gradient of the outputs, which [`Self::y`] holds, to that of the
    /// flat vector. Returns the gradients of `h` and `c` at the start, `[rows, width]` each.
    pub fn backward(&mut self, values: &[f32], gradient: &mut [f32]) -> [Aligned; 2] {
        let block = self.blueprint.decoder_block().expect("there is a decoder");
        let (rows, each, stride) = (self.rows, self.each, self.stride);
        let (width, hidden) = (self.tape.width, self.tape.layout.hidden);
        let last = &values[self.blueprint.head_block()];
        let back_head =
            Packed::new(
                self.isa,
                hidden,
                stride,
                |unit, k| {
                    if k < each { last[k * hidden + unit] } else { 0.0 }
                },
            );
        let weights = self.tape.input_turned(&values[block.clone()]);
        let columns = weights.columns();
        let mut back = self.tape.begin_reverse(&values[block.clone()]);
        self.dout.reserve(rows * width);
        self.dx.reserve(rows * columns);
        for lead in (0..self.leads).rev() {
            let dy = &mut self.y[lead * rows * stride..][..rows * stride];
            if lead + 1 < self.leads {
                // The next lead's input has this lead's output.
                for (r, dy) in dy.chunks_exact_mut(stride).enumerate() {
                    for (i, dy) in dy[..each].iter_mut().enumerate() {
                        let forced = self.forced.get((lead * rows + r) * each + i);
                        if !forced.is_some_and(|f| f.is_finite()) {
                            *dy += self.dx[r * columns + self.features + i];
                        }
                    }
                }
            }
            back_head.times(Operand::dense(dy, stride), rows, &mut self.dout, width);
            self.tape.reverse_step(&mut back, lead, &self.dout[..rows * width], None);
            self.tape.entering(&weights, lead..lead + 1, &mut self.dx);
        }
        self.tape.finish_reverse(&back, &mut gradient[block]);
        self.head_gradient(gradient);
        [back.dh, back.carry]
    }

    fn head(&self, values: &[f32]) -> (Packed, Aligned) {
        let (last, hidden) = (&values[self.blueprint.head_block()], self.tape.layout.hidden);
        let head = Packed::new(self.isa, self.each, hidden, |column, k| last[column * hidden + k]);
        let mut bias = Aligned::zeros(head.columns());
        bias[..self.each].copy_from_slice(&last[self.each * hidden..]);
        (head, bias)
    }

    fn head_gradient(&mut self, gradient: &mut [f32]) {
        let (all, stride, hidden) = (self.leads * self.rows, self.stride, self.tape.layout.hidden);
        let dy = Operand::dense(&self.y, stride);
        let mut sum = Aligned::zeros(hidden * stride);
        outer_sum(self.isa, all, self.tape.out(), dy, &mut sum);
        let gradient = &mut gradient[self.blueprint.head_block()];
        for i in 0..self.each {
            for unit in 0..hidden {
                gradient[i * hidden + unit] = sum[unit * stride + i];
            }
        }
        let bias = &mut gradient[self.each * hidden..];
        bias.fill(0.0);
        for dy in self.y[..all * stride].chunks_exact(stride) {
            bias.iter_mut().zip(dy).for_each(|(b, d)| *b += d);
        }
    }
}
