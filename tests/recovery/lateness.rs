//! `lateness` and `max_held` change while readings are held back, and commits come in the middle of what a record releases.
//! Every reading is answered or discarded once. Shards and snapshots are in memory.

use super::support::stream::{hour, stream};
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tidecast::config::Stream;
use tidecast::domain::{EventTime, Offset, Reading, Values};
use tidecast::engine::{Emitted, Restore, Shard};
use tidecast::series::{RecordProgress, ReorderHistory, ReorderSettings};
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
    /// What each offset was answered with, as bits.
    answers: BTreeMap<i64, Vec<u64>>,
    discarded: u64,
    /// Commits in the middle of what a record releases, and lives that began there.
    commits_within: usize,
    begun_within: usize,
}

impl World {
    /// Commits an offset, with the answers so far and an empty note.
    fn commit(&mut self, next: i64, answers: &mut Vec<(i64, u64)>, shard: &mut Shard) {
        self.committed = next;
        answers.drain(..).for_each(|(at, bits)| self.answers.entry(at).or_default().push(bits));
        let accounts = shard.take_accounts();
        self.discarded += Discard::ALL.iter().map(|why| accounts.discarded(*why)).sum::<u64>();
        self.note.clear();
    }
}

/// Runs all rounds.
fn step(shard: &mut Shard, answers: &mut Vec<(i64, u64)>) {
    let mut sink = |e: Emitted<'_>| answers.push((e.offset, e.forecast.targets[0].yhat[0].to_bits()));
    while shard.run_round(&mut sink).unwrap().is_some() {}
}

/// A daemon from its start, from a snapshot or cold, until it is killed.
struct Life<'a> {
    stream: &'a Arc<Stream>,
    log: &'a Log,
    holding: ReorderSettings,
    /// Of all commits, how many are followed by a snapshot.
    snapshots: f64,
    /// A release is interrupted while so many readings wait for their rounds.
    waiting_most: usize,
}

impl Life<'_> {
    fn live(&self, world: &mut World, until: i64, rng: &mut ChaCha8Rng) {
        let name = &self.stream.name;
        let answered = RecordProgress::of(&world.note, name, Offset(world.committed));
        world.begun_within += usize::from(answered.is_some());
        let since = Offset(world.committed + i64::from(answered.is_some()));
        let holdings = ReorderHistory::of(&world.note, name, since, self.holding);
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
        shard.emit_after(answered);
        shard.interrupt_at(self.waiting_most);
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
            step(&mut shard, &mut answers);
            while shard.is_interrupted() {
                if offset >= world.committed && rng.random_bool(0.3) {
                    // What a replay has not reached yet was answered before.
                    let before = answered
                        .filter(|before| before.offset.0 == offset)
                        .map_or(0, |before| before.readings);
                    let readings = shard.let_through().max(before);
                    world.commit(offset, &mut answers, &mut shard);
                    holdings.note(name, &mut world.note);
                    RecordProgress { offset: Offset(offset), readings }.note(name, &mut world.note);
                    world.commits_within += 1;
                    if rng.random_bool(0.3) {
                        return;
                    }
                }
                shard.go_on();
                step(&mut shard, &mut answers);
            }
            let next = offset + 1;
            if next > world.committed && (rng.random_bool(0.1) || next == self.log.end()) {
                world.commit(next, &mut answers, &mut shard);
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

/// Several daemons one after the other, each with its own settings. Returns how often a commit came within a record, and
/// how often a daemon began there.
fn run(seed: u64) -> (usize, usize) {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let stream = stream(LINES);
    let log = Log::new(rng);
    let mut world = World::default();
    let snapshots = [0.0, 0.1, 0.5][rng.random_range(0..3)];
    while world.committed < log.end() {
        let lateness = Duration::from_secs(3_600 * rng.random_range(0..=LATEST as u64));
        let max_held = if rng.random_bool(0.3) { rng.random_range(1..20) } else { 1_000 };
        let holding = ReorderSettings { lateness, max_held };
        let waiting_most = *[1, 2, 7, 50, usize::MAX].choose(rng).unwrap();
        let life = Life { stream: &stream, log: &log, holding, snapshots, waiting_most };
        let until = (world.committed + rng.random_range(1..120)).min(log.end());
        life.live(&mut world, until, rng);
    }
    let doubled: Vec<_> = world.answers.iter().filter(|(_, answers)| answers.len() > 1).collect();
    assert!(doubled.is_empty(), "seed {seed}: answered more than once: {doubled:?}");
    // The last ones are still held back unless they were released.
    let answered = world.answers.len() as u64 + world.discarded;
    let all = log.end() as u64;
    let last = (log.end() - SERIES..log.end()).filter(|at| world.answers.contains_key(at)).count();
    let waiting = SERIES as u64 - last as u64;
    assert_eq!(answered + waiting, all, "seed {seed}: others than the last {waiting} are missing");
    (world.commits_within, world.begun_within)
}

/// A daemon that is never interrupted, and several that are killed within the release of a record, with the same settings:
/// the answers are the same, bit for bit.
fn run_twice(seed: u64) -> usize {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let stream = stream(LINES);
    let log = Log::new(rng);
    let lateness = Duration::from_secs(3_600 * rng.random_range(1..=LATEST as u64));
    let holding = ReorderSettings { lateness, max_held: 1_000 };
    let life =
        |waiting_most, snapshots| Life { stream: &stream, log: &log, holding, snapshots, waiting_most };
    let mut quiet = World::default();
    life(usize::MAX, 0.0).live(&mut quiet, log.end(), rng);
    let mut world = World::default();
    while world.committed < log.end() {
        let until = (world.committed + rng.random_range(1..120)).min(log.end());
        life(rng.random_range(1..9), 0.3).live(&mut world, until, rng);
    }
    assert_eq!(world.answers, quiet.answers, "seed {seed}");
    assert_eq!(world.discarded, quiet.discarded, "seed {seed}");
    world.begun_within
}

#[test]
fn a_change_of_lateness_loses_and_doubles_no_reading() {
    let seeds = std::env::var("TIDECAST_SIMULATION_SEEDS").ok().map_or(300, |n| n.parse().expect("a number"));
    let within = (0..seeds).map(run).fold((0, 0), |sum, (commits, begun)| (sum.0 + commits, sum.1 + begun));
    println!("{seeds} seeds: commits within a record, and daemons that began there: {within:?}");
    assert!(within.0 > 100 && within.1 > 30, "a release was hardly ever interrupted: {within:?}");
}

#[test]
fn a_release_in_parts_gives_the_same_answers() {
    let begun_within: usize = (0..60).map(run_twice).sum();
    println!("daemons that began within a record: {begun_within}");
    assert!(begun_within > 30, "a release was hardly ever interrupted: {begun_within}");
}
