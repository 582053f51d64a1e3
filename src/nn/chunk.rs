//! The input of a training step.

use std::sync::Arc;

use crate::nn::dropout::Masks;
use crate::nn::error::check_length;
use crate::nn::{Blueprint, Error};

/// A mini-batch for truncated back-propagation: `batch` series over `burn_in + steps` readings.
///
/// The first `burn_in` readings only warm the states: they have no loss, and gradients end there.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    pub batch: usize,
    pub burn_in: usize,
    /// Readings after the burn-in, which the network learns from.
    pub steps: usize,
    /// `[batch, burn_in + steps, inputs]`
    pub x: &'a [f32],
    /// The target of every forecast, `[batch, steps, points]`. A point is one output, or with
    /// quantile levels one output for each level. A masked target may have any value, also not a
    /// number.
    pub targets: &'a [f32],
    /// The weight of each target in the loss: 0 if it has not arrived. `[batch, steps, points]`
    pub mask: &'a [f32],
    /// Rows as [`Arena::export_row`](crate::nn::Arena::export_row) gives them, `[batch,
    /// row_width]`; cold if there are none.
    pub state: Option<&'a [f32]>,
}

impl Chunk<'_> {
    /// Targets of one step of one series.
    pub(in crate::nn) fn points(&self) -> usize {
        self.targets.len() / (self.batch * self.steps)
    }

    pub(in crate::nn) fn check(&self, b: &Blueprint, loss: &Loss) -> Result<(), Error> {
        if self.batch == 0 || self.steps == 0 {
            return Err(Error::Length { what: "a chunk's series and steps", expected: 1, got: 0 });
        }
        let targets = self.batch * self.steps * (b.outputs() / loss.levels());
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

/// Transposes steps `from..from + count` of `[batch, steps, width]` to `[count, batch, width]`.
pub(in crate::nn) fn time_major(
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
#[derive(Clone, Debug, PartialEq)]
pub enum Loss {
    /// `e²`
    Squared,
    /// `e²/2` up to the given `|e|`, then linear (PyTorch's `HuberLoss`).
    Huber(f32),
    /// The pinball loss of these quantile levels, each in `0..1`: every target has one forecast for
    /// each level, and outputs are `[levels, points]`.
    Pinball(Arc<[f32]>),
}

impl Loss {
    /// The number of outputs for one target.
    pub fn levels(&self) -> usize {
        match self {
            Self::Squared | Self::Huber(_) => 1,
            Self::Pinball(levels) => levels.len(),
        }
    }

    /// The loss of the error `e`, forecast less target, of an output of this level.
    pub(in crate::nn) fn value(&self, level: usize, e: f32) -> f32 {
        match self {
            Self::Squared => e * e,
            Self::Huber(delta) if e.abs() <= *delta => 0.5 * e * e,
            Self::Huber(delta) => delta * (e.abs() - 0.5 * delta),
            Self::Pinball(levels) => (-levels[level] * e).max((1.0 - levels[level]) * e),
        }
    }

    /// For each step the weighted sum of losses and the sum of weights, `[batch, steps]`. `y` gives
    /// the output of a row and a point, of the first level if there are several.
    pub(in crate::nn) fn by_step(&self, chunk: &Chunk, y: impl Fn(usize, usize) -> f32) -> Vec<[f64; 2]> {
        let points = chunk.points();
        let rows = chunk.targets.chunks_exact(points).zip(chunk.mask.chunks_exact(points));
        rows.enumerate()
            .map(|(row, (targets, masks))| {
                let all = targets.iter().zip(masks).enumerate().filter(|(_, (_, mask))| **mask != 0.0);
                all.fold([0.0, 0.0], |[sum, count], (point, (target, mask))| {
                    let loss = mask * self.value(0, y(row, point) - target);
                    [sum + f64::from(loss), count + f64::from(*mask)]
                })
            })
            .collect()
    }

    /// The result of [`Trainer::losses`](crate::nn::Trainer::losses) for a network that corrects
    /// nothing.
    pub fn of_nothing(&self, chunk: &Chunk) -> Vec<[f64; 2]> {
        self.by_step(chunk, |_, _| 0.0)
    }

    /// The derivative of `value`.
    pub(in crate::nn) fn slope(&self, level: usize, e: f32) -> f32 {
        match self {
            Self::Squared => 2.0 * e,
            Self::Huber(delta) => e.clamp(-delta, *delta),
            Self::Pinball(levels) if e < 0.0 => -levels[level],
            Self::Pinball(levels) if e > 0.0 => 1.0 - levels[level],
            Self::Pinball(_) => 0.0,
        }
    }
}

/// The mode of a forward pass.
pub(in crate::nn) struct PassMode {
    /// The dropout masks; empty without dropout.
    pub masks: Vec<Masks>,
    /// Whether a backward pass follows.
    pub learn: bool,
    /// Whether a decoder gets the target of the lead before, where it has arrived.
    pub forced: bool,
}

impl PassMode {
    /// The mode that computes what serving does.
    pub fn served() -> Self {
        Self { masks: Vec::new(), learn: false, forced: false }
    }
}
