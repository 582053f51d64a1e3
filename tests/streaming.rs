//! A series that is stepped one reading at a time is where a whole sequence would have taken it,
//! and it does not matter who steps beside it.

use proptest::prelude::*;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidecast::nn::{
    Arena, Blueprint, Cell, Chunk, Dropout, Error, Loss, Network, Norm, Trainer, TrainerSettings, Weights,
};

const SETTINGS: TrainerSettings = TrainerSettings {
    learning_rate: 1e-3,
    weight_decay: 0.0,
    clip_norm: 1.0,
    // Serving and forecasting drop nothing, whatever training drops.
    dropout: Dropout { input: 0.5, recurrent: 0.5, between: 0.5 },
    seed: 1,
    loss: Loss::Huber(1.0),
};

fn draw(n: usize, size: f32, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| rng.random_range(-size..size)).collect()
}

fn weights(cell: Cell, norm: Norm, [inputs, hidden, layers, outputs]: [usize; 4], seed: u64) -> Weights {
    let b = Blueprint::try_new(cell, norm, inputs, hidden, layers, outputs).unwrap();
    Weights::try_new(b, draw(b.parameter_count(), 0.5, seed)).unwrap()
}

/// Readings `[steps, series, inputs]`, stepped in batches that `batches` makes of the series of each
/// step: outputs `[steps, series, outputs]`, and the arena.
fn streamed(
    weights: &Weights,
    x: &[f32],
    series: usize,
    mut batches: impl FnMut(usize) -> Vec<Vec<u32>>,
) -> (Vec<f32>, Arena) {
    let b = *weights.blueprint();
    let mut network = Network::new(weights);
    let mut arena = Arena::new(&b).unwrap();
    arena.grow(series).unwrap();
    let mut all = vec![0.0; x.len() / b.inputs() * b.outputs()];
    for (t, x) in x.chunks_exact(series * b.inputs()).enumerate() {
        for slots in batches(t) {
            let row = |s: &u32| x[*s as usize * b.inputs()..][..b.inputs()].to_vec();
            let features: Vec<f32> = slots.iter().flat_map(row).collect();
            let mut y = vec![0.0; slots.len() * b.outputs()];
            network.step(&mut arena, &slots, &features, &mut y).unwrap();
            for (slot, y) in slots.iter().zip(y.chunks_exact(b.outputs())) {
                all[(t * series + *slot as usize) * b.outputs()..][..b.outputs()].copy_from_slice(y);
            }
        }
    }
    (all, arena)
}

#[test]
fn streaming_equals_the_whole_sequence() {
    for cell in [Cell::Lstm, Cell::Gru] {
        for norm in [Norm::None, Norm::Layer] {
            for layers in 1..=3 {
                for hidden in [5, 32] {
                    let w = weights(cell, norm, [4, hidden, layers, 3], 9);
                    let (steps, series) = (40, 11);
                    let x = draw(steps * series * 4, 1.5, 10);
                    let (y, _) = streamed(&w, &x, series, |_| vec![(0..series as u32).collect()]);
                    let trainer = Trainer::new(&w, None, SETTINGS).unwrap();
                    let turned: Vec<f32> = (0..series)
                        .flat_map(|s| {
                            (0..steps).flat_map(move |t| (0..4).map(move |i| (t * series + s) * 4 + i))
                        })
                        .map(|at| x[at])
                        .collect();
                    let zero = vec![0.0; y.len()];
                    let chunk = Chunk {
                        batch: series,
                        burn_in: 0,
                        steps,
                        x: &turned,
                        targets: &zero,
                        mask: &zero,
                        state: None,
                    };
                    let whole = trainer.forecast(&chunk).unwrap();
                    for s in 0..series {
                        for t in 0..steps {
                            let (a, b) =
                                (&y[(t * series + s) * 3..][..3], &whole[(s * steps + t) * 3..][..3]);
                            for (a, b) in a.iter().zip(b) {
                                assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{:?}", w.blueprint());
                            }
                        }
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Bit for bit: every product is summed in one order, whatever the batch.
    #[test]
    fn rows_do_not_depend_on_the_batch(
        lstm: bool, norm: bool, hidden in 1usize..70, layers in 1usize..3, inputs in 1usize..9,
        outputs in 1usize..80, series in 1usize..230, seed: u64,
    ) {
        let cell = if lstm { Cell::Lstm } else { Cell::Gru };
        let norm = if norm { Norm::Layer } else { Norm::None };
        let w = weights(cell, norm, [inputs, hidden, layers, outputs], seed);
        let x = draw(3 * series * inputs, 2.0, seed ^ 1);
        let (together, a) = streamed(&w, &x, series, |_| vec![(0..series as u32).collect()]);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (split, b) = streamed(&w, &x, series, |_| {
            let mut slots: Vec<u32> = (0..series as u32).collect();
            slots.shuffle(&mut rng);
            let mut parts = Vec::new();
            while !slots.is_empty() {
                parts.push(slots.split_off(slots.len() - rng.random_range(1..=slots.len())));
            }
            parts
        });
        prop_assert_eq!(together, split);
        let (mut row_a, mut row_b) = (vec![0.0; a.row_width()], vec![0.0; a.row_width()]);
        for slot in 0..series as u32 {
            a.export_row(slot, &mut row_a).unwrap();
            b.export_row(slot, &mut row_b).unwrap();
            prop_assert_eq!(&row_a, &row_b);
        }
    }
}

#[test]
fn an_exported_row_goes_on_elsewhere_as_if_it_had_stayed() {
    let w = weights(Cell::Lstm, Norm::Layer, [3, 24, 2, 6], 3);
    let x = draw(20 * 3, 1.0, 4);
    let (y, _) = streamed(&w, &x, 1, |_| vec![vec![0]]);
    let (_, arena) = streamed(&w, &x[..10 * 3], 1, |_| vec![vec![0]]);
    let mut row = vec![0.0; arena.row_width()];
    arena.export_row(0, &mut row).unwrap();
    let mut elsewhere = Arena::new(w.blueprint()).unwrap();
    elsewhere.grow(100).unwrap();
    elsewhere.import_row(77, &row).unwrap();
    let mut network = Network::new(&w);
    let mut out = vec![0.0; 6];
    for t in 10..20 {
        network.step(&mut elsewhere, &[77], &x[t * 3..][..3], &mut out).unwrap();
        assert_eq!(out, y[t * 6..][..6]);
    }
}

#[test]
fn what_is_not_finite_never_stays_in_a_state() {
    for cell in [Cell::Lstm, Cell::Gru] {
        for norm in [Norm::None, Norm::Layer] {
            let w = weights(cell, norm, [2, 7, 2, 3], 3);
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
                let x = [0.5, 0.1, bad, 0.2, 0.3, 0.4];
                let (y, arena) = streamed(&w, &x, 1, |_| vec![vec![0]]);
                let mut row = vec![0.0; arena.row_width()];
                arena.export_row(0, &mut row).unwrap();
                assert!(row.iter().all(|v| v.is_finite()), "{cell:?} {norm:?} {bad}: {row:?}");
                assert!(y[6..].iter().all(|v| v.is_finite()));
            }
        }
    }
}

#[test]
fn a_wrong_batch_is_refused_and_changes_nothing() {
    let w = weights(Cell::Gru, Norm::None, [2, 4, 1, 1], 3);
    let mut network = Network::new(&w);
    let mut arena = Arena::new(w.blueprint()).unwrap();
    arena.grow(4).unwrap();
    let x = vec![1.0; 6];
    let mut y = vec![0.0; 3];
    let mut step = |slots: &[u32], x: &[f32], y: &mut [f32]| network.step(&mut arena, slots, x, y);
    assert!(matches!(step(&[0, 1, 0], &x, &mut y), Err(Error::RepeatedSlot(0))));
    assert!(matches!(step(&[0, 1, 4], &x, &mut y), Err(Error::Slot { slot: 4, slots: 4 })));
    assert!(matches!(step(&[0, 1], &x, &mut y), Err(Error::Length { .. })));
    assert!(matches!(step(&[0, 1, 2], &x, &mut y[..2]), Err(Error::Length { .. })));
    let mut row = vec![0.0; 4];
    for slot in 0..4 {
        arena.export_row(slot, &mut row).unwrap();
        assert_eq!(row, [0.0; 4]);
    }
    let wider = Blueprint::try_new(Cell::Gru, Norm::None, 2, 5, 1, 1).unwrap();
    let mut other = Arena::new(&wider).unwrap();
    other.grow(4).unwrap();
    assert!(matches!(network.step(&mut other, &[0], &x[..2], &mut y[..1]), Err(Error::Arena { .. })));
}
