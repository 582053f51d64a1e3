//! Recurrent layers over a whole sequence, with the residuals and batch norms between them.

use std::ops::Range;

use crate::nn::Blueprint;
use crate::nn::dropout::Masks;
use crate::nn::family::body::{Body, Sequence};
use crate::nn::fold::folded;
use crate::nn::kernel::Operand;
use crate::nn::layer::batch_norm::BatchNorm;
use crate::nn::layer::tape::Tape;
use crate::simd::{Aligned, Isa};

/// The buffers of a stack; `rows` is `T · B`.
pub(in crate::nn) struct Stack {
    tapes: Vec<Tape>,
    blocks: Vec<Range<usize>>,
    /// The batch norm of each layer's input, if it has one.
    norms: Vec<Option<BatchNorm>>,
    /// Layers `1..residual` add their input to their output.
    residual: usize,
    /// The outputs of layers with a residual, `[rows, W]`.
    sums: Vec<Aligned>,
    rows: usize,
    /// Gradients between layers, `[rows, W]`.
    lower: Aligned,
}

impl Stack {
    /// Empty buffers for networks of this shape; they grow with the first chunk.
    pub fn new(isa: Isa, b: &Blueprint) -> Self {
        let layers = b.stack().expect("the family has layers").layers;
        let layouts: Vec<_> = (0..layers).map(|l| b.layer_layout(l)).collect();
        Self {
            blocks: (0..layers).map(|l| b.block(l)).collect(),
            norms: layouts
                .iter()
                .map(|l| l.batch_norm.clone().map(|ranges| BatchNorm::new(ranges, l.inputs)))
                .collect(),
            residual: b.residual_layers(),
            sums: layouts.iter().map(|_| Aligned::zeros(0)).collect(),
            tapes: layouts.into_iter().map(|layout| Tape::new(isa, layout)).collect(),
            rows: 0,
            lower: Aligned::zeros(0),
        }
    }

    /// Sets the dropout of every layer from the next pass on.
    pub fn set_masks(&mut self, masks: impl IntoIterator<Item = Masks>) {
        self.tapes.iter_mut().zip(masks).for_each(|(tape, masks)| tape.set_masks(masks));
    }

    /// Takes the layers through `[T, B]` steps and rows. `values` is the flat vector of all
    /// parameters, `x` has `[rows]` rows, `states` is every layer's `[B, state_width]`. With
    /// `learn`, batch norms take the statistics of these rows; without, they are already folded
    /// into `values`.
    pub fn forward(
        &mut self,
        values: &[f32],
        x: Operand,
        states: &[Vec<f32>],
        size: [usize; 2],
        learn: bool,
    ) {
        self.rows = size[0] * size[1];
        for (l, state) in states.iter().enumerate() {
            let (below, rest) = self.tapes.split_at_mut(l);
            let (sums_below, sums) = self.sums.split_at_mut(l);
            let tape = &mut rest[0];
            let entering = match below.last() {
                None => x,
                Some(_) if (1..self.residual).contains(&(l - 1)) => tape_rows(&sums_below[l - 1], tape),
                Some(below) => below.out(),
            };
            let layer = &values[self.blocks[l].clone()];
            match &mut self.norms[l] {
                Some(norm) if learn => {
                    let normed = norm.forward(layer, entering, self.rows);
                    tape.forward(layer, normed, state, size);
                }
                _ => tape.forward(layer, entering, state, size),
            }
            if (1..self.residual).contains(&l) {
                let (sum, out) = (&mut sums[0], tape.out());
                sum.reserve(self.rows * tape.width);
                let rows = out.values.chunks(out.stride).zip(entering.values.chunks(entering.stride));
                for (sum, (out, below)) in sum.chunks_exact_mut(tape.width).zip(rows) {
                    sum.iter_mut().zip(out.iter().zip(below)).for_each(|(s, (o, b))| *s = o + b);
                }
            }
        }
    }

    fn last(&self) -> &Tape {
        self.tapes.last().expect("a stack has a layer")
    }

    /// The input of a direct head at every step, `[rows, hidden]`.
    pub fn top(&self) -> Operand<'_> {
        let last = self.tapes.len() - 1;
        if (1..self.residual).contains(&last) {
            tape_rows(&self.sums[last], self.last())
        } else {
            self.last().out()
        }
    }

    /// The top layer's bare `h` and, for an LSTM, `c` of every step, `[rows, W]` each.
    pub fn carried(&self) -> [&[f32]; 2] {
        [self.last().out().values, self.last().carried()]
    }

    /// Every layer's state after the last step, `[B, state_width]` each.
    pub fn last_states(&self) -> Vec<Vec<f32>> {
        self.tapes.iter().map(Tape::last_state).collect()
    }

    /// The states of row `b` after `t` steps, layer after layer.
    pub fn states_after(&self, t: usize, b: usize) -> impl Iterator<Item = f32> {
        self.tapes.iter().flat_map(move |tape| tape.state_after(t, b))
    }

    /// The backward pass: from the gradient of [`Self::top`], `[rows, W]`, and, if given, of the
    /// top layer's `c`, to the gradient of the flat vector and, if `dx` is given, of `x`, `[rows,
    /// its inputs in whole registers]`. Overwrites `upper`.
    pub fn backward(
        &mut self,
        values: &[f32],
        upper: &mut Aligned,
        mut dc: Option<&[f32]>,
        gradient: &mut [f32],
        mut dx: Option<&mut Aligned>,
    ) {
        for l in (0..self.tapes.len()).rev() {
            let (block, tape) = (self.blocks[l].clone(), &mut self.tapes[l]);
            let to = if l > 0 { Some(&mut self.lower) } else { dx.take() };
            let layer = &mut gradient[block.clone()];
            tape.backward(&values[block.clone()], upper, dc.take(), layer, to);
            if l == 0 {
                break;
            }
            if let Some(norm) = &mut self.norms[l] {
                norm.backward(&values[block], &mut self.lower, self.rows, layer);
            }
            if (1..self.residual).contains(&l) {
                let upper = &upper[..self.rows * self.tapes[l].width];
                self.lower.iter_mut().zip(upper).for_each(|(low, up)| *low += up);
            }
            std::mem::swap(upper, &mut self.lower);
        }
    }

    /// Updates the running statistics of batch norms with those of the last pass with `learn`.
    pub fn settle(&self, values: &mut [f32]) {
        for (norm, block) in self.norms.iter().zip(&self.blocks) {
            if let Some(norm) = norm {
                norm.settle(&mut values[block.clone()]);
            }
        }
    }
}

fn tape_rows<'a>(values: &'a [f32], tape: &Tape) -> Operand<'a> {
    Operand { values, stride: tape.width, width: tape.layout.hidden }
}

/// Recurrent layers that step at every reading.
pub(in crate::nn) struct RecurrentBody {
    blueprint: Blueprint,
    stack: Stack,
}

impl RecurrentBody {
    /// Empty buffers for networks of this shape; they grow with the first chunk.
    pub fn new(isa: Isa, b: &Blueprint) -> Self {
        Self { blueprint: *b, stack: Stack::new(isa, b) }
    }
}

/// Every layer's states, `[batch, state_width]` each, from rows that hold them from `offset` on.
pub(in crate::nn) fn layer_states(
    b: &Blueprint,
    rows: Option<&[f32]>,
    batch: usize,
    offset: usize,
) -> Vec<Vec<f32>> {
    let stack = b.stack().expect("the family has layers");
    let width = stack.state_width();
    let of = |l: usize| match rows {
        None => vec![0.0; batch * width],
        Some(rows) => rows
            .chunks_exact(b.row_width())
            .flat_map(|row| &row[offset + l * width..][..width])
            .copied()
            .collect(),
    };
    (0..stack.layers).map(of).collect()
}

impl Body for RecurrentBody {
    fn forward(&mut self, values: &[f32], sequence: Sequence) {
        let Sequence { chunk, x, masks, learn } = sequence;
        let (b, batch, warm) = (&self.blueprint, chunk.batch, chunk.burn_in);
        let (stride, width) = (b.inputs(), b.features());
        let rows = |from: usize| Operand { values: &x[from * batch * stride..], stride, width };
        let mut states = layer_states(b, chunk.state, batch, 0);
        self.stack.set_masks(masks);
        if warm > 0 {
            // Burn-in makes the states that serving would have, so batch norms use their running
            // statistics.
            let served = if learn { folded(b, values) } else { values.into() };
            self.stack.forward(&served, rows(0), &states, [warm, batch], false);
            states = self.stack.last_states();
        }
        self.stack.forward(values, rows(warm), &states, [chunk.steps, batch], learn);
    }

    fn top(&self) -> Operand<'_> {
        self.stack.top()
    }

    fn carried(&self) -> Option<[&[f32]; 2]> {
        Some(self.stack.carried())
    }

    fn backward(&mut self, values: &[f32], dtop: &mut Aligned, dc: Option<&[f32]>, gradient: &mut [f32]) {
        self.stack.backward(values, dtop, dc, gradient, None);
    }

    fn settle(&self, values: &mut [f32]) {
        self.stack.settle(values);
    }
}
