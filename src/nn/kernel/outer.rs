//! The outer product of the gradient of a weight matrix.

use super::Operand;
use crate::simd::{Isa, Kernel, Vector, Walk, accumulate, in_row_groups};

/// The number of rows that go into the gradients of the weights together, so that they stay in the
/// nearest caches while every weight is visited.
const SUM_ROWS: usize = 64;

/// `out[i, j] += Σ_r a[r, i] · b[r, j]` over `rows` rows: the gradient of a weight matrix,
/// transposed. `out`: `[a.width, columns]`
pub(in crate::nn) struct OuterSum<'a> {
    pub isa: Isa,
    pub rows: usize,
    pub a: Operand<'a>,
    /// Its `width` is whole registers.
    pub b: Operand<'a>,
    pub out: &'a mut [f32],
}

impl OuterSum<'_> {
    pub fn run(self) {
        self.a.check(self.rows);
        self.b.check(self.rows);
        assert!(self.b.width.is_multiple_of(self.isa.lanes()));
        assert!(self.out.len() >= self.a.width * self.b.width);
        if self.rows > 0 {
            self.isa.run(self);
        }
    }

    #[inline(always)]
    fn block<V: Vector, const R: usize, const G: usize>(&mut self, at: usize, first: usize) {
        let out = &mut self.out[at * self.b.width + first..];
        let mut acc = [[V::splat(0.0); G]; R];
        for (r, acc) in acc.iter_mut().enumerate() {
            for (g, acc) in acc.iter_mut().enumerate() {
                *acc = V::load_at(out, r * self.b.width + g * V::N);
            }
        }
        let walk = Walk {
            a: self.a.from(0, at),
            row: 1,
            next: self.a.stride,
            b: self.b.from(0, first),
            b_next: self.b.stride,
            depth: self.rows,
        };
        accumulate::<V, R, G, G>(&mut acc, 0, walk);
        for (r, acc) in acc.iter().enumerate() {
            for (g, acc) in acc.iter().enumerate() {
                acc.store_at(out, r * self.b.width + g * V::N);
            }
        }
    }
}

impl Kernel for OuterSum<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self) {
        let (width, columns) = (self.a.width, self.b.width);
        for first in (0..columns).step_by(4 * V::N) {
            match (columns - first) / V::N {
                1 => in_row_groups!(V, 1, width, |at, R| self.block::<V, R, 1>(at, first)),
                2 => in_row_groups!(V, 2, width, |at, R| self.block::<V, R, 2>(at, first)),
                3 => in_row_groups!(V, 3, width, |at, R| self.block::<V, R, 3>(at, first)),
                _ => in_row_groups!(V, 4, width, |at, R| self.block::<V, R, 4>(at, first)),
            }
        }
    }
}

/// [`OuterSum`] over any number of rows.
pub(in crate::nn) fn outer_sum(isa: Isa, rows: usize, a: Operand, b: Operand, out: &mut [f32]) {
    for first in (0..rows).step_by(SUM_ROWS) {
        let from = |o: Operand<'_>| first * o.stride;
        let a = Operand { values: &a.values[from(a)..], ..a };
        let b = Operand { values: &b.values[from(b)..], ..b };
        OuterSum { isa, rows: SUM_ROWS.min(rows - first), a, b, out }.run();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outer_sum_agrees_with_the_definition_on_every_instruction_set() {
        let value = |i: usize| ((i * 7919) % 1000) as f32 / 500.0 - 1.0;
        for isa in Isa::available() {
            for (rows, width, columns) in [(1, 1, 1), (9, 8, 24), (33, 13, 100)] {
                let columns = isa.padded(columns);
                let a: Vec<f32> = (0..rows * width).map(value).collect();
                let b: Vec<f32> = (0..rows * columns).map(|i| value(i + 3)).collect();
                let mut out = vec![1.0; width * columns];
                let operand = Operand::dense;
                OuterSum { isa, rows, a: operand(&a, width), b: operand(&b, columns), out: &mut out }.run();
                for i in 0..width {
                    for j in 0..columns {
                        let terms = (0..rows).map(|r| f64::from(a[r * width + i] * b[r * columns + j]));
                        let exact = 1.0 + terms.sum::<f64>();
                        assert!((f64::from(out[i * columns + j]) - exact).abs() < 1e-4, "{isa:?}");
                    }
                }
            }
        }
    }
}
