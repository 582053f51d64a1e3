use super::super::pooled_mean::inherited_weights;
use crate::domain::{Damaged, Take, put};

/// The factor by which sums fade at each publication.
const DISCOUNT: f64 = 0.9;
/// Regrets are limited to this.
const REGRET_MAX: f64 = 20.0;
/// The unit of the sums of regrets, which are integers: so their sum does not depend on the order of
/// series.
const FINE: f64 = (1 << 30) as f64;

/// The weights of the young series of a stream: ML-Poly on the regrets of all of them, as if they were
/// one series. A track of forty readings would otherwise never get beyond the mean of its experts.
///
/// New regrets count from the next publication on, whose moment the owner chooses. So the weights depend
/// on readings only, not on their batches.
#[derive(Clone, Debug)]
pub(super) struct YoungWeights {
    targets: Vec<TargetWeights>,
}

/// A sum of regrets and one of their squares, for each expert and learnt lead.
type Sums = Vec<[f64; 2]>;

#[derive(Clone, Debug)]
struct TargetWeights {
    /// Sums since the last publication, in units of `1 / FINE`. `[experts, width]`
    fresh: Vec<[i64; 2]>,
    sums: Sums,
    /// The largest squared regret. `[width]`
    largest: Vec<f64>,
    /// `[experts, width]`
    weights: Vec<f32>,
    is_known: bool,
}

impl YoungWeights {
    /// `width`: the learnt leads, padded.
    pub fn new(targets: usize, experts: usize, width: usize) -> Self {
        let n = experts * width;
        let target = TargetWeights {
            fresh: vec![[0; 2]; n],
            sums: vec![[0.0; 2]; n],
            largest: vec![0.0; width],
            weights: vec![0.0; n],
            is_known: false,
        };
        Self { targets: vec![target; targets] }
    }

    /// Learns from the forecasts of `value`, a reading of a young series. `unit`: its deviation; `said`:
    /// `[experts, leads]`; `mixed`: `[leads]`
    pub fn learn(&mut self, target: usize, value: f32, unit: f32, said: &[f32], mixed: &[f32]) {
        let target = &mut self.targets[target];
        let (n, width) = (mixed.len(), target.largest.len());
        if !(unit > 0.0 && unit.is_finite()) {
            return;
        }
        for (lead, mixture) in mixed.iter().enumerate().filter(|(_, m)| m.is_finite()) {
            let error = mixture - value;
            let direction = if error == 0.0 { 0.0 } else { f64::from(error.signum()) / f64::from(unit) };
            for (expert, said) in said.chunks_exact(n).enumerate().filter(|(_, said)| said[lead].is_finite())
            {
                let regret = f64::from(mixture - said[lead]) * direction;
                let regret = regret.clamp(-REGRET_MAX, REGRET_MAX);
                let [sum, squares] = &mut target.fresh[expert * width + lead];
                *sum += (regret * FINE) as i64;
                *squares += (regret * regret * FINE) as i64;
                target.largest[lead] = target.largest[lead].max(regret * regret);
            }
        }
    }

    /// Takes in what was learnt since the last call. A lead without any regret gets the weights of
    /// `beginning`.
    pub fn publish(&mut self, beginning: &[f32]) {
        for target in &mut self.targets {
            let width = target.largest.len();
            target.is_known |= target.fresh.iter().any(|[_, squares]| *squares > 0);
            for (sums, fresh) in target.sums.iter_mut().zip(&mut target.fresh) {
                let [sum, squares] = std::mem::take(fresh).map(|fine| fine as f64 / FINE);
                *sums = [DISCOUNT * sums[0] + sum, DISCOUNT * sums[1] + squares];
            }
            for lead in 0..width {
                let largest = target.largest[lead];
                let weight = |[sum, squares]: &[f64; 2]| sum.max(0.0) / (squares + largest).max(1e-30);
                let of_lead = |of: &mut Vec<f32>, to: &dyn Fn(usize) -> f32| {
                    (lead..of.len()).step_by(width).for_each(|i| of[i] = to(i));
                };
                let total: f64 = target.sums[lead..].iter().step_by(width).map(weight).sum();
                match total > 0.0 {
                    true => of_lead(&mut target.weights, &|i| (weight(&target.sums[i]) / total) as f32),
                    false => of_lead(&mut target.weights, &|i| beginning[i]),
                }
            }
        }
    }

    /// The weights of a young series, once anything is known. `[experts, width]`
    pub fn weights(&self, target: usize) -> Option<&[f32]> {
        let target = &self.targets[target];
        target.is_known.then_some(&target.weights)
    }

    /// Takes over what was learnt for other experts. `from`: the index of each expert there.
    pub fn inherit(&mut self, other: Self, from: &[Option<usize>], beginning: &[f32]) {
        for (target, was) in self.targets.iter_mut().zip(other.targets) {
            let width = was.largest.len();
            for (expert, at) in from.iter().enumerate().filter_map(|(e, at)| at.map(|at| (e, at))) {
                let (to, at) = (expert * width, at * width);
                target.fresh[to..][..width].copy_from_slice(&was.fresh[at..][..width]);
                target.sums[to..][..width].copy_from_slice(&was.sums[at..][..width]);
            }
            target.weights = inherited_weights(&was.weights, from, beginning);
            target.largest = was.largest;
            target.is_known = was.is_known;
        }
    }

    pub fn save(&self, out: &mut Vec<u8>) {
        for target in &self.targets {
            put(out, &target.fresh);
            put(out, &target.sums);
            put(out, &target.largest);
            put(out, &target.weights);
            put(out, &[u8::from(target.is_known)]);
        }
    }

    pub fn load(&mut self, from: &mut Take<'_>) -> Result<(), Damaged> {
        for target in &mut self.targets {
            from.fill(&mut target.fresh)?;
            from.fill(&mut target.sums)?;
            from.fill(&mut target.largest)?;
            from.fill(&mut target.weights)?;
            target.is_known = from.one::<u8>()? != 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lead at which one expert is always right, and one at which the other is.
    #[test]
    fn a_young_series_trusts_the_expert_that_was_right_for_others() {
        let mut young = YoungWeights::new(1, 2, 8);
        let beginning = vec![0.5; 16];
        young.publish(&beginning);
        assert!(young.weights(0).is_none());
        for i in 0..40 {
            let value = if i % 2 == 0 { 1.0 } else { -2.0 };
            young.learn(
                0,
                value,
                2.0,
                &[value, value + 1.0, value + 1.0, value],
                &[value + 0.5, value + 0.5],
            );
        }
        assert!(young.weights(0).is_none(), "not before the publication");
        young.publish(&beginning);
        let weights = young.weights(0).unwrap();
        assert_eq!((weights[0], weights[8], weights[1], weights[9]), (1.0, 0.0, 0.0, 1.0));
        assert_eq!((weights[2], weights[10]), (0.5, 0.5), "a lead without forecasts");
        let mut saved = Vec::new();
        young.save(&mut saved);
        let mut loaded = YoungWeights::new(1, 2, 8);
        loaded.load(&mut Take::new(&saved)).unwrap();
        assert_eq!(loaded.weights(0), young.weights(0));
    }
}
