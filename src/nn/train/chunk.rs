//! What a training step is given.

use crate::nn::error::check_length;
use crate::nn::{Blueprint, Error};

/// A mini-batch for truncated back-propagation: `batch` series over `burn_in + steps` readings.
///
/// The first `burn_in` readings only warm the states: no loss, and no gradient beyond them.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    pub batch: usize,
    pub burn_in: usize,
    /// Readings that are learnt from.
    pub steps: usize,
    /// `[batch, burn_in + steps, inputs]`
    pub x: &'a [f32],
    /// What every step should have forecast, `[batch, steps, outputs]`. May be anything where
    /// masked, also not a number.
    pub targets: &'a [f32],
    /// 1 where the target has arrived, 0 elsewhere; a weight in between is a weight.
    /// `[batch, steps, outputs]`
    pub mask: &'a [f32],
    /// Rows as [`Arena::export_row`](crate::nn::Arena::export_row) gives them, `[batch, row_width]`;
    /// cold when there are none.
    pub state: Option<&'a [f32]>,
}

impl Chunk<'_> {
    pub(super) fn check(&self, b: &Blueprint) -> Result<(), Error> {
        if self.batch == 0 || self.steps == 0 {
            return Err(Error::Length { what: "a chunk's series and steps", expected: 1, got: 0 });
        }
        let targets = self.batch * self.steps * b.outputs();
        check_length(
            "a chunk's features",
            self.batch * (self.burn_in + self.steps) * b.inputs(),
            self.x.len(),
        )?;
        check_length("a chunk's targets", targets, self.targets.len())?;
        check_length("a chunk's mask", targets, self.mask.len())?;
        if let Some(state) = self.state {
            check_length("a chunk's states", self.batch * b.row_width(), state.len())?;
        }
        Ok(())
    }
}

/// From `[batch, steps, width]`, of which steps `from..from + count` are taken, to
/// `[count, batch, width]`.
pub(super) fn time_major(
    values: &[f32],
    batch: usize,
    steps: usize,
    width: usize,
    from: usize,
    count: usize,
) -> Vec<f32> {
    let mut out = Vec::with_capacity(count * batch * width);
    for t in from..from + count {
        for b in 0..batch {
            out.extend_from_slice(&values[(b * steps + t) * width..][..width]);
        }
    }
    out
}

/// Distance from a forecast to its target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// `e²`
    Squared,
    /// `e²/2` up to the given `|e|`, then linear (PyTorch's `HuberLoss`).
    Huber(f32),
}

impl Loss {
    pub(super) fn value(self, e: f32) -> f32 {
        match self {
            Self::Squared => e * e,
            Self::Huber(delta) if e.abs() <= delta => 0.5 * e * e,
            Self::Huber(delta) => delta * (e.abs() - 0.5 * delta),
        }
    }

    /// The derivative of `value`.
    pub(super) fn slope(self, e: f32) -> f32 {
        match self {
            Self::Squared => 2.0 * e,
            Self::Huber(delta) => e.clamp(-delta, delta),
        }
    }
}
