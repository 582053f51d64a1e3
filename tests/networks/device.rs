//! The networks of the tensor library's operations compute the same as the kernels. States,
//! optimisers and bundles can move from one to the other.
//!
//! On the CPU, or on the device that `TIDECAST_TEST_DEVICE` names (`cuda:0`).

use std::collections::BTreeMap;

use crate::families::{SETTINGS, draw, every, weights};
use crate::support::stream::{Bench, any_model, sensed, stream};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;
use tidecast::engine::{Model, Restore};
use tidecast::nn::{
    Arena, Blueprint, Cell, Chunk, Device, Dropout, Error, Family, Head, Loss, Network, Norm, Trained,
    Trainer, TrainerSettings, Weights, bundle,
};

fn device() -> Device {
    let Ok(name) = std::env::var("TIDECAST_TEST_DEVICE") else { return Device::composed() };
    let number = name.strip_prefix("cuda:").and_then(|n| n.parse().ok());
    Device::cuda(number.unwrap_or_else(|| panic!("{name} is no device"))).unwrap()
}

/// A network with states for some series.
struct Server {
    network: Network,
    arena: Arena,
}

impl Server {
    fn on(device: &Device, weights: &Weights, series: usize) -> Self {
        let mut arena = Arena::on(device, weights.blueprint()).unwrap();
        arena.grow(series).unwrap();
        Self { network: Network::on(device, weights).unwrap(), arena }
    }

    fn step(&mut self, slots: &[u32], x: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; slots.len() * self.network.blueprint().outputs()];
        self.network.step(&mut self.arena, slots, x, &mut y).unwrap();
        y
    }

    fn row(&self, slot: u32) -> Vec<f32> {
        let mut row = vec![0.0; self.arena.row_width()];
        self.arena.export_row(slot, &mut row).unwrap();
        row
    }
}

#[track_caller]
fn assert_close(a: &[f32], b: &[f32], within: f32, what: &str) {
    assert_eq!(a.len(), b.len());
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= within * (1.0 + b.abs()), "{what} at {i}: {a} {b}");
    }
}

/// Weights so small that a rectified network of many layers does not explode.
fn tame(b: Blueprint, seed: u64) -> Weights {
    let hidden = b.stack().map_or(5, |s| s.hidden);
    weights(b, 1.2 / (hidden as f32).sqrt(), seed)
}

#[test]
fn a_device_serves_what_the_kernels_serve() {
    let device = device();
    for b in every(4, 5, 3).into_iter().chain(every(4, 32, 3).into_iter().step_by(3)) {
        let w = tame(b, 9);
        let series = 13;
        let (mut ours, mut kernels) =
            (Server::on(&device, &w, series), Server::on(&Device::cpu(), &w, series));
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for t in 0..64 {
            // A subset of the series, in random order.
            let mut slots: Vec<u32> = (0..series as u32).collect();
            slots.shuffle(&mut rng);
            slots.truncate(rng.random_range(1..=series));
            let x = draw(slots.len() * 4, 1.5, 100 + t);
            let (a, b) = (ours.step(&slots, &x), kernels.step(&slots, &x));
            assert_close(&a, &b, 1e-4, &format!("{:?} step {t}", w.blueprint()));
        }
        for slot in 0..series as u32 {
            assert_close(&ours.row(slot), &kernels.row(slot), 1e-4, &format!("{b:?} slot {slot}"));
        }
    }
}

#[test]
fn rows_go_from_one_to_the_other_bit_for_bit() {
    let device = device();
    for b in every(4, 7, 3) {
        let w = tame(b, 2);
        let (mut ours, mut kernels) = (Server::on(&device, &w, 3), Server::on(&Device::cpu(), &w, 5));
        for t in 0..9 {
            kernels.step(&[4, 1], &draw(8, 1.0, t));
        }
        let row = kernels.row(4);
        ours.arena.import_row(2, &row).unwrap();
        ours.arena.grow(40).unwrap();
        assert_eq!(ours.row(2), row);
        assert!(ours.row(0).iter().chain(&ours.row(39)).all(|v| *v == 0.0));
        for t in 9..15 {
            let x = draw(4, 1.0, 20 + t);
            assert_close(&ours.step(&[2], &x), &kernels.step(&[4], &x), 1e-5, &format!("{b:?}"));
        }
        kernels.arena.import_row(0, &ours.row(2)).unwrap();
        assert_eq!(kernels.row(0), ours.row(2));
        ours.arena.reset(2).unwrap();
        assert!(ours.row(2).iter().all(|v| *v == 0.0));
    }
}

#[test]
fn what_is_not_finite_never_stays_in_a_state() {
    let device = device();
    for b in every(4, 5, 3) {
        let w = weights(b, 0.5, 3);
        for bad in [f32::NAN, f32::INFINITY, f32::MAX] {
            let mut server = Server::on(&device, &w, 2);
            for t in 0..4 {
                let mut x = draw(8, 1.0, t);
                if t == 1 {
                    x[2] = bad;
                }
                let y = server.step(&[0, 1], &x);
                assert!(y[3..].iter().all(|v| v.is_finite()), "{b:?} {bad}: a neighbour is spoilt");
                assert!(t == 1 || y.iter().all(|v| v.is_finite()), "{b:?} {bad}");
                assert!(server.row(0).iter().all(|v| v.is_finite()), "{b:?} {bad}");
            }
        }
    }
}

#[test]
fn what_does_not_belong_together_is_refused_and_changes_nothing() {
    let device = device();
    let w = tame(Blueprint::try_new(Cell::Gru, Norm::None, 2, 4, 1, 1).unwrap(), 3);
    let mut server = Server::on(&device, &w, 4);
    let (x, mut y) = ([1.0; 6], [0.0; 3]);
    let Server { network, arena } = &mut server;
    let mut step = |slots: &[u32], x: &[f32], y: &mut [f32]| network.step(arena, slots, x, y);
    assert!(matches!(step(&[0, 1, 0], &x, &mut y), Err(Error::RepeatedSlot(0))));
    assert!(matches!(step(&[0, 1, 4], &x, &mut y), Err(Error::Slot { slot: 4, slots: 4 })));
    assert!(matches!(step(&[0, 1], &x, &mut y), Err(Error::Length { .. })));
    let mut elsewhere = Arena::new(w.blueprint()).unwrap();
    elsewhere.grow(4).unwrap();
    let wrong = network.step(&mut elsewhere, &[0], &x[..2], &mut y[..1]);
    assert!(matches!(wrong, Err(Error::Elsewhere { .. })), "{wrong:?}");
    assert!((0..4).all(|slot| server.row(slot) == [0.0; 4]));
    assert!(server.arena.import_row(4, &[0.0; 4]).is_err());
}

/// A chunk of random data.
struct Data {
    size: [usize; 3],
    x: Vec<f32>,
    targets: Vec<f32>,
    mask: Vec<f32>,
    state: Option<Vec<f32>>,
}

impl Data {
    /// `[batch, burn_in, steps]`; half of the chunks start from states that serving made.
    fn new(w: &Weights, [batch, burn_in, steps]: [usize; 3], levels: usize, seed: u64) -> Self {
        let b = w.blueprint();
        let points = batch * steps * b.outputs() / levels;
        let state = seed.is_multiple_of(2).then(|| {
            let mut server = Server::on(&Device::cpu(), w, batch);
            for t in 0..5 {
                // Rows are at different turns and phases.
                let slots: Vec<u32> = (0..batch as u32).filter(|s| t as u32 + s > 1).collect();
                server.step(&slots, &draw(slots.len() * b.inputs(), 1.0, seed + t));
            }
            (0..batch as u32).flat_map(|s| server.row(s)).collect()
        });
        let mut targets = draw(points, 1.0, seed + 2);
        let mask: Vec<f32> = draw(points, 1.0, seed + 3).iter().map(|v| (v + 0.5).max(0.0)).collect();
        for (target, mask) in targets.iter_mut().zip(&mask) {
            if *mask == 0.0 {
                *target = f32::NAN;
            }
        }
        let x = draw(batch * (burn_in + steps) * b.inputs(), 1.5, seed + 1);
        Self { size: [batch, burn_in, steps], x, targets, mask, state }
    }

    fn chunk(&self) -> Chunk<'_> {
        let [batch, burn_in, steps] = self.size;
        let (x, targets, mask) = (&self.x[..], &self.targets[..], &self.mask[..]);
        Chunk { batch, burn_in, steps, x, targets, mask, state: self.state.as_deref() }
    }
}

fn losses() -> [Loss; 3] {
    [Loss::Squared, Loss::Huber(0.3), Loss::Pinball([0.1, 0.5, 0.9].into())]
}

#[test]
fn a_devices_gradients_are_those_of_the_kernels() {
    let device = device();
    for (seed, b) in every(4, 6, 3).into_iter().enumerate() {
        let loss = losses()[seed % 3].clone();
        let dropped = seed % 5 == 0;
        let settings = TrainerSettings {
            dropout: if dropped {
                Dropout { input: 0.3, recurrent: 0.3, between: 0.3 }
            } else {
                Dropout::NONE
            },
            teacher_forcing: (seed % 2) as f32,
            loss,
            ..SETTINGS
        };
        let w = weights(b, 0.6, seed as u64);
        let data =
            Data::new(&w, [3, seed % 4, 7], settings.loss.levels(), 10 * seed as u64 + seed as u64 % 2);
        let mut ours = Trainer::on(&device, &w, None, settings.clone()).unwrap();
        let mut kernels = Trainer::new(&w, None, settings).unwrap();
        let what = format!("{b:?}");
        let (a, b) = (ours.evaluate(&data.chunk()).unwrap(), kernels.evaluate(&data.chunk()).unwrap());
        assert!((a.0 - b.0).abs() < 1e-4 * (1.0 + b.0) && (a.1 - b.1).abs() < 1e-4, "{what}: {a:?} {b:?}");
        let (a, b) = (ours.forecast(&data.chunk()).unwrap(), kernels.forecast(&data.chunk()).unwrap());
        assert_close(&a, &b, 2e-5, &what);
        let (a, a_gradient) = ours.gradient(&data.chunk()).unwrap();
        let (b, b_gradient) = kernels.gradient(&data.chunk()).unwrap();
        assert_close(&[a], &[b], 2e-5, &what);
        let size = b_gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
        assert!(size > 0.0, "{what} has a gradient");
        for (i, (a, b)) in a_gradient.iter().zip(&b_gradient).enumerate() {
            assert!((a - b).abs() < 5e-5 * (1.0 + size), "{what} at {i}: {a} {b}");
        }
    }
}

#[test]
fn streaming_equals_the_whole_sequence() {
    let device = device();
    for b in every(4, 9, 3) {
        let (w, steps, series) = (tame(b, 9), 40, 3);
        let mut server = Server::on(&device, &w, series);
        let x = draw(series * steps * 4, 1.5, 10);
        let zero = vec![0.0; series * steps * 3];
        let chunk =
            Chunk { batch: series, burn_in: 0, steps, x: &x, targets: &zero, mask: &zero, state: None };
        let whole = Trainer::on(&device, &w, None, SETTINGS).unwrap().forecast(&chunk).unwrap();
        for t in 0..steps {
            let now: Vec<f32> = (0..series).flat_map(|s| x[(s * steps + t) * 4..][..4].to_vec()).collect();
            let y = server.step(&[0, 1, 2], &now);
            for (s, y) in y.chunks_exact(3).enumerate() {
                assert_close(y, &whole[(s * steps + t) * 3..][..3], 2e-5, &format!("{b:?} step {t}"));
            }
        }
    }
}

#[test]
fn updates_on_a_device_are_the_kernels_updates() {
    let device = device();
    for (seed, b) in every(4, 6, 3).into_iter().enumerate().step_by(2) {
        // Adam divides by the root of past squares, so gradients near 0 must not decide the
        // comparison.
        let settings = TrainerSettings { learning_rate: 1e-4, weight_decay: 0.1, clip_norm: 1.0, ..SETTINGS };
        let w = weights(b, 0.6, seed as u64);
        let mut ours = Trainer::on(&device, &w, None, settings.clone()).unwrap();
        let mut kernels = Trainer::new(&w, None, settings).unwrap();
        for round in 0..4 {
            let data = Data::new(&w, [3, 2, 6], 1, 1_000 * seed as u64 + 10 * round);
            let (a, b) = (ours.chunk(&data.chunk()).unwrap(), kernels.chunk(&data.chunk()).unwrap());
            assert_close(&[a], &[b], 1e-4, "loss");
        }
        assert_close(ours.weights().values(), kernels.weights().values(), 1e-4, &format!("{b:?}"));
        assert_eq!(ours.optimiser_state().step(), 4);
    }
}

#[test]
fn what_a_device_has_learnt_serves_from_a_bundle_anywhere() {
    // The value of three readings ago.
    let device = device();
    let b = Blueprint::try_new(Cell::Lstm, Norm::Layer, 2, 16, 1, 1).unwrap();
    let settings = TrainerSettings { learning_rate: 1e-2, clip_norm: 1.0, ..SETTINGS };
    let mut trainer = Trainer::on(&device, &Weights::initial(&b, 1), None, settings.clone()).unwrap();
    let (batch, steps) = (16, 24);
    let mut losses = Vec::new();
    for round in 0..200 {
        let values = draw(batch * steps, 1.0, round);
        let x: Vec<f32> = values.iter().flat_map(|v| [*v, 1.0]).collect();
        let at = |i: usize| if i % steps >= 3 { values[i - 3] } else { 0.0 };
        let targets: Vec<f32> = (0..batch * steps).map(at).collect();
        let mask: Vec<f32> = (0..batch * steps).map(|i| f32::from(i % steps >= 3)).collect();
        let chunk = Chunk { batch, burn_in: 0, steps, x: &x, targets: &targets, mask: &mask, state: None };
        losses.push(trainer.chunk(&chunk).unwrap());
    }
    let last = losses[190..].iter().sum::<f32>() / 10.0;
    assert!(last < 0.1 * losses[0], "{} to {last}", losses[0]);

    let trained =
        Trained { weights: Arc::new(trainer.weights()), optimiser: Some(trainer.optimiser_state()) };
    let bytes = bundle::save(&trained.clone().into(), &BTreeMap::new()).unwrap();
    let networks = bundle::load(&bytes).unwrap().networks;
    let loaded = networks.alone().unwrap();
    assert_eq!(*loaded, trained);
    let (mut ours, mut kernels) =
        (Server::on(&device, &loaded.weights, 1), Server::on(&Device::cpu(), &loaded.weights, 1));
    for t in 0..64 {
        let x = [draw(1, 1.0, t)[0], 1.0];
        assert_close(&ours.step(&[0], &x), &kernels.step(&[0], &x), 1e-4, "a bundle");
    }
    // The optimiser continues on the CPU.
    assert!(Trainer::new(&loaded.weights, loaded.optimiser.as_ref(), settings).is_ok());
}

#[test]
fn the_longest_chunk_has_a_gradient() {
    let device = device();
    let stack =
        tidecast::nn::Recurrent { cell: Cell::Lstm, norm: Norm::Layer, hidden: 2, layers: 2, residual: true };
    let b = Blueprint::of(Family::Recurrent(stack), Head::Direct, 2, 1).unwrap();
    let (w, steps) = (tame(b, 4), 4_096);
    let (x, targets, mask) = (draw(steps * 2, 1.0, 1), draw(steps, 1.0, 2), vec![1.0; steps]);
    let chunk = Chunk { batch: 1, burn_in: 0, steps, x: &x, targets: &targets, mask: &mask, state: None };
    let (_, ours) = Trainer::on(&device, &w, None, SETTINGS).unwrap().gradient(&chunk).unwrap();
    let (_, kernels) = Trainer::new(&w, None, SETTINGS).unwrap().gradient(&chunk).unwrap();
    assert_close(&ours, &kernels, 1e-3, "a long chunk");
}

#[test]
fn a_shard_on_a_device_is_cut_and_comes_back_anywhere() {
    let shape = stream(
        "horizon = 4\nseasons = [6]\nwindow = 64\nmodel = { hidden = 6 }\ntraining = { enabled = false }",
    );
    let on = |device: Device| Model { device, ..any_model(&shape, 1) };
    let (ours, kernels) = (on(device()), on(Device::cpu()));
    let readings = sensed(5, 60, 2);
    let serve = |bench: &mut Bench, from: usize, until: usize| {
        for (offset, reading) in readings.iter().enumerate().take(until).skip(from) {
            bench.offer(reading, offset as i64);
            bench.step();
        }
    };
    let begin = |model: &Model| {
        let mut bench = Bench::new(&shape);
        // Some states are warmed from windows; other series come later.
        serve(&mut bench, 0, 100);
        bench.shard.bring(model).unwrap();
        assert!(bench.shard.warm(usize::MAX).unwrap().is_some());
        serve(&mut bench, 100, 200);
        bench
    };
    let restored = |chunks: &[Vec<u8>], model: &Model| {
        let mut restore = Restore::new(&shape, Some(model));
        chunks.iter().for_each(|chunk| restore.take(chunk).unwrap());
        let mut bench = Bench::new(&shape);
        bench.shard = restore.finish().unwrap();
        assert!(bench.shard.model().is_some());
        bench
    };
    let mut here = begin(&ours);
    here.shard.between_rounds().unwrap().begin_cut();
    // A row that changes before it is written is copied in its old state.
    let mut chunks: Vec<Vec<u8>> = Vec::new();
    chunks.extend(here.shard.cut(1).unwrap());
    let at_cut: Vec<_> = here.shard.names().map(str::to_owned).collect();
    let states = |bench: &Bench| -> Vec<Vec<f32>> {
        let state = |name: &String| bench.shard.state(bench.shard.find(name).unwrap()).unwrap().unwrap();
        at_cut.iter().map(state).collect()
    };
    let then = states(&here);
    serve(&mut here, 200, 230);
    while let Some(chunk) = here.shard.cut(1 << 20).unwrap() {
        chunks.push(chunk);
    }
    let (mut again, mut there) = (restored(&chunks, &ours), restored(&chunks, &kernels));
    assert_eq!((states(&again), states(&there)), (then.clone(), then));
    serve(&mut here, 230, readings.len());
    serve(&mut again, 200, readings.len());
    serve(&mut there, 200, readings.len());
    let mut quiet = begin(&kernels);
    serve(&mut quiet, 200, readings.len());
    for other in [&here, &again, &there] {
        let late = |bench: &Bench| bench.answers.iter().filter(|a| a.1 >= 230).cloned().collect::<Vec<_>>();
        let (a, b) = (late(other), late(&quiet));
        assert_eq!(a.len(), b.len());
        for ((a_series, a_offset, a), (b_series, b_offset, b)) in a.iter().zip(&b) {
            assert_eq!((a_series, a_offset), (b_series, b_offset));
            for (a, b) in a.targets.iter().zip(&b.targets) {
                let point = |yhat: &[f64]| yhat.iter().map(|v| *v as f32).collect::<Vec<_>>();
                assert_close(&point(&a.yhat), &point(&b.yhat), 1e-4, a_series);
            }
        }
    }
}
