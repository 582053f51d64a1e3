//! Dilated causal convolutions, one reading at a time: every layer keeps its past inputs in a ring
//! as long as its dilation. A series' row is `[turn | ring of every layer]`; a ring's oldest entry
//! stands at `turn` modulo its length, and the newest takes its place.

use crate::nn::family::rows::{Rows, TILE, kept};
use crate::nn::kernel::{GateRows, Operand, Packed, Product, stacked};
use crate::nn::{Activation, Blueprint, Family};
use crate::simd::{Aligned, Isa};

pub(in crate::nn) struct Wavenet {
    isa: Isa,
    inputs: usize,
    channels: usize,
    /// Channels in whole registers.
    width: usize,
    /// The number of turns after which every ring is back at its start: the longest dilation.
    turns: usize,
    input: (Packed, Aligned),
    layers: Vec<WaveLayer>,
    output: (Packed, Aligned),
    /// `[TILE, inputs]`
    x: Aligned,
    /// `[TILE, width]` each
    old: Aligned,
    now: Aligned,
    gated: Aligned,
    skip: Aligned,
    top: Aligned,
    /// `[TILE, 2, width]`
    sums: Aligned,
}

struct WaveLayer {
    dilation: usize,
    /// The start of its ring in a series' row.
    ring: usize,
    /// `[tanh | σ]` of `[old | now]`
    dilated: (Packed, Aligned),
    /// `[residual | skip]`
    after: (Packed, Aligned),
}

impl Wavenet {
    /// `values` is the flat vector of all parameters.
    pub fn new(isa: Isa, b: &Blueprint, values: &[f32]) -> Self {
        let Family::Wavenet { channels: c, layers, .. } = b.family() else {
            panic!("{b:?} has no dilated convolutions");
        };
        let part = |name: &str| {
            let of = |what: &str| &values[b.range(&format!("{name}.{what}"))];
            (of("weight"), of("bias"))
        };
        let mut ring = 1;
        let last = b.dilations().count() - 1;
        let packed = b
            .dilations()
            .enumerate()
            .map(|(l, dilation)| {
                let (weight, bias) = part(&format!("layers.{l}.dilated"));
                let (tanh, sigmoid) = weight.split_at(2 * c * c);
                let dilated = [Some((tanh, &bias[..c])), Some((sigmoid, &bias[c..]))];
                let residual = (l < last).then(|| part(&format!("layers.{l}.residual")));
                let after = [residual, Some(part(&format!("layers.{l}.skip")))];
                let from = ring;
                ring += dilation * c;
                WaveLayer {
                    dilation,
                    ring: from,
                    dilated: stacked(isa, [c, c, 2], &dilated),
                    after: stacked(isa, [c, c, 1], &after),
                }
            })
            .collect();
        let width = isa.padded(c);
        let state = || Aligned::zeros(TILE * width);
        Self {
            isa,
            inputs: b.inputs(),
            channels: c,
            width,
            turns: 1 << (layers - 1),
            input: stacked(isa, [c, b.inputs(), 1], &[Some(part("input"))]),
            layers: packed,
            output: stacked(isa, [c, c, 1], &[Some(part("output"))]),
            x: Aligned::zeros(TILE * b.inputs()),
            old: state(),
            now: state(),
            gated: state(),
            skip: state(),
            top: state(),
            sums: Aligned::zeros(TILE * 2 * width),
        }
    }

    /// Takes one reading of every row; returns the input of the head.
    pub fn advance(&mut self, states: &mut Rows, slots: &[u32], x: &[f32]) -> Operand<'_> {
        let (c, width, rows) = (self.channels, self.width, slots.len());
        self.x.iter_mut().zip(x).for_each(|(to, x)| *to = kept(*x));
        let product = |(weights, bias): &(Packed, Aligned), a: [Operand; 2], activation, out: &mut [f32]| {
            let stride = weights.columns();
            Product { weights, bias: Some(bias), activation, a, rows, out, stride }.run();
        };
        let x = [Operand::dense(&self.x, self.inputs), Operand::EMPTY];
        product(&self.input, x, Activation::None, &mut self.now);
        self.skip[..rows * width].fill(0.0);
        for layer in &self.layers {
            for (r, slot) in slots.iter().enumerate() {
                let row = states.row(*slot);
                let at = row[0] as usize % layer.dilation;
                let entry = &mut row[layer.ring + at * c..][..c];
                let now = &self.now[r * width..][..c];
                self.old[r * width..][..c].copy_from_slice(entry);
                entry.copy_from_slice(now);
            }
            let both = [Operand::new(&self.old, width, c), Operand::new(&self.now, width, c)];
            product(&layer.dilated, both, Activation::None, &mut self.sums);
            let (sums, out) = (&mut self.sums[..], &mut self.gated[..]);
            GateRows { isa: self.isa, rows, width, sums, out }.run();
            let gated = [Operand::new(&self.gated, width, c), Operand::EMPTY];
            product(&layer.after, gated, Activation::None, &mut self.sums);
            let sums = self.sums[..rows * 2 * width].chunks_exact(2 * width);
            let rows = self.now.chunks_exact_mut(width).zip(self.skip.chunks_exact_mut(width));
            for ((now, skip), sums) in rows.zip(sums) {
                now.iter_mut().zip(&sums[..width]).for_each(|(v, s)| *v += s);
                skip.iter_mut().zip(&sums[width..]).for_each(|(v, s)| *v += s);
            }
        }
        for slot in slots {
            let turn = &mut states.row(*slot)[0];
            *turn = ((*turn as usize + 1) % self.turns) as f32;
        }
        let held = |v: &mut f32| *v = v.clamp(0.0, Activation::RELU_MAX);
        self.skip[..rows * width].iter_mut().for_each(held);
        let skip = Operand { values: &self.skip, stride: width, width: c };
        product(&self.output, [skip, Operand::EMPTY], Activation::Relu, &mut self.top);
        Operand { values: &self.top, stride: width, width: c }
    }
}
