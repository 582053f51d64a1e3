//! From `kill -9` to the first new forecast, on a real Kafka: 100,000 series with an LSTM of 64
//! units, a snapshot that is 60,000 readings old (60 s at 1,000 readings/s), a static member.
//!
//! ```sh
//! tests/run kafka                # once: gets Kafka
//! cargo bench --bench recovery   # TIDECAST_BENCH_SERIES=… for another fleet
//! ```
//!
//! The clock runs from the start of the new process to its first forecast that a reader of committed
//! records sees. A reading for it waits in the topic.

#[path = "../tests/support/mod.rs"]
mod support;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::broker::Broker;
use support::daemon::{Daemon, Settings};
use support::kafka::{committed_offsets, create_models_topic, create_topic, produce};
use support::process::free_port;
use support::stream::noise;
use tidecast::checkpoint::{Bundles, Champion, Store};
use tidecast::config::{Config, from_toml};
use tidecast::domain::ModelVersion;
use tidecast::kafka::{Start, TopicReader};
use tidecast::nn::{Trained, Weights};
use tidecast::training::blueprint;

const PARTITIONS: i32 = 4;
/// Readings of each series in the snapshot.
const HOURS: i64 = 30;
/// Readings after the snapshot.
const SINCE: usize = 60_000;
const PATIENCE: Duration = Duration::from_secs(600);
const BATCH: usize = 100_000;

fn text(bootstrap: &str, http: &str, store: &Path) -> String {
    let config = Settings {
        brokers: bootstrap,
        kafka: "group = \"recovery\"\ninstance = \"recovery-0\"\n\
            properties = { \"session.timeout.ms\" = \"6000\" }",
        http,
        store: &format!("file://{}", store.display()),
        sections: "[log]\nformat = \"json\"\n[daemon]\nstop_timeout = \"10m\"\n[snapshots]\nevery = \"1d\"",
        name: "power",
        topic: "recovery.in",
        stream: "forecast_topic = \"recovery.out\"\ndead_letter_topic = \"recovery.dead\"\nhorizon = 24\n\
            window = 128\nmodel = { hidden = 64 }\ntraining = { enabled = false }",
    };
    config.text()
}

fn keep_bundle(config: &Config) {
    let stream = &config.streams[0];
    let shape = blueprint(stream, &stream.model.networks[0]).expect("a shape");
    // Fresh weights correct nothing, and what is forecast would be smaller than it is.
    let values = (0..shape.parameter_count() as u64).map(|i| 0.1 * noise(1, i) as f32).collect();
    let weights = Weights::try_new(shape, values).expect("weights");
    let networks = Trained { weights: Arc::new(weights), optimiser: None }.into();
    let champion = Champion { version: ModelVersion(1), networks, rounds: 1, facts: BTreeMap::new() };
    let store = Store::open(&config.store).expect("a store");
    Bundles::new(&store, &stream.name).keep(&champion).expect("a bundle");
}

/// One reading of a series, with the partition that all of its readings go to.
fn reading(series: usize, hour: i64) -> (String, String, Option<i32>) {
    let wave = (std::f64::consts::TAU * (hour as f64 / 24.0 + series as f64 * 0.37)).sin();
    let kw = 5.0 + (series % 17) as f64 + wave + 0.3 * noise(series as u64, hour as u64);
    let value = format!("{{\"id\":\"m{series}\",\"ts\":{},\"kw\":{kw:.3}}}", 1_700_000_000 + hour * 3_600);
    (format!("m{series}"), value, Some((series % PARTITIONS as usize) as i32))
}

fn wait_committed(bootstrap: &str, daemon: &mut Daemon, records: usize) {
    let limit = Instant::now() + PATIENCE;
    let done = || -> i64 {
        committed_offsets(bootstrap, "recovery", "recovery.in").iter().map(|o| o.unwrap_or(0)).sum()
    };
    while done() < records as i64 {
        assert!(daemon.is_running() && Instant::now() < limit, "{} of {records}:\n{}", done(), daemon.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The fields of an event in the log of a daemon.
fn events(log: &str, name: &str) -> Vec<Value> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["event"] == name).collect()
}

fn sum(events: &[Value], field: &str) -> f64 {
    events.iter().filter_map(|event| event[field].as_f64()).sum()
}

fn most(events: &[Value], field: &str) -> f64 {
    events.iter().filter_map(|event| event[field].as_f64()).fold(0.0, f64::max)
}

fn main() {
    let series: usize =
        std::env::var("TIDECAST_BENCH_SERIES").ok().map_or(100_000, |n| n.parse().expect("a number"));
    let dir = tempfile::tempdir().expect("a folder");
    let broker = Broker::start_for_benchmark();
    let bootstrap = broker.bootstrap();
    for (topic, partitions) in
        [("recovery.in", PARTITIONS), ("recovery.out", PARTITIONS), ("recovery.dead", 1)]
    {
        create_topic(&bootstrap, topic, partitions, &[]);
    }
    create_models_topic(&bootstrap, "recovery");
    let http = format!("127.0.0.1:{}", free_port());
    let text = text(&bootstrap, &http, &dir.path().join("store"));
    let config = from_toml(&text, &[]).unwrap_or_else(|e| panic!("{e}"));
    keep_bundle(&config);
    let path = dir.path().join("tidecast.toml");
    std::fs::write(&path, text).expect("a config");

    let mut produced = 0;
    let mut send = |readings: &mut dyn Iterator<Item = (String, String, Option<i32>)>| {
        loop {
            let batch: Vec<_> = readings.take(BATCH).collect();
            if batch.is_empty() {
                return;
            }
            produced += batch.len();
            produce(&bootstrap, "recovery.in", batch);
        }
    };
    eprintln!("{} readings of {series} series go into the topic …", series as i64 * HOURS);
    send(&mut (0..HOURS).flat_map(|hour| (0..series).map(move |s| reading(s, hour))));
    let first = series * HOURS as usize;
    eprintln!("… and through a daemon, which then is asked to leave …");
    let mut daemon = Daemon::spawn(&path, &[]);
    wait_committed(&bootstrap, &mut daemon, first);
    let began = Instant::now();
    assert_eq!(daemon.terminate(PATIENCE), 0, "{}", daemon.log());
    let stop_seconds = began.elapsed().as_secs_f64();
    let snapshots = events(&daemon.log(), "snapshot_taken");
    assert_eq!(snapshots.len(), PARTITIONS as usize, "{}", daemon.log());

    eprintln!("… {SINCE} more, and it is killed …");
    let mut daemon = Daemon::spawn(&path, &[]);
    let since = SINCE.min(series);
    send(&mut (0..since).map(|s| reading(s, HOURS)));
    wait_committed(&bootstrap, &mut daemon, first + since);
    daemon.kill9();
    send(&mut (0..PARTITIONS as usize).map(|s| reading(s, HOURS + 1)));

    let mut tail = TopicReader::open(&config.kafka, "recovery.out", Start::End).expect("a reader");
    let began = Instant::now();
    let mut daemon = Daemon::spawn(&path, &[]);
    let found = tail.next(PATIENCE).expect("the forecasts");
    let seconds = began.elapsed().as_secs_f64();
    assert!(found.is_some(), "no forecast came:\n{}", daemon.log());
    wait_committed(&bootstrap, &mut daemon, first + since + PARTITIONS as usize);
    let restored = events(&daemon.log(), "restored");
    let assigned = events(&daemon.log(), "assigned");
    assert_eq!(assigned.len(), 1, "{}", daemon.log());
    assert!(restored.iter().all(|r| r["snapshot"] != "none"), "{}", daemon.log());
    let replayed = sum(&restored, "committed") - sum(&restored, "from");

    let bytes = sum(&snapshots, "bytes");
    let figures = json!({
        "series": series,
        "snapshot_bytes": bytes,
        "snapshot_bytes_per_series": bytes / series as f64,
        "snapshot_seconds": sum(&snapshots, "seconds"),
        "stop_seconds": stop_seconds,
        "replayed_readings": replayed,
        "restored_seconds": most(&restored, "seconds"),
        "start_to_forecast_seconds": seconds,
    });
    println!(
        "| series | snapshot | a series | written in | SIGTERM to exit | replayed | start to restored | start to first forecast |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    println!(
        "| {series} | {:.0} MB | {:.0} bytes | {:.1} s | {stop_seconds:.1} s | {replayed} | {:.1} s | {seconds:.1} s |",
        bytes / 1e6,
        bytes / series as f64,
        sum(&snapshots, "seconds"),
        most(&restored, "seconds"),
    );
    println!("{figures}");
    drop(daemon);
}
