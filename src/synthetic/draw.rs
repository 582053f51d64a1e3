//! Counter-based randomness: a draw depends on seed, owner, purpose and step, and not on other draws.

use crate::domain::Level;

/// The increment and the finaliser of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable
/// pseudorandom number generators").
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The purpose of a draw. Each has its own numbers.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    Innovation,
    Amplitude,
    Shift,
    ShiftSize,
    Spike,
    SpikeSize,
    Spell,
    SpellLength,
    Duplicate,
    Late,
    Lateness,
    Jitter,
    Weather,
    Event,
    Trait,
}

/// All draws of one owner: a series, a site, the fleet.
#[derive(Clone, Copy, Debug)]
pub struct Draws(u64);

impl Draws {
    pub fn new(seed: u64, owner: u64) -> Self {
        Self(mix(mix(seed.wrapping_add(GOLDEN)) ^ mix(owner.wrapping_mul(GOLDEN).wrapping_add(1))))
    }

    /// Uniform in (0, 1).
    pub fn uniform(self, purpose: Purpose, step: u64) -> f64 {
        let counter = step.wrapping_mul(16).wrapping_add(purpose as u64 + 1);
        let bits = mix(self.0.wrapping_add(counter.wrapping_mul(GOLDEN)));
        ((bits >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Uniform between two ends.
    pub fn between(self, purpose: Purpose, step: u64, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform(purpose, step)
    }

    /// Whether an event of this probability happens.
    pub fn happens(self, purpose: Purpose, step: u64, probability: f64) -> bool {
        probability > 0.0 && self.uniform(purpose, step) < probability
    }

    /// Standard normal.
    pub fn normal(self, purpose: Purpose, step: u64) -> f64 {
        Level::try_new(self.uniform(purpose, step)).expect("strictly between 0 and 1").normal_quantile()
    }

    /// Student's t of 4 degrees of freedom, scaled to a deviation of 1 (its quantile in closed form:
    /// Shaw 2006, "Sampling Student's T distribution – use of the inverse cumulative distribution
    /// function").
    pub fn heavy(self, purpose: Purpose, step: u64) -> f64 {
        let u = self.uniform(purpose, step);
        let a = 4.0 * u * (1.0 - u);
        let q = (a.sqrt().acos() / 3.0).cos() / a.sqrt();
        (u - 0.5).signum() * (2.0 * (q - 1.0).max(0.0)).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(draw: impl Fn(u64) -> f64) -> (f64, f64, f64) {
        let n = 200_000u64;
        let values: Vec<f64> = (0..n).map(draw).collect();
        let mean = values.iter().sum::<f64>() / n as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
        let lag = values.windows(2).map(|w| (w[0] - mean) * (w[1] - mean)).sum::<f64>() / n as f64;
        (mean, variance, lag / variance)
    }

    #[test]
    fn draws_have_their_distribution_and_no_memory() {
        let draws = Draws::new(7, 3);
        for (draw, want) in [
            (moments(|t| draws.uniform(Purpose::Spike, t)), (0.5, 1.0 / 12.0)),
            (moments(|t| draws.normal(Purpose::Innovation, t)), (0.0, 1.0)),
            (moments(|t| draws.heavy(Purpose::Innovation, t)), (0.0, 1.0)),
        ] {
            let (mean, variance, lag) = draw;
            assert!((mean - want.0).abs() < 0.01, "{draw:?}");
            assert!((variance / want.1 - 1.0).abs() < 0.05, "{draw:?}");
            assert!(lag.abs() < 0.01, "{draw:?}");
        }
        // The 99.5th percentile of t4 is 4.604, here over its deviation √2.
        let beyond = (0..200_000).filter(|t| draws.heavy(Purpose::Innovation, *t) > 4.604 / 2f64.sqrt());
        let share = beyond.count() as f64 / 200_000.0;
        assert!((share - 0.005).abs() < 0.0008, "{share}");
    }

    #[test]
    fn owners_purposes_and_steps_are_strangers() {
        let (one, other) = (Draws::new(1, 0), Draws::new(1, 1));
        let correlation = |a: &dyn Fn(u64) -> f64, b: &dyn Fn(u64) -> f64| {
            (0..100_000u64).map(|t| a(t) * b(t)).sum::<f64>() / 100_000.0
        };
        let draw = |draws: Draws, purpose| move |t: u64| draws.normal(purpose, t);
        for (a, b) in [
            (draw(one, Purpose::Innovation), draw(other, Purpose::Innovation)),
            (draw(one, Purpose::Innovation), draw(one, Purpose::Amplitude)),
            (draw(one, Purpose::Innovation), draw(Draws::new(2, 0), Purpose::Innovation)),
        ] {
            assert!(correlation(&a, &b).abs() < 0.015);
        }
    }
}
