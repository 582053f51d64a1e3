//! Networks of every family, and random numbers for them.

#![allow(dead_code, reason = "not every test needs all of it")]

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidecast::nn::{
    Activation, Blueprint, Cell, Dropout, Family, Head, Loss, Norm, Recurrent, Role, TrainerSettings, Weights,
};

pub const SETTINGS: TrainerSettings = TrainerSettings {
    learning_rate: 1e-3,
    weight_decay: 0.0,
    clip_norm: 1e6,
    dropout: Dropout::NONE,
    teacher_forcing: 0.0,
    seed: 5,
    loss: Loss::Squared,
};

/// Uniform in `−size..size`.
pub fn draw(n: usize, size: f32, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| rng.random_range(-size..size)).collect()
}

/// Random weights; variances are above 0.
pub fn weights(b: Blueprint, size: f32, seed: u64) -> Weights {
    let mut values = draw(b.parameter_count(), size, seed);
    for p in b.parameters().into_iter().filter(|p| p.role == Role::RunningVariance) {
        values[p.range].iter_mut().for_each(|v| *v = 0.2 + v.abs());
    }
    Weights::try_new(b, values).unwrap()
}

/// Recurrent layers of every cell, norm and depth, with and without residuals.
pub fn stacks(hidden: usize) -> Vec<Recurrent> {
    let mut all = Vec::new();
    for cell in Cell::ALL {
        for norm in [Norm::None, Norm::Layer, Norm::Batch] {
            for (layers, residual) in [(1, false), (2, false), (3, true)] {
                if norm != Norm::Batch || layers > 1 {
                    all.push(Recurrent { cell, norm, hidden, layers, residual });
                }
            }
        }
    }
    all
}

/// Recurrent layers under a direct head, normed or not.
pub fn recurrent(inputs: usize, hidden: usize, outputs: usize) -> Vec<Blueprint> {
    let of = |(s, head)| Blueprint::of(Family::Recurrent(s), head, inputs, outputs).unwrap();
    let normed = stacks(hidden).into_iter().filter(|s| s.norm == Norm::None);
    let direct = stacks(hidden).into_iter().map(|s| (s, Head::Direct));
    direct.chain(normed.map(|s| (s, Head::Normed))).map(of).collect()
}

/// All other families and heads. `inputs` is at least 4, `outputs` a multiple of 3.
pub fn others(inputs: usize, hidden: usize, outputs: usize) -> Vec<Blueprint> {
    let of = |family, head| Blueprint::of(family, head, inputs, outputs).unwrap();
    let mut all = Vec::new();
    for s in stacks(hidden) {
        let decoder = Head::Decoder { leads: 3, known: usize::from(s.layers == 1) };
        if s.norm != Norm::Batch || s.cell == Cell::Lstm {
            all.push(of(Family::Recurrent(s), decoder));
        }
        if s.layers == 1 {
            all.push(of(Family::Vector(s), decoder));
        }
        if matches!(s.cell, Cell::Gru | Cell::GruBefore) && s.norm != Norm::Batch {
            for (kernel, stride) in [(3, 2), (4, 1), (1, 1)] {
                all.push(of(Family::Convolved { kernel, stride, stack: s }, Head::Direct));
                all.push(of(Family::Convolved { kernel, stride, stack: s }, Head::Normed));
            }
        }
    }
    for (readings, layers, activation) in [
        (1, 0, Activation::Tanh),
        (5, 0, Activation::Tanh),
        (4, 1, Activation::Relu),
        (3, 2, Activation::Tanh),
    ] {
        all.push(of(Family::Window { readings, layers, hidden, activation }, Head::Direct));
    }
    for (layers, stacks) in [(1, 1), (3, 1), (2, 2)] {
        all.push(of(Family::Wavenet { channels: hidden, layers, stacks }, Head::Direct));
    }
    all
}

pub fn every(inputs: usize, hidden: usize, outputs: usize) -> Vec<Blueprint> {
    let mut all = recurrent(inputs, hidden, outputs);
    all.extend(others(inputs, hidden, outputs));
    all
}
