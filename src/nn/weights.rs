//! A network's parameters. They are immutable and share no storage with weights in training.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::error::check_length;
use super::{Blueprint, Error, Role};

/// All parameters of a network, one flat vector in the order of [`Blueprint::parameters`].
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    blueprint: Blueprint,
    values: Vec<f32>,
}

impl Weights {
    /// Fresh weights: orthogonal recurrent matrices per gate (Saxe et al. 2014), uniform Glorot
    /// input matrices and convolutions (Glorot and Bengio 2010), bias 1 on the gate that keeps (an
    /// LSTM's `f`, Jozefowicz et al. 2015; a GRU's `z` likewise), gains 1, and a head of zeros, so
    /// that an untrained network corrects nothing.
    pub fn initial(blueprint: &Blueprint, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut values = vec![0.0; blueprint.parameter_count()];
        for p in blueprint.parameters() {
            let out = &mut values[p.range];
            match p.role {
                Role::Input { stacked } => {
                    let fan_in: usize = p.shape[1..].iter().product();
                    let limit = (6.0 / (fan_in + p.shape[0] / stacked) as f32).sqrt();
                    out.fill_with(|| rng.random_range(-limit..limit));
                }
                Role::Recurrent => {
                    let n = p.shape[1];
                    out.chunks_exact_mut(n * n).for_each(|gate| orthogonal(gate, n, &mut rng));
                }
                Role::KeepingBias { hidden } => out[hidden..2 * hidden].fill(1.0),
                Role::Gain | Role::RunningVariance => out.fill(1.0),
                Role::Bias | Role::Head | Role::RunningMean => {}
            }
        }
        Self { blueprint: *blueprint, values }
    }

    /// From the flat vector.
    ///
    /// # Errors
    /// [`Error::Length`] when the count is not the blueprint's, [`Error::NotFinite`] when a value
    /// is not finite, or a variance is negative.
    pub fn try_new(blueprint: Blueprint, values: Vec<f32>) -> Result<Self, Error> {
        check_length("weights", blueprint.parameter_count(), values.len())?;
        if values.iter().any(|v| !v.is_finite()) {
            return Err(Error::NotFinite("a weight"));
        }
        let variances = blueprint.parameters().into_iter().filter(|p| p.role == Role::RunningVariance);
        if variances.into_iter().any(|p| values[p.range].iter().any(|v| *v < 0.0)) {
            return Err(Error::NotFinite("the deviation of a batch norm"));
        }
        Ok(Self { blueprint, values })
    }

    /// The shape of its network.
    pub fn blueprint(&self) -> &Blueprint {
        &self.blueprint
    }

    /// The flat vector, `[parameter_count]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// One tensor by its name, row-major, shape in [`Blueprint::parameters`].
    pub fn tensor(&self, name: &str) -> Option<&[f32]> {
        let p = self.blueprint.parameters().into_iter().find(|p| p.name == name)?;
        Some(&self.values[p.range])
    }
}

/// Fills the `[n, n]` matrix with a random orthogonal one: modified Gram-Schmidt, twice, on rows
/// that are normally distributed.
fn orthogonal(out: &mut [f32], n: usize, rng: &mut ChaCha8Rng) {
    let mut rows: Vec<f64> = Vec::with_capacity(n * n);
    for r in 0..n {
        loop {
            let mut row: Vec<f64> = (0..n).map(|_| normal(rng)).collect();
            for _ in 0..2 {
                for q in rows[..r * n].chunks_exact(n) {
                    let dot: f64 = row.iter().zip(q).map(|(a, b)| a * b).sum();
                    row.iter_mut().zip(q).for_each(|(a, b)| *a -= dot * b);
                }
            }
            let norm = row.iter().map(|a| a * a).sum::<f64>().sqrt();
            if norm > 1e-6 {
                rows.extend(row.iter().map(|a| a / norm));
                break;
            }
        }
    }
    out.iter_mut().zip(rows).for_each(|(o, v)| *o = v as f32);
}

/// A standard normal draw (Box and Muller).
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// Weights that all differ, and are small enough that a rectified network doesn't explode.
#[cfg(test)]
pub(super) fn waves(b: &Blueprint) -> Weights {
    let mut values = vec![0.0; b.parameter_count()];
    for p in b.parameters() {
        let size = 1.0 / (*p.shape.last().expect("a shape") as f32).sqrt();
        let above = if p.role == Role::RunningVariance { 1.5 } else { 0.0 };
        let of = |i: usize| above + size * ((p.range.start + i) as f32 * 1.3).sin();
        values[p.range.clone()].iter_mut().enumerate().for_each(|(i, v)| *v = of(i));
    }
    Weights { blueprint: *b, values }
}

#[cfg(test)]
mod tests {
    use super::super::{Cell, Norm};
    use super::*;

    #[test]
    fn initial_weights_are_what_they_promise() {
        let b = Blueprint::try_new(Cell::Lstm, Norm::Layer, 3, 8, 1, 2).unwrap();
        let w = Weights::initial(&b, 7);
        assert_eq!(w, Weights::initial(&b, 7));
        assert_ne!(w, Weights::initial(&b, 8));
        let gate = &w.tensor("weight_hh_l0").unwrap()[..64];
        for i in 0..8 {
            for j in 0..8 {
                let dot: f32 = (0..8).map(|k| gate[i * 8 + k] * gate[j * 8 + k]).sum();
                assert!((dot - if i == j { 1.0 } else { 0.0 }).abs() < 1e-5);
            }
        }
        assert_eq!(
            &w.tensor("bias_ih_l0").unwrap()[6..18],
            &[0., 0., 1., 1., 1., 1., 1., 1., 1., 1., 0., 0.]
        );
        assert!(w.tensor("head.weight").unwrap().iter().all(|v| *v == 0.0));
        assert!(w.tensor("norm_c_l0").unwrap().iter().all(|v| *v == 1.0));
    }
}
