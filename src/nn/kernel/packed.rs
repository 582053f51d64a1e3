//! Packed weights, and the product of rows with them.

use super::math::activate;
use crate::nn::Activation;
use crate::simd::{Aligned, Isa, Kernel, Vector, Walk, accumulate, accumulate_across, in_row_groups};

/// A matrix operand: rows of `width` floats that begin `stride` apart.
#[derive(Clone, Copy)]
pub(in crate::nn) struct Operand<'a> {
    pub values: &'a [f32],
    pub stride: usize,
    pub width: usize,
}

impl<'a> Operand<'a> {
    /// Rows of `width` floats, `stride` apart.
    pub fn new(values: &'a [f32], stride: usize, width: usize) -> Self {
        Self { values, stride, width }
    }

    /// Rows without a gap between them.
    pub fn dense(values: &'a [f32], width: usize) -> Self {
        Self { values, stride: width, width }
    }

    /// Rows of no floats: the absent part of a [`Product`].
    pub const EMPTY: Operand<'static> = Operand { values: &[], stride: 0, width: 0 };

    /// The floats from column `column` of row `row` on; empty at the end.
    #[inline(always)]
    pub(super) fn from(&self, row: usize, column: usize) -> &'a [f32] {
        &self.values[row * self.stride + column..]
    }

    /// Panics unless it has `rows` rows.
    pub(super) fn check(&self, rows: usize) {
        assert!(rows == 0 || (rows - 1) * self.stride + self.width <= self.values.len());
    }
}

/// A weight matrix for [`Product`]: `[columns, depth]`, stored as panels of up to four registers
/// of columns, `[panel][depth][registers][lanes]`, padded with zero columns to whole registers.
pub(in crate::nn) struct Packed {
    isa: Isa,
    panels: Aligned,
    depth: usize,
    columns: usize,
}

impl Packed {
    /// Calls `weight(column, k)` once for every element.
    pub fn new(isa: Isa, columns: usize, depth: usize, weight: impl Fn(usize, usize) -> f32) -> Self {
        let mut packed = Self {
            isa,
            panels: Aligned::zeros(isa.padded(columns) * depth),
            depth,
            columns: isa.padded(columns),
        };
        packed.fill(columns, weight);
        packed
    }

    /// Sets the first `columns` columns.
    pub fn fill(&mut self, columns: usize, weight: impl Fn(usize, usize) -> f32) {
        let lanes = self.isa.lanes();
        for column in 0..columns {
            let (panel, within) = (column / (4 * lanes), column % (4 * lanes));
            let width = usize::min(4 * lanes, self.columns - panel * 4 * lanes);
            let start = panel * 4 * lanes * self.depth + within;
            for k in 0..self.depth {
                self.panels[start + k * width] = weight(column, k);
            }
        }
    }

    /// The number of columns, padded to whole registers.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The number of values of a row that it multiplies.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The product with `rows` rows of `a`, without bias or activation. `out`: `[rows, stride]`
    pub fn times(&self, a: Operand, rows: usize, out: &mut [f32], stride: usize) {
        let (activation, a) = (Activation::None, [a, Operand::EMPTY]);
        Product { weights: self, bias: None, activation, a, rows, out, stride }.run();
    }
}

/// Packs matrices `[channels, depth, taps]` with their biases for one product, one part below the
/// other. Each part begins on a whole register; `None` stands for zeros.
pub(in crate::nn) fn stacked(
    isa: Isa,
    [channels, depth, taps]: [usize; 3],
    parts: &[Option<(&[f32], &[f32])>],
) -> (Packed, Aligned) {
    let width = isa.padded(channels);
    let weights = Packed::new(isa, parts.len() * width, depth * taps, |column, k| {
        let (unit, tap, channel) = (column % width, k / depth, k % depth);
        match parts[column / width] {
            Some((matrix, _)) if unit < channels => matrix[(unit * depth + channel) * taps + tap],
            _ => 0.0,
        }
    });
    let mut bias = Aligned::zeros(parts.len() * width);
    for (part, to) in parts.iter().zip(bias.chunks_mut(width)) {
        if let Some((_, from)) = part {
            to[..channels].copy_from_slice(from);
        }
    }
    (weights, bias)
}

/// `out[r] = activation(bias + weights · [a₀[r] | a₁[r]])` for `rows` rows.
pub(in crate::nn) struct Product<'a> {
    pub weights: &'a Packed,
    /// `[columns]`
    pub bias: Option<&'a [f32]>,
    pub activation: Activation,
    /// Their widths add up to the depth of the weights.
    pub a: [Operand<'a>; 2],
    pub rows: usize,
    /// `[rows, stride]`, of which the first `columns` of every row are written.
    pub out: &'a mut [f32],
    pub stride: usize,
}

impl Product<'_> {
    pub fn run(self) {
        let columns = self.weights.columns;
        self.a.iter().for_each(|a| a.check(self.rows));
        assert_eq!(self.a[0].width + self.a[1].width, self.weights.depth);
        assert!(self.bias.is_none_or(|b| b.len() >= columns) && self.stride >= columns);
        assert!(self.rows == 0 || (self.rows - 1) * self.stride + columns <= self.out.len());
        self.weights.isa.run(self);
    }

    /// The walks from row `at` of both operands through the panel of so many registers that begins at
    /// column `first`.
    #[inline(always)]
    fn walks<V: Vector>(&self, at: usize, first: usize, registers: usize) -> [Walk<'_>; 2] {
        let (panel, b_next) = (&self.weights.panels[first * self.weights.depth..], registers * V::N);
        let from = |a: usize, b| {
            let a = &self.a[a];
            Walk { a: a.from(at, 0), row: a.stride, next: 1, b, b_next, depth: a.width }
        };
        [from(0, panel), from(1, &panel[self.a[0].width * b_next..])]
    }

    /// Computes `P` panels of four registers of one row.
    #[inline(always)]
    fn across<V: Vector, const P: usize>(&mut self, at: usize, first: usize) {
        let mut acc = [[V::splat(0.0); 4]; P];
        if let Some(bias) = self.bias {
            for (i, acc) in acc.as_flattened_mut().iter_mut().enumerate() {
                *acc = V::load_at(bias, first + i * V::N);
            }
        }
        let panel = 4 * V::N * self.weights.depth;
        let [x, h] = self.walks::<V>(at, first, 4);
        accumulate_across::<V, P, 4, 4>(&mut acc, 0, x, panel);
        accumulate_across::<V, P, 4, 4>(&mut acc, 0, h, panel);
        let out = &mut self.out[at * self.stride + first..];
        for (i, acc) in acc.as_flattened().iter().enumerate() {
            activate(self.activation, *acc).store_at(out, i * V::N);
        }
    }

    #[inline(always)]
    fn block<V: Vector, const R: usize, const G: usize>(&mut self, at: usize, first: usize) {
        let mut acc = [[V::splat(0.0); G]; R];
        if let Some(bias) = self.bias {
            for acc in &mut acc {
                for (g, acc) in acc.iter_mut().enumerate() {
                    *acc = V::load_at(bias, first + g * V::N);
                }
            }
        }
        let [x, h] = self.walks::<V>(at, first, G);
        accumulate::<V, R, G, G>(&mut acc, 0, x);
        accumulate::<V, R, G, G>(&mut acc, 0, h);
        for (r, acc) in acc.iter().enumerate() {
            let out = &mut self.out[(at + r) * self.stride + first..];
            for (g, acc) in acc.iter().enumerate() {
                activate(self.activation, *acc).store_at(out, g * V::N);
            }
        }
    }
}

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self) {
        let (rows, columns) = (self.rows, self.weights.columns);
        // A single row that is left over goes through several panels at once.
        let alone = rows % V::ROWS == 1;
        let (rows, panels) = (rows - usize::from(alone), columns / (4 * V::N));
        if alone {
            in_row_groups!(V, 4, panels, |at, P| self.across::<V, P>(rows, at * 4 * V::N));
        }
        for first in (0..columns).step_by(4 * V::N) {
            let registers = (columns - first) / V::N;
            let rows = if alone && registers < 4 { rows + 1 } else { rows };
            match registers {
                1 => in_row_groups!(V, 1, rows, |at, R| self.block::<V, R, 1>(at, first)),
                2 => in_row_groups!(V, 2, rows, |at, R| self.block::<V, R, 2>(at, first)),
                3 => in_row_groups!(V, 3, rows, |at, R| self.block::<V, R, 3>(at, first)),
                _ => in_row_groups!(V, 4, rows, |at, R| self.block::<V, R, 4>(at, first)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn product_agrees_with_the_definition_on_every_instruction_set() {
        let value = |i: usize| ((i * 7919) % 1000) as f32 / 500.0 - 1.0;
        for isa in Isa::available() {
            for (rows, columns, k0, k1) in [(1, 1, 1, 0), (13, 24, 5, 8), (7, 70, 3, 64), (40, 129, 64, 2)] {
                let a: Vec<f32> = (0..rows * (k0 + k1)).map(value).collect();
                let weight = |c: usize, k: usize| value(c * 31 + k * 17 + 5);
                let packed = Packed::new(isa, columns, k0 + k1, weight);
                let bias: Vec<f32> = (0..packed.columns()).map(|c| value(c + 77)).collect();
                let stride = packed.columns() + 3;
                let mut out = vec![0.0; rows * stride];
                let operand = |from: usize, width| Operand { values: &a[from..], stride: k0 + k1, width };
                Product {
                    weights: &packed,
                    bias: Some(&bias),
                    activation: Activation::None,
                    a: [operand(0, k0), operand(if k1 > 0 { k0 } else { 0 }, k1)],
                    rows,
                    out: &mut out,
                    stride,
                }
                .run();
                for r in 0..rows {
                    for c in 0..columns {
                        let exact: f64 = (0..k0 + k1)
                            .map(|k| f64::from(a[r * (k0 + k1) + k]) * f64::from(weight(c, k)))
                            .sum::<f64>()
                            + f64::from(bias[c]);
                        assert!((f64::from(out[r * stride + c]) - exact).abs() < 1e-4, "{isa:?}");
                    }
                }
            }
        }
    }
}
