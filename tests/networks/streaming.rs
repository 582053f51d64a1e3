//! Stepping a series one reading at a time gives the same as the whole sequence, whichever series
//! step beside it.

use crate::families::{draw, every, weights};
use proptest::prelude::*;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidecast::nn::{
    Arena, Blueprint, Cell, Chunk, Dropout, Error, Family, Head, Network, Norm, Trainer, TrainerSettings,
    Weights,
};

/// Serving and forecasting use neither dropout nor teacher forcing, whatever training does.
fn settings() -> TrainerSettings {
    let dropout = Dropout { input: 0.5, recurrent: 0.5, between: 0.5 };
    TrainerSettings { dropout, teacher_forcing: 1.0, ..crate::families::SETTINGS }
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

/// From `[steps, series, inputs]` to `[series, steps, inputs]`.
fn turned(x: &[f32], steps: usize, series: usize) -> Vec<f32> {
    let inputs = x.len() / (steps * series);
    let row = |s: usize, t: usize| x[(t * series + s) * inputs..][..inputs].to_vec();
    (0..series).flat_map(|s| (0..steps).flat_map(move |t| row(s, t))).collect()
}

/// Compares streamed outputs with those of the whole sequence.
#[track_caller]
fn assert_streams(w: &Weights, steps: usize, series: usize) {
    let (inputs, outputs) = (w.blueprint().inputs(), w.blueprint().outputs());
    let x = draw(steps * series * inputs, 1.5, 10);
    let (y, _) = streamed(w, &x, series, |_| vec![(0..series as u32).collect()]);
    let trainer = Trainer::new(w, None, settings()).unwrap();
    let (turned, zero) = (turned(&x, steps, series), vec![0.0; y.len()]);
    let chunk =
        Chunk { batch: series, burn_in: 0, steps, x: &turned, targets: &zero, mask: &zero, state: None };
    let whole = trainer.forecast(&chunk).unwrap();
    for s in 0..series {
        for t in 0..steps {
            let a = &y[(t * series + s) * outputs..][..outputs];
            let b = &whole[(s * steps + t) * outputs..][..outputs];
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{:?} step {t}: {a} {b}", w.blueprint());
            }
        }
    }
}

#[test]
fn streaming_equals_the_whole_sequence() {
    for hidden in [5, 32] {
        for b in every(4, hidden, 3) {
            // Weights so small that a rectified network of many layers does not explode.
            assert_streams(&weights(b, 1.2 / (hidden as f32).sqrt(), 9), 40, 11);
        }
    }
}

#[test]
fn a_wavenet_streams_as_the_full_convolution_over_tens_of_thousands_of_steps() {
    let family = Family::Wavenet { channels: 6, layers: 10, stacks: 2 };
    let b = Blueprint::of(family, Head::Direct, 2, 3).unwrap();
    assert_eq!(b.memory(), Some(2_046));
    assert_streams(&weights(b, 0.6, 3), 30_000, 2);
}

#[test]
fn states_that_are_given_are_where_a_chunk_goes_on() {
    for b in every(4, 9, 3) {
        let w = weights(b, 0.5, 21);
        let (series, early, late) = (5, 7, 6);
        let x = draw((early + late) * series * 4, 1.0, 22);
        let at = early * series * 4;
        let all = |_| vec![(0..series as u32).collect::<Vec<_>>()];
        let (y, _) = streamed(&w, &x, series, all);
        let (_, arena) = streamed(&w, &x[..at], series, all);
        let mut rows = vec![0.0; series * b.row_width()];
        for (slot, row) in rows.chunks_exact_mut(b.row_width()).enumerate() {
            arena.export_row(slot as u32, row).unwrap();
        }
        let (x, zero) = (turned(&x[at..], late, series), vec![0.0; series * late * 3]);
        let (targets, mask) = (&zero[..series * 4 * 3], &zero[..series * 4 * 3]);
        let state = Some(&rows[..]);
        let chunk = Chunk { batch: series, burn_in: 2, steps: 4, x: &x, targets, mask, state };
        let whole = Trainer::new(&w, None, settings()).unwrap().forecast(&chunk).unwrap();
        for s in 0..series {
            for t in 0..4 {
                let a = &y[((early + 2 + t) * series + s) * 3..][..3];
                for (a, b) in a.iter().zip(&whole[(s * 4 + t) * 3..][..3]) {
                    assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{:?}: {a} {b}", w.blueprint());
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
        pick: prop::sample::Index, hidden in 1usize..70, inputs in 4usize..9,
        leads in 1usize..25, series in 1usize..230, seed: u64,
    ) {
        let b = *pick.get(&every(inputs, hidden, 3 * leads));
        let w = weights(b, 0.5, seed);
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
    for b in every(4, 24, 6) {
        let w = weights(b, 0.3, 3);
        let x = draw(20 * 4, 1.0, 4);
        let (y, _) = streamed(&w, &x, 1, |_| vec![vec![0]]);
        let (_, arena) = streamed(&w, &x[..9 * 4], 1, |_| vec![vec![0]]);
        let mut row = vec![0.0; arena.row_width()];
        arena.export_row(0, &mut row).unwrap();
        let mut elsewhere = Arena::new(w.blueprint()).unwrap();
        elsewhere.grow(100).unwrap();
        elsewhere.import_row(77, &row).unwrap();
        let mut network = Network::new(&w);
        let mut out = vec![0.0; 6];
        for t in 9..20 {
            network.step(&mut elsewhere, &[77], &x[t * 4..][..4], &mut out).unwrap();
            assert_eq!(out, y[t * 6..][..6], "{b:?}");
        }
    }
}

#[test]
fn a_vector_is_forecast_as_if_its_series_had_no_past() {
    let vectors: Vec<Blueprint> =
        every(4, 7, 3).into_iter().filter(|b| matches!(b.family(), Family::Vector(_))).collect();
    assert_eq!(vectors.len(), 2 * Cell::ALL.len());
    for b in vectors {
        let w = weights(b, 0.5, 3);
        let vector = draw(4, 1.0, 8);
        let y = |past: &[f32], vector: &[f32]| {
            let (y, _) = streamed(&w, &[past, vector].concat(), 1, |_| vec![vec![0]]);
            y[y.len() - 3..].to_vec()
        };
        let cold = y(&[], &vector);
        assert_eq!(cold, y(&draw(5 * 4, 2.0, 9), &vector), "{b:?}");
        // The forecast depends on the vector.
        assert_ne!(cold, y(&[], &draw(4, 1.0, 10)), "{b:?}");
    }
}

#[test]
fn what_is_not_finite_never_stays_in_a_state() {
    for b in every(4, 7, 3) {
        let w = weights(b, 0.5, 3);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
            let mut x = draw(8 * 4, 1.0, 5);
            x[5] = bad;
            let (y, arena) = streamed(&w, &x, 1, |_| vec![vec![0]]);
            let mut row = vec![0.0; arena.row_width()];
            arena.export_row(0, &mut row).unwrap();
            assert!(row.iter().all(|v| v.is_finite()), "{b:?} {bad}: {row:?}");
            assert!(y[6..].iter().all(|v| v.is_finite()), "{b:?} {bad}");
        }
    }
}

#[test]
fn a_wrong_batch_is_refused_and_changes_nothing() {
    let w = weights(Blueprint::try_new(Cell::Gru, Norm::None, 2, 4, 1, 1).unwrap(), 0.5, 3);
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
