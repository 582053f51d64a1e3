//! The gates of a cell with layer norms. A row's products must be complete before they can be
//! normalised, so the kernel takes them as rows in memory.

use super::Operand;
use super::cell::{Gates, GruGates, LstmGates, RnnGates, gate_orders, sum_biases};
use super::math::{TANH, gated, power};
use crate::nn::Cell;
use crate::nn::shape::{LayerLayout, NORM_EPSILON};
use crate::simd::{Aligned, Isa, Kernel, Vector};

/// Rows whose parts are computed in turn.
const ROWS: usize = 8;

/// A layer's gains and biases, padded, in the order of the kernels' rows.
pub(in crate::nn) struct LayerNorm {
    pub(super) isa: Isa,
    pub(super) cell: Cell,
    pub(super) hidden: usize,
    pub(super) width: usize,
    /// `[gates, width]` each
    pub(super) gain_x: Aligned,
    pub(super) gain_h: Aligned,
    /// `[sums, width]`
    pub(super) bias: Aligned,
    /// 1 for a hidden unit, 0 for padding, `[width]`: padding must not enter a variance, and
    /// subtracting its share afterwards would cost the digits of a small variance.
    units: Aligned,
    /// `[width]` each; only an LSTM has them.
    pub(super) gain_c: Aligned,
    pub(super) bias_c: Aligned,
}

impl LayerNorm {
    /// `None` if the layer has no norms. `values` is the layer's own flat vector.
    pub fn new(isa: Isa, layout: &LayerLayout, values: &[f32]) -> Option<Self> {
        let (x, h) = layout.gains.clone()?;
        let (hidden, width, gates) = (layout.hidden, isa.padded(layout.hidden), layout.cell.gates());
        let pad = |from: &[f32], order: &[usize]| {
            let mut out = Aligned::zeros(order.len() * width);
            for (place, gate) in order.iter().enumerate() {
                out[place * width..][..hidden].copy_from_slice(&from[gate * hidden..][..hidden]);
            }
            out
        };
        let (x_order, h_order) = gate_orders(layout.cell);
        let (gain_c, bias_c) = match &layout.c_norm {
            Some((gain, bias)) => (pad(&values[gain.clone()], &[0]), pad(&values[bias.clone()], &[0])),
            None => (Aligned::zeros(0), Aligned::zeros(0)),
        };
        Some(Self {
            isa,
            cell: layout.cell,
            hidden,
            width,
            gain_x: pad(&values[x], &x_order[..gates]),
            gain_h: pad(&values[h], &h_order[..gates]),
            bias: sum_biases(layout, values, width),
            units: {
                let mut units = Aligned::zeros(width);
                units[..hidden].fill(1.0);
                units
            },
            gain_c,
            bias_c,
        })
    }
}

/// One step of one layer for `rows` series, after the products.
pub(in crate::nn) struct NormRows<'a> {
    pub norm: &'a LayerNorm,
    pub rows: usize,
    /// `W_ih x`, `[rows, gates, width]`; normalised in place.
    pub x: &'a mut [f32],
    /// `W_hh h`, `[rows, gates, width]`; normalised in place.
    pub h: &'a mut [f32],
    /// GRU: the `h` that `z` keeps, `[rows, width]`.
    pub held: Operand<'a>,
    /// LSTM: `[rows, width]`, in place.
    pub c: &'a mut [f32],
    /// The new `h`, `[rows, width]`.
    pub out: &'a mut [f32],
    pub saved: Option<NormSaved<'a>>,
}

/// The results that training keeps of a step beside the normalised products.
pub(in crate::nn) struct NormSaved<'a> {
    /// The activations, `[rows, sums, width]`.
    pub gates: &'a mut [f32],
    /// LSTM: the normalised `c`, `[rows, width]`.
    pub c: &'a mut [f32],
    /// The reciprocal deviations of `W_ih x`, `W_hh h` and `c`, `[rows, 3]`.
    pub scales: &'a mut [f32],
}

impl NormRows<'_> {
    pub fn run(self) {
        let (rows, width, gates) = (self.rows, self.norm.width, self.norm.cell.gates());
        assert!(self.x.len() >= rows * gates * width && self.h.len() >= rows * gates * width);
        assert!(self.out.len() >= rows * width);
        if self.norm.cell == Cell::Lstm {
            assert!(self.c.len() >= rows * width);
        } else {
            assert!(self.held.width == width);
            self.held.check(rows);
        }
        if let Some(saved) = &self.saved {
            let sums = self.norm.cell.sums();
            assert!(saved.gates.len() >= rows * sums * width && saved.scales.len() >= rows * 3);
            assert!(self.norm.cell != Cell::Lstm || saved.c.len() >= rows * width);
        }
        self.norm.isa.run(self);
    }

    /// Normalises both products of a row.
    #[inline(always)]
    fn normalise<V: Vector, const G: usize>(&mut self, row: usize) {
        let stack = G * self.norm.width;
        let scale_x = self.norm.normalise::<V, G>(&mut self.x[row * stack..][..stack]);
        let scale_h = self.norm.normalise::<V, G>(&mut self.h[row * stack..][..stack]);
        if let Some(saved) = &mut self.saved {
            saved.scales[row * 3..][..3].copy_from_slice(&[scale_x, scale_h, 1.0]);
        }
    }

    /// The gates of a row. All of it but an LSTM's `h`: the power of the sum of `o` stands there.
    #[inline(always)]
    fn gates<V: Vector, C: Gates>(&mut self, row: usize) {
        let norm = self.norm;
        let width = norm.width;
        let stack = C::GATES * width;
        let x = &self.x[row * stack..][..stack];
        let h = &self.h[row * stack..][..stack];
        let out = &mut self.out[row * width..][..width];
        let (gain_x, gain_h) = (&norm.gain_x[..stack], &norm.gain_h[..stack]);
        let (c, held): (&mut [f32], &[f32]) = if norm.cell == Cell::Lstm {
            (&mut self.c[row * width..][..width], &[])
        } else {
            (&mut [], &self.held.from(row, 0)[..width])
        };
        for unit in (0..width).step_by(V::N) {
            let mut sums = [V::splat(0.0); 4];
            for (s, sum) in sums.iter_mut().enumerate().take(C::SUMS) {
                *sum = V::load_at(&norm.bias, s * width + unit);
            }
            for g in 0..C::GATES {
                let at = g * width + unit;
                let gain = V::load_at(gain_x, at);
                sums[C::X_FIRST + g] = V::load_at(x, at).mul_add(gain, sums[C::X_FIRST + g]);
                let gain = V::load_at(gain_h, at);
                sums[C::H_FIRST + g] = V::load_at(h, at).mul_add(gain, sums[C::H_FIRST + g]);
            }
            let held = if norm.cell == Cell::Lstm { V::load_at(c, unit) } else { V::load_at(held, unit) };
            for (sum, scale) in sums.iter_mut().zip(C::SCALES) {
                *sum = sum.mul(V::splat(scale));
            }
            C::raise(&mut sums);
            let (parts, mut late, next) = C::first(sums, held);
            if norm.cell == Cell::Lstm {
                next.store_at(c, unit);
                sums[C::GATE].store_at(out, unit);
            } else {
                late = power(late);
                C::second(parts[C::GATE], late, next).store_at(out, unit);
            }
            if let Some(saved) = &mut self.saved {
                let to = row * C::SUMS * width + unit;
                for (s, v) in C::activations(parts, late).iter().enumerate().take(C::SUMS) {
                    v.store_at(saved.gates, to + s * width);
                }
            }
        }
    }

    /// An LSTM's `h`, once its `c` is complete and can be normalised.
    #[inline(always)]
    fn output<V: Vector>(&mut self, row: usize) {
        let norm = self.norm;
        let width = norm.width;
        let c = &self.c[row * width..][..width];
        let out = &mut self.out[row * width..][..width];
        let (gain_c, bias_c) = (&norm.gain_c[..width], &norm.bias_c[..width]);
        let (mean, scale_c) = norm.moments::<V, 1>(c);
        let (mean, scale) = (V::splat(mean), V::splat(scale_c));
        for unit in (0..width).step_by(V::N) {
            let normed = V::load_at(c, unit).sub(mean).mul(scale);
            let gain = V::load_at(gain_c, unit);
            let u = normed.mul_add(gain, V::load_at(bias_c, unit));
            gated(V::load_at(out, unit), power(u.mul(V::splat(TANH)))).store_at(out, unit);
            if let Some(saved) = &mut self.saved {
                normed.store_at(saved.c, row * width + unit);
            }
        }
        if let Some(saved) = &mut self.saved {
            saved.scales[row * 3 + 2] = scale_c;
        }
    }

    /// A row is a long chain in which every operation waits for the one before. So it is cut into short
    /// loops over a few rows, which let the CPU work on several rows at once.
    #[inline(always)]
    fn all<V: Vector, C: Gates, const G: usize>(&mut self) {
        for first in (0..self.rows).step_by(ROWS) {
            let rows = first..self.rows.min(first + ROWS);
            for row in rows.clone() {
                self.normalise::<V, G>(row);
            }
            for row in rows.clone() {
                self.gates::<V, C>(row);
            }
            if self.norm.cell == Cell::Lstm {
                for row in rows {
                    self.output::<V>(row);
                }
            }
        }
    }
}

impl LayerNorm {
    /// Mean and reciprocal deviation of the units of `S` rows of `[width]`, at most four. Padding must be
    /// zero. Each row has a sum of its own, because every addition waits for the one before.
    #[inline(always)]
    fn moments<V: Vector, const S: usize>(&self, rows: &[f32]) -> (f32, f32) {
        let (width, count) = (self.width, (S * self.hidden) as f32);
        let (rows, units) = (&rows[..S * width], &self.units[..width]);
        let mut sums = [V::splat(0.0); S];
        for unit in (0..width).step_by(V::N) {
            for (s, sum) in sums.iter_mut().enumerate() {
                *sum = sum.add(V::load_at(rows, s * width + unit));
            }
        }
        let mean = total(&sums) / count;
        let (m, mut squares) = (V::splat(mean), [V::splat(0.0); S]);
        for unit in (0..width).step_by(V::N) {
            let is = V::load_at(units, unit);
            for (s, squares) in squares.iter_mut().enumerate() {
                let d = V::load_at(rows, s * width + unit).sub(m).mul(is);
                *squares = d.mul_add(d, *squares);
            }
        }
        (mean, 1.0 / (total(&squares) / count + NORM_EPSILON).sqrt())
    }

    /// Normalises such rows in place; padding stays zero. Returns the reciprocal deviation.
    #[inline(always)]
    pub(super) fn normalise<V: Vector, const S: usize>(&self, rows: &mut [f32]) -> f32 {
        let (mean, scale) = self.moments::<V, S>(rows);
        let (m, s) = (V::splat(mean), V::splat(scale));
        for row in rows[..S * self.width].chunks_exact_mut(self.width) {
            for (values, is) in row.chunks_exact_mut(V::N).zip(self.units.chunks_exact(V::N)) {
                V::load(values).sub(m).mul(s).mul(V::load(is)).store(values);
            }
        }
        scale
    }
}

/// The sum of all lanes.
#[inline(always)]
fn total<V: Vector>(of: &[V]) -> f32 {
    let mut sum = of[0];
    for v in &of[1..] {
        sum = sum.add(*v);
    }
    sum.sum()
}

impl Kernel for NormRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self) {
        match self.norm.cell {
            Cell::RnnTanh => self.all::<V, RnnGates<false>, 1>(),
            Cell::RnnRelu => self.all::<V, RnnGates<true>, 1>(),
            Cell::Lstm => self.all::<V, LstmGates, 4>(),
            Cell::Gru => self.all::<V, GruGates, 3>(),
            Cell::GruBefore => unreachable!("its sums are not made at once"),
        }
    }
}
