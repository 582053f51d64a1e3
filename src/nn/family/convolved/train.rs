//! A strided causal convolution and the layers behind it, over a whole chunk. The states before the
//! first step after the burn-in are those that serving would have, and get no gradient.

use super::strides::{Past, Strides};
use crate::nn::family::body::{Body, Sequence};
use crate::nn::family::map::Map;
use crate::nn::family::recurrent::train::{Stack, layer_states};
use crate::nn::fold::folded;
use crate::nn::kernel::{Operand, Product, Slopes, stacked};
use crate::nn::{Activation, Blueprint, Family};
use crate::simd::{Aligned, Isa};

pub(in crate::nn) struct ConvolvedBody {
    isa: Isa,
    blueprint: Blueprint,
    kernel: usize,
    hidden: usize,
    /// Hidden units in whole registers.
    width: usize,
    conv: Map,
    stack: Stack,
    batch: usize,
    strides: Strides,
    /// The convolution's output, `[strides · batch, width]`.
    entering: Aligned,
    /// `[steps · batch, width]`
    top: Aligned,
    dtop: Aligned,
    dx: Aligned,
}

/// The state of every row of a batch.
struct Start {
    past: Past,
    states: Vec<Vec<f32>>,
}

impl ConvolvedBody {
    /// Empty buffers for networks of this shape; they grow with the first chunk.
    pub fn new(isa: Isa, b: &Blueprint) -> Self {
        let Family::Convolved { kernel, stack, .. } = b.family() else {
            panic!("{b:?} has no convolution");
        };
        let empty = || Aligned::zeros(0);
        Self {
            isa,
            blueprint: *b,
            kernel,
            hidden: stack.hidden,
            width: isa.padded(stack.hidden),
            conv: Map::new(b, "conv", b.inputs(), kernel),
            stack: Stack::new(isa, b),
            batch: 0,
            strides: Strides::default(),
            entering: empty(),
            top: empty(),
            dtop: empty(),
            dx: empty(),
        }
    }

    fn start(&self, state: Option<&[f32]>, batch: usize) -> Start {
        let b = &self.blueprint;
        let states = layer_states(b, state, batch, 1 + (self.kernel - 1) * b.inputs());
        Start { past: Past::of(b, state, batch), states }
    }

    /// From `start` through `steps` readings, `x` `[steps, batch, inputs]`.
    fn run(&mut self, values: &[f32], start: &Start, x: &[f32], [steps, batch]: [usize; 2], learn: bool) {
        let (inputs, kernel) = (self.blueprint.inputs(), self.kernel);
        self.batch = batch;
        self.strides.fill(&self.blueprint, &start.past, x, [steps, batch]);
        let (rows, width) = (self.strides.count * batch, self.width);
        self.entering.reserve(rows * width);
        let parts = [Some((self.conv.weight(values), self.conv.bias(values)))];
        let (weights, bias) = stacked(self.isa, [self.hidden, inputs, kernel], &parts);
        let (a, activation) =
            ([Operand::dense(&self.strides.window, kernel * inputs), Operand::EMPTY], Activation::Relu);
        let (weights, bias, out) = (&weights, Some(&bias[..]), &mut self.entering[..]);
        Product { weights, bias, activation, a, rows, out, stride: width }.run();
        let entering = Operand { values: &self.entering, stride: width, width: self.hidden };
        self.stack.forward(values, entering, &start.states, [self.strides.count, batch], learn);
    }

    /// The state that serving would have after `steps`.
    fn end(&self, start: &Start, x: &[f32], [steps, batch]: [usize; 2]) -> Start {
        let layers = start.states.len();
        let mut states = vec![Vec::new(); layers];
        for b in 0..batch {
            let after: Vec<f32> = self.stack.states_after(self.strides.nth(steps - 1, b), b).collect();
            for (state, after) in states.iter_mut().zip(after.chunks_exact(after.len() / layers)) {
                state.extend_from_slice(after);
            }
        }
        Start { past: start.past.after(&self.blueprint, x, [steps, batch]), states }
    }
}

impl Body for ConvolvedBody {
    fn forward(&mut self, values: &[f32], mut sequence: Sequence) {
        let (batch, warm, inputs) = (sequence.chunk.batch, sequence.chunk.burn_in, self.blueprint.inputs());
        let mut x = sequence.x.to_vec();
        if let Some(masks) = sequence.masks.first_mut()
            && let Some(mask) = masks.x.take()
        {
            x.iter_mut().zip(mask.iter().cycle()).for_each(|(x, m)| *x *= m);
        }
        self.stack.set_masks(std::mem::take(&mut sequence.masks));
        let mut start = self.start(sequence.chunk.state, batch);
        if warm > 0 {
            let served = if sequence.learn { folded(&self.blueprint, values) } else { values.into() };
            self.run(&served, &start, &x, [warm, batch], false);
            start = self.end(&start, &x, [warm, batch]);
        }
        let (steps, x) = (sequence.chunk.steps, &x[warm * batch * inputs..]);
        self.run(values, &start, x, [steps, batch], sequence.learn);
        let (width, hidden) = (self.width, self.hidden);
        self.top.reserve(steps * batch * width);
        let top = self.stack.top();
        // Before its first full stride, a row's output comes from its initial states.
        let residual = self.blueprint.residual_layers() > 1;
        let shown = if residual { &start.states[..] } else { &start.states[start.states.len() - 1..] };
        for t in 0..steps {
            for b in 0..batch {
                let to = &mut self.top[(t * batch + b) * width..][..hidden];
                match self.strides.nth(t, b) {
                    0 => {
                        to.fill(0.0);
                        for state in shown {
                            to.iter_mut().zip(&state[b * hidden..]).for_each(|(to, h)| *to += h);
                        }
                    }
                    n => to.copy_from_slice(&top.values[((n - 1) * batch + b) * top.stride..][..hidden]),
                }
            }
        }
    }

    fn top(&self) -> Operand<'_> {
        Operand { values: &self.top, stride: self.width, width: self.hidden }
    }

    fn backward(&mut self, values: &[f32], dtop: &mut Aligned, _: Option<&[f32]>, gradient: &mut [f32]) {
        let (isa, width, batch) = (self.isa, self.width, self.batch);
        let (rows, len) = (self.strides.count * batch, self.strides.count * batch * width);
        self.dtop.reserve(len);
        self.dtop[..len].fill(0.0);
        for (row, d) in dtop.chunks_exact(width).enumerate() {
            let (t, b) = (row / batch, row % batch);
            if let Some(n) = self.strides.nth(t, b).checked_sub(1).filter(|n| *n < self.strides.count) {
                let to = &mut self.dtop[(n * batch + b) * width..][..width];
                to.iter_mut().zip(d).for_each(|(to, d)| *to += d);
            }
        }
        self.stack.backward(values, &mut self.dtop, None, gradient, Some(&mut self.dx));
        let (activation, y) = (Activation::Relu, &self.entering[..len]);
        Slopes { isa, activation, y, d: &mut self.dx[..len] }.run();
        let (inputs, d) = (self.blueprint.inputs(), Operand::dense(&self.dx, width));
        let all = self.kernel * inputs;
        let taps: Vec<Operand> = (0..self.kernel)
            .map(|tap| Operand {
                values: self.strides.window.get(tap * inputs..).unwrap_or(&[]),
                stride: all,
                width: inputs,
            })
            .collect();
        self.conv.gradient(isa, rows, &taps, d, [0, self.hidden, 0], gradient);
    }

    fn settle(&self, values: &mut [f32]) {
        self.stack.settle(values);
    }
}
