//! For every family, head and loss, the oracle's gradients agree with finite differences, and the
//! kernels' gradients with the oracle's.

use crate::families::{SETTINGS, draw, every, recurrent, weights};
use crate::oracle::{Data, Oracle};
use tidecast::nn::{
    Arena, Blueprint, Cell, Chunk, Dropout, Family, Head, Loss, Network, Norm, Role, Trainer,
    TrainerSettings, Weights,
};

/// A network with random weights and a chunk of random data for it.
struct Sample {
    blueprint: Blueprint,
    batch: usize,
    burn_in: usize,
    steps: usize,
    weights: Weights,
    x: Vec<f32>,
    targets: Vec<f32>,
    mask: Vec<f32>,
    state: Vec<f32>,
}

impl Sample {
    fn new(blueprint: Blueprint, [batch, burn_in, steps]: [usize; 3], levels: usize, seed: u64) -> Self {
        let points = batch * steps * blueprint.outputs() / levels;
        let weights = weights(blueprint, 0.7, seed);
        let state = served_state(&weights, batch, seed + 4);
        Self {
            blueprint,
            batch,
            burn_in,
            steps,
            weights,
            x: draw(batch * (burn_in + steps) * blueprint.inputs(), 1.5, seed + 1),
            targets: draw(points, 1.0, seed + 2),
            // Weights of leads, and targets that have not arrived.
            mask: draw(points, 1.0, seed + 3).iter().map(|v| (v + 0.5).max(0.0)).collect(),
            state,
        }
    }

    fn chunk(&self) -> Chunk<'_> {
        Chunk {
            batch: self.batch,
            burn_in: self.burn_in,
            steps: self.steps,
            x: &self.x,
            targets: &self.targets,
            mask: &self.mask,
            state: Some(&self.state),
        }
    }

    fn trainer(&self, settings: TrainerSettings) -> Trainer {
        Trainer::new(&self.weights, None, settings).unwrap()
    }

    fn data(&self, settings: &TrainerSettings) -> Data {
        Data {
            batch: self.batch,
            burn_in: self.burn_in,
            steps: self.steps,
            x: wide(&self.x),
            targets: wide(&self.targets),
            mask: wide(&self.mask),
            state: Some(wide(&self.state)),
            learn: true,
            forced: settings.teacher_forcing > 0.0,
        }
    }

    /// Compares loss and gradient with the oracle's.
    #[track_caller]
    fn check(&self, settings: TrainerSettings) {
        let b = self.blueprint;
        let oracle = Oracle::new(b, &wide(self.weights.values()));
        let loss = oracle.loss(&self.data(&settings), &settings.loss).unwrap();
        let exact = oracle.gradient(&loss);
        let loss: f64 = loss.to_scalar().unwrap();
        let (ours, gradient) = self.trainer(settings).gradient(&self.chunk()).unwrap();
        assert!((f64::from(ours) - loss).abs() < 1e-5 * (1.0 + loss), "{b:?}: {ours} {loss}");
        let size = exact.iter().map(|g| g * g).sum::<f64>().sqrt();
        for p in b.parameters() {
            for at in p.range {
                let error = (f64::from(gradient[at]) - exact[at]).abs();
                assert!(error < 2e-5 * (1.0 + size), "{b:?} {}: {} {}", p.name, gradient[at], exact[at]);
            }
        }
    }
}

/// Rows after a few readings, the same number for all.
fn served_state(weights: &Weights, batch: usize, seed: u64) -> Vec<f32> {
    let b = weights.blueprint();
    let (mut network, mut arena) = (Network::new(weights), Arena::new(b).unwrap());
    arena.grow(batch).unwrap();
    let slots: Vec<u32> = (0..batch as u32).collect();
    let mut y = vec![0.0; batch * b.outputs()];
    for t in 0..5 {
        network.step(&mut arena, &slots, &draw(batch * b.inputs(), 1.0, seed + t), &mut y).unwrap();
    }
    let mut rows = vec![0.0; batch * b.row_width()];
    for (slot, row) in slots.iter().zip(rows.chunks_exact_mut(b.row_width())) {
        arena.export_row(*slot, row).unwrap();
    }
    rows
}

fn wide(v: &[f32]) -> Vec<f64> {
    v.iter().map(|v| f64::from(*v)).collect()
}

fn pinball() -> Loss {
    Loss::Pinball([0.1, 0.5, 0.9].into())
}

#[test]
fn the_oracles_gradients_are_finite_differences() {
    for (seed, b) in every(5, 2, 3).into_iter().enumerate() {
        let loss = [Loss::Squared, Loss::Huber(0.3), pinball()][seed % 3].clone();
        let sample = Sample::new(b, [2, 0, 3], loss.levels(), seed as u64);
        let data = Data { forced: seed % 2 == 0, ..sample.data(&SETTINGS) };
        let values = wide(sample.weights.values());
        let oracle = |values: &[f64]| Oracle::new(b, values);
        let at = oracle(&values);
        let gradient = at.gradient(&at.loss(&data, &loss).unwrap());
        for p in b.parameters().iter().filter(|p| p.role.learns()) {
            // A sample of every tensor's numbers.
            for i in p.range.clone().step_by(1 + p.range.len() / 4) {
                let shifted = |by: f64| {
                    let mut values = values.clone();
                    values[i] += by;
                    oracle(&values).loss(&data, &loss).unwrap().to_scalar::<f64>().unwrap()
                };
                let difference = (shifted(1e-6) - shifted(-1e-6)) / 2e-6;
                let error = (difference - gradient[i]).abs();
                assert!(error < 1e-6 * (1.0 + difference.abs()), "{b:?} {} {}", p.name, gradient[i]);
            }
        }
    }
}

#[test]
fn the_fused_gradients_are_the_oracles() {
    // Widths below, at and across those of registers; batches across those of row groups.
    for (hidden, batch) in [(3, 1), (16, 7), (20, 13)] {
        for (seed, b) in every(5, hidden, 6).into_iter().enumerate() {
            Sample::new(b, [batch, 0, 7], 1, 100 + seed as u64).check(SETTINGS);
        }
    }
    for (seed, b) in recurrent(3, 37, 5).into_iter().enumerate() {
        Sample::new(b, [5, 0, 9], 1, 150 + seed as u64).check(SETTINGS);
    }
}

#[test]
fn truncation_stops_the_gradient_and_burn_in_only_warms() {
    // The oracle detaches the states at the end of the burn-in.
    for (seed, b) in every(5, 6, 3).into_iter().enumerate() {
        Sample::new(b, [3, 6, 4], 1, 300 + seed as u64).check(SETTINGS);
    }
}

#[test]
fn every_loss_is_the_oracles() {
    for (seed, b) in every(5, 4, 6).into_iter().enumerate().step_by(5) {
        for loss in [Loss::Squared, Loss::Huber(0.4), pinball()] {
            let sample = Sample::new(b, [3, 0, 5], loss.levels(), 400 + seed as u64);
            sample.check(TrainerSettings { loss, ..SETTINGS });
        }
    }
}

#[test]
fn a_decoder_that_is_given_the_targets_has_the_oracles_gradient() {
    let decoders = every(5, 9, 6).into_iter().filter(|b| matches!(b.head(), Head::Decoder { .. }));
    for (seed, b) in decoders.enumerate() {
        for loss in [Loss::Squared, Loss::Pinball([0.25, 0.75].into())] {
            let sample = Sample::new(b, [4, 2, 3], loss.levels(), 500 + seed as u64);
            sample.check(TrainerSettings { teacher_forcing: 1.0, loss, ..SETTINGS });
        }
    }
}

#[test]
fn with_dropout_the_gradient_is_still_that_of_the_loss_it_reports() {
    // The same seed draws the same masks, so the loss is a function of the weights alone.
    let dropout = Dropout { input: 0.3, recurrent: 0.3, between: 0.3 };
    // In single precision, differences are too coarse across a rectifier's kink.
    let smooth = every(4, 11, 3).into_iter().filter(|b| {
        let rectified = matches!(b.family(), Family::Window { .. } | Family::Wavenet { .. });
        !rectified && b.stack().is_none_or(|s| s.cell != Cell::RnnRelu)
    });
    for (seed, b) in smooth.enumerate() {
        let sample = Sample::new(b, [6, 0, 5], 1, 200 + seed as u64);
        let loss_at = |values: &[f32]| {
            let weights = Weights::try_new(b, values.to_vec()).unwrap();
            let mut trainer = Trainer::new(&weights, None, TrainerSettings { dropout, ..SETTINGS }).unwrap();
            trainer.gradient(&sample.chunk()).unwrap()
        };
        let values = sample.weights.values();
        let (_, gradient) = loss_at(values);
        let size = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
        let along = |by: f32| -> f64 {
            let shifted: Vec<f32> = values.iter().zip(&gradient).map(|(w, g)| w + by * g / size).collect();
            f64::from(loss_at(&shifted).0)
        };
        let difference = (along(3e-3) - along(-3e-3)) / 6e-3;
        let error = (difference - f64::from(size)).abs();
        assert!(error < 1e-2 * (1.0 + f64::from(size)), "{b:?}: {difference} {size}");
    }
}

#[test]
fn running_statistics_move_with_what_is_learnt_and_by_nothing_else() {
    let stack = crate::families::stacks(4).into_iter().find(|s| s.norm == Norm::Batch).unwrap();
    let b = Blueprint::of(Family::Recurrent(stack), Head::Direct, 3, 2).unwrap();
    let sample = Sample::new(b, [3, 2, 5], 1, 9);
    let mut trainer = sample.trainer(SETTINGS);
    trainer.gradient(&sample.chunk()).unwrap();
    trainer.evaluate(&sample.chunk()).unwrap();
    assert_eq!(trainer.weights(), sample.weights);
    trainer.chunk(&sample.chunk()).unwrap();
    for p in
        b.parameters().into_iter().filter(|p| matches!(p.role, Role::RunningMean | Role::RunningVariance))
    {
        assert_ne!(trainer.weights().values()[p.range.clone()], sample.weights.values()[p.range]);
    }
}

#[test]
fn masked_targets_may_be_anything_and_count_for_nothing() {
    let b = Blueprint::try_new(Cell::Lstm, Norm::None, 3, 8, 1, 2).unwrap();
    let sample = Sample::new(b, [3, 0, 5], 1, 7);
    let (loss, gradient) = sample.trainer(SETTINGS).gradient(&sample.chunk()).unwrap();
    let targets: Vec<f32> =
        sample.targets.iter().zip(&sample.mask).map(|(t, m)| if *m == 0.0 { f32::NAN } else { *t }).collect();
    let spoilt = Chunk { targets: &targets, ..sample.chunk() };
    assert_eq!(sample.trainer(SETTINGS).gradient(&spoilt).unwrap(), (loss, gradient));

    let nothing = vec![0.0; sample.mask.len()];
    let mut trainer = sample.trainer(SETTINGS);
    assert_eq!(trainer.chunk(&Chunk { mask: &nothing, ..sample.chunk() }).unwrap(), 0.0);
    assert_eq!(trainer.weights(), sample.weights);

    let bad = vec![f32::INFINITY; sample.targets.len()];
    assert!(trainer.chunk(&Chunk { targets: &bad, ..sample.chunk() }).is_err());
    assert_eq!(trainer.weights(), sample.weights);
}
