//! `exp`, `sigmoid`, `tanh` and the activations on a register.

use super::lanes::Lanes;
use crate::nn::Activation;

/// `eˣ` within 3e-7 of its size; `x` is held within −87..=88, where a float holds the result.
/// Range reduction by `ln 2` in two parts and the polynomial of Cephes' `expf`.
#[inline(always)]
pub(super) unsafe fn exp<V: Lanes>(x: V) -> V {
    unsafe {
        let x = x.clamp(-87.0, 88.0);
        let k = x.mul(V::splat(std::f32::consts::LOG2_E)).round();
        let r = k.neg_mul_add(V::splat(355.0 / 512.0), x);
        let r = k.mul_add(V::splat(2.121_944_4e-4), r);
        let mut p = V::splat(1.987_569_1e-4);
        p = p.mul_add(r, V::splat(1.398_199_9e-3));
        p = p.mul_add(r, V::splat(8.333_452e-3));
        p = p.mul_add(r, V::splat(4.166_579_6e-2));
        p = p.mul_add(r, V::splat(1.666_666_5e-1));
        p = p.mul_add(r, V::splat(0.5));
        p.mul_add(r.mul(r), r).add(V::splat(1.0)).scale(k)
    }
}

/// `1 / (1 + e⁻ˣ)` within 2e-7.
#[inline(always)]
pub(super) unsafe fn sigmoid<V: Lanes>(x: V) -> V {
    unsafe { exp(V::splat(0.0).sub(x)).add(V::splat(1.0)).reciprocal() }
}

/// `tanh x` within 2e-7: `(1 − t) / (1 + t)` with `t = e^(−2|x|)`, and the sign of `x`.
#[inline(always)]
pub(super) unsafe fn tanh<V: Lanes>(x: V) -> V {
    unsafe {
        let t = exp(x.neg_abs().mul(V::splat(2.0)));
        let one = V::splat(1.0);
        one.sub(t).mul(t.add(one).reciprocal()).with_sign(x)
    }
}

/// The activation of a sum.
#[inline(always)]
pub(super) unsafe fn activate<V: Lanes>(activation: Activation, x: V) -> V {
    unsafe {
        match activation {
            Activation::None => x,
            Activation::Tanh => tanh(x),
            Activation::Relu => x.clamp(0.0, Activation::RELU_MAX),
            Activation::Sigmoid => sigmoid(x),
        }
    }
}

/// The derivative of an activation, from what it gave.
#[inline(always)]
pub(super) unsafe fn slope<V: Lanes>(activation: Activation, y: V) -> V {
    unsafe {
        match activation {
            Activation::None => V::splat(1.0),
            Activation::Tanh => y.neg_mul_add(y, V::splat(1.0)),
            Activation::Relu => y.inside(0.0, Activation::RELU_MAX),
            Activation::Sigmoid => y.neg_mul_add(y, y),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Isa, Kernel};
    use super::*;

    struct Each<'a>(&'a [f32], [&'a mut [f32]; 3]);

    impl Kernel for Each<'_> {
        type Output = ();

        #[inline(always)]
        unsafe fn run<V: Lanes>(self) {
            for at in (0..self.0.len()).step_by(V::N) {
                unsafe {
                    let x = V::load(self.0[at..at + V::N].as_ptr());
                    exp(x).store(self.1[0][at..at + V::N].as_mut_ptr());
                    sigmoid(x).store(self.1[1][at..at + V::N].as_mut_ptr());
                    tanh(x).store(self.1[2][at..at + V::N].as_mut_ptr());
                }
            }
        }
    }

    #[test]
    fn close_to_double_precision_on_every_instruction_set() {
        let n = 1 << 20;
        let wide = (0..n).map(|i| -87.0 + 174.0 * i as f32 / n as f32);
        let narrow = (0..n).map(|i| -4.0 + 8.0 * i as f32 / n as f32);
        let x: Vec<f32> = wide.chain(narrow).collect();
        for isa in Isa::available() {
            let mut y = vec![vec![0.0f32; x.len()]; 3];
            let [e, s, t] = y.get_disjoint_mut([0, 1, 2]).unwrap();
            isa.run(Each(&x, [e, s, t]));
            let worst = |f: &dyn Fn(usize, f64) -> f64| {
                x.iter().enumerate().map(|(i, x)| f(i, f64::from(*x))).fold(0.0f64, f64::max)
            };
            let exp = worst(&|i, x| (f64::from(y[0][i]) / x.exp() - 1.0).abs());
            let sigmoid = worst(&|i, x| (f64::from(y[1][i]) - 1.0 / (1.0 + (-x).exp())).abs());
            let tanh = worst(&|i, x| (f64::from(y[2][i]) - x.tanh()).abs());
            println!("{isa:?}: exp {exp:.2e} relative, sigmoid {sigmoid:.2e}, tanh {tanh:.2e}");
            assert!(exp <= 3e-7 && sigmoid <= 2e-7 && tanh <= 2e-7);
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
