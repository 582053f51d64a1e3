//! A layer norm without gain and bias over whole rows, forward and backward: the input of a normed
//! head.

use super::Operand;
use crate::nn::shape::NORM_EPSILON;
use crate::simd::{Aligned, Isa, Kernel, Vector};

/// Rows of `hidden` units, padded to whole registers.
pub(in crate::nn) struct Standardise {
    isa: Isa,
    hidden: usize,
    width: usize,
    /// 1 for a unit, 0 for padding, `[width]`.
    units: Aligned,
}

impl Standardise {
    /// For rows of `hidden` units.
    pub fn new(isa: Isa, hidden: usize) -> Self {
        let width = isa.padded(hidden);
        let mut units = Aligned::zeros(width);
        units[..hidden].fill(1.0);
        Self { isa, hidden, width, units }
    }

    /// The distance between rows of the output.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Writes `(x − mean) · scale` of each row to `out`, `[rows, width]`, with padding 0; and the
    /// scales, which are the reciprocal deviations, to `scales`, `[rows]`.
    pub fn forward(&self, x: Operand<'_>, rows: usize, out: &mut [f32], scales: Option<&mut [f32]>) {
        assert!(x.width == self.hidden && out.len() >= rows * self.width);
        x.check(rows);
        assert!(scales.as_ref().is_none_or(|scales| scales.len() >= rows));
        for (row, out) in out.chunks_exact_mut(self.width).take(rows).enumerate() {
            out[..self.hidden].copy_from_slice(&x.values[row * x.stride..][..self.hidden]);
            out[self.hidden..].fill(0.0);
        }
        self.isa.run(Forward { norm: self, rows, out, scales });
    }

    /// Replaces the gradient of the output by that of the input. `normed` and `scales` are the
    /// results of [`Self::forward`]. `gradient`: `[rows, width]`
    pub fn backward(&self, gradient: &mut [f32], normed: &[f32], scales: &[f32], rows: usize) {
        assert!(gradient.len() >= rows * self.width && normed.len() >= rows * self.width);
        assert!(scales.len() >= rows);
        self.isa.run(Backward { norm: self, rows, gradient, normed, scales });
    }
}

struct Forward<'a> {
    norm: &'a Standardise,
    rows: usize,
    out: &'a mut [f32],
    scales: Option<&'a mut [f32]>,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self) {
        let Standardise { hidden, width, units, .. } = self.norm;
        let (count, units) = (*hidden as f32, &units[..*width]);
        for row in 0..self.rows {
            let out = &mut self.out[row * width..][..*width];
            let mut sum = V::splat(0.0);
            for unit in (0..*width).step_by(V::N) {
                sum = sum.add(V::load_at(out, unit));
            }
            let (mean, mut squares) = (V::splat(sum.sum() / count), V::splat(0.0));
            for unit in (0..*width).step_by(V::N) {
                let d = V::load_at(out, unit).sub(mean).mul(V::load_at(units, unit));
                d.store_at(out, unit);
                squares = d.mul_add(d, squares);
            }
            let scale = 1.0 / (squares.sum() / count + NORM_EPSILON).sqrt();
            for unit in (0..*width).step_by(V::N) {
                V::load_at(out, unit).mul(V::splat(scale)).store_at(out, unit);
            }
            if let Some(scales) = &mut self.scales {
                scales[row] = scale;
            }
        }
    }
}

struct Backward<'a> {
    norm: &'a Standardise,
    rows: usize,
    gradient: &'a mut [f32],
    normed: &'a [f32],
    scales: &'a [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    /// `dx = scale · (d − mean(d) − x̂ · mean(d x̂))`
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Standardise { hidden, width, units, .. } = self.norm;
        let (count, units) = (*hidden as f32, &units[..*width]);
        for row in 0..self.rows {
            let gradient = &mut self.gradient[row * width..][..*width];
            let x = &self.normed[row * width..][..*width];
            let (mut sum, mut dot) = (V::splat(0.0), V::splat(0.0));
            for unit in (0..*width).step_by(V::N) {
                let d = V::load_at(gradient, unit).mul(V::load_at(units, unit));
                sum = sum.add(d);
                dot = d.mul_add(V::load_at(x, unit), dot);
            }
            let (mean, dot) = (V::splat(sum.sum() / count), V::splat(dot.sum() / count));
            let scale = V::splat(self.scales[row]);
            for unit in (0..*width).step_by(V::N) {
                let centred = V::load_at(gradient, unit).sub(mean);
                let dx = V::load_at(x, unit).neg_mul_add(dot, centred).mul(scale);
                dx.mul(V::load_at(units, unit)).store_at(gradient, unit);
            }
        }
    }
}
