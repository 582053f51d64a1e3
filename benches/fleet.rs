//! How a shard grows with its fleet: 1,000 to 1,000,000 series of `compact`, 24 leads of hours and 96 of quarters
//! of an hour, without a network and with the default one. One thread; each row is a process of its own, so that
//! its memory is its own too.
//!
//! A row steps each series so often that its experts speak and learn (the horizon and 16 readings more). Then come
//! bytes a series, as the shard reports them and as the kernel counts them; readings per second, the series in
//! turn; a snapshot through zstd into a folder, taken before the rate is measured; and the restore from it. Times
//! are processor time. `× first` is the rate over that of the smallest fleet of the same kind. A snapshot grows
//! until the rings of its series are full; the smallest fleet shows what it is after 1,000 readings, too.
//!
//! ```sh
//! cargo bench --bench fleet                     # all: half an hour, and 20 GB of memory
//! cargo bench --bench fleet -- "24 leads"       # the rows that have this in their name
//! TIDECAST_BENCH_SERIES=1000,100000 cargo bench --bench fleet
//! TIDECAST_BENCH_LINES='accuracy = "full"' cargo bench --bench fleet
//! ```

#[path = "../tests/support/stream.rs"]
#[expect(dead_code, reason = "tests use the rest")]
mod stream;
#[expect(dead_code, reason = "PyTorch has nothing to hold against this")]
mod yardstick;

use serde_json::{Value, json};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use stream::{any_model, noise};
use tidecast::checkpoint::{Facts, Manifest, SnapshotId, SnapshotWriter, Snapshots, Store};
use tidecast::config::{Store as StoreConfig, StoreLocation, Stream, from_toml};
use tidecast::domain::{EventTime, Generation, Offset, Partition, Reading, TopicPartition, Values};
use tidecast::engine::{MemoryPlan, Model, Restore, Shard};
use yardstick::{Best, seconds, threads, used, wanted};

/// Each fleet is ten times the one before.
const FLEETS: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
const ROUNDS: usize = 5;
const BUDGET: Duration = Duration::from_millis(400);
/// Readings of a series beyond the horizon before the clock runs.
const WARM: usize = 16;
/// Readings after which a series' snapshot is as large as it becomes.
const MATURE: usize = 1_000;
/// Readings that are offered before they are stepped, as a worker polls them.
const BATCH: usize = 1_000;
/// A row that would need more than this share of the machine's memory, or than is available, is left out.
const MEMORY_MAX: f64 = 0.8;

/// What a row is about.
#[derive(Clone, Copy)]
struct Kind {
    horizon: usize,
    has_network: bool,
}

impl Kind {
    const ALL: [Self; 4] = [
        Self { horizon: 24, has_network: false },
        Self { horizon: 96, has_network: false },
        Self { horizon: 24, has_network: true },
        Self { horizon: 96, has_network: true },
    ];

    fn name(self) -> String {
        format!("{} leads, {}", self.horizon, if self.has_network { "experts and LSTM" } else { "experts" })
    }

    fn stream(self) -> Arc<Stream> {
        let (interval, seasons) = if self.horizon == 96 { ("15m", "[96, 672]") } else { ("1h", "[24, 168]") };
        let models = if self.has_network { "" } else { "models = []\n" };
        let lines = std::env::var("TIDECAST_BENCH_LINES").unwrap_or("accuracy = \"compact\"".into());
        let text = format!(
            "[kafka]\nbrokers = \"b\"\n[streams.fleet]\ntopics = [\"in\"]\ntargets = [\"kw\"]\n\
             interval = \"{interval}\"\nseasons = {seasons}\nhorizon = {}\n{models}{lines}\n",
            self.horizon
        );
        from_toml(&text, &[]).unwrap_or_else(|e| panic!("{e}")).streams[0].clone()
    }
}

/// A fleet whose series send in turn.
struct Fleet {
    shard: Shard,
    names: Vec<String>,
    step_us: i64,
    /// Readings offered so far.
    at: usize,
}

impl Fleet {
    /// Readings of a day's wave with noise, the series one after the other.
    fn batch(&mut self) {
        for _ in 0..BATCH {
            let (series, t) = (self.at % self.names.len(), (self.at / self.names.len()) as i64);
            let day = (t * self.step_us) as f64 / 86_400e6;
            let wave = (std::f64::consts::TAU * (day + series as f64 * 0.1)).sin();
            let value = 10.0 + 3.0 * wave + 0.3 * noise(series as u64, t as u64);
            let values = Values::from_iter([Some(value)]);
            let time = EventTime::from_micros(1_700_006_400_000_000 + t * self.step_us).expect("a time");
            let reading = Reading { series: &self.names[series], time, later: None, values: &values };
            self.shard.offer(&reading, self.at as i64, None);
            self.at += 1;
        }
        let mut answered = 0;
        while self.shard.run_round(&mut |_| answered += 1).expect("a step").is_some() {}
        assert_eq!(answered, BATCH);
    }
}

/// Seconds of one call that is too long to be repeated.
fn once(work: impl FnOnce()) -> f64 {
    let start = used();
    work();
    used() - start
}

/// A line of `/proc` in bytes.
fn kilobytes(file: &str, name: &str) -> usize {
    let text = std::fs::read_to_string(file).expect("Linux has it");
    let line = text.lines().find(|line| line.starts_with(name)).expect("Linux has it");
    line.split_whitespace().nth(1).and_then(|n| n.parse::<usize>().ok()).expect("a number") * 1_024
}

fn available() -> usize {
    let share = (kilobytes("/proc/meminfo", "MemTotal:") as f64 * MEMORY_MAX) as usize;
    share.min(kilobytes("/proc/meminfo", "MemAvailable:"))
}

fn resident() -> usize {
    kilobytes("/proc/self/status", "VmRSS:")
}

fn model(kind: Kind, stream: &Stream) -> Option<Model> {
    kind.has_network.then(|| any_model(stream, 1))
}

/// The bytes that a fleet will need.
fn needed(kind: Kind, series: usize) -> usize {
    let stream = kind.stream();
    let plan = MemoryPlan::of(&stream, &any_model(&stream, 1)).expect("a network of the stream's shape");
    let each = plan.each.total();
    series * (each + each / 8 + 40) + plan.training_windows
}

/// Writes a snapshot.
fn write(shard: &mut Shard, mut writer: SnapshotWriter) -> Manifest {
    shard.between_rounds().expect("no reading waits").begin_cut();
    while let Some(chunk) = shard.cut(4 << 20).expect("a chunk") {
        writer.push(&chunk).expect("a store");
    }
    let (series, created) = (shard.series() as u64, EventTime::from_micros(0).expect("a time"));
    let facts = Facts { model: None, topic_id: None, shape: Value::Null, series, created };
    writer.finish(facts).expect("a store")
}

/// A row, in a process of its own.
fn measure(kind: Kind, series: usize) -> Value {
    let stream = kind.stream();
    let model = model(kind, &stream);
    let names = (0..series).map(|s| format!("meter-{s:09}")).collect();
    let before = resident();
    let mut shard = Shard::new(stream.clone());
    if let Some(model) = &model {
        shard.bring(model).expect("a network of the stream's shape");
        shard.warm(usize::MAX).expect("it warms");
    }
    let step_us = stream.grid.interval().expect("a grid").as_micros();
    let mut fleet = Fleet { shard, names, step_us, at: 0 };
    let warmed = once(|| {
        while fleet.at < series * (kind.horizon + WARM) {
            fleet.batch();
        }
    });
    let memory = fleet.shard.memory_by_part();
    let grown = resident() - before;
    let folder = tempfile::tempdir().expect("a folder");
    let location = StoreLocation::Folder(folder.path().to_owned());
    let store = Store::open(&StoreConfig { location, properties: Vec::new() }).expect("a store");
    let at = TopicPartition { topic: "in".into(), partition: Partition(0) };
    let snapshots = Snapshots::new(&store, &stream.name, &at, 1);
    let id = SnapshotId { offset: Offset(fleet.at as i64), generation: Generation(1) };
    let mut manifest = None;
    let written = once(|| manifest = Some(write(&mut fleet.shard, snapshots.writer(id))));
    let manifest = manifest.expect("it was written");
    let mut best = Best::none();
    for _ in 0..ROUNDS {
        best.offer(Some(seconds(BUDGET, || fleet.batch())));
    }
    let mature = (series <= FLEETS[0]).then(|| {
        while fleet.at < series * MATURE {
            fleet.batch();
        }
        let id = SnapshotId { offset: Offset(fleet.at as i64), generation: Generation(1) };
        write(&mut fleet.shard, snapshots.writer(id)).packed_bytes as usize / series
    });
    drop(fleet);
    let mut restored = 0;
    let read = once(|| {
        let mut reader = snapshots.reader(id).expect("a snapshot");
        let mut restore = Restore::new(&stream, None);
        while let Some(chunk) = reader.next_chunk().expect("a chunk") {
            restore.take(&chunk).expect("its rows");
        }
        restored = restore.finish().expect("all rows").series();
    });
    assert_eq!(restored, series);
    let each = |bytes: usize| bytes / series;
    json!({
        "case": kind.name(),
        "series": series,
        "readings_per_second": BATCH as f64 / best.seconds().expect("it was measured"),
        "warm_readings_per_second": (series * (kind.horizon + WARM)) as f64 / warmed,
        "bytes_a_series": each(memory.total()),
        "resident_bytes_a_series": each(grown),
        "parts": memory.iter().map(|(part, bytes)| (part.as_str(), each(bytes))).collect::<std::collections::BTreeMap<_, _>>(),
        "snapshot_bytes_a_series": each(manifest.packed_bytes as usize),
        "snapshot_raw_bytes_a_series": each(manifest.raw_bytes as usize),
        "mature_snapshot_bytes_a_series": mature,
        "snapshot_seconds": written,
        "restore_seconds": read,
    })
}

/// Runs a row in a process of its own.
fn row(at: usize, series: usize) -> Value {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program)
        .env("TIDECAST_BENCH_FLEET_ROW", format!("{at} {series}"))
        .stderr(std::process::Stdio::inherit())
        .output()
        .expect("this program");
    assert!(output.status.success(), "a row failed: {}", output.status);
    serde_json::from_slice(&output.stdout).expect("a row")
}

fn main() {
    threads();
    if let Ok(row) = std::env::var("TIDECAST_BENCH_FLEET_ROW") {
        let (at, series) = row.split_once(' ').expect("a kind and a number");
        let (at, series): (usize, usize) = (at.parse().expect("a kind"), series.parse().expect("a number"));
        println!("{}", measure(Kind::ALL[at], series));
        return;
    }
    let asked = std::env::var("TIDECAST_BENCH_SERIES").ok();
    let fleets: Vec<usize> = match &asked {
        Some(list) => list.split(',').map(|n| n.trim().parse().expect("numbers of series")).collect(),
        None => FLEETS.to_vec(),
    };
    println!(
        "{:<44} {:>11} {:>8} {:>8} {:>10} {:>10} {:>9} {:>10}",
        "case", "readings/s", "× first", "B each", "B resident", "B snapshot", "written s", "restored s"
    );
    let mut figures = Vec::new();
    for (at, kind) in Kind::ALL.into_iter().enumerate() {
        let mut first = None;
        for series in &fleets {
            let case = format!("{}, {series} series", kind.name());
            if !wanted(&case) {
                continue;
            }
            let (bytes, available) = (needed(kind, *series), available());
            if bytes > available {
                println!("{case:<44} left out: it would take {} of {} MB", bytes >> 20, available >> 20);
                continue;
            }
            let mut found = row(at, *series);
            let number = |key: &str| found[key].as_f64().expect("a number");
            let rate = number("readings_per_second");
            let ratio = rate / *first.get_or_insert(rate);
            println!(
                "{case:<44} {rate:>11.0} {ratio:>8.2} {:>8} {:>10} {:>10} {:>9.1} {:>10.1}",
                number("bytes_a_series"),
                number("resident_bytes_a_series"),
                number("snapshot_bytes_a_series"),
                number("snapshot_seconds"),
                number("restore_seconds"),
            );
            found["ratio_to_first"] = json!(ratio);
            figures.push(found);
        }
    }
    for figure in &figures {
        println!(
            "{}, {} series: {}",
            figure["case"].as_str().expect("a name"),
            figure["series"],
            figure["parts"]
        );
    }
    println!("{}", json!({ "bench": "fleet", "figures": figures }));
}
