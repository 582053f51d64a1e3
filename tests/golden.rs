//! Numbers from PyTorch (`tests/golden/make_golden.py`): what streams must be what PyTorch's
//! sequence says, and what trains must have its gradients and updates.

use std::collections::BTreeMap;

use serde::Deserialize;
use tidecast::nn::{
    Arena, Blueprint, Cell, Chunk, Dropout, Loss, Network, Norm, Trainer, TrainerSettings, Weights,
};

#[derive(Deserialize)]
struct Golden {
    inputs: usize,
    hidden: usize,
    outputs: usize,
    batch: usize,
    steps: usize,
    learning_rate: f64,
    weight_decay: f64,
    clip_norm: f64,
    updates: usize,
    cases: Vec<Case>,
}

type Tensors = BTreeMap<String, Vec<f32>>;

#[derive(Deserialize)]
struct Case {
    cell: String,
    layers: usize,
    weights: Tensors,
    x: Vec<f32>,
    targets: Vec<f32>,
    mask: Vec<f32>,
    y: Vec<f32>,
    /// `[layers, batch, hidden]`
    h: Vec<f32>,
    c: Option<Vec<f32>>,
    loss: f32,
    gradients: Tensors,
    updated: Tensors,
}

impl Golden {
    fn read() -> Self {
        serde_json::from_str(include_str!("golden/golden.json")).unwrap()
    }

    fn weights(&self, case: &Case) -> Weights {
        let cell = if case.cell == "lstm" { Cell::Lstm } else { Cell::Gru };
        let b = Blueprint::try_new(cell, Norm::None, self.inputs, self.hidden, case.layers, self.outputs)
            .unwrap();
        Weights::try_new(b, flat(&b, &case.weights)).unwrap()
    }

    fn trainer(&self, case: &Case) -> Trainer {
        let settings = TrainerSettings {
            learning_rate: self.learning_rate,
            weight_decay: self.weight_decay,
            clip_norm: self.clip_norm,
            dropout: Dropout::NONE,
            seed: 0,
            loss: Loss::Squared,
        };
        Trainer::new(&self.weights(case), None, settings).unwrap()
    }

    fn chunk<'a>(&self, case: &'a Case) -> Chunk<'a> {
        Chunk {
            batch: self.batch,
            burn_in: 0,
            steps: self.steps,
            x: &case.x,
            targets: &case.targets,
            mask: &case.mask,
            state: None,
        }
    }
}

/// In our order.
fn flat(b: &Blueprint, tensors: &Tensors) -> Vec<f32> {
    b.parameters().iter().flat_map(|p| tensors[&p.name].iter().copied()).collect()
}

#[track_caller]
fn assert_close(ours: &[f32], theirs: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), theirs.len());
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "value {i}: {a} is not PyTorch's {b}");
    }
}

#[test]
fn streaming_gives_the_outputs_and_final_states_of_pytorch() {
    let golden = Golden::read();
    for case in &golden.cases {
        let weights = golden.weights(case);
        let mut network = Network::new(&weights);
        let mut arena = Arena::new(weights.blueprint()).unwrap();
        arena.grow(golden.batch).unwrap();
        let (steps, inputs, outputs) = (golden.steps, golden.inputs, golden.outputs);
        for t in 0..steps {
            let at = |b: usize, width: usize| (b * steps + t) * width..(b * steps + t + 1) * width;
            let x: Vec<f32> = (0..golden.batch).flat_map(|b| &case.x[at(b, inputs)]).copied().collect();
            let slots: Vec<u32> = (0..golden.batch as u32).collect();
            let mut y = vec![0.0; golden.batch * outputs];
            network.step(&mut arena, &slots, &x, &mut y).unwrap();
            for b in 0..golden.batch {
                assert_close(&y[b * outputs..(b + 1) * outputs], &case.y[at(b, outputs)], 1e-5);
            }
        }
        let (hidden, width) = (golden.hidden, weights.blueprint().state_width());
        let mut row = vec![0.0; weights.blueprint().row_width()];
        for b in 0..golden.batch {
            arena.export_row(b as u32, &mut row).unwrap();
            for l in 0..case.layers {
                let theirs = (l * golden.batch + b) * hidden..(l * golden.batch + b + 1) * hidden;
                assert_close(&row[l * width..l * width + hidden], &case.h[theirs.clone()], 1e-5);
                if let Some(c) = &case.c {
                    assert_close(&row[l * width + hidden..(l + 1) * width], &c[theirs], 1e-5);
                }
            }
        }
    }
}

#[test]
fn the_sequence_the_loss_and_its_gradients_are_those_of_pytorch() {
    let golden = Golden::read();
    for case in &golden.cases {
        let mut trainer = golden.trainer(case);
        assert_close(&trainer.forecast(&golden.chunk(case)).unwrap(), &case.y, 1e-5);
        let (loss, gradient) = trainer.gradient(&golden.chunk(case)).unwrap();
        assert_close(&[loss], &[case.loss], 1e-5);
        assert_close(&gradient, &flat(trainer.blueprint(), &case.gradients), 1e-5);
        let (sum, count) = trainer.evaluate(&golden.chunk(case)).unwrap();
        assert_close(&[(sum / count) as f32], &[case.loss], 1e-5);
    }
}

#[test]
fn clipped_updates_are_those_of_pytorchs_adamw() {
    let golden = Golden::read();
    for case in &golden.cases {
        let mut trainer = golden.trainer(case);
        for _ in 0..golden.updates {
            trainer.chunk(&golden.chunk(case)).unwrap();
        }
        // Where a gradient is near zero, Adam divides one rounding error by another.
        assert_close(trainer.weights().values(), &flat(trainer.blueprint(), &case.updated), 2e-4);
    }
}
