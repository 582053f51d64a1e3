//! Numbers from PyTorch (`tests/networks/golden/make_golden.py`): streaming must give the outputs
//! of PyTorch's sequence, and training its gradients and updates.

use std::collections::BTreeMap;

use serde::Deserialize;
use std::sync::Arc;
use tidecast::nn::{
    Activation, Arena, Blueprint, Cell, Chunk, Dropout, Family, Head, Loss, Network, Norm, Recurrent,
    Trained, Trainer, TrainerSettings, Weights, bundle,
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
    levels: Vec<f32>,
    cases: Vec<Case>,
}

type Tensors = BTreeMap<String, Vec<f32>>;

#[derive(Deserialize)]
struct Case {
    shape: Shape,
    loss: String,
    /// Whether a decoder gets the targets in training.
    forced: bool,
    weights: Tensors,
    x: Vec<f32>,
    targets: Vec<f32>,
    mask: Vec<f32>,
    /// The outputs in serving: without teacher forcing, and with the running statistics of batch
    /// norms.
    y: Vec<f32>,
    /// The final states of plain recurrent layers, `[batch, hidden]` each.
    #[serde(default)]
    h: Vec<Vec<f32>>,
    #[serde(default)]
    c: Vec<Vec<f32>>,
    /// The loss in evaluation, and in training.
    evaluated: f32,
    value: f32,
    gradients: Tensors,
    updated: Tensors,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Shape {
    family: String,
    cell: String,
    norm: String,
    activation: String,
    layers: usize,
    residual: bool,
    stacks: usize,
    readings: usize,
    kernel: usize,
    stride: usize,
    leads: usize,
    known: usize,
}

impl Golden {
    fn read() -> Self {
        serde_json::from_str(include_str!("golden/golden.json")).unwrap()
    }

    fn blueprint(&self, s: &Shape) -> Blueprint {
        let (hidden, layers) = (self.hidden, s.layers);
        let stack = || Recurrent {
            cell: Cell::ALL.into_iter().find(|c| c.name() == s.cell).unwrap(),
            norm: match s.norm.as_str() {
                "batch" => Norm::Batch,
                "layer" => Norm::Layer,
                _ => Norm::None,
            },
            hidden,
            layers,
            residual: s.residual,
        };
        let family = match s.family.as_str() {
            "recurrent" => Family::Recurrent(stack()),
            "vector" => Family::Vector(stack()),
            "window" => {
                let activation = if s.activation == "relu" { Activation::Relu } else { Activation::Tanh };
                Family::Window { readings: s.readings, layers, hidden, activation }
            }
            "wavenet" => Family::Wavenet { channels: hidden, layers, stacks: s.stacks },
            "convolved" => Family::Convolved { kernel: s.kernel, stride: s.stride, stack: stack() },
            other => panic!("{other}"),
        };
        let head = match s.leads {
            0 if s.norm == "output" => Head::Normed,
            0 => Head::Direct,
            leads => Head::Decoder { leads, known: s.known },
        };
        Blueprint::of(family, head, self.inputs, self.outputs).unwrap()
    }

    fn weights(&self, case: &Case) -> Weights {
        let b = self.blueprint(&case.shape);
        Weights::try_new(b, flat(&b, &case.weights)).unwrap()
    }

    fn trainer(&self, case: &Case) -> Trainer {
        let settings = TrainerSettings {
            learning_rate: self.learning_rate,
            weight_decay: self.weight_decay,
            clip_norm: self.clip_norm,
            dropout: Dropout::NONE,
            teacher_forcing: if case.forced { 1.0 } else { 0.0 },
            seed: 0,
            loss: match case.loss.as_str() {
                "squared" => Loss::Squared,
                "huber" => Loss::Huber(0.4),
                "pinball" => Loss::Pinball(self.levels.as_slice().into()),
                other => panic!("{other}"),
            },
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

/// In this project's order. Parameters that PyTorch does not have are 0.
fn flat(b: &Blueprint, tensors: &Tensors) -> Vec<f32> {
    let one = |name: &str, learns: bool, len: usize| match tensors.get(name) {
        Some(values) => values.clone(),
        None if !learns => vec![0.0; len],
        None => panic!("PyTorch has no {name}"),
    };
    b.parameters().iter().flat_map(|p| one(&p.name, p.role.learns(), p.range.len())).collect()
}

#[track_caller]
fn assert_close(ours: &[f32], theirs: &[f32], tolerance: f32, shape: &Shape) {
    assert_eq!(ours.len(), theirs.len());
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!(
            (a - b).abs() <= tolerance * (1.0 + b.abs()),
            "{shape:?} value {i}: {a} is not PyTorch's {b}"
        );
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
                let y = &y[b * outputs..(b + 1) * outputs];
                assert_close(y, &case.y[at(b, outputs)], 1e-5, &case.shape);
            }
        }
        let (hidden, width) = (golden.hidden, weights.blueprint().row_width() / case.shape.layers.max(1));
        let mut row = vec![0.0; weights.blueprint().row_width()];
        for b in 0..golden.batch {
            arena.export_row(b as u32, &mut row).unwrap();
            for (l, h) in case.h.iter().enumerate() {
                let theirs = b * hidden..(b + 1) * hidden;
                assert_close(&row[l * width..][..hidden], &h[theirs.clone()], 1e-5, &case.shape);
                if let Some(c) = case.c.get(l) {
                    assert_close(&row[l * width + hidden..][..hidden], &c[theirs], 1e-5, &case.shape);
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
        assert_close(&trainer.forecast(&golden.chunk(case)).unwrap(), &case.y, 1e-5, &case.shape);
        let (sum, count) = trainer.evaluate(&golden.chunk(case)).unwrap();
        assert_close(&[(sum / count) as f32], &[case.evaluated], 1e-5, &case.shape);
        let (loss, gradient) = trainer.gradient(&golden.chunk(case)).unwrap();
        assert_close(&[loss], &[case.value], 1e-5, &case.shape);
        assert_close(&gradient, &flat(trainer.blueprint(), &case.gradients), 1e-5, &case.shape);
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
        let updated = flat(trainer.blueprint(), &case.updated);
        assert_close(trainer.weights().values(), &updated, 2e-4, &case.shape);
    }
}

#[test]
fn weights_from_pytorch_survive_a_bundle_bit_for_bit_under_its_names() {
    let golden = Golden::read();
    for case in &golden.cases {
        let mut trainer = golden.trainer(case);
        trainer.chunk(&golden.chunk(case)).unwrap();
        let (weights, moments) = (Arc::new(golden.weights(case)), trainer.optimiser_state());
        let trained = Trained { weights, optimiser: Some(moments) };
        let bytes = bundle::save(&trained.clone().into(), &BTreeMap::new()).unwrap();
        let networks = bundle::load(&bytes).unwrap().networks;
        let loaded = networks.alone().unwrap();
        assert_eq!(*loaded, trained);
        for (name, values) in &case.weights {
            // PyTorch counts the batches of a norm too; nothing depends on the count.
            if !name.ends_with("num_batches_tracked") {
                assert_eq!(loaded.weights.tensor(name), Some(&values[..]), "{:?} {name}", case.shape);
            }
        }
    }
}
