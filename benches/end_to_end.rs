//! From a real Kafka to a real Kafka: readings a second and processor time a reading, with the broker
//! on the same machine. JSON in, 24 leads × 3 quantiles as JSON out, exactly once, one worker.
//!
//! ```sh
//! tests/run kafka                  # once: gets Kafka
//! cargo bench --bench end_to_end   # TIDECAST_TORCH_PYTHON=… names a Python with benches/requirements.txt
//! cargo bench --bench end_to_end -- network bare 10000 --rounds=1   # these rows, these fleets
//! ```
//!
//! | row | what |
//! | --- | --- |
//! | `full` | the daemon as it is by default: linear experts, two networks, scores, intervals |
//! | `compact` | the same with `accuracy = "compact"`: few features, one network |
//! | `network` | the daemon with `experts = []`: an LSTM of 64 units, the naive forecasts, scores, intervals |
//! | `bare` | the same loop with the step taken out: poll, decode, encode, send, commit |
//! | `python` | `python_peer.py`: confluent-kafka, orjson, PyTorch; an LSTM of 64 units and nothing else |
//!
//! Each row has a process, a group and a topic of its own. The clock runs from the first readings that
//! were stepped to the commit of the last. Every round runs each row once, and the next round begins with
//! the row after. A figure is the median of the rounds; a ratio is the median of the rounds' ratios, so that
//! what slows the machine for a while slows both sides.

#![allow(unsafe_code, reason = "calls of libc")]

#[path = "../tests/support/mod.rs"]
mod support;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::broker::Broker;
use support::kafka::{committed_offsets, create_models_topic, create_topic, delete_topic};
use tidecast::checkpoint::{Bundles, Champion, Store};
use tidecast::codec::{Decoder, Encoder, headers};
use tidecast::config::{Config, from_toml};
use tidecast::daemon::Daemon;
use tidecast::domain::{EventTime, Forecast, ModelVersion, Offset, TargetForecast, TopicPartition};
use tidecast::kafka::{Commit, Event, IdempotentProducer, WorkerClients};
use tidecast::nn::{Networks, Trained, Weights};
use tidecast::training::blueprint;

const PARTITIONS: usize = 4;
const HORIZON: usize = 24;
/// Series, and readings in the topic.
const FLEETS: [(usize, usize); 2] = [(10, 200_000), (10_000, 1_000_000)];
const PATIENCE: Duration = Duration::from_secs(300);
const ROUNDS: usize = 5;
/// The rows, with what each adds to the stream of the config.
const ROWS: [(&str, &str); 5] = [
    ("bare", ""),
    ("full", ""),
    ("compact", "accuracy = \"compact\""),
    ("network", "experts = []\nmodel = { hidden = 64 }"),
    ("python", ""),
];

fn config(bootstrap: &str, input: &str, output: &str, store: &str, kind: &str) -> Config {
    let (_, added) = ROWS.iter().find(|(row, _)| *row == kind).expect("a row");
    let text = format!(
        r#"
[kafka]
brokers = "{bootstrap}"
group = "{output}"
[http]
listen = "127.0.0.1:0"
[store]
url = "file://{store}"
[streams.power]
topics = ["{input}"]
forecast_topic = "{output}"
dead_letter_topic = "{output}.dead-letters"
interval = "1h"
horizon = {HORIZON}
targets = ["kw"]
window = 256
fields = {{ series = "/id", time = "/ts", time_format = "ms" }}
{added}
training = {{ enabled = false }}
"#
    );
    from_toml(&text, &[]).unwrap_or_else(|e| panic!("{e}"))
}

/// Seconds of processor time that this process has used.
fn used() -> f64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid place for the answer.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut t) }, 0);
    t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9
}

fn figures(readings: usize, seconds: f64, cpu: f64) -> Value {
    json!({
        "readings_per_second": readings as f64 / seconds,
        "cpu_us_per_reading": cpu * 1e6 / readings as f64,
    })
}

/// The daemon, in this process, with networks of random weights.
fn daemon(config: Config, input: &str, readings: usize) -> Value {
    let stream = config.streams[0].clone();
    let networks: Networks = stream
        .model
        .networks
        .iter()
        .map(|kind| {
            let weights = Weights::initial(&blueprint(&stream, kind).expect("a shape"), 1);
            (kind.name.clone(), Trained { weights: Arc::new(weights), optimiser: None })
        })
        .collect();
    let champion = Champion { version: ModelVersion(1), networks, rounds: 1, facts: BTreeMap::new() };
    let store = Store::open(&config.store).expect("a store");
    Bundles::new(&store, &stream.name).keep(&champion).expect("a bundle");
    let (bootstrap, group) = (config.kafka.brokers.clone(), config.kafka.group.clone());
    let mut daemon = Daemon::start(config).expect("a daemon");
    let board = daemon.board().clone();
    let taken = || board.stream_view(&stream.name).expect("the stream").readings as usize;
    let limit = Instant::now() + PATIENCE;
    let mut wait = |least: usize| {
        while taken() < least {
            assert!(!daemon.has_failed() && Instant::now() < limit, "{} of {least} readings", taken());
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    wait(1);
    let (from, began, cpu) = (taken(), Instant::now(), used());
    wait(readings);
    while committed_offsets(&bootstrap, &group, input).iter().map(|o| o.unwrap_or(0)).sum::<i64>()
        < readings as i64
    {
        assert!(Instant::now() < limit, "never committed");
        std::thread::sleep(Duration::from_millis(5));
    }
    let figures = figures(readings - from, began.elapsed().as_secs_f64(), used() - cpu);
    daemon.stop("the end of the benchmark").expect("an orderly end");
    figures
}

/// The daemon's loop with the step taken out.
fn bare(config: &Config, input: &str, output: &str, readings: usize) -> Value {
    let stream = config.streams[0].clone();
    let mut link = WorkerClients::connect(config, 0, &[input.to_owned()]).expect("a link");
    let (mut decoder, mut encoder) = (Decoder::new(&stream), Encoder::new(&stream));
    let target = TargetForecast {
        last: None,
        yhat: vec![0.0; HORIZON],
        quantiles: vec![0.0; HORIZON * stream.levels.len()],
        decimals: 4,
        ..TargetForecast::default()
    };
    let mut forecast = Forecast::new(EventTime::MIN, vec![target]);
    let mut positions: BTreeMap<TopicPartition, Offset> = BTreeMap::new();
    let mut taken: Vec<(String, EventTime, f64, i32, i64)> = Vec::new();
    let (mut done, mut uncommitted, mut start, mut payload) = (0, 0, None, Vec::new());
    let mut committed_at = Instant::now();
    while done < readings || uncommitted > 0 {
        taken.clear();
        link.poll(config.daemon.poll_records, Duration::from_millis(50), &mut |polled| {
            let at = TopicPartition { topic: polled.topic.into(), partition: polled.partition };
            positions.insert(at, polled.offset.next());
            let decoded = decoder.decode(&polled.as_source(), &mut |r| {
                let value = r.values.as_slice()[0];
                taken.push((r.series.to_owned(), r.time, value, polled.partition.0, polled.offset.0));
            });
            decoded.expect("the bench's own records are good");
        })
        .expect("a poll");
        for (series, time, value, partition, offset) in &taken {
            forecast.origin = *time;
            forecast.targets[0].last = Some(*value);
            for (i, yhat) in forecast.targets[0].yhat.iter_mut().enumerate() {
                *yhat = value * (1.0 + 0.013 * i as f64);
            }
            for (i, quantile) in forecast.targets[0].quantiles.iter_mut().enumerate() {
                *quantile = value * (0.8 + 0.007 * i as f64);
            }
            encoder.encode(series, &forecast, Some("power-000001"), &mut payload);
            let (partition, offset) = (partition.to_string(), offset.to_string());
            let sent = [
                (headers::STREAM, b"power".as_slice()),
                (headers::SOURCE_TOPIC, input.as_bytes()),
                (headers::SOURCE_PARTITION, partition.as_bytes()),
                (headers::SOURCE_OFFSET, offset.as_bytes()),
                (headers::MODEL, b"power-000001"),
            ];
            link.send(output, None, Some(series.as_bytes()), &payload, &sent).expect("a send");
        }
        done += taken.len();
        uncommitted += taken.len();
        if done > 0 && start.is_none() {
            start = Some((done, Instant::now(), used()));
        }
        while let Some(event) = link.event() {
            match event {
                Event::Assigned(parts) => {
                    let starts: Vec<_> = parts.into_iter().map(|p| (p, None)).collect();
                    link.assign(&starts).expect("an assignment");
                }
                Event::Revoked(parts) | Event::Lost(parts) => link.release(&parts).expect("a release"),
                Event::Expelled => panic!("nobody else has its name"),
                Event::NewEpoch(unanswered) => eprintln!("a new epoch: {unanswered:?}"),
                Event::Trouble(cause) => eprintln!("{cause}"),
            }
        }
        if uncommitted > 0 && (committed_at.elapsed() >= config.delivery.commit_interval || done >= readings)
        {
            let offsets: Vec<_> = positions.iter().map(|(at, offset)| (at.clone(), *offset)).collect();
            assert!(matches!(link.commit(&offsets).expect("a commit"), Commit::Committed));
            (uncommitted, committed_at) = (0, Instant::now());
        }
    }
    let (from, began, cpu) = start.expect("readings came");
    figures(readings - from, began.elapsed().as_secs_f64(), used() - cpu)
}

/// Runs one row in this process and prints its figures.
fn row(arguments: &[String]) {
    let [kind, bootstrap, input, output, readings] = arguments else { panic!("not a row: {arguments:?}") };
    let store = tempfile::tempdir().expect("a folder");
    let config = config(bootstrap, input, output, &store.path().display().to_string(), kind);
    let readings = readings.parse().expect("a number");
    let figures = match kind.as_str() {
        "bare" => bare(&config, input, output, readings),
        _ => daemon(config, input, readings),
    };
    println!("{figures}");
}

fn last_json(output: &std::process::Output) -> Option<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.lines().last()?).ok()
}

/// One run of one row.
fn measure(kind: &str, bootstrap: &str, input: &str, readings: usize, round: usize) -> Option<Value> {
    let output = format!("{input}.{kind}.{round}");
    let dead_letters = format!("{output}.dead-letters");
    create_topic(bootstrap, &output, PARTITIONS as i32, &[]);
    create_topic(bootstrap, &dead_letters, 1, &[]);
    create_models_topic(bootstrap, &output);
    let count = readings.to_string();
    let ran = if kind == "python" {
        let python = std::env::var("TIDECAST_TORCH_PYTHON").unwrap_or_else(|_| "python3".into());
        let peer = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/python_peer.py");
        let arguments =
            ["--bootstrap", bootstrap, "--input", input, "--output", &output, "--readings", &count];
        Command::new(python).arg(peer).args(arguments).output()
    } else {
        let me = std::env::current_exe().expect("this program");
        Command::new(me).args(["row", kind, bootstrap, input, &output, &count]).output()
    };
    // A million forecasts are a gigabyte, and there are many runs.
    delete_topic(bootstrap, &output);
    delete_topic(bootstrap, &dead_letters);
    let ran = ran.ok()?;
    let figures = last_json(&ran);
    if figures.is_none() {
        let said = String::from_utf8_lossy(&ran.stderr);
        eprintln!("{kind} gave no figures: {}", said.lines().last().unwrap_or("it said nothing"));
    }
    figures
}

fn fill(bootstrap: &str, topic: &str, series: usize, readings: usize) {
    create_topic(bootstrap, topic, PARTITIONS as i32, &[]);
    let kafka = config(bootstrap, topic, "nowhere", "/nowhere", "bare").kafka;
    let mut feeder = IdempotentProducer::connect(&kafka).expect("a producer");
    for i in 0..readings {
        let (hour, s) = (i / series, i % series);
        let id = format!("meter-{s}");
        let kw = (hour as f64 * 0.26).sin() + 1.0 + (s % 7) as f64 * 0.1;
        let ts = 1_700_000_000_000u64 + hour as u64 * 3_600_000;
        let value = format!("{{\"id\":\"{id}\",\"ts\":{ts},\"kw\":{kw:.3}}}");
        feeder.send(topic, None, Some(id.as_bytes()), value.as_bytes(), None).expect("a send");
    }
    feeder.flush(Duration::from_secs(60)).expect("all acknowledged");
}

fn median(figures: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = figures.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// What was asked for: rows, fleets and a number of rounds; nothing stands for all.
struct Choice {
    rows: Vec<&'static str>,
    fleets: Vec<(usize, usize)>,
    rounds: usize,
}

impl Choice {
    fn of(arguments: &[String]) -> Self {
        let named = |word: &str| arguments.iter().any(|a| a == word);
        let mut rows: Vec<_> = ROWS.iter().map(|(row, _)| *row).filter(|row| named(row)).collect();
        let mut fleets: Vec<_> = FLEETS.into_iter().filter(|(n, _)| named(&n.to_string())).collect();
        if rows.is_empty() {
            rows = ROWS.iter().map(|(row, _)| *row).collect();
        }
        if fleets.is_empty() {
            fleets = FLEETS.to_vec();
        }
        let rounds = arguments.iter().find_map(|a| a.strip_prefix("--rounds="));
        Self { rows, fleets, rounds: rounds.map_or(ROUNDS, |n| n.parse().expect("a number of rounds")) }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if arguments.first().is_some_and(|a| a == "row") {
        return row(&arguments[1..]);
    }
    let choice = Choice::of(&arguments);
    let broker = Broker::start_for_benchmark();
    let bootstrap = broker.bootstrap();
    let mut all = serde_json::Map::new();
    for (series, readings) in choice.fleets {
        let input = format!("meters-{series}");
        fill(&bootstrap, &input, series, readings);
        // A fresh broker compiles itself while it serves its first clients.
        measure(choice.rows[0], &bootstrap, &input, readings, 0);
        let mut rounds: Vec<BTreeMap<&str, [f64; 2]>> = Vec::new();
        for round in 1..=choice.rounds {
            let mut order = choice.rows.clone();
            order.rotate_left((round - 1) % choice.rows.len());
            let mut figures = BTreeMap::new();
            for kind in order {
                let Some(found) = measure(kind, &bootstrap, &input, readings, round) else { continue };
                let [rate, cpu] = ["readings_per_second", "cpu_us_per_reading"].map(|k| found[k].as_f64());
                figures.insert(kind, [rate.unwrap_or(f64::NAN), cpu.unwrap_or(f64::NAN)]);
                eprintln!("round {round}: {kind} {found}");
            }
            rounds.push(figures);
        }
        println!(
            "\n{:>7} {:>6} series, {} rounds {:>10} {:>14} {:>9} {:>10}",
            "", series, choice.rounds, "readings/s", "µs a reading", "of bare", "of python"
        );
        for kind in &choice.rows {
            let own = |which: usize| rounds.iter().filter_map(move |round| Some(round.get(kind)?[which]));
            let of = |other: &str| {
                median(rounds.iter().filter_map(|round| Some(round.get(kind)?[0] / round.get(other)?[0])))
            };
            let (Some(rate), Some(cpu)) = (median(own(0)), median(own(1))) else { continue };
            let (least, most) = (own(0).fold(f64::MAX, f64::min), own(0).fold(0.0, f64::max));
            let shown = |ratio: Option<f64>| ratio.map_or_else(|| "–".to_owned(), |r| format!("{r:.2}"));
            println!(
                "{kind:>7} {rate:>9.0} ({least:>7.0} to {most:>7.0}) {cpu:>14.2} {:>9} {:>10}",
                shown(of("bare")),
                shown(of("python"))
            );
            all.insert(
                format!("{kind}_{series}"),
                json!({
                    "readings_per_second": rate, "least": least, "most": most, "cpu_us_per_reading": cpu,
                    "of_bare": of("bare"), "of_python": of("python"),
                }),
            );
        }
        delete_topic(&bootstrap, &input);
    }
    println!("{}", Value::Object(all));
}
