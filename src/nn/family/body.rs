//! The layers below the head, in training: the interface of all families.

use crate::nn::chunk::Chunk;
use crate::nn::dropout::Masks;
use crate::nn::kernel::Operand;
use crate::simd::Aligned;

/// A chunk as a sequence: rows are time-major.
pub(in crate::nn) struct Sequence<'a> {
    pub chunk: &'a Chunk<'a>,
    /// The features of all readings, burn-in first, `[burn_in + steps, batch, inputs]`.
    pub x: &'a [f32],
    /// The dropout masks; empty without dropout.
    pub masks: Vec<Masks>,
    /// Whether a backward pass follows. If not, batch norms are folded into the values.
    pub learn: bool,
}

/// A family's layers below the head.
pub(in crate::nn) trait Body: Send {
    /// The forward pass. `values` is the flat vector of all parameters.
    fn forward(&mut self, values: &[f32], sequence: Sequence);

    /// The input of a direct head at the steps after the burn-in, `[steps · batch]` rows.
    fn top(&self) -> Operand<'_>;

    /// `h` and `c` from which a decoder starts at those steps, `[rows, width]` each; `None` for a
    /// cold start.
    fn carried(&self) -> Option<[&[f32]; 2]> {
        None
    }

    /// The backward pass: from the gradients of [`Self::top`], `[rows, top in whole registers]`,
    /// and of the `c` that a decoder started from, to the gradient of the flat vector. Overwrites
    /// `dtop`. Called at most once after a forward pass with `learn`.
    fn backward(&mut self, values: &[f32], dtop: &mut Aligned, dc: Option<&[f32]>, gradient: &mut [f32]);

    /// Updates the running statistics, which have no gradient.
    fn settle(&self, _values: &mut [f32]) {}
}

/// A family that carries nothing: there are no layers below the head.
pub(in crate::nn) struct NoBody;

impl Body for NoBody {
    fn forward(&mut self, _: &[f32], _: Sequence) {}

    fn top(&self) -> Operand<'_> {
        Operand::EMPTY
    }

    fn backward(&mut self, _: &[f32], _: &mut Aligned, _: Option<&[f32]>, _: &mut [f32]) {}
}
