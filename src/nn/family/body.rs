//! What is below the head, over a whole chunk.

use crate::nn::chunk::Chunk;
use crate::nn::dropout::Masks;
use crate::nn::kernel::Operand;
use crate::simd::Aligned;

/// A chunk on its way: rows are time-major.
pub(in crate::nn) struct Sequence<'a> {
    pub chunk: &'a Chunk<'a>,
    /// The features of all readings, burn-in first, `[burn_in + steps, batch, inputs]`.
    pub x: &'a [f32],
    /// Dropout; empty where nothing is dropped.
    pub masks: Vec<Masks>,
    /// Whether this pass will go back; batch norms are folded into the values when not.
    pub learn: bool,
}

/// A family's layers below the head.
pub(in crate::nn) trait Body: Send {
    /// Takes the chunk through. `values` is the flat vector of all parameters.
    fn forward(&mut self, values: &[f32], sequence: Sequence);

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

/// Nothing is carried and nothing is below the head.
pub(in crate::nn) struct NoBody;

impl Body for NoBody {
    fn forward(&mut self, _: &[f32], _: Sequence) {}

    fn top(&self) -> Operand<'_> {
        Operand::EMPTY
    }

    fn backward(&mut self, _: &[f32], _: &mut Aligned, _: Option<&[f32]>, _: &mut [f32]) {}
}
