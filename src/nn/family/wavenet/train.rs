//! Dilated causal convolutions over a whole chunk. Everything before the first step after the
//! burn-in stands for the rings that serving would have, and gets no gradient.

use crate::nn::family::body::{Body, Sequence};
use crate::nn::family::map::Map;
use crate::nn::kernel::{GateReverse, GateRows, Operand, Packed, Product, Slopes, stacked};
use crate::nn::{Activation, Blueprint, Family};
use crate::simd::{Aligned, Isa};

pub(in crate::nn) struct WavenetBody {
    isa: Isa,
    blueprint: Blueprint,
    channels: usize,
    /// Channels in whole registers.
    width: usize,
    input: Map,
    layers: Vec<WaveTape>,
    output: Map,
    batch: usize,
    /// The number of rows before the end of the burn-in, and after it.
    before: usize,
    rows: usize,
    /// The features, after dropout, `[before + rows, inputs]`.
    x: Vec<f32>,
    /// `[before + rows, width]` each; the skips are rectified.
    skip: Aligned,
    top: Aligned,
    /// `[.., 2 · width]`
    sums: Aligned,
}

struct WaveTape {
    dilation: usize,
    dilated: Map,
    /// `None` in the last layer.
    residual: Option<Map>,
    skip: Map,
    /// The layer's input, `[dilation · batch + before + rows, width]`; the first rows are from
    /// before the chunk.
    x: Aligned,
    /// `tanh` and `σ`, then the gradient of their sums, `[before + rows, 2, width]`.
    gates: Aligned,
    /// `[before + rows, width]`
    gated: Aligned,
}

impl WavenetBody {
    /// Empty buffers for networks of this shape; they grow with the first chunk.
    pub fn new(isa: Isa, b: &Blueprint) -> Self {
        let Family::Wavenet { channels: c, .. } = b.family() else {
            panic!("{b:?} has no dilated convolutions");
        };
        let empty = || Aligned::zeros(0);
        let last = b.dilations().count() - 1;
        let layer = |(l, dilation)| {
            let map = |stem: &str, taps| Map::new(b, &format!("layers.{l}.{stem}"), c, taps);
            WaveTape {
                dilation,
                dilated: map("dilated", 2),
                residual: (l < last).then(|| map("residual", 1)),
                skip: map("skip", 1),
                x: empty(),
                gates: empty(),
                gated: empty(),
            }
        };
        Self {
            isa,
            blueprint: *b,
            channels: c,
            width: isa.padded(c),
            input: Map::new(b, "input", b.inputs(), 1),
            layers: b.dilations().enumerate().map(layer).collect(),
            output: Map::new(b, "output", c, 1),
            batch: 0,
            before: 0,
            rows: 0,
            x: Vec::new(),
            skip: empty(),
            top: empty(),
            sums: empty(),
        }
    }

    /// Copies the rings of the states, or zeros, in front of each layer's input.
    fn start(&mut self, state: Option<&[f32]>) {
        let (c, width, batch) = (self.channels, self.width, self.batch);
        let mut ring = 1;
        for layer in &mut self.layers {
            layer.x[..layer.dilation * batch * width].fill(0.0);
            for (b, row) in
                state.into_iter().flat_map(|s| s.chunks_exact(self.blueprint.row_width())).enumerate()
            {
                for past in 0..layer.dilation {
                    let entry = (row[0] as usize + past) % layer.dilation;
                    let to = &mut layer.x[(past * batch + b) * width..][..c];
                    to.copy_from_slice(&row[ring + entry * c..][..c]);
                }
            }
            ring += layer.dilation * c;
        }
    }
}

/// Rows `from..` of channels, `stride` apart.
fn channels(values: &[f32], from: usize, stride: usize, width: usize) -> Operand<'_> {
    Operand { values: &values[from * stride..], stride, width }
}

impl Body for WavenetBody {
    fn forward(&mut self, values: &[f32], sequence: Sequence) {
        let (isa, c, width, inputs) = (self.isa, self.channels, self.width, self.blueprint.inputs());
        self.batch = sequence.chunk.batch;
        (self.before, self.rows) = (sequence.chunk.burn_in * self.batch, sequence.chunk.steps * self.batch);
        let rows = self.before + self.rows;
        self.x.clear();
        self.x.extend_from_slice(&sequence.x[..rows * inputs]);
        if let Some(mask) = sequence.masks.first().and_then(|m| m.x.as_ref()) {
            let masks = mask.iter().cycle();
            self.x.iter_mut().zip(masks).for_each(|(x, m)| *x *= m);
        }
        for layer in &mut self.layers {
            layer.x.reserve((layer.dilation * self.batch + rows) * width);
            layer.gates.reserve(rows * 2 * width);
            layer.gated.reserve(rows * width);
        }
        self.start(sequence.chunk.state);
        self.skip.reserve(rows * width);
        self.skip[..rows * width].fill(0.0);
        self.top.reserve(rows * width);
        self.sums.reserve(rows * 2 * width);
        let run = |(weights, bias): (Packed, Aligned), a: [Operand; 2], activation, out: &mut [f32]| {
            let (weights, bias, stride) = (&weights, Some(&bias[..]), weights.columns());
            Product { weights, bias, activation, a, rows, out, stride }.run();
        };
        let part = |map: &Map| Some((map.weight(values), map.bias(values)));
        let first = self.layers[0].dilation * self.batch * width;
        let a = [Operand::dense(&self.x, inputs), Operand::EMPTY];
        let input = stacked(isa, [c, inputs, 1], &[part(&self.input)]);
        run(input, a, Activation::None, &mut self.layers[0].x[first..]);
        for l in 0..self.layers.len() {
            let (now, later) = self.layers.split_at_mut(l + 1);
            let layer = &mut now[l];
            let reach = layer.dilation * self.batch;
            let (weight, bias) = (layer.dilated.weight(values), layer.dilated.bias(values));
            let (tanh, sigmoid) = weight.split_at(2 * c * c);
            let parts = [Some((tanh, &bias[..c])), Some((sigmoid, &bias[c..]))];
            let a = [channels(&layer.x, 0, width, c), channels(&layer.x, reach, width, c)];
            run(stacked(isa, [c, c, 2], &parts), a, Activation::None, &mut layer.gates);
            GateRows { isa, rows, width, sums: &mut layer.gates, out: &mut layer.gated }.run();
            let parts = [layer.residual.as_ref().and_then(part), part(&layer.skip)];
            let a = [channels(&layer.gated, 0, width, c), Operand::EMPTY];
            run(stacked(isa, [c, c, 1], &parts), a, Activation::None, &mut self.sums);
            let sums = self.sums[..rows * 2 * width].chunks_exact(2 * width);
            for (skip, sums) in self.skip.chunks_exact_mut(width).zip(sums.clone()) {
                skip.iter_mut().zip(&sums[width..]).for_each(|(v, s)| *v += s);
            }
            if let Some(above) = later.first_mut() {
                let to = above.x[above.dilation * self.batch * width..].chunks_exact_mut(width);
                for ((to, x), sums) in to.zip(layer.x[reach * width..].chunks_exact(width)).zip(sums) {
                    to.iter_mut().zip(x.iter().zip(sums)).for_each(|(to, (x, s))| *to = x + s);
                }
            }
        }
        self.skip[..rows * width].iter_mut().for_each(|v| *v = v.clamp(0.0, Activation::RELU_MAX));
        let a = [Operand { values: &self.skip, stride: width, width: c }, Operand::EMPTY];
        run(stacked(isa, [c, c, 1], &[part(&self.output)]), a, Activation::Relu, &mut self.top);
    }

    fn top(&self) -> Operand<'_> {
        channels(&self.top, self.before, self.width, self.channels)
    }

    fn backward(&mut self, values: &[f32], dtop: &mut Aligned, _: Option<&[f32]>, gradient: &mut [f32]) {
        let (isa, c, width, rows) = (self.isa, self.channels, self.width, self.rows);
        let (len, from) = (rows * width, self.before * width);
        let activation = Activation::Relu;
        // A map's matrix transposed, for the product from the gradient of its outputs to that of a
        // tap.
        let turned = |matrix: &[f32], units: usize, taps: usize, tap: usize| {
            Packed::new(isa, c, units.div_ceil(c) * width, |channel, k| match k % width {
                unit if unit < c => matrix[((k / width * c + unit) * c + channel) * taps + tap],
                _ => 0.0,
            })
        };
        Slopes { isa, activation, y: &self.top[from..from + len], d: &mut dtop[..len] }.run();
        let skip = channels(&self.skip, self.before, width, c);
        self.output.gradient(isa, rows, &[skip], Operand::dense(dtop, width), [0, c, 0], gradient);
        let mut dskip = Aligned::zeros(len);
        turned(self.output.weight(values), c, 1, 0).times(
            Operand::dense(dtop, width),
            rows,
            &mut dskip,
            width,
        );
        Slopes { isa, activation, y: &self.skip[from..from + len], d: &mut dskip }.run();

        let (mut dx, mut dgated) = (Aligned::zeros(len), Aligned::zeros(len));
        let (mut more, mut dnow) = (Aligned::zeros(len), Aligned::zeros(len));
        for layer in self.layers.iter_mut().rev() {
            let (before, reach) = (self.before, layer.dilation * self.batch);
            let gated = channels(&layer.gated, before, width, c);
            let d = Operand::dense(&dskip, width);
            layer.skip.gradient(isa, rows, &[gated], d, [0, c, 0], gradient);
            turned(layer.skip.weight(values), c, 1, 0).times(d, rows, &mut dgated, width);
            if let Some(residual) = &layer.residual {
                let d = Operand::dense(&dx, width);
                residual.gradient(isa, rows, &[gated], d, [0, c, 0], gradient);
                turned(residual.weight(values), c, 1, 0).times(d, rows, &mut more, width);
                dgated.iter_mut().zip(more.iter()).for_each(|(d, m)| *d += m);
            }
            let gates = &mut layer.gates[2 * from..2 * (from + len)];
            GateReverse { isa, rows, width, gates: &mut *gates, dout: &dgated }.run();
            let d = Operand::dense(gates, 2 * width);
            let taps = [before, before + reach].map(|from| channels(&layer.x, from, width, c));
            layer.dilated.gradient(isa, rows, &taps, d, [0, c, 0], gradient);
            layer.dilated.gradient(isa, rows, &taps, d, [width, c, c], gradient);
            let matrix = layer.dilated.weight(values);
            turned(matrix, 2 * c, 2, 1).times(d, rows, &mut dnow, width);
            dx.iter_mut().zip(dnow.iter()).for_each(|(d, m)| *d += m);
            if reach < rows {
                turned(matrix, 2 * c, 2, 0).times(d, rows, &mut more, width);
                dx.iter_mut().zip(&more[reach * width..]).for_each(|(d, m)| *d += m);
            }
        }
        let inputs = self.blueprint.inputs();
        let x = Operand::dense(&self.x[self.before * inputs..], inputs);
        self.input.gradient(isa, rows, &[x], Operand::dense(&dx, width), [0, c, 0], gradient);
    }
}
