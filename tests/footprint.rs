//! Serving allocates nothing once its buffers are warm, and neither serving nor training starts a thread.

#![allow(unsafe_code, reason = "an allocator that counts")]

#[path = "support/families.rs"]
mod families;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use tidecast::config::Accuracy;
use tidecast::domain::{Leads, PastReadings, Rows};
use tidecast::experts::{
    Arma, ExpertGroup, LinearExperts, LinearShape, Lms, MIXTURES, Mixer, Observation, Velocity,
};
use tidecast::nn::{Arena, Chunk, Dropout, Loss, Network, Trainer, TrainerSettings, Weights};
use tidecast::scoring::ForecastLedger;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, with a count for each thread.
struct Counting;

// SAFETY: all calls are passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|n| n.set(n.get() + 1));
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.dealloc(p, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_warm_step_allocates_nothing() {
    for b in families::every(8, 40, 24) {
        let mut network = Network::new(&Weights::initial(&b, 1));
        let mut arena = Arena::new(&b).unwrap();
        arena.grow(500).unwrap();
        let slots: Vec<u32> = (0..500).rev().collect();
        let x = vec![0.3; 500 * 8];
        let mut y = vec![0.0; 500 * 24];
        network.step(&mut arena, &slots, &x, &mut y).unwrap();
        let before = ALLOCATIONS.with(Cell::get);
        for n in [500, 1, 97, 250, 500] {
            network.step(&mut arena, &slots[..n], &x[..n * 8], &mut y[..n * 24]).unwrap();
            arena.reset(3).unwrap();
        }
        let after = ALLOCATIONS.with(Cell::get);
        assert_eq!(after - before, 0, "{b:?}");
    }
}

#[test]
fn a_reading_of_a_warm_series_allocates_nothing() {
    for accuracy in [Accuracy::Full, Accuracy::Compact] {
        let leads = if accuracy == Accuracy::Full { Leads::every(24) } else { Leads::buckets(24) };
        let shape = LinearShape {
            targets: 2,
            horizon: 24,
            seasons: vec![24, 168],
            extras: 3,
            shown_again: 0,
            accuracy,
            difference: false,
            linear: true,
        };
        let mut experts: Vec<Box<dyn ExpertGroup>> = vec![
            Box::new(LinearExperts::try_new(&shape).unwrap()),
            Box::new(Arma::new(2, 24, Some(24))),
            Box::new(Lms::new(2, leads.clone(), Some(24))),
            Box::new(Velocity::new(2, 24)),
        ];
        let n: usize = experts.iter().map(|e| e.names().len()).sum();
        let mut mixer = Mixer::new(2, n, leads.clone(), 50);
        let mut ledger = ForecastLedger::new(2, n + MIXTURES, &leads);
        experts.iter_mut().for_each(|e| e.grow(3));
        mixer.grow(3);
        ledger.grow(3);
        let mut candidates = vec![0.0; (n + MIXTURES) * 24];
        let mut matured = vec![0.0; (n + MIXTURES) * leads.len()];
        let mut before = 0;
        const RING: u64 = 256;
        let mut ring = vec![0.0; RING as usize];
        for t in 0..800u64 {
            if t == 100 {
                before = ALLOCATIONS.with(Cell::get);
            }
            let value = (t as f32 * 0.26).sin() + (t as f32 * 7.7).sin();
            let reading = Observation {
                value,
                observed: t % 9 != 0,
                clock: t as i64,
                extras: &[0.1, 0.2, 0.3],
                then: &[],
                past: PastReadings::new(&ring, (t + RING - 1) as usize % RING as usize),
            };
            ledger.matured(2, 1, t, &mut matured);
            let (by_each, by_all) = matured.split_at(n * leads.len());
            mixer.learn(2, 1, value, by_each, by_all);
            let mut rest = &mut candidates[..n * 24];
            for expert in &mut experts {
                let (mine, others) = rest.split_at_mut(expert.names().len() * 24);
                expert.step(2, 1, &reading, mine);
                rest = others;
            }
            let (forecasts, mixed) = candidates.split_at_mut(n * 24);
            mixer.mix(2, 1, forecasts, mixed);
            ledger.issue(2, 1, t, (value, 1.0, true), &candidates);
            ring[(t % RING) as usize] = value;
        }
        assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0, "{accuracy:?}");
        assert!(candidates.iter().all(|f| f.is_finite()));
    }
}

/// The work is large enough for a thread pool to share it out. It runs in a process of its own, because the test
/// runner starts threads too.
#[test]
#[cfg(target_os = "linux")]
fn nothing_starts_a_thread() {
    const CHILD: &str = "TIDECAST_TEST_FOOTPRINT_CHILD";
    if std::env::var_os(CHILD).is_none() {
        let this = std::env::current_exe().unwrap();
        let run = std::process::Command::new(this)
            .args(["--exact", "nothing_starts_a_thread", "--test-threads=1"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
        return;
    }
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let before = threads();
    let slots: Vec<u32> = (0..4096).collect();
    let (x, mut y) = (vec![0.1; 4096 * 8], vec![0.0; 4096 * 24]);
    let (features, targets, mask) =
        (vec![0.2; 32 * 40 * 8], vec![0.5; 32 * 32 * 24], vec![1.0; 32 * 32 * 24]);
    let (batch, burn_in, steps) = (32, 8, 32);
    for b in families::every(8, 64, 24).into_iter().step_by(5) {
        let weights = Weights::initial(&b, 1);
        let mut arena = Arena::new(&b).unwrap();
        arena.grow(4096).unwrap();
        Network::new(&weights).step(&mut arena, &slots, &x, &mut y).unwrap();
        let settings = TrainerSettings {
            dropout: Dropout { input: 0.1, recurrent: 0.1, between: 0.1 },
            loss: Loss::Huber(1.0),
            ..families::SETTINGS
        };
        let mut trainer = Trainer::new(&weights, None, settings).unwrap();
        let chunk =
            Chunk { batch, burn_in, steps, x: &features, targets: &targets, mask: &mask, state: None };
        trainer.chunk(&chunk).unwrap();
        trainer.evaluate(&chunk).unwrap();
    }
    assert_eq!(threads(), before);
}
