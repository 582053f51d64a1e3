//! The seeded simulation: a log, a group and a store that fail in every way that a seed can think
//! of, and workers that crash at every durable step. What is committed in the end must equal what a
//! run commits that never failed.
//!
//! ```sh
//! tests/run simulation                             # 2,000 seeds
//! TIDECAST_SIMULATION_SEEDS=200000 tests/run simulation
//! TIDECAST_SIMULATION_SEED=17 tests/run simulation # one seed alone
//! ```

mod faulty;
mod worker;
mod world;

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use worker::{Commit, Worker};
use world::{Output, World};

const SEEDS: u64 = 2_000;
/// Steps in which things go wrong; after them all is healed.
const STEPS: usize = 400;
/// A healed world has to be done by then.
const HEALED_STEPS: usize = 2_000;

type Committed = Vec<Vec<(i64, Output)>>;

/// What happened, for the summary.
#[derive(Debug, Default)]
struct Counts {
    records: u64,
    crashes: u64,
    rebalances: u64,
    unclean_commits: u64,
    rotten: u64,
    recoveries: u64,
}

/// One worker, nothing fails, one reading at a time.
fn quiet(seed: u64) -> Committed {
    let mut world = World::new(seed);
    let mut worker = Worker::new(0);
    world.generation = 1;
    worker.joined(1);
    for partition in 0..world.plan.log.len() {
        world.available[partition] = world.plan.log[partition].len();
        world.owners[partition] = Some(0);
        worker.assigned(partition);
    }
    worker.open(&world);
    while !world.is_done() {
        for partition in worker.partitions() {
            worker.poll(&world, partition, 1);
        }
        assert!(worker.commit(&mut world, Commit::Done));
    }
    world.outputs
}

/// The group gives every partition to a worker that lives. Those who lose one either hand it over or
/// do not hear of it.
fn rebalance(world: &mut World, workers: &mut [Option<Worker>], rng: &mut ChaCha8Rng) {
    let alive: Vec<usize> = (0..workers.len()).filter(|i| workers[*i].is_some()).collect();
    let before = world.owners.clone();
    let after: Vec<Option<usize>> = before.iter().map(|_| alive.choose(rng).copied()).collect();
    // Before the new generation begins, whoever is asked to may still commit.
    let mut deaf = Vec::new();
    for i in &alive {
        let worker = workers[*i].as_mut().expect("it lives");
        let loses: Vec<usize> =
            (0..before.len()).filter(|p| before[*p] == Some(*i) && after[*p] != Some(*i)).collect();
        if !loses.is_empty() && rng.random_bool(0.3) {
            deaf.push(*i);
            continue;
        }
        if !loses.is_empty() && worker.commit(world, Commit::Done) {
            for partition in loses {
                if rng.random_bool(0.5) && !worker.is_taking() {
                    worker.begin_snapshot(world, partition);
                    while worker.is_taking() {
                        worker.go_on_taking(world, rng);
                    }
                }
                worker.release(partition);
            }
        }
    }
    world.generation += 1;
    world.owners.clone_from(&after);
    for i in alive.iter().filter(|i| !deaf.contains(i)) {
        join(world, workers[*i].as_mut().expect("it lives"), *i);
    }
}

fn join(world: &World, worker: &mut Worker, number: usize) {
    worker.joined(world.generation);
    for partition in (0..world.owners.len()).filter(|p| world.owners[*p] == Some(number)) {
        worker.assigned(partition);
    }
}

fn commit(world: &mut World, worker: &mut Worker, number: usize, how: Commit) {
    if !worker.commit(world, how) {
        // It was out of the group and comes in again: what the group gives it, it opens anew.
        join(world, worker, number);
    }
}

fn chaotic(seed: u64, counts: &mut Counts) -> Committed {
    let mut rng = ChaCha8Rng::seed_from_u64(!seed);
    let mut world = World::new(seed);
    let mut workers: Vec<Option<Worker>> = (0..world.plan.workers).map(|i| Some(Worker::new(i))).collect();
    world.disk.set_rate(*[0.0, 0.02, 0.2].choose(&mut rng).unwrap());
    rebalance(&mut world, &mut workers, &mut rng);
    for _ in 0..STEPS {
        let i = rng.random_range(0..workers.len());
        let action = rng.random_range(0..100);
        let Some(worker) = &mut workers[i] else {
            if action < 20 {
                workers[i] = Some(Worker::new(i));
                rebalance(&mut world, &mut workers, &mut rng);
            }
            continue;
        };
        match action {
            0..15 => {
                let partition = rng.random_range(0..world.available.len());
                let end = world.plan.log[partition].len();
                world.available[partition] = end.min(world.available[partition] + rng.random_range(1..12));
            }
            15..50 => {
                let most = rng.random_range(1..20);
                if let Some(partition) = worker.partitions().choose(&mut rng) {
                    worker.poll(&world, *partition, most);
                }
            }
            50..70 => {
                let how = match rng.random_range(0..20) {
                    0 => Commit::Aborted,
                    1 => Commit::Unknown { done: true },
                    2 => Commit::Unknown { done: false },
                    _ => Commit::Done,
                };
                counts.unclean_commits += u64::from(how != Commit::Done);
                commit(&mut world, worker, i, how);
                if rng.random_bool(0.5)
                    && let Some(partition) = worker.partitions().choose(&mut rng)
                {
                    worker.begin_snapshot(&world, *partition);
                }
            }
            70..85 => worker.go_on_taking(&world, &mut rng),
            85..91 => {
                worker.open(&world);
                counts.recoveries += 1;
            }
            91..94 => {
                counts.crashes += 1;
                if rng.random_bool(0.5) {
                    // In the middle of a snapshot's end: between its parts, its manifest, its pruning.
                    world.disk.die_after(Some(rng.random_range(0..6)));
                    while worker.is_taking() {
                        worker.go_on_taking(&world, &mut rng);
                    }
                    world.disk.die_after(None);
                }
                worker.crash();
                workers[i] = None;
            }
            94..97 => {
                counts.rebalances += 1;
                rebalance(&mut world, &mut workers, &mut rng);
            }
            97 => {
                counts.rotten += 1;
                world.disk.rot(&mut rng);
            }
            _ => {}
        }
    }
    world.disk.set_rate(0.0);
    for (i, worker) in workers.iter_mut().enumerate() {
        worker.get_or_insert_with(|| Worker::new(i));
    }
    rebalance(&mut world, &mut workers, &mut rng);
    for (partition, records) in world.plan.log.iter().enumerate() {
        world.available[partition] = records.len();
    }
    for _ in 0..HEALED_STEPS {
        if world.is_done() {
            break;
        }
        for (i, worker) in workers.iter_mut().enumerate() {
            let worker = worker.as_mut().expect("all live");
            worker.open(&world);
            for partition in worker.partitions() {
                worker.poll(&world, partition, 50);
            }
            commit(&mut world, worker, i, Commit::Done);
        }
    }
    assert!(world.is_done(), "a healed world comes to its end");
    counts.records += world.plan.log.iter().map(|l| l.len() as u64).sum::<u64>();
    world.outputs
}

/// Shares no code with what it judges: counts, and compares numbers.
fn judge(quiet: &Committed, chaotic: &Committed) {
    for (partition, (quiet, chaotic)) in quiet.iter().zip(chaotic).enumerate() {
        let mut seen: BTreeMap<i64, &Output> = BTreeMap::new();
        for (offset, output) in chaotic {
            assert!(seen.insert(*offset, output).is_none(), "in[{partition}] offset {offset} is doubled");
        }
        assert_eq!(seen.len(), quiet.len(), "in[{partition}] lost or invented something");
        for (offset, wanted) in quiet {
            let found = seen.get(offset).unwrap_or_else(|| panic!("in[{partition}] offset {offset} is lost"));
            match (wanted, found) {
                (Output::DeadLetter, Output::DeadLetter) => {}
                (
                    Output::Forecast { series, origin, model, values },
                    Output::Forecast { series: s, origin: o, model: m, values: v },
                ) => {
                    assert_eq!((series, origin, model), (s, o, m), "in[{partition}] offset {offset}");
                    let close = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-5 * a.abs().max(1.0);
                    let all = values.len() == v.len() && values.iter().zip(v).all(close);
                    assert!(all, "in[{partition}] offset {offset}: {values:?} and {v:?}");
                }
                _ => panic!("in[{partition}] offset {offset}: {wanted:?} and {found:?}"),
            }
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is \"{text}\", which is no number")))
}

#[test]
fn what_is_committed_equals_a_run_that_never_failed() {
    let seeds = match number("TIDECAST_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TIDECAST_SIMULATION_SEEDS").unwrap_or(SEEDS),
    };
    let mut counts = Counts::default();
    let all = seeds.clone();
    for seed in seeds {
        let run = AssertUnwindSafe(|| judge(&quiet(seed), &chaotic(seed, &mut counts)));
        if let Err(cause) = catch_unwind(run) {
            eprintln!("seed {seed} fails; alone: TIDECAST_SIMULATION_SEED={seed} tests/run simulation");
            std::panic::resume_unwind(cause);
        }
    }
    println!("seeds {all:?}: {counts:?}");
}
