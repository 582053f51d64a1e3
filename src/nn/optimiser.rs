//! AdamW (Loshchilov and Hutter 2019): Adam with bias correction and decoupled weight decay, and
//! gradient clipping by the global norm. The moments can be saved and restored.

use crate::nn::error::check_length;
use crate::nn::{Blueprint, Error};

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// The state of an optimiser: its moments and the number of updates.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimiserState {
    step: u64,
    /// Moving means of the gradient and of its square, in the order of the weights' flat vector.
    first: Vec<f32>,
    second: Vec<f32>,
}

impl OptimiserState {
    pub(in crate::nn) fn fresh(parameters: usize) -> Self {
        Self { step: 0, first: vec![0.0; parameters], second: vec![0.0; parameters] }
    }

    /// # Errors
    /// [`Error::OptimiserState`] unless both moments have a value for every parameter,
    /// [`Error::NotFinite`] when one is not finite.
    pub fn try_new(
        blueprint: &Blueprint,
        step: u64,
        first: Vec<f32>,
        second: Vec<f32>,
    ) -> Result<Self, Error> {
        let expected = blueprint.parameter_count();
        for moment in [&first, &second] {
            if moment.len() != expected {
                return Err(Error::OptimiserState { expected, got: moment.len() });
            }
            if moment.iter().any(|v| !v.is_finite()) {
                return Err(Error::NotFinite("a moment of the optimiser"));
            }
        }
        Ok(Self { step, first, second })
    }

    /// The number of updates so far.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Moving mean of the gradient, `[parameter_count]`.
    pub fn first(&self) -> &[f32] {
        &self.first
    }

    /// Moving mean of the squared gradient, `[parameter_count]`.
    pub fn second(&self) -> &[f32] {
        &self.second
    }
}

pub(in crate::nn) struct AdamW {
    state: OptimiserState,
    /// `[parameter_count]`
    decays: Vec<bool>,
    pub learning_rate: f64,
    weight_decay: f64,
}

impl AdamW {
    /// Goes on from `state`, which has a value for every parameter.
    pub fn new(blueprint: &Blueprint, state: OptimiserState, learning_rate: f64, weight_decay: f64) -> Self {
        let mut decays = vec![false; state.first.len()];
        for p in blueprint.parameters() {
            decays[p.range].fill(p.role.learns());
        }
        Self { state, decays, learning_rate, weight_decay }
    }

    /// The moments and the number of updates.
    pub fn state(&self) -> &OptimiserState {
        &self.state
    }

    /// One update of `values` by `gradient`, both `[parameter_count]`.
    pub fn update(&mut self, values: &mut [f32], gradient: &[f32]) -> Result<(), Error> {
        check_length("the gradient", self.decays.len(), gradient.len())?;
        check_length("weights", self.decays.len(), values.len())?;
        let s = &mut self.state;
        s.step += 1;
        let steps = i32::try_from(s.step).unwrap_or(i32::MAX);
        let (correction1, correction2) = (1.0 - BETA1.powi(steps), 1.0 - BETA2.powi(steps));
        let rate = (self.learning_rate / correction1) as f32;
        let root = (1.0 / correction2.sqrt()) as f32;
        let keep = (1.0 - self.learning_rate * self.weight_decay).max(0.0) as f32;
        let moments = s.first.iter_mut().zip(&mut s.second);
        let rows = values.iter_mut().zip(gradient).zip(moments).zip(&self.decays);
        for (((w, g), (m, v)), decays) in rows {
            *m = BETA1 as f32 * *m + (1.0 - BETA1) as f32 * g;
            *v = BETA2 as f32 * *v + (1.0 - BETA2) as f32 * g * g;
            let kept = if *decays { *w * keep } else { *w };
            *w = kept - rate * *m / (v.sqrt() * root + EPSILON as f32);
        }
        Ok(())
    }
}

/// Scales the gradient down to `limit` when its Euclidean norm is above; returns the norm.
pub(in crate::nn) fn clip(gradient: &mut [f32], limit: f64) -> f64 {
    let norm = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
    if norm > limit {
        // As PyTorch's clip_grad_norm_.
        let scale = (limit / (norm + 1e-6)) as f32;
        gradient.iter_mut().for_each(|g| *g *= scale);
    }
    norm
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Cell, Norm};

    fn blueprint() -> Blueprint {
        Blueprint::try_new(Cell::Gru, Norm::None, 1, 1, 1, 1).unwrap()
    }

    #[test]
    fn agrees_with_the_equations_in_double_precision() {
        let b = blueprint();
        let n = b.parameter_count();
        let mut adam = AdamW::new(&b, OptimiserState::fresh(n), 0.1, 0.5);
        let (mut values, mut exact) = (vec![1.0f32; n], vec![1.0f64; n]);
        let (mut m, mut v) = (vec![0.0f64; n], vec![0.0f64; n]);
        let decays: Vec<bool> =
            b.parameters().iter().flat_map(|p| p.range.clone().map(|_| p.role.learns())).collect();
        for step in 1..=20 {
            let gradient: Vec<f32> = (0..n).map(|i| ((i * 7 + step * 3) % 11) as f32 - 5.0).collect();
            adam.update(&mut values, &gradient).unwrap();
            for i in 0..n {
                let g = f64::from(gradient[i]);
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.999 * v[i] + 0.001 * g * g;
                if decays[i] {
                    exact[i] -= 0.1 * 0.5 * exact[i];
                }
                let (mh, vh) =
                    (m[i] / (1.0 - 0.9f64.powi(step as i32)), v[i] / (1.0 - 0.999f64.powi(step as i32)));
                exact[i] -= 0.1 * mh / (vh.sqrt() + 1e-8);
            }
        }
        assert_eq!(adam.state().step(), 20);
        for (a, e) in values.iter().zip(&exact) {
            assert!((f64::from(*a) - e).abs() < 1e-5, "{a} {e}");
        }
    }

    #[test]
    fn clips_to_the_limit_and_only_above_it() {
        let mut g = vec![3.0, 4.0];
        assert_eq!(clip(&mut g, 10.0), 5.0);
        assert_eq!(g, [3.0, 4.0]);
        clip(&mut g, 1.0);
        assert!((g[0] - 0.6).abs() < 1e-6 && (g[1] - 0.8).abs() < 1e-6);
    }

    #[test]
    fn refuses_moments_of_another_network() {
        let n = blueprint().parameter_count();
        assert!(OptimiserState::try_new(&blueprint(), 1, vec![0.0; n], vec![0.0; n - 1]).is_err());
        assert!(OptimiserState::try_new(&blueprint(), 1, vec![f32::NAN; n], vec![0.0; n]).is_err());
    }
}
