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
mod broker;
mod cluster;
mod faulty;
mod judge;
mod oracle;
mod output;
mod plan;
mod run;

use plan::Plan;
use run::World;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tidecast::worker::{RarePath, RarePaths};

const SEEDS: u64 = 400;
/// From so many seeds on every rare path has to be reached.
const SEEDS_THAT_REACH_ALL: u64 = 400;

/// Runs a seed, judges it, and returns the rare paths that it took.
fn simulate(seed: u64, lying: f64) -> RarePaths {
    let plan = Plan::of(seed);
    let mut world = World::new(&plan, seed);
    world.run(lying);
    let cluster = world.cluster.borrow();
    let logs: Vec<_> = cluster.logs.iter().map(|log| log.records.clone()).collect();
    judge::judge(&plan, &oracle::outputs(&plan), &cluster.outputs, &logs, &cluster.forgiven);
    world.rare_paths
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
    let mut reached = [0; RarePath::ALL.len()];
    for seed in seeds.clone() {
        match catch_unwind(AssertUnwindSafe(|| simulate(seed, 0.0))) {
            Ok(paths) => {
                let counts = RarePath::ALL.iter().zip(&mut reached);
                counts.for_each(|(path, count)| *count += u64::from(paths.contains(*path)));
            }
            Err(cause) => {
                eprintln!("seed {seed} fails; alone: TIDECAST_SIMULATION_SEED={seed} tests/run simulation");
                std::panic::resume_unwind(cause);
            }
        }
    }
    println!("seeds {seeds:?}; rare paths, and in how many seeds each was reached:");
    for (path, count) in RarePath::ALL.iter().zip(&reached) {
        println!("{count:8} {path:?}");
    }
    if seeds.end - seeds.start >= SEEDS_THAT_REACH_ALL {
        let missed = RarePath::ALL.iter().zip(&reached).filter(|(_, count)| **count == 0);
        let missed: Vec<_> = missed.map(|(path, _)| path).collect();
        assert!(missed.is_empty(), "no seed reaches {missed:?}: the faults that lead there are not injected");
    }
}

/// A broker that says that it has committed what it has aborted stands for a worker that takes an abort for a
/// commit.
#[test]
fn a_broken_commit_path_is_found() {
    let is_found = |seed: &u64| {
        let Err(cause) = catch_unwind(AssertUnwindSafe(|| simulate(*seed, 0.05))) else { return false };
        let text = cause.downcast_ref::<String>().map_or("", String::as_str);
        text.starts_with("lost: ") || text.starts_with("doubled: ") || text.contains("lost or invented: ")
    };
    let found = (0..20).filter(is_found).count();
    assert!(found >= 5, "found in {found} of 20 seeds");
}
