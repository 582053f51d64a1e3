//! `lateness` and `max_held` change while readings are held back. Every reading is answered or discarded once. Shards and
//! snapshots are in memory.

use super::support::stream::{hour, stream};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tidecast::config::Stream;
use tidecast::domain::{EventTime, Offset, Reading, Values};
use tidecast::engine::{Restore, Shard};
use tidecast::series::{ReorderHistory, ReorderSettings};
use tidecast::telemetry::Discard;

const LINES: &str = "horizon = 2\nwindow = 64\nseasons = []\ntraining = { enabled = false }";
const READINGS: i64 = 400;
const SERIES: i64 = 3;
/// The longest `lateness`, in hours.
const LATEST: i64 = 12;

/// Offset by offset: a series and its time.
struct Log(Vec<(String, EventTime)>);

impl Log {
    /// Times that go back and forth. The last ones of each series release all held readings.
    fn new(rng: &mut ChaCha8Rng) -> Self {
        let mut readings = Vec::new();
        for block in (0..READINGS).collect::<Vec<_>>().chunks(24) {
            let mut block = block.to_vec();
            block.shuffle(rng);
            readings.extend(block.into_iter().map(|n| (format!("s{}", n % SERIES), hour(n / SERIES))));
        }
        readings.extend((0..SERIES).map(|s| (format!("s{s}"), hour(READINGS + 10 * LATEST))));
        Self(readings)
    }

    fn end(&self) -> i64 {
        self.0.len() as i64
    }
}

/// The state of the group, of the store and of the answers.
#[derive(Default)]
struct World {
    committed: i64,
    note: String,
    /// By offset.
    snapshots: BTreeMap<i64, Vec<Vec<u8>>>,
    /// How often each offset was answered.
    answers: BTreeMap<i64, usize>,
    discarded: u64,
}

/// A daemon from its start, from a snapshot or cold, until it is killed.
struct Life<'a> {
    stream: &'a Arc<Stream>,
    log: &'a Log,
    holding: ReorderSettings,
    /// Of all commits, how many are followed by a snapshot.
    snapshots: f64,
}

impl Life<'_> {
    fn live(&self, world: &mut World, until: i64, rng: &mut ChaCha8Rng) {
        let name = &self.stream.name;
        let holdings = ReorderHistory::of(&world.note, name, Offset(world.committed), self.holding);
        let snapshot = world.snapshots.iter().next_back().filter(|_| rng.random_bool(0.8));
        let (from, mut shard) = match snapshot {
            Some((offset, chunks)) => {
                let mut restore = Restore::new(self.stream, None);
                chunks.iter().for_each(|chunk| restore.take(chunk).unwrap());
                (*offset, restore.finish().unwrap())
            }
            None => (0, Shard::new(self.stream.clone())),
        };
        shard.emit_from(world.committed);
        shard.hold_back(holdings.at(Offset(from)));
        let mut answers = Vec::new();
        for offset in from..until {
            for (since, holding) in holdings.after(Offset(from)) {
                if since.0 == offset {
                    shard.hold_back(holding);
                }
            }
            let (series, time) = &self.log.0[offset as usize];
            let values = Values::from_iter([Some(offset as f64)]);
            shard.offer(&Reading { series, time: *time, later: None, values: &values }, offset, None);
            while shard.run_round(&mut |e| answers.push(e.offset)).unwrap().is_some() {}
            let next = offset + 1;
            if next > world.committed && (rng.random_bool(0.1) || next == self.log.end()) {
                world.committed = next;
                answers.drain(..).for_each(|at| *world.answers.entry(at).or_default() += 1);
                let accounts = shard.take_accounts();
                world.discarded += Discard::ALL.iter().map(|why| accounts.discarded(*why)).sum::<u64>();
                world.note.clear();
                holdings.note(name, &mut world.note);
                if rng.random_bool(self.snapshots) {
                    shard.between_rounds().unwrap().begin_cut();
                    let chunks = std::iter::from_fn(|| shard.cut(usize::MAX).unwrap()).collect();
                    world.snapshots.insert(next, chunks);
                }
            }
            assert_eq!(shard.take_violations().iter().next(), None);
        }
    }
}

/// Several daemons one after the other, each with its own settings.
fn run(seed: u64) {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let stream = stream(LINES);
    let log = Log::new(rng);
    let mut world = World::default();
    let snapshots = [0.0, 0.1, 0.5][rng.random_range(0..3)];
    while world.committed < log.end() {
        let lateness = Duration::from_secs(3_600 * rng.random_range(0..=LATEST as u64));
        let max_held = if rng.random_bool(0.3) { rng.random_range(1..20) } else { 1_000 };
        let life =
            Life { stream: &stream, log: &log, holding: ReorderSettings { lateness, max_held }, snapshots };
        let until = (world.committed + rng.random_range(1..120)).min(log.end());
        life.live(&mut world, until, rng);
    }
    let doubled: Vec<_> = world.answers.iter().filter(|(_, times)| **times > 1).collect();
    assert!(doubled.is_empty(), "seed {seed}: answered more than once: {doubled:?}");
    // The last ones are still held back unless they were released.
    let answered = world.answers.len() as u64 + world.discarded;
    let all = log.end() as u64;
    let last = (log.end() - SERIES..log.end()).filter(|at| world.answers.contains_key(at)).count();
    let waiting = SERIES as u64 - last as u64;
    assert_eq!(answered + waiting, all, "seed {seed}: others than the last {waiting} are missing");
}

#[test]
fn a_change_of_lateness_loses_and_doubles_no_reading() {
    let seeds = std::env::var("TIDECAST_SIMULATION_SEEDS").ok().map_or(300, |n| n.parse().expect("a number"));
    (0..seeds).for_each(run);
}
