//! The forward and backward pass of a chunk with the kernels, on the caller's thread.
//!
//! The chain rule is written by hand. The tensor library's backward pass would add every gradient
//! to a tensor of zeros, and above 65,536 elements its additions run on a pool of threads that spin
//! while they wait, and so take processor time from serving. The tests compare this chain with the
//! library's gradients of the same network.

use crate::nn::chunk::{Chunk, Loss, PassMode, time_major};
use crate::nn::family::body::{Body, NoBody, Sequence};
use crate::nn::family::convolved::train::ConvolvedBody;
use crate::nn::family::recurrent::train::RecurrentBody;
use crate::nn::family::wavenet::train::WavenetBody;
use crate::nn::family::window::train::WindowBody;
use crate::nn::fold::folded;
use crate::nn::head::decoder::train::DecoderTape;
use crate::nn::head::direct::train::HeadTape;
use crate::nn::kernel::Operand;
use crate::nn::{Blueprint, Cell, Family, Head};
use crate::simd::{Aligned, Isa};

/// The buffers of the whole network; `rows` is `steps · batch`, time-major.
pub(in crate::nn) struct KernelPass {
    blueprint: Blueprint,
    body: Box<dyn Body>,
    head: OutputHead,
    /// Features of all readings, `[burn_in + steps, batch, inputs]`.
    x: Vec<f32>,
    rows: usize,
    /// The gradient of the head's input, `[rows, top in whole registers]`.
    dtop: Aligned,
}

/// The head, which makes the outputs.
enum OutputHead {
    Direct(Box<HeadTape>),
    Decoder(Box<DecoderTape>),
}

impl KernelPass {
    /// Empty buffers for networks of this shape; they grow with the first chunk.
    pub fn on(isa: Isa, b: &Blueprint) -> Self {
        Self {
            blueprint: *b,
            body: match b.family() {
                Family::Recurrent(_) => Box::new(RecurrentBody::new(isa, b)),
                Family::Vector(_) => Box::new(NoBody),
                Family::Window { .. } => Box::new(WindowBody::new(isa, b)),
                Family::Wavenet { .. } => Box::new(WavenetBody::new(isa, b)),
                Family::Convolved { .. } => Box::new(ConvolvedBody::new(isa, b)),
            },
            head: match b.head() {
                Head::Direct | Head::Normed => OutputHead::Direct(Box::new(HeadTape::new(isa, b))),
                Head::Decoder { .. } => OutputHead::Decoder(Box::new(DecoderTape::new(isa, b))),
            },
            x: Vec::new(),
            rows: 0,
            dtop: Aligned::zeros(0),
        }
    }

    /// Burns in, then forecasts every step after the burn-in. `values` is the flat vector of all
    /// parameters.
    pub fn forward(&mut self, values: &[f32], chunk: &Chunk, mode: PassMode) {
        let (b, batch, all) = (&self.blueprint, chunk.batch, chunk.burn_in + chunk.steps);
        let served = if mode.learn { values.into() } else { folded(b, values) };
        let values = &served[..];
        self.x = time_major(chunk.x, batch, all, b.inputs(), 0, all);
        self.rows = chunk.steps * batch;
        let PassMode { masks, learn, forced } = mode;
        self.body.forward(values, Sequence { chunk, x: &self.x, masks, learn });
        let x = Operand::dense(&self.x[chunk.burn_in * batch * b.inputs()..], b.inputs());
        match &mut self.head {
            OutputHead::Direct(head) => head.forward(values, self.body.top(), x, self.rows),
            OutputHead::Decoder(decoder) => {
                let points = chunk.points();
                let target = |row: usize, o: usize| {
                    let (t, series) = (row / batch, row % batch);
                    let at = (series * chunk.steps + t) * points + o % points;
                    (chunk.mask[at] > 0.0).then_some(chunk.targets[at])
                };
                let forced: Option<&dyn Fn(usize, usize) -> Option<f32>> = forced.then_some(&target);
                decoder.forward(values, self.body.carried(), x, self.rows, forced);
            }
        }
    }

    /// The weighted sum of losses of the last forward pass, and the sum of weights.
    pub fn loss(&self, chunk: &Chunk, loss: &Loss) -> (f64, f64) {
        let (mut sum, mut count) = (0.0f64, 0.0f64);
        self.each(chunk, |_, level, y, target, mask| {
            sum += f64::from(mask * loss.value(level, y - target));
            count += f64::from(mask);
        });
        (sum, count)
    }

    /// The forecasts of the last forward pass, `[batch, steps, outputs]`.
    pub fn forecast(&self, chunk: &Chunk) -> Vec<f32> {
        let outputs = self.blueprint.outputs();
        let mut all = Vec::with_capacity(self.rows * outputs);
        for b in 0..chunk.batch {
            for t in 0..chunk.steps {
                let row = t * chunk.batch + b;
                all.extend((0..outputs).map(|o| self.head.outputs()[self.head.place(row, o)]));
            }
        }
        all
    }

    /// The gradient of the mean loss, in the order of `values`. Called at most once after a forward
    /// pass with `learn`.
    pub fn backward(&mut self, values: &[f32], chunk: &Chunk, loss: &Loss, count: f64) -> Vec<f32> {
        let b = self.blueprint;
        let mut gradient = vec![0.0; values.len()];
        let scale = 1.0 / count.max(f64::MIN_POSITIVE) as f32;
        let mut slopes = Aligned::zeros(self.head.outputs().len());
        self.each(chunk, |at, level, y, target, mask| {
            slopes[at] = scale * mask * loss.slope(level, y - target);
        });
        let from = chunk.burn_in * chunk.batch * b.inputs();
        match &mut self.head {
            OutputHead::Direct(head) => {
                let x = Operand::dense(&self.x[from..], b.inputs());
                head.y = slopes;
                head.backward(values, self.body.top(), x, self.rows, &mut gradient, &mut self.dtop);
                self.body.backward(values, &mut self.dtop, None, &mut gradient);
            }
            OutputHead::Decoder(decoder) => {
                decoder.y = slopes;
                let [mut dh, dc] = decoder.backward(values, &mut gradient);
                let lstm = b.stack().is_some_and(|s| s.cell == Cell::Lstm);
                self.body.backward(values, &mut dh, lstm.then_some(&dc), &mut gradient);
            }
        }
        gradient
    }

    /// Updates the running statistics, which have no gradient, with those of the last pass with
    /// `learn`.
    pub fn settle(&self, values: &mut [f32]) {
        self.body.settle(values);
    }

    /// Visits every output that is not masked, with its index among the outputs, its quantile
    /// level, its value, its target and its weight.
    fn each(&self, chunk: &Chunk, mut visit: impl FnMut(usize, usize, f32, f32, f32)) {
        let points = chunk.points();
        let levels = self.blueprint.outputs() / points;
        let all = self.head.outputs();
        let rows = chunk.targets.chunks_exact(points).zip(chunk.mask.chunks_exact(points));
        for (row, (targets, masks)) in rows.enumerate() {
            let (b, t) = (row / chunk.steps, row % chunk.steps);
            let row = t * chunk.batch + b;
            for level in 0..levels {
                for (point, (target, mask)) in targets.iter().zip(masks).enumerate() {
                    if *mask != 0.0 {
                        let at = self.head.place(row, level * points + point);
                        visit(at, level, all[at], *target, *mask);
                    }
                }
            }
        }
    }
}

impl OutputHead {
    /// All outputs, or their gradient.
    fn outputs(&self) -> &[f32] {
        match self {
            Self::Direct(head) => &head.y,
            Self::Decoder(decoder) => &decoder.y,
        }
    }

    /// The index of output `o` of a row among them.
    fn place(&self, row: usize, o: usize) -> usize {
        match self {
            Self::Direct(head) => row * head.stride + o,
            Self::Decoder(decoder) => decoder.place(row, o),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::nn::shape::samples;
    use crate::nn::weights::waves;
    use crate::nn::{Cell, Dropout, Norm, Weights};

    #[test]
    fn every_instruction_set_gives_the_same_forecasts_and_gradients() {
        let wave = |n: usize, rate: f32| (0..n).map(|i| (i as f32 * rate).sin()).collect::<Vec<f32>>();
        // Below, at and across the widths of registers and row groups.
        for (hidden, batch, outputs) in [(3, 1, 1), (8, 5, 9), (16, 7, 24), (37, 13, 70)] {
            for b in samples(4, hidden, outputs) {
                let weights = waves(&b);
                let values = weights.values();
                let (x, targets) = (wave(batch * 8 * 4, 0.7), wave(batch * 6 * outputs, 0.9));
                let mask = vec![1.0; targets.len()];
                let (targets, mask) = (&targets[..], &mask[..]);
                let chunk = Chunk { batch, burn_in: 2, steps: 6, x: &x, targets, mask, state: None };
                let run = |isa: Isa| {
                    let mut pass = KernelPass::on(isa, &b);
                    pass.forward(values, &chunk, PassMode { learn: true, ..PassMode::served() });
                    let (_, count) = pass.loss(&chunk, &Loss::Squared);
                    let y = pass.forecast(&chunk);
                    (y, pass.backward(values, &chunk, &Loss::Squared, count))
                };
                let (y, gradient) = run(Isa::PORTABLE);
                for isa in Isa::available() {
                    let (other_y, other_gradient) = run(isa);
                    let pairs = y.iter().zip(&other_y).chain(gradient.iter().zip(&other_gradient));
                    for (a, o) in pairs {
                        assert!((a - o).abs() < 2e-5 * (1.0 + a.abs()), "{isa:?} {b:?}: {a} {o}");
                    }
                }
            }
        }
    }

    #[test]
    fn one_mask_lasts_a_whole_sequence() {
        // Nothing is carried (forget gate shut, no recurrent weights) and the features stand still:
        // outputs can only change from step to step if the mask does.
        let b = Blueprint::try_new(Cell::Lstm, Norm::None, 6, 8, 1, 2).unwrap();
        let mut values = Weights::initial(&b, 1).values().to_vec();
        for p in b.parameters() {
            match p.name.as_str() {
                "weight_hh_l0" => values[p.range].fill(0.0),
                "bias_ih_l0" => values[p.range][8..16].fill(-80.0),
                "head.weight" => values[p.range].fill(0.3),
                _ => {}
            }
        }
        let dropout = Dropout { input: 0.5, recurrent: 0.5, between: 0.0 };
        let masks = dropout.masks(&b, 4, &mut ChaCha8Rng::seed_from_u64(2));
        let (x, targets) = (vec![1.0; 4 * 9 * 6], vec![0.0; 4 * 9 * 2]);
        let (batch, steps) = (4, 9);
        let chunk = Chunk { batch, burn_in: 0, steps, x: &x, targets: &targets, mask: &targets, state: None };
        let mut pass = KernelPass::on(Isa::best(), &b);
        pass.forward(&values, &chunk, PassMode { masks, ..PassMode::served() });
        let y = pass.forecast(&chunk);
        for series in y.chunks_exact(steps * 2) {
            assert!(series.chunks_exact(2).all(|y| y == &series[..2]));
        }
        assert_ne!(y[..2], y[steps * 2..][..2]);
    }
}
