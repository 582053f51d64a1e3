//! The oracle's gradients are finite differences', and the fused kernels' are the oracle's.

mod oracle;

use oracle::Oracle;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidecast::nn::{Blueprint, Cell, Chunk, Dropout, Loss, Norm, Trainer, TrainerSettings, Weights};

const SETTINGS: TrainerSettings = TrainerSettings {
    learning_rate: 1e-3,
    weight_decay: 0.0,
    clip_norm: 1e6,
    dropout: Dropout::NONE,
    seed: 5,
    loss: Loss::Squared,
};

/// A network with random weights and a chunk of random data for it.
struct Sample {
    blueprint: Blueprint,
    batch: usize,
    steps: usize,
    weights: Vec<f32>,
    x: Vec<f32>,
    targets: Vec<f32>,
    mask: Vec<f32>,
    state: Vec<f32>,
}

impl Sample {
    fn new(blueprint: Blueprint, batch: usize, steps: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut draw =
            |n: usize, size: f32| -> Vec<f32> { (0..n).map(|_| rng.random_range(-size..size)).collect() };
        let outputs = batch * steps * blueprint.outputs();
        Self {
            blueprint,
            batch,
            steps,
            weights: draw(blueprint.parameter_count(), 0.7),
            x: draw(batch * steps * blueprint.inputs(), 1.5),
            targets: draw(outputs, 1.0),
            mask: draw(outputs, 1.0).iter().map(|v| f32::from(*v > -0.5)).collect(),
            state: draw(batch * blueprint.row_width(), 0.8),
        }
    }

    fn chunk(&self) -> Chunk<'_> {
        Chunk {
            batch: self.batch,
            burn_in: 0,
            steps: self.steps,
            x: &self.x,
            targets: &self.targets,
            mask: &self.mask,
            state: Some(&self.state),
        }
    }

    fn trainer(&self, settings: TrainerSettings) -> Trainer {
        let weights = Weights::try_new(self.blueprint, self.weights.clone()).unwrap();
        Trainer::new(&weights, None, settings).unwrap()
    }

    /// The oracle's loss and gradient for these weights.
    fn oracle(&self, weights: &[f64]) -> (f64, Vec<f64>) {
        let oracle = Oracle::new(self.blueprint, weights);
        let state = oracle.state(&wide(&self.state), self.batch);
        let data = [&wide(&self.x)[..], &wide(&self.targets), &wide(&self.mask)];
        let loss = oracle.loss((self.batch, self.steps), data, &state).unwrap();
        (loss.to_scalar().unwrap(), oracle.gradient(&loss))
    }
}

fn wide(v: &[f32]) -> Vec<f64> {
    v.iter().map(|v| f64::from(*v)).collect()
}

fn shapes(inputs: usize, hidden: usize, outputs: usize) -> impl Iterator<Item = Blueprint> {
    [Cell::Lstm, Cell::Gru].into_iter().flat_map(move |cell| {
        [Norm::None, Norm::Layer].into_iter().flat_map(move |norm| {
            (1..=2)
                .map(move |layers| Blueprint::try_new(cell, norm, inputs, hidden, layers, outputs).unwrap())
        })
    })
}

#[test]
fn the_oracles_gradients_are_finite_differences() {
    for (seed, b) in shapes(2, 3, 2).enumerate() {
        let sample = Sample::new(b, 2, 4, seed as u64);
        let weights = wide(&sample.weights);
        let (_, gradient) = sample.oracle(&weights);
        for at in 0..weights.len() {
            let shifted = |by: f64| {
                let mut weights = weights.clone();
                weights[at] += by;
                sample.oracle(&weights).0
            };
            let difference = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
            let error = (difference - gradient[at]).abs();
            assert!(error < 1e-7 * (1.0 + difference.abs()), "{b:?} {at}: {difference} {}", gradient[at]);
        }
    }
}

#[test]
fn the_fused_gradients_are_the_oracles() {
    // Widths below, at and across those of registers; batches across those of row groups.
    for (hidden, batch) in [(3, 1), (16, 7), (20, 13), (37, 5)] {
        for (seed, b) in shapes(3, hidden, 5).enumerate() {
            let sample = Sample::new(b, batch, 9, 100 + seed as u64);
            let (loss, exact) = sample.oracle(&wide(&sample.weights));
            let (ours, gradient) = sample.trainer(SETTINGS).gradient(&sample.chunk()).unwrap();
            assert!((f64::from(ours) - loss).abs() < 1e-5 * (1.0 + loss), "{b:?}: {ours} {loss}");
            let size = exact.iter().map(|g| g * g).sum::<f64>().sqrt();
            for p in b.parameters() {
                for at in p.range {
                    let error = (f64::from(gradient[at]) - exact[at]).abs();
                    assert!(error < 1e-5 * (1.0 + size), "{b:?} {}: {} {}", p.name, gradient[at], exact[at]);
                }
            }
        }
    }
}

#[test]
fn with_dropout_the_gradient_is_still_that_of_the_loss_it_reports() {
    // The same seed draws the same masks, so the loss is a function of the weights alone.
    let dropout = Dropout { input: 0.3, recurrent: 0.3, between: 0.3 };
    for (seed, b) in shapes(4, 11, 3).enumerate() {
        let sample = Sample::new(b, 6, 5, 200 + seed as u64);
        let loss_at = |weights: &[f32]| {
            let weights = Weights::try_new(b, weights.to_vec()).unwrap();
            let mut trainer = Trainer::new(&weights, None, TrainerSettings { dropout, ..SETTINGS }).unwrap();
            trainer.gradient(&sample.chunk()).unwrap()
        };
        let (_, gradient) = loss_at(&sample.weights);
        let size = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
        let along = |by: f32| -> f64 {
            let shifted: Vec<f32> =
                sample.weights.iter().zip(&gradient).map(|(w, g)| w + by * g / size).collect();
            f64::from(loss_at(&shifted).0)
        };
        let difference = (along(1e-2) - along(-1e-2)) / 2e-2;
        let error = (difference - f64::from(size)).abs();
        assert!(error < 5e-3 * (1.0 + f64::from(size)), "{b:?}: {difference} {size}");
    }
}

#[test]
fn truncation_stops_the_gradient_and_burn_in_only_warms() {
    for (seed, b) in shapes(3, 8, 2).enumerate() {
        let sample = Sample::new(b, 3, 10, 300 + seed as u64);
        let (burn_in, steps, o) = (6, 4, b.outputs());
        let late = |v: &[f32], width: usize| -> Vec<f32> {
            v.chunks_exact(10 * width).flat_map(|row| row[burn_in * width..].to_vec()).collect()
        };
        let early = |v: &[f32], width: usize| -> Vec<f32> {
            v.chunks_exact(10 * width).flat_map(|row| row[..burn_in * width].to_vec()).collect()
        };
        let (targets, mask) = (late(&sample.targets, o), late(&sample.mask, o));
        let whole = Chunk { burn_in, steps, targets: &targets, mask: &mask, ..sample.chunk() };
        let (loss, gradient) = sample.trainer(SETTINGS).gradient(&whole).unwrap();

        // The oracle warms up first and then starts again from detached states.
        let oracle = Oracle::new(b, &wide(&sample.weights));
        let start = oracle.state(&wide(&sample.state), 3);
        let x = candle_core::Tensor::from_slice(
            &wide(&early(&sample.x, 3)),
            (3, burn_in, 3),
            &candle_core::Device::Cpu,
        )
        .unwrap();
        let (_, warm) = oracle.forward(&x.transpose(0, 1).unwrap().contiguous().unwrap(), &start).unwrap();
        let warm: Vec<Vec<_>> = warm.iter().map(|s| s.iter().map(|t| t.detach()).collect()).collect();
        let data = [&wide(&late(&sample.x, 3))[..], &wide(&targets), &wide(&mask)];
        let exact_loss = oracle.loss((3, steps), data, &warm).unwrap();
        let exact = oracle.gradient(&exact_loss);
        assert!((f64::from(loss) - exact_loss.to_scalar::<f64>().unwrap()).abs() < 1e-5);
        for (ours, exact) in gradient.iter().zip(&exact) {
            assert!((f64::from(*ours) - exact).abs() < 2e-5, "{b:?}: {ours} {exact}");
        }
    }
}

#[test]
fn masked_targets_may_be_anything_and_count_for_nothing() {
    let b = Blueprint::try_new(Cell::Lstm, Norm::None, 3, 8, 1, 2).unwrap();
    let sample = Sample::new(b, 3, 5, 7);
    let (loss, gradient) = sample.trainer(SETTINGS).gradient(&sample.chunk()).unwrap();
    let targets: Vec<f32> =
        sample.targets.iter().zip(&sample.mask).map(|(t, m)| if *m == 0.0 { f32::NAN } else { *t }).collect();
    let spoilt = Chunk { targets: &targets, ..sample.chunk() };
    assert_eq!(sample.trainer(SETTINGS).gradient(&spoilt).unwrap(), (loss, gradient));

    let nothing = vec![0.0; sample.mask.len()];
    let mut trainer = sample.trainer(SETTINGS);
    assert_eq!(trainer.chunk(&Chunk { mask: &nothing, ..sample.chunk() }).unwrap(), 0.0);
    assert_eq!(trainer.weights().values(), sample.weights);

    let bad = vec![f32::INFINITY; sample.targets.len()];
    assert!(trainer.chunk(&Chunk { targets: &bad, ..sample.chunk() }).is_err());
    assert_eq!(trainer.weights().values(), sample.weights);
}
