//! Weights laid out as the product reads them, and the product of rows with them.

use super::lanes::Lanes;
use super::math::activate;
use super::{Aligned, Isa, Kernel};
use crate::nn::Activation;

/// Rows of floats, `stride` apart, of which the first `width` count.
#[derive(Clone, Copy)]
pub(in crate::nn) struct Operand<'a> {
    pub values: &'a [f32],
    pub stride: usize,
    pub width: usize,
}

impl<'a> Operand<'a> {
    pub fn new(values: &'a [f32], stride: usize, width: usize) -> Self {
        Self { values, stride, width }
    }

    /// Rows without anything between them.
    pub fn dense(values: &'a [f32], width: usize) -> Self {
        Self { values, stride: width, width }
    }

    pub const EMPTY: Operand<'static> = Operand { values: &[], stride: 0, width: 0 };

    /// Panics unless `rows` rows of it can be read.
    pub(super) fn check(&self, rows: usize) {
        assert!(rows == 0 || (rows - 1) * self.stride + self.width <= self.values.len());
    }
}

/// Where [`accumulate`] reads: `a[r, k]` at `a + r · row + k · next`, registers of `b[k]` from
/// `b + k · b_next` on.
#[derive(Clone, Copy)]
pub(super) struct Walk {
    pub a: *const f32,
    pub row: usize,
    pub next: usize,
    pub b: *const f32,
    pub b_next: usize,
    /// How many `k` there are.
    pub depth: usize,
}

/// `acc[r][first + g] += Σ_k a[r, k] · b[k, g]` over whole registers, `k` upwards: the one order in
/// which every product of this room is summed. By value, because sums behind a reference are
/// written back to memory in every turn of the loop.
///
/// # Safety
/// Everything that the walk says can be read; `first + G <= 4`.
#[inline(always)]
pub(super) unsafe fn accumulate<V: Lanes, const R: usize, const G: usize>(
    mut acc: [[V; 4]; R],
    first: usize,
    walk: Walk,
) -> [[V; 4]; R] {
    unsafe {
        for k in 0..walk.depth {
            if R < G {
                // With few rows the register file is small: it holds the rows and one weight beside
                // the sums, where four weights would push sums out.
                let mut a = [V::splat(0.0); R];
                for (r, a) in a.iter_mut().enumerate() {
                    *a = V::splat(*walk.a.add(r * walk.row + k * walk.next));
                }
                for g in 0..G {
                    let w = V::load(walk.b.add(k * walk.b_next + g * V::N));
                    for (acc, a) in acc.iter_mut().zip(a) {
                        acc[first + g] = a.mul_add(w, acc[first + g]);
                    }
                }
                continue;
            }
            let mut w = [V::splat(0.0); G];
            for (g, w) in w.iter_mut().enumerate() {
                *w = V::load(walk.b.add(k * walk.b_next + g * V::N));
            }
            for (r, acc) in acc.iter_mut().enumerate() {
                let a = V::splat(*walk.a.add(r * walk.row + k * walk.next));
                for g in 0..G {
                    acc[first + g] = a.mul_add(w[g], acc[first + g]);
                }
            }
        }
        acc
    }
}

/// The same sums of one row, `a[0, k]`, for as many panels as [`accumulate`] has rows: `panel` floats
/// lie between them in `b`. One row alone would wait for each sum's last product.
///
/// # Safety
/// As [`accumulate`].
#[inline(always)]
pub(super) unsafe fn accumulate_across<V: Lanes, const P: usize, const G: usize>(
    mut acc: [[V; 4]; P],
    first: usize,
    walk: Walk,
    panel: usize,
) -> [[V; 4]; P] {
    unsafe {
        for k in 0..walk.depth {
            let a = V::splat(*walk.a.add(k * walk.next));
            for (p, acc) in acc.iter_mut().enumerate() {
                let b = walk.b.add(p * panel + k * walk.b_next);
                for g in 0..G {
                    acc[first + g] = a.mul_add(V::load(b.add(g * V::N)), acc[first + g]);
                }
            }
        }
        acc
    }
}

/// Calls `$f::<…, R>` with as many rows at a time as the register file holds, when each has so many sums.
/// Few sums must come with many rows: a sum waits for the one before.
macro_rules! in_row_groups {
    ($lanes:ty, $sums:literal, $rows:expr, |$at:ident, $R:ident| $call:expr) => {{
        let mut $at = 0;
        macro_rules! while_there_are {
            ($n:literal) => {
                while $n <= <$lanes>::ROWS * 4 / $sums && $n <= $rows - $at {
                    const $R: usize = $n;
                    $call;
                    $at += $R;
                }
            };
        }
        while_there_are!(12);
        while_there_are!(6);
        while_there_are!(4);
        while_there_are!(3);
        while_there_are!(2);
        while_there_are!(1);
    }};
}
pub(super) use in_row_groups;

/// A weight matrix for [`Product`]: `[columns, depth]`, stored as panels of up to four registers
/// of columns, `[panel][depth][registers][lanes]`, padded with zero columns to whole registers.
pub(in crate::nn) struct Packed {
    isa: Isa,
    panels: Aligned,
    depth: usize,
    columns: usize,
}

impl Packed {
    /// `weight(column, k)` is asked once for every element.
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

    /// Sets the first `columns` columns anew.
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

    /// Columns, padded to whole registers.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Values of a row that it multiplies.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The bare product with `rows` rows of `a`, `[rows, stride]`.
    pub fn times(&self, a: Operand, rows: usize, out: &mut [f32], stride: usize) {
        let (activation, a) = (Activation::None, [a, Operand::EMPTY]);
        Product { weights: self, bias: None, activation, a, rows, out, stride }.run();
    }
}

/// `out[r] = activation(bias + weights · [a₀[r] | a₁[r]])` for `rows` rows.
pub(in crate::nn) struct Product<'a> {
    pub weights: &'a Packed,
    /// `[columns]` or nothing.
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

    /// `P` panels of four registers of one row.
    ///
    /// # Safety
    /// `run` has checked the lengths; row `at` and `first + 4 · P · V::N` columns exist.
    #[inline(always)]
    unsafe fn across<V: Lanes, const P: usize>(&mut self, at: usize, first: usize) {
        unsafe {
            let mut acc = [[V::splat(0.0); 4]; P];
            if let Some(bias) = self.bias {
                for (i, acc) in acc.as_flattened_mut().iter_mut().enumerate() {
                    *acc = V::load(bias.as_ptr().add(first + i * V::N));
                }
            }
            let (b_next, panel) = (4 * V::N, 4 * V::N * self.weights.depth);
            let mut b = self.weights.panels.as_ptr().add(first * self.weights.depth);
            for a in self.a {
                let (row, depth) = (a.values.as_ptr().add(at * a.stride), a.width);
                acc = accumulate_across::<V, P, 4>(
                    acc,
                    0,
                    Walk { a: row, row: 0, next: 1, b, b_next, depth },
                    panel,
                );
                b = b.add(depth * b_next);
            }
            let out = self.out.as_mut_ptr().add(at * self.stride + first);
            for (i, acc) in acc.as_flattened().iter().enumerate() {
                activate(self.activation, *acc).store(out.add(i * V::N));
            }
        }
    }

    /// # Safety
    /// `run` has checked the lengths; `at + R` rows and `first + G · V::N` columns exist.
    #[inline(always)]
    unsafe fn block<V: Lanes, const R: usize, const G: usize>(&mut self, at: usize, first: usize) {
        unsafe {
            let mut acc = [[V::splat(0.0); 4]; R];
            if let Some(bias) = self.bias {
                for acc in &mut acc {
                    for (g, acc) in acc.iter_mut().take(G).enumerate() {
                        *acc = V::load(bias.as_ptr().add(first + g * V::N));
                    }
                }
            }
            let mut panel = self.weights.panels.as_ptr().add(first * self.weights.depth);
            for a in self.a {
                let rows = a.values.as_ptr().add(at * a.stride);
                let (b_next, depth) = (G * V::N, a.width);
                let walk = Walk { a: rows, row: a.stride, next: 1, b: panel, b_next, depth };
                acc = accumulate::<V, R, G>(acc, 0, walk);
                panel = panel.add(a.width * G * V::N);
            }
            for (r, acc) in acc.iter().enumerate() {
                let out = self.out.as_mut_ptr().add((at + r) * self.stride + first);
                for (g, acc) in acc.iter().take(G).enumerate() {
                    activate(self.activation, *acc).store(out.add(g * V::N));
                }
            }
        }
    }
}

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(mut self) {
        let (rows, columns) = (self.rows, self.weights.columns);
        // SAFETY: `Product::run` has checked every length.
        unsafe {
            // A row that is left over goes through several panels at once.
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
