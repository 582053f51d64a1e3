//! The seeded simulation: the shipped worker over a broker, a store and a clock that fail in every way that a seed
//! can think of, and processes that die at every step. What is committed in the end must equal what a run commits
//! that never failed.
//!
//! ```sh
//! tests/run simulation                             # a few hundred seeds
//! TIDECAST_SIMULATION_SEEDS=10000 tests/run simulation
//! TIDECAST_SIMULATION_SEED=17 tests/run simulation # one seed alone
//! ```

mod beside;
mod bites;
mod broker;
mod cluster;
mod coordinator;
mod faulty;
mod judge;
mod oracle;
mod output;
mod plan;
mod producer;
mod run;

use bites::{Bites, Fault};
use plan::Plan;
use run::World;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tidecast::worker::{RarePath, RarePaths};

const SEEDS: u64 = 400;
/// From so many seeds on every rare path has to be reached.
const SEEDS_THAT_REACH_ALL: u64 = 400;

/// What is broken on purpose, so that the simulation has something to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sabotage {
    Nothing,
    /// Some commits are aborted and reported as done: a worker that takes an abort for a commit.
    LyingCommits,
    /// Producers keep their epoch whatever was not answered: what comes late acts on a later transaction.
    OneEpoch,
}

/// Runs a seed, judges it, and returns the rare paths that it took and the faults that have bitten.
fn simulate(seed: u64, sabotage: Sabotage) -> (RarePaths, Bites) {
    let plan = Plan::of(seed);
    let mut world = World::new(&plan, seed);
    world.run(sabotage);
    let cluster = world.cluster.borrow();
    let logs: Vec<_> = cluster.logs.iter().map(|log| log.records.clone()).collect();
    judge::judge(&plan, &oracle::outputs(&plan), &cluster.outputs, &logs, &cluster.forgiven);
    drop(cluster);
    (world.rare_paths, world.bites())
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is \"{text}\", which is no number")))
}

#[test]
fn what_is_committed_equals_a_run_that_never_failed() {
    let seeds = match number("TIDECAST_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = number("TIDECAST_SIMULATION_FIRST_SEED").unwrap_or(0);
            first..first + number("TIDECAST_SIMULATION_SEEDS").unwrap_or(SEEDS)
        }
    };
    let mut reached = [0; RarePath::ALL.len()];
    let mut bitten = [0; Fault::ALL.len()];
    for seed in seeds.clone() {
        match catch_unwind(AssertUnwindSafe(|| simulate(seed, Sabotage::Nothing))) {
            Ok((paths, bites)) => {
                let counts = RarePath::ALL.iter().zip(&mut reached);
                counts.for_each(|(path, count)| *count += u64::from(paths.contains(*path)));
                let counts = Fault::ALL.iter().zip(&mut bitten);
                counts.for_each(|(fault, count)| *count += u64::from(bites.contains(*fault)));
            }
            Err(cause) => {
                eprintln!("seed {seed} fails; alone: TIDECAST_SIMULATION_SEED={seed} tests/run simulation");
                std::panic::resume_unwind(cause);
            }
        }
    }
    println!("seeds {seeds:?}");
    let is_whole = seeds.end - seeds.start >= SEEDS_THAT_REACH_ALL;
    let missed = tell("rare path", RarePath::ALL, &reached, seeds.end - seeds.start);
    assert!(!is_whole || missed.is_empty(), "no seed reaches {missed:?}: what leads there is not injected");
    let missed = tell("fault", Fault::ALL, &bitten, seeds.end - seeds.start);
    assert!(!is_whole || missed.is_empty(), "no seed is bitten by {missed:?}");
}

/// Prints in how many seeds each was met, and returns those that were met in none.
fn tell<'a, T: std::fmt::Debug>(what: &str, all: &'a [T], counts: &[u64], seeds: u64) -> Vec<&'a T> {
    println!("{what}, the number of seeds that met it, and their share:");
    for (one, count) in all.iter().zip(counts) {
        println!("{one:>28?} {count:8} {:8.3} %", *count as f64 / seeds as f64 * 100.0);
    }
    all.iter().zip(counts).filter(|(_, count)| **count == 0).map(|(one, _)| one).collect()
}

/// In how many of these seeds an output is missing or there twice.
fn found(seeds: Range<u64>, sabotage: Sabotage) -> usize {
    let is_found = |seed: &u64| {
        let Err(cause) = catch_unwind(AssertUnwindSafe(|| simulate(*seed, sabotage).1)) else { return false };
        let text = cause.downcast_ref::<String>().map_or("", String::as_str);
        text.starts_with("lost: ") || text.starts_with("doubled: ") || text.contains("lost or invented: ")
    };
    seeds.filter(is_found).count()
}

#[test]
fn a_broken_commit_path_is_found() {
    let found = found(0..20, Sabotage::LyingCommits);
    assert!(found >= 5, "found in {found} of 20 seeds");
}

#[test]
fn a_late_request_is_found_where_producers_keep_their_epoch() {
    let found = found(0..60, Sabotage::OneEpoch);
    println!("found in {found} of 60 seeds");
    assert!(found >= 5, "found in {found} of 60 seeds");
}
