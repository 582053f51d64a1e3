//! Powers of 2, `sigmoid`, `tanh` and the activations of vectors.

use crate::nn::Activation;
use crate::simd::Vector;

/// The factor of a sum `x` for which [`power`] gives `e⁻ˣ`, or `e⁻²ˣ`.
pub(super) const SIGMOID: f32 = -std::f32::consts::LOG2_E;
pub(super) const TANH: f32 = -2.0 * std::f32::consts::LOG2_E;

/// Beyond ±30, `1 + 2ʸ` rounds to 1 or `2ʸ`. Within, products of several powers are far from
/// overflow.
const POWER_MAX: f32 = 30.0;

/// 1.5 · 2²³: a small number loses its fraction when this is added.
const WHOLE: f32 = 12_582_912.0;

/// `2ʸ` within a relative error of 3e-7; `y` is clamped to ±30. The whole part goes to the
/// exponent. For the rest there is a polynomial of degree 5: the minimax of the relative error on
/// ±½ among those that are exact at 0.
#[inline(always)]
pub(super) fn power<V: Vector>(y: V) -> V {
    let y = y.clamp(-POWER_MAX, POWER_MAX);
    let whole = y.add(V::splat(WHOLE));
    let r = y.sub(whole.sub(V::splat(WHOLE)));
    let mut p = V::splat(1.330_060_5e-3);
    p = p.mul_add(r, V::splat(9.669_691e-3));
    p = p.mul_add(r, V::splat(5.550_558_5e-2));
    p = p.mul_add(r, V::splat(0.240_222_83));
    p = p.mul_add(r, V::splat(std::f32::consts::LN_2));
    p.mul_add(r, V::splat(1.0)).times_power(whole)
}

/// `1 / (1 + e⁻ˣ)` within 2e-7.
#[inline(always)]
pub(super) fn sigmoid<V: Vector>(x: V) -> V {
    sigmoid_of(power(x.mul(V::splat(SIGMOID))))
}

/// `tanh x` within 2e-7.
#[inline(always)]
pub(super) fn tanh<V: Vector>(x: V) -> V {
    tanh_of(power(x.mul(V::splat(TANH))))
}

/// The sigmoid of `x`, given `e⁻ˣ`.
#[inline(always)]
pub(super) fn sigmoid_of<V: Vector>(e: V) -> V {
    V::splat(1.0).div(e.add(V::splat(1.0)))
}

/// The tanh of `x`, given `e⁻²ˣ`.
#[inline(always)]
pub(super) fn tanh_of<V: Vector>(e: V) -> V {
    let one = V::splat(1.0);
    one.sub(e).div(e.add(one))
}

/// `σ(x) tanh(c) = (1 − e⁻²ᶜ) / ((1 + e⁻ˣ)(1 + e⁻²ᶜ))`, given `e⁻ˣ` and `e⁻²ᶜ`, with one division.
#[inline(always)]
pub(super) fn gated<V: Vector>(x: V, c: V) -> V {
    let one = V::splat(1.0);
    one.sub(c).div(x.add(one).mul(c.add(one)))
}

/// The activation of a sum.
#[inline(always)]
pub(super) fn activate<V: Vector>(activation: Activation, x: V) -> V {
    match activation {
        Activation::None => x,
        Activation::Tanh => tanh(x),
        Activation::Relu => x.clamp(0.0, Activation::RELU_MAX),
        Activation::Sigmoid => sigmoid(x),
    }
}

/// The derivative of an activation, from its result `y`.
#[inline(always)]
pub(super) fn slope<V: Vector>(activation: Activation, y: V) -> V {
    match activation {
        Activation::None => V::splat(1.0),
        Activation::Tanh => y.neg_mul_add(y, V::splat(1.0)),
        Activation::Relu => y.inside(0.0, Activation::RELU_MAX),
        Activation::Sigmoid => y.neg_mul_add(y, y),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Isa, Kernel};

    struct Each<'a>(&'a [f32], [&'a mut [f32]; 3]);

    impl Kernel for Each<'_> {
        type Output = ();

        #[inline(always)]
        fn run<V: Vector>(self) {
            for at in (0..self.0.len()).step_by(V::N) {
                let x = V::load_at(self.0, at);
                power(x).store_at(self.1[0], at);
                sigmoid(x).store_at(self.1[1], at);
                tanh(x).store_at(self.1[2], at);
            }
        }
    }

    #[test]
    fn close_to_double_precision_on_every_instruction_set() {
        let n = 1 << 20;
        let wide = (0..n).map(|i| -30.0 + 60.0 * i as f32 / n as f32);
        let narrow = (0..n).map(|i| -4.0 + 8.0 * i as f32 / n as f32);
        let x: Vec<f32> = wide.chain(narrow).collect();
        for isa in Isa::available() {
            let mut y = vec![vec![0.0f32; x.len()]; 3];
            let [p, s, t] = y.get_disjoint_mut([0, 1, 2]).unwrap();
            isa.run(Each(&x, [p, s, t]));
            let worst = |f: &dyn Fn(usize, f64) -> f64| {
                x.iter().enumerate().map(|(i, x)| f(i, f64::from(*x))).fold(0.0f64, f64::max)
            };
            let power = worst(&|i, x| (f64::from(y[0][i]) / x.exp2() - 1.0).abs());
            let sigmoid = worst(&|i, x| (f64::from(y[1][i]) - 1.0 / (1.0 + (-x).exp())).abs());
            let tanh = worst(&|i, x| (f64::from(y[2][i]) - x.tanh()).abs());
            println!("{isa:?}: power {power:.2e} relative, sigmoid {sigmoid:.2e}, tanh {tanh:.2e}");
            assert!(power <= 3e-7 && sigmoid <= 2e-7 && tanh <= 2e-7);
        }
    }

    #[test]
    fn what_is_not_finite_stays_in_range() {
        let mut x = vec![0.0f32; 16];
        x[..3].copy_from_slice(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
        for isa in Isa::available() {
            let mut y = vec![vec![0.0f32; 16]; 3];
            let [e, s, t] = y.get_disjoint_mut([0, 1, 2]).unwrap();
            isa.run(Each(&x, [e, s, t]));
            assert!(y.iter().flatten().all(|v| v.is_finite()), "{isa:?}: {y:?}");
        }
    }
}
