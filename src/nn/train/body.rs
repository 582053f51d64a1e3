//! What is below the head, over a whole chunk.

use super::chunk::Chunk;
use super::stack::Stack;
use super::tape::Masks;
use crate::nn::Blueprint;
use crate::nn::fold::folded;
use crate::nn::kernel::Operand;
use crate::simd::{Aligned, Isa};

/// A chunk on its way: rows are time-major.
pub(super) struct Lap<'a> {
    pub chunk: &'a Chunk<'a>,
    /// The features of all readings, burn-in first, `[burn_in + steps, batch, inputs]`.
    pub x: &'a [f32],
    /// Dropout; empty where nothing is dropped.
    pub masks: Vec<Masks>,
    /// Whether this pass will go back; batch norms are folded into the values when not.
    pub learn: bool,
}

/// A family's layers below the head.
pub(super) trait Body: Send {
    /// Takes the chunk through. `values` is the flat vector of all parameters.
    fn forward(&mut self, values: &[f32], lap: Lap);

    /// What a direct head sees of the steps that are learnt from, `[steps · batch]` rows.
    fn top(&self) -> Operand<'_>;

    /// `h` and `c` from which a decoder starts at those steps, `[rows, width]` each; nothing when it
    /// starts cold.
    fn carried(&self) -> Option<[&[f32]; 2]> {
        None
    }

    /// From the gradient of the top, `[rows, top in whole registers]`, used up, and of what `c` a
    /// decoder started from, to that of the flat vector. Once after a forward pass that learns.
    fn backward(&mut self, values: &[f32], dtop: &mut Aligned, dc: Option<&[f32]>, gradient: &mut [f32]);

    /// Moves statistics that no gradient moves.
    fn settle(&self, _values: &mut [f32]) {}
}

/// Recurrent layers that step at every reading.
pub(super) struct RecurrentBody {
    blueprint: Blueprint,
    stack: Stack,
}

impl RecurrentBody {
    pub fn new(isa: Isa, b: &Blueprint) -> Self {
        Self { blueprint: *b, stack: Stack::new(isa, b) }
    }
}

/// Every layer's states, `[batch, state_width]` each, from rows that hold them from `offset` on.
pub(super) fn layer_states(
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
    fn forward(&mut self, values: &[f32], lap: Lap) {
        let Lap { chunk, x, masks, learn } = lap;
        let (b, batch, warm) = (&self.blueprint, chunk.batch, chunk.burn_in);
        let (stride, width) = (b.inputs(), b.features());
        let rows = |from: usize| Operand { values: &x[from * batch * stride..], stride, width };
        let mut states = layer_states(b, chunk.state, batch, 0);
        self.stack.set_masks(masks);
        if warm > 0 {
            // Burn-in makes the states that serving would have: batch norms use what is running.
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

/// Nothing is carried and nothing is below the head.
pub(super) struct NoBody;

impl Body for NoBody {
    fn forward(&mut self, _: &[f32], _: Lap) {}

    fn top(&self) -> Operand<'_> {
        Operand::EMPTY
    }

    fn backward(&mut self, _: &[f32], _: &mut Aligned, _: Option<&[f32]>, _: &mut [f32]) {}
}
