//! A chunk through the whole network and back, on the caller's thread.
//!
//! The chain is driven by hand. The tensor library's own way back would add every gradient to a
//! tensor of zeros, and above 65,536 elements its additions run on a pool of threads that spin
//! while they wait: they would take from serving what training was not given. The tests hold this
//! chain against the library's gradients of the same network.

use super::chunk::{Chunk, Loss, time_major};
use super::head::HeadTape;
use super::tape::{Masks, Tape};
use crate::nn::Blueprint;
use crate::nn::kernel::{Aligned, Isa, Operand};

/// The buffers of the whole network; `rows` is `steps · batch`, time-major.
pub(super) struct Pass {
    blueprint: Blueprint,
    tapes: Vec<Tape>,
    head: HeadTape,
    /// Features that are learnt from, `[rows, inputs]`.
    x: Vec<f32>,
    rows: usize,
    /// Gradients between layers, `[rows, hidden in whole registers]`.
    upper: Aligned,
    lower: Aligned,
}

impl Pass {
    pub fn new(blueprint: &Blueprint) -> Self {
        Self::on(Isa::best(), blueprint)
    }

    fn on(isa: Isa, blueprint: &Blueprint) -> Self {
        Self {
            blueprint: *blueprint,
            tapes: (0..blueprint.layers()).map(|l| Tape::new(isa, blueprint, l)).collect(),
            head: HeadTape::new(isa, blueprint),
            x: Vec::new(),
            rows: 0,
            upper: Aligned::zeros(0),
            lower: Aligned::zeros(0),
        }
    }

    /// Burns in, then forecasts every step that is learnt from. `values` is the flat vector of all
    /// parameters, `masks` has a layer's dropout each.
    pub fn forward(&mut self, values: &[f32], chunk: &Chunk, masks: Vec<Masks>) {
        let (b, batch, all) = (self.blueprint, chunk.batch, chunk.burn_in + chunk.steps);
        for (tape, masks) in self.tapes.iter_mut().zip(masks) {
            tape.set_masks(masks);
        }
        let mut states: Vec<Vec<f32>> = (0..b.layers())
            .map(|l| match chunk.state {
                None => vec![0.0; batch * b.state_width()],
                Some(rows) => rows
                    .chunks_exact(b.row_width())
                    .flat_map(|row| &row[l * b.state_width()..(l + 1) * b.state_width()])
                    .copied()
                    .collect(),
            })
            .collect();
        if chunk.burn_in > 0 {
            self.x = time_major(chunk.x, batch, all, b.inputs(), 0, chunk.burn_in);
            self.layers(values, &states, [chunk.burn_in, batch]);
            states = self.tapes.iter().map(Tape::last_state).collect();
        }
        self.x = time_major(chunk.x, batch, all, b.inputs(), chunk.burn_in, chunk.steps);
        self.rows = chunk.steps * batch;
        self.layers(values, &states, [chunk.steps, batch]);
        let top = self.tapes.last().expect("a network has a layer").out();
        let x = Operand::dense(&self.x, b.inputs());
        self.head.forward(&values[b.block(b.layers())], top, x, self.rows);
    }

    fn layers(&mut self, values: &[f32], states: &[Vec<f32>], size: [usize; 2]) {
        for (l, state) in states.iter().enumerate() {
            let (below, rest) = self.tapes.split_at_mut(l);
            let x = match below.last() {
                None => Operand::dense(&self.x, self.blueprint.inputs()),
                Some(below) => below.out(),
            };
            rest[0].forward(&values[self.blueprint.block(l)], x, state, size);
        }
    }

    /// The weighted sum of losses of the last forward pass, and the sum of weights.
    pub fn loss(&self, chunk: &Chunk, loss: Loss) -> (f64, f64) {
        let (mut sum, mut count) = (0.0f64, 0.0f64);
        self.each(chunk, |_, y, target, mask| {
            sum += f64::from(mask * loss.value(y - target));
            count += f64::from(mask);
        });
        (sum, count)
    }

    /// What the last forward pass forecast, `[batch, steps, outputs]`.
    pub fn forecast(&self, chunk: &Chunk) -> Vec<f32> {
        let outputs = self.blueprint.outputs();
        let mut all = Vec::with_capacity(self.rows * outputs);
        for b in 0..chunk.batch {
            for t in 0..chunk.steps {
                let row = (t * chunk.batch + b) * self.head.stride;
                all.extend_from_slice(&self.head.y[row..row + outputs]);
            }
        }
        all
    }

    /// The gradient of the mean loss, in the order of `values`. Once after a forward pass.
    pub fn backward(&mut self, values: &[f32], chunk: &Chunk, loss: Loss, count: f64) -> Vec<f32> {
        let b = self.blueprint;
        let mut gradient = vec![0.0; values.len()];
        let scale = 1.0 / count.max(f64::MIN_POSITIVE) as f32;
        let mut slopes = Aligned::zeros(self.rows * self.head.stride);
        self.each(chunk, |at, y, target, mask| slopes[at] = scale * mask * loss.slope(y - target));
        self.head.y = slopes;
        let top = self.tapes.last().expect("a network has a layer").out();
        let x = Operand::dense(&self.x, b.inputs());
        let head = b.block(b.layers());
        let to = &mut gradient[head.clone()];
        self.head.backward(&values[head], top, x, self.rows, to, &mut self.upper);
        for (l, tape) in self.tapes.iter_mut().enumerate().rev() {
            let dx = (l > 0).then_some(&mut self.lower);
            tape.backward(&values[b.block(l)], &self.upper, &mut gradient[b.block(l)], dx);
            std::mem::swap(&mut self.upper, &mut self.lower);
        }
        gradient
    }

    /// Visits every output that is not masked: its place in `y`, itself, its target and its weight.
    fn each(&self, chunk: &Chunk, mut visit: impl FnMut(usize, f32, f32, f32)) {
        let outputs = self.blueprint.outputs();
        let rows = chunk.targets.chunks_exact(outputs).zip(chunk.mask.chunks_exact(outputs));
        for (row, (targets, masks)) in rows.enumerate() {
            let (b, t) = (row / chunk.steps, row % chunk.steps);
            let first = (t * chunk.batch + b) * self.head.stride;
            let y = &self.head.y[first..first + outputs];
            for (o, ((y, target), mask)) in y.iter().zip(targets).zip(masks).enumerate() {
                if *mask != 0.0 {
                    visit(first + o, *y, *target, *mask);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Cell, Norm};

    #[test]
    fn every_instruction_set_gives_the_same_forecasts_and_gradients() {
        let wave = |n: usize, rate: f32| (0..n).map(|i| (i as f32 * rate).sin()).collect::<Vec<f32>>();
        for cell in [Cell::Lstm, Cell::Gru] {
            for norm in [Norm::None, Norm::Layer] {
                // Below, at and across the widths of registers and row groups.
                for (hidden, batch, outputs) in [(3, 1, 1), (8, 5, 9), (16, 7, 24), (37, 13, 70)] {
                    let b = Blueprint::try_new(cell, norm, 4, hidden, 2, outputs).unwrap();
                    let values: Vec<f32> = wave(b.parameter_count(), 1.3).iter().map(|v| 0.5 * v).collect();
                    let (x, targets) = (wave(batch * 8 * 4, 0.7), wave(batch * 6 * outputs, 0.9));
                    let mask = vec![1.0; targets.len()];
                    let (targets, mask) = (&targets[..], &mask[..]);
                    let chunk = Chunk { batch, burn_in: 2, steps: 6, x: &x, targets, mask, state: None };
                    let run = |isa: Isa| {
                        let mut pass = Pass::on(isa, &b);
                        pass.forward(&values, &chunk, vec![Masks::default(); 2]);
                        let (_, count) = pass.loss(&chunk, Loss::Squared);
                        let y = pass.forecast(&chunk);
                        (y, pass.backward(&values, &chunk, Loss::Squared, count))
                    };
                    let (y, gradient) = run(Isa::Portable);
                    for isa in Isa::available() {
                        let (other_y, other_gradient) = run(isa);
                        let pairs = y.iter().zip(&other_y).chain(gradient.iter().zip(&other_gradient));
                        for (a, o) in pairs {
                            assert!((a - o).abs() < 1e-5 * (1.0 + a.abs()), "{isa:?} {b:?}: {a} {o}");
                        }
                    }
                }
            }
        }
    }
}
